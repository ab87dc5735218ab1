"""Fixtures of the device tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import pki
from support.application import Board
from support.firmware import Firmware


@pytest.fixture(scope="module", autouse=True)
def on_the_firmware(firmware: Firmware) -> None:
    """Every test here depends on it, unless it is marked `own_firmware`."""


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path)


@pytest.fixture(scope="session")
def root() -> pki.Authority:
    return pki.make_ca("session root")
