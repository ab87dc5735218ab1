"""A board with nothing but MicroPython becomes one that makes verified connections, and stays one."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import command_line
import pytest
from rootlet_host import board_config
from rootlet_host.board.identity import require_firmware
from rootlet_host.board.transport import Board, LinkError
from rootlet_host.board.virtual import VirtualBoard
from rootlet_host.demo import HOST, Pki
from rootlet_host.deploy import (
    Deployment,
    Payload,
    compile_library,
    configuration_on_board,
    deploy,
)
from rootlet_host.errors import HostError, UsageError
from rootlet_host.paths import device_root
from rootlet_host.store import build_store
from rootlet_host.store.format import decode_store

SECRET = "correct horse battery"  # noqa: S105
Make = Callable[..., VirtualBoard]


@pytest.fixture(scope="module")
def library() -> dict[str, bytes]:
    return compile_library("6.3")[0]


@pytest.fixture
def here(tmp_path: Path, pki: Pki) -> Path:
    """The user's folder: a store, and whatever a test adds."""
    folder = tmp_path / "here"
    folder.mkdir()
    folder.joinpath("site.rtlt").write_bytes(pki.store)
    return folder


def configure(here: Path, port: int, *, more: str = "", job: str = "") -> None:
    text = f'{more}\n[job]\nurl = "https://{HOST}:{port}/"\naddress = "127.0.0.1"\n{job}\n'
    here.joinpath("rootlet.toml").write_text(text)


