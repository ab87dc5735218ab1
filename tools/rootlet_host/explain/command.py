"""The command `rootlet explain`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from ..errors import EXIT_FAILED, HostError, UsageError
from ..options import JsonOption
from ..output import out, plain, print_json, say
from .readings import Reading, read_arguments, read_text
from .tables import Explanation, mbedtls

_STDIN = "-"
# A code such as -0x7200 begins like an option.
CONTEXT_SETTINGS = {"ignore_unknown_options": True}


def explain(
    errors: Annotated[
        list[str],
        typer.Argument(
            metavar="ERROR...",
            help="A code (-0x7200, 0x7200, -29184), an errno, the name of a code, exception or rule, or a line of a "
            "log in quotation marks. - reads lines from standard input.",
            show_default=False,
        ),
    ],
    as_json: JsonOption = False,
) -> None:
    """Say what an error means, and what to do about it.

    It knows the errors of Mbed TLS, MicroPython, rootlet and modems.

    Exit code 1 if something among the errors is not known.
    """
    reading = Reading()
    arguments = [argument for argument in errors if argument != _STDIN]
    if not any(argument.strip() for argument in errors):
        raise UsageError("there is nothing to explain", remedy="give a code, a name or a line of a log")
    if arguments:
        reading.add(read_arguments(arguments))
    if _STDIN in errors:
        for line in sys.stdin.buffer.read().decode("utf-8", "replace").splitlines():
            reading.add(read_text(line))
    if as_json:
        print_json({"errors": [asdict(entry) for entry in reading.explanations], "unknown": reading.unknown})
        if reading.unknown or not reading.explanations:
            raise typer.Exit(EXIT_FAILED)
        return
    for entry in reading.explanations:
        _show(entry)
    if reading.unknown:
        names = ", ".join(plain(text[:80]) for text in reading.unknown)
        raise HostError(f"not known: {names}", remedy=_hint(reading.unknown))
    if not reading.explanations:
        raise HostError(
            "there is no error code in it that rootlet knows",
            remedy="give the line that has the code or the name of the exception",
        )


def _show(entry: Explanation) -> None:
    title = entry.name if entry.name == entry.code or entry.code in entry.name else f"{entry.code}  {entry.name}"
    origin = f"{entry.kind}, {entry.source}" if entry.source else entry.kind
    out.print(f"[bold]{title}[/bold]  ({origin})", soft_wrap=True)
    say(f"  cause   {entry.cause}")
    say(f"  remedy  {entry.remedy}")


def _hint(unknown: list[str]) -> str:
    """For decimal digits that would make sense as a hexadecimal code."""
    for text in unknown:
        digits = text.lstrip("-+")
        if digits.isdigit() and (entry := mbedtls(int(digits, 16))) is not None:
            return f"for {entry.name} write -0x{digits}"
    return "check it for typing errors; Mbed TLS's own codes look like -0x7200"
