"""Mbed TLS's numbers in words. Loaded when a handshake or a connection ended with one that says why."""

from micropython import const
from rootlet import errors

# Mbed TLS 3.6, ssl.h: number, class of the exception ("" is Handshake), what the server did. Read by errors.entry.
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
_BAD_SIGNATURES = const((0x4E00, 0x4380, 0x4100))  # ECP_VERIFY_FAILED, RSA_VERIFY_FAILED, RSA_INVALID_PADDING


def failure(code):
    """[class of the exception without "Error", what the server did] for `code`, a positive number; None if unknown."""
    return errors.entry(_FAILURES, "%04x" % code)


def from_code(code, host, error):
    """The exception for a handshake that Mbed TLS ended with `error`, an OSError. `code`: the positive form of Mbed
    TLS's number in it, negative or 0 for a number that looks like the system's."""
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
        kind, what = failure(code) or ("", "and this board could not complete the handshake")
    return getattr(errors, (kind or "Handshake") + "Error")(
        "%s %s (Mbed TLS error -0x%04x)" % (host, what, code), None, error
    )


def from_record(first, host, error):
    """The exception for a server whose first bytes, `first`, begin no TLS record."""
    if first[:5] == b"HTTP/":
        return errors.NotTLSError(host + " answered in plain HTTP", "Use the HTTPS port, usually 443", error)
    return errors.NotTLSError(
        "%s sent something that is no TLS record (it begins with %s)" % (host, first), None, error
    )
