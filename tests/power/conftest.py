"""Fixtures of the power tests: a publisher's releases, and those of the publisher after."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from rootlet_host.signing import new_publisher_key, publisher_certificate, sign_store
from rootlet_host.store import Anchor, anchor_from_certificate, build_store
from support import pki
from support.board import LIBRARY, run_device

DEVICE = Path(__file__).with_name("device")


def run_program(name: str, request: dict[str, Any], folder: Path) -> Any:
    """Runs a program of tests/power/device; returns the JSON it prints last.

    The request is a file, because the Unix port takes no argument longer than 255 bytes.
    """
    path = folder / "request.json"
    path.write_text(json.dumps(request))
    environment = {"MICROPYPATH": f"{DEVICE}:{LIBRARY}:.frozen"}
    output = run_device(DEVICE / name, str(path), heap="8M", environment=environment)
    return json.loads(output.strip().splitlines()[-1])


@dataclass
class Releases:
    """Stores by sequence. 1 came with the firmware, unsigned, and announces the first publisher, who signed 2, 3, 11
    and 12. 3 announces the second publisher, who signed 4 to 10. 7 to 10 are longer, 11 and 12 shorter."""

    folder: Path

    @property
    def paths(self) -> dict[int, str]:
        return {int(path.stem): str(path) for path in self.folder.iterdir()}

    @classmethod
    def make(cls, folder: Path, contents: dict[int, Sequence[Anchor]]) -> Releases:
        folder.mkdir()
        keys = [new_publisher_key(), new_publisher_key()]
        publishers = [publisher_certificate(f"publisher {i}", key) for i, key in enumerate(keys)]
        for sequence, anchors in contents.items():
            announced = {1: publishers[0], 3: publishers[1]}.get(sequence)
            store = build_store(
                anchors,
                sequence=sequence,
                issued_at=1_700_000_000 + sequence,
                publisher=announced.public_bytes(Encoding.DER) if announced else None,
            )
            if sequence > 1:
                signer = 4 <= sequence <= 10
                store = sign_store(store, keys[signer], publishers[signer])
            folder.joinpath(f"{sequence}.rtlt").write_bytes(store)
        return cls(folder)


@pytest.fixture(scope="session")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Releases:
    anchors = [anchor_from_certificate(pki.make_ca(f"root {i}").certificate) for i in range(52)]
    sizes = {sequence: 4 if sequence < 7 else 52 if sequence < 11 else 3 for sequence in range(1, 13)}
    contents = {sequence: anchors[:size] for sequence, size in sizes.items()}
    return Releases.make(tmp_path_factory.mktemp("power") / "releases", contents)
