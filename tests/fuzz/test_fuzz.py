"""Fuzzing: no input makes the device library crash, hang, grow or disagree with itself on the other interpreter.

`--fuzz-inputs` is how many inputs there are altogether; `make fuzz` takes a million. What was found becomes a test with
a name of its own, in tests/unit.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import support.on_cpython  # noqa: F401
from cryptography import x509
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rootlet.names import address, matches, normalise
from rootlet_host.interpreter import find_micropython
from support.judge import covers, leaf_for

HERE = Path(__file__).resolve().parent
# One forgotten object for each input would be 16 bytes times thousands; less is what a conservative collector misses.
MOST_GROWTH_BYTES = 4096
# By target, in percent: fast ones get more.
SHARES = {
    "der": 18, "policy": 5, "constraints": 8, "text": 12, "reader": 3, "pem": 6, "names": 14, "pins": 3, "observer": 3,
    "wire": 3, "store": 8, "anchor": 5, "diagnosis": 12,
}  # fmt: skip
# What each way gets of the whole; without atheris its part goes to the first.
BY_CHANCE, BY_COVERAGE, BY_HYPOTHESIS = 0.5, 0.47, 0.03
INTERPRETERS = ("cpython", "micropython")

patient = pytest.mark.timeout(900)


def test_every_target_has_its_share() -> None:
    listed = re.findall(r'^    \("(\w+)", \w+, ', HERE.joinpath("fuzz_targets.py").read_text(encoding="utf-8"), re.M)
    assert listed == list(SHARES) and sum(SHARES.values()) == 100
    assert round(BY_CHANCE + BY_COVERAGE + BY_HYPOTHESIS, 3) == 1


@pytest.fixture(scope="session")
def inputs(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--fuzz-inputs"))


@pytest.fixture(scope="session")
def seed(request: pytest.FixtureRequest) -> int:
    """The same one unless another is named: a change is judged by what it changed, and what fails can be repeated."""
    return int(request.config.getoption("--fuzz-seed"))


def has_atheris() -> bool:
    try:
        import atheris
    except ImportError:
        return False
    return bool(atheris.Fuzz)


def fuzz(interpreter: str, *words: object) -> list[list[str]]:
    """Runs fuzz_run.py; the words of each line that says ok. Fails with its output if it does not end well."""
    program = sys.executable if interpreter == "cpython" else str(find_micropython())
    command = [program, str(HERE / "fuzz_run.py"), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=850, check=False)
    if done.returncode:
        pytest.fail(f"{' '.join(command)}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}", pytrace=False)
    return [line.split() for line in done.stdout.splitlines() if line.startswith("ok ")]


@patient
@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_inputs_changed_by_chance(interpreter: str, inputs: int, seed: int) -> None:
    share = BY_CHANCE if has_atheris() else BY_CHANCE + BY_COVERAGE
    lines = fuzz(interpreter, int(inputs * share / 2), seed)
    assert [line[1] for line in lines] == list(SHARES)
    for _, target, _, _, grown in lines:
        assert int(grown) < MOST_GROWTH_BYTES, f"{target} makes the heap grow by {grown} bytes"


# A fault that once could have been made, where it is, and the target that must find it.
FAULTS = (
    ("der", "der.py", "if end > limit or found", "if found"),
    ("policy", "policy.py", "except (ValueError, IndexError):", "except ZeroDivisionError:"),
    ("names", "names.py", 'if dot < 1 or host.find(b".", dot + 1) < 0:', "if dot < 1:"),
    ("observer", "flight.py", "n <= MAX_NAME", "n"),
    ("diagnosis", "codes.py", "elif code <= 0:", "elif code == 0:"),
    ("wire", "wire.py", "self._small_got = 0\n        kind", "kind"),
)


@pytest.mark.parametrize("interpreter", INTERPRETERS)
@pytest.mark.parametrize(("target", "module", "right", "wrong"), FAULTS, ids=[fault[0] for fault in FAULTS])
def test_fault_is_found(target: str, module: str, right: str, wrong: str, interpreter: str, tmp_path: Path) -> None:
    """In a copy of the library with a fault: fuzzing that finds nothing must be able to find something."""
    repository = HERE.parents[1]
    for folder in ("lib/rootlet", "tests/unit", "tests/fuzz"):
        shutil.copytree(repository / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    path = tmp_path / "lib/rootlet" / module
    source = path.read_text(encoding="utf-8")
    assert right in source
    path.write_text(source.replace(right, wrong), encoding="utf-8")
    program = sys.executable if interpreter == "cpython" else str(find_micropython())
    command = [program, str(tmp_path / "tests/fuzz/fuzz_run.py"), "5000", "1", target]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 1 and f"FAIL {target} " in done.stdout, done.stdout + done.stderr


@patient
@pytest.mark.parametrize("target", SHARES)
def test_inputs_led_by_coverage(target: str, inputs: int, seed: int, tmp_path: Path) -> None:
    """On CPython with atheris; what it found worth keeping then runs on both interpreters, with the same outcome."""
    if not has_atheris():
        pytest.skip("atheris has no wheel for this Python: hypothesis and chance did all of it")
    count = max(500, int(inputs * BY_COVERAGE * SHARES[target] / 100))
    command = [sys.executable, str(HERE / "fuzz_atheris.py"), target, str(count), str(seed), str(tmp_path)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, timeout=850, check=False, env=environment)
    if done.returncode:
        found = [
            f"{path.name}: {path.read_bytes().hex()}"
            for path in tmp_path.iterdir()
            if path.name.startswith(("crash-", "timeout-", "oom-", "leak-"))
        ]
        output = (done.stdout + done.stderr).decode(errors="replace")
        pytest.fail("\n".join([" ".join(command), *found, output[-6000:]]), pytrace=False)
    executed = re.search(rb"number_of_executed_units: (\d+)", done.stderr)
    assert executed and int(executed[1]) >= count
    [here] = fuzz("cpython", tmp_path / "corpus", target)
    [there] = fuzz("micropython", tmp_path / "corpus", target)
    assert int(here[2]) > 3
    assert (here[2], here[5]) == (there[2], there[5]), "the interpreters disagree about an input of the corpus"


# Names, with cryptography's verifier as the judge.

# Few letters, so that names meet; what a name may not have now and then.
_LABEL = st.one_of(st.sampled_from(["a", "b", "aa", "A", "xn--a", "a-b", "1"]), st.text("ab1-_*", max_size=4))
_HOSTS = st.lists(_LABEL, min_size=1, max_size=4).map(".".join)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[str, str]:
    """A host, and a pattern that is often made of it."""
    host = draw(_HOSTS)
    kind = draw(st.integers(0, 5))
    if kind == 0:
        return draw(_HOSTS), host
    labels = host.split(".")
    if kind > 2:
        labels[draw(st.integers(0, len(labels) - 1)) if kind == 5 else 0] = draw(
            st.sampled_from(["*", "a*", "*a", "**"])
        )
    return ".".join(labels).swapcase() if kind == 1 else ".".join(labels), host


@patient
def test_matching_of_names_agrees_with_cryptography(inputs: int) -> None:
    seen = {True: 0, False: 0}

    @settings(
        max_examples=max(200, int(inputs * BY_HYPOTHESIS / 3)), deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(pairs())
    def check(pair: tuple[str, str]) -> None:
        pattern, host = pair
        try:
            wanted = normalise(host)
            if address(wanted) is not None:
                return
        except ValueError:
            return
        expected = covers(leaf_for(x509.DNSName(pattern)), wanted)
        found = matches(pattern.encode(), 0, len(pattern), wanted.encode())
        if expected is None or found == expected:
            seen[found] += 1
            return
        # Stricter on purpose: no wildcard directly below a top-level domain. More lenient on purpose: underscores
        # anywhere, because they occur.
        assert (expected and pattern.startswith("*.") and pattern.count(".") == 1) or (found and "_" in pattern + host)

    check()
    assert seen[True] > 10 and seen[False] > 10


def _examples() -> Iterator[tuple[str, object]]:
    sys.path[:0] = [str(HERE)]
    from fuzz_targets import TARGETS

    for name, function, _, _, _ in TARGETS:
        yield name, function


@patient
@pytest.mark.parametrize("target", SHARES)
def test_inputs_of_hypothesis(target: str, inputs: int) -> None:
    """Few, but it makes what fails as small as can be."""
    function = dict(_examples())[target]
    assert callable(function)

    @settings(
        max_examples=max(50, int(inputs * BY_HYPOTHESIS * 2 / 3 / len(SHARES))),
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.binary(max_size=400))
    def check(data: bytes) -> None:
        function(data)

    check()
