"""What the server shows in clear during a handshake, read as it goes by, in whatever pieces it comes.

It is read in Mbed TLS's own record buffer, and nothing is copied but the issuer name at hand.
"""

from micropython import const
from rootlet import forget

# TLS record and handshake types: RFC 5246, 6.2.1 and 7.4; RFC 8446, 5.1.
_CHANGE_CIPHER_SPEC = const(20)
_ALERT = const(21)
_HANDSHAKE = const(22)
_APPLICATION_DATA = const(23)
_CERTIFICATE = const(11)
_CERTIFICATE_REQUEST = const(13)
_SERVER_HELLO_DONE = const(14)
_TYPE = const(-4)  # where a message's stands
_FATAL = const(2)
_FATAL_ALERT = const(-0x7780)  # MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE

# HandshakeObserver.seen: what a handshake has shown so far.
_NOTHING = const(0)
_TLS_RECORDS = const(1)
_CERTIFICATE_SEEN = const(2)
_ENCRYPTED = const(3)  # what comes from here on cannot be read
# HandshakeObserver.finishing.
_LAST_RECORD = const(1)
_DONE = const(2)

# Limits on what a server may send; see docs/threat-model.md.
MAX_CERTIFICATE_MESSAGE = const(16384)
MAX_CERTIFICATES = const(16)
MAX_NAME = const(1024)


def watch(observer, on_issuer):
    """A generator that is sent, piece by piece, everything that Mbed TLS reads (memoryview or bytes), and ends when
    there is nothing more to be seen. It calls `on_issuer` (None: nobody wants to know), and tells `observer` the rest.

    A generator, because its variables take half the room of attributes and are found much faster.
    """
    head = bytearray(9)  # of the record at hand, 5 bytes; of the message, its length or a field's, the last 4
    room = [memoryview(head)]
    got = 0  # bytes of the record's
    kind = 0
    left = 0  # bytes of the record's body that have not come yet
    messages = _read_messages(observer, on_issuer, head, room) if on_issuer is not None else None
    want = next(messages) if messages else 0
    while True:
        data = yield
        at = 0
        end = len(data)
        while at < end:
            # Builtins are few in these loops: to find one takes MicroPython as long as ten of its instructions.
            if not left:
                head[got] = data[at]
                at += 1
                got += 1
                if got < 5:
                    continue
                got = 0
                kind = head[0]
                left = head[3] << 8 | head[4]
                if not _CHANGE_CIPHER_SPEC <= kind <= _APPLICATION_DATA or head[1] != 3:
                    if observer.seen == _NOTHING:
                        observer.refusal = bytes(head[:5])
                    return
                if observer.seen == _NOTHING:
                    observer.seen = _TLS_RECORDS
                if kind == _APPLICATION_DATA:
                    # TLS 1.3: from here on everything is encrypted.
                    observer.encrypted = observer.seen < _CERTIFICATE_SEEN
                    observer.seen = _ENCRYPTED
                    return
                if kind == _CHANGE_CIPHER_SPEC:
                    # TLS 1.2: only Finished is left, encrypted. If the Certificate message has not come, it is TLS 1.3,
                    # which has this record for old middleboxes only and may go on in clear (RFC 8446, D.4).
                    if observer.seen == _CERTIFICATE_SEEN or on_issuer is None:
                        observer.seen = _ENCRYPTED
                elif observer.seen == _ENCRYPTED:
                    observer.finishing = _LAST_RECORD
                continue
            stop = at + left
            if stop > end:
                stop = end
            left -= stop - at
            if observer.seen == _ENCRYPTED:
                pass
            elif kind == _ALERT:
                observer.alert = data[stop - 1]  # level, then description: RFC 5246, 7.2
            elif kind == _HANDSHAKE:
                # Give the reader of the messages what it waits for.
                while at < stop and messages:
                    if want is None:
                        n = min(len(room[0]), stop - at)
                        room[0][:n] = data[at : at + n]
                        room[0] = room[0][n:]
                        at += n
                        if room[0]:
                            break  # an empty memoryview is false
                    elif want < 0:
                        # Byte by byte, because every slice of a memoryview would cost memory.
                        head[want] = data[at]
                        at += 1
                        want += 1
                        if want:
                            continue
                    elif want > stop - at:
                        want -= stop - at
                        break
                    else:
                        at += want
                    try:
                        want = messages.send(None)
                    except StopIteration:
                        messages = None
            at = stop
            if observer.finishing and not left:
                observer.finishing = _DONE
                return


