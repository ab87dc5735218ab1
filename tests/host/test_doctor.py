"""What the doctor finds on a good board, and that every fault it knows is found."""

from __future__ import annotations

import datetime
import itertools
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import command_line
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from rootlet_host.board.transport import Board
from rootlet_host.board.virtual import VirtualBoard
from rootlet_host.demo import HOST, Pki, install_application
from rootlet_host.doctor import memory
from rootlet_host.doctor.checks import Diagnosis, Line, Target, examine
from rootlet_host.doctor.command import parse_target
from rootlet_host.doctor.memory import Sample, moment_name, predict
from rootlet_host.doctor.page import chart, page
from rootlet_host.errors import UsageError
from rootlet_host.signing import new_publisher_key, publisher_certificate, sign_store
from rootlet_host.store import anchors_from_certificates, build_store

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "modem"))

from pty_modem import PtyModem  # noqa: E402

DOCS = Path(__file__).resolve().parents[2] / "docs"
Make = Callable[..., VirtualBoard]


@pytest.fixture
def flash(tmp_path: Path, pki: Pki) -> Path:
    """The flash of a board with rootlet, a store and a configuration."""
    folder = tmp_path / "flash"
    folder.mkdir()
    install_application(folder)
    folder.joinpath("main.py").unlink()
    folder.joinpath("certs").mkdir()
    folder.joinpath("certs/roots.rtlt").write_bytes(pki.store)
    folder.joinpath("rootlet.json").write_text(json.dumps({"job": {"url": f"https://{HOST}/", "timeout_ms": 5000}}))
    return folder


@pytest.fixture
def board(make_virtual_board: Make, flash: Path) -> VirtualBoard:
    return make_virtual_board(directory=flash, heap="512K")


def diagnose(virtual: VirtualBoard, target: Target | None = None) -> tuple[Diagnosis, dict[str, Line]]:
    with Board(virtual.port) as connected:
        diagnosis = examine(connected, target)
    return diagnosis, {line.name: line for line in diagnosis.lines}


def change(flash: Path, module: str, old: str, new: str) -> None:
    """Break a module of the device, at a place that must exist."""
    path = flash / "lib/rootlet" / module
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


# --- a good board ---


def test_a_good_board_passes_everything_and_nothing_on_its_flash_changes(
    board: VirtualBoard, flash: Path, server: int
) -> None:
    before = {path: path.read_bytes() for path in flash.rglob("*") if path.is_file()}
    diagnosis, lines = diagnose(board, Target(HOST, server, "127.0.0.1"))
    assert diagnosis.failed == 0, diagnosis.lines
    assert {path: path.read_bytes() for path in flash.rglob("*") if path.is_file()} == before
    assert re.fullmatch(r"Mbed TLS \d+\.\d+\.\d+", lines["TLS"].text)
    assert lines["features"].text.startswith("verify callback yes, DTLS ")
    assert str(datetime.datetime.now(datetime.timezone.utc).year) in lines["clock"].text
    assert lines["entropy"].data["bits"] == 1024
    assert (lines["store"].state, lines["store"].data["anchors"]) == ("warn", 1)
    assert "not signed" in lines["store"].text
    assert 0 < lines["heap"].data["largest_bytes"] <= lines["heap"].data["free_bytes"]
    assert "wrong name and wrong CA refused" in lines["loopback handshake"].text
    assert lines["preflight"].data["spare_bytes"] > 0 and "to spare" in lines["preflight"].text
    assert lines["stock modules"].state == "warn"
    assert "ssl" in lines["stock modules"].data["modules"]
    handshake = lines[f"handshake with {HOST}:{server}"]
    assert "rootlet demo root CA" in handshake.text
    assert handshake.data["handshake_ms"] > 0
    assert lines["memory"].data["measured_bytes"] > 10_000


def test_a_board_whose_network_is_a_modem_is_examined_through_it(
    make_virtual_board: Make, flash: Path, server: int
) -> None:
    with PtyModem({HOST: "127.0.0.1"}) as modem:
        wires = (TESTS / "device/scripts/fake_machine.py").read_text(encoding="utf-8")
        flash.joinpath("lib/wires.py").write_text(wires.replace('os.getenv("MODEM")', repr(modem.path)))
        with flash.joinpath("boot.py").open("a") as boot:
            boot.write("import machine, wires\nmachine.UART, machine.Pin = wires.UART, wires.Pin\n")
        settings = {
            "job": {"url": f"https://{HOST}/", "timeout_ms": 8000},
            "network": {"kind": "modem"},
            "modem": {"uart": 1},
        }
        flash.joinpath("rootlet.json").write_text(json.dumps(settings))
        _, lines = diagnose(make_virtual_board(directory=flash, heap="512K"), Target(HOST, server))
    assert (lines["network"].state, lines["network"].text) == ("ok", "10.64.0.7")
    handshake = lines[f"handshake with {HOST}:{server}"]
    assert handshake.state == "ok", handshake
    assert "rootlet demo root CA" in handshake.text and "; dialling " in handshake.text


