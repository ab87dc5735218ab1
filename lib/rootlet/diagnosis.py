"""What failed, and what to do: the one place that knows Mbed TLS's numbers and texts.

Imported when something fails. Every function returns the exception to raise.
"""

import errno

from micropython import const

from . import errors
from .errors import TLSError, entry

# The tables are read by `entry`: one line an entry, fields between bars. One string takes half the room of a table of
# strings.

# Mbed TLS 3.6, ssl.h: number, class of the exception ("" is Handshake), what the server did.
_FAILURES = const(
    """
2700|Certificate|has a certificate chain that was refused
3000|Certificate|has a chain of more than eight intermediate certificates
4c80||sent a public key that is none
4e80||sent a public key on a curve that this firmware does not know
6600||sent a handshake message that breaks the protocol
6a00||sent a handshake message that does not fit into the buffers
6e00||and this board agree on no way to connect
6e80||and this board have no TLS version in common
7100||sent a parameter that is out of range
7180||sent a record that fails its integrity check
7200|NotTLS|sent something that is no TLS record
7280||closed the connection
7300||sent a handshake message that cannot be decoded
7700||sent an unexpected message
7880||closed the connection
7a00|Certificate|has a certificate whose key usage forbids this, or that cannot be read
"""
)
_UNKNOWN_CA = const(0x7680)
_FATAL_ALERT = const(0x7780)

# RFC 8446, 6.2: number, name, what the server does.
_ALERTS = const(
    """
20|bad_record_mac|
40|handshake_failure|has no cipher suite in common with this board, or wants a client certificate
42|bad_certificate|
43|unsupported_certificate|
44|certificate_revoked|
45|certificate_expired|
46|certificate_unknown|
48|unknown_ca|does not know the issuer of this board's client certificate
49|access_denied|refuses this board
51|decrypt_error|finds a signature of this board wrong: check client_key
70|protocol_version|wants another TLS version than this firmware speaks
71|insufficient_security|wants stronger cipher suites than this firmware has
80|internal_error|has a fault of its own: try later
112|unrecognized_name|does not know this host name: check server_hostname
115|unknown_psk_identity|does not know this pre-shared key's identity
116|certificate_required|wants a client certificate: pass client_cert and client_key to the Context
"""
)
_BAD_PROOF = const((20, 51))  # the other side's Finished does not fit
_LATE_REFUSAL = const(". Or, with TLS 1.3, the server refuses or misses a client certificate: see client_cert")

# What mbedtls_x509_crt_verify_info says, class of the exception, what a certificate is. The first that matches names
# the class.
_REASONS = const(
    """
revoked|Certificate|is revoked
expected CN|Hostname|is not for this host name
starts in the future|NotYetValid|is not yet valid
has expired|Expired|has expired
not correctly signed|UnknownIssuer|is not signed by a trust anchor
unacceptable hash|Certificate|is signed with a weak hash
unacceptable PK|Certificate|is signed with a weak algorithm
unacceptable key|Certificate|has a weak key
keyUsage|Certificate|is used against its key usage"""
)

_FREE_MEMORY = const("Free memory first: gc.collect, fewer modules, smaller buffers, frozen code")
_ENOMEM = const(12)
_ALLOC_FAILED = const(b"\x51\x7f\x9b\xa3\xc3\xfe")  # of X.509, PK, ECP, MD, CIPHER, SSL; without their last 7 bits
_ALLOC_FAILED_LOW = const(b"\x10\x6a")  # of big numbers, ASN.1
_BAD_SIGNATURES = const((0x4E00, 0x4380, 0x4100))  # ECP_VERIFY_FAILED, RSA_VERIFY_FAILED, RSA_INVALID_PADDING
_SCARCE_BYTES = const(6000)


