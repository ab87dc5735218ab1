"""How commands speak: results on stdout, everything else on stderr, JSON when asked."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

# rich leaves colours out by itself when the stream is not a terminal or NO_COLOR is set.
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def say(text: str = "") -> None:
    """A line of the result, as it is: no markup, and never broken by us."""
    out.print(_shown(text), markup=False, soft_wrap=True)


def remark(text: str = "") -> None:
    """A line on stderr: not the result, but worth knowing."""
    err.print(_shown(text), markup=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """`value` as indented JSON with sorted keys, on stdout, and nothing else."""
    json.dump(value, sys.stdout, indent=2, sort_keys=True)
    sys.stdout.write("\n")


def print_table(table: Table) -> None:
    """`table` on stdout: as wide as the terminal, and wide enough for every column where there is none."""
    console = out if out.is_terminal else Console(highlight=False, width=200)
    console.print(table)


def count_of(number: int, thing: str) -> str:
    """1 anchor, 2 anchors."""
    return f"{number} {thing}" + ("" if number == 1 else "s")


def _shown(text: str) -> str:
    return "\n".join(plain(line) for line in text.split("\n"))


def plain(text: str) -> str:
    """Text from a stranger, such as a certificate's, without characters that a terminal would act on."""
    return "".join(character if character.isprintable() else "?" for character in text)
