"""The board catalogue: reads firmware/boards.toml and says what a board can do.

Every fact in the file has a source; a board that states a fact without one is refused, so that the catalogue
cannot grow guesses. The command `rootlet boards` lives in `catalogue_commands`.
"""

from __future__ import annotations

import difflib
import functools
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import paths
from .errors import HostError, UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SCHEMA = 1
METHODS = ("esptool", "stlink-drive", "dfu", "serial", "pyocd")
_MANY = 8  # more boards than that help nobody who got a name wrong

# A verified handshake with one anchor loaded took 56 KB of heap (measured on a 32-bit build whose Mbed TLS allocates
# from MicroPython's heap), and most stm32 linker scripts keep 16 KiB for the stack.
_HANDSHAKE_KIB = 56 + 16


@dataclass(frozen=True)
class Note:
    """One sentence about a board and where it was read."""

    text: str
    source: str


@dataclass(frozen=True)
class Board:
    """One board (or one build variant of it). Fields that no source states are None or empty."""

    id: str
    name: str
    port: str
    chip: str
    methods: tuple[str, ...]
    sources: dict[str, str]
    flash_address: int | None = None
    flash_kib: int | None = None
    download: str | None = None
    variant: str | None = None
    formats: tuple[str, ...] = ()
    ram_kib: int | None = None
    heap_kib: int | None = None
    psram: bool = False
    fs_type: str | None = None
    fs_kib: int | None = None
    tls: bool | None = None
    rng: str | None = None
    rng_lies: str | None = None
    network: tuple[str, ...] = ()
    rom_id: int | None = None
    notes: tuple[Note, ...] = field(default=())

    @property
    def file_prefix(self) -> str | None:
        """What the published file names start with, e.g. `ESP32_GENERIC-SPIRAM`."""
        if self.download is None:
            return None
        return f"{self.download}-{self.variant}" if self.variant else self.download

    def as_json(self) -> dict[str, Any]:
        """The board as plain JSON values, with the verdict on TLS."""
        value: dict[str, Any] = {
            name: list(item) if isinstance(item, tuple) else item
            for name, item in vars(self).items()
            if name != "notes" and item is not None
        }
        value["notes"] = [{"text": note.text, "source": note.source} for note in self.notes]
        reasons, remedies = tls_verdict(self)
        value["can_do_tls"] = not reasons
        value["why_not"] = reasons
        value["what_to_do"] = remedies
        return value


def tls_verdict(board: Board) -> tuple[list[str], list[str]]:
    """(why this board cannot make verified TLS connections with stock firmware, what to do); both empty if it can."""
    reasons: list[str] = []
    remedies: list[str] = []
    if board.tls is False:
        reasons.append("its stock firmware is built without TLS (there is no module tls)")
    if board.rng == "no":
        reasons.append("the firmware has no hardware random number generator, so keys could be guessed")
    if not reasons:
        return [], []
    small = board.ram_kib is not None and board.ram_kib < _HANDSHAKE_KIB
    if small:
        reasons.append(f"its {board.ram_kib} KiB of RAM are too few for a handshake")
    if board.rng == "no" or small:
        remedies.append(
            "take a board with TLS and a hardware generator in its stock firmware, such as ESP32_GENERIC_C3 or "
            "NUCLEO_H563ZI"
        )
    if board.tls is False and not small:
        build = "build MicroPython for it with MICROPY_PY_SSL=1 MICROPY_SSL_MBEDTLS=1 and flash it with --file"
        if board.rng == "no":
            build += "; without a generator only pre-shared keys stay possible, no certificate handshake"
        remedies.append(build)
        if not board.network:
            remedies.append("connect a modem on a UART: its stock firmware has no network of its own")
    elif board.rng == "no" and not small:
        remedies.append("or use pre-shared keys, which need no generator")
    return reasons, remedies


