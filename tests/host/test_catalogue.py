"""The board catalogue: complete, sourced, strict, and honest about boards that cannot do TLS."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rootlet_host.app import app
from rootlet_host.catalogue import Catalogue, load, parse, tls_verdict
from rootlet_host.errors import HostError, UsageError
from rootlet_host.flash.registry import methods
from typer.testing import CliRunner

ESP32 = {
    "ESP32_GENERIC": ("esp32", 0x1000),
    "ESP32_GENERIC-SPIRAM": ("esp32", 0x1000),
    "ESP32_GENERIC_S2": ("esp32s2", 0x1000),
    "ESP32_GENERIC_S3": ("esp32s3", 0),
    "ESP32_GENERIC_S3-SPIRAM_OCT": ("esp32s3", 0),
    "ESP32_GENERIC_C3": ("esp32c3", 0),
    "ESP32_GENERIC_C6": ("esp32c6", 0),
}
# The stm32 boards whose stock firmware has TLS (MICROPY_PY_SSL in their mpconfigboard.mk).
WITH_TLS = [
    "F429ZI",
    "F439ZI",
    "F746ZG",
    "F756ZG",
    "F767ZI",
    "H563ZI",
    "H723ZG",
    "H743ZI",
    "H743ZI2",
    "H753ZI",
    "N657X0",
]
WITHOUT_TLS = [
    "F091RC",
    "F401RE",
    "F411RE",
    "F412ZG",
    "F413ZH",
    "F446RE",
    "F722ZE",
    "G0B1RE",
    "G474RE",
    "H7A3ZI_Q",
    "L073RZ",
    "L152RE",
    "L432KC",
    "L452RE",
    "L476RG",
    "L4A6ZG",
    "U5A5ZJ_Q",
    "WB55",
    "WL55",
]

MINIMAL = """
schema = 1
[ports.stm32.sources]
id = "a"
name = "a"
chip = "a"
methods = "a"
tls = "ports/{board}/x"
[[board]]
id = "X"
name = "X board"
port = "stm32"
chip = "STM32F4"
methods = ["serial"]
tls = false
"""


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load()


def test_it_holds_every_asked_esp32_with_its_chip_and_offset(catalogue: Catalogue) -> None:
    for name, (chip, offset) in ESP32.items():
        board = catalogue.get(name)
        assert (board.chip, board.flash_address, board.tls, board.rng) == (chip, offset, True, "radio")
        assert board.network == ("wifi",)


def test_esp32_offsets_are_those_that_esptool_knows(catalogue: Catalogue) -> None:
    from esptool.targets import CHIP_DEFS

    for board in catalogue:
        if board.port == "esp32":
            assert board.flash_address == CHIP_DEFS[board.chip].BOOTLOADER_FLASH_OFFSET


def test_it_holds_every_nucleo_of_the_port_and_nothing_else(catalogue: Catalogue) -> None:
    assert {f"NUCLEO_{name}" for name in WITH_TLS + WITHOUT_TLS} | set(ESP32) == set(catalogue.boards)
    for name in WITH_TLS:
        assert catalogue.get(f"NUCLEO_{name}").tls is True
        assert catalogue.get(f"NUCLEO_{name}").network == ("ethernet",)
    for name in WITHOUT_TLS:
        assert catalogue.get(f"NUCLEO_{name}").tls is False


def test_every_stated_fact_has_a_source_and_every_note_one(catalogue: Catalogue) -> None:
    for board in catalogue:
        stated = {
            name
            for name, value in vars(board).items()
            if name not in ("sources", "notes", "port", "variant") and value not in (None, (), False)
        }
        assert stated <= set(board.sources), board.id
        assert all("{" not in source and source for source in board.sources.values()), board.id
        assert all(note.source for note in board.notes), board.id


def test_a_variant_cites_the_folder_of_its_base_board(catalogue: Catalogue) -> None:
    assert "/ESP32_GENERIC/" in catalogue.get("ESP32_GENERIC-SPIRAM").sources["chip"]


def test_what_no_source_states_is_left_out_and_said_in_a_note(catalogue: Catalogue) -> None:
    board = catalogue.get("NUCLEO_N657X0")
    assert board.download is None
    assert board.rng is None
    assert any("not found in a source" in note.text for note in board.notes)


def test_the_firmware_with_tls_but_without_its_generator_is_named(catalogue: Catalogue) -> None:
    board = catalogue.get("NUCLEO_H723ZG")
    assert board.rng_lies is not None
    assert "v1.28" in board.rng_lies


def test_every_way_to_flash_exists(catalogue: Catalogue) -> None:
    known = methods()
    for board in catalogue:
        assert board.methods
        assert set(board.methods) <= set(known)


@pytest.mark.parametrize("name", ["NUCLEO_F401RE", "NUCLEO_F411RE"])
def test_boards_without_tls_and_generator_say_why_and_what_to_do(catalogue: Catalogue, name: str) -> None:
    reasons, remedies = tls_verdict(catalogue.get(name))
    assert any("without TLS" in reason for reason in reasons)
    assert any("random number generator" in reason for reason in reasons)
    assert any("NUCLEO_H563ZI" in remedy for remedy in remedies)
    assert any("pre-shared keys" in remedy for remedy in remedies)
    output = run("boards", name)
    assert f"{name} cannot make verified TLS connections" in output
    assert "What to do" in output


def test_a_board_that_can_do_tls_is_not_talked_down(catalogue: Catalogue) -> None:
    assert tls_verdict(catalogue.get("ESP32_GENERIC_C3")) == ([], [])
    assert "cannot make" not in run("boards", "NUCLEO_H563ZI")


def test_a_board_with_too_little_ram_is_told_so(catalogue: Catalogue) -> None:
    reasons, remedies = tls_verdict(catalogue.get("NUCLEO_WL55"))
    assert any("64 KiB of RAM" in reason for reason in reasons)
    assert not any("build MicroPython" in remedy for remedy in remedies)


def test_names_are_found_in_any_spelling(catalogue: Catalogue) -> None:
    assert catalogue.get("nucleo-f401re").id == "NUCLEO_F401RE"
    assert catalogue.get("esp32_generic-spiram").id == "ESP32_GENERIC-SPIRAM"


def test_an_unknown_board_gets_near_names(catalogue: Catalogue) -> None:
    with pytest.raises(UsageError) as caught:
        catalogue.get("NUCLEO_F401")
    assert "NUCLEO_F401RE" in caught.value.remedy
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("part", "named"), [("esp32", "ESP32_GENERIC_S3"), ("f767", "NUCLEO_F767ZI")])
def test_a_part_of_a_name_gets_the_boards_that_have_it(catalogue: Catalogue, part: str, named: str) -> None:
    with pytest.raises(UsageError) as caught:
        catalogue.get(part)
    assert named in caught.value.remedy


def test_what_all_boards_have_in_their_names_names_none(catalogue: Catalogue) -> None:
    with pytest.raises(UsageError) as caught:
        catalogue.get("nucleo")
    assert caught.value.remedy == "rootlet boards lists them"


def test_the_list_names_every_board_in_a_pipe() -> None:
    output = run("boards")
    for name in (*ESP32, "NUCLEO_H7A3ZI_Q"):
        assert name in output


def test_json_holds_facts_sources_and_the_verdict() -> None:
    boards: list[dict[str, Any]] = json.loads(run("boards", "--json"))
    by_id = {board["id"]: board for board in boards}
    assert by_id["NUCLEO_F401RE"]["can_do_tls"] is False
    assert by_id["NUCLEO_F401RE"]["why_not"]
    assert by_id["ESP32_GENERIC"]["can_do_tls"] is True
    assert json.loads(run("boards", "ESP32_GENERIC", "--json"))["flash_address"] == 0x1000


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("schema = 1", "schema = 2"), "schema"),
        (("tls = false", "tls = 0"), "must be of type bool"),
        (("tls = false", 'ram_kib = "96"'), "must be of type int"),
        (("tls = false", "ram_kib = true"), "must be of type int"),
        (("tls = false", "ram_kib = 96"), "without a source"),
        (("tls = false", "colour = 1"), "unknown field colour"),
        (('port = "stm32"', 'port = "z80"'), "z80"),
        (('"serial"', '"tape"'), "unknown way to flash tape"),
        (('name = "X board"\n', ""), "lacks name"),
        (("[[board]]", "[[board"), "not valid TOML"),
        (("tls = false", 'notes = [{ text = "x", source = "" }]'), "note without text or source"),
        (("tls = false", 'rng = "maybe"'), "rng must be"),
    ],
)
def test_a_wrong_catalogue_is_refused(change: tuple[str, str], complaint: str) -> None:
    parse(MINIMAL)
    with pytest.raises(HostError, match=complaint):
        parse(MINIMAL.replace(*change))


def test_a_board_listed_twice_is_refused() -> None:
    with pytest.raises(HostError, match="twice"):
        parse(MINIMAL + MINIMAL[MINIMAL.index("[[board]]") :])


@pytest.mark.parametrize(
    ("machine", "rng"),
    [
        ("Generic ESP32 module with ESP32", "radio"),
        ("Generic ESP32C3 module with ESP32C3", "radio"),
        ("Some maker's board with ESP32S3", "radio"),
        ("NUCLEO_H563ZI with STM32H563ZI", "yes"),
        ("NUCLEO-H563ZI with STM32H563xx", "yes"),
        ("NUCLEO-F401RE with STM32F401xE", "no"),
        ("Raspberry Pi Pico with RP2040", None),
        ("linux [GCC 12.2.0] version", None),
        ("", None),
    ],
)
def test_what_a_board_says_of_itself_finds_its_generator(machine: str, rng: str | None) -> None:
    found = load().of_machine(machine)
    assert (found.rng if found else None) == rng
