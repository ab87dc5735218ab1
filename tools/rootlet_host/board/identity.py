"""What a board says of itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..errors import HostError
from ..output import plain

LEAST_VERSION = (1, 24, 0)
LEAST_VERSION_TEXT = ".".join(map(str, LEAST_VERSION[:2]))

# Runs on every MicroPython from v1.20 on.
_QUESTION = """
def _identify():
 import gc, os, sys
 i = sys.implementation
 d = {'version': tuple(i.version[:3]), 'suffix': i.version[3] if len(i.version) > 3 else '', 'platform': sys.platform,
  'machine': getattr(i, '_machine', ''), 'mpy': getattr(i, '_mpy', 0), 'tls': False, 'mbedtls': '', 'deflate': True,
  'sha256': False, 'urandom': hasattr(os, 'urandom'), 'id': '', 'rootlet': None, 'root': '/', 'verify_callback': False,
  'store': None}
 try:
  import tls
  d['tls'] = True
  d['mbedtls'] = getattr(tls, 'MBEDTLS_VERSION', '')
  d['verify_callback'] = hasattr(tls.SSLContext(tls.PROTOCOL_TLS_CLIENT), 'verify_callback')
 except ImportError:
  pass
 try:
  import deflate
 except ImportError:
  d['deflate'] = False
 try:
  from hashlib import sha256
  d['sha256'] = True
 except ImportError:
  pass
 try:
  import machine
  d['id'] = bytes(machine.unique_id()).hex()
 except (ImportError, AttributeError):
  pass
 try:
  import rootlet
  d['rootlet'] = rootlet.__version__
 except (ImportError, AttributeError):
  pass
 s = os.statvfs('/')
 if not s[2]:
  n = [n[0] for n in os.ilistdir('/') if n[1] == 0x4000 and n[0] != 'rom']
  d['root'] = '/' + ('flash' if 'flash' in n else n[0])
  s = os.statvfs(d['root'])
 d['flash'] = ((s[1] or s[0]) * s[4], (s[1] or s[0]) * s[2])
 del s, i
 gc.collect()
 d['heap'] = (gc.mem_free(), gc.mem_free() + gc.mem_alloc())
 if d['rootlet']:
  p = d['root'].rstrip('/') + '/certs/roots.rtlt'
  try:
   import json
   with open('rootlet.json') as f: p = (json.load(f).get('stores') or (p,))[0]
  except (OSError, ValueError, AttributeError): pass
  try:
   from rootlet.opening import current
   t = current(p)
   d['store'] = (t.path, t.sequence, bytes(t.digest).hex())
  except (ImportError, OSError, MemoryError): pass
  gc.collect()
 return d
print(repr(_identify()))
del _identify
"""

# sys.implementation._mpy >> 10 (py/persistentcode.h)
_ARCHITECTURES = (
    None, "x86", "x64", "armv6", "armv6m", "armv7m", "armv7em", "armv7emsp", "armv7emdp", "xtensa", "xtensawin",
    "rv32imc", "rv64imc",
)  # fmt: skip


@dataclass(frozen=True)
class BoardInfo:
    """One board, as it was when it was asked. Sizes in bytes."""

    port: str
    version: tuple[int, int, int]  # of MicroPython
    version_text: str  # with the suffix of a preview
    machine: str
    platform: str  # sys.platform: esp32, pyboard (stm32), linux …
    mpy_version: str  # of the .mpy files it loads, like "6.3"; empty: it loads none
    mpy_architecture: str | None  # of the native code it runs from them, as mpy-cross names it
    has_tls: bool
    mbedtls_version: str  # like "3.6.2"; empty if the firmware does not tell
    has_verify_callback: bool
    has_deflate: bool
    has_sha256: bool
    has_urandom: bool
    heap_free_bytes: int
    heap_total_bytes: int
    root: str  # the directory that the internal file system is mounted at: "/", on stm32 "/flash"
    flash_free_bytes: int
    flash_total_bytes: int
    unique_id: str  # hexadecimal; empty if there is none
    rootlet_version: str | None  # of the device package; None: it is not installed
    store_path: str | None  # of the trust store in force; None: there is none, or no rootlet to ask
    store_sequence: int | None
    store_digest: str | None  # hexadecimal

    def path(self, name: str) -> str:
        """The absolute path of `name` on the internal file system, wherever that is mounted."""
        return self.root.rstrip("/") + "/" + name.lstrip("/")

    def to_json(self) -> dict[str, Any]:
        """Everything, with names and values that JSON has."""
        return asdict(self)


def _text(value: Any) -> str | None:
    return None if value is None else plain(str(value))


def require_firmware(info: BoardInfo) -> None:
    """Raise `HostError` if rootlet cannot run on this firmware."""
    remedy = "see rootlet boards for firmware that can, then rootlet flash"
    where = f"the firmware on {info.port} ({info.machine or info.platform})"
    if info.version < LEAST_VERSION:
        raise HostError(
            f"{where} is MicroPython {info.version_text}, rootlet takes {LEAST_VERSION_TEXT} or later", remedy=remedy
        )
    for has, what in ((info.has_tls, "module tls"), (info.has_sha256, "hashlib.sha256")):
        if not has:
            raise HostError(f"{where} has no {what}", remedy=remedy)


def question() -> str:
    """The program that asks; its output is for `parse`."""
    return _QUESTION


def parse(port: str, answer: dict[str, Any]) -> BoardInfo:
    """The value that the program printed, as a `BoardInfo`."""
    version = tuple(int(part) for part in answer["version"])
    mpy = int(answer["mpy"])
    architecture = mpy >> 10
    path, sequence, digest = answer["store"] or (None, None, None)
    heap_free_bytes, heap_total_bytes = map(int, answer["heap"])
    flash_free_bytes, flash_total_bytes = map(int, answer["flash"])
    return BoardInfo(
        port=port,
        version=(version[0], version[1], version[2]),
        version_text=".".join(str(part) for part in version) + (f"-{answer['suffix']}" if answer["suffix"] else ""),
        machine=plain(str(answer["machine"])),
        platform=plain(str(answer["platform"])),
        mpy_version=f"{mpy & 0xFF}.{mpy >> 8 & 3}" if mpy else "",
        mpy_architecture=_ARCHITECTURES[architecture] if architecture < len(_ARCHITECTURES) else None,
        has_tls=bool(answer["tls"]),
        mbedtls_version=plain((answer["mbedtls"].split() or [""])[-1]),
        has_verify_callback=bool(answer["verify_callback"]),
        has_deflate=bool(answer["deflate"]),
        has_sha256=bool(answer["sha256"]),
        has_urandom=bool(answer["urandom"]),
        heap_free_bytes=heap_free_bytes,
        heap_total_bytes=heap_total_bytes,
        root=str(answer["root"]),
        flash_free_bytes=flash_free_bytes if flash_free_bytes <= flash_total_bytes else 0,  # see Board.space
        flash_total_bytes=flash_total_bytes,
        unique_id=plain(str(answer["id"])),
        rootlet_version=_text(answer["rootlet"]),
        store_path=_text(path),
        store_sequence=None if sequence is None else int(sequence),
        store_digest=_text(digest),
    )
