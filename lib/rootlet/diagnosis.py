"""What failed, and what to do: the one place that knows Mbed TLS's numbers and texts.

Imported when something fails. Every function returns the exception to raise.
"""

from micropython import const

from .errors import (
    AlertError,
    CertificateError,
    ConnectError,
    DeadlineError,
    ExpiredError,
    HandshakeError,
    HostnameError,
    NotTLSError,
    NotYetValidError,
    PinError,
    PolicyError,
    TLSError,
    UnknownIssuerError,
)

# Mbed TLS: number, class, message. 3.6's headers; alerts: RFC 8446, 6.2.
_HANDSHAKE_FAILURES = {
    -0x2700: (CertificateError, "the server's certificate chain was refused"),
    -0x6600: (HandshakeError, "a handshake message breaks the protocol"),
    -0x6E00: (HandshakeError, "server and board have no TLS version in common"),
    -0x7000: (HandshakeError, "a handshake message does not fit into the buffers"),
    -0x7100: (HandshakeError, "a parameter is out of range"),
    -0x7180: (HandshakeError, "a record fails its integrity check"),
    -0x7200: (NotTLSError, "the server sent something that is no TLS record"),
    -0x7280: (HandshakeError, "the server closed the connection during the handshake"),
    -0x7300: (HandshakeError, "a handshake message cannot be decoded"),
    -0x7680: (UnknownIssuerError, "no trust anchor matches the server's chain"),
    -0x7700: (HandshakeError, "the server sent an unexpected message"),
    -0x7780: (AlertError, "the server ended the handshake with an alert"),
    -0x7880: (HandshakeError, "the server closed the connection during the handshake"),
    -0x7A00: (CertificateError, "the server's Certificate message cannot be read"),
}

_PASS_CERTIFICATE = "Pass client_cert and client_key to the Context"
_LATE_REFUSAL = ". With TLS 1.3 that is also how a server refuses or misses a client certificate: see client_cert"
_BAD_PROOF = (20, 51)  # the other side's Finished does not fit

_ALERTS = {
    20: ("bad_record_mac", None),
    40: (
        "handshake_failure",
        "Server and board have no cipher suite in common, or the server wants a client certificate",
    ),
    42: ("bad_certificate", "The server refuses this board's client certificate"),
    43: ("unsupported_certificate", "The server refuses this board's client certificate"),
    44: ("certificate_revoked", "The server refuses this board's client certificate"),
    45: ("certificate_expired", "The server refuses this board's client certificate"),
    46: ("certificate_unknown", "The server refuses this board's client certificate"),
    48: ("unknown_ca", "The server does not know the issuer of this board's client certificate"),
    49: ("access_denied", "The server refuses this board"),
    51: ("decrypt_error", "The server finds a signature of this board wrong: check client_key"),
    70: ("protocol_version", "The server wants another TLS version than this firmware speaks"),
    71: ("insufficient_security", "The server wants stronger cipher suites than this firmware has"),
    80: ("internal_error", "The server has a fault of its own: try later"),
    112: ("unrecognized_name", "The server does not know this host name: check server_hostname"),
    115: ("unknown_psk_identity", "The server does not know this pre-shared key's identity"),
    116: ("certificate_required", "The server wants a client certificate. " + _PASS_CERTIFICATE),
}

# What mbedtls_x509_crt_verify_info says, and ours. The first that matches names the class.
_REASONS = (
    ("revoked", CertificateError, "a certificate is revoked"),
    ("expected CN", HostnameError, "the certificate is not for this host name"),
    ("starts in the future", NotYetValidError, "a certificate is not yet valid"),
    ("has expired", ExpiredError, "a certificate has expired"),
    ("not correctly signed", UnknownIssuerError, "no trust anchor signed the server's chain"),
    ("unacceptable hash", CertificateError, "a certificate is signed with a weak hash"),
    ("unacceptable PK", CertificateError, "a certificate is signed with a weak algorithm"),
    ("unacceptable key", CertificateError, "a certificate has a weak key"),
    ("keyUsage", CertificateError, "a certificate is used against its key usage"),
)

_ENOMEM = const(12)
_ALLOC_FAILED = (0x2880, 0x3F80, 0x4D80, 0x5180, 0x6180, 0x7F00)  # X.509, PK, ECP, MD, CIPHER, SSL
_ALLOC_FAILED_LOW = (0x10, 0x6A)  # big numbers, ASN.1
_BAD_SIGNATURES = (-0x4E00, -0x4380, -0x4100)  # ECP_VERIFY_FAILED, RSA_VERIFY_FAILED, RSA_INVALID_PADDING
_SCARCE_BYTES = const(6000)


