"""What cryptography's verifier makes of a host and a name in a certificate: the judge of rootlet's own matching."""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from .pki import Authority, make_key, make_name, sign

_KEY = make_key()
_ROOT = Authority(
    sign(
        make_name("root"),
        _KEY,
        [
            (x509.BasicConstraints(True, None), True),
            (x509.KeyUsage(False, False, False, False, False, True, True, False, False), True),
            (x509.SubjectKeyIdentifier.from_public_key(_KEY.public_key()), False),
        ],
    ),
    _KEY,
)
_STORE = Store([_ROOT.certificate])


def leaf_for(name: x509.GeneralName) -> x509.Certificate:
    """A server's certificate with just this name."""
    return sign(
        x509.Name([]),
        _KEY,
        [
            (x509.SubjectAlternativeName([name]), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(_KEY.public_key()), False),
        ],
        issuer=_ROOT,
    )


def covers(leaf: x509.Certificate, host: str) -> bool | None:
    """Whether it takes `leaf` for `host`; None where it takes `host` for none, which is no judgement."""
    try:
        verifier = PolicyBuilder().store(_STORE).build_server_verifier(x509.DNSName(host))
    except ValueError:
        return None
    try:
        verifier.verify(leaf, [])
    except VerificationError:
        return False
    return True