def test_the_heap_is_seen_at_every_message_of_the_handshake_in_its_order(board: VirtualBoard, server: int) -> None:
    diagnosis, _ = diagnose(board, Target(HOST, server, "127.0.0.1"))
    moments = [sample.moment for sample in diagnosis.samples]
    expected = [
        *("before", "trust store open", "connecting", "> ClientHello", "< ServerHello", "< Certificate"),
        *("< ServerKeyExchange", "< ServerHelloDone", "> ClientKeyExchange", "> ChangeCipherSpec", "> Finished"),
        *("< ChangeCipherSpec", "< Finished", "established", "closed"),
    ]
    assert [moment for moment in moments if moment != "< NewSessionTicket"] == expected
    assert [sample.ms for sample in diagnosis.samples] == sorted(sample.ms for sample in diagnosis.samples)
    heap = {sample.moment: sample.python for sample in diagnosis.samples}
    assert heap["before"] < heap["trust store open"] < heap["< Finished"]
    assert heap["closed"] < heap["< Finished"]


def test_a_signed_store_is_checked_against_its_publisher(make_virtual_board: Make, flash: Path, pki: Pki) -> None:
    key = new_publisher_key()
    certificate = publisher_certificate("the publisher", key)
    anchors = anchors_from_certificates([certificate])
    store = build_store(anchors, sequence=9, issued_at=1_700_000_000)
    flash.joinpath("certs/roots.rtlt").write_bytes(sign_store(store, key, certificate))
    flash.joinpath("certs/publisher.der").write_bytes(certificate.public_bytes(Encoding.DER))
    virtual = make_virtual_board(directory=flash, heap="512K")
    line = diagnose(virtual)[1]["store"]
    assert (line.state, line.text.endswith("signed by its publisher")) == ("ok", True)
    other = publisher_certificate("somebody else", new_publisher_key())
    flash.joinpath("certs/publisher.der").write_bytes(other.public_bytes(Encoding.DER))
    line = diagnose(virtual)[1]["store"]
    assert line.state == "fail"
    assert "publisher" in line.text


def test_installed_compat_is_noticed(board: VirtualBoard, flash: Path) -> None:
    main = flash / "main.py"
    main.write_text("# import rootlet.compat\n")
    assert diagnose(board)[1]["stock modules"].state == "warn"
    main.write_text("import rootlet.compat\nrootlet.compat.install()\n")
    assert diagnose(board)[1]["stock modules"].state == "ok"


def test_compat_that_another_module_installed_at_the_start_is_noticed(board: VirtualBoard, flash: Path) -> None:
    flash.joinpath("start.py").write_text("import rootlet.compat\nrootlet.compat.install()\n")
    flash.joinpath("boot.py").write_text("import start\n")
    line = diagnose(board)[1]["stock modules"]
    assert line.state == "ok"
    assert line.data["compat"] is True


ESP32 = """
HEAP_DATA = 4
used = 20000
def idf_heap_info(kind):
    global used
    used += 1000
    return [(100000, 100000 - used, %d, 0), (15000, 8000, 7000, 0)]
"""


def test_the_heaps_of_esp_idf_are_shown_and_must_have_room_for_a_record(
    board: VirtualBoard, flash: Path, server: int
) -> None:
    flash.joinpath("esp32.py").write_text(ESP32 % 60000)
    diagnosis, lines = diagnose(board, Target(HOST, server, "127.0.0.1"))
    assert lines["heap"].state == "ok"
    assert "ESP-IDF heaps 87.0 kB free, largest block 60.0 kB" in lines["heap"].text
    system = [sample.system for sample in diagnosis.samples]
    assert [later - earlier for earlier, later in itertools.pairwise(system)] == [1000] * (len(system) - 1)
    flash.joinpath("esp32.py").write_text(ESP32 % 16000)
    line = diagnose(board)[1]["heap"]
    assert (line.state, "in one piece" in line.remedy) == ("fail", True)


# --- faults ---


def test_a_board_without_rootlet_is_told_to_deploy(virtual_board: VirtualBoard) -> None:
    diagnosis, lines = diagnose(virtual_board)
    assert lines["rootlet"].state == "fail"
    assert "rootlet deploy" in lines["rootlet"].remedy
    assert diagnosis.failed == 1