def common_name(name):
    """The readable part of a Name (DER bytes): its common name, else its last text; '?' if there is none."""
    from .rules import printable_name

    return printable_name(name)


def from_handshake(error, handshake, host):
    """The exception for a handshake that failed with `error`."""
    observer = handshake.observer
    interrupt = handshake.policy and handshake.policy.error
    if interrupt is not None and not isinstance(interrupt, Exception):
        return interrupt  # KeyboardInterrupt, which came while the chain was judged
    for failure in (observer.error, interrupt, error):
        if _is_want_of_memory(failure):
            return HandshakeError(
                "not enough memory for the handshake with %s" % host, "Free memory first (gc.collect)", failure
            )
    if observer.error is not None:
        return from_transport(observer.error, "during the handshake with %s" % host)
    if observer.refusal is not None:
        if isinstance(observer.refusal, bytes):
            return _not_tls(observer.refusal, host, error)
        return HandshakeError(
            "%s was refused: %s" % (host, observer.refusal), "Let the server send its chain only", error
        )
    if handshake.policy is not None and handshake.policy.violation:
        return _from_violation(handshake, host, error)
    if isinstance(error, ValueError):
        return _from_verify_info(str(error), handshake, host, error)
    if not isinstance(error, OSError):
        return error  # KeyboardInterrupt and its like, or a fault in a program
    number = error.errno
    if isinstance(number, int) and (-0x3000 < number <= -0x2000 or -0x4000 < number <= -0x3900):
        # MBEDTLS_ERR_X509_* and MBEDTLS_ERR_PK_*, with a low-level code added or without.
        return CertificateError(
            "%s sent a certificate that cannot be read (Mbed TLS error -0x%04x)" % (host, -number), cause=error
        )
    if not isinstance(number, int) or number >= 0:
        # The transport reported nothing, so a small positive number is a raw ASN.1 or big-number code
        # of Mbed TLS in errno's clothes (-0x0062 looks like EADDRINUSE).
        return CertificateError(
            "%s sent something that cannot be parsed (Mbed TLS error -0x%04x)" % (host, number or 0), cause=error
        )
    if number == -0x7780 and observer.alert is not None:
        text, remedy = _ALERTS.get(observer.alert, ("number %d" % observer.alert, None))
        message = "%s ended the handshake with the alert %s" % (host, text)
        if handshake.credentials is None:
            if observer.certificate_requested:
                message = "%s demands a client certificate, and there is none (alert %s)" % (host, text)
                remedy = _PASS_CERTIFICATE
        elif observer.alert in _BAD_PROOF and not observer.certificate_requested:
            message = "%s has another pre-shared key for this identity (alert %s)" % (host, text)
            remedy = "Give both sides the same identity and key"
        alert = AlertError(message, remedy, error)
        alert.alert = observer.alert
        return alert
    if number in _BAD_SIGNATURES or -0x5000 < number <= -0x4F80:  # MBEDTLS_ERR_ECP_BAD_INPUT_DATA and an ASN.1 code
        return CertificateError(
            "%s could not prove that it has the key of its certificate (Mbed TLS error -0x%04x)" % (host, -number),
            cause=error,
        )
    kind, message = _HANDSHAKE_FAILURES.get(number, (HandshakeError, "the handshake failed"))
    if kind is UnknownIssuerError:
        return _unknown_issuer(handshake, host, error)
    return kind("%s: %s (Mbed TLS error -0x%04x)" % (host, message, -number), cause=error)


def _is_want_of_memory(error):
    if isinstance(error, MemoryError):
        return True
    number = error.errno if isinstance(error, OSError) else None
    if number == _ENOMEM:
        return True
    if not isinstance(number, int) or number > 127:
        return False
    # Mbed TLS adds a low-level code, below 0x80, to a high-level one. A low-level one alone comes as a positive number.
    number = abs(number)
    return number & 0x7F in _ALLOC_FAILED_LOW or number & ~0x7F in _ALLOC_FAILED


def _not_tls(first, host, error):
    if first[:5] == b"HTTP/":
        return NotTLSError("%s answered in plain HTTP" % host, "Use the HTTPS port, usually 443", error)
    return NotTLSError("%s sent something that is no TLS record (it begins with %s)" % (host, first), cause=error)


def _from_violation(handshake, host, error):
    rule, depth, text, source = handshake.policy.violation
    if rule == "issuer-unknown":
        return _unknown_issuer(handshake, host, error)
    kind = {"name": HostnameError, "pin": PinError}.get(rule.split("-")[0], PolicyError)
    refused = kind("%s: %s%s" % (host, text, " (%s)" % source if source else ""), cause=error)
    refused.rule = rule
    refused.depth = depth
    if kind is PinError:
        refused.seen = handshake.policy.seen
        refused.message += "; seen: " + ", ".join(refused.seen)
    return refused


