"""The search for the least heap: what it finds, and that it does not trust a single run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools" / "dev"))

from least_heap import JobFailed, completes, least_heap_bytes, least_size


@pytest.mark.parametrize("needed", [0, 1, 999, 1000, 1001, 4321, 10_000])
def test_it_finds_the_first_size_that_works(needed: int) -> None:
    found = least_size(lambda size: (size >= needed, "too small"), 1000, 10_000, 10)
    assert found == max(1000, -(-needed // 10) * 10)


def test_it_needs_few_runs() -> None:
    tried: list[int] = []

    def works(size: int) -> tuple[bool, str]:
        tried.append(size)
        return size >= 77_777, ""

    least_size(works, 0, 192 * 1024, 256)
    assert len(tried) <= 1 + 10 + 3


@pytest.mark.parametrize("guess", [0, 1000, 4000, 4321, 5000, 20_000])
def test_a_guess_changes_the_runs_and_not_the_answer(guess: int) -> None:
    tried: list[int] = []

    def works(size: int) -> tuple[bool, str]:
        tried.append(size)
        return size >= 4321, ""

    assert least_size(works, 1000, 10_000, 10, guess=guess) == 4330
    if guess == 4321:
        assert len(tried) <= 2 + 3 + 3


def test_a_size_that_works_only_now_and_then_is_not_the_answer() -> None:
    lucky = {5000}

    def works(size: int) -> tuple[bool, str]:
        if size in lucky:
            lucky.remove(size)
            return True, ""
        return size >= 5300, "bad luck"

    assert least_size(works, 4000, 6000, 100) == 5300


def test_a_job_that_never_works_is_reported_with_its_reason() -> None:
    with pytest.raises(JobFailed, match="10000 bytes: no memory"):
        least_size(lambda _: (False, "no memory"), 1000, 10_000, 10)


@pytest.mark.parametrize(("low", "high", "step"), [(0, 10, 0), (-1, 10, 1), (10, 0, 1)])
def test_ranges_that_make_no_sense_are_refused(low: int, high: int, step: int) -> None:
    with pytest.raises(ValueError, match="need"):
        least_size(lambda _: (True, ""), low, high, step)


def test_a_program_is_run_with_each_size_and_its_last_line_is_the_reason() -> None:
    program = "import sys; print('first'); print('no room'); sys.exit(int(sys.argv[1]) < 30)"
    assert least_heap_bytes(lambda size: [sys.executable, "-c", program, str(size)], 0, 64, 8) == 32
    assert completes([sys.executable, "-c", program, "1"], 10) == (False, "no room")


def test_a_program_that_never_ends_does_not_work() -> None:
    worked, reason = completes([sys.executable, "-c", "import time; time.sleep(60)"], 0.3)
    assert not worked and "0.3 s" in reason
