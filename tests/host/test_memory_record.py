"""docs/memory.md, its plots, and what the board refuses by: all of it is what `make memory` has recorded."""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rootlet_host.catalogue import Board, load

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tools" / "dev"))

import memory  # noqa: E402
import memory_bench  # noqa: E402
import memory_page  # noqa: E402
import memory_plot  # noqa: E402
from measuring.workbench import MeasurementError  # noqa: E402
from memory_bench import COMPILED, CONFIGURATIONS, FROZEN, PREFLIGHT, SYSTEM_HEAP, Phase, Result  # noqa: E402
from memory_records import RECORD, Record, limits  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"
WITH_ROOTLET = [configuration for configuration in CONFIGURATIONS if not configuration.bare]


@pytest.fixture(scope="module")
def record() -> Record:
    return Record.load(RECORD)


def between(page: str, name: str) -> str:
    found = re.search(rf"<!-- {re.escape(name)}: begin[^>]*-->\n(.*?)<!-- {re.escape(name)}: end -->", page, re.S)
    assert found, f"no markers for {name}"
    return found[1].strip()


# --- the page, its plots and the board's module say what is recorded ---


def test_the_page_says_what_is_recorded(record: Record) -> None:
    page = memory_page.PAGE.read_text(encoding="utf-8")
    names = set()
    for name, text in memory_page.blocks(record):
        assert between(page, name) == text.strip(), f"{name} is out of date: make memory ARGS=--render"
        names.add(name)
    assert names | {"psk"} == set(re.findall(r"<!-- (\S+): begin", page))  # that one is of test_memory_psk.py


def test_the_readme_says_what_is_recorded(record: Record) -> None:
    page = memory_page.README.read_text(encoding="utf-8")
    assert between(page, "memory") == memory_page.summary(record), "out of date: make memory ARGS=--render"


def test_the_plots_show_what_is_recorded_and_the_page_shows_them(record: Record) -> None:
    page = memory_page.PAGE.read_text(encoding="utf-8")
    for name, svg in memory_page.plots(record).items():
        path = memory_page.PLOTS[name]
        assert path.read_text(encoding="utf-8") == svg, f"{path.name} is out of date: make memory ARGS=--render"
        assert f"]({path.name})" in page


def test_what_boards_refuse_by_and_the_doctor_expects_is_what_is_recorded(record: Record) -> None:
    for path, text in memory_page.modules(record).items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is out of date: make memory ARGS=--render"
    source = memory_page.MODULE.read_text(encoding="utf-8")
    found = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id in limits(record)
    }
    assert found == limits(record)


def test_a_record_is_the_same_after_saving_and_loading(record: Record, tmp_path: Path) -> None:
    record.save(tmp_path / "record.json")
    assert Record.load(tmp_path / "record.json") == record
    assert (tmp_path / "record.json").read_text() == RECORD.read_text(encoding="utf-8")


# --- what is recorded is complete and can be true ---


@pytest.mark.parametrize("chain", ["P-256", "RSA-2048"])
def test_every_configuration_was_measured_or_says_why_not(record: Record, chain: str) -> None:
    for configuration in CONFIGURATIONS:
        for packaging in (COMPILED,) if configuration.bare else (FROZEN, COMPILED):
            measured = record.find(chain, configuration.key, packaging)
            assert (measured is not None) != (configuration.key in record.not_measured), configuration.key
    assert all(record.not_measured.values())


def test_no_figure_contradicts_another(record: Record) -> None:
    for result in record.results:
        where = (result.chain, result.configuration, result.packaging, result.tls_heap)
        # The peak is that of another run, in an ample heap, where a word left on the stack may keep alive what nobody
        # uses: MicroPython's collector cannot tell it from a reference.
        assert result.peak_bytes <= result.least_heap_bytes + 2048 < memory_bench.HIGH_BYTES, where
        if result.configuration == PREFLIGHT.key:
            continue  # several connections, none of them watched by itself
        names = [phase.name for phase in result.phases]
        assert names[0] == "started" and names[-1] == "closed", where
        assert {"imported", "ready", "connected"} < set(names), where
        live = {phase.name: phase.live_bytes for phase in result.phases}
        assert live["imported"] <= live["ready"] < live["connected"], where
        if result.tls_heap != SYSTEM_HEAP:  # there a client that imports much later is larger at the end
            assert live["closed"] < live["connected"], where
        connected = result.phase("connected")
        assert connected and (connected.tls_bytes > 20_000) == (result.tls_heap != SYSTEM_HEAP), where


