"""The device's certificate reader against `cryptography`: the same bytes, the same fields."""

from __future__ import annotations

import datetime as dt
import ipaddress
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import certifi
import pytest
import support.on_cpython  # noqa: F401
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rootlet.addresses import address_text
from rootlet.certificate import Certificate
from rootlet.constraints import Constraints
from rootlet.der import DerError
from rootlet.names import address, matches
from support.judge import covers, leaf_for

KEY = ec.generate_private_key(ec.SECP256R1())
LAST = 0xFFFFFFFF
RSA, P256, P384, P521, OTHER = range(5)
EKU_OTHER, EKU_SERVER, EKU_ANY = 1, 2, 4


def fields_by_rootlet(der: bytes) -> dict[str, Any]:
    c = Certificate(memoryview(der))
    return {
        "version": c.version,
        "serial": int.from_bytes(der[c.serial : c.serial_end], "big", signed=True),
        "signature": der[c.signature : c.issuer],
        "issuer": der[c.issuer : c.issuer_end],
        "subject": der[c.subject : c.subject_end],
        "spki": der[c.spki : c.spki_end],
        "not_before": c.time(c.not_before, c.subject),
        "not_after": c.time(c.not_after, c.subject),
        "key_kind": c.key_kind,
        "key_bits": c.key_bits,
        "ca": c.ca,
        "path_length": c.path_length,
        "key_usage": c.key_usage,
        "extended_key_usage": c.extended_key_usage,
        "san": der[c.san - (c.san_end - c.san > 127) - (c.san_end - c.san > 255) - 2 : c.san_end] if c.san else b"",
        "constraints": der[c.constraints : c.constraints_end],
        "critical": c.unknown_critical,
    }


def _seconds(when: dt.datetime) -> int:
    return min(max(int(when.timestamp()), 0), LAST)


def _extension(certificate: x509.Certificate, kind: type[Any]) -> Any:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def fields_by_cryptography(der: bytes) -> dict[str, Any]:
    c = x509.load_der_x509_certificate(der)
    key = c.public_key()
    kind, bits = OTHER, 0
    if isinstance(key, rsa.RSAPublicKey):
        kind, bits = RSA, key.key_size
        if bits % 8:
            bits |= 7  # as documented
    elif isinstance(key, ec.EllipticCurvePublicKey):
        kind = {"secp256r1": P256, "secp384r1": P384, "secp521r1": P521}.get(key.curve.name, OTHER)
    constraints = _extension(c, x509.BasicConstraints)
    usage = _extension(c, x509.KeyUsage)
    bit = 0x80
    bits_of_usage = 0
    for name in (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
    ):
        bits_of_usage |= bit if usage and getattr(usage, name) else 0
        bit >>= 1
    if usage and usage.key_agreement and usage.encipher_only:
        bits_of_usage |= 1
    extended = _extension(c, x509.ExtendedKeyUsage)
    bits_of_extended = 0
    if extended is not None:
        bits_of_extended = EKU_OTHER
        if ExtendedKeyUsageOID.SERVER_AUTH in extended:
            bits_of_extended |= EKU_SERVER
        if ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in extended:
            bits_of_extended |= EKU_ANY
    san = _extension(c, x509.SubjectAlternativeName)
    name_constraints = _extension(c, x509.NameConstraints)
    known = {f"2.5.29.{number}" for number in (14, 15, 17, 19, 30, 32, 35, 37)}
    return {
        "version": c.version.value + 1,
        "serial": c.serial_number,
        "signature": None,
        "issuer": c.issuer.public_bytes(),
        "subject": c.subject.public_bytes(),
        "spki": key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "not_before": _seconds(c.not_valid_before_utc),
        "not_after": _seconds(c.not_valid_after_utc),
        "key_kind": kind,
        "key_bits": bits,
        "ca": bool(constraints and constraints.ca),
        "path_length": -1 if not constraints or constraints.path_length is None else constraints.path_length,
        "key_usage": bits_of_usage if usage else -1,
        "extended_key_usage": bits_of_extended,
        "san": san.public_bytes() if san else b"",
        "constraints": name_constraints.public_bytes() if name_constraints else b"",
        "critical": any(e.critical and e.oid.dotted_string not in known for e in c.extensions),
    }


def assert_same(der: bytes) -> None:
    ours = fields_by_rootlet(der)
    theirs = fields_by_cryptography(der)
    c = x509.load_der_x509_certificate(der)
    oid = c.signature_algorithm_oid
    assert bytes([len(_oid(oid))]) + _oid(oid) == ours.pop("signature")[1 : len(_oid(oid)) + 2]
    theirs.pop("signature")
    assert ours == theirs


