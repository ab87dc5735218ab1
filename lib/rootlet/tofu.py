"""Trust on first use, for a server that signed its own certificate. docs/pins.md says when this is good enough.

At the first contact nobody vouches for the certificate but the caller. It is taken from a handshake that demands a
trusted chain, as every other, and fails, because nothing is trusted; no connection is ever less than verified.
"""

import os
from errno import ENOENT
from hashlib import sha256

from micropython import const

from . import Context, connect
from .anchor import Anchor
from .certificate import Certificate
from .errors import CertificateError, ConfigError, TLSError, TrustStoreError, UnsupportedError
from .handshake import Handshake
from .pem import certificates

_REFUSED = const(-0x3000)  # MBEDTLS_ERR_X509_FATAL_ERROR
_MAX_FILE = const(16384)
_EXACT_RECORD = b"\x05" + bytes(8)  # docs/store-format.md; the dates are in the certificate
_OTHER_TRUST = const(("store", "stores", "cafile", "cadata", "psk"))


def context(
    path,
    host,
    port,
    confirm=None,
    fingerprint=None,
    server_hostname=None,
    address=None,
    timeout_ms=10_000,
    transport=None,
    **settings
):  # fmt: skip
    """A Context that accepts one certificate only: the one in the file at `path`.

    If there is no such file, the server is asked for its certificate, and one of these must agree to it:
      confirm      called with what rootlet.describe.certificate returns; True, and nothing else, is a yes
      fingerprint  the certificate's SHA-256, hexadecimal, with colons or without, read where the server stands
    Then a second, verified connection shows that the server has the certificate's key and that name and dates are good,
    and only then the certificate is stored. If the file exists, the network is not used.

    `server_hostname` … `transport` are as for rootlet.connect, `settings` as for Context, without other trust.
    Raises what `connect` raises; CertificateError if nobody agrees; UnsupportedError if the certificate was issued by a
    CA; TrustStoreError if the file cannot be read or written.
    """
    for name in _OTHER_TRUST:
        if name in settings:
            raise ConfigError("%s would trust more than the one certificate" % name, "Make a Context for each")
    der = load(path)
    if der is not None:
        return KnownContext(der, timeout_ms, settings)
    agree = _judge(confirm, fingerprint)
    der = _meet(host, port, server_hostname, address, timeout_ms, transport, settings)
    if not agree(der):
        raise CertificateError(
            "the certificate of %s was not confirmed" % host,
            "Compare its fingerprint with the one that the server's owner tells you",
        )
    made = KnownContext(der, timeout_ms, settings)
    connect(host, port, made, server_hostname, address, timeout_ms, transport).close()
    _save(path, der)
    return made


def load(path):
    """DER of the certificate in the file at `path` (DER or PEM), or None if there is no file.

    Raises TrustStoreError for a file that cannot be read: it is never taken for a first contact.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_FILE + 1)
    except OSError as error:
        if error.errno == ENOENT:
            return None
        raise _unusable(path, error)
    try:
        found = certificates(data)
        if len(found) == 1 and len(data) <= _MAX_FILE and _is_self_issued(found[0]):
            return found[0]
    except (ValueError, IndexError) as error:
        raise _unusable(path, error)
    raise _unusable(path, None)


class ExactStore:
    """Looks like a TrustStore that holds one certificate, trusted as itself and for nothing else, CA or not."""

    issued_at = 0
    not_used_after = 0
    count = 1

    def __init__(self, der):
        c = Certificate(der)
        self._subject = bytes(der[c.subject : c.subject_end])
        self._der = der

    def lookup(self, name, host=None, digest=None):
        return [Anchor(_EXACT_RECORD + self._der)] if name == self._subject else []

    def is_blocked(self, spki_digest):
        return False


class KnownContext(Context):
    """A Context that accepts the certificate `der` only, and says of another one which it is."""

    def __init__(self, der, timeout_ms, settings):
        super().__init__(stores=[ExactStore(der)], timeout_ms=timeout_ms, **settings)
        self.digest = sha256(der).digest()

    def handshake(self, sock, server_hostname, deadline_ms, kind=None):
        if kind is None and self.trace is None:
            kind = _Known
        return super().handshake(sock, server_hostname, deadline_ms, kind)


class _Known(Handshake):
    """A handshake with a server whose certificate is known."""

    _shown = None  # the digest of the server's

    def _verify(self, der, depth):
        result = super()._verify(der, depth)
        if self.observer.error is not None:
            return result
        if depth:
            # Refused or not: the policy, once it has refused, refuses the server's certificate, too, which comes last.
            return 0
        self._shown = sha256(der).digest()
        return result

    def fail(self, error):
        trusted = self.context and self.context.digest  # no context: the handshake was over
        error = super().fail(error)
        if not trusted or self._shown is None or self._shown == trusted or not isinstance(error, CertificateError):
            return error
        from .describe import colons
        from .errors import UnknownIssuerError

        return UnknownIssuerError(
            "%s shows another certificate (%s) than the one that is trusted (%s)"
            % (self.host, colons(self._shown), colons(trusted)),
            "Ask the server's owner why; do not connect before you know",
            error,
        )


class _FirstContact(Handshake):
    """A handshake that keeps the server's certificate and always fails."""

    leaf = None
    issued = False  # there is a certificate above the server's

    def _verify(self, der, depth):
        try:
            if depth:
                self.issued = True
            else:
                self.leaf = bytes(der)
        except BaseException as error:
            self.observer.error = error
        return _REFUSED


