"""Pinned keys: of a chain that was verified, one certificate must have one of them. Imported only when there are pins.

A pin is the SHA-256 of a SubjectPublicKeyInfo (RFC 7469, 2.4), written as curl does: "sha256//" and base64.
docs/pins.md says which keys to pin.
"""

from binascii import a2b_base64, b2a_base64
from hashlib import sha256

from micropython import const

from .policy import ChainPolicy

_PREFIX = const("sha256//")
_REMEDY = const("Let `rootlet pin HOST` print them")


class Pins:
    """The pins of a Context. `pins`: a list of texts, or one text with semicolons between them. `digests`: 32 bytes
    for each.

    Raises ConfigError for what is no pin, and for a single one unless `allow_single`: a lost key would lock the board
    out of its server for ever.
    """

    def __init__(self, pins, allow_single=False):
        if isinstance(pins, str):
            pins = pins.split(";")
        elif not isinstance(pins, (list, tuple)):
            _refuse("pins must be a list of texts")
        self.digests = []
        for pin in pins:
            digest = _digest(pin)
            if digest is None:
                _refuse("not a pin: %r" % (pin,), "A pin is sha256// and 44 characters of base64. " + _REMEDY)
            if digest not in self.digests:
                self.digests.append(digest)
        if not self.digests:
            _refuse("pins is empty", "Leave it out, or name at least two keys")
        if len(self.digests) == 1 and not allow_single:
            _refuse(
                "there is one pin and no backup",
                "Pin a second key that you hold in reserve, or pass allow_single=True",
            )

    def policy(self, *arguments):
        """A ChainPolicy (with these arguments) that wants one of the pins, too."""
        return PinnedPolicy(self.digests, *arguments)


def text(digest):
    """The pin as it is written."""
    return _PREFIX + str(b2a_base64(digest), "ascii").rstrip("\n")


def _digest(pin):
    if not isinstance(pin, str) or not pin.startswith(_PREFIX):
        return None
    try:
        digest = a2b_base64(pin[len(_PREFIX) :])
    except ValueError:
        return None
    # Decoders pass over what is not base64, so the text must be what the digest is written as.
    return digest if len(digest) == 32 and text(digest) == pin else None


def _refuse(message, remedy=_REMEDY):
    from .errors import ConfigError

    raise ConfigError(message, remedy)


class PinnedPolicy(ChainPolicy):
    """A ChainPolicy that also wants a certificate, from the trust anchor down to the server's, to have one of
    `digests`."""

    def __init__(self, digests, *arguments):
        super().__init__(*arguments)
        self._digests = digests
        self._matched = False
        self._seen = []

    @property
    def seen(self):
        """The pins of the chain that was refused, the server's first."""
        return tuple(map(text, reversed(self._seen)))

    def _examine(self, der, depth):
        rule = super()._examine(der, depth)
        if not rule and not self._matched:
            c = self._certificate
            digest = sha256(der[c.spki : c.spki_end]).digest()
            self._matched = digest in self._digests
            self._seen.append(digest)  # Mbed TLS builds no chain of more than ten
            if not depth and not self._matched:
                return "pin-mismatch"
        return rule