def _oid(oid: x509.ObjectIdentifier) -> bytes:
    numbers = [int(part) for part in oid.dotted_string.split(".")]
    out = bytearray([40 * numbers[0] + numbers[1]])
    for number in numbers[2:]:
        groups = [number & 0x7F]
        while number > 0x7F:
            number >>= 7
            groups.append(number & 0x7F | 0x80)
        out += bytes(reversed(groups))
    return bytes(out)


def _mozilla() -> Iterator[bytes]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a root with serial number 0
        for certificate in x509.load_pem_x509_certificates(Path(certifi.where()).read_bytes()):
            yield certificate.public_bytes(Encoding.DER)


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_every_mozilla_root_reads_the_same() -> None:
    count = 0
    for der in _mozilla():
        assert_same(der)
        count += 1
    assert count > 100


_LABEL = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=12)
_DNS = st.lists(_LABEL, min_size=1, max_size=4).map(".".join)
_TEXT = st.text(min_size=1, max_size=16)  # at most 64 bytes: RFC 5280, appendix A
_NAME = st.lists(
    st.tuples(st.sampled_from([NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME, NameOID.LOCALITY_NAME]), _TEXT),
    max_size=4,
).map(lambda pairs: x509.Name([x509.NameAttribute(kind, text) for kind, text in pairs]))
_ADDRESS = st.ip_addresses().map(x509.IPAddress)
_NETWORK = st.builds(
    lambda address, prefix: x509.IPAddress(ipaddress.ip_network((address, min(prefix, address.max_prefixlen)), False)),
    st.ip_addresses(),
    st.integers(0, 128),
)
_GENERAL = st.one_of(
    _DNS.map(x509.DNSName),
    _DNS.map(lambda text: x509.DNSName("*." + text)),
    _ADDRESS,
    _NAME.map(x509.DirectoryName),
    _DNS.map(lambda text: x509.RFC822Name("a@" + text)),
    _DNS.map(lambda text: x509.UniformResourceIdentifier("https://" + text)),
)
_BASE = st.one_of(_DNS.map(x509.DNSName), _NETWORK, _NAME.map(x509.DirectoryName))
_USAGES = st.lists(
    st.sampled_from([
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
        x509.ObjectIdentifier("1.3.6.1.4.1.55738.1"),
    ]),
    min_size=1,
    max_size=4,
)  # fmt: skip
_TIME = st.datetimes(dt.datetime(1951, 1, 1), dt.datetime(9999, 12, 31)).map(lambda t: t.replace(microsecond=0))
KEYS = [
    KEY.public_key(),
    ec.generate_private_key(ec.SECP384R1()).public_key(),
    ec.generate_private_key(ec.SECP521R1()).public_key(),
    ec.generate_private_key(ec.SECP256K1()).public_key(),
    ec.generate_private_key(ec.SECP192R1()).public_key(),
    ed25519.Ed25519PrivateKey.generate().public_key(),
    dsa.generate_private_key(1024).public_key(),  # noqa: S505
    *(rsa.RSAPublicNumbers(65537, (1 << (bits - 1)) | 1).public_key() for bits in (1024, 2041, 2047, 2048, 2052, 4096)),
]


