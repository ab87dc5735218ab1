"""Writes docs/commands.md: every command of `rootlet`, its options and its exit codes, from the code itself."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from rootlet_host.app import app

PAGE = Path(__file__).resolve().parents[2] / "docs" / "commands.md"

_HEAD = """# Commands

This page is made from the code by `python tools/dev/commands_page.py`; `rootlet COMMAND --help` says the same.

Results go to standard output, everything else (progress, notes, errors) to standard error. An error is one line with
its cause and, in brackets, what to do about it. Colours and progress bars appear on a terminal only, and no colours if
`NO_COLOR` is set. `--debug` adds a traceback to an error; it may stand anywhere. `rootlet --install-completion`
teaches your shell to complete commands, options and names of boards.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | it was tried and failed: the board refuses, a check fails, a server does not answer, a disk is full |
| 2 | it was not tried: wrong usage, a file that cannot be read, no such board or port, a program that is missing |
| 130 | interrupted with Ctrl-C; files are as they were before, and a board keeps the store that it had |

`--port` (`-p`) takes the same everywhere: a path such as `/dev/ttyUSB0` or `COM3`, `id:SERIAL`, the USB ids `VID:PID`,
or mpremote's `a0`, `u0`, `c0`. Without it the only attached board is used; more than one is an error that lists them.

| environment variable | use |
|---|---|
| `ROOTLET_PASSPHRASE` | the passphrase of an encrypted private key, which is asked for otherwise |
| `ROOTLET_WIFI_PASSWORD` | the Wi-Fi password for `rootlet deploy` |
| `ROOTLET_PSK_KEY` | the pre-shared key for `rootlet deploy`, hexadecimal |
| `ROOTLET_FIRMWARE_MIRROR` | the address that stands for https://micropython.org |
| `ROOTLET_FIRMWARE_LOCK` | the lock file of firmware |
| `ROOTLET_CACHE` | the folder for downloaded firmware |
| `MICROPYTHON` | the Unix port for `rootlet demo` and `rootlet virtual` |
| `SOURCE_DATE_EPOCH` | the time of issue of stores, for reproducible builds |
| `NO_COLOR` | no colours |
"""


def page() -> str:
    """The whole page."""
    commands = list(_walk(typer.main.get_command(app), "rootlet"))
    rows = [f"| [`{name}`](#{name.replace(' ', '-')}) | {_sentence(command)} |" for name, command in commands]
    parts = [_HEAD, "| command | what it does |\n|---|---|\n" + "\n".join(rows) + "\n"]
    parts += [_describe(name, command) for name, command in commands]
    return "\n".join(parts)


def _walk(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    for word in command.list_commands(None):
        below = command.commands[word]
        if getattr(below, "commands", None):
            yield from _walk(below, f"{name} {word}")
        else:
            yield f"{name} {word}", below


def _text(command: Any) -> list[str]:
    """Its paragraphs, each on one line."""
    return [" ".join(paragraph.split()) for paragraph in inspect.cleandoc(command.help or "").split("\n\n")]


def _sentence(command: Any) -> str:
    return _cell(_text(command)[0].partition(". ")[0].removesuffix(".") + ".")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _describe(name: str, command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and "--help" not in p.opts]
    usage = " ".join([name, "[OPTIONS]", *(str(p.metavar) for p in arguments)])
    lines = [f"## {name}", "", f"`{usage}`", ""]
    for paragraph in _text(command):
        lines += [paragraph, ""]
    lines += ["| argument or option | |", "|---|---|"]
    for parameter in [*arguments, *options]:
        lines.append(f"| {_names(parameter)} | {_cell(_help(parameter))} |")
    return "\n".join(lines) + "\n"


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{_cell(str(parameter.metavar))}`"
    names = "`, `".join([*parameter.opts, *parameter.secondary_opts])
    return f"`{names}`" if parameter.is_flag else f"`{names} {_cell(str(parameter.metavar))}`"


def _help(parameter: Any) -> str:
    text = str(parameter.help)
    if parameter.required:
        return text + " Required."
    default = parameter.default
    if parameter.is_flag if parameter.param_type_name == "option" else False:
        return text + (" The default." if default and parameter.secondary_opts else "")
    if default in (None, "", ()) or not parameter.show_default:
        return text
    shown = "the current folder" if default == Path() else getattr(default, "value", default)
    return f"{text} Default: {shown:g}." if isinstance(shown, float) else f"{text} Default: {shown}."


def main() -> None:
    if sys.argv[1:] == ["--check"]:
        sys.exit(0 if PAGE.read_text(encoding="utf-8") == page() else "docs/commands.md is not what the code says")
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
