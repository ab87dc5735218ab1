"""The server's Certificate message, read as it goes by, in whatever pieces it comes."""

from micropython import const

_CERTIFICATE = const(11)  # RFC 5246, 7.4
_CERTIFICATE_REQUEST = const(13)
_SERVER_HELLO_DONE = const(14)
_SEEN_CERTIFICATE = const(2)  # observer.CERTIFICATE


def read_issuers(observer, small):
    """A generator that reads the handshake messages of the server's flight (RFC 5246, 7.3, 7.4 and 7.4.2).

    It yields what it wants next: a memoryview to be filled, a number of bytes to be passed over, or a negative
    number of bytes that belong at the end of `small` (a bytearray of 4). It tells `observer`, which feeds it.
    """
    yield -4
    while small[0] != _CERTIFICATE:
        n = _u24(small)
        if n:
            yield n
        yield -4
    observer.seen = _SEEN_CERTIFICATE
    left = _u24(small)
    if left > observer.MAX_CERTIFICATE_MESSAGE:
        observer.refusal = "its Certificate message has %d bytes, the limit is %d" % (
            left, observer.MAX_CERTIFICATE_MESSAGE)
        return
    yield -3  # the length of the list, which is the rest of the message
    left -= 3
    count = 0
    while left > 3:
        count += 1
        if count > observer.MAX_CERTIFICATES:
            observer.refusal = "it sent more than %d certificates" % observer.MAX_CERTIFICATES
            return
        yield -3
        size = _u24(small)
        left -= 3 + size
        if left < 0:
            return  # nonsense, as Mbed TLS will find
        # Certificate and TBSCertificate are gone into; then version (absent in v1), serial number and signature
        # algorithm are passed over; then comes the issuer (RFC 5280, 4.1).
        field = 0
        while size >= 2:
            yield -2
            size -= 2
            tag = small[2]
            n = small[3]
            more = 0
            if n & 0x80:
                more = n & 0x7F
                if not 1 <= more <= 2 or size < more:
                    break
                yield -more
                size -= more
                n = small[3] if more == 1 else small[2] << 8 | small[3]
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
                if tag == 0x30 and n <= observer.MAX_NAME:
                    name = bytearray(2 + more + n)
                    name[0] = tag
                    if more:
                        name[1] = 0x80 | more
                        name[2 : 2 + more] = small[-more:]
                    else:
                        name[1] = n
                    if n:
                        yield memoryview(name)[2 + more :]
                    size -= n
                    observer.on_issuer(bytes(name))
                    name = None
                break
        if size:
            yield size
    if left:
        yield left
    while small[0] != _SERVER_HELLO_DONE:
        yield -4
        if small[0] == _CERTIFICATE_REQUEST:
            observer.certificate_requested = True
        left = _u24(small)
        if left:
            yield left


def _u24(data):
    """The integer in the last three of four bytes."""
    return data[1] << 16 | data[2] << 8 | data[3]
