"""Time servers for boards: chrony, and scripted ones that lie. And a clock for a board on this machine."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .programs import free_port, program

NTP_EPOCH = 2208988800


@contextmanager
def chrony(folder: Path) -> Iterator[int]:
    """A real time server that has this machine's time; its port: another one if somebody takes the first."""
    path = program("chronyd", "chrony")
    configuration = folder / "chrony.conf"
    said = b""
    for _ in range(3):
        port = free_port(socket.SOCK_DGRAM)
        configuration.write_text(
            f"port {port}\nbindaddress 127.0.0.1\nallow 127.0.0.1\nlocal stratum 3\ncmdport 0\n"
            f"bindcmdaddress /\npidfile {folder}/chronyd.pid\n"
        )
        server = subprocess.Popen(
            [path, "-x", "-d", "-u", "root", "-f", str(configuration)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        try:
            if _knows_the_time(port):
                yield port
                return
        finally:
            server.terminate()
            said += server.communicate()[0]
    raise TimeoutError(f"chronyd does not know the time: {said.decode()}")


def _knows_the_time(port: int) -> bool:
    """Waits some seconds for that."""
    deadline = time.monotonic() + 6
    while time.monotonic() < deadline:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(0.2)
            sock.connect(("127.0.0.1", port))
            with contextlib.suppress(OSError):
                sock.send(b"\x23" + bytes(47))
                answer = sock.recv(48)
                if len(answer) == 48 and answer[0] >> 6 != 3 and 0 < answer[1] < 16:
                    return True
                time.sleep(0.05)
    return False


@contextmanager
def scripted(answer: Callable[[bytes], list[bytes]]) -> Iterator[int]:
    """A UDP server that sends what `answer` makes of each question; its port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                try:
                    question, sender = server.recvfrom(200)
                except OSError:
                    return
                for packet in answer(question):
                    server.sendto(packet, sender)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


def packet(question: bytes, seconds: float, *, first: int = 0x24, stratum: int = 2, code: bytes = b"TEST") -> bytes:
    """A server's answer (RFC 4330, 4) to `question`, saying `seconds` since 1970."""
    stamp = ((int(seconds) + NTP_EPOCH) & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes((first, stratum)) + bytes(10) + code + bytes(8) + question[40:48] + bytes(8) + stamp + bytes(4)