def test_bytecode_in_the_firmware_takes_less_and_elliptic_curves_do(record: Record) -> None:
    for configuration in (c.key for c in WITH_ROOTLET if c.key not in record.not_measured):
        for chain in ("P-256", "RSA-2048"):
            frozen, compiled = (record.need(chain, configuration, p).least_heap_bytes for p in (FROZEN, COMPILED))
            assert frozen + 8 * 1024 < compiled, configuration
    for packaging in (FROZEN, COMPILED):
        small, large, largest = (
            record.need(chain, "store", packaging).least_heap_bytes for chain in ("P-256", "RSA-2048", "RSA-4096")
        )
        assert small < large < largest


def test_a_hundred_connections_take_hardly_more_than_three(record: Record) -> None:
    again = [result for result in record.results if result.again_heap_bytes]
    assert {(result.chain, result.packaging) for result in again} == {
        (chain, packaging) for chain in ("P-256", "RSA-2048") for packaging in (FROZEN, COMPILED)
    }
    for result in again:
        assert 0 <= result.again_heap_bytes - result.least_heap_bytes <= memory_bench.AGAIN_BYTES


# --- what fits where ---


def with_least(least: dict[str, int], tls_heap: str = "python") -> Record:
    phases = [Phase("connected", 1, 1, 1, 1, 1)]
    results = [
        Result(memory_page.CHAIN, "store", packaging, tls_heap, size, phases=phases)
        for packaging, size in least.items()
    ]
    return Record("", "", results)


def board(**fields: Any) -> Board:
    some = load().get("NUCLEO_F767ZI")
    return replace(some, **fields)


