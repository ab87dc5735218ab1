"""Ten thousand random fault scripts: see fuzz.py for what must hold."""

from __future__ import annotations

import fuzz
import pytest

_SCRIPTS = {"clean": 5000, "loss": 2500, "noise": 2500}
_PORTION = 1250


def _run(kind: str, seeds: range) -> None:
    for seed in seeds:
        try:
            fuzz.run(seed, kind)
        except Exception as error:
            raise AssertionError(f"fuzz.run({seed}, {kind!r}): {error}") from error


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_random_faults_never_hang_the_driver_and_never_make_it_deliver_a_wrong_byte(kind: str) -> None:
    _run(kind, range(100))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "first"), [(kind, first) for kind in fuzz.KINDS for first in range(0, _SCRIPTS[kind], _PORTION)]
)
def test_ten_thousand_random_fault_scripts(kind: str, first: int) -> None:
    _run(kind, range(first, first + _PORTION))


def test_the_scripts_reach_what_they_are_meant_to_reach() -> None:
    """Else the tests above would pass with an emulator that does nothing."""
    complete = broken = 0
    failures = set()
    check = fuzz.Exchange.check

    def count(self: fuzz.Exchange, kind: str) -> None:
        nonlocal complete, broken
        check(self, kind)
        complete += len(self.read) == len(self.peer.to_send) > 0
        broken += isinstance(self.end, OSError)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fuzz.Exchange, "check", count)
        for seed in range(150):
            failures.add(str(fuzz.run(seed, fuzz.KINDS[seed % 3]).driver.failure))
    assert complete > 50
    assert broken > 50
    assert len(failures) > 15
