"""Code blocks of a Markdown page, and what the page says about running them.

A directive is an HTML comment directly above the block, so that readers of the page do not see it:

    <!-- not run: REASON -->   cannot be run here; the reason must be given
    <!-- output -->            what the block before prints (`…` alone on a line stands for any lines)
    <!-- exit code: N -->      of a shell block, where it is not 0
    <!-- until: TEXT -->       the shell block goes on until it is interrupted; it has begun when it prints TEXT
    <!-- host -->              Python of the computer, not of the board
    <!-- mypy -->              a program for the board that mypy is to judge, by the stubs in typings/
    <!-- boards.toml -->       an entry of the board catalogue, not of rootlet.toml
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
LANGUAGES = {"sh", "python", "toml", "json", "text", "c"}
DIRECTIVES = {"not run", "output", "exit code", "until", "host", "mypy", "boards.toml"}

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$")
_COMMENT = re.compile(r"^ {0,3}<!-- ([^:]+?)(?:: (.*?))? -->$")


@dataclass(frozen=True)
class Block:
    """One fenced block. `line` counts from 1; `directive` is "" without one."""

    page: str
    line: int
    language: str
    code: str
    directive: str = ""
    argument: str = ""

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


class PageError(ValueError):
    """A page that cannot be taken for what it should be."""


def pages() -> list[str]:
    """Every page that is tested, relative to the repository."""
    found = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
    return [str(path.relative_to(REPOSITORY)) for path in found]


def blocks_of(page: str) -> list[Block]:
    return parse(page, (REPOSITORY / page).read_text(encoding="utf-8"))


def parse(page: str, text: str) -> list[Block]:
    """The blocks of `text`. Raises PageError for a block of unknown language, an open fence and a stray directive."""
    found: list[Block] = []
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        fence = _FENCE.match(lines[number])
        if fence is None:
            _refuse_stray_directive(page, lines, number)
            number += 1
            continue
        start = number
        number += 1
        while number < len(lines) and not lines[number].strip().startswith(fence[1]):
            number += 1
        if number == len(lines):
            raise PageError(f"{page}:{start + 1}: the block does not end")
        directive, argument = _directive(lines[start - 1] if start else "")
        block = Block(page, start + 1, fence[2].strip(), "\n".join(lines[start + 1 : number]), directive, argument)
        _check(block)
        found.append(block)
        number += 1
    return found


def _directive(line: str) -> tuple[str, str]:
    match = _COMMENT.match(line)
    return (match[1], match[2] or "") if match and match[1] in DIRECTIVES else ("", "")


def _refuse_stray_directive(page: str, lines: list[str], number: int) -> None:
    below = lines[number + 1] if number + 1 < len(lines) else ""
    if _directive(lines[number])[0] and not _FENCE.match(below):
        raise PageError(f"{page}:{number + 1}: there is no code block below this comment")


def _check(block: Block) -> None:
    if block.language not in LANGUAGES:
        raise PageError(f"{block.place}: say the block's language, one of {', '.join(sorted(LANGUAGES))}")
    if block.directive == "not run" and len(block.argument) < 10:
        raise PageError(f"{block.place}: say why it is not run")
    if block.language == "text" and block.directive not in ("output", "not run"):
        raise PageError(f"{block.place}: say what it is: <!-- output -->, or <!-- not run: a picture … -->")
    if block.language == "c" and block.directive != "not run":
        raise PageError(f"{block.place}: C is not run here, so say why with <!-- not run: … -->")
