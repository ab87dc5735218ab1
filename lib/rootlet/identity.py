"""The board's own certificate and key, for servers that demand one (mutual TLS). Imported only when they are given."""

import tls

from micropython import const

from .certificate import Certificate
from .der import DerError, Reader
from .pem import certificates, decode

_INTEGER = const(0x02)
_BIT_STRING = const(0x03)
_OCTET_STRING = const(0x04)
_OID = const(0x06)
_SEQUENCE = const(0x30)
_PARAMETERS = const(0xA0)
_PUBLIC_KEY = const(0xA1)

_RSA = const(b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01")  # RFC 8017, C
_EC = const(b"\x2a\x86\x48\xce\x3d\x02\x01")  # RFC 5480, 2.1.1

_LABELS = const((b"PRIVATE KEY", b"EC PRIVATE KEY", b"RSA PRIVATE KEY"))


class Identity:
    """`certificate`: the board's, then those above it, PEM or DER; `key`: EC or RSA, PEM or DER, PKCS #8, SEC 1 or
    PKCS #1. Both are bytes or the path of a file. Without `key` it is in `certificate`, too.

    `ecdsa_sign` is called with (private number of the key, hash) to sign in a secure element, and returns the DER of an
    ECDSA signature, or None to let the firmware sign with the key; `key` then is the element's reference to the key,
    in the form of one.

    What `ecdsa_sign` raises ends the handshake and is the cause of its HandshakeError.

    Raises ConfigError if anything is wrong with them, above all if they do not belong together: a server would only say
    that it refuses the handshake. UnsupportedError for `ecdsa_sign` on firmware without it.
    """

    failure = None  # what `ecdsa_sign` raised

    def __init__(self, certificate, key=None, ecdsa_sign=None):
        if certificate is None:
            _refuse("client_key was given without client_cert", "Pass both")
        certificate = _content(certificate)
        self._ecdsa_sign = ecdsa_sign
        try:
            self._chain = certificates(certificate)
        except ValueError as error:
            _refuse("client_cert cannot be used: %s" % error, "Give the board's certificate, PEM or DER", error)
        self._key, public = _read_key(certificate if key is None else _content(key))
        # A reference to a key need not say which public key it means.
        if public is not None or ecdsa_sign is None:
            _check_pair(self._chain[0], public)
        context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        try:
            if ecdsa_sign is not None and not hasattr(context, "ecdsa_sign_callback"):
                from .errors import UnsupportedError

                raise UnsupportedError(
                    "this firmware cannot sign with a secure element (tls.SSLContext has no ecdsa_sign_callback)",
                    "Build MicroPython with MICROPY_PY_SSL_ECDSA_SIGN_ALT=1, or keep the key in a file",
                )
            self.install(context)
        except ValueError as error:
            _refuse("this firmware cannot read client_cert or client_key (%s)" % error, "Use a P-256 key", error)
        finally:
            if hasattr(context, "__del__"):
                context.__del__()

    def install(self, context):
        """Loads both into a tls.SSLContext."""
        if self._ecdsa_sign is not None:
            context.ecdsa_sign_callback = self._sign
        for der in self._chain:
            # Appends: Mbed TLS sends all that were loaded. The key is read again each time, which works everywhere when
            # it comes without PKCS #8 around it: for that form mbedtls_pk_parse_key clears what was there before only
            # where PKCS #5 or PKCS #12 are compiled in.
            context.load_cert_chain(der, self._key)

    def _sign(self, number, digest):
        # MicroPython would print what this raises, and say no more than that something failed.
        try:
            signature = self._ecdsa_sign(number, digest)
            return None if signature is None else bytes(signature)
        except BaseException as error:
            self.failure = error
            return b""  # which no server takes for a signature


def _content(given):
    if isinstance(given, str):
        try:
            with open(given, "rb") as file:
                return file.read()
        except OSError as error:
            _refuse("%s cannot be read (%s)" % (given, error), "Check the path", error)
    if not isinstance(given, (bytes, bytearray, memoryview)):
        _refuse("client_cert or client_key is neither a path nor bytes", "Pass PEM or DER")
    return bytes(given)


def _read_key(data):
    """(key without PKCS #8 around it, its public part or None) from PEM or DER.

    The public part of an RSA key is (modulus,), of an EC key (curve's OID, point).
    """
    hint = "Give an EC or RSA private key, PEM or DER"
    if b"-----BEGIN " in data:
        if b"-----BEGIN ENCRYPTED " in data or b"Proc-Type: 4,ENCRYPTED" in data:
            _refuse_encrypted()
        for label in _LABELS:
            if b"-----BEGIN " + label + b"-----" in data:
                try:
                    data = decode(data, label)[0]
                except ValueError as error:
                    _refuse("client_key cannot be used: %s" % error, hint, error)
                break
        else:
            _refuse("there is no private key in client_key", hint)
    try:
        return _parse(data)
    except DerError as error:
        _refuse("client_key is no private key, or is damaged", hint, error)


def _parse(data):
    reader = Reader(data)
    limit = len(data)
    at = reader.enter(_SEQUENCE, 0, limit)
    if reader.end != limit:
        raise DerError
    if reader.read(at, limit) == _SEQUENCE:
        _refuse_encrypted()  # EncryptedPrivateKeyInfo begins with its algorithm: RFC 5958, 3
    if reader.tag != _INTEGER:
        raise DerError
    at = reader.end
    tag = reader.read(at, limit)
    if tag == _INTEGER:  # PKCS #1: version, modulus, …: RFC 8017, A.1.2
        return data, (data[reader.start : reader.end],)
    if tag == _OCTET_STRING:  # SEC 1, C.4 (RFC 5915, 3): version, private key, [0] curve, [1] public key
        curve = public = None
        at = reader.end
        while at < limit:
            tag = reader.read(at, limit)
            start, at = reader.start, reader.end
            if tag == _PARAMETERS:
                curve = data[start:at]
            elif tag == _PUBLIC_KEY:
                start = reader.enter(_BIT_STRING, start, at)
                public = data[start + 1 : reader.end]
        return data, None if public is None else (curve, public)
    if tag != _SEQUENCE:
        raise DerError
    # PKCS #8: version, algorithm, key: RFC 5958, 2
    algorithm_end = reader.end
    start = reader.enter(_OID, reader.start, algorithm_end)
    oid = data[start : reader.end]
    curve = data[reader.end : algorithm_end]
    start = reader.enter(_OCTET_STRING, algorithm_end, limit)
    inner = data[start : reader.end]
    if oid == _RSA:
        return _parse(inner)
    if oid != _EC:
        _refuse("client_key is neither an EC nor an RSA key", "Mbed TLS has no other: use P-256")
    # The curve stands outside only; it comes between the private and the public key.
    reader.data = inner
    limit = len(inner)
    at = reader.enter(_SEQUENCE, 0, limit)
    start = at
    reader.enter(_INTEGER, at, limit)
    reader.enter(_OCTET_STRING, reader.end, limit)
    at = reader.end
    rest = at
    if at < limit and reader.read(at, limit) == _PARAMETERS:
        rest = reader.end
    body = inner[start:at] + b"\xa0" + _length(len(curve)) + curve + inner[rest:]
    return _parse(b"\x30" + _length(len(body)) + body)


def _length(n):
    return bytes((n,)) if n < 0x80 else bytes((0x81, n)) if n < 0x100 else bytes((0x82, n >> 8, n & 0xFF))


def _check_pair(der, public):
    """Refuses unless `public` is the key in the certificate `der`."""
    if public is None:
        _refuse(
            "client_key does not say its public key, so nobody knows whether it belongs to client_cert",
            "Write it again: openssl pkey -in KEY -out NEWKEY",
        )
    try:
        certificate = Certificate(der)
        reader = Reader(der)
        at = reader.enter(_SEQUENCE, certificate.spki, certificate.spki_end)
        reader.enter(_SEQUENCE, at, certificate.spki_end)
        algorithm, algorithm_end = reader.start, reader.end
        at = reader.enter(_BIT_STRING, algorithm_end, certificate.spki_end) + 1
        end = reader.end
        if len(public) == 1:
            at = reader.enter(_INTEGER, reader.enter(_SEQUENCE, at, end), end)
            same = der[at : reader.end] == public[0]
        else:
            reader.enter(_OID, algorithm, algorithm_end)
            same = der[reader.end : algorithm_end] == public[0] and der[at:end] == public[1]
    except DerError:
        same = False  # another kind of key
    if not same:
        _refuse(
            "client_key does not belong to client_cert",
            "Give the key that the certificate was made for; of several certificates the board's own comes first",
        )


def _refuse_encrypted():
    _refuse(
        "client_key is encrypted, and a board has nobody to ask for the passphrase",
        "Decrypt it: openssl pkey -in KEY -out NEWKEY",
    )


def _refuse(message, remedy, cause=None):
    from .errors import ConfigError

    raise ConfigError(message, remedy, cause)