class Catalogue:
    """All boards by id."""

    def __init__(self, boards: dict[str, Board]) -> None:
        self.boards = boards

    def __iter__(self) -> Any:
        return iter(self.boards.values())

    def get(self, board_id: str) -> Board:
        """The board named `board_id` (case and - or _ do not matter), or a `UsageError` with near names."""
        wanted = _normal(board_id)
        for board in self.boards.values():
            if _normal(board.id) == wanted:
                return board
        names = {_normal(name): name for name in self.boards}
        matches = [name for name in names if wanted in name] or difflib.get_close_matches(wanted, names)
        near = [names[match] for match in matches] if len(matches) <= _MANY else []
        remedy = f"did you mean {', '.join(near)}?" if near else "rootlet boards lists them"
        raise UsageError(f"there is no board {board_id} in the catalogue", remedy=remedy)

    def of_machine(self, machine: str) -> Board | None:
        """The board that calls itself `machine` (`sys.implementation._machine`: "BOARD with CHIP"), or None.

        Where only the chip is known, one of its boards: what the chip has, like its generator, they have in common.
        """
        name, _, chip = machine.partition(" with ")
        for board in self.boards.values():
            if _normal(board.id) == _normal(name):
                return board
        return next((board for board in self.boards.values() if board.chip.lower() == chip.strip().lower()), None)


def _normal(name: str) -> str:
    return name.upper().replace("-", "_")


@functools.cache
def load(path: Path | None = None) -> Catalogue:
    """The catalogue that belongs to this installation, or the one at `path`."""
    source = path or paths.device_root() / "firmware" / "boards.toml"
    try:
        text = source.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot read the board catalogue {source}: {error.strerror}", remedy="reinstall rootlet"
        ) from error
    return parse(text, str(source))


def parse(text: str, where: str = "boards.toml") -> Catalogue:
    """Check the text of a catalogue; unknown fields, wrong types and facts without a source are errors."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise HostError(f"{where} is not valid TOML: {error}") from error
    if document.get("schema") != SCHEMA:
        raise HostError(f"{where} has schema {document.get('schema')}, this program reads {SCHEMA}")
    ports = document.get("ports", {})
    boards: dict[str, Board] = {}
    for entry in document.get("board", []):
        board = _board(entry, ports, where)
        if board.id in boards:
            raise HostError(f"{where} lists {board.id} twice")
        boards[board.id] = board
    return Catalogue(boards)


_TYPES: dict[str, type] = {
    "id": str,
    "name": str,
    "port": str,
    "chip": str,
    "methods": list,
    "flash_address": int,
    "flash_kib": int,
    "download": str,
    "variant": str,
    "formats": list,
    "ram_kib": int,
    "heap_kib": int,
    "psram": bool,
    "fs_type": str,
    "fs_kib": int,
    "tls": bool,
    "rng": str,
    "rng_lies": str,
    "network": list,
    "rom_id": int,
}
_WITHOUT_SOURCE = {"port", "variant", "notes", "sources"}


def _board(entry: dict[str, Any], ports: dict[str, Any], where: str) -> Board:
    name = entry.get("id", "?")
    for key, value in entry.items():
        if key in ("notes", "sources"):
            continue
        wanted = _TYPES.get(key)
        if wanted is None:
            raise HostError(f"{where}: board {name} has an unknown field {key}")
        if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            raise HostError(f"{where}: board {name}: {key} must be of type {wanted.__name__}")
    for key in ("id", "name", "port", "chip", "methods"):
        if key not in entry:
            raise HostError(f"{where}: board {name} lacks {key}")
    if entry["port"] not in ports:
        raise HostError(f"{where}: board {name} names the port {entry['port']}, which is not described")
    for method in entry["methods"]:
        if method not in METHODS:
            raise HostError(f"{where}: board {name}: unknown way to flash {method}")
    if entry.get("rng", "no") not in ("yes", "no", "radio"):
        raise HostError(f"{where}: board {name}: rng must be yes, no or radio")

    own = entry.get("sources", {})
    shared = ports[entry["port"]].get("sources", {})
    # A variant is built from the folder of its base board.
    folder = entry.get("download", name)
    sources: dict[str, str] = {}
    for key in entry:
        if key in _WITHOUT_SOURCE:
            continue
        stated = own.get(key) or shared.get(key)
        if not stated:
            raise HostError(f"{where}: board {name} states {key} without a source")
        sources[key] = stated.format(board=folder)
    notes: list[Note] = []
    for note in entry.get("notes", []):
        if not note.get("text") or not note.get("source"):
            raise HostError(f"{where}: board {name} has a note without text or source")
        notes.append(Note(note["text"], note["source"]))
    facts: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in entry.items()
        if key not in ("notes", "sources")
    }
    return Board(**facts, sources=sources, notes=tuple(notes))
