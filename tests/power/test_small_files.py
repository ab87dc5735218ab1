"""Power fails while a certificate is stored on first use, or while the time is remembered: whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .conftest import run_program
from .test_power_loss import FATES, VOLUMES


def cut(file: str, volume: dict[str, Any], folder: Path) -> dict[str, Any]:
    # On FAT the tables that all files share have no defence against noise: see docs/updates.md.
    fates = FATES[:3] if volume["kind"] == "fat" else FATES
    result: dict[str, Any] = run_program("small_files.py", {"file": file, "fates": fates, **volume}, folder)
    print(result)
    assert result["faults"] == []
    assert result["points"] >= len(fates)
    return result


@pytest.mark.parametrize("volume", VOLUMES.values(), ids=list(VOLUMES))
def test_certificate_stored_on_first_use_is_there_whole_or_not_at_all(volume: dict[str, Any], tmp_path: Path) -> None:
    result = cut("tofu", volume, tmp_path)
    assert {outcome.split()[1] for outcome in result["outcomes"]} <= {"none", "new"}


@pytest.mark.parametrize("volume", VOLUMES.values(), ids=list(VOLUMES))
def test_remembered_time_is_the_old_or_the_new_one_or_seen_to_be_torn(volume: dict[str, Any], tmp_path: Path) -> None:
    result = cut("clock", volume, tmp_path)
    for outcome, count in result["outcomes"].items():
        fate, found = outcome.rsplit(" ", 1)
        # A write that comes through whole or not at all loses nothing.
        assert found in ("old", "new") or (found == "none" and fate in ("garbage", "noise")), (outcome, count)
