"""Fixtures of the network tests: a CA, servers, and a board that tries to connect."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import pki
from support.attempt import HOST, Connect, Outcome
from support.board import run_device, run_device_json
from support.firmware import Firmware
from support.http_client import play, play_blocking

__all__ = ["play", "play_blocking"]

PROBE = Path(__file__).with_name("probe.py")


@pytest.fixture(scope="module", autouse=True)
def on_the_firmware(firmware: Firmware) -> None:
    """Every test here depends on it, unless it is marked `own_firmware`."""


@pytest.fixture(scope="session")
def root() -> pki.Authority:
    return pki.make_ca("session root")


@pytest.fixture
def cafile(root: pki.Authority, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.write_bytes(root.pem)
    return path


@pytest.fixture
def connect(cafile: Path) -> Connect:
    """Lets the board connect to `port` of this machine as if it were `host`.

    It trusts the session's root unless the call says what else. Whatever happens, no socket may stay open.
    """

    def attempt(port: int, host: str = HOST, **request: Any) -> Outcome:
        options = request.pop("options", {})
        request = {"host": host, "port": port, "address": "127.0.0.1", **request}
        if not {"store", "stores", "cafile"} & request.keys():
            request["cafile"] = str(cafile)
        outcome = Outcome(**run_device_json(PROBE, request, **options))
        assert outcome.after["files"] == outcome.before["files"], "a socket or file stayed open"
        if outcome.kind is not None:
            assert outcome.message, "no cause in words"
            assert outcome.remedy, "no remedy in words"
        return outcome

    return attempt


EXCHANGE = Path(__file__).with_name("scripts") / "exchange.py"
Exchange = Callable[..., dict[str, Any]]


@pytest.fixture
def exchange() -> Exchange:
    """Lets the board make a Context of `context`, connect to `port`, `say` something and hear the answer.

    Bytes in `context` are passed as such. No socket may stay open.
    """

    def encoded(value: Any) -> Any:
        if isinstance(value, bytes):
            return {"hex": value.hex()}
        if isinstance(value, list | tuple):
            return [encoded(part) for part in value]
        return str(value) if isinstance(value, Path) else value

    def run(port: int = 0, *, clock: dict[str, str] | None = None, **request: Any) -> dict[str, Any]:
        request = {"host": HOST, "port": port, **{name: encoded(value) for name, value in request.items()}}
        request["context"] = {name: encoded(value) for name, value in request["context"].items()}
        environment = {"REQUEST": json.dumps(request), **(clock or {})}
        output = run_device(EXCHANGE, environment=environment, timeout_s=30)
        result: dict[str, Any] = json.loads(output.splitlines()[-1])
        assert result["stayed_open"] == 0, "a socket stayed open"
        if result["kind"] is not None:
            assert result["message"] and result["remedy"], result
        return result

    return run
