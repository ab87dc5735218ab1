"""How modules become .mpy files: constants in their places, names of files and functions in tracebacks."""

from __future__ import annotations

import errno
import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from rootlet_host.bytecode import compile_module
from rootlet_host.errors import HostError
from rootlet_host.interpreter import find_micropython

MODULE = """from micropython import const

_TEXT = const("what is written in one place only")
LIMIT = const(1 << 12)


def fail():
    raise ValueError(_TEXT, LIMIT)
"""


def run(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(find_micropython()), "-c", program], cwd=folder, capture_output=True, text=True, timeout=30, check=False
    )


@pytest.fixture
def compiled(tmp_path: Path) -> Path:
    source = tmp_path / "made.py"
    source.write_text(MODULE)
    data = compile_module(source, "rootlet/made.py")
    source.unlink()
    tmp_path.joinpath("made.mpy").write_bytes(data)
    return tmp_path


def test_constants_are_in_their_places_and_nothing_is_imported_for_them(compiled: Path) -> None:
    done = run(compiled, "import made\nprint(made.LIMIT, hasattr(made, 'const'), hasattr(made, '_TEXT'))")
    assert done.stdout.split() == ["4096", "False", "False"]
    assert b"what is written" in compiled.joinpath("made.mpy").read_bytes()


def test_a_traceback_names_file_and_function(compiled: Path) -> None:
    done = run(compiled, "import made\nmade.fail()")
    said = done.stdout + done.stderr  # where a traceback goes differs between builds of the Unix port
    assert 'File "made", line 1, in fail' in said
    assert "what is written in one place only" in said


def test_where_the_source_lies_makes_no_difference(tmp_path: Path) -> None:
    made = set()
    for folder in ("a", "b"):
        path = tmp_path / folder / "made.py"
        path.parent.mkdir()
        path.write_text(MODULE)
        made.add(compile_module(path, "rootlet/made.py"))
    assert len(made) == 1


@pytest.mark.parametrize("source", ["def f(:\n", "from micropython import const\nx = 4\nY = const(x)\n"])
def test_what_does_not_compile_is_reported_with_its_file(source: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text(source)
    with pytest.raises(HostError, match=r"broken\.py"):
        compile_module(path, "broken.py")


def test_a_full_disk_is_named_by_its_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    source = tmp_path / "made.py"
    source.write_text(MODULE)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(HostError, match=r"cannot compile .*made\.py in .*/rootlet-mpy-.*: No space left") as caught:
        compile_module(source, "rootlet/made.py")
    assert caught.value.remedy == "make room on that disk"
    assert [path.name for path in tmp_path.iterdir()] == ["made.py"]
