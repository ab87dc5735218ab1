"""CA certificates given by the application, kept in RAM as if they were a small trust store.

What reads them is imported where it is needed: this module stays as long as the Context.
"""

from micropython import const

_OTHER = const(4)  # certificate.py, key_kind
_KEY_CERT_SIGN = const(0x04)  # certificate.py, key_usage
_EKU_SERVER = const(2)  # certificate.py, extended_key_usage


def content(path, data):
    """What the file at `path` holds, and then `data`; either may be None, and `data` a text. Raises ConfigError."""
    if isinstance(data, str):
        data = data.encode()
    if not (data is None or isinstance(data, (bytes, bytearray, memoryview))):
        _refuse("cadata is of type " + type(data).__name__, "Pass PEM or DER")
    if path is None:
        return data
    if not isinstance(path, str):  # a number would be one of the system's open files
        _refuse("cafile is no path", "Pass what is no path as cadata")
    try:
        with open(path, "rb") as file:
            return file.read() + (data or b"")
    except OSError as error:
        _refuse("the CA certificates in %s cannot be read (%s)" % (path, error), "Check the path", error)


def _refuse(message, remedy, cause=None):
    from rootlet.errors import ConfigError

    raise ConfigError(message, remedy, cause)


class CertificateStore:
    """Looks like a TrustStore. `data`: CA certificates, PEM or DER, one or many.

    A certificate that is no CA is taken only if it is self-signed: it is trusted as itself, and for nothing else.
    Raises ConfigError naming the index of the first certificate that cannot be an anchor.
    """

    issued_at = 0
    not_used_after = blocked = 0

    def __init__(self, data, webpki=False):
        from rootlet.der import DerError
        from rootlet.pem import certificates

        self._anchors = []  # (subject, record)
        self.count = 0
        try:
            for der in certificates(data):
                self._anchors.append(_record(der, webpki))
                self.count += 1
        except ValueError as error:
            message = str(error)
            if isinstance(error, DerError):
                message = "is damaged: " + message
            if message[:11] != "certificate":
                message = "certificate %d %s" % (self.count, message)
            _refuse("the CA certificates cannot be used: " + message, "Give whole CA certificates, PEM or DER", error)

    def lookup(self, name, host=None, digest=None):
        """Anchors whose subject is `name` (DER of a Name): a list of Anchor."""
        from rootlet.anchor import Anchor

        return [Anchor(record) for subject, record in self._anchors if subject == name]

    def is_blocked(self, spki_digest):
        return False


def _record(der, webpki):
    """(subject, record of the trust store's format) for one certificate. Raises ValueError."""
    from rootlet.certificate import Certificate

    c = Certificate(der)
    subject = der[c.subject : c.subject_end]
    self_signed = subject == der[c.issuer : c.issuer_end]
    # A version 1 certificate has no extensions to say that it is a CA (RFC 5280, 6.1.4, k): roots of old.
    ca = c.ca or (c.version < 3 and self_signed)
    if c.duplicate or c.unknown_critical:
        raise ValueError("has an extension that is critical and unknown, or there twice")
    if webpki:
        from rootlet.webpki import check_root

        rule = check_root(der)
        if rule:
            from rootlet.rules import explain

            raise ValueError(explain(rule, 1)[2].partition(" depth 1 ")[2])
    if c.subject_end - c.subject == 2:
        raise ValueError("has an empty subject")
    if c.key_kind == _OTHER:
        raise ValueError("has a key other than RSA, P-256, P-384 or P-521")
    flags = 5
    limits = b""
    key = der
    if ca:
        if c.key_usage >= 0 and not c.key_usage & _KEY_CERT_SIGN:
            raise ValueError("is a CA that must not sign certificates (key usage)")
        if c.extended_key_usage and not c.extended_key_usage & _EKU_SERVER:
            raise ValueError("is a CA for other purposes than TLS servers (extended key usage)")
        flags = 4
        if c.path_length >= 0:
            flags |= 0x10
            limits = bytes((min(c.path_length, 254),))
        if c.constraints:
            flags |= 0x40
            constraints = der[c.constraints : c.constraints_end]
            limits += len(constraints).to_bytes(2, "little") + constraints
        key = der[c.spki : c.spki_end]
    elif not self_signed:
        raise ValueError("is neither a CA nor self-signed")
    record = bytes((flags,))
    for at in (c.not_before, c.not_after):
        record += c.time(at, c.spki).to_bytes(4, "little")
    return subject, record + limits + key
