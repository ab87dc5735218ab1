"""What failed, and what to do: the one place that knows Mbed TLS's numbers and texts.

Imported when something fails. Every function returns the exception to raise.
"""

import errno

from micropython import const

from . import errors
from .errors import TLSError, entry

# The tables are read by `entry`: one line an entry, fields between bars. One string takes half the room of a table of
# strings.

# Mbed TLS 3.6, ssl.h: number, class of the exception ("" is Handshake), what it means.
_FAILURES = """
2700|Certificate|the server's certificate chain was refused
6600||a handshake message breaks the protocol
6e00||server and board have no TLS version in common
7000||a handshake message does not fit into the buffers
7100||a parameter is out of range
7180||a record fails its integrity check
7200|NotTLS|the server sent something that is no TLS record
7280||the server closed the connection during the handshake
7300||a handshake message cannot be decoded
7700||the server sent an unexpected message
7880||the server closed the connection during the handshake
7a00|Certificate|the server's Certificate message cannot be read
"""
_UNKNOWN_CA = const(0x7680)
_FATAL_ALERT = const(0x7780)

# RFC 8446, 6.2: number, name, remedy.
_ALERTS = """
20|bad_record_mac|
40|handshake_failure|Server and board have no cipher suite in common, or the server wants a client certificate
42|bad_certificate|
43|unsupported_certificate|
44|certificate_revoked|
45|certificate_expired|
46|certificate_unknown|
48|unknown_ca|The server does not know the issuer of this board's client certificate
49|access_denied|The server refuses this board
51|decrypt_error|The server finds a signature of this board wrong: check client_key
70|protocol_version|The server wants another TLS version than this firmware speaks
71|insufficient_security|The server wants stronger cipher suites than this firmware has
80|internal_error|The server has a fault of its own: try later
112|unrecognized_name|The server does not know this host name: check server_hostname
115|unknown_psk_identity|The server does not know this pre-shared key's identity
116|certificate_required|The server wants a client certificate. Pass client_cert and client_key to the Context
"""
_BAD_PROOF = (20, 51)  # the other side's Finished does not fit
_PASS_CERTIFICATE = "Pass client_cert and client_key to the Context"
_LATE_REFUSAL = ". With TLS 1.3 that is also how a server refuses or misses a client certificate: see client_cert"

# What mbedtls_x509_crt_verify_info says, class of the exception, what it means. The first that matches names the class.
_REASONS = """
revoked|Certificate|a certificate is revoked
expected CN|Hostname|the certificate is not for this host name
starts in the future|NotYetValid|a certificate is not yet valid
has expired|Expired|a certificate has expired
not correctly signed|UnknownIssuer|no trust anchor signed the server's chain
unacceptable hash|Certificate|a certificate is signed with a weak hash
unacceptable PK|Certificate|a certificate is signed with a weak algorithm
unacceptable key|Certificate|a certificate has a weak key
keyUsage|Certificate|a certificate is used against its key usage
"""

_ENOMEM = const(12)
_ALLOC_FAILED = b"\x51\x7f\x9b\xa3\xc3\xfe"  # of X.509, PK, ECP, MD, CIPHER, SSL: 0x2880, 0x3F80, … without 7 bits
_ALLOC_FAILED_LOW = b"\x10\x6a"  # of big numbers, ASN.1
_BAD_SIGNATURES = (0x4E00, 0x4380, 0x4100)  # ECP_VERIFY_FAILED, RSA_VERIFY_FAILED, RSA_INVALID_PADDING
_SCARCE_BYTES = const(6000)


