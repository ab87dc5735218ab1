"""The command line as one program: the same words everywhere, one line for every failure, nothing left lying about."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from command_line import ROOTLET
from cryptography import x509
from rootlet_host import catalogue
from rootlet_host.app import COMMANDS, app
from store_help import Runner
from support import pki

REPOSITORY = Path(__file__).resolve().parents[2]
# Says so as soon as `main` runs: before, while Python itself starts, nobody can catch Ctrl-C.
WHEN_STARTED = """
import sys
class Finder:
    def find_spec(self, name, *_):
        if name == "rootlet_host.app":
            print("started", flush=True)
sys.meta_path.insert(0, Finder())
from rootlet_host.cli import main
main()
"""


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with its words."""

    def walk(command: Any, words: str) -> Iterator[tuple[str, Any]]:
        for name, below in getattr(command, "commands", {}).items():
            if getattr(below, "commands", None):
                yield from walk(below, f"{words} {name}")
            else:
                yield f"{words} {name}".strip(), below

    return walk(typer.main.get_command(app), "")


ALL = dict(commands())
PARAMETERS = [(words, parameter) for words, command in ALL.items() for parameter in command.params]


@pytest.fixture(autouse=True)
def no_board(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is attached, and nothing fetched lies about."""
    monkeypatch.setattr("serial.tools.list_ports.comports", list)
    monkeypatch.setenv("ROOTLET_CACHE", str(tmp_path / "cache"))


def run(*words: str, cwd: Path | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **options.pop("env", {})}
    defaults: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.run(
        [str(ROOTLET), *words], cwd=cwd, env=environment, text=True, timeout=60, check=False, **{**defaults, **options}
    )


def is_one_line(text: str, *words: str) -> None:
    assert text.startswith("rootlet: "), text
    assert text.count("\n") == 1, text
    for word in words:
        assert word in text


# --- one program ---


def test_every_option_is_called_and_written_the_same_everywhere() -> None:
    seen: dict[str, set[tuple[str, ...]]] = {}
    for _, parameter in PARAMETERS:
        for name in parameter.opts:
            if name.startswith("--"):
                seen.setdefault(name, set()).add((*sorted(parameter.opts), "flag" if parameter.is_flag else "value"))
    different = {name for name, kinds in seen.items() if len(kinds) > 1}
    assert not different, {name: seen[name] for name in different}


def test_port_and_json_mean_the_same_everywhere() -> None:
    ports = [(words, p) for words, p in PARAMETERS if "--port" in p.opts]
    assert {words for words, _ in ports} == {
        "flash", "deploy", "provision", "push", "doctor", "store list", "store pull"
    }  # fmt: skip
    for _, parameter in ports:
        assert "-p" in parameter.opts
        assert parameter.metavar == "PORT"
        assert parameter.help.startswith("A path, id:SERIAL or VID:PID")
    assert {p.help for _, p in PARAMETERS if "--json" in p.opts} == {"Print JSON."}


def test_every_command_that_reports_knows_json() -> None:
    without = {words for words, command in ALL.items() if not any("--json" in p.opts for p in command.params)}
    assert without == {"demo", "virtual"}  # they run a board whose own output is shown


def test_every_command_and_option_is_explained_and_says_what_value_it_takes() -> None:
    for words, command in ALL.items():
        first = (command.help or "").strip().split("\n\n")[0]
        assert first[:1].isupper() and first.endswith("."), words
        assert re.match(r"[A-Z][a-z]+ ", first), words  # a verb
    for words, parameter in PARAMETERS:
        if "--help" in parameter.opts:
            continue
        assert parameter.help, (words, parameter.name)
        assert getattr(parameter, "is_flag", False) or parameter.metavar, (words, parameter.name)


def test_the_help_names_every_command_in_a_panel_and_the_exit_codes(rootlet: Runner) -> None:
    shown = rootlet("--help")
    assert shown.code == 0
    assert "0 done, 1 failed, 2 wrong usage or environment, 130 interrupted" in shown.out
    for panel, name, _ in COMMANDS:
        assert panel in shown.out
        assert re.search(rf"│ {name} ", shown.out), name
    assert "<bool>" not in shown.out
    assert re.findall(r"(?m)^│ (\w+) ", shown.out) == [name for _, name, _ in COMMANDS]


def test_the_page_of_commands_is_what_the_code_says() -> None:
    checked = subprocess.run(
        [sys.executable, REPOSITORY / "tools/dev/commands_page.py", "--check"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


def test_every_environment_variable_is_on_the_page() -> None:
    page = REPOSITORY.joinpath("docs/commands.md").read_text(encoding="utf-8")
    sources = [path.read_text(encoding="utf-8") for path in (REPOSITORY / "tools/rootlet_host").rglob("*.py")]
    named = set(re.findall(r"\"((?:ROOTLET_|MICROPYTHON$|SOURCE_DATE)[A-Z_]*)\"", "\n".join(sources)))
    assert len(named) >= 6
    for variable in named:
        assert f"`{variable}`" in page


# --- wrong usage, in an empty folder, without a board ---


@pytest.mark.parametrize("words", ALL)
def test_every_command_shows_its_help(rootlet: Runner, words: str) -> None:
    for option in ("--help", "-h"):
        shown = rootlet(*words.split(), option)
        assert (shown.code, shown.err) == (0, "")
        assert "Usage: rootlet " + words in shown.out


@pytest.mark.parametrize("words", sorted(ALL))
def test_an_unknown_option_is_one_line_that_names_the_help(rootlet: Runner, words: str) -> None:
    if words == "explain":  # it takes codes that begin with a minus
        return
    said = rootlet(*words.split(), "--no-such-option")
    assert (said.code, said.out) == (2, "")
    is_one_line(said.err, "--no-such-option", f"(see rootlet {words} --help)")


@pytest.mark.parametrize(("words", "option"), [("doctor", "--port"), ("store build", "--max"), ("flash", "--baud")])
def test_an_option_without_its_value_is_one_line_that_names_the_help(rootlet: Runner, words: str, option: str) -> None:
    said = rootlet(*words.split(), option)
    is_one_line(said.err, option, f"(see rootlet {words} --help)")
    assert (said.code, said.out) == (2, "")


@pytest.mark.parametrize("words", sorted(set(ALL) - {"boards", "demo", "virtual", "store build", "certs rig"}))
def test_without_arguments_every_command_says_in_one_line_what_is_missing(
    rootlet: Runner, words: str, tmp_path: Path
) -> None:
    said = rootlet(*words.split())
    assert (said.code, said.out) == (2, "")
    is_one_line(said.err)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", ["", "store", "keys", "certs", "ca", "firmware", "trace"])
def test_a_group_without_a_command_shows_its_help(rootlet: Runner, words: str) -> None:
    said = rootlet(*words.split())
    assert said.code == 2
    assert "Commands" in said.out + said.err or "Boards" in said.out + said.err


def test_a_command_that_does_not_exist(rootlet: Runner) -> None:
    said = rootlet("pusch")
    is_one_line(said.err, "pusch")
    assert said.code == 2


@pytest.mark.parametrize(
    "words",
    [
        "push site.rtlt",
        "push site.rtlt --all",
        "deploy --url https://a.test --store site.rtlt",
        "doctor",
        "provision --psk psk --identity me",
        "store list",
        "store pull",
    ],
)
def test_without_a_board_each_says_so_and_what_to_do(rootlet: Runner, words: str, tmp_path: Path) -> None:
    (tmp_path / "psk").write_text("me:" + 32 * "0" + "\n")
    assert rootlet("certs", "rig").code == 0
    assert rootlet("store", "build", "rig/ca.pem", "-o", "site.rtlt").code == 0
    said = rootlet(*words.split())
    is_one_line(said.err, "no board was found on any USB port", "--port")
    assert "--all" in words or "rootlet virtual" in said.err
    assert said.code == 2


def test_debug_may_stand_anywhere_and_changes_no_exit_code(rootlet: Runner) -> None:
    for words in (("--debug", "store", "show", "nothing"), ("store", "show", "nothing", "--debug")):
        said = rootlet(*words)
        assert said.code == 2
        assert "Traceback" in said.err
        assert said.err.splitlines()[-1].startswith("rootlet: cannot read the store nothing")


def test_a_fault_of_ours_is_one_line_that_asks_for_a_report(rootlet: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue.Catalogue, "__iter__", lambda self: {}["no such key"])
    said = rootlet("boards")
    is_one_line(said.err, "unexpected KeyError: 'no such key'", "--debug")
    assert said.code == 1


# --- streams ---


@pytest.mark.parametrize("words", ["boards", "boards --json", "--help", "store show {store} --json"])
def test_nobody_who_reads_on_is_no_matter(words: str, tmp_path: Path) -> None:
    store = tmp_path / "roots.rtlt"
    assert run("store", "build", "-o", str(store)).returncode == 0
    process = subprocess.Popen(
        [str(ROOTLET), *words.format(store=store).split()], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.wait(30)
    process.stderr.close()


def test_results_that_cannot_be_written_are_a_failure() -> None:
    with Path("/dev/full").open("w") as full:
        done = run("boards", stdout=full)
    is_one_line(done.stderr, "No space left on device")
    assert done.returncode == 1


def test_what_libraries_warn_of_is_not_for_who_types_commands(tmp_path: Path) -> None:
    number_zero = x509.AuthorityKeyIdentifier(b"k" * 20, [x509.DNSName("an old root")], 0)
    tmp_path.joinpath("ca.pem").write_bytes(pki.make_ca(extensions=[(number_zero, False)]).pem)
    command = [str(ROOTLET), "store", "build", "ca.pem", "-o", "roots.rtlt"]
    said = [
        subprocess.run([*command, *more], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True).stderr
        for more in ([], ["--debug"])
    ]
    assert said[0] == ""
    assert "Warning" in said[1], "the test needs a certificate that cryptography warns of"


def test_closed_streams_are_no_matter() -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f'"{ROOTLET}" boards >&- 2>&-; echo $?'], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("0\n", "")


@pytest.mark.parametrize("words", ["boards", "boards NUCLEO_F401RE", "store --help", "store show {store}"])
def test_a_locale_without_unicode_is_no_matter(words: str, tmp_path: Path) -> None:
    store = tmp_path / "roots.rtlt"
    assert run("store", "build", "-o", str(store)).returncode == 0
    done = run(
        *words.format(store=store).split(), env={"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()


def on_a_terminal(*words: str, columns: int = 100, **environment: str) -> tuple[int, str]:
    """(exit code, everything that the terminal got)"""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [str(ROOTLET), *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns), **environment},
    )
    os.close(theirs)
    got = b""
    with contextlib.suppress(OSError):
        while piece := os.read(ours, 65536):
            got += piece
    os.close(ours)
    return process.wait(30), got.decode()


COLOUR = re.compile(r"\x1b\[[\d;]*3[0-7][\d;]*m|\x1b\[[\d;]*38;")


def test_colours_are_for_terminals_only(tmp_path: Path) -> None:
    assert COLOUR.search(on_a_terminal("--help")[1])
    assert not COLOUR.search(on_a_terminal("--help", NO_COLOR="1")[1])
    assert "\x1b" not in run("--help").stdout
    assert "\x1b" not in run("boards", "ESP32_GENERIC").stdout


@pytest.mark.parametrize("words", ["", "flash", "store build", "provision"])
def test_a_narrow_terminal_can_be_read(words: str) -> None:
    code, text = on_a_terminal(*words.split(), "--help", columns=60, NO_COLOR="1", TERM="dumb")
    assert code == 0
    lines = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in text.splitlines()]
    assert max(map(len, lines)) <= 60
    for parameter in ALL[words].params if words else ():
        for name in parameter.opts:
            if name.startswith("--"):
                assert any(name in line for line in lines), name


def test_in_80_columns_every_command_board_and_target_has_one_line() -> None:
    _, text = on_a_terminal("--help", columns=80, NO_COLOR="1", TERM="dumb")
    named = re.findall(r"^│ ([a-z]+) +[A-Z].*\.", text, re.MULTILINE)
    assert sorted(named) == sorted(name for _, name, _ in COMMANDS)
    code, text = on_a_terminal("boards", columns=80, NO_COLOR="1", TERM="dumb")
    assert code == 0
    boards = [line.split()[0] for line in text.splitlines()[1:] if re.match("[A-Z]", line)]
    assert boards == list(catalogue.load().boards)
    made = subprocess.run(
        ["make", "--no-print-directory", "-C", REPOSITORY], capture_output=True, text=True, check=True
    )
    assert len(made.stdout.splitlines()) > 15
    assert max(map(len, made.stdout.splitlines())) <= 80


def test_python_can_run_it_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rootlet_host", "--version"], capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("rootlet ")
    assert run("--version").stdout == done.stdout


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("rootlet de", {"deploy", "demo"}),
        ("rootlet store s", {"show", "sign"}),
        ("rootlet push --ro", {"--rollback"}),
        ("rootlet boards NUCLEO_H5", {"NUCLEO_H563ZI"}),
        ("rootlet flash ESP32_GENERIC --method st", {"stlink-drive"}),
    ],
)
def test_the_shell_completes_commands_options_and_boards(typed: str, offered: set[str]) -> None:
    words = typed.split()
    done = run(env={"_ROOTLET_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1)})
    assert set(done.stdout.split()) == offered
    assert done.stderr == ""


# --- interruptions and full disks ---


@pytest.mark.parametrize("delay_ms", [0, 20, 60, 120, 200, 300])
def test_ctrl_c_is_one_line_wherever_it_comes(delay_ms: int, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WHEN_STARTED, "store", "build", "-o", "roots.rtlt"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    time.sleep(delay_ms / 1000)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    if process.returncode == 130:
        assert said == "rootlet: interrupted\n"
    else:  # it was done before
        assert (process.returncode, said) == (0, "")
    left = {path.name for path in tmp_path.iterdir()}
    assert left in (set(), {"roots.rtlt"}, {"roots.rtlt", "roots.json"})


def limit_files(size: int = 2000) -> None:
    """As a disk that is full after so many bytes: Python ignores the signal, and writing fails."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize(
    "words",
    [
        "store build -o roots.rtlt",
        "publish www big.rtlt --allow-unsigned",
        "virtual --image flash.img --quiet",
        "demo",
    ],
)
def test_a_full_disk_is_one_line_and_leaves_no_part_of_a_file(words: str, tmp_path: Path) -> None:
    assert run("store", "build", "-o", "big.rtlt", cwd=tmp_path).returncode == 0
    done = run(*words.split(), cwd=tmp_path, preexec_fn=limit_files, env={"PYTHONDONTWRITEBYTECODE": "1"})
    assert done.returncode == 1
    is_one_line(done.stderr, "File too large")
    left = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["big.json", "big.rtlt"]


