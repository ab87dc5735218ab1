"""Where the blocks of one page run: a folder with the repository's files in it, a board, and the world's network.

Shell blocks run in bash as they stand, but for what a computer without hardware cannot have: the board's port leads to
a board that is simulated (a ROM loader until it is flashed, then the virtual board), and `make` only says what it would
do (-n) for the targets in DRY, which take minutes or are what runs this.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from dataclasses import dataclass, field
from pathlib import Path

from far_end import TcpNetwork, TcpPeer
from pty_modem import PtyModem
from rootlet_host.board.virtual import VirtualBoard
from rootlet_host.interpreter import find_micropython
from simulators.esp32_rom import Esp32
from simulators.stlink_drive import StlinkDrive
from support.programs import free_port
from support.third_party import UMQTT_SIMPLE, unpacked

from .markdown import REPOSITORY, Block
from .world import World

DRY = {
    "bench",
    "conformance",
    "docs",
    "footprint",
    "fuzz",
    "lint",
    "memory",
    "micropython32",
    "setup",
    "soak",
    "test",
    "test-versions",
    "versions",
}
PORTS = re.compile(r"/dev/(?:ttyACM0|ttyUSB0|pts/3)\b")
SERVERS = re.compile(r"(?:-accept |http\.server (?:\S+ )*|http://192\.168\.4\.2:)(\d{4})\b")
HERE = Path(__file__).resolve().parent
BIN = Path(sysconfig.get_path("scripts"))
LINKED = (
    "Makefile",
    "README.md",
    "boot.py",
    "constraints.txt",
    "docs",
    "firmware",
    "lib",
    "main.py",
    "pyproject.toml",
    "tests",
    "tools",
)
TIMEOUT_S = 120
IMAGE_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Setting:
    """What a page takes for granted.

    `board`: "deployed" or "empty". `files`: name in the sandbox and content; `on_board`: path on the board and content;
    a content that is a function is called with the world. `names`: Python that the page's first Python block follows.
    """

    board: str = "deployed"
    files: dict[str, object] = field(default_factory=dict)
    on_board: dict[str, object] = field(default_factory=dict)
    names: str = ""


@dataclass
class Done:
    """What a block printed, standard error included, and how it ended."""

    output: str
    status: int = 0

    @property
    def end(self) -> str:
        """The last lines, for messages."""
        return "\n".join(self.output.splitlines()[-12:])


class Sandbox(contextlib.ExitStack):
    """Use as a context manager."""

    def __init__(self, folder: Path, world: World, setting: Setting) -> None:
        super().__init__()
        self.world, self.setting = world, setting
        self.flash = folder / "flash"  # what is programmed into the image
        self.image = folder / "flash.img"
        self.network = folder / "network"
        self.home = folder / "rootlet"
        self.port = folder / "attached" / "board"
        self.drive = folder / "drives" / "NOD_F767ZI"
        self.state = folder / "world.json"
        self.folder = folder
        self._board: VirtualBoard | None = None
        self._ports: dict[str, int] = {}  # of servers that the page starts

    def __enter__(self) -> Sandbox:
        super().__enter__()
        for part in (self.home, self.flash / "lib", self.flash / "certs", self.port.parent, self.drive.parent):
            part.mkdir(parents=True)
        for name in LINKED:
            (self.home / name).symlink_to(REPOSITORY / name)
        (self.home / "certs").mkdir()
        (self.home / ".venv").symlink_to(BIN.parent)
        self._fill(self.home, self.setting.files)
        names = json.dumps(self.world.hosts)
        self._fill(self.network, {"socket.py": (HERE / "device" / "socket.py").read_bytes(), "hosts.json": names})
        self._say_what_there_is()
        return self

    def _fill(self, folder: Path, files: dict[str, object]) -> None:
        for name, content in files.items():
            path = folder / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            data = content(self.world) if callable(content) else content
            path.write_bytes(data.encode() if isinstance(data, str) else bytes(data))  # type: ignore[call-overload]

    def _make_flash(self) -> None:
        """The board's network, and unless it is empty, what `rootlet deploy` writes. Most pages need no board."""
        if self.image.exists():
            return
        shutil.copytree(self.network, self.flash / "lib", dirs_exist_ok=True)
        if self.setting.board == "deployed":
            self._fill(self.flash, {**self.world.library, "certs/roots.rtlt": self.world.store})
            self._fill(self.flash, {"rootlet.json": '{"job":{"url":"https://example.org/"}}'})
            for name in ("boot.py", "main.py"):
                shutil.copy(REPOSITORY / name, self.flash / name)
            shutil.copytree(unpacked(UMQTT_SIMPLE), self.flash / "lib", dirs_exist_ok=True)
        self._fill(self.flash, self.setting.on_board)
        self.image.write_bytes(b"\xff" * IMAGE_BYTES)
        self._program_flash(self.image)

    def _program_flash(self, image: Path) -> None:
        done = self._micropython("flash_image.py", image, self.flash)
        assert done.returncode == 0, done.stdout + done.stderr

    def _micropython(self, name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = [find_micropython(), "-X", "heapsize=4M", HERE / "device" / name, *arguments]
        return subprocess.run(
            [str(part) for part in command],
            input="yes\n" * 4,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    def _say_what_there_is(self) -> None:
        attached = {"device": str(self.port), "vid": 0x0483, "pid": 0x374B}
        self.state.write_text(
            json.dumps(
                {
                    "hosts": {**self.world.hosts, **{f"192.168.4.2:{port}": port for port in self._ports.values()}},
                    "attached": [attached],
                    "roots": str(self.world.roots),
                    "drives": [str(self.drive)],
                }
            )
        )

    # The board

    def _attach(self) -> None:
        if self._board is None:
            self._make_flash()
            self._board = self.enter_context(VirtualBoard(image=self.image, heap="1M"))
        self._lead_to(self._board.port)

    def _lead_to(self, port: str) -> None:
        link = self.port.with_suffix(".new")
        link.symlink_to(port)
        link.replace(self.port)

    def _attach_what_is_wanted(self, code: str) -> None:
        if re.search(r"rootlet flash ESP32|BOARD=ESP32", code):
            rom = self.enter_context(Esp32("esp32s3"))
            self._lead_to(rom.port)
            self.callback(_Follow(rom, self._attach).join)
        elif re.search(r"rootlet flash NUCLEO|BOARD=NUCLEO", code):
            if not self.drive.exists():
                self.enter_context(StlinkDrive(self.drive))
            self._attach()
        elif PORTS.search(code) or re.search(
            r"rootlet (deploy|doctor|push|provision|store (list|pull))|mpremote|make (deploy|push)", code
        ):
            self._attach()

    # Shell

    def shell(self, block: Block) -> Done:
        """Runs a block of commands, to its end or until it prints what its directive says."""
        self._attach_what_is_wanted(block.code)
        if block.directive == "until":
            return self._background(block)
        return self._bash(block.code, TIMEOUT_S)

    def _script(self, code: str) -> str:
        dry = "|".join(sorted(DRY))
        lines = [
            "set -eu",
            "make() {",
            '  local word; for word in "$@"; do case "$word" in',
            f'    {dry}) command make -n "$@" >/dev/null; return;;',
            "  esac; done",
            '  MICROPYTHON="$SANDBOX_MICROPYTHON" command make -s -o .venv/.installed "$@"; }',
            "mosquitto_pub() {",
            '  local words=() host=localhost port=1883; while [ $# -gt 0 ]; do case "$1" in',
            '    -h) host=$2; shift;; -p) port=$2; shift;; *) words+=("$1");; esac; shift; done',
            '  command mosquitto_pub -h localhost -p "$(sandbox-port "$host:$port")" "${words[@]}"; }',
            self._elsewhere(code),
        ]
        return "\n".join(lines) + "\n"

    def _elsewhere(self, code: str) -> str:
        """`code` with the board's port, the server's folder and the ports of its servers as they are here."""
        code = PORTS.sub(str(self.port), code).replace("/srv/www", str(self.folder / "www"))
        for match in SERVERS.finditer(code):
            if match[1] not in self._ports:
                self._ports[match[1]] = free_port()
                self._say_what_there_is()
        return SERVERS.sub(lambda match: match[0].replace(match[1], str(self._ports[match[1]])), code)

    def _environment(self) -> dict[str, str]:
        programs = self.folder / "bin"
        if not programs.is_dir():
            programs.mkdir()
            self._write_program(
                programs / "sandbox-port",
                f"#!{sys.executable} -S\nimport json, sys\n"
                f"print(json.load(open({str(self.state)!r}))['hosts'][sys.argv[1]])\n",
            )
            # `rootlet demo` makes the board's whole file system anew, so its network must be there before.
            self._write_program(
                programs / "micropython",
                f"""#!{sys.executable} -S
import os, sys
arguments = sys.argv[1:]
if "-c" in arguments:
    at = arguments.index("-c") + 1
    arguments[at] = "import sys; sys.path.insert(0, {str(self.network)!r})\\n" + {_EARLY_SOCKET!r} + arguments[at]
os.execv({str(find_micropython())!r}, [{str(find_micropython())!r}, *arguments])
""",
            )
        return {
            **{name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")},
            "PATH": f"{programs}:{BIN}:{os.environ['PATH']}:/usr/sbin",
            "HOME": str(self.folder),
            "PYTHONPATH": str(HERE / "network"),
            "ROOTLET_DOCS_WORLD": str(self.state),
            "ROOTLET_FIRMWARE_MIRROR": self.world.micropython_org.url,
            "ROOTLET_FIRMWARE_LOCK": str(self.folder / "firmware.lock"),
            "ROOTLET_CACHE": str(self.folder / "cache"),
            "ROOTLET_PASSPHRASE": "correct horse battery staple",
            "ROOTLET_WIFI_PASSWORD": "",
            "MICROPYTHON": str(find_micropython()),
            "SANDBOX_MICROPYTHON": str(programs / "micropython"),
            "COLUMNS": "200",
            "LC_ALL": "C.UTF-8",
        }

    @staticmethod
    def _write_program(path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)

    def _bash(self, code: str, timeout_s: float) -> Done:
        # At the terminal sits somebody who says yes.
        terminal, keyboard = pty.openpty()
        os.write(terminal, b"y\n")
        try:
            done = subprocess.run(
                ["bash", "-c", self._script(code)],
                cwd=self.home,
                env=self._environment(),
                stdin=keyboard,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=timeout_s,
                check=False,
            )
        finally:
            os.close(terminal)
            os.close(keyboard)
        return Done(done.stdout.decode(errors="replace"), done.returncode)

    def _background(self, block: Block) -> Done:
        log = self.folder / f"background-{block.line}.log"
        process = subprocess.Popen(
            ["bash", "-c", self._script(block.code)],
            cwd=self.home,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=log.open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.callback(_interrupt, process)
        deadline = time.monotonic() + TIMEOUT_S / 2
        while block.argument not in (text := log.read_text(errors="replace")):
            if process.poll() is not None or time.monotonic() > deadline:
                return Done(text, process.poll() or 124)
            time.sleep(0.02)
        return Done(text)

    # Python

    def host_python(self, block: Block) -> Done:
        path = self.home / f"block_{block.line}.py"
        path.write_text(block.code)
        return self._bash(f"{sys.executable} {path}", TIMEOUT_S)

    def mypy(self, block: Block) -> Done:
        """What mypy says of the block as a program of its own. That there are faults is no failure."""
        folder = self.folder / "checked"
        folder.mkdir(exist_ok=True)
        (folder / "main.py").write_text(block.code)
        done = subprocess.run(
            [sys.executable, "-m", "mypy", "--no-error-summary", "--cache-dir", "cache", "main.py"],
            cwd=folder,
            env={**os.environ, "MYPYPATH": str(REPOSITORY / "typings")},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        return Done(done.stdout + done.stderr)

    def board_python(self, blocks: list[Block]) -> dict[str, Done]:
        """Runs all Python blocks of the page as one program on the board; what each printed, by its place."""
        steps = [{"place": "what the page takes for granted", "code": self.setting.names}] if self.setting.names else []
        steps += [{"place": block.place, "code": block.code} for block in blocks]
        self._make_flash()
        program = self.folder / "blocks.json"
        program.write_text(json.dumps(steps))
        shutil.rmtree(self.flash)
        self.flash.mkdir()
        if self.setting.board == "empty":  # the program is for the board that it becomes
            self._fill(self.flash, {**self.world.library, "certs/roots.rtlt": self.world.store})
            shutil.copytree(unpacked(UMQTT_SIMPLE), self.flash / "lib", dirs_exist_ok=True)
        if re.search(r"^(from|import) machine\b", "\n".join(block.code for block in blocks), re.MULTILINE):
            modem = PtyModem(sim_pin="1234")
            modem.modem.network = _Operator(self.world.hosts)
            self.enter_context(modem)
            machine = (HERE / "device" / "machine.py").read_bytes()
            self._fill(self.flash, {"lib/machine.py": machine, "lib/uart": modem.path})
        image = self.image
        if self._board is not None or self.setting.board == "empty":  # its flash is not for others to write
            image = self.folder / "copy.img"
            shutil.copy(self.image, image)
        if any(self.flash.iterdir()):
            self._program_flash(image)
        done = self._micropython("run_blocks.py", image, program)
        found: dict[str, Done] = {}
        for part in done.stdout.split("\x1e")[1:]:
            place, _, output = part.partition("\n")
            found[place] = Done(output)
        if done.returncode:
            failed = list(found)[-1] if found else blocks[0].place
            found.setdefault(failed, Done(""))
            found[failed].status = 1
            found[failed].output += done.stderr or done.stdout[-2000:]
        return found


# Loads the world's module socket while the interpreter still sees the computer's file system.
_EARLY_SOCKET = """
import sys, builtins
_open = builtins.open
def _from_sandbox(path, *rest):
    return _open(sys.path[0] + path[4:] if path[:5] == "/lib/" else path, *rest)
builtins.open = _from_sandbox
import socket
builtins.open = _open
"""


class _Operator(TcpNetwork):
    """The mobile operator's network: the same names as everywhere."""

    def __init__(self, hosts: dict[str, int]) -> None:
        super().__init__()
        self.hosts = hosts

    def connect(self, host: str, port: int) -> TcpPeer:
        return TcpPeer(("127.0.0.1", self.hosts.get(f"{host}:{port}", 1)))


class _Follow:
    """When the ROM loader has hung up, as a chip does that is reset, the flashed board is there."""

    def __init__(self, rom: Esp32, then: object) -> None:
        import threading

        def wait() -> None:
            rom._thread.join()
            then()  # type: ignore[operator]

        self._thread = threading.Thread(target=wait, daemon=True)
        self._thread.start()

    def join(self) -> None:
        self._thread.join(5)


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(3)
