"""The host package as strangers get it: wheel and source distribution, installed by pipx, used in an empty folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rootlet_host import __version__
from support import pki
from support.attempt import HOST
from support.servers import tls_server

REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def constrained() -> dict[str, str]:
    return {**os.environ, "PIP_CONSTRAINT": str(REPOSITORY / "constraints.txt"), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def run(*command: str | Path, **options: object) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, timeout=300, **options
    )  # type: ignore[call-overload]
    assert done.returncode == 0, f"{command}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
    return str(done.stdout)


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(wheel, source distribution). The wheel is built from the source distribution, so that one must be complete."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, REPOSITORY, env=constrained())
    (wheel,) = folder.glob("*.whl")
    (source,) = folder.glob("*.tar.gz")
    return wheel, source


@pytest.fixture(scope="module")
def command(distributions: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`rootlet` as pipx installs it: in an environment of its own, without the repository."""
    home = tmp_path_factory.mktemp("pipx")
    environment = {
        **constrained(),
        "PIPX_HOME": str(home / "home"),
        "PIPX_BIN_DIR": str(home / "bin"),
        "PIPX_MAN_DIR": str(home / "man"),
    }
    requirement = f"rootlet[unix] @ {distributions[0].as_uri()}"
    run(sys.executable, "-m", "pipx", "install", "--python", sys.executable, requirement, env=environment)
    return home / "bin" / "rootlet"


class User:
    """Somebody in an empty folder with nothing but `rootlet`."""

    def __init__(self, command: Path, folder: Path) -> None:
        self.command = command
        self.folder = folder
        self.environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder / ".home"), "LANG": "C.UTF-8"}

    def rootlet(self, *arguments: str | Path) -> str:
        return run(self.command, *arguments, cwd=self.folder, env=self.environment)

    @contextmanager
    def virtual(self) -> Iterator[str]:
        """A running virtual board: its port."""
        board = subprocess.Popen(
            [str(self.command), "virtual", "--quiet", "--dir", "board", "--heap", "1M"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert board.stdout is not None
        with board.stdout:
            try:
                yield board.stdout.readline().strip()
            finally:
                board.terminate()
                board.wait(20)


@pytest.fixture
def user(command: Path, tmp_path: Path) -> User:
    folder = tmp_path / "empty"
    folder.mkdir()
    return User(command, folder)


def device_files() -> set[str]:
    modules = {path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "lib" / "rootlet").rglob("*.py")}
    return modules | {"boot.py", "main.py", "firmware/boards.toml"}


def test_the_wheel_has_the_whole_device_side_the_stubs_and_the_license(distributions: tuple[Path, Path]) -> None:
    names = set(zipfile.ZipFile(distributions[0]).namelist())
    assert {f"rootlet_host/device/{name}" for name in device_files()} <= names
    stubs = {
        path.relative_to(REPOSITORY / "typings").as_posix()
        for path in (REPOSITORY / "typings").rglob("rootlet/**/*.pyi")
    }
    assert stubs
    assert {name.replace("rootlet/", "rootlet-stubs/", 1) for name in stubs} <= names
    assert f"rootlet-{__version__}.dist-info/licenses/LICENSE" in names
    assert "rootlet_host/py.typed" in names
    assert not [name for name in names if name.endswith((".pyc", ".rtlt", ".key", ".der", ".pem"))]


def test_the_source_distribution_has_tests_documentation_and_tools(distributions: tuple[Path, Path]) -> None:
    with tarfile.open(distributions[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert device_files() <= names
    assert {"README.md", "CHANGELOG.md", "LICENSE", "Makefile", "pyproject.toml", "constraints.txt"} <= names
    assert {"docs/packages.md", "tests/conftest.py", "tools/dev/packages.py", "lib/packages.toml"} <= names
    assert not [name for name in names if name.startswith(("build/", ".venv/", "dist/"))]


def test_the_version_is_the_device_librarys(distributions: tuple[Path, Path], user: User) -> None:
    wheel, source = distributions
    assert wheel.name == f"rootlet-{__version__}-py3-none-any.whl"
    assert source.name == f"rootlet-{__version__}.tar.gz"
    assert user.rootlet("--version").strip() == f"rootlet {__version__}"


def test_boards_come_from_the_wheel(user: User) -> None:
    boards = json.loads(user.rootlet("boards", "--json"))
    assert "ESP32_GENERIC" in json.dumps(boards)


def test_a_board_is_deployed_and_connects_with_nothing_but_the_wheel(user: User, tmp_path: Path) -> None:
    """A store, a virtual board, deploy; what the board reports first is a verified GET."""
    root = pki.make_ca("wheel root")
    (user.folder / "ca.pem").write_bytes(root.pem)
    user.rootlet("store", "build", "ca.pem", "--output", "roots.rtlt")
    with tls_server(root.issue(HOST)) as server:
        (user.folder / "rootlet.toml").write_text(
            f'[job]\nurl = "https://{HOST}:{server.port}/"\naddress = "127.0.0.1"\n'
        )
        with user.virtual() as port:
            done = json.loads(user.rootlet("deploy", "--port", port, "--store", "roots.rtlt", "--json"))
    assert "hello" in json.dumps(done)
    there = {path.relative_to(user.folder / "board").as_posix() for path in (user.folder / "board").rglob("*.*")}
    modules = {name.replace(".py", ".mpy") for name in device_files() if name.startswith("lib/")}
    assert modules | {"boot.py", "main.py", "rootlet.json"} <= there
    assert not [name for name in there if name.endswith(".pyi")]


def test_the_demo_runs_with_nothing_but_the_wheel(user: User) -> None:
    assert "demo.test" in user.rootlet("demo")


def test_a_type_checker_finds_the_stubs_of_the_device_library_in_the_wheel(command: Path, tmp_path: Path) -> None:
    program = tmp_path / "application.py"
    program.write_text(
        'import rootlet\n\ncontext = rootlet.Context(store="/certs/roots.rtlt", verify=False)\n'
        "name: int = rootlet.connect('example.org', 443, context).cipher()\n"
    )
    python = command.resolve().parent / "python"
    config = tmp_path / "mypy.ini"
    config.write_text(f"[mypy]\nstrict = true\npython_executable = {python}\ncache_dir = {tmp_path / 'cache'}\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", str(config), str(program)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert [line.rpartition("[")[2] for line in done.stdout.splitlines() if ": error:" in line] == [
        "call-arg]",
        "assignment]",
    ], done.stdout + done.stderr