def test_an_older_rootlet_without_self_test_is_told_to_deploy(board: VirtualBoard, flash: Path) -> None:
    flash.joinpath("lib/rootlet/selftest.py").unlink()
    line = diagnose(board)[1]["rootlet"]
    assert (line.state, "no self-test" in line.text) == ("fail", True)


@pytest.mark.parametrize(
    ("name", "module", "old", "new", "message"),
    [
        ("clock", "clock.py", "return int(time.time()) + _epoch", "return 946684800", "clock is not set"),
        ("entropy", "entropy.py", "sample = source(BITS // 8)", "sample = bytes(128)", "repeats itself every 1 bytes"),
        ("entropy", "entropy.py", "sample = source(BITS // 8)", "sample = b'abc'", "gave 3 bytes instead of 128"),
    ],
)
def test_a_fault_of_the_board_is_a_failure_with_a_remedy(
    board: VirtualBoard, flash: Path, name: str, module: str, old: str, new: str, message: str
) -> None:
    change(flash, module, old, new)
    line = diagnose(board)[1][name]
    assert line.state == "fail"
    assert message in line.text
    assert line.remedy


def test_what_the_configuration_says_of_the_generator_counts(board: VirtualBoard, flash: Path) -> None:
    path = flash / "rootlet.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, "rng": "no"}))
    line = diagnose(board)[1]["entropy"]
    assert line.state == "fail" and "no hardware generator" in line.text
    assert line.data["rng"] == "no"


def test_a_firmware_that_accepts_any_certificate_is_found_by_the_loopback_handshake(
    board: VirtualBoard, flash: Path
) -> None:
    change(flash, "signature.py", "client.verify_mode = tls.CERT_REQUIRED", "client.verify_mode = tls.CERT_NONE")
    line = diagnose(board)[1]["loopback handshake"]
    assert (line.state, line.text) == ("fail", "a wrong host name was accepted")
    change(flash, "signature.py", "server_hostname=name,", "server_hostname=name.replace('wrong-', ''),")
    change(flash, "signature.py", "client.verify_mode = tls.CERT_NONE", "client.verify_mode = tls.CERT_REQUIRED")
    assert diagnose(board)[1]["loopback handshake"].text == "a wrong host name was accepted"


def test_a_damaged_and_a_missing_store_are_failures(board: VirtualBoard, flash: Path, pki: Pki) -> None:
    path = flash / "certs/roots.rtlt"
    path.write_bytes(pki.store[:-1] + bytes([pki.store[-1] ^ 1]))
    line = diagnose(board)[1]["store"]
    assert (line.state, "cannot be used" in line.text) == ("fail", True)
    path.unlink()
    line = diagnose(board)[1]["store"]
    assert (line.state, "there is no trust store" in line.text) == ("fail", True)
    assert "rootlet push" in line.remedy


def test_a_server_that_is_refused_is_a_failure_with_the_reason(board: VirtualBoard, server: int) -> None:
    diagnosis, lines = diagnose(board, Target("wrong.test", server, "127.0.0.1"))
    line = lines[f"handshake with wrong.test:{server}"]
    assert line.state == "fail"
    assert "no trust store has the issuer" in line.text
    assert "rootlet ca find" in line.remedy
    assert "memory" not in lines
    assert "< Certificate" in [sample.moment for sample in diagnosis.samples]


def test_a_wrong_configuration_is_a_failure_and_no_connection_is_tried(
    board: VirtualBoard, flash: Path, server: int
) -> None:
    flash.joinpath("rootlet.json").write_text('{"job": {"url": "https://x.test/", "tiemout": 1}}')
    _, lines = diagnose(board, Target(HOST, server, "127.0.0.1"))
    assert (lines["configuration"].state, lines["configuration"].text) == ("fail", "job.tiemout is no setting")
    assert "not tried" in lines[f"handshake with {HOST}:{server}"].text


def test_too_little_memory_is_a_line_and_no_traceback(make_virtual_board: Make, flash: Path, server: int) -> None:
    virtual = make_virtual_board(directory=flash, heap="76K")
    diagnosis, lines = diagnose(virtual, Target(HOST, server, "127.0.0.1"))
    assert diagnosis.failed
    assert lines["preflight"].state == "fail" and "a board with more memory" in lines["preflight"].remedy
    assert any("memory" in line.text for line in diagnosis.lines if line.state == "fail")


# --- the command ---


def rootlet(*words: str) -> subprocess.CompletedProcess[str]:
    return command_line.run("doctor", *words)


