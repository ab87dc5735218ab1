"""What the server shows in clear during a DTLS handshake, read datagram by datagram. Let go of when that is over.

Datagrams get lost, come twice and in any order. Mbed TLS sorts what comes; this has to do the same to see the server's
Certificate message before Mbed TLS does.
"""

from micropython import const

from .flight import MAX_CERTIFICATE_MESSAGE

_CHANGE_CIPHER_SPEC = const(20)  # RFC 5246, 6.2.1
_ALERT = const(21)
_HANDSHAKE = const(22)
_CERTIFICATE = const(11)  # RFC 5246, 7.4
_CERTIFICATE_REQUEST = const(13)
_FATAL = const(2)
_RECORD_HEADER = const(13)  # type, version (2), epoch (2), sequence number (6), length (2): RFC 6347, 4.1
_MESSAGE_HEADER = const(12)  # type, length (3), sequence number (2), fragment's offset (3) and length (3): 4.2.2
_MAX_FRAGMENTS = const(64)


class DatagramFlight:
    """Tells `observer` what it sees. `wanted`: the Certificate message is, too; it goes to the observer's
    `take_certificates` when all of it is there."""

    def __init__(self, observer, wanted):
        self._observer = observer
        self._wanted = wanted
        self._certificate = None  # the message as far as it came
        self._pieces = []  # [start, end] of what came, sorted and apart

    def watch(self, data):
        """Looks at the records of a datagram. What makes no sense is left to Mbed TLS, which passes over it."""
        observer = self._observer
        at = 0
        while at + _RECORD_HEADER <= len(data):
            end = at + _RECORD_HEADER + (data[at + 11] << 8 | data[at + 12])
            if end > len(data) or data[at + 1] != 0xFE:
                return
            if not (data[at + 3] or data[at + 4]):  # epoch 0: in clear
                start = at + _RECORD_HEADER
                if data[at] == _HANDSHAKE:
                    observer.answered = True
                    self._watch_messages(data, start, end)
                elif data[at] == _ALERT and end - start == 2 and data[start] == _FATAL:
                    observer.alert = data[start + 1]
                elif data[at] == _CHANGE_CIPHER_SPEC:
                    observer.last |= 1
            elif data[at] == _HANDSHAKE:
                observer.last |= 2
            at = end

    def _watch_messages(self, data, at, end):
        observer = self._observer
        while at + _MESSAGE_HEADER <= end and not observer.refusal:
            size = data[at + 1] << 16 | data[at + 2] << 8 | data[at + 3]
            offset = data[at + 6] << 16 | data[at + 7] << 8 | data[at + 8]
            n = data[at + 9] << 16 | data[at + 10] << 8 | data[at + 11]
            start = at + _MESSAGE_HEADER
            if start + n > end or offset + n > size:
                return
            if data[at] == _CERTIFICATE_REQUEST:
                observer.certificate_requested = True
            elif data[at] == _CERTIFICATE and self._wanted:
                self._add(size, offset, memoryview(data)[start : start + n])
            at = start + n

    def _add(self, size, offset, fragment):
        """A piece of the Certificate message came. The whole is read when the last piece is there."""
        observer = self._observer
        if size > MAX_CERTIFICATE_MESSAGE:
            observer.refusal = "its Certificate message has %d bytes, the limit is %d" % (size, MAX_CERTIFICATE_MESSAGE)
            return
        whole = self._certificate
        if whole is None:
            # With the header that the message would have in TLS.
            self._certificate = whole = bytearray(4 + size)
            whole[0] = _CERTIFICATE
            whole[1], whole[2], whole[3] = size >> 16, size >> 8 & 0xFF, size & 0xFF
        elif len(whole) != 4 + size:
            return
        end = offset + len(fragment)
        whole[4 + offset : 4 + end] = fragment
        self._pieces = _merged(self._pieces, offset, end)
        if len(self._pieces) > _MAX_FRAGMENTS:
            observer.refusal = "it sent its certificates in more than %d pieces" % _MAX_FRAGMENTS
        elif self._pieces[0] == [0, size]:
            observer.take_certificates(whole)
            self._certificate = None
            self._wanted = False


def _merged(pieces, start, end):
    """`pieces` (sorted, apart) and the one from `start` to `end`, sorted and apart again."""
    result = []
    for piece in pieces:
        if piece[1] < start or piece[0] > end:
            result.append(piece)
        else:
            start = min(start, piece[0])
            end = max(end, piece[1])
    result.append([start, end])
    result.sort()
    return result