def _from_verify_info(info, handshake, host, error):
    reasons = []
    kind = None
    for text, reason_kind, words in _REASONS:
        if text in info:
            reasons.append(words)
            kind = kind or reason_kind
    if kind is UnknownIssuerError:
        return _unknown_issuer(handshake, host, error)
    if not reasons:
        reasons = [line for line in info.split("\n") if line]
    message = "the certificate of %s was refused: %s" % (host, "; ".join(reasons))
    return (kind or CertificateError)(message, None, error, tuple(reasons))


def _unknown_issuer(handshake, host, error):
    loader = handshake.loader
    if loader.loaded and handshake.free_bytes is not None and handshake.free_bytes < _SCARCE_BYTES:
        # Where Mbed TLS uses the Python heap it calls a signature wrong that it had no memory to check.
        message = "the chain of %s could not be checked: %d bytes of memory were free" % (host, handshake.free_bytes)
        return HandshakeError(message, "Free memory first: fewer modules, smaller buffers, frozen code", error)
    if loader.loaded and loader.loaded[0].exact:
        message = "%s shows another certificate than the one that is trusted" % host
        return UnknownIssuerError(message, "Ask the server's owner why; do not connect before you know", error)
    if loader.loaded:
        message = "the chain of %s names a known issuer, which did not sign it" % host
        return UnknownIssuerError(message, "Do not connect: the chain is wrong or forged", error)
    if loader.missing is None:
        message = "%s sent no issuer that could be looked up" % host
    else:
        message = "no trust store has the issuer of %s's chain, '%s'" % (host, common_name(loader.missing))
    return UnknownIssuerError(message, None, error)


def from_dial(error, address, port):
    """The exception for `error`, which dialling raised."""
    if isinstance(error, TLSError):
        return error
    from errno import ECONNREFUSED, ETIMEDOUT

    number = error.errno
    if hasattr(error, "words"):  # of a modem: it knows better
        kind = DeadlineError if number == ETIMEDOUT else ConnectError
        return kind(error.words, "Check modem, SIM and signal", error)
    if number == ETIMEDOUT:
        return DeadlineError("%s port %d does not answer in time" % (address, port), None, error)
    if number == ECONNREFUSED:
        return ConnectError("%s refuses connections to port %d" % (address, port), None, error)
    return ConnectError("%s port %d cannot be reached (%s)" % (address, port, _errno_name(number)), None, error)


def from_transport(error, when):
    """The exception for `error`, which the transport raised."""
    if isinstance(error, TLSError) or not isinstance(error, Exception):
        return error  # ours already; KeyboardInterrupt and its like are nobody's to change
    from errno import ETIMEDOUT

    number = error.errno if isinstance(error, OSError) else None
    if number == ETIMEDOUT:
        return DeadlineError("no answer in time %s" % when, None, error)
    if number is None:
        return HandshakeError("%s failed %s: %s" % (type(error).__name__, when, error), None, error)
    return ConnectError("the connection broke %s (%s)" % (when, _errno_name(number)), "Try again", error)


def _errno_name(number):
    from errno import errorcode

    return errorcode.get(number, "error %s" % number)


def from_stream(error, observer, host):
    """The exception for `error`, which reading or writing an established connection raised."""
    error = _from_stream(error, observer, host)
    journal = getattr(observer, "journal", None)  # of a trace
    return error if journal is None else journal.failed(error)


def _from_stream(error, observer, host):
    if isinstance(error, TLSError):
        return error
    if observer.error is not None:
        error = from_transport(observer.error, "while talking to %s" % host)
        if isinstance(error, ConnectError) and observer.encrypted:
            error.remedy += _LATE_REFUSAL
        return error
    if not isinstance(error, OSError):
        return error
    number = error.errno
    kind, message = _HANDSHAKE_FAILURES.get(number, (None, None))
    if kind is None or number == -0x7780:
        kind, message = (
            TLSError,
            "the server ended the connection with an alert" if number == -0x7780 else "the connection failed",
        )
    if isinstance(number, int) and number < 0:
        message += " (Mbed TLS error -0x%04x)" % -number
    remedy = "Connect again"
    if number == -0x7780 and observer.encrypted:
        remedy += _LATE_REFUSAL
    return (TLSError if kind is not NotTLSError else kind)("%s: %s" % (host, message), remedy, error)
