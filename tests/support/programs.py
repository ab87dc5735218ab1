"""What tests need of the machine: programs from Debian that they start or talk to, and what `make` targets build."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest


def missing(message: str) -> NoReturn:
    """Skip the test for want of something; in CI, where .ci/run has installed and built everything, fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def program(name: str, package: str) -> str:
    """The path of a program; `missing` without it."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    return path or missing(f"{name} is not installed: apt install {package}")


def built(path: Path, target: str) -> Path:
    """`path`, which `make TARGET` builds or fetches; `missing` without it."""
    return path if path.is_file() else missing(f"there is no {path}: make {target}")


def faketime_library() -> str:
    """libfaketime, to be loaded before a program whose clock shall be wrong; `missing` without it."""
    found = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    return str(found) if found else missing("libfaketime is not installed: apt install faketime")


def free_ports(count: int, kind: int = socket.SOCK_STREAM) -> list[int]:
    """Ports that nobody uses now, for programs that cannot let the system choose."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket(socket.AF_INET, kind)) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    return free_ports(1, kind)[0]


class Daemon:
    """A program that runs; its output is in `log`."""

    def __init__(self, process: subprocess.Popen[bytes], log_file: Path) -> None:
        self.process = process
        self._log_file = log_file

    @property
    def log(self) -> str:
        return self._log_file.read_text(errors="replace")


@contextlib.contextmanager
def daemon(*command: str | Path, port: int | None, log: Path, ready: str = "", **options: Any) -> Iterator[Daemon]:
    """Runs `command`, waits until its TCP `port` answers or, without one, `ready` stands in its output; ends it."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=options.pop("stdin", subprocess.DEVNULL),
            stdout=output,
            stderr=subprocess.STDOUT,
            **options,
        )
    running = Daemon(process, log)
    try:
        deadline = time.monotonic() + 10
        while not (answers(port) if port is not None else ready in running.log):
            assert process.poll() is None, f"{command[0]} ended: {running.log}"
            assert time.monotonic() < deadline, f"{command[0]} does not start: {running.log}"
            time.sleep(0.02)
        yield running
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def serves_udp(port: int) -> bool:
    """Whether somebody has bound the UDP port. To try to bind it would take it from a server that is about to."""
    sockets = [Path("/proc/net", name).read_text().splitlines()[1:] for name in ("udp", "udp6")]
    return any(int(line.split()[1].rpartition(":")[2], 16) == port for lines in sockets for line in lines)


def wait_for_udp(port: int) -> None:
    """Until somebody has bound the UDP port."""
    deadline = time.monotonic() + 10
    while not serves_udp(port):
        assert time.monotonic() < deadline, f"nobody serves UDP port {port}"
        time.sleep(0.01)


def openssl_server(folder: Path, *options: str | Path) -> contextlib.AbstractContextManager[tuple[int, Daemon]]:
    """`openssl s_server` with the options, on a port of its own: (port, daemon)."""

    @contextlib.contextmanager
    def start() -> Iterator[tuple[int, Daemon]]:
        openssl = program("openssl", "openssl")
        log = folder / "openssl.log"
        command = (openssl, "s_server", "-accept", "127.0.0.1:0", *options)
        with daemon(*command, port=None, log=log, ready="ACCEPT ", stdin=subprocess.PIPE) as running:
            line = next(line for line in running.log.splitlines() if line.startswith("ACCEPT "))
            yield int(line.rpartition(":")[2]), running

    return start()


def mosquitto(folder: Path, *settings: str) -> contextlib.AbstractContextManager[tuple[int, Daemon]]:
    """mosquitto with the settings of its one listener: (port, daemon)."""

    @contextlib.contextmanager
    def start() -> Iterator[tuple[int, Daemon]]:
        broker = program("mosquitto", "mosquitto")
        port = free_port()
        config = folder / "mosquitto.conf"
        config.write_text("\n".join([f"listener {port} 127.0.0.1", "allow_anonymous true", "user root", *settings, ""]))
        with daemon(broker, "-c", config, "-v", port=port, log=folder / "mosquitto.log") as running:
            yield port, running

    return start()