def from_handshake(error, handshake, host):
    """The exception for a handshake that failed with `error`."""
    observer = handshake.observer
    policy = handshake.policy
    interrupt = policy and policy.error
    if interrupt is not None and not isinstance(interrupt, Exception):
        return interrupt  # KeyboardInterrupt, which came while the chain was judged
    for failure in (observer.error, interrupt, error):
        if _is_want_of_memory(failure):
            return errors.HandshakeError(
                "not enough memory for the handshake with " + host, "Free memory first (gc.collect)", failure
            )
    if observer.error is not None:
        return from_transport(observer.error, "during the handshake with " + host)
    refusal = observer.refusal
    if isinstance(refusal, bytes):
        return _not_tls(refusal, host, error)
    if refusal is not None:
        return errors.HandshakeError(
            "%s was refused: %s" % (host, refusal), "Let the server send its chain only", error
        )
    violation = policy and policy.violation
    if violation:
        return _from_violation(violation, handshake, host, error)
    if isinstance(error, ValueError):
        return _from_verify_info(str(error), handshake, host, error)
    if not isinstance(error, OSError):
        return error  # KeyboardInterrupt and its like, or a fault in a program
    code = _code(error)
    if code == _FATAL_ALERT:
        return _from_alert(observer.alert, handshake, host, error)
    if code == _UNKNOWN_CA:
        return _unknown_issuer(handshake, host, error)
    kind = "Certificate"
    if 0x2000 <= code < 0x3000 or 0x3900 <= code < 0x4000:
        # MBEDTLS_ERR_X509_* and MBEDTLS_ERR_PK_*, with a low-level code added or without.
        what = " sent a certificate that cannot be read"
    elif code <= 0:
        # The transport reported nothing, so a small positive number is a raw ASN.1 or big-number code
        # of Mbed TLS in errno's clothes (-0x0062 looks like EADDRINUSE).
        what = " sent something that cannot be parsed"
        code = -code
    elif code in _BAD_SIGNATURES or 0x4F80 <= code < 0x5000:  # MBEDTLS_ERR_ECP_BAD_INPUT_DATA and an ASN.1 code
        what = " could not prove that it has the key of its certificate"
    else:
        kind, what = _failure(code) or ("", "the handshake failed")
        what = ": " + what
    return _class(kind or "Handshake")(host + what + _number(code), None, error)


def _class(name):
    return getattr(errors, name + "Error")


def _code(error):
    """The positive form of Mbed TLS's negative number in `error`; negative or 0 for what is none."""
    number = error.errno
    return -number if isinstance(number, int) else 0


def _number(code):
    return " (Mbed TLS error -0x%04x)" % code


def _failure(code):
    return entry(_FAILURES, "%04x" % code)


def _is_want_of_memory(error):
    if not isinstance(error, OSError):
        return isinstance(error, MemoryError)
    # Mbed TLS adds a low-level code, below 0x80, to a high-level one. A low-level one alone comes as a positive number.
    code = _code(error)
    if code < -127:
        return False
    if code == -_ENOMEM:
        return True
    code = abs(code)
    return code & 0x7F in _ALLOC_FAILED_LOW or code >> 7 in _ALLOC_FAILED


def _not_tls(first, host, error):
    if first[:5] == b"HTTP/":
        return errors.NotTLSError(host + " answered in plain HTTP", "Use the HTTPS port, usually 443", error)
    return errors.NotTLSError(
        "%s sent something that is no TLS record (it begins with %s)" % (host, first), None, error
    )


def _from_alert(number, handshake, host, error):
    asked = handshake.observer.certificate_requested
    name, remedy = entry(_ALERTS, number) or ("number %s" % number, "")
    if number is None:
        message = host + " ended the handshake with an alert" + _number(_FATAL_ALERT)
    elif asked and handshake.credentials is None:
        message = "%s demands a client certificate, and there is none (alert %s)" % (host, name)
        remedy = _PASS_CERTIFICATE
    elif number in _BAD_PROOF and not asked and handshake.credentials is not None:
        message = "%s has another pre-shared key for this identity (alert %s)" % (host, name)
        remedy = "Give both sides the same identity and key"
    else:
        message = "%s ended the handshake with the alert %s" % (host, name)
        if 42 <= number <= 46:
            remedy = "The server refuses this board's client certificate"
    alert = errors.AlertError(message, remedy or None, error)
    alert.alert = number
    return alert


def _from_violation(violation, handshake, host, error):
    rule, depth, text, source = violation
    if rule == "issuer-unknown":
        return _unknown_issuer(handshake, host, error)
    kind = {"name": "Hostname", "pin": "Pin"}.get(rule.split("-")[0], "Policy")
    refused = _class(kind)("%s: %s%s" % (host, text, " (%s)" % source if source else ""), None, error)
    refused.rule = rule
    refused.depth = depth
    if kind == "Pin":
        refused.seen = handshake.policy.seen
        refused.message += "; seen: " + ", ".join(refused.seen)
    return refused


