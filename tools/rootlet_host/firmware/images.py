"""What a firmware file really is, told from its content and never from its name.

`inspect` finds the format and checks everything the file says about itself: ESP image headers, checksums and
appended SHA-256; the CRC of a DfuSe file; the checksums of Intel HEX; the vector table of a raw binary.
`require_for` then checks that the image belongs to a board of the catalogue.

Sources: ESP-IDF "App Image Format" and "Partition Tables"; ST UM0391 (DfuSe file format); USB DFU 1.1 appendix B
(suffix); Intel "Hexadecimal Object File Format Specification" 1988; ARMv7-M reference manual B1.5.3 (vector table).
"""

from __future__ import annotations

import hashlib
import io
import re
import struct
import zlib
from dataclasses import dataclass, field
from typing import Any

from ..catalogue import Board
from ..errors import HostError

ESP_MAGIC = 0xE9
_ESP_APP_DESCRIPTION = 0xABCD5432
_ESP_PARTITION_TABLE = 0x8000  # CONFIG_PARTITION_TABLE_OFFSET's default, which MicroPython keeps
_ESP_PARTITION_MAGIC = b"\xaa\x50"
_ESP_PARTITION_MD5 = b"\xeb\xeb" + b"\xff" * 14

_DFUSE_PREFIX = struct.Struct("<5sBIB")
_DFUSE_TARGET = struct.Struct("<6sBI255sII")
_DFU_SUFFIX = struct.Struct("<HHHH3sBI")

STM32_FLASH = range(0x0800_0000, 0x0880_0000)
# Where the initial stack pointer of an STM32 may point: CCM or SRAM2, SRAM and DTCM, AXI SRAM, D2/D3 SRAM.
_STM32_RAM = (range(0x1000_0000, 0x1010_0000), range(0x2000_0000, 0x4000_0000))

# MicroPython's start banner: name and version, then "board with chip" (py/mpconfig.h, MICROPY_BANNER_MACHINE).
_BANNER = re.compile(
    rb"MicroPython (v?\d[\w.+-]*) on (\d{4}-\d\d-\d\d); ([\x20-\x7e]{2,60}?) with ([\x20-\x7e]{2,40}?)(?=[\x00\r\n])"
)


@dataclass(frozen=True)
class Segment:
    """Bytes and the address they belong to."""

    address: int
    data: bytes

    @property
    def end(self) -> int:
        return self.address + len(self.data)


@dataclass(frozen=True)
class Image:
    """A checked firmware file. `segments` carry absolute addresses except for `esp` and `bin`, which start at 0."""

    kind: str  # esp, dfu, hex, bin
    name: str
    data: bytes
    segments: tuple[Segment, ...]
    chip: str | None = None  # esptool's name
    version: str | None = None
    machine: str | None = None  # "board with chip" from the start banner
    facts: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def placed(self, board: Board) -> tuple[Segment, ...]:
        """The segments with the addresses they get on `board`."""
        if self.kind in ("esp", "bin"):
            base = board.flash_address or 0
            return tuple(Segment(base + part.address, part.data) for part in self.segments)
        return self.segments

    def as_json(self) -> dict[str, Any]:
        value: dict[str, Any] = {
            "kind": self.kind,
            "name": self.name,
            "bytes": len(self.data),
            "sha256": self.sha256,
            "facts": self.facts,
            "warnings": list(self.warnings),
            "segments": [{"address": part.address, "bytes": len(part.data)} for part in self.segments],
        }
        for key in ("chip", "version", "machine"):
            if getattr(self, key) is not None:
                value[key] = getattr(self, key)
        return value


class ImageError(HostError):
    """The file is not firmware, is damaged, or is for another board."""


def inspect(data: bytes, name: str) -> Image:
    """Find out what `data` is and check all that it states about itself; raises `ImageError`."""
    head = data.lstrip()[:1]
    if not data:
        raise ImageError(f"{name} is empty", remedy="download it again")
    if head == b"<":
        raise ImageError(
            f"{name} is a web page, not firmware", remedy="the address answered with an error page; check it"
        )
    if data.startswith(b"UF2\n"):
        raise ImageError(f"{name} is a UF2 file, which no way to flash here can write", remedy="take the .bin file")
    if data.startswith(b"\x7fELF"):
        raise ImageError(f"{name} is an ELF file with debug data", remedy="take the .bin, .hex or .dfu file")
    if data.startswith((b"PK\x03\x04", b"\x1f\x8b")):
        raise ImageError(f"{name} is an archive", remedy="unpack it and name the firmware inside")
    if data.startswith(b"DfuSe") or data[-8:-5] == b"UFD":
        return _dfu(data, name)
    if data.startswith(b":"):
        return _hex(data, name)
    if data[0] == ESP_MAGIC:
        return _esp(data, name)
    return _bin(data, name)


