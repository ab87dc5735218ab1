"""A bit of a slot flips, any bit: a valid store stays in force, and the next update is taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .conftest import Releases, run_program


def corrupt(releases: Releases, tmp_path: Path, **request: Any) -> dict[str, Any]:
    folder = tmp_path / "flash"
    folder.mkdir()
    result: dict[str, Any] = run_program(
        "corruption.py", {"folder": str(folder), "stores": releases.paths, **request}, tmp_path
    )
    print(f"{result['bits']} bits, {result['fallbacks']} times the other store took over, {result['updates']} updates")
    return result


def test_every_bit_of_both_slots(releases: Releases, tmp_path: Path) -> None:
    result = corrupt(releases, tmp_path, installed=[1, 2, 11], next=12, step=1, update_step=67)
    assert result["faults"] == []
    assert result["files"] == 5  # two stores, two notes of signers, the state
    assert result["bits"] > 15_000
    assert result["fallbacks"] > 5_000
    assert result["updates"] > 200


def test_bits_all_over_both_slots_of_a_full_store(full_releases: Releases, tmp_path: Path) -> None:
    result = corrupt(full_releases, tmp_path, installed=[1, 2, 11], next=12, step=401, update_step=401 * 61)
    assert result["faults"] == []
    assert result["bits"] > 1_500
    assert result["fallbacks"] > 600


@pytest.fixture
def full_releases(tmp_path: Path) -> Releases:
    """All of Mozilla's roots."""
    from rootlet_host.store import BuildOptions, collect

    anchors = collect(BuildOptions()).anchors
    return Releases.make(tmp_path / "full", dict.fromkeys((1, 2, 11, 12), anchors))
