"""Files that are endless, huge, not files at all or full of a terminal's commands; and signals other than Ctrl-C."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sysconfig
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rootlet_host import files
from rootlet_host.board_config import client_identity
from rootlet_host.errors import HostError, UsageError
from rootlet_host.firmware.lockfile import LockFile
from rootlet_host.output import remark, say

ROOTLET = Path(sysconfig.get_path("scripts")) / "rootlet"
Runner = Callable[..., "object"]


def run(*words: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOTLET), *map(str, words)], capture_output=True, text=True, timeout=60, check=False, **options
    )  # type: ignore[call-overload,no-any-return]


def test_a_device_without_an_end_is_not_read_to_it() -> None:
    with pytest.raises(UsageError, match="/dev/zero: it is larger than 1 MB"):
        files.read_file(Path("/dev/zero"), "the store", 1 << 20)


def test_a_file_larger_than_any_that_is_read_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UsageError, match="larger than 64 MB"):
        files.read_file(path, "the store")


def test_a_pipe_into_which_nobody_writes_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_PIPE_WAIT_S", 0.1)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="nobody writes into this pipe"):
        files.read_file(tmp_path / "pipe", "the store")


@pytest.mark.parametrize("first", ["reader", "writer"])
def test_a_pipe_into_which_somebody_writes_is_read_to_its_end(first: str, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    begun = threading.Event()

    def write() -> None:
        if first == "reader":
            begun.wait(10)
        with pipe.open("wb", buffering=0) as file:
            file.write(b"a" * 10)
            file.write(b"b" * 100_000)

    writer = threading.Thread(target=write)
    writer.start()
    begun.set()
    assert files.read_file(pipe, "the store") == b"a" * 10 + b"b" * 100_000
    writer.join()


def test_what_is_no_file_is_never_replaced_by_one(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    tmp_path.joinpath("folder").mkdir()
    tmp_path.joinpath("link").symlink_to(tmp_path / "pipe")
    for name in ("pipe", "folder", "link"):
        with pytest.raises(HostError, match=r"cannot write .* it is (a folder|not a file)"):
            files.write_atomic(tmp_path / name, b"data")
        with pytest.raises(HostError, match=r"cannot write .* it is (a folder|not a file)"):
            files.write_all([(tmp_path / "new", b"", 0o644), (tmp_path / name, b"data", 0o644)], force=True)
    assert stat.S_ISFIFO(tmp_path.joinpath("pipe").stat().st_mode)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "link", "pipe"]


def test_a_file_system_that_also_refuses_to_put_back_what_was_there_hides_no_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(files.tempfile, "mkstemp", refused)
    monkeypatch.setattr(Path, "unlink", refused)
    with pytest.raises(HostError, match=r"cannot write in .*: Read-only file system"):
        files.write_all([(tmp_path / "new", b"", 0o644)])


def test_a_name_as_long_as_a_file_system_allows_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    files.write_atomic(path, b"data")
    assert path.read_bytes() == b"data"


@pytest.mark.parametrize("name", ["missing", "folder", "folder/x/y", "missing/x", "loop", "n" * 300])
def test_a_file_that_cannot_be_read_or_written_comes_with_a_remedy(name: str, tmp_path: Path) -> None:
    tmp_path.joinpath("folder").mkdir()
    tmp_path.joinpath("loop").symlink_to("loop")
    with pytest.raises(UsageError) as caught:
        files.read_file(tmp_path / name, "the store")
    assert caught.value.remedy
    if name not in ("missing", "loop"):
        with pytest.raises(HostError) as failed:
            files.write_atomic(tmp_path / name, b"data")
        assert failed.value.remedy


@pytest.mark.parametrize(
    "content",
    [
        b'{"schema": 1, "files": {"x": {"sha256": "a", "bytes": 1e999, "url": "u"}}}',
        b"[" * 100_000,
        b"\xff",
        b'{"schema": 1, "files": []}',
        b"",
        b"null",
    ],
)
def test_a_damaged_lock_file_is_an_error_in_words(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "firmware.lock"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="is damaged"):
        LockFile(path)


def test_a_manifest_that_is_nested_without_end_is_passed_over(tmp_path: Path) -> None:
    assert run("store", "build", "-o", "roots.rtlt", cwd=tmp_path).returncode == 0
    (tmp_path / "roots.json").write_bytes(b'{"anchors":' + b"[" * 100_000)
    done = run("store", "show", "roots.rtlt", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_said_carries_no_commands_for_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "hosts").write_bytes(b"\x1b]0;owned\x07\n")
    done = run("store", "build", "--host-list", "hosts", "-o", "x.rtlt", cwd=tmp_path)
    assert done.returncode == 1
    assert "owned" in done.stderr
    assert "\x1b" not in done.stderr
    assert "\x07" not in done.stderr
    say("a\x1b[2Jb\nc")
    remark("d\x9b2Je")
    assert capsys.readouterr() == ("a?[2Jb\nc\n", "d?2Je\n")


def test_a_publisher_whose_key_is_no_point_of_its_curve_is_refused_in_words(tmp_path: Path) -> None:
    for words in (("keys", "new", "acme", "--no-passphrase"), ("store", "build", "-o", "roots.rtlt")):
        assert run(*words, cwd=tmp_path).returncode == 0
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    certificate = x509.load_pem_x509_certificate((tmp_path / "acme.pem").read_bytes())
    der = bytearray(certificate.public_bytes(serialization.Encoding.DER))
    point = certificate.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    der[der.find(point) + 64] ^= 1
    (tmp_path / "bad.der").write_bytes(der)
    done = run("provision", "--cert", "bad.der", "--key", "acme.key", cwd=tmp_path)
    assert done.returncode == 2
    assert "does not belong to" in done.stderr
    with pytest.raises(UsageError, match="holds no certificate"):
        client_identity(tmp_path / "bad.der", tmp_path / "acme.key")
    done = run("store", "sign", "roots.rtlt", "--key", "acme.key", "--cert", "bad.der", cwd=tmp_path)
    assert done.returncode == 2
    assert "has a key that cannot be read" in done.stderr


def test_a_store_without_a_name_is_refused_in_words(tmp_path: Path) -> None:
    done = run("store", "build", "-o", "", cwd=tmp_path)
    assert done.returncode == 2
    assert "name a file" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_a_command_ends_it_as_ctrl_c_does(number: signal.Signals, tmp_path: Path) -> None:
    """While it reads a pipe, which goes on for as long as this test wants."""
    os.mkfifo(tmp_path / "pipe")
    process = subprocess.Popen(
        [str(ROOTLET), "store", "show", "pipe"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with (tmp_path / "pipe").open("wb") as file:  # opens when the command has opened it for reading
        file.write(b"RTLT")
        file.flush()
        time.sleep(0.05)
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert process.returncode == -number
    assert (out, err) == ("", "rootlet: interrupted\n")


def test_a_hang_up_that_is_ignored_stays_so(tmp_path: Path) -> None:
    """As under nohup."""
    os.mkfifo(tmp_path / "pipe")
    process = subprocess.Popen(
        [str(ROOTLET), "store", "show", "pipe"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
        text=True,
    )
    with (tmp_path / "pipe").open("wb") as file:
        process.send_signal(signal.SIGHUP)
        file.write(b"no store")
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "rootlet: pipe: the store is 8 bytes long" in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_no_part_of_a_file(number: signal.Signals, tmp_path: Path) -> None:
    for delay_ms in (300, 450, 550, 600, 650, 700, 800):
        process = subprocess.Popen(
            [str(ROOTLET), "certs", "rig", "-d", f"rig{delay_ms}"],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(delay_ms / 1000)
        process.send_signal(number)
        process.wait(20)
        folder = tmp_path / f"rig{delay_ms}"
        left = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
        assert not [name for name in left if name.startswith(".")]
        assert len(left) in (0, 11), left
