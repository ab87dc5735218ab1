"""A store is pushed over USB, and whatever happens on the way, a good one is in force."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import certifi
import pytest
import serial.tools.list_ports
from command_line import ROOTLET
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from rootlet_host.board import push as push_module
from rootlet_host.board import push_commands
from rootlet_host.board.push import push
from rootlet_host.board.store_on_board import StoresOnBoard, pull, stores_on_board
from rootlet_host.board.transport import Board, LinkError
from rootlet_host.board.virtual import VirtualBoard
from rootlet_host.errors import HostError, UsageError
from rootlet_host.paths import device_library
from rootlet_host.signing import new_publisher_key, publisher_certificate, sign_store
from rootlet_host.store import StoreFormatError, anchors_from_certificates, build_store
from store_help import Runner

Make = Callable[..., VirtualBoard]
# Some roots that certifi lists have serial numbers that cryptography does not like.
pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number")


@dataclass
class Publisher:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def make(cls, name: str) -> Publisher:
        key = new_publisher_key()
        return cls(key, publisher_certificate(name, key))

    def release(
        self, sequence: int, *, roots: int = 118, signed: bool = True, announce: bool = True, series: str = ""
    ) -> bytes:
        certificates = x509.load_pem_x509_certificates(Path(certifi.where()).read_bytes())[:roots]
        announced = self.certificate.public_bytes(Encoding.DER) if announce else None
        store = build_store(
            anchors_from_certificates(certificates),
            sequence=sequence,
            issued_at=1_700_000_000,
            publisher=announced,
            series=series,
        )
        return sign_store(store, self.key, self.certificate) if signed else store


@pytest.fixture(scope="module")
def publisher() -> Publisher:
    return Publisher.make("the publisher")


@pytest.fixture(scope="module")
def releases(publisher: Publisher) -> dict[int, bytes]:
    """1 is unsigned, as for a fresh board; the others are signed."""
    return {n: publisher.release(n, signed=n > 1) for n in range(1, 5)}


def install(folder: Path) -> None:
    shutil.copytree(device_library() / "rootlet", folder / "lib" / "rootlet", ignore=shutil.ignore_patterns("*.pyi"))


@pytest.fixture
def fresh(make_virtual_board: Make, tmp_path: Path) -> VirtualBoard:
    """A board with rootlet and without a store, with the flash of the host."""
    install(tmp_path / "flash")
    return make_virtual_board(directory=tmp_path / "flash", heap="512K")


@pytest.fixture
def running(fresh: VirtualBoard, releases: dict[int, bytes]) -> VirtualBoard:
    """A board with release 2 in force, which knows its publisher."""
    with Board(fresh.port) as board:
        push(board, releases[1])
        push(board, releases[2])
    return fresh


def on(board: VirtualBoard) -> StoresOnBoard:
    with Board(board.port) as connected:
        return stores_on_board(connected)


def sequence(board: VirtualBoard) -> int | None:
    in_force = on(board).in_force
    return in_force.sequence if in_force else None


# --- what works ---


def test_a_fresh_board_takes_its_first_store_unsigned_and_the_next_ones_signed(
    fresh: VirtualBoard, releases: dict[int, bytes]
) -> None:
    phases: list[str] = []
    with Board(fresh.port) as board:
        first = push(board, releases[1], progress=lambda phase, done, total: phases.append(phase))
        second = push(board, releases[2])
        there = stores_on_board(board)
        assert there.in_force is not None
        assert pull(board, there.in_force) == releases[2]
        info = board.identify(again=True)
    assert info.store_path == second.path
    assert (info.store_sequence, info.store_digest) == (2, there.in_force.digest)
    assert (first.result, first.sequence_before, first.sequence) == ("pushed", None, 1)
    assert (second.result, second.sequence_before, second.sequence) == ("pushed", 1, 2)
    assert {first.path, second.path} == {"/certs/roots.a/store.rtlt", "/certs/roots.b/store.rtlt"}
    assert list(dict.fromkeys(phases)) == ["asking", "sending", "reading back", "checking", "testing"]
    assert [(store.state, store.sequence, store.signed) for store in there.stores] == [
        ("valid", 1, False),
        ("in force", 2, True),
    ]


def test_the_self_test_says_what_the_board_can_do_with_the_store(
    fresh: VirtualBoard, releases: dict[int, bytes]
) -> None:
    with Board(fresh.port) as board:
        checks = {check.name: check for check in push(board, releases[1]).checks}
    assert checks["store"].detail == "sequence 1 is in force"
    assert checks["anchors"].state == "ok"
    taken, _, sampled = checks["anchors"].detail.partition(" of ")
    assert taken == sampled.split()[0] >= "8"
    assert checks["entropy"].state == "ok"
    assert checks["clock"].state == "ok"


def test_nothing_is_sent_when_the_store_is_in_force_already(running: VirtualBoard, releases: dict[int, bytes]) -> None:
    with Board(running.port) as board:
        outcome = push(board, releases[2])
    assert (outcome.result, outcome.sent) == ("unchanged", 0)


def test_a_dry_run_writes_nothing(running: VirtualBoard, releases: dict[int, bytes], tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with Board(running.port) as board:
        assert push(board, releases[3], dry_run=True).result == "would push"
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_an_older_store_is_put_back_with_rollback_only(running: VirtualBoard, releases: dict[int, bytes]) -> None:
    with Board(running.port) as board:
        push(board, releases[4])
        with pytest.raises(HostError, match=r"sequence 3, and on .* 4 is in force") as caught:
            push(board, releases[3])
        assert "--rollback" in caught.value.remedy
        assert push(board, releases[3], rollback=True).result == "pushed"
    assert sequence(running) == 3


def test_another_store_of_the_same_publisher_is_put_in_place_with_rollback_only(
    running: VirtualBoard, publisher: Publisher
) -> None:
    with Board(running.port) as board:
        push(board, publisher.release(5, series="web"))  # where there was none
        for series in ("", "site"):
            with pytest.raises(HostError, match=r"series.*, and the one in force on .* of series web") as caught:
                push(board, publisher.release(6, series=series))
            assert "--rollback" in caught.value.remedy
        assert stores_on_board(board).in_force.series == "web"  # type: ignore[union-attr]
        assert push(board, publisher.release(6, series="site"), rollback=True).result == "pushed"
        assert push(board, publisher.release(7, series="site")).result == "pushed"


def test_a_shorter_store_in_the_place_of_a_longer_one_comes_back_as_it_was(
    running: VirtualBoard, publisher: Publisher
) -> None:
    short = publisher.release(7, roots=3)
    with Board(running.port) as board:
        push(board, publisher.release(5))
        push(board, publisher.release(6))
        push(board, short)
        in_force = stores_on_board(board).in_force
        assert in_force is not None
        assert pull(board, in_force) == short


@pytest.mark.parametrize("filesystem", ["littlefs", "fat"])
def test_both_file_systems_take_a_store(make_virtual_board: Make, filesystem: str, releases: dict[int, bytes]) -> None:
    virtual = make_virtual_board(filesystem=filesystem, size="1M", heap="512K")
    with Board(virtual.port) as board:
        install_over_usb(board)
        for n in (1, 2, 3):
            push(board, releases[n])
    assert sequence(virtual) == 3


def install_over_usb(board: Board) -> None:
    for path in sorted((device_library() / "rootlet").glob("*.py")):
        board.put(path.read_bytes(), f"/lib/rootlet/{path.name}")


def test_the_program_is_stopped_for_the_push_and_runs_again_afterwards(
    fresh: VirtualBoard, releases: dict[int, bytes], tmp_path: Path
) -> None:
    (tmp_path / "flash" / "main.py").write_text(
        "import time\nhog = bytearray(300000)\nprint('main runs')\nwhile True: time.sleep_ms(10)\n"
    )
    fresh.reset()
    fresh.wait_for("main runs")
    with Board(fresh.port) as board:
        push(board, releases[1])
        at = fresh.console_bytes
    fresh.wait_for("main runs", since=at)


def test_the_store_goes_where_the_configuration_says(
    fresh: VirtualBoard, releases: dict[int, bytes], tmp_path: Path
) -> None:
    (tmp_path / "flash" / "rootlet.json").write_text('{"stores": ["/trust/web.rtlt"], "job": {"url": "https://x/"}}')
    with Board(fresh.port) as board:
        assert push(board, releases[1]).path == "/trust/web.a/store.rtlt"
        assert push(board, releases[1], path="/other/roots.rtlt").path == "/other/roots.a/store.rtlt"


# --- what is refused before a byte is written ---


def forbid_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    def send(self: Board, data: bytes, progress: Any = None) -> int:
        raise AssertionError("something was sent")

    monkeypatch.setattr(Board, "send", send)


@pytest.fixture
def no_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    """To be asked for after the boards: from now on a byte of a store that is sent fails the test."""
    forbid_writing(monkeypatch)


def refused(virtual: VirtualBoard, data: bytes, message: str, **options: Any) -> HostError:
    with Board(virtual.port) as board:
        with pytest.raises(HostError, match=message) as caught:
            push(board, data, **options)
        assert board.evaluate("6 * 7") == 42
    assert "\n" not in str(caught.value)
    return caught.value


def test_files_that_are_no_store_are_refused(fresh: VirtualBoard, releases: dict[int, bytes], no_writing: None) -> None:
    good = releases[1]
    for bad in (b"", b"RTLT", b"<html>", good[:-1], good + b"x", good[:100] + bytes([good[100] ^ 1]) + good[101:]):
        with Board(fresh.port) as board, pytest.raises(StoreFormatError):
            push(board, bad)


def test_firmware_that_cannot_use_it_is_refused(
    fresh: VirtualBoard, releases: dict[int, bytes], monkeypatch: pytest.MonkeyPatch, no_writing: None
) -> None:
    real = Board.identify
    for change, message in (
        ({"has_tls": False}, "has no module tls"),
        ({"version": (1, 23, 0), "version_text": "1.23.0"}, r"is MicroPython 1\.23\.0, rootlet takes 1\.24 or later"),
        ({"has_sha256": False}, r"no hashlib\.sha256"),
    ):

        def identify(self: Board, *, again: bool = False, change: dict[str, Any] = change) -> Any:
            return SimpleNamespace(**{**vars(real(self, again=again)), **change})

        monkeypatch.setattr(Board, "identify", identify)
        refused(fresh, releases[1], message)


def test_a_board_without_rootlet_is_refused(
    virtual_board: VirtualBoard, releases: dict[int, bytes], no_writing: None
) -> None:
    error = refused(virtual_board, releases[1], "rootlet is not installed")
    assert "rootlet deploy" in error.remedy


def test_a_flash_too_small_is_refused(make_virtual_board: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    publisher = Publisher.make("p")
    virtual = make_virtual_board(size="768K", heap="512K")
    with Board(virtual.port) as board:
        install_over_usb(board)
        free = board.free_bytes()
        board.put(random.Random(1).randbytes(free - 48 * 1024), "/ballast")
    refused(
        virtual, publisher.release(1, signed=False), r"needs \d+ bytes and the flash of the board on .* has \d+ free"
    )


def test_an_unsigned_store_is_refused_by_a_board_that_knows_its_publisher(
    running: VirtualBoard, publisher: Publisher, no_writing: None
) -> None:
    error = refused(running, publisher.release(9, signed=False), "takes only signed ones: the board knows a publisher")
    assert "rootlet store sign" in error.remedy


def test_a_store_signed_by_somebody_else_is_refused(running: VirtualBoard, no_writing: None) -> None:
    refused(running, Publisher.make("somebody").release(9), "signed by another publisher")


def test_an_unsigned_first_store_is_refused_where_the_policy_is_never(
    fresh: VirtualBoard, releases: dict[int, bytes], tmp_path: Path, no_writing: None
) -> None:
    (tmp_path / "flash" / "rootlet.json").write_text('{"updates": {"unsigned": "never"}}')
    refused(fresh, releases[1], "unsigned = never")


def test_the_board_itself_refuses_what_the_host_lets_through(
    running: VirtualBoard, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_require_signature", "_require_successor"):
        monkeypatch.setattr(push_module, name, lambda *_: None)
    refused(running, Publisher.make("somebody").release(9), "refuses the store")
    refused(running, publisher.release(9, signed=False), "refuses the store: the trust store is not signed")
    refused(running, publisher.release(1), "refuses the store: sequence 1 is not above 2")
    assert sequence(running) == 2


# --- interrupted ---


def test_the_old_store_stays_wherever_the_cable_is_pulled(running: VirtualBoard, releases: dict[int, bytes]) -> None:
    seen: list[tuple[str, int]] = []
    with Board(running.port) as board:
        push(board, releases[3], progress=lambda phase, done, total: seen.append((phase, done)))
        push(board, releases[2], rollback=True)
    for moment in seen:

        def pull_out(phase: str, done: int, total: int, moment: tuple[str, int] = moment) -> None:
            if (phase, done) == moment:
                running.unplug()

        message = "broke|no more input|silent" if moment[0] == "testing" else "store it had before|broke|no more input"
        with Board(running.port) as board, pytest.raises(LinkError, match=message):
            push(board, releases[3], progress=pull_out)
        running.plug()
        if moment[0] != "testing":
            assert sequence(running) == 2
        else:
            assert sequence(running) == 3  # it was committed before
    with Board(running.port) as board:
        assert push(board, releases[4]).result == "pushed"
    assert running.starts > len(seen)


@pytest.mark.parametrize("filesystem", ["littlefs", "fat"])
def test_a_store_is_in_force_whenever_the_power_fails(
    make_virtual_board: Make, filesystem: str, releases: dict[int, bytes]
) -> None:
    virtual = make_virtual_board(filesystem=filesystem, size="1M", heap="512K")
    randomness = random.Random(20)
    with Board(virtual.port) as board:
        install_over_usb(board)
        push(board, releases[1])
        push(board, releases[2])
        start = time.monotonic()
        push(board, releases[3])
        usual_s = time.monotonic() - start
    seen = set()
    for _ in range(6):
        with Board(virtual.port) as board:
            push(board, releases[2], rollback=True)
            timer = threading.Timer(randomness.uniform(0, usual_s), virtual.power_off)
            timer.start()
            with contextlib.suppress(LinkError):
                push(board, releases[3])
            timer.join()
        virtual.power_on()
        seen.add(sequence(virtual))
        with Board(virtual.port) as board:
            assert push(board, releases[4]).result == "pushed"
    assert seen <= {2, 3}
    assert 2 in seen


def test_ctrl_c_leaves_the_old_store_and_the_next_push_works(
    running: VirtualBoard, releases: dict[int, bytes], tmp_path: Path
) -> None:
    store = tmp_path / "3.rtlt"
    store.write_bytes(releases[3])
    command = [str(ROOTLET), "push", "--port", running.port, str(store)]
    ended: set[int] = set()
    for moment_ms in (0, 40, 120):
        at = running.console_bytes
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        running.wait_for("soft reboot", since=at)
        time.sleep(moment_ms / 1000)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
        ended.add(process.returncode)
        assert "Traceback" not in said
        assert sequence(running) in (2, 3)
        with Board(running.port) as board:
            push(board, releases[2], rollback=True)
    assert ended <= {0, 130, -signal.SIGINT}  # the last when it had just finished
    assert 130 in ended
    with Board(running.port) as board:
        assert push(board, releases[3]).result == "pushed"


def test_a_killed_push_leaves_the_old_store_and_the_next_push_works(
    running: VirtualBoard, releases: dict[int, bytes], tmp_path: Path
) -> None:
    store = tmp_path / "3.rtlt"
    store.write_bytes(releases[3])
    for moment_ms in (0, 20, 80):
        at = running.console_bytes
        process = subprocess.Popen(
            [str(ROOTLET), "push", "--port", running.port, str(store)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        running.wait_for("soft reboot", since=at)
        time.sleep(moment_ms / 1000)
        process.kill()
        process.wait()
        assert sequence(running) in (2, 3)
        with Board(running.port) as board:
            push(board, releases[2], rollback=True)
    with Board(running.port) as board:
        assert push(board, releases[3]).result == "pushed"


def test_a_store_that_arrives_changed_is_not_put_in_force(
    running: VirtualBoard, releases: dict[int, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Board.send

    def flip(self: Board, data: bytes, progress: Any = None) -> int:
        return real(self, data[:5000] + bytes([data[5000] ^ 1]) + data[5001:], progress)

    monkeypatch.setattr(Board, "send", flip)
    refused(running, releases[3], "did not arrive")
    assert sequence(running) == 2


# --- the commands ---


def test_the_commands_push_list_and_pull(
    fresh: VirtualBoard, releases: dict[int, bytes], tmp_path: Path, rootlet: Runner
) -> None:
    store, back = tmp_path / "one.rtlt", tmp_path / "back.rtlt"
    store.write_bytes(releases[1])
    empty = rootlet("store", "list", "--port", fresh.port)
    assert (empty.code, empty.out) == (1, "")
    assert "there is no trust store" in empty.err
    pushed = rootlet("push", "--port", fresh.port, str(store))
    assert pushed.code == 0, pushed.err
    assert f"{fresh.port}: sequence none -> 1 in /certs/roots.a/store.rtlt" in pushed.out
    assert "ok   store: sequence 1 is in force" in pushed.out
    assert pushed.err == ""
    again = json.loads(rootlet("push", "--port", fresh.port, "--json", str(store)).out)
    assert [(entry["result"], entry["sent_bytes"]) for entry in again] == [("unchanged", 0)]
    listed = rootlet("store", "list", "--port", fresh.port)
    assert "/certs/roots.a/store.rtlt: in force, sequence 1 of 2023-11-14" in listed.out
    as_json = json.loads(rootlet("store", "list", "--port", fresh.port, "--json").out)
    assert as_json["stores"][0]["state"] == "in force"
    pulled = rootlet("store", "pull", "--port", fresh.port, "-o", str(back))
    assert pulled.code == 0, pulled.err
    assert back.read_bytes() == releases[1]
    twice = rootlet("store", "pull", "--port", fresh.port, "-o", str(back))
    assert twice.code == 2
    assert "exists" in twice.err


def test_failures_of_the_commands_are_one_line(fresh: VirtualBoard, tmp_path: Path, rootlet: Runner) -> None:
    bad = tmp_path / "bad.rtlt"
    bad.write_bytes(b"<html>not found</html>" * 4)
    for arguments, code, message in (
        (["push", "--port", fresh.port, str(bad)], 1, "not a trust store"),
        (["push", "--port", fresh.port, str(tmp_path / "none.rtlt")], 2, "cannot read"),
        (["push", "--port", "/dev/ttyNONE", str(bad)], 1, "not a trust store"),
        (["store", "list", "--port", "/dev/ttyNONE"], 2, "no serial port"),
        (["store", "pull", "--port", "id:none"], 2, "serial number"),
        (["push", "--all", "--port", "x", str(bad)], 1, "not a trust store"),
    ):
        done = rootlet(*arguments)
        assert (done.code, done.out) == (code, ""), done
        assert message in done.err
        assert len(done.err.splitlines()) == 1


def test_several_boards_are_pushed_to_at_once_and_one_failure_does_not_stop_the_others(
    make_virtual_board: Make,
    releases: dict[int, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    boards = []
    for number in range(3):
        folder = tmp_path / str(number)
        if number != 1:
            install(folder)
        boards.append(make_virtual_board(directory=folder, heap="512K"))
    attached = [
        SimpleNamespace(device=b.port, vid=1, pid=2, serial_number="", manufacturer="", product="") for b in boards
    ]
    monkeypatch.setattr(serial.tools.list_ports, "comports", lambda: attached)
    store = tmp_path / "one.rtlt"
    store.write_bytes(releases[1])
    with pytest.raises(HostError, match="1 of 3 boards have no new store"):
        push_commands.push_command(store, every=True)
    said = capsys.readouterr()
    assert said.out.count("sequence none -> 1") == 2
    assert f"{boards[1].port}: rootlet is not installed" in said.err
    assert [sequence(boards[0]), sequence(boards[2])] == [1, 1]
    with pytest.raises(HostError):
        push_commands.push_command(store, ports=[b.port for b in boards], as_json=True)
    assert [entry["result"] for entry in json.loads(capsys.readouterr().out)] == ["unchanged", "failed", "unchanged"]


def test_without_any_board_push_to_all_says_so(
    monkeypatch: pytest.MonkeyPatch, releases: dict[int, bytes], tmp_path: Path
) -> None:
    monkeypatch.setattr(serial.tools.list_ports, "comports", lambda: [])
    store = tmp_path / "one.rtlt"
    store.write_bytes(releases[1])
    with pytest.raises(UsageError, match="no board was found"):
        push_commands.push_command(store, every=True)
    with pytest.raises(UsageError, match="exclude each other"):
        push_commands.push_command(store, ports=["x"], every=True)