@st.composite
def certificates(draw: st.DrawFn) -> bytes:
    begin, end = sorted([draw(_TIME), draw(_TIME)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(draw(_NAME))
        .issuer_name(draw(_NAME))
        .serial_number(draw(st.integers(1, (1 << 159) - 1)))
        .not_valid_before(begin)
        .not_valid_after(end)
        .public_key(draw(st.sampled_from(KEYS)))
    )
    extensions: list[x509.ExtensionType] = []
    if draw(st.booleans()):
        ca = draw(st.booleans())
        extensions.append(x509.BasicConstraints(ca, draw(st.none() | st.integers(0, 127)) if ca else None))
    if draw(st.booleans()):
        flags = [draw(st.booleans()) for _ in range(9)]
        if not flags[4]:
            flags[7] = flags[8] = False
        extensions.append(x509.KeyUsage(*flags))
    if draw(st.booleans()):
        extensions.append(x509.ExtendedKeyUsage(draw(_USAGES)))
    if draw(st.booleans()):
        extensions.append(x509.SubjectAlternativeName(draw(st.lists(_GENERAL, min_size=1, max_size=12))))
    if draw(st.booleans()):
        permitted = draw(st.lists(_BASE, max_size=3)) or None
        excluded = draw(st.lists(_BASE, min_size=0 if permitted else 1, max_size=3)) or None
        extensions.append(x509.NameConstraints(permitted, excluded))
    for i in range(draw(st.integers(0, 4))):
        kind = x509.ObjectIdentifier(f"1.3.6.1.4.1.55738.{i + 1}")
        extensions.append(x509.UnrecognizedExtension(kind, draw(st.binary(max_size=300))))
    for extension in draw(st.permutations(extensions)):
        builder = builder.add_extension(extension, critical=draw(st.booleans()))
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(certificates())
@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_generated_certificates_read_the_same(der: bytes) -> None:
    assert_same(der)


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(certificates(), st.data())
@pytest.mark.filterwarnings("ignore")
def test_broken_certificates_are_refused_or_read_the_same(der: bytes, data: st.DataObject) -> None:
    """A changed byte may change a field, but never so that rootlet and cryptography disagree about what it is now."""
    # Not up to len(der): signatures differ in length from run to run.
    at = data.draw(st.integers(0, 0xFFFF)) % len(der)
    broken = der[:at] + bytes([data.draw(st.integers(0, 255))]) + der[at + 1 :]
    try:
        ours = fields_by_rootlet(broken)
    except DerError:
        return  # stricter is fine
    except Exception as error:
        pytest.fail(f"{error!r} instead of DerError")
    try:
        theirs = fields_by_cryptography(broken)
    except Exception:
        return  # it looks at more than rootlet does: Mbed TLS reads the certificate before, too
    for field in ("signature", "key_kind", "key_bits", "spki"):
        # Parameters that have become something else, or a key that is none: compared in the tests above.
        ours.pop(field), theirs.pop(field)
    assert ours == theirs


@settings(max_examples=500, deadline=None)
@given(st.ip_addresses())
def test_addresses_are_read_and_written_like_the_standard_library_does(value: Any) -> None:
    assert address(str(value)) == value.packed
    if value.version == 4 or value.ipv4_mapped is None:
        assert address_text(value.packed) == str(value)
    if value.version == 6:
        assert address(value.exploded) == value.packed


@settings(max_examples=1500, deadline=None)
@given(st.text("0123456789abcdef:.", max_size=24))
def test_what_the_standard_library_takes_for_an_address_and_what_rootlet_does(text: str) -> None:
    try:
        expected = ipaddress.ip_address(text).packed
    except ValueError:
        expected = None
    try:
        found = address(text)
    except ValueError:
        found = None
    assert found == expected


# Which pattern covers which host, with cryptography's verifier as the judge.
PATTERNS = (
    "example.org", "*.example.org", "www.example.org", "*.www.example.org", "*.org", "*", "*.*.org", "w*.example.org",
    "*w.example.org", "www.*.org", "EXAMPLE.org", "*.EXAMPLE.org", "xn--bcher-kva.example", "*.xn--bcher-kva.example",
    "a.b.c.d.example.org", "localhost", "example.org.", ".example.org", "-.example.org",
)  # fmt: skip
HOSTS = (
    "example.org", "www.example.org", "a.www.example.org", "a.b.www.example.org", "org", "localhost", "example.com",
    "www.example.com", "xn--bcher-kva.example", "a.xn--bcher-kva.example", "a.b.c.d.example.org", "x.b.c.d.example.org",
    "badexample.org", "wexample.org", "ww.example.org",
)  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_covers_what_it_covers_for_cryptography(pattern: str) -> None:
    leaf = leaf_for(x509.DNSName(pattern))
    for host in HOSTS:
        expected = covers(leaf, host)
        found = matches(pattern.encode(), 0, len(pattern), host.encode())
        if pattern == "*.org":
            assert not found  # stricter: a wildcard directly under a top-level domain
        else:
            assert found is expected, host


@settings(max_examples=600, deadline=None)
@given(_DNS, _DNS, st.booleans())
def test_dns_constraints_follow_rfc_5280(base: str, host: str, permitted: bool) -> None:
    """Zero or more labels added to the left (4.2.1.10), written once more and in another way."""
    labels, wanted = host.split("."), base.split(".")
    under = labels[-len(wanted) :] == wanted
    names = [x509.DNSName(base)]
    value = x509.NameConstraints(names if permitted else None, None if permitted else names).public_bytes()
    leaf = leaf_for(x509.DNSName(host)).public_bytes(Encoding.DER)
    constraints = Constraints()
    assert constraints.add(value) is None
    assert (constraints.check(Certificate(leaf)) is None) == (under == permitted)


@settings(max_examples=600, deadline=None)
@given(st.ip_addresses(), _NETWORK, st.booleans())
def test_address_constraints_follow_the_standard_library(host: Any, network: x509.IPAddress, permitted: bool) -> None:
    inside = host.version == network.value.version and host in network.value
    bases = [network]
    value = x509.NameConstraints(bases if permitted else None, None if permitted else bases).public_bytes()
    constraints = Constraints()
    assert constraints.add(value) is None
    leaf = leaf_for(x509.IPAddress(host)).public_bytes(Encoding.DER)
    assert (constraints.check(Certificate(leaf)) is None) == (inside == permitted)
