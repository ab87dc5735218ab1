"""docs/errors.md, `rootlet explain` and the device say the same of every error."""

from __future__ import annotations

import json
import re
import subprocess
import sys

from rootlet_host.explain import tables
from rootlet_host.explain.readings import read_code
from rootlet_host.interpreter import find_micropython

from .markdown import REPOSITORY

PAGE = REPOSITORY / "docs" / "errors.md"
ON_THE_BOARD = """
import json, sys
from rootlet import errors
found = {}
for name in json.loads(sys.argv[1]):
    kind = getattr(errors, name)
    found[name] = (kind.__bases__[0].__name__, kind.remedy)
print(json.dumps(found))
"""


def rows(section: str) -> list[list[str]]:
    text = PAGE.read_text(encoding="utf-8").split(f"## {section}")[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip().replace("&nbsp;", "") for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_page_is_what_the_code_says() -> None:
    command = [sys.executable, REPOSITORY / "tools/dev/error_index.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_every_exception_of_the_board_is_there_with_its_base_and_remedy() -> None:
    known = {name: entry for name, entry in tables.exceptions().items() if name != "ModemError"}
    code = ON_THE_BOARD.replace("sys.argv[1]", repr(json.dumps(list(known))))
    done = subprocess.run(
        [str(find_micropython()), "-c", code],
        capture_output=True,
        text=True,
        timeout=30,
        env={"MICROPYPATH": f"{REPOSITORY / 'lib'}:.frozen"},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    overridden = {row[1] for row in tables.read_table("rootlet") if row[0] == "error" and len(row) > 3}
    for name, (base, remedy) in found.items():
        assert base == (known[name].base or "OSError"), name
        if not overridden & {name, known[name].base}:
            assert remedy == known[name].remedy, name
    source = (REPOSITORY / "lib/rootlet/errors.py").read_text(encoding="utf-8")
    classes = set(re.findall(r"^(?:class )?(\w+)(?:Error\(|\|)", source, re.MULTILINE))
    assert {name.removesuffix("Error") for name in found} == classes


def test_every_exception_has_a_cause_of_its_own() -> None:
    causes = [entry.cause for entry in tables.exceptions().values()]
    assert len(set(causes)) == len(causes)


def test_explain_says_of_each_name_what_the_page_says() -> None:
    for section in ("Exceptions", "Rules of the chain policy"):
        for name, *_, remedy, source in rows(section):
            (entry,) = read_code(name.strip("`"))
            assert (entry.remedy, entry.source) == (remedy, source), name
    for number, name, _, _ in rows("Mbed TLS's numbers"):
        (entry,) = read_code(number.strip("`"))
        assert entry.name == name.strip("`")


def test_every_number_that_the_board_translates_is_on_the_page() -> None:
    source = (REPOSITORY / "lib/rootlet/codes.py").read_text(encoding="utf-8")
    table = source.split("_FAILURES = const(")[1].split(")")[0]
    numbers = re.findall(r"^([0-9a-f]{4})\|", table, re.MULTILINE)
    assert len(numbers) > 8
    page = {row[0].strip("`").lower() for row in rows("Mbed TLS's numbers")}
    assert {f"-0x{number}" for number in numbers} <= page
