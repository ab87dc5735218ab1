"""rootlet trace view: what a board wrote becomes a timeline; what is no trace is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rootlet_host.app import app
from support import pki
from support.board import run_device_json
from support.servers import tls_server
from typer.testing import CliRunner, Result

PROBE = Path(__file__).parents[1] / "net" / "trace_probe.py"
HOST = "board.example.org"

View = Callable[..., Result]


@pytest.fixture
def view() -> View:
    return lambda *words: CliRunner().invoke(app, ["trace", "view", *map(str, words)])


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the device library really writes: a good connection, a refused one, and a good one after a restart."""
    folder = tmp_path_factory.mktemp("trace")
    root = pki.make_ca("trace root")
    cafile, path = folder / "ca.pem", folder / "trace.jsonl"
    cafile.write_bytes(root.pem)
    with tls_server(root.issue(HOST)) as server:
        for host in (HOST, "other.example.org", HOST):
            run_device_json(
                PROBE,
                {"host": host, "port": server.port, "cafile": str(cafile), "level": 3, "file": str(path)},
            )
    return path


def write(path: Path, *events: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps({"connection": 1, "ms": 0, **event}) + "\n" for event in events))
    return path


def test_timeline_tells_the_whole_story(view: View, recorded: Path) -> None:
    result = view(recorded)
    assert result.exit_code == 0
    text = result.stdout
    assert text.count("established") >= 2 and "HostnameError" in text and "name-mismatch" in text
    for words in ("trace root", "TLSv1.2", "client_hello", "issued by trace root", "depth 0", "━"):
        assert words in text, words


def test_connections_are_told_apart_and_one_can_be_chosen(view: View, recorded: Path) -> None:
    found = json.loads(view(recorded, "--json").stdout)
    assert [(entry["number"], entry["outcome"]) for entry in found] == [
        (1, "established"),
        (2, "failed"),
        (3, "established"),
    ]
    assert all(entry["events"][0]["event"] == "dial" for entry in found)
    [second] = json.loads(view(recorded, "--connection", 2, "--json").stdout)
    assert second["outcome"] == "failed"
    title, *_ = view(recorded, "--connection", 2).stdout.splitlines()
    assert title.split()[:3] == ["2", "other.example.org", "failed"]
    assert "3 connections" in str(view(recorded, "-c", 4).exception)


def test_levels_leave_events_out(view: View, recorded: Path) -> None:
    names = {
        level: {event["event"] for entry in json.loads(view(recorded, "--level", level, "--json").stdout)
                for event in entry["events"]}
        for level in (1, 2, 3)
    }  # fmt: skip
    assert names[1] < names[2] < names[3]
    assert "certificate" not in names[1] and "record" not in names[2]


def test_a_line_that_was_cut_short_is_noted_and_the_rest_is_shown(view: View, recorded: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.jsonl"
    path.write_bytes(recorded.read_bytes()[:-30])
    result = view(path)
    assert result.exit_code == 0 and "established" in result.stdout
    assert "cut short" in result.stderr
    lines = recorded.read_bytes().splitlines()
    path.write_bytes(b"\n".join([lines[0], b'{"event": 5}', b"\xff\xfe", b"[" * 100_000, b"", *lines[1:]]))
    result = view(path)
    assert result.exit_code == 0 and result.stderr.count("passed over") == 3


def test_what_is_no_trace_is_refused_in_one_line(view: View, tmp_path: Path) -> None:
    path = tmp_path / "x"
    for content in (b"", b"\n\n", b"hello\n", b"{}\n", b'{"event": "x", "ms": "0", "connection": 1}\n'):
        path.write_bytes(content)
        assert "no trace" in str(view(path).exception)
    assert "cannot read" in str(view(tmp_path / "missing").exception)


def test_nothing_a_server_sent_reaches_the_terminal_as_a_control_character(view: View, tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07[bold]x[/bold]\u202e"
    path = write(
        tmp_path / "evil.jsonl",
        {"event": "dial", "host": evil, "time": evil},
        {"event": evil, evil: evil},
        {"event": "certificate", "subject": evil, "names": [evil], "key": {"a": [evil]}, "issuer": None},
        {"event": "verdict", "verdict": "refused", "why": evil, "ms": 10**12},
    )
    result = view(path)
    assert result.exit_code == 0
    assert not set(result.output) & {"\x1b", "\x07", "\u202e"}
    assert "[bold]x[/bold]" in result.output
