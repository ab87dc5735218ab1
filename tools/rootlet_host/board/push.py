"""Puts a trust store on a board over USB, so that the old one stays in force until the new one is known good."""

from __future__ import annotations

import ast
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509

from ..errors import HostError
from ..output import plain
from ..signing import SignatureError, verify_store
from ..store.format import Store, decode_store, series_words
from .identity import require_firmware
from .link import understood
from .store_on_board import StoreOnBoard, StoresOnBoard, stores_on_board
from .transport import Board, BoardError, BoardInfo, LinkError

Progress = Callable[[str, int, int], None]
"""`progress(phase, done, total)`: the phase in a word or two, both numbers in bytes of the store."""

_PENDING = b"RTL-"  # what a slot begins with until its store is accepted: TrustStore.PENDING on the device
_ENOSPC = 28
# Signature, digest and every record are checked in one go; a slow board takes seconds for it.
_COMMIT_TIMEOUT_S = 120.0
_SAMPLE = 8

_BEGIN = """
from rootlet.slots import Slots, SlotFile
_slots = Slots(%r, %r)
_path = _slots.free_path()
_file = SlotFile(_path)
_w = _file.write
print(repr(_path))
"""
_HASH = """
def _n(p, n):
 from hashlib import sha256
 h = sha256()
 b = memoryview(bytearray(1024))
 with open(p, 'rb') as f:
  while n:
   g = f.readinto(b[:min(n, 1024)])
   if not g: break
   h.update(b[:g])
   n -= g
   _k()
 return h.digest()
print(repr(_n(_path, %d)))
"""
_COMMIT = """
_k()
try:
 _slots.commit(_path, usb=True, rollback=%r)
 print(repr(('', '', '', 0)))
except (OSError, MemoryError) as e:
 print(repr((type(e).__name__, getattr(e, 'message', str(e)), getattr(e, 'remedy', ''), e.args[0] if e.args else 0)))
_k()
"""
# What the board can do with its new store: find it in force, make certificates from some of its records that Mbed TLS
# takes, get random numbers, know the time.
_SELF_TEST = """
def _t(base, sample):
 import gc, tls
 from rootlet.opening import current
 from rootlet.anchor import Anchor
 s = current(base)
 yield 'store', 'ok', (s.sequence, bytes(s.digest).hex())
 name = b'0\\r1\\x0b0\\t\\x06\\x03U\\x04\\x03\\x0c\\x02ok'
 start, end, _ = s.layout()
 taken = refused = 0
 with open(s.path, 'rb') as f:
  for i in range(0, s.count, max(1, s.count // sample)):
   f.seek(64 + 8 * i)
   e = f.read(16)
   at = start + (e[5] | e[6] << 8 | e[7] << 16)
   to = start + (e[13] | e[14] << 8 | e[15] << 16) if i + 1 < s.count else end
   f.seek(at)
   try:
    tls.SSLContext(tls.PROTOCOL_TLS_CLIENT).load_verify_locations(Anchor(f.read(to - at)).certificate(name, 1))
    taken += 1
   except (OSError, ValueError): refused += 1
   e = None
   gc.collect()
   _k()
 yield 'anchors', 'warn' if refused else 'ok', (taken, refused)
 for word in ('entropy', 'clock'):
  try:
   m = getattr(__import__('rootlet.' + word), word)
   m.check((s,)) if word == 'clock' else m.check()
   yield word, 'ok', ''
  except (ImportError, AttributeError): pass
  except OSError as e: yield word, 'warn', getattr(e, 'message', str(e))
for _r in _t(%r, %d): print(repr(_r))
"""


@dataclass(frozen=True)
class Check:
    """One line of the self-test: `state` is ok or warn."""

    name: str
    state: str
    detail: str


@dataclass(frozen=True)
class Outcome:
    """What became of one board. `result` is pushed, unchanged or would push (on a dry run)."""

    info: BoardInfo
    result: str
    path: str
    sequence: int
    sequence_before: int | None
    size: int
    sent: int = 0  # bytes that went to the board for them
    seconds: float = 0.0  # for sending, reading back and hashing
    checks: tuple[Check, ...] = field(default=())

    @property
    def bytes_per_second(self) -> float:
        """Content by time."""
        return self.size / self.seconds if self.seconds else 0.0


