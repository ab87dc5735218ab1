"""Power fails at every single write of an update, on real littlefs and FAT: a valid store stays in force."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import Releases, run_program

CutPower = Callable[..., dict[str, Any]]
FATES = ["drop", "half", "garbage", "noise"]
VOLUMES = {
    "littlefs-512": {"kind": "littlefs", "size": 64 * 1024, "block_size": 512},
    "littlefs-4096": {"kind": "littlefs", "size": 128 * 1024, "block_size": 4096},
    "fat-512": {"kind": "fat", "size": 64 * 1024, "block_size": 512},
    "fat-4096": {"kind": "fat", "size": 512 * 1024, "block_size": 4096},
}


@pytest.fixture(params=list(VOLUMES))
def volume(request: pytest.FixtureRequest) -> dict[str, Any]:
    return VOLUMES[request.param]


@pytest.fixture
def cut_power(releases: Releases, volume: dict[str, Any], tmp_path: Path) -> CutPower:
    def cut(**request: Any) -> dict[str, Any]:
        request = {"fates": FATES, "step": "update", "stores": releases.paths, **volume, **request}
        result: dict[str, Any] = run_program("power_loss.py", request, tmp_path)
        name = f"{volume['kind']}, blocks of {volume['block_size']}"
        print(
            f"{name}: {result['points']} points, {result['signatures']} signatures, {result['lost_bytes']} bytes lost"
        )
        return result

    return cut


def lost(result: dict[str, Any]) -> int:
    """Bytes that a failure cost for good. Noise in the free slot's own folder on FAT may cost what was in that slot."""
    lost_bytes = result["lost_bytes"]
    assert lost_bytes.pop("noise") <= 24_576
    return int(max(lost_bytes.values()))


def test_every_write_of_an_update(cut_power: CutPower) -> None:
    result = cut_power(installed=[1, 2, 3, 4], new=5, next=6, in_a_row=100)
    assert result["faults"] == []
    assert result["points"] >= 15
    assert lost(result) == 0
    assert result["signatures"] >= 4


def test_every_write_of_an_update_by_a_new_publisher(cut_power: CutPower) -> None:
    result = cut_power(installed=[1, 2, 3], new=4, next=5)
    assert result["faults"] == []
    assert result["points"] >= 15


@pytest.mark.parametrize("volume", ["littlefs-4096", "fat-512"], indirect=True)
def test_every_write_of_a_download_that_breaks_and_goes_on(cut_power: CutPower) -> None:
    result = cut_power(step="broken", installed=[1, 2, 3, 4, 7, 8], new=9, next=10)
    assert result["faults"] == []
    assert result["resumed_at"] == 4500
    assert lost(result) == 0


def test_every_write_of_a_rollback_over_usb(cut_power: CutPower) -> None:
    result = cut_power(step="rollback", installed=[1, 2, 3, 4, 5, 6], new=5, next=7)
    assert result["faults"] == []
    assert lost(result) == 0


@pytest.mark.parametrize("installed", [[1], [1, 2]])
def test_every_write_of_the_updates_that_make_the_slots(
    cut_power: CutPower, volume: dict[str, Any], installed: list[int]
) -> None:
    # Files and folders are made here. On FAT that writes the tables all files share, and has no defence against noise
    # in them: see docs/updates.md.
    fates = FATES[:3] if volume["kind"] == "fat" else FATES
    new = installed[-1] + 1
    result = cut_power(installed=installed, new=new, next=new + 1, fates=fates)
    assert result["faults"] == []
    assert max(result["lost_bytes"].values()) <= volume["block_size"]


@pytest.mark.parametrize("volume", ["littlefs-4096", "fat-512"], indirect=True)
def test_every_write_of_an_update_to_a_longer_store(cut_power: CutPower, volume: dict[str, Any]) -> None:
    fates = FATES[:3] if volume["kind"] == "fat" else FATES
    result = cut_power(installed=[1, 2, 3, 4], new=7, next=8, fates=fates)
    assert result["faults"] == []
