"""Budgets that are no timings: bytes on the board's flash and of the trust store, and reads of a lookup."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.programs import built

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tools" / "dev"))

import bench  # noqa: E402
import footprint  # noqa: E402
from measuring.report import markdown_table, write_block  # noqa: E402
from measuring.workbench import MeasurementError, Workbench, compile_tree  # noqa: E402


@pytest.fixture(scope="module")
def workbench() -> Iterator[Workbench]:
    with Workbench(("P-256",)) as bench:
        yield bench


@pytest.fixture(scope="module")
def measured(workbench: Workbench) -> footprint.Footprint:
    return footprint.measure(workbench)


def test_the_package_and_what_a_get_imports_keep_to_their_budgets(measured: footprint.Footprint) -> None:
    assert footprint.over_budget(measured) == []


def test_a_get_imports_what_verifies_and_not_what_explains_refusals(measured: footprint.Footprint) -> None:
    assert {"observer", "store", "policy", "http"} <= set(measured.imported_by_get)
    assert not {"errors", "rules", "cadata", "pem", "constraints", "webpki"} & set(measured.imported_by_get)
    assert not {"pins", "tofu", "trace", "tracesinks", "wire", "describe"} & set(measured.imported_by_get)


def test_a_budget_that_is_exceeded_is_named_with_both_sizes(measured: footprint.Footprint) -> None:
    modules = {**measured.modules, "heavy": footprint.PACKAGE_BUDGET_BYTES}
    package, get = footprint.over_budget(
        footprint.Footprint(modules, ["heavy"], {**measured.packages, "heavy": "core"})
    )
    assert "package" in package and f"{footprint.PACKAGE_BUDGET_BYTES:,}" in package
    assert "GET" in get and f"{footprint.GET_BUDGET_BYTES:,}" in get


def test_extras_do_not_count_as_the_package() -> None:
    packages = {"store": "core", "modem.at": "modem", "modem": "modem", "dtls": "dtls"}
    found = footprint.Footprint({"store": 100, "modem.at": 30, "modem": 1, "dtls": 5}, [], packages)
    assert (found.package_bytes, found.extras_bytes) == (100, 36)


def test_what_a_get_imports_belongs_to_the_core(measured: footprint.Footprint) -> None:
    assert {measured.packages[name] for name in measured.imported_by_get} == {"core"}
    assert measured.modules.keys() == measured.packages.keys()


def test_the_page_lists_every_module_and_none_that_is_no_more(measured: footprint.Footprint) -> None:
    """Its sizes may be a few changes old, its modules not: `python tools/dev/footprint.py --docs`."""
    page = footprint.DOCUMENT.read_text(encoding="utf-8")
    block = page[page.index("<!-- footprint: begin") : page.index("<!-- footprint: end")]
    listed = [line.split(" | ")[:2] for line in block.splitlines() if line.startswith("| `")]
    assert sorted(listed) == sorted([f"| {row[0]}", row[1]] for row in measured.rows() if row[0].startswith("`"))


def test_an_import_keeps_more_heap_than_its_bytes_and_no_more_than_twice_as_much(
    workbench: Workbench, measured: footprint.Footprint
) -> None:
    heap = footprint.import_costs(workbench, built(footprint.BOARD_LIKE, "micropython32"))
    assert {"store", "policy", "http", "web.client", "modem"} <= heap.keys()
    assert "modem.at" not in heap  # which modem imports
    assert measured.modules["store"] < heap["store"] < 2 * measured.modules["store"]
    of_a_get = sum(heap[name] for name in measured.imported_by_get)
    assert measured.get_bytes < of_a_get < 2 * measured.get_bytes


def test_the_store_keeps_to_its_bytes_for_each_root_and_its_reads_for_each_lookup(workbench: Workbench) -> None:
    lines, data = bench.lookups(workbench)
    assert data["names"] == data["roots"] > 100
    assert [line.what for line in lines if line.met is False] == []
    assert 0 < data["most_reads"] <= bench.MOST_READS_GOAL


def test_code_that_does_not_compile_is_reported_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def f(:\n")
    with pytest.raises(MeasurementError, match=r"broken\.py"):
        compile_tree(tmp_path, tmp_path / "out")


def test_a_generated_block_replaces_only_what_stands_between_its_markers(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text("before\n<!-- heap: begin (make memory) -->\nold\n<!-- heap: end -->\nafter\n")
    table = markdown_table(("what", "bytes"), [("a", 1)])
    write_block(document, "heap", table)
    write_block(document, "heap", table)
    assert document.read_text() == (
        "before\n<!-- heap: begin (make memory) -->\n"
        "| what | bytes |\n|---|---:|\n| a | 1 |\n"
        "<!-- heap: end -->\nafter\n"
    )


def test_a_document_without_markers_is_left_alone(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text("no markers\n")
    with pytest.raises(ValueError, match="markers"):
        write_block(document, "heap", "text")
    assert document.read_text() == "no markers\n"
