"""Builds valid firmware files in memory: ESP images with esptool's own classes, STM32 images as .hex, .dfu and .bin."""

from __future__ import annotations

import hashlib
import io
import random
import struct
import zlib

from esptool.bin_image import ELFSection
from esptool.targets import CHIP_DEFS
from intelhex import IntelHex

PARTITION_TABLE = 0x8000
APPLICATION = 0x10000

# A board of the catalogue for each chip.
ESP32_BOARDS = {
    "esp32": "ESP32_GENERIC",
    "esp32s2": "ESP32_GENERIC_S2",
    "esp32s3": "ESP32_GENERIC_S3",
    "esp32c3": "ESP32_GENERIC_C3",
    "esp32c6": "ESP32_GENERIC_C6",
}

# (address of the boot loader's segment in RAM, address of the application's in instruction RAM)
_RAM = {
    "esp32": (0x3FFF0000, 0x40080400),
    "esp32s2": (0x3FFE6000, 0x40024000),
    "esp32s3": (0x3FCD0000, 0x40374000),
    "esp32c3": (0x3FCD6000, 0x40380000),
    "esp32c6": (0x40860000, 0x40800000),
}


def filler(size: int, seed: int = 1) -> bytes:
    """Bytes that compress badly, the same in every run."""
    return random.Random(seed).randbytes(size)


def banner(machine: str, version: str = "v1.26.1") -> bytes:
    return f"\0MicroPython {version} on 2025-09-11; {machine}\r\n\0".encode()


def _esp_image(chip: str, segments: list[tuple[int, bytes]], *, digest: bool = True) -> bytes:
    image = CHIP_DEFS[chip].BOOTLOADER_IMAGE()
    image.append_digest = digest
    image.entrypoint = segments[0][0]
    image.segments = [ELFSection(b".rodata", address, data, 0) for address, data in segments]
    made = image.save(None)
    assert made is not None
    return bytes(made)


def partition_table(*entries: tuple[int, int, int, int, str]) -> bytes:
    """(type, subtype, offset, size, label) each; with the MD5 that the IDF appends."""
    table = b"".join(
        b"\xaa\x50" + struct.pack("<BBII16sI", kind, sub, offset, size, label.encode(), 0)
        for kind, sub, offset, size, label in entries
    )
    table += b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(table, usedforsecurity=False).digest()
    return table.ljust(0xC00, b"\xff")


def esp_firmware(chip: str, size: int = 60_000, version: str = "v1.26.1", *, digest: bool = True) -> bytes:
    """Boot loader, partition table and application of about `size` bytes, as MicroPython publishes them."""
    ram, iram = _RAM[chip]
    offset = CHIP_DEFS[chip].BOOTLOADER_FLASH_OFFSET
    description = (
        struct.pack("<II8x", 0xABCD5432, 0) + version.encode().ljust(32, b"\0") + b"micropython".ljust(32, b"\0")
    )
    description = (description + bytes(32) + b"v5.4.2".ljust(32, b"\0")).ljust(256, b"\0")
    constants = description + banner(f"Generic {chip.upper()} module with {chip.upper()}", version) + filler(size)
    code = filler(2_000, seed=2)
    boot = _esp_image(chip, [(ram, filler(4_000, seed=3))])
    application = _esp_image(chip, [(CHIP_DEFS[chip].DROM_MAP_START + 0x20, constants), (iram, code)], digest=digest)
    table = partition_table(
        (1, 2, 0x9000, 0x6000, "nvs"), (1, 1, 0xF000, 0x1000, "phy_init"), (0, 0, APPLICATION, 0x1F0000, "factory"),
        (1, 0x81, 0x200000, 0x200000, "vfs"),
    )  # fmt: skip
    whole = boot.ljust(PARTITION_TABLE - offset, b"\xff") + table
    return whole.ljust(APPLICATION - offset, b"\xff") + application


def stm32_parts(
    machine: str = "NUCLEO-F401RE with STM32F401xE", size: int = 20_000, stack: int = 0x2001_8000
) -> list[tuple[int, bytes]]:
    """The two parts of an STM32F4 firmware: vector table in sector 0, text after the file system."""
    vectors = struct.pack("<II", stack, 0x0802_0401) + filler(1_016, seed=4)
    return [(0x0800_0000, vectors), (0x0802_0000, filler(0x400, seed=5) + banner(machine) + filler(size, seed=6))]


def as_hex(parts: list[tuple[int, bytes]]) -> bytes:
    writer = IntelHex()
    for address, data in parts:
        writer.frombytes(data, offset=address)
    text = io.StringIO()
    writer.write_hex_file(text)
    return text.getvalue().encode()


def as_dfu(parts: list[tuple[int, bytes]]) -> bytes:
    """A DfuSe file (ST UM0391) with one target."""
    elements = b"".join(struct.pack("<II", address, len(data)) + data for address, data in parts)
    target = struct.pack("<6sBI255sII", b"Target", 0, 1, b"ST...", len(elements), len(parts)) + elements
    body = struct.pack("<5sBIB", b"DfuSe", 1, 11 + len(target), 1) + target
    body += struct.pack("<HHHH3sB", 0, 0xDF11, 0x0483, 0x011A, b"UFD", 16)
    return body + struct.pack("<I", zlib.crc32(body) ^ 0xFFFF_FFFF)
