"""Deploying to real boards, pushing to them, examining them. Skipped unless one is named:

    ROOTLET_HW_PORT=/dev/ttyUSB0 pytest tests/hw/test_board_hw.py

The board must run MicroPython. Its boot.py, main.py and rootlet.json are replaced. The port of `rootlet virtual` will
do, too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from rootlet_host.store import anchors_from_certificates, build_store, mozilla_certificates

ROOTLET = Path(sysconfig.get_path("scripts")) / "rootlet"
PORT = os.environ.get("ROOTLET_HW_PORT", "")

pytestmark = [
    pytest.mark.hw,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not PORT, reason="no real board: set ROOTLET_HW_PORT"),
]


def rootlet(*arguments: str | Path) -> Any:
    """The JSON that a command prints about the board; it must end well."""
    command = [ROOTLET, *arguments, "--port", PORT, "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stderr + ended.stdout
    return json.loads(ended.stdout)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "roots.rtlt"
    anchors = anchors_from_certificates(mozilla_certificates())
    path.write_bytes(build_store(anchors, sequence=1, issued_at=1_700_000_000))
    return path


@pytest.fixture(scope="module")
def deployed(store: Path) -> Any:
    configuration = store.with_name("rootlet.toml")
    configuration.write_text('[job]\nurl = "https://example.org/"\nperiod_s = 3600\n')
    return rootlet("deploy", "--config", configuration, "--store", store, "--replace", "--no-restart")


def test_library_application_and_store_come_to_the_board(deployed: Any) -> None:
    assert deployed


def test_what_is_on_the_board_is_not_sent_again(deployed: Any, store: Path) -> None:
    assert rootlet("push", store)


def test_stores_on_the_board_are_listed(deployed: Any) -> None:
    assert rootlet("store", "list")


def test_the_board_examines_itself(deployed: Any) -> None:
    ended = subprocess.run([ROOTLET, "doctor", "--port", PORT, "--json"], capture_output=True, text=True, timeout=300)
    assert ended.returncode in (0, 1), ended.stderr  # 1: it found a fault, such as a clock that is not set
    assert json.loads(ended.stdout)
