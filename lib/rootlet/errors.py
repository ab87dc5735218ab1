"""The exceptions. Every one says the cause and the remedy in words; `cause` keeps the low-level error.

Imported when something fails, so that a good connection does not pay for it.
"""


class TLSError(OSError):
    """Base of everything rootlet raises. `message` is the cause, `remedy` what to do, `cause` the low-level
    exception or None; after a failed handshake `trace` has its last events, if a trace was asked for."""

    remedy = ""
    trace = None

    def __init__(self, message, remedy=None, cause=None):
        super().__init__(message)
        self.message = message
        if remedy is not None:
            self.remedy = remedy
        self.cause = cause

    def __str__(self):
        return "%s. %s." % (self.message, self.remedy) if self.remedy else self.message


# Before the handshake


class NetworkError(TLSError):
    """Wi-Fi or Ethernet did not come up."""


class ResolveError(TLSError):
    remedy = "Check the host name and that the board has a network and a name server"


class ConnectError(TLSError):
    remedy = "Check address and port, and that a server listens there"


class DeadlineError(TLSError):
    remedy = "The server or the network is too slow or silent: try again, or raise timeout_ms"


class ClockError(TLSError):
    remedy = "Set the clock (rootlet.clock.synchronise, or machine.RTC) before connecting"


class EntropyError(TLSError):
    remedy = "Use a board whose firmware has a working hardware random number generator"


class ConfigError(TLSError):
    """The application asked for something that makes no sense or is not safe."""

    remedy = "Correct the argument"


class UnsupportedError(TLSError):
    """The firmware lacks what is needed."""

    remedy = "Use a newer firmware"


# Trust store


class TrustStoreError(TLSError):
    remedy = "Push a fresh store: rootlet push"


class TrustStoreMissingError(TrustStoreError):
    def __init__(self, path, cause=None):
        super().__init__("there is no trust store at %s" % path, None, cause)


class TrustStoreDamagedError(TrustStoreError):
    def __init__(self, path, fault):
        super().__init__("the trust store %s cannot be used: %s" % (path, fault))


class SignatureError(TrustStoreError):
    remedy = "Take the store from its publisher: this one was changed, is unsigned, or is somebody else's"


class RollbackError(TrustStoreError):
    remedy = "Build a store with a higher sequence, or push with --rollback"


class TrustStoreExpiredError(TrustStoreError):
    def __init__(self, path):
        super().__init__("the trust store %s is past its not-used-after date" % path)


# Handshake


class HandshakeError(TLSError):
    """The handshake failed for a reason other than the certificates."""

    remedy = "Try again; if it stays, look at the server's log or try `rootlet doctor --host`"


class NotTLSError(HandshakeError):
    remedy = "Check the port: the server does not speak TLS there"


class AlertError(HandshakeError):
    """The server ended the handshake; `alert` is the number it gave (RFC 8446, 6.2), or None."""

    alert = None


class CertificateError(TLSError):
    """The server's chain was refused. `reasons` is a tuple of reasons in words."""

    remedy = "Do not connect: this may not be the server you meant"

    def __init__(self, message, remedy=None, cause=None, reasons=()):
        super().__init__(message, remedy, cause)
        self.reasons = reasons or (message,)


class HostnameError(CertificateError):
    remedy = "Connect by a name that is in the certificate, or let the server get one for this name"


class ExpiredError(CertificateError):
    remedy = "The server must renew its certificate; also check this board's clock"


class NotYetValidError(CertificateError):
    remedy = "Check this board's clock first: certificates from the future usually mean an unset clock"


class UnknownIssuerError(CertificateError):
    remedy = "Find the missing root with `rootlet ca find HOST` and add it to a store, or pass it as cafile"


class PolicyError(CertificateError):
    """The chain is cryptographically good but breaks a rule. `rule` names it, `depth` says where (0: the server)."""

    rule = ""
    depth = 0


class PinError(CertificateError):
    """The chain is good, but none of the pinned keys is in it. `seen`: the pins of what is, the server's first."""

    seen = ()
    remedy = "The server's keys changed: if that is right, update the pins (rootlet pin HOST)"


# After the handshake


class TruncationError(TLSError):
    remedy = "Treat the data as incomplete: somebody cut the connection before its end"


class HTTPError(TLSError):
    """The server's answer breaks HTTP, or is more than a board can take."""

    remedy = "The server or something before it is at fault"


class DigestError(HTTPError):
    """The data is complete and not what it should be."""

    remedy = "Do not use the data; check the digest and where it comes from"
