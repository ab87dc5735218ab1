"""What failed, and what to do: the one place, with codes.py, alerts.py and refusals.py, that knows Mbed TLS's numbers
and texts.

Imported when something fails, and let go of when that has its words. Every function returns the exception to raise.
Nothing here remembers anything; the classes of the exceptions, which programs compare, stay in errors.py.
"""

import errno

from micropython import const
from rootlet import errors, forget
from rootlet.errors import TLSError

_UNKNOWN_CA = const(0x7680)  # MBEDTLS_ERR_SSL_CA_CHAIN_REQUIRED
_FATAL_ALERT = const(0x7780)  # MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE
_LATE_REFUSAL = const(". Or, with TLS 1.3, the server refuses or misses a client certificate: see client_cert")

_ENOMEM = const(12)
_ALLOC_FAILED = const(b"\x51\x7f\x9b\xa3\xc3\xfe")  # of X.509, PK, ECP, MD, CIPHER, SSL; without their last 7 bits
_ALLOC_FAILED_LOW = const(b"\x10\x6a")  # of big numbers, ASN.1


def from_handshake(error, handshake, host):
    """The exception for a handshake that failed with `error`."""
    context = handshake.context  # None: it is over
    handshake.credentials = context and context.credentials
    if context and (handshake.issuers or handshake._issuers_known):
        try:
            from rootlet.refusals import note_issuers

            note_issuers(handshake)
        except Exception as failure:
            handshake.observer.error = failure
    found = _from_handshake(error, handshake, host)
    # What judged the chain, too: a handshake that fails has no other place to let go of it.
    forget("judging", "policy", "certificate", "der", "names", "addresses", "constraints", "webpki", "rules")
    forget("handshake", "flight", "store", "anchor", "civil", "diagnosis", "codes", "alerts", "refusals")
    return found


def from_beginning(error, host):
    """The exception for `error`, which came before there was a handshake."""
    found = error
    if not isinstance(error, TLSError):
        if _is_want_of_memory(error):
            found = no_memory("not enough memory for the handshake with %s" % host, error)
        elif isinstance(error, (ImportError, AttributeError)) and str(error)[:9] == "no module":
            found = errors.UnsupportedError(str(error), "Bring all of rootlet to the board again", error)
    forget("beginning", "settings", "clock", "names", "addresses", "dial", "handshake", "diagnosis")
    return found


def _from_handshake(error, handshake, host):
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
            return no_memory("not enough memory for the handshake with " + host, failure)
    if observer.error is not None:
        return _broken(observer, "during the handshake with " + host)
    refusal = observer.refusal
    if isinstance(refusal, bytes):
        from rootlet.codes import from_record

        return from_record(refusal, host, error)
    if refusal is not None:
        return errors.HandshakeError(
            "%s was refused: %s" % (host, refusal), "Let the server send its chain only", error
        )
    violation = policy and policy.violation
    if violation:
        from rootlet.refusals import from_violation

        return from_violation(violation, handshake, host, error)
    if isinstance(error, ValueError):
        from rootlet.refusals import from_verify_info

        return from_verify_info(str(error), handshake, host, error)
    if not isinstance(error, OSError):
        return error  # KeyboardInterrupt and its like, or a fault in a program
    code = _code(error)
    if code == _FATAL_ALERT:
        from rootlet.alerts import from_alert

        return from_alert(observer.alert, handshake, host, error)
    if code == _UNKNOWN_CA:
        from rootlet.refusals import unknown_issuer

        return unknown_issuer(handshake, host, error)
    from rootlet.codes import from_code

    return from_code(code, host, error)


def no_memory(message, error):
    """The exception for want of memory during a handshake."""
    remedy = "Free memory first: gc.collect, fewer modules, smaller buffers, frozen code"
    return errors.HandshakeError(message, remedy, error)


def _code(error):
    """The positive form of Mbed TLS's negative number in `error`; negative or 0 for what is none."""
    number = error.errno
    return -number if isinstance(number, int) else 0


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
    forget("diagnosis")
    return (errors.DeadlineError if late else errors.ConnectError)(message, remedy, error)


def from_transport(error, when):
    """The exception for `error`, which the transport raised."""
    found = _from_transport(error, when)
    forget("diagnosis")
    return found


def _from_transport(error, when):
    if isinstance(error, TLSError) or not isinstance(error, Exception):
        return error  # ours already; KeyboardInterrupt and its like are nobody's to change
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ETIMEDOUT:
        return errors.DeadlineError("no answer in time " + when, None, error)
    if str(error) == "invalid cert":  # MicroPython's word when Mbed TLS cannot read what it shall trust
        message = "this firmware cannot load the trust anchor: invalid cert"
        remedy = "If memory is short, free some; else use one whose module tls reads DER and knows the key's curve"
        return errors.UnsupportedError(message, remedy, error)
    if number is None:
        return errors.HandshakeError("%s failed %s: %s" % (type(error).__name__, when, error), None, error)
    return errors.ConnectError("the connection broke %s%s" % (when, _errno_name(number)), "Try again", error)


def _broken(observer, when):
    error = _from_transport(observer.error, when)
    if observer.encrypted and isinstance(error, errors.ConnectError):
        error.remedy += _LATE_REFUSAL
    return error


def _errno_name(number):
    return " (%s)" % errno.errorcode.get(number, "error %s" % number)


def from_stream(error, observer, host):
    """The exception for `error`, which reading or writing an established connection raised."""
    error = _from_stream(error, observer, host)
    forget("diagnosis", "codes")
    journal = getattr(observer, "journal", None)  # of a trace
    return error if journal is None else journal.failed(error)


def _from_stream(error, observer, host):
    if isinstance(error, TLSError):
        return error
    late = _LATE_REFUSAL if observer.encrypted else ""
    if observer.error is not None:
        return _broken(observer, "while talking to " + host)
    if not isinstance(error, OSError):
        return error
    code = _code(error)
    kind = TLSError
    what = "lost the connection"
    remedy = "Connect again"
    if code == _FATAL_ALERT:
        what = "ended the connection with an alert"
        remedy += late
    elif code > 0:
        from rootlet.codes import failure

        known = failure(code)
        if known:
            what = known[1]
            if known[0] == "NotTLS":
                kind = errors.NotTLSError
    if code > 0:
        what += " (Mbed TLS error -0x%04x)" % code
    return kind("%s %s" % (host, what), remedy, error)