class _Nothing(ExactStore):
    """Trusts nothing."""

    count = 0

    def __init__(self):
        self._subject = None


class _FirstContext(Context):
    met = None  # the last _FirstContact

    def handshake(self, sock, server_hostname, deadline_ms, kind=_FirstContact):
        self.met = super().handshake(sock, server_hostname, deadline_ms, kind)
        return self.met


def _meet(host, port, server_hostname, address, timeout_ms, transport, settings):
    """DER of the certificate that the server shows."""
    settings = {name: settings[name] for name in settings if name not in ("trace", "pins", "allow_single")}
    first = _FirstContext(stores=[_Nothing()], **settings)
    try:
        connect(host, port, first, server_hostname, address, timeout_ms, transport).close()
        failure = None
    except TLSError as error:
        failure = error
    der = first.met and first.met.leaf
    try:
        issued = (first.met and first.met.issued) or (der and not _is_self_issued(der))
    except (ValueError, IndexError) as error:
        raise _malformed(error)
    if issued:
        raise UnsupportedError(
            "the certificate of %s was issued by a CA: it cannot be trusted as itself" % host,
            "Get the CA's certificate (rootlet ca find) and pass it as cafile",
            failure,
        )
    if der and failure and (first.met.observer.error is None):
        return der
    raise failure or CertificateError("%s showed no certificate" % host)


def _is_self_issued(der):
    c = Certificate(der)
    # Mbed TLS takes no other certificate as its own trust anchor: x509_crt_check_ee_locally_trusted.
    return der[c.issuer : c.issuer_end] == der[c.subject : c.subject_end]


def _judge(confirm, fingerprint):
    if (confirm is None) == (fingerprint is None):
        raise ConfigError("nobody can say whether the server is the right one", "Pass confirm or fingerprint, not both")
    if fingerprint is not None:
        wanted = fingerprint.replace(":", "").upper()
        if len(wanted) != 64 or wanted.strip("0123456789ABCDEF"):
            raise ConfigError("not a SHA-256 fingerprint: " + fingerprint, "Give 64 hexadecimal digits")
        return lambda der: "".join(["%02X" % byte for byte in sha256(der).digest()]) == wanted

    def ask(der):
        from .describe import certificate

        try:
            seen = certificate(der)
        except (ValueError, IndexError) as error:
            raise _malformed(error)
        return confirm(seen) is True

    return ask


def _malformed(error):
    return CertificateError("the server's certificate is malformed", "The server needs another certificate", error)


def _save(path, der):
    try:
        with open(path + ".new", "wb") as file:
            if file.write(der) != len(der):
                raise OSError(28)  # ENOSPC
        os.rename(path + ".new", path)
        if hasattr(os, "sync"):
            os.sync()
    except OSError as error:
        try:
            os.remove(path + ".new")  # what came of it takes room that may be what was missing
        except OSError:
            pass
        raise TrustStoreError(
            "the certificate cannot be stored at %s (%s)" % (path, error), "Make room, or name another place", error
        )


def _unusable(path, error):
    return TrustStoreError(
        "the stored certificate %s cannot be used%s" % (path, ": %s" % error if error and str(error) else ""),
        "Remove the file only if you can confirm the server's certificate once more",
        error,
    )
