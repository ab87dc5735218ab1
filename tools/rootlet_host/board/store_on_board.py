"""The trust stores on a board: which there are, which one is in force, who may sign the next."""

from __future__ import annotations

import ast
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import HostError
from ..output import plain
from .link import understood
from .transport import Board

DEFAULT_PATH = "certs/roots.rtlt"
# States of a store file, in the words of the device's slots.py.
IN_FORCE, VALID, PENDING, DAMAGED = "in force", "valid", "pending", "damaged"

# `_p()`: the path of the updated store that the board's configuration names (the first of `stores`, see config.py on
# the device), or None, and its policy for unsigned stores.
_CONFIGURED = """
def _p():
 try:
  import json
  with open('rootlet.json') as f: c = json.load(f)
  s = c.get('stores') or (None,)
  return s[0], c.get('updates', {}).get('unsigned', 'first-push')
 except (OSError, ValueError, AttributeError):
  return None, 'first-push'
print(repr(_p()))
"""
_LIST = """
def _l(base, unsigned):
 import os
 from rootlet.slots import Slots
 from rootlet.opening import TrustStore, slot_path
 slots = Slots(base, unsigned)
 c = slots.current()
 c = c and c.path
 found = []
 for p in (base, slot_path(base, 'a'), slot_path(base, 'b')):
  try: size = os.stat(p)[6]
  except OSError: continue
  for m in (TrustStore.MAGIC, TrustStore.PENDING):
   try:
    s = TrustStore(p, m)
    state = 'in force' if p == c else 'valid' if m == TrustStore.MAGIC else 'pending'
    r = (p, state, s.sequence, s.issued_at, s.not_used_after, s.count, s.size, s.digest, s.signed, '', s.head[28:32])
    break
   except OSError as e:
    r = (p, 'damaged', 0, 0, 0, 0, size, b'', False, getattr(e, 'message', str(e)), b'')
  found.append(r)
 return found, slots.publishers()
print(repr(_l(%r, %r)))
del _l
"""


@dataclass(frozen=True)
class StoreOnBoard:
    """One store file. Times in seconds since 1970 (0: none); `size_bytes` is without what an older one left behind."""

    path: str
    state: str  # IN_FORCE, VALID (older than the one in force), PENDING (never accepted) or DAMAGED
    sequence: int
    issued_at: int
    not_used_after: int
    anchors: int
    size_bytes: int
    digest: str  # the header's SHA-256, hexadecimal
    signed: bool
    fault: str  # what is wrong with a damaged one
    series: str  # see store/format.py: Header

    def to_json(self) -> dict[str, Any]:
        """Everything, with names and values that JSON has."""
        return asdict(self)


@dataclass(frozen=True)
class StoresOnBoard:
    """Everything about one store path of a board and its two slots."""

    path: str
    unsigned: str  # the board's policy: never, first-push or usb
    stores: tuple[StoreOnBoard, ...]
    publishers: tuple[bytes, ...]  # DER of the certificates that may have signed the next store

    @property
    def in_force(self) -> StoreOnBoard | None:
        """The store that the board uses, if there is one."""
        return next((store for store in self.stores if store.state == IN_FORCE), None)

    @property
    def free_slot_bytes(self) -> int:
        """The size of the store that the next one will be written over; 0 if there is none yet."""
        in_force = self.in_force
        free = "b" if in_force is not None and in_force.path.endswith(".a/store.rtlt") else "a"
        return next((store.size_bytes for store in self.stores if store.path.endswith(f".{free}/store.rtlt")), 0)


def stores_on_board(board: Board, path: str | None = None) -> StoresOnBoard:
    """What is at `path` (default: what the board's configuration names, else certs/roots.rtlt) and in its slots.

    Raises `HostError` when rootlet is not installed on the board.
    """
    info = board.identify()
    if info.rootlet_version is None:
        raise HostError(
            f"rootlet is not installed on the board on {board.port}",
            remedy="install it with: rootlet deploy" if info.has_tls else "its firmware has no module tls",
        )
    with understood(board.port):
        configured, unsigned = map(str, _value(board, _CONFIGURED))
    base = path or (configured if str(configured).endswith(".rtlt") else None) or info.path(DEFAULT_PATH)
    with understood(board.port):
        found, publishers = _value(board, _LIST % (base, unsigned))
        stores = tuple(_store(*entry) for entry in found)
        return StoresOnBoard(base, unsigned, stores, tuple(map(_bytes, publishers)))


def pull(board: Board, store: StoreOnBoard) -> bytes:
    """The bytes of `store`, as they were before it was put on the board."""
    return board.get(store.path)[: store.size_bytes]


def _store(
    path: str, state: str, sequence: int, issued: int, until: int, anchors: int, size: int, digest: bytes, *rest: Any
) -> StoreOnBoard:
    signed, fault, series = rest
    return StoreOnBoard(
        str(path),
        str(state),
        int(sequence),
        int(issued),
        int(until),
        int(anchors),
        int(size),
        _bytes(digest).hex(),
        bool(signed),
        plain(str(fault)),
        plain(_bytes(series).rstrip(b"\0").decode("latin-1")),
    )


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError("not bytes")
    return value


def _value(board: Board, code: str) -> Any:
    answer = board.run(code, timeout_s=60).strip().splitlines()
    with understood(board.port):
        return ast.literal_eval(answer[-1])
