#!/usr/bin/env python3
"""Fetch `manifestfile.py`, the program of MicroPython's build that reads a firmware's manifest, for the tests.

It is on no package index, so it comes out of the upstream tarball that Debian keeps (6 MB), which must have the SHA-256
that stands below. The result is build/micropython/manifestfile.py; where that is there already, nothing is fetched.

Exit codes: 0 done, 1 it cannot be had.
"""

from __future__ import annotations

import os
import sys
import tarfile
from pathlib import Path
from typing import Final

from debian_archive import Downloader, FetchError, note

MIRROR: Final = "https://deb.debian.org/debian"
TARBALL: Final = "pool/main/m/micropython/micropython_1.25.0+ds.orig.tar.xz"
SHA256: Final = "7b25be99a502f070b2de81dafc08da7051d992325d6e67daa9045a918fffdbea"
SIZE_BYTES: Final = 5_983_992
MEMBER: Final = "/tools/manifestfile.py"
FOLDER: Final = Path(__file__).resolve().parents[2] / "build" / "micropython"


def fetch(folder: Path = FOLDER, mirror: str = MIRROR) -> Path:
    """The path of manifestfile.py below `folder`, fetched if need be. Raises FetchError."""
    target = folder / "manifestfile.py"
    if target.is_file():
        return target
    note(f"fetching {TARBALL.rpartition('/')[2]} for its manifestfile.py")
    tarball = Downloader(mirror, folder / ".cache").fetch(TARBALL, SHA256, SIZE_BYTES)
    with tarfile.open(tarball) as archive:
        member = next((each for each in archive if each.name.endswith(MEMBER) and each.isfile()), None)
        source = archive.extractfile(member) if member else None
        if source is None:
            raise FetchError(f"{TARBALL} has no {MEMBER}")
        new = target.with_suffix(".new")
        new.write_bytes(source.read())
    new.replace(target)
    tarball.unlink()
    return target


def main() -> int:
    try:
        print(fetch())
    except (FetchError, OSError) as error:
        print(f"fetch_manifestfile.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