def test_the_command_prints_json_and_a_page_that_needs_nothing_else(
    board: VirtualBoard, server: int, tmp_path: Path
) -> None:
    target = ("--host", f"{HOST}:{server}", "--address", "127.0.0.1")
    done = rootlet("--port", board.port, *target, "--json", "--html", str(tmp_path / "page.html"))
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert answer["failed"] == 0
    assert {check["state"] for check in answer["checks"]} == {"ok", "warn"}
    assert len(answer["heap"]) > 10
    text = (tmp_path / "page.html").read_text()
    assert not re.search(r"(src|href)=|@import|url\(", text)
    svg = ElementTree.fromstring(re.search(r"<svg.*?</svg>", text, re.S)[0])  # type: ignore[index]  # noqa: S314
    assert len(svg.findall("circle")) == len(answer["heap"])
    for check in answer["checks"]:
        assert check["name"] in text


def test_a_failure_makes_exit_code_1_and_one_line_that_names_it(board: VirtualBoard, flash: Path) -> None:
    flash.joinpath("certs/roots.rtlt").unlink()
    done = rootlet("--port", board.port)
    assert done.returncode == 1
    assert re.search(r"^fail  store: ", done.stdout, re.M)
    assert re.fullmatch(r"rootlet: 1 of \d+ checks failed: store\n", done.stderr)


def test_without_a_board_the_virtual_one_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from rootlet_host import cli

    monkeypatch.setattr("serial.tools.list_ports.comports", list)
    monkeypatch.setattr("sys.argv", ["rootlet", "doctor"])
    assert cli.run() == 2
    error = capsys.readouterr().err
    assert "rootlet virtual" in error
    assert error.count("\n") == 1


def test_servers_are_named_with_and_without_port() -> None:
    assert parse_target("example.org") == Target("example.org", 443, None)
    assert parse_target("example.org:8443", "10.0.0.1") == Target("example.org", 8443, "10.0.0.1")
    assert parse_target("[::1]:8443") == Target("::1", 8443, None)
    assert parse_target("::1") == Target("::1", 443, None)
    assert parse_target(None) is None
    for bad in ("", ":443", "a:b", "a:0", "a:70000", "https://example.org", "[::1]x"):
        with pytest.raises(UsageError, match="is not a host"):
            parse_target(bad)
    with pytest.raises(UsageError, match="without --host"):
        parse_target(None, "10.0.0.1")


# --- predictions and the chart ---


def info(platform: str) -> Any:
    """As much of a BoardInfo as these look at."""
    return SimpleNamespace(platform=platform, machine="m", port="x")


def test_a_prediction_knows_where_each_port_keeps_the_memory_of_mbed_tls() -> None:
    stm32, esp32, unix = (predict(info(name)) for name in ("pyboard", "esp32", "linux"))
    mbedtls = memory.TLS_ALONE_PEAK_BYTES - memory.TLS_ALONE_READY_BYTES
    assert stm32.rise_bytes - esp32.rise_bytes == mbedtls
    assert unix.rise_bytes == 2 * esp32.rise_bytes


def test_messages_and_records_have_their_names() -> None:
    names = {11: "< Certificate", 257: "> ClientHello", 532: "< ChangeCipherSpec", 790: "> Finished"}
    assert {number: moment_name(number) for number in names} == names
    assert moment_name(99) == "< message 99"
    assert moment_name(512 + 99) == "< record 99"


def test_a_chart_shows_both_heaps_where_there_are_two_and_escapes_what_it_shows() -> None:
    samples = [Sample(n, "<b>", 1000 * n, 2000 * n) for n in range(1, 9)]
    svg = ElementTree.fromstring(chart(samples))  # noqa: S314
    assert len(svg.findall("polyline")) == 2
    assert len(svg.findall("circle")) == 16
    assert len(ElementTree.fromstring(chart([replace(s, system=0) for s in samples])).findall("polyline")) == 1  # noqa: S314
    heights = [float(point.split(",")[1]) for point in svg.findall("polyline")[1].attrib["points"].split()]
    assert heights == sorted(heights, reverse=True)
    diagnosis = Diagnosis(info("esp32"), [Line("n", "fail", "<script>", "<i>")], samples, "<h>")
    text = page(diagnosis, "0", "now")
    assert "<script>" not in text
    assert "<h>" not in text
    assert "&lt;script&gt;" in text


def test_a_certificate_for_the_loopback_is_valid_whatever_the_clock_says() -> None:
    from rootlet_host.doctor.checks import _loopback_identity

    for der in (_loopback_identity()[0], _loopback_identity()[2]):
        certificate = x509.load_der_x509_certificate(der)
        assert certificate.not_valid_before_utc.year == 2000
        assert certificate.not_valid_after_utc.year == 2049
