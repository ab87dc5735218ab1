"""The exceptions. Every one says the cause and the remedy in words; `cause` keeps the low-level error.

Imported when something fails, so that a good connection does not pay for it.
"""


class TLSError(OSError):
    """Base of everything rootlet raises. `message` is the cause, `remedy` what to do, `cause` the low-level
    exception or None; `reasons` is a tuple of causes in words, several where a chain was refused for several. After a
    failed handshake `trace` has its last events, if a trace was asked for."""

    remedy = ""
    trace = None

    def __init__(self, message, remedy=None, cause=None):
        super().__init__(message)
        self.message = message
        if remedy is not None:
            self.remedy = remedy
        self.cause = cause
        self.reasons = (message,)

    def __str__(self):
        return "%s. %s." % (self.message, self.remedy) if self.remedy else self.message


# One line a class: its name and its base (none: TLSError), both without "Error", and the remedy that its instances have
# unless they get another (none: that of the base). A class is made when it is first asked for: all of them would take
# 4 KB of RAM, at a moment when there may be little.
#
# NetworkError        Wi-Fi or Ethernet did not come up.
# ConfigError         The application asked for something that makes no sense or is not safe.
# UnsupportedError    The firmware lacks what is needed.
# OutOfMemoryError    There is not enough for a connection, found out beforehand (rootlet.memory).
# HandshakeError      The handshake failed for a reason other than the certificates.
# AlertError          The server ended the handshake; `alert` is the number it gave (RFC 8446, 6.2), or None.
# CertificateError    The server's chain was refused.
# PolicyError         The chain is cryptographically good but breaks a rule. `rule` names it, `depth` says where (0: the
#                     server).
# PinError            The chain is good, but none of the pinned keys is in it. `seen`: the pins of what is, the server's
#                     first.
# TruncationError     The data is not all there.
# HTTPError           The server's answer breaks HTTP, or is more than a board can take.
# DigestError         The data is complete and not what it should be.
CLASSES = """
Network||
Resolve||Check the host name and that the board has a network and a name server
Connect||Check address and port, and that a server listens there
Deadline||The server or the network is too slow or silent: try again, or raise timeout_ms
Clock||Set the clock (rootlet.clock.synchronise, or machine.RTC) before connecting
Entropy||Use a board whose firmware has a working hardware random number generator
Config||Correct the argument
Unsupported||Use a newer firmware
OutOfMemory||Free memory first: fewer modules, smaller buffers
TrustStore||Push a fresh store: rootlet push
Signature|TrustStore|Take the store from its publisher: it was changed, is unsigned, or is somebody else's
Rollback|TrustStore|Build a store with a higher sequence, or push with --rollback
Series|TrustStore|Take the store that is meant for this board, or build it with that --series
Handshake||Try again; if it stays, look at the server's log or try `rootlet doctor --host`
NotTLS|Handshake|Check the port: the server does not speak TLS there
Alert|Handshake|
Certificate||Do not connect: this may not be the server you meant
Hostname|Certificate|Connect by a name that is in the certificate, or let the server get one for this name
Expired|Certificate|The server must renew its certificate; also check this board's clock
NotYetValid|Certificate|Check this board's clock first: it is probably not set
UnknownIssuer|Certificate|Find the missing root with `rootlet ca find HOST` and add it to a store, or pass it as cafile
Policy|Certificate|
Pin|Certificate|The server's keys changed: if that is right, update the pins (rootlet pin HOST)
Truncation||Treat the data as incomplete: somebody cut the connection before its end
HTTP||The server or something before it is at fault
Digest|HTTP|Do not use the data; check the digest and where it comes from
"""


def entry(table, key):
    """The fields of the line of `table` that begins with `key` and a bar: a list; None if there is none."""
    at = table.find("\n%s|" % key)
    return table[at : table.find("\n", at + 1)].split("|")[1:] if at >= 0 else None


def __getattr__(name):
    line = entry(CLASSES, name[:-5])
    if not line or name[-5:] != "Error":
        raise AttributeError(name)
    base, remedy = line
    base = (base or "TLS") + "Error"
    base = globals().get(base) or __getattr__(base)
    globals()[name] = kind = type(name, (base,), {"remedy": remedy} if remedy else {})
    return kind


TrustStoreError = __getattr__("TrustStoreError")


class TrustStoreMissingError(TrustStoreError):
    def __init__(self, path, cause=None):
        super().__init__("there is no trust store at %s" % path, None, cause)


class TrustStoreDamagedError(TrustStoreError):
    def __init__(self, path, fault):
        super().__init__("the trust store %s cannot be used: %s" % (path, fault))


class TrustStoreExpiredError(TrustStoreError):
    def __init__(self, path):
        super().__init__("the trust store %s is past its not-used-after date" % path)