def _from_verify_info(info, handshake, host, error):
    reasons = []
    kind = None
    for line in _REASONS.strip().split("\n"):
        text, name, words = line.split("|")
        if text in info:
            reasons.append(words)
            kind = kind or name
    if kind == "UnknownIssuer":
        return _unknown_issuer(handshake, host, error)
    reasons = reasons or [line for line in info.split("\n") if line]
    message = "the certificate of %s was refused: %s" % (host, "; ".join(reasons))
    refused = _class(kind or "Certificate")(message, None, error)
    refused.reasons = tuple(reasons)
    return refused


def _unknown_issuer(handshake, host, error):
    loader = handshake.loader
    remedy = None
    if loader.loaded:
        free_bytes = handshake.free_bytes
        if free_bytes is not None and free_bytes < _SCARCE_BYTES:
            # Where Mbed TLS uses the Python heap it calls a signature wrong that it had no memory to check.
            message = "the chain of %s could not be checked: %d bytes of memory were free" % (host, free_bytes)
            return errors.HandshakeError(
                message, "Free memory first: fewer modules, smaller buffers, frozen code", error
            )
        if loader.loaded[0].exact:
            message = host + " shows another certificate than the one that is trusted"
            remedy = "Ask the server's owner why; do not connect before you know"
        else:
            message = "the chain of %s names a known issuer, which did not sign it" % host
            remedy = "Do not connect: the chain is wrong or forged"
    elif loader.missing is None:
        message = host + " sent no issuer that could be looked up"
    else:
        from .rules import printable_name

        message = "no trust store has the issuer of %s's chain, '%s'" % (host, printable_name(loader.missing))
    return errors.UnknownIssuerError(message, remedy, error)


def from_dial(error, address, port):
    """The exception for `error`, which dialling raised."""
    if isinstance(error, TLSError):
        return error
    number = error.errno
    late = number == errno.ETIMEDOUT
    remedy = None
    if hasattr(error, "words"):  # of a modem: it knows better
        message = error.words
        remedy = "Check modem, SIM and signal"
    else:
        what = "%s port %d does not answer in time"
        if number == errno.ECONNREFUSED:
            what = "%s refuses connections to port %d"
        elif not late:
            what = "%s port %d cannot be reached" + _errno_name(number)
        message = what % (address, port)
    return (errors.DeadlineError if late else errors.ConnectError)(message, remedy, error)


def from_transport(error, when):
    """The exception for `error`, which the transport raised."""
    if isinstance(error, TLSError) or not isinstance(error, Exception):
        return error  # ours already; KeyboardInterrupt and its like are nobody's to change
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ETIMEDOUT:
        return errors.DeadlineError("no answer in time " + when, None, error)
    if number is None:
        return errors.HandshakeError("%s failed %s: %s" % (type(error).__name__, when, error), None, error)
    return errors.ConnectError("the connection broke %s%s" % (when, _errno_name(number)), "Try again", error)


def _errno_name(number):
    return " (%s)" % errno.errorcode.get(number, "error %s" % number)


def from_stream(error, observer, host):
    """The exception for `error`, which reading or writing an established connection raised."""
    error = _from_stream(error, observer, host)
    journal = getattr(observer, "journal", None)  # of a trace
    return error if journal is None else journal.failed(error)


def _from_stream(error, observer, host):
    if isinstance(error, TLSError):
        return error
    late = _LATE_REFUSAL if observer.encrypted else ""
    if observer.error is not None:
        error = from_transport(observer.error, "while talking to " + host)
        if isinstance(error, errors.ConnectError):
            error.remedy += late
        return error
    if not isinstance(error, OSError):
        return error
    code = _code(error)
    kind, message = _failure(code) or ("", "the connection failed")
    remedy = "Connect again"
    if code == _FATAL_ALERT:
        message = "the server ended the connection with an alert"
        remedy += late
    if code > 0:
        message += _number(code)
    return (_class(kind) if kind == "NotTLS" else TLSError)("%s: %s" % (host, message), remedy, error)
