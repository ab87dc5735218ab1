"""Which firmware a test runs on: tests/support/firmware.py."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support import firmware as firmwares
from support.board import run_device
from support.firmware import ALL, CURRENT, EVERY_VERSION, Firmware

REPOSITORY = Path(__file__).resolve().parents[2]
OLDER, NEWER = (each for each in EVERY_VERSION if each != CURRENT)
TLS_1_3 = pytest.mark.needs("tls1.3").mark
SAY = "import json, sys, rootlet\nprint(json.dumps([list(sys.implementation[1])[:3], rootlet.__file__]))\n"


def test_names_choose_firmwares() -> None:
    assert firmwares.parse("1.25.0,1.26.1-mpy,1.25.0") == (Firmware("1.25.0"), Firmware("1.26.1", compiled=True))
    assert set(firmwares.parse("others")) == set(ALL) - {CURRENT}
    assert [str(each) for each in firmwares.parse("all")] == [
        name for version in ("current", "1.25.0", "1.26.1") for name in (version, f"{version}-mpy")
    ]


def test_a_name_that_is_none_is_refused_with_those_that_are() -> None:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(
        [*command, "--micropython", "1.19"], capture_output=True, text=True, cwd=REPOSITORY, timeout=60, check=False
    )
    assert done.returncode == 4
    assert "--micropython knows all, others, current, " in done.stderr and "not '1.19'" in done.stderr


@pytest.mark.parametrize("firmware", [pytest.param(each, id=str(each)) for each in ALL])
def test_device_programs_run_on_the_firmware_in_force(firmware: Firmware, tmp_path: Path) -> None:
    program = tmp_path / "say.py"
    program.write_text(SAY)
    with firmwares.running(firmware):
        version, path = json.loads(run_device(program))
    assert path.endswith("/rootlet/__init__.mpy" if firmware.compiled else "/lib/rootlet/__init__.py")
    assert firmware.version in ("current", ".".join(str(part) for part in version))
    assert firmwares.in_force() == CURRENT


def test_the_current_version_lacks_nothing_that_tests_need_but_tls_1_3_and_what_comes_with_it() -> None:
    """So nothing is left out where nearly all tests run."""
    missing = {name for name in firmwares.CAPABILITIES if not CURRENT.has(name)}
    assert missing <= {"tls1.3", "tickets"}


def test_what_needs_something_else_than_the_current_version_has_runs_where_it_is() -> None:
    assert OLDER.has("tls1.3") and not CURRENT.has("tls1.3")
    assert firmwares.candidates([TLS_1_3], None, (CURRENT,)) == (OLDER, NEWER)
    assert {each.version for each in firmwares.candidates([TLS_1_3], None, ALL)} == {OLDER.version, NEWER.version}
    assert firmwares.candidates([], None, (CURRENT,)) == (CURRENT,)
    assert firmwares.candidates([pytest.mark.every_version.mark], None, (CURRENT,)) == EVERY_VERSION
    # Who names a firmware sees what it cannot do.
    assert firmwares.candidates([TLS_1_3], (CURRENT,), ALL) == (CURRENT,)


def test_a_test_is_left_out_for_what_is_measured_to_be_missing_only() -> None:
    psk = pytest.mark.needs("psk").mark
    assert firmwares.unfit([psk], CURRENT) is None
    assert firmwares.unfit([psk], OLDER) == "1.25.0 has no pre-shared keys"
    assert firmwares.unfit([pytest.mark.lacks("psk").mark], CURRENT) == "current has pre-shared keys"
    with pytest.raises(KeyError):
        firmwares.unfit([pytest.mark.needs("made up").mark], CURRENT)
