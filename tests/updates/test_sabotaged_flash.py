"""One of the files that updates need is not what it was: the next update mends it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import FieldBoard, Publisher
from .test_updates import PATH, Roots
from .web import Site, serving

PLACES = (
    "roots.a/store.rtlt",
    "roots.a/signer",
    "roots.a",
    "roots.b/store.rtlt",
    "roots.b/signer",
    "roots.b",
    "roots.state",
    "roots.state/updates.json",
    "publisher.der",
    "roots.rtlt",
)


def folder_with_a_file(path: Path) -> None:
    path.mkdir()
    path.joinpath("file").write_bytes(b"x")


SABOTAGE: dict[str, Callable[[Path], object]] = {
    "gone": lambda path: None,
    "noise": lambda path: path.write_bytes(os.urandom(3000)),
    "folder": folder_with_a_file,
}


@pytest.mark.parametrize("what", SABOTAGE)
def test_three_updates_in_a_row_succeed_whatever_was_sabotaged(
    what: str, tmp_path: Path, publisher: Publisher, roots: Roots
) -> None:
    releases = [publisher.release(sequence, *roots) for sequence in range(5, 10)]
    site = Site()
    with serving(site) as base:
        for i, place in enumerate(PLACES):
            board = FieldBoard(tmp_path / str(i), publisher, releases[0])
            site.files[PATH] = releases[1]
            assert board.run(base + PATH)["outcome"] == "updated"
            path = board.store.parent / place
            if path.is_dir():
                shutil.rmtree(path)
            elif path.exists():
                path.unlink()
            path.parent.mkdir(exist_ok=True)
            SABOTAGE[what](path)
            for sequence, release in enumerate(releases[2:], 7):
                site.files[PATH] = release
                run = board.run(base + PATH)
                assert (run["outcome"], run["sequence"], run["error"]) == ("updated", sequence, None), place
