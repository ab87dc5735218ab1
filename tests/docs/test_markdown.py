"""The reader of Markdown pages overlooks no block; outputs are compared as people would."""

from __future__ import annotations

import re

import pytest

from .markdown import REPOSITORY, PageError, parse
from .outputs import difference


def test_a_block_without_a_language_is_refused() -> None:
    with pytest.raises(PageError, match="page:3: say the block's language"):
        parse("page", "text\n\n```\nls\n```\n")


@pytest.mark.parametrize(
    "text",
    [
        "<!-- not run: no -->\n```c\nint x;\n```\n",  # no reason worth the name
        "```c\nint x;\n```\n",
        "```text\nis it output, or what?\n```\n",
        "```sh\nls\n",  # does not end
        "<!-- output -->\n\n```text\nx\n```\n",  # the comment stands alone
    ],
)
def test_what_would_be_skipped_in_silence_is_an_error(text: str) -> None:
    with pytest.raises(PageError):
        parse("page", text)


def test_directives_and_code_are_found() -> None:
    (first, second) = parse("page", "<!-- exit code: 1 -->\n```sh\nfalse\n```\n\n````python\n```\nprint()\n````\n")
    assert (first.directive, first.argument, first.code, first.line) == ("exit code", "1", "false", 2)
    assert (second.language, second.directive, second.code) == ("python", "", "```\nprint()")


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("ok (98 ms)", "ok (7 ms)", True),
        ("ok (98 ms)", "failed (7 ms)", False),
        ("a\n…\nc", "a\nb1\nb2\nc", True),
        ("a\n…", "b\nc", False),
        ("a", "a\nb", False),
        ("a\nb", "a", False),
        ("sha256 0123456789abcdef", "sha256 fedcba9876543210", True),
    ],
)
def test_output_may_differ_in_numbers_and_in_nothing_else(shown: str, printed: str, same: bool) -> None:
    assert (difference(shown, printed) == "") is same


def test_the_map_of_the_code_has_every_module_of_the_device() -> None:
    text = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.split("| layer | modules |")[1].split("\n\n")[0]
    library = REPOSITORY / "lib" / "rootlet"
    modules = {path.stem for path in library.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert set(re.findall(r"`([a-z_]+)`", table)) == modules - {"__init__"}


def test_the_map_of_the_code_has_every_module_of_the_host() -> None:
    text = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    map_ = text.split("### The host package")[1].split("\n### ")[0]
    package = REPOSITORY / "tools" / "rootlet_host"
    modules = {path.stem for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    commands = {name for name in modules if name.endswith(("_command", "_commands"))}
    assert modules - commands - {"__init__", "__main__"} <= set(re.findall(r"`([a-z_]+)`", map_))
