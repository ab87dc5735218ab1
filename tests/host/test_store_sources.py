"""Sources: PEM and DER files, folders, certdata.txt; every bad one is named with file and number."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime, timedelta, timezone

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID
from rootlet_host.errors import UsageError
from rootlet_host.store import (
    BuildOptions,
    Kind,
    anchor_from_certificate,
    anchors_from_certificates,
    collect,
    decode_store,
    read_source,
)
from rootlet_host.store.anchors import UnfitCertificateError
from rootlet_host.store.blocked import blocked_key
from store_help import DER, NOW, ec_key, key_usage, make_certificate, rsa_key


def build(*paths, **options):
    return collect(BuildOptions(sources=[str(path) for path in paths], **options))


def spki(authority):
    return authority.key.public_key().public_bytes(DER, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture
def root():
    return make_certificate("Private Root")


# ----------------------------------------------------------------------------------------- PEM and DER files


@pytest.mark.parametrize("form", ["pem", "der", "many pem", "many der", "text around", "crlf", "bom"])
def test_certificates_are_read_from_pem_and_der(tmp_path, form):
    roots = [make_certificate(f"root {n}") for n in range(3 if "many" in form else 1)]
    content = b"".join(root.der if "der" in form else root.pem for root in roots)
    if form == "text around":
        content = "Prüf-CA\n".encode() + content + b"\nthe end"
    if form == "crlf":
        content = content.replace(b"\n", b"\r\n")
    if form == "bom":
        content = b"\xef\xbb\xbf" + content
    path = tmp_path / "ca.bin"
    path.write_bytes(content)
    found = read_source(str(path)).certificates
    assert [entry.certificate for entry in found] == [root.certificate for root in roots]
    assert [entry.number for entry in found] == list(range(1, len(roots) + 1))


def damaged(pem: bytes) -> bytes:
    lines = pem.splitlines(keepends=True)
    return b"".join([*lines[:3], b"!!!!" + lines[3], *lines[4:]])


def trailing(root) -> bytes:
    body = base64.encodebytes(root.der + b"\0\0")
    return b"-----BEGIN CERTIFICATE-----\n" + body + b"-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda a, b: a.pem + damaged(b.pem), "certificate 2 of ca.pem is damaged: it is not base64"),
        (lambda a, b: a.pem + trailing(b), "certificate 2 of ca.pem has 2 bytes after it"),
        (lambda a, b: a.der + b"\0\0\0", "certificate 1 of ca.pem has 3 bytes after it"),
        (lambda a, b: a.der + b.der + b"x", "certificate 2 of ca.pem has 1 bytes after it"),
        (lambda a, b: a.der[:-1], "neither PEM nor DER"),
        (lambda a, b: a.der + b.der[:-5], "certificate 1 of ca.pem has"),
        (lambda a, b: a.der + b"\x30\x03\x02\x01\x05", "certificate 2 of ca.pem is not an X.509 certificate"),
        (lambda a, b: a.pem + b.pem[:-30], "certificate 2 of ca.pem has no END line"),
        (lambda a, b: a.pem.replace(b"END", b"Ende") + b.pem, "certificate 1 of ca.pem has no END line"),
        (lambda a, b: a.key_pem, "no certificate in ca.pem"),
        (lambda a, b: b"", "no certificate in ca.pem"),
        (lambda a, b: b"hello", "neither PEM nor DER"),
        (lambda a, b: a.pem.replace(b"CERTIFICATE", b"TRUSTED CERTIFICATE"), "OpenSSL's TRUSTED CERTIFICATE"),
    ],
)
def test_a_bad_file_is_refused_with_its_name_and_the_number_of_the_certificate(tmp_path, root, make, words):
    path = tmp_path / "ca.pem"
    path.write_bytes(make(root, make_certificate("second")))
    with pytest.raises(UsageError) as refusal:
        read_source(str(path))
    assert words in str(refusal.value)


def test_a_missing_file_is_named():
    with pytest.raises(UsageError, match=r"nowhere\.pem: No such file"):
        read_source("nowhere.pem")


@pytest.mark.parametrize("passphrase", [None, b"secret"], ids=["plain", "encrypted"])
def test_private_keys_in_a_pem_file_are_ignored_with_a_note(tmp_path, root, passphrase):
    encryption = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    key = root.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    (tmp_path / "ca.pem").write_bytes(key + root.pem)
    contents = build(tmp_path / "ca.pem")
    assert len(contents.anchors) == 1
    assert contents.notes == ("ca.pem: a private key is ignored; it has no place in a file of certificates",)


# --------------------------------------------------------------------------------------- what may be an anchor


@pytest.mark.parametrize(
    ("certificate", "words"),
    [
        (lambda: make_certificate(ca=False), "is no CA: its basicConstraints say so"),
        (lambda: make_certificate(basic_constraints=False), "is no CA: it has no basicConstraints"),
        (
            lambda: make_certificate(extensions=((key_usage(digital_signature=True), True),)),
            "keyUsage does not allow it to sign",
        ),
        (
            lambda: make_certificate(extensions=((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),)),
            "other purposes than TLS servers",
        ),
        (
            lambda: make_certificate(extensions=((x509.InhibitAnyPolicy(0), True),)),
            "critical extension 2.5.29.54, which boards refuse",
        ),
        (lambda: make_certificate(key=rsa_key(1024)), "RSA key of 1024 bits; Mbed TLS takes 2048 to 8192"),
        (lambda: make_certificate(key=ed25519.Ed25519PrivateKey.generate()), "Ed25519 key, which Mbed TLS cannot use"),
    ],
    ids=["leaf", "no constraints", "key usage", "extended key usage", "critical", "RSA 1024", "Ed25519"],
)
def test_an_unfit_certificate_in_a_file_stops_the_build(tmp_path, root, certificate, words):
    (tmp_path / "ca.pem").write_bytes(root.pem + certificate().pem)
    with pytest.raises(UsageError) as refusal:
        build(tmp_path / "ca.pem")
    assert "certificate 2 of ca.pem" in str(refusal.value)
    assert words in str(refusal.value)


def test_a_leaf_is_refused_with_the_hint_to_make_it_exact(tmp_path):
    (tmp_path / "server.pem").write_bytes(make_certificate(ca=False).pem)
    with pytest.raises(UsageError, match="for a self-signed server give --exact"):
        build(tmp_path / "server.pem")
    (anchor,) = build(tmp_path / "server.pem", exact=True).anchors
    assert anchor.kind is Kind.EXACT


def test_a_server_certificate_signed_by_another_cannot_be_exact(tmp_path, root):
    (tmp_path / "server.pem").write_bytes(make_certificate("server", issuer=root, ca=False).pem)
    with pytest.raises(UsageError, match="not self-signed"):
        build(tmp_path / "server.pem", exact=True)


def test_expired_certificates_are_skipped_with_a_note(tmp_path, root):
    old = make_certificate("Old Root", not_before=NOW - timedelta(days=20), not_after=NOW - timedelta(days=2))
    (tmp_path / "ca.pem").write_bytes(old.pem + root.pem)
    contents = build(tmp_path / "ca.pem")
    assert [anchor.certificate for anchor in contents.anchors] == [root.certificate]
    (note,) = contents.notes
    assert note.startswith("skipped: certificate 1 of ca.pem (Old Root) expired 20")


def test_path_length_and_name_constraints_go_into_the_record(tmp_path):
    constraints = x509.NameConstraints([x509.DNSName("corp.example")], None)
    ca = make_certificate(path_length=2, extensions=((key_usage(key_cert_sign=True), True), (constraints, True)))
    (tmp_path / "ca.pem").write_bytes(ca.pem)
    (anchor,) = decode_store(build(tmp_path / "ca.pem").encode(1)).anchors
    assert anchor.path_length == 2
    assert anchor.name_constraints == constraints.public_bytes()


def test_suffixes_are_normalised_and_kept_for_files_only(tmp_path, root):
    (tmp_path / "ca.pem").write_bytes(root.pem)
    contents = build("mozilla", tmp_path / "ca.pem", suffixes=(".Lan", "corp.example."))
    limited = {anchor.source: anchor.dns_suffixes for anchor in contents.anchors}
    assert limited == {"mozilla": (), "ca.pem": ("corp.example", "lan")}


@pytest.mark.parametrize("suffix", ["", "a b", "ü.example", "a..b", "x" * 64, "*.example"])
def test_a_suffix_that_is_no_domain_name_is_refused(root, suffix):
    with pytest.raises(UsageError, match="is no domain name"):
        anchors_from_certificates([root.certificate], suffixes=[suffix])


def test_the_key_of_an_anchor_is_that_of_the_certificate_to_the_byte():
    for key in (ec_key(), rsa_key(), rsa_key(2048, 3)):
        authority = make_certificate(key=key)
        assert anchor_from_certificate(authority.certificate).spki == spki(authority)


def test_anchors_from_certificates_names_the_number_of_the_unfit_one(root):
    with pytest.raises(UsageError, match="certificate 2 is no CA"):
        anchors_from_certificates([root.certificate, make_certificate(ca=False).certificate])
    with pytest.raises(UnfitCertificateError):
        anchor_from_certificate(make_certificate(ca=False).certificate)


def test_times_beyond_32_bits_are_kept_as_the_latest():
    far = datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone.utc)
    early = datetime(1960, 1, 1, tzinfo=timezone.utc)
    anchor = anchor_from_certificate(make_certificate(not_before=early, not_after=far).certificate)
    assert (anchor.not_before, anchor.not_after) == (0, 0xFFFFFFFF)


# ------------------------------------------------------------------------------------------- folders and merging


def test_a_folder_gives_all_its_certificates_and_says_what_it_ignores(tmp_path):
    roots = [make_certificate(f"root {n}") for n in range(3)]
    (tmp_path / "a.pem").write_bytes(roots[0].pem)
    (tmp_path / "b.der").write_bytes(roots[1].der)
    (tmp_path / "c.CRT").write_bytes(roots[2].pem)
    (tmp_path / "README").write_text("no certificate")
    (tmp_path / ".hidden.pem").write_text("neither")
    contents = build(tmp_path)
    assert {anchor.certificate for anchor in contents.anchors} == {root.certificate for root in roots}
    assert contents.notes == (f"{tmp_path}: 1 file ignored, not named as a certificate",)


def test_a_folder_without_certificates_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no certificates in the folder"):
        build(tmp_path)


def test_duplicates_are_merged_to_the_longest_validity(tmp_path):
    key = ec_key()
    short, long = (make_certificate("Same", key=key, not_after=NOW + timedelta(days=n)) for n in (10, 100))
    (tmp_path / "a.pem").write_bytes(long.pem + short.pem)
    (tmp_path / "b.pem").write_bytes(short.pem + make_certificate("Same").pem)
    contents = build(tmp_path / "a.pem", tmp_path / "b.pem")
    assert len(contents.anchors) == 2
    assert contents.anchors[0].certificate == long.certificate
    assert contents.notes == ("2 duplicate certificates merged",)


# ------------------------------------------------------------------------------------------------ certdata.txt


def octal(data: bytes) -> str:
    lines = [data[at : at + 16] for at in range(0, len(data), 16)]
    return "\n".join("".join(f"\\{byte:03o}" for byte in line) for line in lines) + "\nEND\n"


def certdata_entry(authority, trust, *, after="", after_in_trust="") -> str:
    """A root as NSS writes it: a certificate object, a blank line, a trust object."""
    certificate = authority.certificate
    issuer = certificate.issuer.public_bytes()
    serial = b"\x02" + bytes([(certificate.serial_number.bit_length() + 8) // 8])
    serial += certificate.serial_number.to_bytes(serial[1], "big")
    identity = f"CKA_ISSUER MULTILINE_OCTAL\n{octal(issuer)}CKA_SERIAL_NUMBER MULTILINE_OCTAL\n{octal(serial)}"

    def date(text: str) -> str:
        if not text:
            return "CKA_NSS_SERVER_DISTRUST_AFTER CK_BBOOL CK_FALSE\n"
        bits = octal(text.encode())
        return f"# For Server Distrust After: {text}\nCKA_NSS_SERVER_DISTRUST_AFTER MULTILINE_OCTAL\n{bits}"

    return (
        f'\n#\n# Certificate "{certificate.subject.rfc4514_string()}"\n#\n'
        "CKA_CLASS CK_OBJECT_CLASS CKO_CERTIFICATE\nCKA_TOKEN CK_BBOOL CK_TRUE\n"
        f'CKA_LABEL UTF8 "{certificate.subject.rfc4514_string()}"\nCKA_CERTIFICATE_TYPE CK_CERTIFICATE_TYPE CKC_X_509\n'
        f"{identity}CKA_VALUE MULTILINE_OCTAL\n{octal(authority.der)}"
        f"CKA_NSS_MOZILLA_CA_POLICY CK_BBOOL CK_TRUE\n{date(after)}"
        "\n# Trust for it\nCKA_CLASS CK_OBJECT_CLASS CKO_NSS_TRUST\nCKA_TOKEN CK_BBOOL CK_TRUE\n"
        f"CKA_CERT_SHA1_HASH MULTILINE_OCTAL\n{octal(hashlib.sha1(authority.der).digest())}"  # noqa: S324
        f"{identity}{date(after_in_trust) if after_in_trust else ''}"
        f"CKA_TRUST_SERVER_AUTH CK_TRUST {trust}\nCKA_TRUST_EMAIL_PROTECTION CK_TRUST CKT_NSS_TRUSTED_DELEGATOR\n"
        "CKA_TRUST_STEP_UP_APPROVED CK_BBOOL CK_FALSE\n"
    )


HEAD = "# A comment\nBEGINDATA\nCKA_CLASS CK_OBJECT_CLASS CKO_NSS_BUILTIN_ROOT_LIST\nCKA_TOKEN CK_BBOOL CK_TRUE\n"
TRUSTED = "CKT_NSS_TRUSTED_DELEGATOR"


def test_certdata_gives_only_roots_trusted_for_servers_with_their_distrust_dates(tmp_path):
    roots = [make_certificate(f"nss {n}") for n in range(5)]
    text = HEAD + certdata_entry(roots[0], TRUSTED)
    text += certdata_entry(roots[1], TRUSTED, after="241130235959Z")
    text += certdata_entry(roots[2], TRUSTED, after_in_trust="260415235959Z")
    text += certdata_entry(roots[3], "CKT_NSS_MUST_VERIFY_TRUST")
    text += certdata_entry(roots[4], "CKT_NSS_NOT_TRUSTED")
    (tmp_path / "certdata.txt").write_text(text)
    contents = build(tmp_path / "certdata.txt")
    assert {anchor.certificate: anchor.distrust_after for anchor in contents.anchors} == {
        roots[0].certificate: None,
        roots[1].certificate: int(datetime(2024, 11, 30, 23, 59, 59, tzinfo=timezone.utc).timestamp()),
        roots[2].certificate: int(datetime(2026, 4, 15, 23, 59, 59, tzinfo=timezone.utc).timestamp()),
    }
    assert set(decode_store(contents.encode(1)).anchors) == set(contents.anchors)


def test_a_distrust_date_survives_merging_with_a_list_that_has_none(tmp_path, root):
    (tmp_path / "ca.pem").write_bytes(root.pem)
    (tmp_path / "certdata.txt").write_text(HEAD + certdata_entry(root, TRUSTED, after="241130235959Z"))
    for order in (("ca.pem", "certdata.txt"), ("certdata.txt", "ca.pem")):
        (anchor,) = build(*(tmp_path / name for name in order)).anchors
        assert anchor.distrust_after is not None


def test_an_unfit_root_in_a_public_list_is_noted_and_skipped(tmp_path, root):
    weak = make_certificate("Weak", key=rsa_key(1024))
    text = HEAD + certdata_entry(weak, TRUSTED) + certdata_entry(root, TRUSTED)
    (tmp_path / "certdata.txt").write_text(text)
    contents = build(tmp_path / "certdata.txt")
    assert len(contents.anchors) == 1
    assert any("skipped: certificate 1 of certdata.txt has an RSA key of 1024 bits" in note for note in contents.notes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace("CKA_VALUE MULTILINE_OCTAL\n\\060", "CKA_VALUE MULTILINE_OCTAL\n\\9"), "not octal"),
        (lambda text: text[: text.index("\n", text.index("CKA_VALUE") + 60)], "is cut short: CKA_VALUE"),
        (lambda text: text.replace("CKA_ISSUER", "CKA_ISSUED"), "has no CKA_ISSUER"),
        (lambda text: text.replace(TRUSTED, "CKT_NSS_NOT_TRUSTED"), "no root in certdata.txt is trusted"),
        (lambda text: text.replace(octal(b"241130235959Z"), octal(b"241330235959Z")), "the distrust date of"),
    ],
)
def test_damaged_certdata_is_refused_with_what_is_wrong(tmp_path, root, change, words):
    text = HEAD + certdata_entry(root, TRUSTED, after="241130235959Z")
    changed = change(text)
    assert changed != text
    (tmp_path / "certdata.txt").write_text(changed)
    with pytest.raises(UsageError) as refusal:
        build(tmp_path / "certdata.txt")
    assert words in str(refusal.value)


# ------------------------------------------------------------------------------------------------ blocked keys


def test_a_blocked_key_can_be_named_by_hash_pin_certificate_or_public_key(tmp_path, root):
    digest = hashlib.sha256(spki(root)).digest()
    (tmp_path / "a.pem").write_bytes(root.pem)
    (tmp_path / "a.der").write_bytes(root.der)
    (tmp_path / "key.pem").write_bytes(
        root.key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    pin = "sha256/" + base64.b64encode(digest).decode()
    names = [digest.hex(), digest.hex()[:32].upper(), pin, *(str(tmp_path / f) for f in ("a.pem", "a.der", "key.pem"))]
    assert {blocked_key(name) for name in names} == {digest[:16]}


@pytest.mark.parametrize("text", ["sha256/xyz", "0011", "no-such-file"])
def test_a_blocked_key_that_means_nothing_is_refused(text):
    with pytest.raises(UsageError):
        blocked_key(text)


def test_an_anchor_whose_key_is_blocked_is_left_out(tmp_path, root):
    (tmp_path / "ca.pem").write_bytes(root.pem + make_certificate("other").pem)
    contents = build(tmp_path / "ca.pem", blocked=(blocked_key(hashlib.sha256(spki(root)).hexdigest()),))
    assert [anchor.certificate.subject for anchor in contents.anchors] != [root.certificate.subject]
    assert contents.notes == ("1 anchor left out: key blocked",)
    assert decode_store(contents.encode(1)).blocked == (hashlib.sha256(spki(root)).digest()[:16],)