def require_for(image: Image, board: Board) -> list[str]:
    """Refuse an image that cannot be for `board`; the list holds what could not be checked (one line each)."""
    warnings = list(image.warnings)
    remedy = f"take the firmware of {board.id}: rootlet firmware get {board.id}"
    if (board.port == "esp32") != (image.kind == "esp"):
        raise ImageError(
            f"{image.name} is {_article(image)}, and {board.id} is an {board.port.upper()} board", remedy=remedy
        )
    if image.kind == "esp":
        if image.chip != board.chip:
            raise ImageError(f"{image.name} is for {image.chip}, and {board.id} has an {board.chip}", remedy=remedy)
    else:
        _require_stm32(image, board, remedy)
        if image.machine is None:
            warnings.append("the image does not name its board, so only its addresses could be checked")
        else:
            warnings += _compare_machine(image, board, remedy)
    if board.flash_kib is not None and board.flash_address is not None:
        base = board.flash_address if board.port == "stm32" else 0
        room = base + board.flash_kib * 1024
        end = max(part.end for part in image.placed(board))
        if end > room:
            raise ImageError(
                f"{image.name} needs {end - base} bytes of flash and {board.id} has {room - base}",
                remedy=remedy,
            )
    return warnings


def _article(image: Image) -> str:
    return f"an image for {image.chip}" if image.kind == "esp" else f"an STM32 image ({image.kind})"


def _require_stm32(image: Image, board: Board, remedy: str) -> None:
    parts = image.placed(board)
    start = board.flash_address if board.flash_address is not None else min(part.address for part in parts)
    first = next((part for part in parts if part.address == start), None)
    if first is None:
        raise ImageError(f"{image.name} has nothing at {start:#010x}, where {board.id} starts", remedy=remedy)
    lowest = min(part.address for part in parts)
    if lowest < start:
        raise ImageError(f"{image.name} has data at {lowest:#010x}, below the flash of {board.id}", remedy=remedy)
    problem = vector_table_problem(first.data, start)
    if problem:
        raise ImageError(f"{image.name}: {problem}", remedy=remedy)
    stack = int.from_bytes(first.data[:4], "little")
    if board.ram_kib is not None and 0x2000_0000 <= stack < 0x2100_0000 and image.machine is None:
        # SRAM1 begins at 0x20000000 or after up to 128 KiB of DTCM; a stack far above it is another chip's.
        room = 0x2000_0000 + (board.ram_kib + 256) * 1024
        if stack > room:
            raise ImageError(
                f"{image.name} starts its stack at {stack:#010x}, where {board.id} has no RAM", remedy=remedy
            )


def _compare_machine(image: Image, board: Board, remedy: str) -> list[str]:
    machine, _, chip = (image.machine or "").partition(" with ")
    family = re.match(r"STM32[A-Z]+\d?", board.chip)
    stated = re.match(r"STM32[A-Z]+\d?", chip)
    same_board = _letters(machine) == _letters(board.id)
    if stated and family and stated.group() != family.group() and not same_board:
        raise ImageError(f"{image.name} is for {image.machine}, not for {board.id}", remedy=remedy)
    if not same_board:
        return [f"the image says it is for {machine}, not for {board.id}"]
    return []


