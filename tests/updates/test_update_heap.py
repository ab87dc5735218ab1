"""An update of the full store fits into the heap of a board where Mbed TLS takes its memory from the same heap.

The signature check has both ends of a TLS connection at once: nothing that is done before may still be there then.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support.programs import built

pytestmark = pytest.mark.own_firmware

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tools" / "dev"))

import update_cost  # noqa: E402
from measuring.workbench import MeasurementError  # noqa: E402

KIB = 1024
HEAP_BYTES = 100 * KIB  # an STM32F429's 119 KB less what an application has; measured: docs/updates.md
TOO_LITTLE_BYTES = 64 * KIB


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> update_cost.Bench:
    built(update_cost.MICROPYTHON32, "micropython32")
    return update_cost.Bench(tmp_path_factory.mktemp("update"))


@pytest.mark.parametrize("what", ["once", "push"])
def test_an_update_of_the_full_store_fits_into_the_heap_of_a_small_board(bench: update_cost.Bench, what: str) -> None:
    bench.run(update_cost.MICROPYTHON32, what, heap=str(HEAP_BYTES))


@pytest.mark.parametrize("what", ["once", "push"])
def test_too_small_a_heap_is_named_as_the_reason(bench: update_cost.Bench, what: str) -> None:
    with pytest.raises(MeasurementError, match="not enough memory to check the signature"):
        bench.run(update_cost.MICROPYTHON32, what, heap=str(TOO_LITTLE_BYTES))
