"""Puts stores where a static web server or CDN finds them, for boards in the field.

In the folder, for a store `roots.rtlt`:

    roots.rtlt                the store in force, under a name that never changes
    roots.json                its sequence, digest, size and dates, for people and monitoring
    history/roots-<n>.rtlt    every release, by sequence

Each file is replaced in one step, and in the order history, store, JSON: what the JSON names is always there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509

from .errors import HostError, UsageError
from .files import make_folder, write_atomic
from .signing import verify_store
from .store.anchors import time_text
from .store.builder import read_store
from .store.format import Store, series_words

HISTORY = "history"


@dataclass(frozen=True)
class Publication:
    """A store that may be published, and what is there already: `new`, `changed` or `unchanged`."""

    name: str
    data: bytes
    store: Store
    state: str

    @property
    def release(self) -> str:
        """Path of the release in the history, from the folder."""
        return f"{HISTORY}/{Path(self.name).stem}-{self.store.header.sequence}.rtlt"

    def description(self) -> dict[str, Any]:
        """What the JSON beside the store says."""
        header = self.store.header
        return {
            "file": self.name,
            "release": self.release,
            "series": header.series or None,
            "sequence": header.sequence,
            "digest": self.store.digest.hex(),
            "size": len(self.data),
            "issued_at": time_text(header.issued_at),
            "not_used_after": time_text(header.not_used_after) if header.not_used_after else None,
            "anchors": len(self.store.anchors),
            "signed": self.store.envelope is not None,
        }


def examine(
    directory: Path, path: Path, publisher: x509.Certificate | None, *, allow_unsigned: bool = False
) -> Publication:
    """Whether the store at `path` may be published in `directory`. Raises HostError."""
    if path.suffix == ".json":
        raise UsageError(f"{path}: a store's name must not end in .json", remedy="that is the description's")
    data, store = read_store(path)
    if store.envelope is None and not allow_unsigned:
        remedy = "sign it with: rootlet store sign, or give --allow-unsigned"
        raise HostError(f"{path} is not signed: no board takes it from a network", remedy=remedy)
    if publisher is not None and store.envelope is not None:
        verify_store(data, publisher)
    state = "new"
    target = directory / path.name
    if target.exists():
        there, before = read_store(target)
        old, new = before.header.sequence, store.header.sequence
        if new < old or (new == old and before.digest != store.digest):
            remedy = f"build it with --sequence {old + 1} or above"
            raise HostError(f"{path} has sequence {new}, and {target} already has {old}", remedy=remedy)
        theirs, ours = before.header.series, store.header.series
        if theirs not in ("", ours):
            raise HostError(
                f"{path} is of {series_words(ours)}, and {target} of {series_words(theirs)}: boards would refuse it",
                remedy="publish it under another name",
            )
        state = "changed"
        if new == old and (before.envelope is not None or store.envelope is None):
            # Signed once more it would be another file and no other store: every board would fetch it for nothing.
            state, data = "unchanged", there
    publication = Publication(path.name, data, store, state)
    release = directory / publication.release
    if release.exists() and read_store(release)[1].digest != store.digest:
        remedy = "build it with a sequence that was never published"
        raise HostError(f"{release} is another store with the same sequence", remedy=remedy)
    return publication


def write(directory: Path, publication: Publication) -> None:
    """Put the files of `publication` into `directory`, those that are missing or differ."""
    release = directory / publication.release
    make_folder(release.parent)
    description = json.dumps(publication.description(), indent=2, sort_keys=True) + "\n"
    for path, content in (
        (release, publication.data),
        (directory / publication.name, publication.data),
        ((directory / publication.name).with_suffix(".json"), description.encode()),
    ):
        # A file that stays keeps its time, so that web servers keep its ETag.
        if not path.exists() or path.read_bytes() != content:
            write_atomic(path, content)