def _letters(text: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", text.upper())


def vector_table_problem(data: bytes, address: int) -> str:
    """What is wrong with the ARM vector table at the start of `data`; empty if it is plausible."""
    if len(data) < 8:
        return "too short for a vector table"
    stack, reset = struct.unpack_from("<II", data)
    if stack % 4 or not any(stack in ram or stack == ram.stop for ram in _STM32_RAM):
        return f"no vector table at its start (initial stack pointer {stack:#010x} is not in RAM)"
    if not reset & 1:
        return f"no vector table at its start (reset vector {reset:#010x} is not Thumb code)"
    if reset & ~1 not in STM32_FLASH and not address <= reset < address + 0x0100_0000:
        return f"no vector table at its start (reset vector {reset:#010x} is not in flash)"
    return ""


def _banner(data: bytes) -> tuple[str | None, str | None]:
    found = _BANNER.search(data)
    if not found:
        return None, None
    version, _, machine, chip = (part.decode("ascii") for part in found.groups())
    return version, f"{machine} with {chip}"


def _bin(data: bytes, name: str) -> Image:
    problem = vector_table_problem(data, STM32_FLASH.start)
    if problem:
        raise ImageError(
            f"{name} is no firmware that rootlet knows: {problem}", remedy="give an ESP image, .hex, .dfu or .bin"
        )
    version, machine = _banner(data)
    return Image("bin", name, data, (Segment(0, data),), version=version, machine=machine)


def _hex(data: bytes, name: str) -> Image:
    from intelhex import HexReaderError, IntelHex

    try:
        text = data.decode("ascii")
    except UnicodeDecodeError as error:
        raise ImageError(
            f"{name} is a damaged Intel HEX file (byte {error.start} is not text)", remedy="download it again"
        ) from error
    lines = [line for line in text.splitlines() if line.strip()]
    if lines[-1].strip().upper() != ":00000001FF":
        raise ImageError(f"{name} is cut off: its end record is missing", remedy="download it again")
    reader = IntelHex()
    try:
        reader.loadhex(io.StringIO(text))
    except HexReaderError as error:
        raise ImageError(f"{name} is a damaged Intel HEX file: {error}", remedy="download it again") from error
    parts = tuple(
        Segment(start, bytes(reader.tobinarray(start=start, end=end - 1))) for start, end in reader.segments()
    )
    if not parts:
        raise ImageError(f"{name} is an Intel HEX file without data", remedy="download it again")
    version, machine = _banner(b"\0".join(part.data for part in parts))
    return Image("hex", name, data, parts, version=version, machine=machine)


def _dfu(data: bytes, name: str) -> Image:
    def damaged(what: str) -> ImageError:
        return ImageError(f"{name} is a damaged DfuSe file: {what}", remedy="download it again")

    if len(data) < _DFUSE_PREFIX.size + _DFU_SUFFIX.size:
        raise damaged("too short")
    _, product, vendor, standard, signature, length, crc = _DFU_SUFFIX.unpack(data[-_DFU_SUFFIX.size :])
    if signature != b"UFD" or length != _DFU_SUFFIX.size:
        raise damaged("its suffix is missing, so it is cut off")
    # The CRC of DFU has no final inversion (USB DFU 1.1, appendix B), unlike zlib's.
    if zlib.crc32(data[:-4]) ^ 0xFFFF_FFFF != crc:
        raise damaged("the CRC of its suffix is wrong")
    magic, version_number, image_size, targets = _DFUSE_PREFIX.unpack_from(data)
    if magic != b"DfuSe" or version_number != 1:
        raise ImageError(f"{name} is a DFU file, but not of ST's kind (DfuSe)", remedy="take the .dfu of the board")
    if standard != 0x011A:
        raise damaged(f"DFU version {standard:#06x} instead of 0x011a")
    if image_size != len(data) - _DFU_SUFFIX.size:
        raise damaged("its length does not match its header")
    parts: list[Segment] = []
    offset = _DFUSE_PREFIX.size
    for _ in range(targets):
        if offset + _DFUSE_TARGET.size > image_size:
            raise damaged("a target ends early")
        signature6, _, _, _, target_size, elements = _DFUSE_TARGET.unpack_from(data, offset)
        if signature6 != b"Target":
            raise damaged("a target header is wrong")
        offset += _DFUSE_TARGET.size
        target_end = offset + target_size
        for _ in range(elements):
            if offset + 8 > target_end or target_end > image_size:
                raise damaged("an element ends early")
            address, size = struct.unpack_from("<II", data, offset)
            offset += 8
            if offset + size > target_end:
                raise damaged("an element is longer than its target")
            parts.append(Segment(address, data[offset : offset + size]))
            offset += size
    if not parts:
        raise damaged("it holds no data")
    version, machine = _banner(b"\0".join(part.data for part in parts))
    facts = {"usb_id": f"{vendor:04x}:{product:04x}"}
    return Image("dfu", name, data, tuple(parts), version=version, machine=machine, facts=facts)


def _esp(data: bytes, name: str) -> Image:
    """An image as MicroPython publishes it: boot loader, partition table and application in one file."""
    chip, boot_offset = _esp_chip(data, name)
    _esp_part(data, 0, chip, f"{name}: its boot loader")
    table = _ESP_PARTITION_TABLE - boot_offset
    if data[table : table + 2] != _ESP_PARTITION_MAGIC:
        remedy = "take the .bin file, not the .app-bin file"
        raise ImageError(f"{name} holds no partition table: it is only a part of a firmware", remedy=remedy)
    warnings: list[str] = []
    facts: dict[str, str] = {}
    partitions = _esp_partitions(data[table : table + 0xC00], name)
    application = next((item for item in partitions if item[0] == 0), None)
    if application is None:
        raise ImageError(f"{name} has no application in its partition table", remedy="download it again")
    _, label, start, size = application
    file_offset = start - boot_offset
    hashed, length = _esp_part(data, file_offset, chip, f"{name}: its application")
    if length > size:
        raise ImageError(f"{name}: its application is larger than the partition {label}", remedy="download it again")
    if hashed is None:
        warnings.append("its application carries no SHA-256, only a checksum")
    else:
        facts["application_sha256"] = hashed
    # esp_app_desc_t is the start of the first segment, after the 24-byte header and an 8-byte segment header.
    description = data[file_offset + 32 : file_offset + 32 + 256]
    if len(description) == 256 and struct.unpack_from("<I", description)[0] == _ESP_APP_DESCRIPTION:
        facts["application"] = _c_string(description[48:80])
        facts["idf"] = _c_string(description[112:144])
    version, machine = _banner(data)
    facts["partitions"] = ", ".join(f"{label} {size // 1024} KiB at {start:#x}" for _, label, start, size in partitions)
    return Image(
        "esp", name, data, (Segment(0, data),), chip=chip, version=version, machine=machine, facts=facts,
        warnings=tuple(warnings),
    )  # fmt: skip


def _c_string(raw: bytes) -> str:
    return raw.split(b"\0")[0].decode("ascii", "replace")


def _esp_chip(data: bytes, name: str) -> tuple[str, int]:
    from esptool.targets import CHIP_DEFS

    if len(data) < 24:
        raise ImageError(f"{name} is cut off", remedy="download it again")
    chip_id = struct.unpack_from("<H", data, 12)[0]
    for chip, rom in CHIP_DEFS.items():
        if chip != "esp8266" and chip_id == rom.IMAGE_CHIP_ID:
            return str(chip), int(rom.BOOTLOADER_FLASH_OFFSET)
    raise ImageError(f"{name} is for a chip with the unknown number {chip_id}", remedy="update esptool")


def _esp_part(data: bytes, offset: int, chip: str, what: str) -> tuple[str | None, int]:
    """Check one ESP image inside the file: (its SHA-256 or None, its length)."""
    from esptool.bin_image import LoadFirmwareImage
    from esptool.util import FatalError

    again = "download it again"
    if offset < 0 or len(data) < offset + 24 or data[offset] != ESP_MAGIC:
        raise ImageError(f"{what} is missing", remedy=again)
    appended = data[offset + 23] == 1
    with _quiet_esptool():
        try:
            image = LoadFirmwareImage(chip, data[offset:])
        except (FatalError, struct.error, RuntimeError, ValueError, IndexError) as error:
            raise ImageError(f"{what} is damaged ({_first_line(error)})", remedy=again) from error
    if struct.unpack_from("<H", data, offset + 12)[0] != image.ROM_LOADER.IMAGE_CHIP_ID:
        raise ImageError(f"{what} is for another chip than {chip}", remedy=again)
    if image.checksum != image.calculate_checksum():
        raise ImageError(f"{what} is damaged: its checksum is wrong", remedy=again)
    length = int(image.data_length or 0)
    if not appended:
        return None, length
    if len(image.stored_digest) != 32:
        raise ImageError(f"{what} is cut off", remedy=again)
    if image.stored_digest != image.calc_digest:
        raise ImageError(f"{what} is damaged: its SHA-256 is wrong", remedy=again)
    return image.calc_digest.hex(), length + 32


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__


def _quiet_esptool() -> Any:
    """esptool prints remarks while it reads an image; they are not ours to show."""
    from ..esptool_log import captured

    return captured()


def _esp_partitions(table: bytes, name: str) -> list[tuple[int, str, int, int]]:
    """(type, label, offset, size) of every entry; the table's own MD5 is checked where it has one."""
    found: list[tuple[int, str, int, int]] = []
    for position in range(0, len(table) - 31, 32):
        entry = table[position : position + 32]
        if entry[:16] == _ESP_PARTITION_MD5:
            # The MD5 guards against accidents only; it is what the format defines.
            if hashlib.md5(table[:position], usedforsecurity=False).digest() != entry[16:]:
                raise ImageError(f"{name}: its partition table is damaged", remedy="download it again")
            break
        if entry[:2] != _ESP_PARTITION_MAGIC:
            break
        kind, _, offset, size, label = struct.unpack_from("<BBII16s", entry, 2)
        found.append((kind, _c_string(label), offset, size))
    return found
