"""MQTT clients that know nothing of rootlet, against mosquitto over TLS."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import pki, third_party
from support.board import run_device
from support.firmware import Firmware, in_force
from support.programs import mosquitto

pytestmark = pytest.mark.servers

SCRIPT = Path(__file__).with_name("scripts") / "drop_in_mqtt.py"
PACKAGES = {
    "simple": third_party.UMQTT_SIMPLE,
    "simple2": third_party.UMQTT_SIMPLE2,
    "aiomqttc": third_party.AIOMQTTC,
    "aiomqttc-compat": third_party.AIOMQTTC,
    "convention": None,
}
LOCALHOST = "localhost"  # the clients resolve it themselves
MESSAGE = "21.5 °C " * 100
Talk = Callable[..., dict[str, Any]]


@pytest.fixture(params=PACKAGES)
def talk(request: pytest.FixtureRequest, cafile: Path, firmware: Firmware) -> Talk:
    """Lets the board talk to a broker through one client after the other; returns its report.

    With TLS 1.3 only rootlet itself makes a second attempt, so it is let go first.
    """
    package = PACKAGES[request.param]
    library = in_force().library
    path = f"{library}:.frozen" if package is None else f"{third_party.unpacked(package)}:{library}:.frozen"

    def run(port: int, **more: Any) -> dict[str, Any]:
        told = {"how": request.param, "host": LOCALHOST, "port": port, "message": MESSAGE, "count": 3, **more}
        told["visited"] = firmware.has("tls1.3")
        told["context"] = {"cafile": str(cafile), **more.get("context", {})}
        environment = {"REQUEST": json.dumps(told), "MICROPYPATH": path}
        output = run_device(SCRIPT, environment=environment, timeout_s=40)
        report: dict[str, Any] = json.loads(output.splitlines()[-1])
        report["how"] = request.param
        return report

    return run


def settings(folder: Path, identity: pki.Issued) -> list[str]:
    certificate, key = identity.write(folder, "broker")
    return [f"certfile {certificate}", f"keyfile {key}"]


def assert_talked(report: dict[str, Any]) -> None:
    assert (report["kind"], report["back"]) == (None, [MESSAGE] * 3), report
    if "check_ms" in report:
        assert report["empty_checks"] == 3, "check_msg has to return when there is nothing"
        assert report["check_ms"] < 1000


def test_messages_go_both_ways(talk: Talk, root: pki.Authority, tmp_path: Path) -> None:
    with mosquitto(tmp_path, *settings(tmp_path, root.child("issuer").issue(LOCALHOST))) as (port, _):
        assert_talked(talk(port))


def test_a_broker_for_another_host_is_refused(talk: Talk, root: pki.Authority, tmp_path: Path) -> None:
    with mosquitto(tmp_path, *settings(tmp_path, root.issue("other.example.org"))) as (port, broker):
        report = talk(port)
        assert report["kind"] is not None
        assert "other.example.org" in report["message"], "the cause must come through"
        assert report["back"] == []
        assert "New client connected" not in broker.log


def test_a_broker_with_an_unknown_ca_is_refused(talk: Talk, tmp_path: Path) -> None:
    with mosquitto(tmp_path, *settings(tmp_path, pki.make_ca("stranger").issue(LOCALHOST))) as (port, broker):
        report = talk(port)
        assert report["kind"] is not None
        assert "stranger" in report["message"]
        assert "New client connected" not in broker.log


def test_a_broker_that_demands_a_certificate_gets_it(talk: Talk, root: pki.Authority, tmp_path: Path) -> None:
    devices = pki.make_ca("devices")
    tmp_path.joinpath("devices.pem").write_bytes(devices.pem)
    demand = [f"cafile {tmp_path}/devices.pem", "require_certificate true", "use_identity_as_username true"]
    certificate, key = map(str, devices.issue("board-7", usage=None).write(tmp_path, "board"))
    with mosquitto(tmp_path, *settings(tmp_path, root.issue(LOCALHOST)), *demand) as (port, broker):
        assert_talked(talk(port, context={"client_cert": certificate, "client_key": key}))
        assert "u'board-7'" in broker.log
        assert talk(port)["kind"] is not None
