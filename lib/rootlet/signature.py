"""Is this store the publisher's? The board asks by making a TLS connection to itself.

Module tls verifies signatures only inside a handshake. So the publisher signs a certificate whose host name is the
store's sequence and digest, and puts it and its worthless key behind the store. A server made of these two and a client
that trusts the publisher alone and wants exactly that host name meet in memory: if they agree, the publisher signed
exactly this content. Format: docs/store-format.md, Envelope.
"""

import io
import tls
from binascii import hexlify

from micropython import const

from . import forget

_POLL = const(3)
_CLOSE = const(4)
_SUITES = const((
    "TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256",
    "TLS-ECDHE-ECDSA-WITH-AES-256-GCM-SHA384",
    "TLS1-3-AES-128-GCM-SHA256",
))
_MAX_ROUNDS = const(32)  # a handshake takes 4


class _Pipe(io.IOBase):
    """One end of a connection in memory: reads what `other` wrote."""

    def __init__(self):
        self._waiting = b""
        self.other = None

    def readinto(self, buffer):
        n = min(len(buffer), len(self._waiting))
        if not n:
            return None
        buffer[:n] = self._waiting[:n]
        self._waiting = self._waiting[n:]
        return n

    def write(self, data):
        self.other._waiting += bytes(data)
        return len(data)

    def ioctl(self, request, argument):
        return argument if request == _POLL else 0

    def setblocking(self, flag):
        pass


def host_name(store):
    """The name that the publisher's certificate must have for `store`."""
    digest = str(hexlify(store.digest), "ascii")
    return "s%d.%s.%s.store" % (store.sequence, digest[:32], digest[32:])


def verify(store, publisher):
    """Returns if `publisher` (a CA certificate, DER bytes) signed `store` (a TrustStore). Raises SignatureError.

    The dates of the certificates are wide, so that this works on a board whose clock is not set.
    """
    envelope = store.envelope()
    fault = "it is not signed"
    if envelope:
        name = host_name(store)
        forget("opening", "store", "anchor", "civil")
        fault = _shake_hands(envelope, name, publisher)
    if fault:
        from .errors import SignatureError

        raise SignatureError("the trust store %s is refused: %s" % (store.path, fault))


def _shake_hands(envelope, name, publisher):
    """Why the handshake failed, or None."""
    leaf, key = envelope
    streams = []
    contexts = []
    try:
        server = tls.SSLContext(tls.PROTOCOL_TLS_SERVER)
        contexts.append(server)
        server.load_cert_chain(leaf, key)
        client = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        contexts.append(client)
        client.verify_mode = tls.CERT_REQUIRED
        client.load_verify_locations(publisher)
        available = client.get_ciphers()
        client.set_ciphers([suite for suite in _SUITES if suite in available])
        del available
        here, there = _Pipe(), _Pipe()
        here.other, there.other = there, here
        forget()  # each end wants 17 KB in one piece, and 4 KB
        streams.append(client.wrap_socket(here, server_hostname=name, do_handshake_on_connect=False))
        streams.append(server.wrap_socket(there, server_side=True, do_handshake_on_connect=False))
        for _ in range(_MAX_ROUNDS):
            # Writing is possible only when the client has verified the server; reading, when the server has that.
            streams[0].write(b"!")
            if streams[1].read(1) == b"!":
                return None
        return "the signature check did not end"
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno == 12:
            raise MemoryError("not enough memory to check the signature")
        return "its signature is not the publisher's (%s)" % str(error).strip()
    finally:
        for stream in streams:
            stream.close()
        for context in contexts:
            # Now, not at the next collection: the next thing that happens may be a handshake.
            if hasattr(context, "__del__"):
                context.__del__()
