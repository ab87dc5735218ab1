"""Firmware files are judged by their content: format, checksums, chip, board, size."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rootlet_host.catalogue import load
from rootlet_host.errors import HostError
from rootlet_host.firmware.images import ImageError, inspect, require_for
from simulators.firmware import APPLICATION, ESP32_BOARDS, as_dfu, as_hex, banner, esp_firmware, filler, stm32_parts

F401 = load().get("NUCLEO_F401RE")
ESP32_IMAGE = esp_firmware("esp32")


def flipped(data: bytes, position: int) -> bytes:
    changed = bytearray(data)
    changed[position] ^= 0x04
    return bytes(changed)


@pytest.mark.parametrize(("chip", "board"), ESP32_BOARDS.items())
def test_an_esp_image_is_recognised_with_its_chip_version_and_hash(chip: str, board: str) -> None:
    image = inspect(esp_firmware(chip), "firmware.bin")
    assert (image.kind, image.chip, image.version) == ("esp", chip, "v1.26.1")
    assert image.facts["application"] == "micropython"
    assert len(image.facts["application_sha256"]) == 64
    assert require_for(image, load().get(board)) == []


@pytest.mark.parametrize(
    ("position", "part"),
    [
        (0x200, "boot loader"),  # inside the boot loader's segment
        (0x7000 + 0x0C, "partition table"),
        (APPLICATION - 0x1000 + 0x800, "application"),
        (len(ESP32_IMAGE) - 40, "application"),
        (len(ESP32_IMAGE) - 1, "application"),  # the appended SHA-256 itself
    ],
)
def test_one_wrong_bit_in_any_part_of_an_esp_image_is_found(position: int, part: str) -> None:
    with pytest.raises(ImageError, match=part):
        inspect(flipped(ESP32_IMAGE, position), "firmware.bin")


@pytest.mark.parametrize("length", [10, 0x100, 0x7000, 0xF000, 0xF020, len(ESP32_IMAGE) - 1])
def test_an_esp_image_that_is_cut_off_is_refused(length: int) -> None:
    with pytest.raises(ImageError):
        inspect(ESP32_IMAGE[:length], "firmware.bin")


def test_an_application_alone_is_not_a_firmware() -> None:
    with pytest.raises(ImageError, match="only a part") as caught:
        inspect(ESP32_IMAGE[APPLICATION - 0x1000 :], "x.app-bin")
    assert ".app-bin" in caught.value.remedy


def test_an_application_without_a_hash_is_accepted_with_a_warning() -> None:
    image = inspect(esp_firmware("esp32c3", digest=False), "firmware.bin")
    assert any("no SHA-256" in warning for warning in image.warnings)


def test_an_esp_image_for_another_chip_is_refused() -> None:
    with pytest.raises(ImageError, match="is for esp32, and ESP32_GENERIC_S3 has an esp32s3"):
        require_for(inspect(ESP32_IMAGE, "firmware.bin"), load().get("ESP32_GENERIC_S3"))


def test_an_unknown_chip_number_is_refused() -> None:
    changed = bytearray(ESP32_IMAGE)
    struct.pack_into("<H", changed, 12, 0x7777)
    with pytest.raises(ImageError, match="unknown number"):
        inspect(bytes(changed), "firmware.bin")


def test_images_of_the_other_family_are_refused_both_ways() -> None:
    with pytest.raises(ImageError, match="NUCLEO_F401RE is an STM32 board"):
        require_for(inspect(ESP32_IMAGE, "firmware.bin"), F401)
    with pytest.raises(ImageError, match="ESP32_GENERIC is an ESP32 board"):
        require_for(inspect(as_hex(stm32_parts()), "x.hex"), load().get("ESP32_GENERIC"))


def test_an_image_larger_than_the_flash_is_refused() -> None:
    image = inspect(ESP32_IMAGE + b"\xff" * (4 * 1024 * 1024), "firmware.bin")
    with pytest.raises(ImageError, match="bytes of flash"):
        require_for(image, load().get("ESP32_GENERIC"))


def test_hex_and_dfu_carry_the_same_parts_and_the_banner() -> None:
    parts = stm32_parts()
    images = [inspect(as_hex(parts), "x.hex"), inspect(as_dfu(parts), "x.dfu")]
    for image in images:
        assert [(part.address, part.data) for part in image.placed(F401)] == parts
        assert image.machine == "NUCLEO-F401RE with STM32F401xE"
        assert require_for(image, F401) == []
    assert images[1].facts["usb_id"] == "0483:df11"


def test_a_raw_binary_is_placed_at_the_start_of_flash() -> None:
    image = inspect(stm32_parts()[0][1] + banner("NUCLEO-F401RE with STM32F401xE"), "x.bin")
    assert image.kind == "bin"
    assert image.placed(F401)[0].address == 0x0800_0000
    assert require_for(image, F401) == []


def test_a_wrong_hex_checksum_is_found() -> None:
    lines = as_hex(stm32_parts()).decode().splitlines()
    digit = lines[7][20]
    lines[7] = lines[7][:20] + ("0" if digit != "0" else "1") + lines[7][21:]
    with pytest.raises(ImageError, match="damaged Intel HEX"):
        inspect("\n".join(lines).encode(), "x.hex")


def test_a_hex_file_without_its_end_record_is_cut_off() -> None:
    text = as_hex(stm32_parts())
    with pytest.raises(ImageError, match="cut off"):
        inspect(text[: len(text) // 2 // 45 * 45], "x.hex")


@pytest.mark.parametrize("position", [6, 12, 300, 2_000, -20, -14, -1])
def test_one_wrong_bit_in_a_dfu_file_is_found(position: int) -> None:
    with pytest.raises(ImageError):
        inspect(flipped(as_dfu(stm32_parts()), position), "x.dfu")


@pytest.mark.parametrize("cut", [1, 16, 1_000])
def test_a_dfu_file_that_is_cut_off_is_refused(cut: int) -> None:
    with pytest.raises(ImageError, match="damaged"):
        inspect(as_dfu(stm32_parts())[:-cut], "x.dfu")


@pytest.mark.parametrize(
    ("stack", "reset", "complaint"),
    [
        (0x0800_0000, 0x0802_0401, "not in RAM"),
        (0x2001_8002, 0x0802_0401, "not in RAM"),
        (0x2001_8000, 0x0802_0400, "not Thumb"),
        (0x2001_8000, 0x1802_0401, "not in flash"),
    ],
)
def test_a_vector_table_that_cannot_be_one_is_refused(stack: int, reset: int, complaint: str) -> None:
    with pytest.raises(ImageError, match=complaint):
        inspect(struct.pack("<II", stack, reset) + filler(500), "x.bin")
    (start, vectors), text = stm32_parts()
    parts = [(start, struct.pack("<II", stack, reset) + vectors[8:]), text]
    with pytest.raises(ImageError, match=complaint):
        require_for(inspect(as_hex(parts), "x.hex"), F401)


def test_an_image_of_another_stm32_family_is_refused_by_its_banner() -> None:
    image = inspect(as_hex(stm32_parts("NUCLEO-F767ZI with STM32F767")), "x.hex")
    with pytest.raises(ImageError, match="NUCLEO-F767ZI with STM32F767, not for NUCLEO_F401RE"):
        require_for(image, F401)


def test_an_image_of_another_board_of_the_family_is_warned_about() -> None:
    image = inspect(as_hex(stm32_parts("NUCLEO-F411RE with STM32F411xE")), "x.hex")
    assert require_for(image, F401) == ["the image says it is for NUCLEO-F411RE, not for NUCLEO_F401RE"]


def test_an_image_that_starts_elsewhere_is_refused() -> None:
    parts = [(address + 0x10000, data) for address, data in stm32_parts()]
    with pytest.raises(ImageError, match="has nothing at 0x08000000"):
        require_for(inspect(as_hex(parts), "x.hex"), F401)


def test_an_image_beyond_the_flash_of_the_chip_is_refused() -> None:
    parts = [stm32_parts()[0], (0x0807_F000, banner("NUCLEO-F401RE with STM32F401xE") + filler(8_000))]
    with pytest.raises(ImageError, match="bytes of flash"):
        require_for(inspect(as_hex(parts), "x.hex"), F401)


@pytest.mark.parametrize("build", [as_hex, as_dfu])
def test_an_image_with_data_below_the_flash_of_the_chip_is_refused(build: Callable[..., bytes]) -> None:
    with pytest.raises(ImageError, match="has data at 0x00000000, below the flash of NUCLEO_F401RE"):
        require_for(inspect(build([*stm32_parts(), (0, filler(16))]), "x"), F401)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>404</html>", "is a web page"),
        (b"\r\n <html>", "is a web page"),
        (b'<?xml version="1.0"?>', "is a web page"),
        (b"UF2\n" + bytes(508), "is a UF2 file"),
        (b"\x7fELF" + bytes(100), "is an ELF file"),
        (b"PK\x03\x04" + bytes(100), "is an archive"),
        (b"\x1f\x8b" + bytes(100), "is an archive"),
        (b"hello, world, this is text", "no firmware that rootlet knows"),
        (b"\xe9", "cut off"),
        (b":00000001FF\n", "without data"),
        (b":\xff\xfe", "damaged Intel HEX"),
        (bytes(2_000), "no vector table"),
    ],
)
def test_what_is_not_firmware_is_refused_by_name(data: bytes, complaint: str) -> None:
    with pytest.raises(ImageError, match=complaint):
        inspect(data, "some.file")


SEEDS = [ESP32_IMAGE[:0x8000], as_dfu(stm32_parts(size=200)), as_hex(stm32_parts(size=200)), stm32_parts()[0][1]]


@settings(max_examples=150, deadline=None)
@given(
    seed=st.sampled_from(SEEDS),
    cut=st.floats(0, 1),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6),
)
def test_damaged_files_never_end_in_anything_but_a_reason(
    seed: bytes, cut: float, changes: list[tuple[float, int]]
) -> None:
    data = bytearray(seed[: max(1, int(len(seed) * cut))])
    for where, value in changes:
        data[min(len(data) - 1, int(len(data) * where))] = value
    try:
        require_for(inspect(bytes(data), "fuzzed"), F401)
    except HostError as error:
        assert error.message
