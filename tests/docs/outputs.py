"""Whether a page shows what is really printed: numbers, times, hashes and paths may differ, nothing else."""

from __future__ import annotations

import re

_ANY = ("…", "...")
_RULES = (
    (re.compile(r"\x1b\[[0-9;?]*[A-Za-z]"), ""),
    (re.compile(r"\S*(?:bin/micropython|/micropython)\b"), "MICROPYTHON"),
    (re.compile(r"/dev/(?:pts/\d+|tty[A-Z]+\d+)|\S*/attached/board\b"), "PORT"),
    (re.compile(r"sha256//[A-Za-z0-9+/]{43}="), "sha256//PIN"),
    (re.compile(r"\b(?:[0-9a-f]{2}:){5,}[0-9a-f]{2}\b", re.IGNORECASE), "HEX"),
    (re.compile(r"\b[0-9a-f]{12,}\b", re.IGNORECASE), "HEX"),
    (re.compile(r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) \w{3}\b|\b\w{3} (?=\d{4}\b)"), "DATE"),
    (re.compile(r"\((?:new|changed|unchanged)\)"), "(STATE)"),
    (re.compile(r"\d+(?:[.,]\d+)*"), "0"),
    (re.compile(r"\.{3,}|[─━]{3,}"), "..."),
    (re.compile(r"[ \t]+"), " "),
)


def normalised(text: str) -> list[str]:
    """The lines of `text` without what differs from run to run, and without empty lines."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return [line.strip() for line in text.splitlines() if line.strip()]


def difference(shown: str, printed: str) -> str:
    """ "" if `printed` is what a page shows, else what is wrong. A line `…` stands for any number of lines."""
    wanted: list[str | None] = []
    for line in shown.splitlines():
        wanted += [None] if line.strip() in _ANY else normalised(line)
    got = normalised(printed)
    if _match(wanted, got):
        return ""
    missing = [line for line in wanted if line is not None and line not in got]
    first = missing[0] if missing else "(all lines are there, but not in this order or not alone)"
    return f"not printed: {first}\nprinted:\n" + "\n".join(got)


def _match(wanted: list[str | None], got: list[str]) -> bool:
    if not wanted:
        return not got
    if wanted[0] is None:
        return any(_match(wanted[1:], got[skip:]) for skip in range(len(got) + 1))
    return bool(got) and wanted[0] == got[0] and _match(wanted[1:], got[1:])
