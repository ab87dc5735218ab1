"""Pre-shared keys in place of certificates (RFC 4279, RFC 5487, RFC 5489). Imported only when one is given."""

import tls

from micropython import const

_MIN_KEY_BYTES = const(16)  # a key is only as good as the guesses that it takes: RFC 9257, 6
_MAX_IDENTITY_BYTES = const(128)  # RFC 4279, 5.3: what everybody must support
_AEAD = const(("-GCM-", "-CCM", "CHACHA20"))
_WEAK = const(("-CCM-8", "CAMELLIA", "ARIA", "RSA-PSK"))


def suites(names):
    """Those of the cipher suite `names` with a pre-shared key and authenticated encryption, the forward secret
    ones first."""
    chosen = []
    for exchange in ("-ECDHE-PSK-", "-DHE-PSK-", "TLS-PSK-"):
        for name in names:
            if exchange in name and _has(name, _AEAD) and not _has(name, _WEAK):
                chosen.append(name)
    return chosen


def _has(name, parts):
    for part in parts:
        if part in name:
            return True
    return False


class PreSharedKey:
    """`identity` (str or bytes) names the `key` (bytes, at least 16, random) to the server.

    Raises ConfigError, and UnsupportedError on firmware without it.
    """

    def __init__(self, identity, key):
        if isinstance(key, str):
            _refuse("the pre-shared key is text", "Pass bytes, e.g. binascii.unhexlify(HEX)")
        if isinstance(identity, str):
            identity = identity.encode()
        for value in (identity, key):
            if not isinstance(value, (bytes, bytearray)):  # bytes(32) would be 32 zeros
                _refuse("psk is not (identity, key)", "Pass a tuple of a text and bytes")
        self.identity = bytes(identity)
        self._key = bytes(key)
        if not 0 < len(self.identity) <= _MAX_IDENTITY_BYTES:
            _refuse("the identity of a pre-shared key has 1 to %d bytes" % _MAX_IDENTITY_BYTES, "Choose another")
        if len(self._key) < _MIN_KEY_BYTES:
            _refuse(
                "the pre-shared key has %d bytes, which can be guessed" % len(self._key),
                "Use at least %d random bytes: openssl rand -hex 32" % _MIN_KEY_BYTES,
            )
        context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        try:
            if not hasattr(context, "psk_key"):
                _unsupported("this firmware has no pre-shared keys (tls.SSLContext has no psk_key)")
            self.ciphers = suites(context.get_ciphers())
            if not self.ciphers:
                _unsupported("this firmware has no cipher suite with pre-shared keys and authenticated encryption")
            try:
                self.install(context)
            except (OSError, ValueError) as error:
                _refuse(
                    "this firmware takes no pre-shared key of %d bytes (%s)" % (len(self._key), error),
                    "Use a key of 16 to 32 bytes",
                    error,
                )
        finally:
            if hasattr(context, "__del__"):
                context.__del__()

    def check_ciphers(self, names):
        """Refuses cipher suites that ask for a certificate."""
        for name in names:
            if "PSK" not in name or "RSA-PSK" in name:
                _refuse("%s has no part in connections with a pre-shared key only" % name, "Leave it out")

    def install(self, context):
        """Loads the key into a tls.SSLContext, which takes it once."""
        # MicroPython stores each and passes both on when it has the two of them.
        context.psk_identity = self.identity
        context.psk_key = self._key


def _refuse(message, remedy, cause=None):
    from .errors import ConfigError

    raise ConfigError(message, remedy, cause)


def _unsupported(message):
    from .errors import UnsupportedError

    raise UnsupportedError(message, "Use MicroPython 1.29 or later with Mbed TLS's PSK suites, or certificates")