def _read_messages(observer, on_issuer, head, room):
    """A generator that reads the handshake messages of the server's flight (RFC 5246, 7.3, 7.4 and 7.4.2).

    It yields what it wants next: a number of bytes to be passed over; a negative number of bytes that belong at the
    end of `head` (a bytearray); or None for those that fill the memoryview in `room` (a list of one).
    """
    yield -4
    while head[_TYPE] != _CERTIFICATE:
        n = _u24(head)
        if n:
            yield n
        yield -4
    observer.seen = _CERTIFICATE_SEEN
    left = _u24(head)
    if left > MAX_CERTIFICATE_MESSAGE:
        observer.refusal = "its Certificate message has %d bytes, the limit is %d" % (
            left, MAX_CERTIFICATE_MESSAGE)
        return
    yield -3  # the length of the list, which is the rest of the message
    left -= 3
    count = 0
    while left > 3:
        count += 1
        if count > MAX_CERTIFICATES:
            observer.refusal = "it sent more than %d certificates" % MAX_CERTIFICATES
            return
        yield -3
        size = _u24(head)
        left -= 3 + size
        if left < 0:
            return  # nonsense, as Mbed TLS will find
        # Certificate and TBSCertificate are gone into; then version (absent in v1), serial number and signature
        # algorithm are passed over; then comes the issuer (RFC 5280, 4.1).
        field = 0
        while size >= 2:
            yield -2
            size -= 2
            tag = head[-2]
            n = head[-1]
            more = 0
            if n & 0x80:
                more = n & 0x7F
                if not 1 <= more <= 2 or size < more:
                    break
                yield -more
                size -= more
                n = head[-1] if more == 1 else head[-2] << 8 | head[-1]
            if n > size:
                break
            if field < 2:
                if tag != 0x30:
                    break
                field += 1
            elif field < 4:
                if n:
                    yield n
                size -= n
                if tag != 0xA0:
                    field += 1
            else:
                if tag == 0x30 and n <= MAX_NAME:
                    name = bytearray(2 + more + n)
                    name[0] = tag
                    if more:
                        name[1] = 0x80 | more
                        name[2 : 2 + more] = head[-more:]
                    else:
                        name[1] = n
                    if n:
                        room[0] = memoryview(name)[2 + more :]
                        yield None
                        room[0] = memoryview(head)  # let go of this one
                    size -= n
                    on_issuer(bytes(name))
                    name = None
                break
        if size:
            yield size
    forget("store", "anchor", "civil")  # all issuers were looked up, and now Mbed TLS needs much memory
    if left:
        yield left
    while head[_TYPE] != _SERVER_HELLO_DONE:
        yield -4
        if head[_TYPE] == _CERTIFICATE_REQUEST:
            observer.certificate_requested = True
        left = _u24(head)
        if left:
            yield left


def _u24(data):
    """The integer in the last three bytes."""
    return data[-3] << 16 | data[-2] << 8 | data[-1]


def last_word(observer, sock, error):
    """Writing failed with `error` during the handshake: the error code of a fatal alert if the server left one, else 0.

    A server that refuses closes at once, while Mbed TLS still has the rest of its flight to send. As it was not
    reading, what comes next begins a record.
    """
    from errno import EAGAIN, ETIMEDOUT

    if not isinstance(error, OSError) or error.errno in (EAGAIN, ETIMEDOUT):
        return 0
    last = bytearray(7)
    try:
        if sock.readinto(last) != 7 or last[0] != _ALERT or last[5] != _FATAL:
            return 0
    except OSError:
        return 0
    observer.alert = last[6]
    return _FATAL_ALERT
