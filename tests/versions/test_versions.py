"""Every version of MicroPython, with rootlet as source and compiled: what it can do is what the documentation says."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import versions

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tools" / "dev"))

import versions_page as page  # noqa: E402
from measuring.workbench import compile_tree  # noqa: E402

UNIT = REPOSITORY / "tests" / "unit"


@pytest.fixture(scope="module")
def bench() -> Iterator[tuple[page.Servers, dict[str, Path]]]:
    with page.bench() as made:
        yield made


def documented() -> dict[str, dict[str, str]]:
    """The table of the page: version, capability, what the cell says."""
    lines = page.PAGE.read_text("utf-8").partition("<!-- versions: begin")[2].partition("<!-- versions: end")[0]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines.splitlines() if line[:2] == "| "]
    return {name: {row[0]: row[at] for row in rows[1:]} for at, name in enumerate(rows[0]) if name}


@pytest.mark.servers
@pytest.mark.parametrize("form", page.FORMS)
@pytest.mark.parametrize("version", versions.ALL)
def test_a_version_can_do_what_the_page_says(
    version: str, form: str, bench: tuple[page.Servers, dict[str, Path]]
) -> None:
    servers, libraries = bench
    versions.interpreter(version)  # skips if it is not there
    found = page.try_out(servers, version, libraries[form])
    assert found == documented()[page.name_of(version)], "run tools/dev/versions_page.py"


def test_the_table_shows_where_the_forms_differ_and_what_was_not_reached() -> None:
    found = {
        "1.25.0": {"source": {"a": "yes", "b": "yes"}, "compiled": {"a": "yes"}},
        "1.26.1": {"source": {"a": "no", "b": "yes"}, "compiled": {"a": "ClockError", "b": "yes"}},
    }
    assert page.table(found).splitlines() == [
        "| | 1.25.0 | 1.26.1 |",
        "|---|---|---|",
        "| a | yes | source: no, compiled: ClockError |",
        "| b | source: yes, compiled: did not come to it | yes |",
    ]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unit tests beside a library that is compiled, as the repository has them beside the sources."""
    folder = tmp_path_factory.mktemp("compiled")
    compile_tree(REPOSITORY / "lib" / "rootlet", folder / "lib" / "rootlet")
    shutil.copytree(UNIT, folder / "tests" / "unit", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.mark.parametrize("module", sorted(path.stem for path in UNIT.glob("unit_*.py")))
@pytest.mark.parametrize("version", versions.ALL)
def test_unit_tests_pass_with_the_compiled_library(version: str, module: str, compiled: Path) -> None:
    program = versions.interpreter(version)
    done = subprocess.run(
        [str(program), str(compiled / "tests" / "unit" / "run.py"), module],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"ok {module}." in done.stdout