def rootlet(here: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return command_line.run("deploy", *words, cwd=here, **environment)


def payload(library: dict[str, bytes], pki: Pki, **changes: Any) -> Payload:
    application = {name: (device_root() / name).read_bytes() for name in ("boot.py", "main.py")}
    settings = {"job": {"url": "https://demo.test/"}}
    made = Payload(library, application, board_config.compact(settings))
    made.store, made.store_path = pki.store, "/certs/roots.rtlt"
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def on(virtual: VirtualBoard, wanted: Payload, **options: Any) -> Deployment:
    with Board(virtual.port) as board:
        return deploy(board, wanted, **options)


@pytest.fixture
def flash(tmp_path: Path) -> Path:
    return tmp_path / "flash"


@pytest.fixture
def fresh(make_virtual_board: Make, flash: Path) -> VirtualBoard:
    """A board without any file, with a folder of the host as flash."""
    flash.mkdir()
    return make_virtual_board(directory=flash)


def files(flash: Path) -> dict[str, bytes]:
    return {path.relative_to(flash).as_posix(): path.read_bytes() for path in flash.rglob("*") if path.is_file()}


# --- from start to end ---


@pytest.mark.parametrize("filesystem", ["littlefs", "fat"])
def test_an_empty_board_makes_a_verified_get_after_one_command(
    make_virtual_board: Make, here: Path, server: int, filesystem: str
) -> None:
    virtual = make_virtual_board(filesystem=filesystem, size="1M")
    configure(here, server, job="period_s = 60")
    done = rootlet(here, "--port", virtual.port, "--store", "site.rtlt")
    assert done.returncode == 0, done.stderr
    assert "GET .............................. ok (200 OK)" in done.stdout
    assert "anchor 'rootlet demo root CA'" in done.stdout
    assert done.stderr == ""
    # It was left running, not interrupted by the end of the command.
    virtual.wait_for("next in 60 s")
    assert "stopped" not in virtual.console
    again = rootlet(here, "--port", virtual.port, "--store", "site.rtlt", "--json")
    assert again.returncode == 0, again.stderr
    answer = json.loads(again.stdout)
    assert answer["sent_bytes"] == 0
    assert {file["state"] for file in answer["files"]} == {"unchanged"}
    assert answer["store"]["result"] == "unchanged"
    assert "ok (200 OK)" in answer["report"]


def test_a_job_that_fails_is_reported_with_its_reason_and_exit_code_1(
    fresh: VirtualBoard, here: Path, server: int
) -> None:
    configure(here, server)
    text = here.joinpath("rootlet.toml").read_text().replace(HOST, "wrong.test")
    here.joinpath("rootlet.toml").write_text(text)
    done = rootlet(here, "--port", fresh.port, "--store", "site.rtlt")
    assert done.returncode == 1
    assert "  ! no trust store has the issuer of wrong.test's chain" in done.stdout
    assert done.stderr.count("\n") == 1
    assert "first report says that the job failed" in done.stderr


def test_a_url_is_enough_and_the_default_store_is_found(fresh: VirtualBoard, here: Path, pki: Pki, flash: Path) -> None:
    here.joinpath("certs").mkdir()
    shutil.move(here / "site.rtlt", here / "certs" / "roots.rtlt")
    done = rootlet(here, "--port", fresh.port, "--url", "https://demo.test/", "--no-restart")
    assert done.returncode == 0, done.stderr
    assert json.loads((flash / "rootlet.json").read_text()) == {"job": {"url": "https://demo.test/"}}
    assert (flash / "certs/roots.a/store.rtlt").read_bytes() == pki.store


def test_without_waiting_the_board_is_restarted_and_nothing_is_said_of_its_report(
    fresh: VirtualBoard, here: Path, flash: Path
) -> None:
    here.joinpath("main.py").write_text("open('started', 'w').close()\nimport time\nwhile True: time.sleep(1)\n")
    words = ("--url", "https://demo.test/", "--store", "site.rtlt", "--main", "main.py", "--wait", "0", "--json")
    done = rootlet(here, "--port", fresh.port, *words)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["report"] is None
    assert done.stderr == ""
    deadline = time.monotonic() + 10
    while not (flash / "started").exists():
        assert time.monotonic() < deadline, "it was not restarted"
        time.sleep(0.02)


def test_a_board_that_goes_away_before_its_report_has_everything_and_the_line_says_so(
    fresh: VirtualBoard, here: Path, library: dict[str, bytes], flash: Path
) -> None:
    here.joinpath("main.py").write_text("print('going')\nimport time\nwhile True: time.sleep(1)\n")
    words = ("--url", "https://demo.test/", "--store", "site.rtlt", "--main", "main.py", "--wait", "30")
    command = [str(command_line.ROOTLET), "deploy", "--port", fresh.port, *words]
    with subprocess.Popen(command, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        fresh.wait_for("going", timeout_s=30)
        fresh.unplug()
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors.count("\n")) == (1, 1)
    assert "everything is on the board, but while it started, the connection to" in errors
    assert "--wait 0" in errors
    assert set(library) < set(files(flash))


# --- only what differs ---


def test_only_a_changed_file_is_sent_and_stale_modules_go_but_files_of_others_stay(
    fresh: VirtualBoard, flash: Path, library: dict[str, bytes], pki: Pki
) -> None:
    on(fresh, payload(library, pki))
    mine = {
        "data.txt": b"mine",
        "lib/mine.py": b"x = 1\n",
        "lib/rootlet/notes.txt": b"mine",
        "certs/mine.der": b"0",
        "lib/rootlet_extra/m.py": b"y = 1\n",
    }
    stale = ["lib/rootlet/store.py", "lib/rootlet/gone/old.mpy", "lib/rootlet/der.mpy.part", "main.py.part"]
    for name, data in [*mine.items(), *((name, b"old") for name in stale)]:
        (flash / name).parent.mkdir(exist_ok=True)
        (flash / name).write_bytes(data)
    (flash / "lib/rootlet/names.mpy").write_bytes(b"damaged")
    done = on(fresh, payload(library, pki))
    assert [file.path for file in done.files if file.state == "sent"] == ["/lib/rootlet/names.mpy"]
    assert sorted(file.path for file in done.files if file.state == "removed") == sorted(f"/{name}" for name in stale)
    left = files(flash)
    assert {name: left[name] for name in mine} == mine
    assert not set(stale) & set(left)
    assert not (flash / "lib/rootlet/gone").exists()
    assert left["lib/rootlet/names.mpy"] == library["lib/rootlet/names.mpy"]


def test_a_dry_run_says_what_it_would_do_and_writes_nothing(
    fresh: VirtualBoard, flash: Path, library: dict[str, bytes], pki: Pki
) -> None:
    (flash / "lib/rootlet").mkdir(parents=True)
    (flash / "lib/rootlet/old.py").write_bytes(b"")
    before = files(flash)
    done = on(fresh, payload(library, pki), dry_run=True)
    assert done.count("would send") == len(library) + 3
    assert [file.path for file in done.files if file.state == "would remove"] == ["/lib/rootlet/old.py"]
    assert files(flash) == before


def test_a_store_that_is_newer_on_the_board_is_kept(fresh: VirtualBoard, library: dict[str, bytes], pki: Pki) -> None:
    anchors = decode_store(pki.store).anchors
    newer = build_store(anchors, sequence=5, issued_at=1_700_000_000)
    on(fresh, payload(library, pki, store=newer))
    done = on(fresh, payload(library, pki))
    assert done.store is not None
    assert (done.store["result"], done.store["sequence"]) == ("kept", 5)
    assert "--rollback" in done.notes[0]


def test_the_library_is_bytecode_for_any_chip_and_source_where_the_board_takes_another_version() -> None:
    compiled, note = compile_library("6.3")
    assert note == ""
    assert set(compiled) >= {"lib/rootlet/__init__.mpy", "lib/rootlet/web/client.mpy"}
    # py/persistentcode.h: bits 2 and up of the third byte are the architecture of native code; 0 is none.
    assert {data[:2] + bytes([data[2] >> 2]) for data in compiled.values()} == {b"M\x06\x00"}
    for version in ("5.0", "7.0", ""):
        sources, note = compile_library(version)
        assert sources["lib/rootlet/store.py"] == (device_root() / "lib/rootlet/store.py").read_bytes()
        assert "sources" in note


# --- the configuration ---


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[job]\nurl = "https://x.test/"\ntiemout_ms = 5\n', "job.tiemout_ms is no setting"),
        ('colour = "red"\n[job]\nurl = "https://x.test/"\n', "colour is no setting"),
        ('[job]\nurl = "https://x.test/"\nperiod_s = "60"\n', "job.period_s must be a whole number"),
        ('watchdog_ms = true\n[job]\nurl = "https://x.test/"\n', "watchdog_ms must be a whole number"),
        ('stores = "a"\n[job]\nurl = "https://x.test/"\n', "stores must be a list of texts"),
        ('[job]\nurl = "http://x.test/"\n', "job.url must begin with https://"),
        ('[network]\nkind = "wifi"\n[job]\nurl = "https://x.test/"\n', "network.ssid is missing"),
        ("[job]\n", "job.url is missing"),
        ("[jobs]\n", "tables: job, modem, network, updates"),
        ("job = 2026-01-01\n", "job is no table"),
        ("[job\n", "is not TOML"),
        ("\udcff", "is not TOML: not UTF-8"),
    ],
)
def test_a_wrong_configuration_is_one_line_that_names_the_key_and_no_port_is_opened(
    here: Path, text: str, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from rootlet_host import cli

    here.joinpath("rootlet.toml").write_bytes(text.encode(errors="surrogateescape"))
    monkeypatch.chdir(here)
    monkeypatch.setattr("sys.argv", ["rootlet", "deploy", "--port", "/dev/no-such-port"])
    assert cli.run() == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("rootlet: rootlet.toml")
    assert message in error


def test_without_a_configuration_the_line_says_what_to_do(here: Path) -> None:
    done = rootlet(here, "--port", "/dev/no-such-port")
    assert done.returncode == 2
    assert "--url" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_wrong_url_is_not_blamed_on_the_configuration(here: Path) -> None:
    here.joinpath("rootlet.toml").write_text('[job]\nurl = "https://x.test/"\n')
    done = rootlet(here, "--port", "/dev/no-such-port", "--url", "ftp://x")
    assert (done.returncode, done.stderr) == (2, "rootlet: cannot fetch 'ftp://x' (give https://host[:port]/path)\n")
    done = rootlet(here, "--port", "/dev/no-such-port", "--url", "https://x/\udcff")
    assert (done.returncode, done.stderr.count("cannot fetch")) == (2, 1)


def test_the_configuration_on_the_board_is_compact_and_what_the_board_reads(
    fresh: VirtualBoard, library: dict[str, bytes], pki: Pki
) -> None:
    settings = {"job": {"url": "https://demo.test/ü"}, "watchdog_ms": 20_000, "stores": ["/certs/roots.rtlt"]}
    data = board_config.compact(settings)
    assert b": " not in data
    with Board(fresh.port) as board:
        deploy(board, payload(library, pki, configuration=data))
        board.soft_reset()
        read = board.evaluate("__import__('rootlet.config').config.load('/rootlet.json')")
    assert read == {**board_config.check(settings, "x"), "stores": ["/certs/roots.rtlt"]}


def test_the_default_store_lies_where_the_flash_is_mounted() -> None:
    settings = {"job": {"url": "https://x.test/"}}
    assert json.loads(board_config.compact(settings, "/flash"))["stores"] == ["/flash/certs/roots.rtlt"]
    assert "stores" not in json.loads(board_config.compact(settings, "/"))


# --- the Wi-Fi password ---

WIFI = '[network]\nkind = "wifi"\nssid = "net"\n[job]\nurl = "https://demo.test/"\n'


def test_the_wifi_password_reaches_the_board_from_the_environment_and_is_never_shown(
    fresh: VirtualBoard, here: Path, flash: Path
) -> None:
    here.joinpath("rootlet.toml").write_text(WIFI)
    words = ("--port", fresh.port, "--store", "site.rtlt", "--no-restart")
    done = rootlet(here, *words, "--json", **{board_config.PASSWORD_VARIABLE: SECRET})
    assert done.returncode == 0, done.stderr
    assert json.loads((flash / "rootlet.json").read_text())["network"]["password"] == SECRET
    assert SECRET not in done.stdout + done.stderr + fresh.console.replace(str(flash), "").partition("\0")[0]
    # The next time the board's own is kept, so that nobody need type it again.
    again = rootlet(here, *words)
    assert again.returncode == 0, again.stderr
    assert "kept, as it is on the board" in again.stdout
    assert "every file is there already" in again.stdout
    assert SECRET not in again.stdout + again.stderr
    # Another network: it is not known, and nothing is sent.
    here.joinpath("rootlet.toml").write_text(WIFI.replace('"net"', '"other"'))
    before = files(flash)
    refused = rootlet(here, *words)
    assert refused.returncode == 2
    assert board_config.PASSWORD_VARIABLE in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert files(flash) == before


def test_a_password_of_the_wrong_length_is_refused_without_being_shown(
    fresh: VirtualBoard, here: Path, flash: Path
) -> None:
    here.joinpath("rootlet.toml").write_text(WIFI)
    words = ("--port", fresh.port, "--store", "site.rtlt")
    done = rootlet(here, *words, **{board_config.PASSWORD_VARIABLE: 7 * SECRET})
    assert done.returncode == 2
    assert "network.password must be 0 to 64 bytes long" in done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert files(flash) == {}


def test_a_password_in_a_file_that_git_keeps_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rootlet.toml"
    path.write_text("")
    settings = {"network": {"kind": "wifi", "ssid": "net", "password": SECRET}}
    assert board_config.with_password(settings, path, None, None) == (settings, f"from {path}")
    for words in (["init", "-q"], ["add", "rootlet.toml"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True, capture_output=True)
    with pytest.raises(UsageError, match="kept by git") as caught:
        board_config.with_password(settings, path, None, None)
    assert SECRET not in str(caught.value)


def test_who_sits_at_a_terminal_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(board_config.PASSWORD_VARIABLE, raising=False)
    settings = {"network": {"kind": "wifi", "ssid": "net"}}
    made, source = board_config.with_password(settings, tmp_path / "x", None, lambda ssid: f"for {ssid}")
    assert made["network"]["password"] == "for net"  # noqa: S105
    assert source == "as typed"


# --- what is refused, and what is cut off ---


def test_a_program_of_the_users_own_is_not_written_over_without_replace(
    fresh: VirtualBoard, flash: Path, library: dict[str, bytes], pki: Pki
) -> None:
    (flash / "main.py").write_text("print('my own program')\n")
    before = files(flash)
    with pytest.raises(UsageError, match=r"/main.py on the board is a program of your own") as caught:
        on(fresh, payload(library, pki))
    assert "--replace" in caught.value.remedy
    assert files(flash) == before
    on(fresh, payload(library, pki), replace=True)
    assert files(flash)["main.py"] == (device_root() / "main.py").read_bytes()


def test_what_firmware_puts_on_a_fresh_board_is_replaced(
    fresh: VirtualBoard, flash: Path, library: dict[str, bytes], pki: Pki
) -> None:
    (flash / "boot.py").write_text("# boot.py -- run on boot-up\nimport gc\n#import webrepl\n")
    (flash / "main.py").write_text("# main.py -- put your code here!\n")
    assert on(fresh, payload(library, pki)).count("sent") == len(library) + 3


def test_a_flash_too_small_is_refused_before_the_first_byte(
    make_virtual_board: Make, library: dict[str, bytes], pki: Pki
) -> None:
    virtual = make_virtual_board(size="128K")
    with Board(virtual.port) as board:
        with pytest.raises(HostError, match=r"rootlet needs \d+ bytes and the flash .* has \d+ free"):
            deploy(board, payload(library, pki))
        assert [name for name, _, _ in board.listdir("/")] == []


@pytest.mark.parametrize(("filesystem", "for_itself"), [("littlefs", 8192), ("fat", 20 * 1024)])
def test_the_space_that_it_asks_for_is_enough(
    make_virtual_board: Make, library: dict[str, bytes], pki: Pki, filesystem: str, for_itself: int
) -> None:
    wanted = payload(library, pki)
    with pytest.raises(HostError, match="rootlet needs") as caught:
        on(make_virtual_board(size="128K", filesystem=filesystem, heap="512K"), wanted)
    needed = int(re.findall(r"needs (\d+) bytes", caught.value.message)[0])
    size = -(-(needed + for_itself) // 4096) * 4096
    board = make_virtual_board(size=size, filesystem=filesystem, heap="512K")
    assert (on(board, wanted).store or {})["result"] == "pushed"
    with Board(board.port) as connection:
        assert 0 <= connection.free_bytes() < 0.2 * needed


def test_a_flash_that_fills_up_all_the_same_leaves_no_half_file(
    make_virtual_board: Make, library: dict[str, bytes], pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    virtual = make_virtual_board(size="128K")
    monkeypatch.setattr("rootlet_host.deploy._require_space", lambda *_: None)
    monkeypatch.setattr(Board, "require_space", lambda *_: None)
    with Board(virtual.port) as board:
        with pytest.raises(HostError, match="flash") as caught:
            deploy(board, payload(library, pki))
        assert "\n" not in str(caught.value)
        there = {f"lib/rootlet/{name}": size for name, folder, size in board.listdir("/lib/rootlet") if not folder}
        assert there
        assert {name: len(library[name]) for name in there} == there


def test_a_store_that_the_configuration_names_must_be_given_or_there(here: Path, fresh: VirtualBoard) -> None:
    configure(here, 443, more='stores = ["/certs/roots.rtlt", "/certs/other.rtlt"]')
    done = rootlet(here, "--port", fresh.port, "--store", "site.rtlt")
    assert done.returncode == 2
    assert "/certs/other.rtlt is not on the board" in done.stderr
    both = rootlet(here, "--port", fresh.port, "--store", "site.rtlt", "--store", "site.rtlt", "--no-restart")
    assert both.returncode == 0, both.stderr
    with Board(fresh.port) as board:
        assert board.get("/certs/other.rtlt") == (here / "site.rtlt").read_bytes()


def test_firmware_that_cannot_run_rootlet_is_refused(fresh: VirtualBoard) -> None:
    from dataclasses import replace

    with Board(fresh.port) as board:
        info = board.identify()
    for changes, message in (
        ({"version": (1, 23, 0), "version_text": "1.23.0"}, "rootlet takes 1.24 or later"),
        ({"has_tls": False}, "has no module tls"),
        ({"has_sha256": False}, "has no hashlib.sha256"),
    ):
        with pytest.raises(HostError, match=message):
            require_firmware(replace(info, **changes))  # type: ignore[arg-type]


def test_ctrl_c_leaves_no_half_file_and_the_next_deployment_goes_on(
    fresh: VirtualBoard, here: Path, flash: Path, library: dict[str, bytes]
) -> None:
    configure(here, 443)
    words = [str(command_line.ROOTLET), "deploy", "--port", fresh.port, "--store", "site.rtlt", "--no-restart"]
    with subprocess.Popen(words, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 30
        while not (flash / "lib/rootlet/connection.mpy").exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert errors in ("", "rootlet: interrupted\n")
    there = files(flash)
    assert not [name for name in there if name.endswith(".part")]
    assert 0 < len(there) < len(library)
    assert all(data == library[name] for name, data in there.items())
    done = rootlet(here, *words[2:], "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    states = [file["state"] for file in answer["files"]]
    assert states.count("unchanged") == len(there)
    assert states.count("sent") == len(states) - len(there)


@pytest.mark.parametrize("filesystem", ["littlefs", "fat"])
def test_a_cable_that_is_pulled_is_said_with_what_it_leaves_and_the_next_deployment_goes_on(
    make_virtual_board: Make, library: dict[str, bytes], pki: Pki, filesystem: str
) -> None:
    virtual = make_virtual_board(filesystem=filesystem, heap="512K")
    seen = []

    def pull(what: str, done: int, total: int) -> None:
        seen.append(what)
        if len(seen) == 40:
            virtual.unplug()

    with pytest.raises(LinkError, match="may hold only a part of rootlet") as caught:
        on(virtual, payload(library, pki), progress=pull)
    assert "deploy again" in caught.value.remedy
    virtual.plug()
    done = on(virtual, payload(library, pki))
    assert 20 < done.count("unchanged") < len(library)
    assert done.count("sent") + done.count("unchanged") == len(library) + 3


def test_a_broken_configuration_on_the_board_is_no_obstacle(fresh: VirtualBoard, flash: Path) -> None:
    for text in ("{", "[]", '"x"'):
        (flash / "rootlet.json").write_text(text)
        with contextlib.closing(Board(fresh.port)) as board:
            board.open()
            assert configuration_on_board(board) is None


def test_the_example_of_the_documentation_is_a_right_configuration() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs/deploy.md").read_text()
    settings = board_config.tomllib.loads(text.partition("```toml\n")[2].partition("```")[0])
    checked = board_config.check({**settings, "network": {**settings["network"], "password": ""}}, "docs/deploy.md")
    assert checked["job"]["period_s"] == 3600


# --- what the host knows of the board ---


@pytest.mark.parametrize(
    ("machine", "rng", "words"),
    [
        ("NUCLEO_H563ZI with STM32H563ZI", "yes", None),
        ("NUCLEO_F401RE with STM32F401xE", "no", "this board has no hardware generator"),
        ("linux", "unknown", None),
    ],
)
def test_what_the_catalogue_knows_of_the_generator_reaches_the_board(
    fresh: VirtualBoard, library: dict[str, bytes], pki: Pki, machine: str, rng: str, words: str | None
) -> None:
    from rootlet_host.deploy_command import with_generator

    with Board(fresh.port) as board:
        info = dataclasses.replace(board.identify(), machine=machine)
    settings = with_generator({"job": {"url": "https://demo.test/"}}, info)
    assert with_generator({"rng": "yes"}, info) == {"rng": "yes"}
    on(fresh, payload(library, pki, configuration=board_config.compact(settings)))
    with Board(fresh.port) as board:
        board.soft_reset()
        board.run(
            "import main\nfrom rootlet import config\n_c = config.load()\n"
            "_a = main.Application(_c, main.report.Report(lambda text: None))\n"
            "_a._trust()\nfrom rootlet import entropy"
        )
        status = board.evaluate("entropy.status()")
    assert status["rng"] == rng
    assert (status["fault"] is None) if words is None else (words in status["fault"])