def push(
    board: Board,
    data: bytes,
    *,
    path: str | None = None,
    rollback: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Outcome:
    """Put the store `data` in force on `board`.

    Refused before a byte is written: a damaged file, firmware that cannot use it, a sequence that is not above the one
    in force or another series (unless `rollback`), a signature that the board would refuse, too little flash. Nothing
    is sent if the store is in force already. Whatever else fails, and wherever, the store that was in force stays so.
    """
    report = progress or (lambda phase, done, total: None)
    store = decode_store(data)
    report("asking", 0, len(data))
    if not dry_run:
        # A running program would share the memory that checking the signature needs.
        board.soft_reset()
    info = board.identify(again=True)
    require_firmware(info)
    there = stores_on_board(board, path)
    before = there.in_force
    sequence_before = before.sequence if before else None
    if before is not None and before.digest == store.digest.hex():
        return Outcome(info, "unchanged", before.path, store.header.sequence, sequence_before, len(data))
    _require_successor(info.port, store, before, rollback)
    _require_signature(info.port, data, store, there)
    _require_space(board, data, there)
    if dry_run:
        return Outcome(info, "would push", there.path, store.header.sequence, sequence_before, len(data))
    start = time.monotonic()
    committed = False
    try:
        board.make_directories(there.path.rpartition("/")[0])
        slot = str(_values(board, _BEGIN % (there.path, there.unsigned))[-1])
        sent = board.send(data, lambda done, total: report("sending", done, total))
        board.run("_file.close()")
        report("reading back", len(data), len(data))
        arrived = _values(board, _HASH % len(data))[-1]
        if arrived != hashlib.sha256(_PENDING + data[len(_PENDING) :]).digest():
            raise HostError(
                f"the store did not arrive on {info.port} as it was sent", remedy="try again, check the cable"
            )
        seconds = time.monotonic() - start
        report("checking", len(data), len(data))
        with understood(info.port):
            kind, message, remedy, number = _values(board, _COMMIT % rollback)[-1]
        if number == _ENOSPC:
            raise _full(info.port)
        if kind:
            raise _refusal(info.port, kind, message, remedy)
        committed = True
    except BoardError as error:
        raise _failure(board, error) from error
    except LinkError as error:
        if committed:
            raise
        raise LinkError(
            f"{error.message}; the board uses the store it had before", remedy="connect it again and repeat the push"
        ) from error
    report("testing", len(data), len(data))
    checks = _self_test(board, there.path, store)
    return Outcome(info, "pushed", slot, store.header.sequence, sequence_before, len(data), sent, seconds, checks)


def _require_successor(port: str, store: Store, before: StoreOnBoard | None, rollback: bool) -> None:
    if before is None or rollback:
        return
    series = store.header.series
    if before.series not in ("", series):
        raise HostError(
            f"the store is of {series_words(series)}, and the one in force on {port} of {series_words(before.series)}",
            remedy="push the store that is meant for this board, or give --rollback to change over on purpose",
        )
    if store.header.sequence > before.sequence:
        return
    raise HostError(
        f"the store has sequence {store.header.sequence}, and on {port} {before.sequence} is in force",
        remedy="push a newer store, or give --rollback to go back on purpose",
    )


def _require_signature(port: str, data: bytes, store: Store, there: StoresOnBoard) -> None:
    """Refuse what `Slots.commit` on the board would refuse after everything was sent."""
    if store.envelope is None:
        if there.unsigned == "usb" or (there.unsigned == "first-push" and not there.publishers):
            return
        why = "the board knows a publisher" if there.publishers else f"its setting is unsigned = {there.unsigned}"
        raise HostError(
            f"the store is not signed, and the board on {port} takes only signed ones: {why}",
            remedy="sign it with: rootlet store sign",
        )
    if not there.publishers:
        if there.unsigned == "never":
            raise HostError(
                f"the board on {port} knows no publisher to check the signature against",
                remedy="its configuration says unsigned = never: deploy one that allows the first push, or put the "
                "publisher's certificate at publisher.der beside the store",
            )
        return
    failure: HostError | None = None
    for der in there.publishers:
        try:
            verify_store(data, x509.load_der_x509_certificate(der))
            return
        except SignatureError as error:
            failure = error
        except (HostError, ValueError):
            return  # a publisher that this host cannot judge: the board will
    if failure is not None:
        raise HostError(f"the board on {port} would refuse the store: {failure.message}", remedy=failure.remedy)


def _require_space(board: Board, data: bytes, there: StoresOnBoard) -> None:
    space = board.space()
    needed = space.bytes_for(len(data)) + 4 * space.block_bytes
    reused = 0 if space.copies_on_write else there.free_slot_bytes
    if space.free_bytes + reused < needed:
        raise HostError(
            f"the store needs {needed} bytes and the flash of the board on {board.port} has {space.free_bytes} free",
            remedy="remove something from it, or build a smaller store (rootlet store build --ecc-only, --host-list)",
        )


def _values(board: Board, code: str) -> list[Any]:
    """The values that `code` prints, one a line."""
    lines = board.run(code, timeout_s=_COMMIT_TIMEOUT_S).strip().splitlines()
    with understood(board.port):
        return [ast.literal_eval(line) for line in lines if line] or [None]


def _refusal(port: str, kind: str, message: str, remedy: str) -> HostError:
    if kind == "MemoryError":
        return HostError(
            f"the board on {port} has not enough memory to check the store", remedy="deploy .mpy files to it"
        )
    return HostError(f"the board on {port} refuses the store: {message}", remedy=remedy)


def _full(port: str) -> HostError:
    return HostError(
        f"the flash of the board on {port} is full; it uses the store it had before", remedy="remove something from it"
    )


def _failure(board: Board, error: BoardError) -> HostError:
    if error.errno == _ENOSPC:
        return _full(board.port)
    if error.kind == "MemoryError":
        return HostError(f"the memory of the board on {board.port} is full", remedy="deploy .mpy files to it")
    return error


def _self_test(board: Board, path: str, store: Store) -> tuple[Check, ...]:
    try:
        results = _values(board, _SELF_TEST % (path, _SAMPLE))
    except BoardError as error:
        raise HostError(
            f"the store is in force, but the self-test failed: {error.message}", remedy=error.remedy
        ) from error
    checks: list[Check] = []
    with understood(board.port):
        for name, state, detail in results:
            if name == "store":
                if detail != (store.header.sequence, store.digest.hex()):
                    raise HostError(
                        f"the board on {board.port} accepted the store but uses sequence {detail[0]}",
                        remedy="reset the board; if that does not help, deploy rootlet again",
                    )
                detail = f"sequence {detail[0]} is in force"
            elif name == "anchors":
                detail = f"{detail[0]} of {sum(detail)} sampled anchors load into Mbed TLS"
            checks.append(Check(plain(str(name)), plain(str(state)), plain(str(detail))))
    return tuple(checks)
