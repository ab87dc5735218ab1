"""Fixtures of the tests of the host tools."""

from __future__ import annotations

import os
import pty
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from rootlet_host.demo import Pki, make_pki, serve
from store_help import Runner
from support import pki as authorities

# A shell lets its background jobs ignore Ctrl-C, and with them every command that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def rootlet(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Runner:
    """The command, in this process, in an empty folder and with none of its environment variables."""
    monkeypatch.chdir(tmp_path)
    for name in ("ROOTLET_PASSPHRASE", "ROOTLET_WIFI_PASSWORD", "SOURCE_DATE_EPOCH"):
        monkeypatch.delenv(name, raising=False)
    return Runner(capsys, monkeypatch)


@pytest.fixture
def roots(tmp_path: Path) -> list[authorities.Authority]:
    """Three roots, all in roots.pem: what Mozilla's list is to real servers."""
    made = [authorities.make_ca(f"root {n}") for n in range(3)]
    (tmp_path / "roots.pem").write_bytes(b"".join(root.pem for root in made))
    return made


@pytest.fixture
def silent_port() -> Iterator[str]:
    """A port on which nothing answers."""
    ours, theirs = pty.openpty()
    yield os.ttyname(theirs)
    os.close(ours)
    os.close(theirs)


@pytest.fixture(scope="module")
def pki() -> Pki:
    """A CA with a trust store, and a server's identity."""
    return make_pki()


@pytest.fixture(scope="module")
def server(pki: Pki) -> Iterator[int]:
    """The port of a server with this identity."""
    with serve(pki) as port:
        yield port
