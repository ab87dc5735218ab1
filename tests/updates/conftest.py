"""Fixtures of the update tests: a publisher, a board in the field, and web servers good and bad."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from rootlet_host.signing import new_publisher_key, publisher_certificate, sign_store
from rootlet_host.store import anchor_from_certificate, build_store
from support import pki
from support.board import run_device
from support.firmware import Firmware

UPDATE = Path(__file__).with_name("device") / "update.py"


@dataclass
class Publisher:
    """Who signs stores."""

    name: str = "publisher"
    key: EllipticCurvePrivateKey = field(default_factory=new_publisher_key)

    def __post_init__(self) -> None:
        self.certificate: x509.Certificate = publisher_certificate(self.name, self.key)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    def store(
        self,
        sequence: int,
        *roots: pki.Authority,
        announce: Publisher | None = None,
        issued_at: int = 1_700_000_000,
        not_used_after: int = 0,
        series: str = "",
    ) -> bytes:
        """An unsigned store with these roots."""
        anchors = [anchor_from_certificate(root.certificate) for root in roots]
        return build_store(
            anchors,
            sequence=sequence,
            issued_at=issued_at,
            not_used_after=not_used_after,
            publisher=announce.der if announce else None,
            series=series,
        )

    def sign(self, store: bytes) -> bytes:
        return sign_store(store, self.key, self.certificate)

    def release(self, sequence: int, *roots: pki.Authority, **options: Any) -> bytes:
        return self.sign(self.store(sequence, *roots, **options))


class FieldBoard:
    """A board whose flash is a folder; /certs/publisher.der and /certs/roots.rtlt are on it."""

    def __init__(self, folder: Path, publisher: Publisher, store: bytes | None) -> None:
        self.folder = folder
        self.store = folder / "certs" / "roots.rtlt"
        self.store.parent.mkdir(parents=True)
        self.store.with_name("publisher.der").write_bytes(publisher.der)
        if store is not None:
            self.store.write_bytes(store)

    def update(self, *urls: str, environment: dict[str, str] | None = None, **request: Any) -> dict[str, Any]:
        """Runs the Updater on a heap that is small for it; whatever happens, no file or socket may stay open."""
        path = self.folder / "request.json"
        path.write_text(json.dumps({"store": str(self.store), "urls": urls, **request}))
        heap = request.pop("heap", "256K")
        output = run_device(UPDATE, str(path), heap=heap, environment=environment)
        result: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
        assert result["left_open"] == 0, "a socket or file stayed open"
        return result

    def run(self, *urls: str, **request: Any) -> dict[str, Any]:
        """The last run of `update`."""
        run: dict[str, Any] = self.update(*urls, **request)["runs"][-1]
        assert run["updated"] == (run["outcome"] == "updated")
        assert (run["error"] is None) or run["outcome"] != "current" or len(urls) > 1
        return run


@pytest.fixture(scope="module", autouse=True)
def on_the_firmware(firmware: Firmware) -> None:
    """Every test here depends on it, unless it is marked `own_firmware`."""


@pytest.fixture(scope="session")
def root() -> pki.Authority:
    return pki.make_ca("session root")


@pytest.fixture(scope="session")
def roots(root: pki.Authority) -> list[pki.Authority]:
    return [root, *(pki.make_ca(f"root {i}") for i in range(3))]


@pytest.fixture(scope="session")
def many_roots(roots: list[pki.Authority]) -> list[pki.Authority]:
    """Enough for a store of 10 KB."""
    return [*roots, *(pki.make_ca(f"another root {i}") for i in range(96))]


@pytest.fixture(scope="session")
def publisher() -> Publisher:
    return Publisher()


MakeBoard = Callable[..., FieldBoard]


@pytest.fixture
def make_board(tmp_path: Path, publisher: Publisher, roots: list[pki.Authority]) -> MakeBoard:
    def make(store: bytes | None = None, name: str = "board") -> FieldBoard:
        return FieldBoard(tmp_path / name, publisher, publisher.store(5, *roots) if store is None else store)

    return make


@pytest.fixture
def board(make_board: MakeBoard) -> FieldBoard:
    """With sequence 5 in force."""
    return make_board()


def etag(data: bytes) -> str:
    return f'"{hashlib.sha256(data).hexdigest()[:16]}"'
