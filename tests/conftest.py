"""Fixtures for every test."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rootlet_host.board.virtual import VirtualBoard


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fuzz-inputs", type=int, default=20_000, help="inputs for tests/fuzz altogether")
    parser.addoption("--fuzz-seed", type=int, default=1, help="where their chance begins")


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
