"""What the host writes into a store is what the device takes out: the roots of Mozilla and the limits of the format."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from rootlet_host.signing import new_publisher_key, publisher_certificate, sign_store
from rootlet_host.store import anchors_from_certificates, build_store, mozilla_certificates
from rootlet_host.store.format import index_key
from support import pki, versions
from support.board import run_device

SCRIPTS = Path(__file__).parents[1] / "device" / "scripts"
DER = serialization.Encoding.DER
SPKI = serialization.PublicFormat.SubjectPublicKeyInfo

Lookups = Callable[..., tuple[dict[str, Any], dict[int, list[x509.Certificate]]]]


def pack(*certificates: x509.Certificate, **options: Any) -> bytes:
    return build_store(anchors_from_certificates(certificates), sequence=5, issued_at=1_700_000_000, **options)


def parse(der: bytes) -> x509.Certificate:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # serial number 0, and no names in some
        return x509.load_der_x509_certificate(der)


@pytest.fixture
def lookups(tmp_path: Path) -> Lookups:
    """Looks names up in a store on the device: its report, and for each name the certificates it made."""

    def run(
        data: bytes, names: list[bytes], version: str = versions.CURRENT, **request: Any
    ) -> tuple[dict[str, Any], dict[int, list[x509.Certificate]]]:
        paths = {name: tmp_path / name for name in ("store", "names", "anchors")}
        paths["store"].write_bytes(data)
        paths["names"].write_text("".join(name.hex() + "\n" for name in names))
        request = {**{name: str(path) for name, path in paths.items()}, **request}
        output = run_device(
            SCRIPTS / "store_lookups.py",
            environment={"REQUEST": json.dumps(request)},
            interpreter=versions.interpreter(version),
        )
        found: dict[int, list[x509.Certificate]] = {}
        for line in paths["anchors"].read_text().splitlines():
            number, text = line.split()
            found.setdefault(int(number), []).append(parse(bytes.fromhex(text)))
        return json.loads(output), found

    return run


def subjects(*certificates: x509.Certificate) -> list[bytes]:
    return [certificate.subject.public_bytes() for certificate in certificates]


def assert_stands_for(made: x509.Certificate, root: x509.Certificate) -> None:
    """The certificate that the device made says what the root says."""
    assert made.version is x509.Version.v3
    assert made.subject.public_bytes() == root.subject.public_bytes()
    assert made.issuer.rfc4514_string() == "CN=-"  # nobody
    assert made.public_key().public_bytes(DER, SPKI) == root.public_key().public_bytes(DER, SPKI)
    assert made.not_valid_before_utc == root.not_valid_before_utc
    assert made.not_valid_after_utc == root.not_valid_after_utc
    constraints = made.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical and constraints.value.ca
    try:
        expected = root.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length
    except x509.ExtensionNotFound:
        expected = None
    assert constraints.value.path_length == expected


@pytest.mark.parametrize("version", versions.ALL)
def test_every_root_of_mozilla_is_found_and_loads_into_one_context(version: str, lookups: Lookups) -> None:
    roots = mozilla_certificates()
    assert len(roots) > 100
    report, found = lookups(pack(*roots), subjects(*roots), version, load=True)
    assert report["load_error"] is None
    assert report["loaded"] == report["found"] >= report["count"] == len(roots)
    assert report["reads"] <= 10
    for number, root in enumerate(roots):
        spki = root.public_key().public_bytes(DER, SPKI)
        (made,) = [c for c in found[number] if c.public_key().public_bytes(DER, SPKI) == spki]
        assert_stands_for(made, root)


@pytest.mark.parametrize("key", ["P-256", "P-384", "P-521", "RSA-2048", "RSA-3072"])
def test_roots_of_every_kind_and_limit_come_out_as_they_went_in(key: str, lookups: Lookups) -> None:
    roots = [
        pki.make_ca("plain", key=key).certificate,
        pki.make_ca("length 0", key=key, path_length=0).certificate,
        pki.make_ca("length 3", key=key, path_length=3).certificate,
        pki.make_ca("Größe", key=key).certificate,
    ]
    report, found = lookups(pack(*roots), subjects(*roots), load=True)
    assert (report["found"], report["loaded"]) == (4, 4)
    for number, root in enumerate(roots):
        assert_stands_for(found[number][0], root)


def test_a_self_signed_server_comes_out_byte_for_byte(lookups: Lookups) -> None:
    server = pki.self_signed("device.example")
    anchors = anchors_from_certificates([server.certificate], exact=True)
    data = build_store(anchors, sequence=1, issued_at=1_700_000_000)
    _, found = lookups(data, subjects(server.certificate), load=True)
    assert found[0] == [server.certificate]


def test_names_that_are_not_in_the_store_are_not_found(lookups: Lookups) -> None:
    roots = mozilla_certificates()
    strangers = subjects(*[pki.make_ca(f"stranger {i}").certificate for i in range(20)])
    report, found = lookups(pack(*roots), [b"", b"\x30\x00", *strangers])
    assert (report["found"], found) == (0, {})


def test_the_largest_store_is_looked_up_with_ten_reads(lookups: Lookups) -> None:
    key = pki.make_key()
    root = pki.make_ca("one of many", key=key).certificate
    (anchor,) = anchors_from_certificates([root])
    names = [pki.make_name(f"root {i}").public_bytes() for i in range(4095)]
    anchors = [anchor, *[replace(anchor, index_key=index_key(name)) for name in names]]
    data = build_store(anchors, sequence=1, issued_at=1_700_000_000)
    report, _ = lookups(data, subjects(root) + names[::20])
    assert report["count"] == 4096
    assert report["found"] == 1 + len(names[::20])
    assert report["reads"] <= 10


@pytest.fixture(scope="module")
def signed_store() -> bytes:
    key = new_publisher_key()
    data = pack(pki.make_ca("root").certificate, pki.make_ca("other", path_length=1).certificate)
    return sign_store(data, key, publisher_certificate("publisher", key))


@pytest.mark.parametrize("version", versions.ALL)
def test_every_flipped_bit_and_every_truncation_of_a_signed_store_is_refused(
    version: str, signed_store: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "signed.rtlt"
    path.write_bytes(signed_store)
    request = {"store": str(path), "unsigned": len(signed_store) - envelope_size(signed_store)}
    output = run_device(
        SCRIPTS / "store_damage.py",
        environment={"REQUEST": json.dumps(request)},
        interpreter=versions.interpreter(version),
    )
    report = json.loads(output)
    assert report["accepted"] == []
    assert report["tried"] == len(signed_store) * 8 + len(signed_store) - 1


def envelope_size(data: bytes) -> int:
    return len(data) - 64 - int.from_bytes(data[20:24], "little")