def test_a_board_fits_frozen_or_not_by_its_heap_with_room_for_the_application() -> None:
    record = with_least({FROZEN: 50_000, COMPILED: 80_000})
    spare = memory_page.APPLICATION_BYTES
    for heap_kib, answer in (
        ((80_000 + spare) // 1024 + 1, memory_page.FITS),
        ((80_000 + spare) // 1024, memory_page.FITS_FROZEN),
        ((50_000 + spare) // 1024 + 1, memory_page.FITS_FROZEN),
        ((50_000 + spare) // 1024, memory_page.DOES_NOT_FIT),
    ):
        assert memory_page.verdict(record, board(heap_kib=heap_kib), "store") == answer


def test_an_esp32_is_judged_by_its_python_heap_alone_and_one_with_psram_has_enough() -> None:
    record = with_least({FROZEN: 20_000, COMPILED: 50_000}, SYSTEM_HEAP)
    esp32 = board(port="esp32", heap_kib=72)
    assert memory_page.verdict(record, esp32, "store") == memory_page.FITS
    assert memory_page.verdict(record, board(port="stm32", heap_kib=72), "store") == memory_page.DOES_NOT_FIT
    assert memory_page.verdict(record, replace(esp32, heap_kib=None, psram=True), "store") == memory_page.FITS
    assert memory_page.verdict(record, replace(esp32, heap_kib=None), "store") == memory_page.UNKNOWN


def test_every_board_of_the_catalogue_is_on_the_page_with_an_answer_for_every_configuration(record: Record) -> None:
    heads, rows = memory_page.board_rows(record)
    assert [row[0] for row in rows] == [board.id for board in load()]
    answers = {memory_page.FITS, memory_page.FITS_FROZEN, memory_page.DOES_NOT_FIT}
    for row in rows:
        assert len(row) == len(heads) and set(row[3:]) <= answers, row
    assert {answer for row in rows for answer in row[3:]} == answers


def test_every_heap_of_the_catalogue_has_a_source_and_fits_into_the_ram() -> None:
    for board in load():
        assert board.heap_kib is not None or board.psram, board.id
        if board.heap_kib is not None:
            assert board.sources["heap_kib"] and board.ram_kib
            assert 0 < board.heap_kib < board.ram_kib, board.id


# --- the plots ---


def rectangles(svg: str, kind: str) -> list[ElementTree.Element]:
    return [e for e in ElementTree.fromstring(svg).iter(f"{SVG}rect") if e.get("class") == kind]  # noqa: S314


def test_bars_are_as_long_as_the_heaps_are_large() -> None:
    bars = [
        memory_plot.Bar("a & b", {"frozen": 20 * 1024, "mpy": 40 * 1024}),
        memory_plot.Bar("c", {"frozen": 10 * 1024}),
    ]
    svg = memory_plot.least_heaps("least <heap>", bars, [("BOARD", 64 * 1024)])
    _, first, second = (float(e.get("width", 0)) for e in rectangles(svg, "frozen"))  # the legend's comes first
    assert first == pytest.approx(2 * second, rel=0.01)
    assert float(rectangles(svg, "mpy")[1].get("width", 0)) == pytest.approx(2 * first, rel=0.01)
    assert "a &amp; b" in svg and "BOARD" in svg


def test_stacked_bars_end_below_their_peaks() -> None:
    moments = [memory_plot.Moment("ready", 5000, 0, 6000), memory_plot.Moment("connected", 10_000, 20_000, 40_000)]
    svg = memory_plot.phases("phases", [("one", moments)])
    python, tls = rectangles(svg, "python")[-1], rectangles(svg, "tls")[-1]
    assert float(tls.get("height", 0)) == pytest.approx(2 * float(python.get("height", 0)), rel=0.01)
    assert float(tls.get("y", 0)) + float(tls.get("height", 0)) == pytest.approx(float(python.get("y", 0)), abs=0.2)
    peaks = [e for e in ElementTree.fromstring(svg).iter(f"{SVG}path") if e.get("class") == "peak"]  # noqa: S314
    assert len(peaks) == 2
    assert float(re.match(r"M\S+ (\S+?)h", peaks[1].get("d", ""))[1]) < float(tls.get("y", 0))  # type: ignore[index]


def test_plots_can_be_read_on_dark_pages_and_stay_within_their_frame(record: Record) -> None:
    for svg in memory_page.plots(record).values():
        assert "prefers-color-scheme: dark" in svg
        root = ElementTree.fromstring(svg)  # noqa: S314
        _, _, width, height = map(float, root.get("viewBox", "").split())
        for rect in root.iter(f"{SVG}rect"):
            assert float(rect.get("x", 0)) + float(rect.get("width", 0)) <= width
            assert float(rect.get("y", 0)) >= 0 and float(rect.get("y", 0)) + float(rect.get("height", 0)) <= height
        for text in root.iter(f"{SVG}text"):
            assert 0 <= float(text.get("x", 0)) <= width and 0 <= float(text.get("y", 0)) <= height
            if text.get("text-anchor") == "start":
                assert float(text.get("x", 0)) + 6 * len(text.text or "") <= width, text.text


# --- the command ---


def test_the_plan_measures_every_way_with_both_chains_and_preflight_everywhere() -> None:
    steps = memory.plan([])
    assert len(steps) == len({(chain, c.key, packaging, heap) for chain, c, packaging, heap in steps})
    for chain, heap in (("P-256", "python"), ("RSA-2048", "python"), ("RSA-2048", "system")):
        keys = [c.key for found, c, _, where in steps if (found, where) == (chain, heap)]
        assert set(keys) == {c.key for c in (*CONFIGURATIONS, PREFLIGHT)}
    assert {c.key for _, c, _, _ in memory.plan(["psk"])} == {"psk"}


def test_a_part_cannot_be_recorded_as_the_whole(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        memory.main(["--docs", "--only", "store"])
    assert stopped.value.code == 2
    assert "--only" in capsys.readouterr().err


def test_without_a_compiler_for_32_bits_it_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    needed = ("bash", "env", "cat", "cut", "dirname", "find", "flock", "mkdir", "rm", "sed", "sha256sum", "sort", "tr")
    for name in (*needed, "xargs", "id", "apt-get", "apt-cache", "make", "python3", "xz", "bzip2"):
        for folder in ("/usr/bin", "/bin"):
            if (Path(folder) / name).exists():
                (tools / name).symlink_to(Path(folder) / name)
                break
    (tools / "gcc").write_text("#!/bin/sh\nexit 1\n")
    (tools / "gcc").chmod(0o755)
    monkeypatch.setattr(memory_bench, "BUILD", tmp_path / "build")
    monkeypatch.setenv("PATH", str(tools))
    assert memory.main(["--only", "store"]) == 1
    said = capsys.readouterr().err
    assert "cannot be built" in said and "gcc-multilib" in said and said.count("\n") == 1


def test_without_a_build_and_not_allowed_to_make_one_it_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(memory_bench, "BUILD", tmp_path)
    with pytest.raises(MeasurementError, match="--skip-build"):
        memory_bench.build(FROZEN, skip=True)


def test_it_gives_up_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(memory, "build", lambda *_, **__: Path("/bin/false"))
    monkeypatch.setattr(memory, "version", lambda _: "nothing")
    assert memory.main(["--only", "store", "--minutes", "0", "--skip-build"]) == 1
    assert "--minutes" in capsys.readouterr().err