def from_handshake(error, handshake, host):
    """The exception for a handshake that failed with `error`."""
    observer = handshake.observer
    policy = handshake.policy
    interrupt = policy and policy.error
    if interrupt is not None and not isinstance(interrupt, Exception):
        return interrupt  # KeyboardInterrupt, which came while the chain was judged
    failure = getattr(handshake.credentials, "failure", None)
    if failure is not None:
        handshake.credentials.failure = None
        if not isinstance(failure, Exception):
            return failure
        return errors.HandshakeError(
            "%s demands a signature, and ecdsa_sign failed: %s" % (host, failure), "Look at the secure element", failure
        )
    for failure in (observer.error, interrupt, error):
        if _is_want_of_memory(failure):
            return errors.HandshakeError("not enough memory for the handshake with " + host, _FREE_MEMORY, failure)
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
        what = "sent a certificate that cannot be read"
    elif code <= 0:
        # The transport reported nothing, so a small positive number is a raw ASN.1 or big-number code
        # of Mbed TLS in errno's clothes (-0x0062 looks like EADDRINUSE).
        what = "sent something that cannot be parsed"
        code = -code
    elif code in _BAD_SIGNATURES or 0x4F80 <= code < 0x5000:  # MBEDTLS_ERR_ECP_BAD_INPUT_DATA and an ASN.1 code
        what = "could not prove that it has the key of its certificate"
    else:
        kind, what = _failure(code) or ("", "and this board could not complete the handshake")
    return _class(kind or "Handshake")("%s %s%s" % (host, what, _number(code)), None, error)


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
    if not -128 < code < 0x8000:
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
    remedy = "The server " + remedy if remedy else None
    if number is None:
        message = host + " ended the handshake with an alert" + _number(_FATAL_ALERT)
    elif asked and handshake.credentials is None:
        message = "%s demands a client certificate, and there is none (alert %s)" % (host, name)
        remedy = "The server " + entry(_ALERTS, 116)[1]
    elif number in _BAD_PROOF and not asked and handshake.credentials is not None:
        message = "%s has another pre-shared key for this identity (alert %s)" % (host, name)
        remedy = "Give both sides the same identity and key"
    else:
        message = "%s ended the handshake with the alert %s" % (host, name)
        if 42 <= number <= 46:
            remedy = "The server refuses this board's client certificate"
    alert = errors.AlertError(message, remedy, error)
    alert.alert = number
    return alert


def _from_violation(violation, handshake, host, error):
    rule, depth, text, source = violation
    if rule == "issuer-unknown":
        return _unknown_issuer(handshake, host, error)
    kind = "Hostname" if rule[:5] == "name-" else "Pin" if rule[:4] == "pin-" else "Policy"
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
    for line in _REASONS.split("\n")[1:]:
        text, name, words = line.split("|")
        if text in info:
            reasons.append("a certificate " + words)
            kind = kind or name
    if kind == "UnknownIssuer":
        return _unknown_issuer(handshake, host, error)
    reasons = reasons or info.strip().split("\n")
    message = "the certificate of %s was refused: %s" % (host, "; ".join(reasons))
    refused = _class(kind or "Certificate")(message, None, error)
    refused.reasons = tuple(reasons)
    return refused


def _unknown_issuer(handshake, host, error):
    remedy = None
    if handshake.loaded:
        free_bytes = handshake.free_bytes
        if free_bytes is not None and free_bytes < _SCARCE_BYTES:
            # Where Mbed TLS uses the Python heap it calls a signature wrong that it had no memory to check.
            message = "the chain of %s could not be checked: %d bytes of memory were free" % (host, free_bytes)
            return errors.HandshakeError(message, _FREE_MEMORY, error)
        if handshake.loaded[0][0]:
            message = host + " shows another certificate than the one that is trusted"
            remedy = "Ask the server's owner why; do not connect before you know"
        else:
            message = "the chain of %s names a known issuer, which did not sign it" % host
            remedy = "Do not connect: the chain is wrong or forged"
    elif handshake.missing is None:
        message = host + " sent no issuer that could be looked up"
    else:
        from .rules import printable_name

        message = "no trust store has the issuer of %s's chain, '%s'" % (host, printable_name(handshake.missing))
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
    if str(error) == "invalid cert":  # MicroPython's word when Mbed TLS cannot read what it shall trust
        message = "this firmware cannot load the trust anchor: invalid cert"
        return errors.UnsupportedError(message, "Use one whose module tls reads DER", error)
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
    kind, what = _failure(code) or ("", "lost the connection")
    remedy = "Connect again"
    if code == _FATAL_ALERT:
        what = "ended the connection with an alert"
        remedy += late
    if code > 0:
        what += _number(code)
    return (_class(kind) if kind == "NotTLS" else TLSError)("%s %s" % (host, what), remedy, error)
