"""Every block of every page runs, or says why it cannot; what it is shown to print is what it prints."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from rootlet_host import board_config, catalogue

from .markdown import REPOSITORY, Block, blocks_of, pages
from .outputs import difference
from .sandbox import DRY, Done, Sandbox
from .settings import setting_of
from .world import World

BOARDS = REPOSITORY / "firmware" / "boards.toml"

pytestmark = pytest.mark.servers


@pytest.mark.timeout(300)  # a page runs dozens of commands, and CI does other things beside it
@pytest.mark.parametrize("page", pages())
def test_every_block_of_the_page_does_what_it_shows(page: str, world: World, tmp_path: Path) -> None:
    blocks = blocks_of(page)
    if not blocks:
        return
    with Sandbox(tmp_path, world, setting_of(page)) as sandbox:
        elsewhere = ("not run", "host", "mypy")
        on_board = [block for block in blocks if block.language == "python" and block.directive not in elsewhere]
        last: Done | None = None
        python: dict[str, Done] = {}
        for block in blocks:
            if block.directive == "not run":
                continue
            if block.directive == "output":
                assert last is not None, f"{block.place}: there is nothing before it that prints"
                wrong = difference(block.code, last.output)
                assert not wrong, f"{block.place}: {wrong}"
            elif block.language == "sh":
                began = time.monotonic()
                last = sandbox.shell(block)
                print(f"{time.monotonic() - began:5.1f} s  {block.place}")
                wanted = int(block.argument) if block.directive == "exit code" else 0
                assert last.status == wanted, f"{block.place}: exit code {last.status}\n{last.end}"
            elif block.directive == "mypy":
                last = sandbox.mypy(block)
            elif block.language == "python":
                if not python and block.directive != "host":
                    python = sandbox.board_python(on_board)
                    failed = [f"{place}: {done.output}" for place, done in python.items() if done.status]
                    assert not failed, "\n".join(failed)
                last = sandbox.host_python(block) if block.directive == "host" else python[block.place]
                assert last.status == 0, f"{block.place}:\n{last.output}"
            else:
                check_data(block)


def check_data(block: Block) -> None:
    """TOML and JSON are read by the code that reads them from a file."""
    try:
        if block.directive == "boards.toml":
            catalogue.parse(BOARDS.read_text(encoding="utf-8") + "\n" + block.code, block.place)
        elif block.language == "toml":
            board_config.check(board_config.tomllib.loads(block.code), block.place)
        elif block.language == "json":
            board_config.check(with_job(json.loads(block.code)), block.place)
        else:
            raise AssertionError(f"{block.place}: nobody looks at {block.language}")
    except (ValueError, LookupError) as error:
        raise AssertionError(f"{block.place}: {error}") from error


def with_job(settings: dict[str, Any]) -> dict[str, Any]:
    """Pages show the part of a configuration that they are about."""
    return {"job": {"url": "https://example.org/"}, **settings}


def test_what_is_not_run_says_why() -> None:
    """The list of what is not run, for who reads the test's output (pytest -rP)."""
    everything = [block for page in pages() for block in blocks_of(page)]
    left_out = [block for block in everything if block.directive == "not run"]
    shown = [block for block in everything if block.directive == "output"]
    print(f"{len(everything)} blocks: {len(everything) - len(left_out) - len(shown)} executed or parsed,")
    print(f"{len(shown)} compared with what is printed, {len(left_out)} not run:")
    for block in left_out:
        print(f"  {block.place}: {block.argument}")
    print("only make -n:")
    for block in everything:
        for target in sorted(DRY & set(re.findall(r"^make (?:.* )?([a-z0-9]+)", block.code, re.MULTILINE))):
            print(f"  {block.place}: make {target}")
    assert len(left_out) < len(everything) / 5, "too much of the documentation is not run"