@pytest.mark.parametrize("before", [False, True])
def test_a_disk_that_has_room_for_a_store_and_none_for_its_manifest_gets_neither(before: bool, tmp_path: Path) -> None:
    if before:
        assert run("store", "build", "-o", "roots.rtlt", "--ecc-only", cwd=tmp_path).returncode == 0
    there = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    done = run("store", "build", "-o", "roots.rtlt", cwd=tmp_path, preexec_fn=lambda: limit_files(60_000))
    assert done.returncode == 1
    is_one_line(done.stderr, "cannot write roots.json: File too large")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == there


@pytest.mark.parametrize(
    "words",
    [
        "store build -o file/roots.rtlt",
        "keys new acme -d file --no-passphrase",
        "certs rig -d file",
        "certs ca acme -d file --no-passphrase",
        "publish file big.rtlt --allow-unsigned",
        "virtual --dir file",
        "virtual --image file/flash.img",
        "firmware check ESP32_GENERIC folder",
        "store show folder",
        "trace view folder",
        "pin folder",
        "deploy --config folder",
    ],
)
def test_a_file_for_a_folder_and_a_folder_for_a_file_are_one_line(rootlet: Runner, words: str, tmp_path: Path) -> None:
    assert rootlet("store", "build", "-o", "big.rtlt").code == 0
    tmp_path.joinpath("file").touch()
    tmp_path.joinpath("folder").mkdir()
    said = rootlet(*words.split())
    assert said.code in (1, 2)
    is_one_line(said.err, "fo" if "folder" in words else "file")
    assert "unexpected" not in said.err
    assert tmp_path.joinpath("file").read_bytes() == b""


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
@pytest.mark.parametrize(
    "words", ["store build -o {theirs}/roots.rtlt", "certs rig -d {theirs}/rig", "store show {store}"]
)
def test_a_place_that_is_not_yours_is_one_line(rootlet: Runner, words: str, tmp_path: Path) -> None:
    store = tmp_path / "roots.rtlt"
    assert rootlet("store", "build", "-o", store).code == 0  # everything is loaded now
    store.chmod(0o600)
    theirs = tmp_path / "theirs"
    theirs.mkdir(mode=0o700)
    os.seteuid(65534)
    try:
        said = rootlet(*words.format(store=store, theirs=theirs).split())
    finally:
        os.seteuid(0)
    assert said.code in (1, 2)
    is_one_line(said.err, "Permission denied")
