"""The cut-offs in rootlet.entropy are those of NIST SP 800-90B."""

from __future__ import annotations

import re
from fractions import Fraction
from math import ceil, comb

from support.board import LIBRARY

FALSE_ALARM = Fraction(1, 2**30)
ENTROPY_BITS = 1  # per sample, which is one bit
WINDOW = 1024


def constant(name: str) -> int:
    found = re.search(rf"^{name} = const\((\d+)\)", (LIBRARY / "rootlet" / "entropy.py").read_text(), re.MULTILINE)
    assert found
    return int(found[1])


def test_repetition_cutoff_is_that_of_section_4_4_1() -> None:
    assert constant("_REPETITION_CUTOFF") == 1 + ceil(Fraction(30, ENTROPY_BITS))


def test_proportion_cutoff_is_that_of_section_4_4_2() -> None:
    below, k = 0, -1
    while Fraction(below, 2**WINDOW) < 1 - FALSE_ALARM:
        k += 1
        below += comb(WINDOW, k)
    assert constant("_PROPORTION_CUTOFF") == 1 + k
    assert constant("BITS") == WINDOW
