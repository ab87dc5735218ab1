"""Fixtures for every test."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rootlet_host.board.virtual import VirtualBoard
from support import firmware as firmwares
from support.firmware import firmware

__all__ = ["firmware"]

DEVICE_TESTS = Path(__file__).with_name("device")
NAMED = pytest.StashKey[tuple[firmwares.Firmware, ...] | None]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--micropython",
        metavar="NAMES",
        help="run the tests that depend on the firmware, on these: 1.25.0, 1.26.1-mpy (with rootlet compiled), … "
        "separated by commas; others: all but the current version with the sources; all",
    )
    parser.addoption("--fuzz-inputs", type=int, default=20_000, help="inputs for tests/fuzz altogether")
    parser.addoption("--fuzz-seed", type=int, default=1, help="where their chance begins")


def pytest_configure(config: pytest.Config) -> None:
    text = config.getoption("--micropython")
    try:
        config.stash[NAMED] = None if text is None else firmwares.parse(text)
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "firmware" not in metafunc.fixturenames:
        return
    named = metafunc.config.stash[NAMED]
    markers = list(metafunc.definition.iter_markers())
    if any(mark.name == "own_firmware" for mark in markers):
        return
    usual = firmwares.ALL if DEVICE_TESTS in metafunc.definition.path.parents else (firmwares.CURRENT,)
    chosen = firmwares.candidates(markers, named, usual)
    if named is not None or chosen != (firmwares.CURRENT,):
        metafunc.parametrize("firmware", chosen, indirect=True, ids=str, scope="module")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    named = config.stash[NAMED]
    here = [item for item in items if named is None or _runs_on_named(item)]
    if len(here) < len(items):
        config.hook.pytest_deselected(items=[item for item in items if item not in set(here)])
        items[:] = here


def _runs_on_named(item: pytest.Item) -> bool:
    return "firmware" in getattr(item, "fixturenames", ()) and not item.get_closest_marker("own_firmware")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if "firmware" in getattr(item, "fixturenames", ()):
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        missing = firmwares.unfit(item.iter_markers(), parameters.get("firmware", firmwares.CURRENT))
        if missing:
            pytest.skip(missing)


@pytest.fixture
def make_virtual_board() -> Iterator[Callable[..., VirtualBoard]]:
    """Starts virtual boards: `make_virtual_board(size=…, heap=…)`, by default with a temporary 1 MiB littlefs."""
    with contextlib.ExitStack() as stack:

        def make(**options: Any) -> VirtualBoard:
            return stack.enter_context(VirtualBoard(**{"heap": "256K", **options}))

        yield make


@pytest.fixture
def virtual_board(make_virtual_board: Callable[..., VirtualBoard]) -> VirtualBoard:
    """A running board with an empty flash; `virtual_board.port` is what to open."""
    return make_virtual_board()
