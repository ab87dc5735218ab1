"""make soak, short: memory and open files stay flat over good and failing servers, and a leak would be seen."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.firmware import Firmware
from support.programs import program

REPOSITORY = Path(__file__).resolve().parents[2]
SOAK = REPOSITORY / "tools" / "dev" / "soak.py"
sys.path.insert(0, str(SOAK.parent))

from measuring.trend import LEAST_SAMPLES, fit, student_t  # noqa: E402

FAST = "GET, kept connection;wrong host;early close;nobody listens"
# In bytes per request, for a run too short for the limits of the long one.
LIMITS = ("--heap-limit", "2", "--resident-limit", "60")


def soak(*options: str, timeout_s: int = 110) -> tuple[int, dict[str, Any], str]:
    """(exit code, report, what it said)."""
    done = subprocess.run(
        [sys.executable, str(SOAK), "--json", *LIMITS, *options], capture_output=True, text=True, timeout=timeout_s
    )
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


def verdicts(report: dict[str, Any]) -> dict[str, str]:
    return {quantity["name"]: quantity["verdict"] for quantity in report["quantities"]}


@pytest.mark.slow
@pytest.mark.servers
@pytest.mark.timeout(180)
def test_heap_and_files_stay_flat_over_good_and_failing_servers(firmware: Firmware) -> None:
    program("openssl", "openssl")
    program("coap-server-openssl", "libcoap3-bin")
    status, report, said = soak("--requests", "2000", timeout_s=170)
    assert status == 0, (said, report.get("quantities"), report.get("wrong"))
    keys = set() if firmware.has("psk") else {"pre-shared key", "another pre-shared key"}
    assert report["left_out"].keys() == keys, "a kind of server could not be had"
    assert all(kind["requests"] > 0 and kind["wrong"] == 0 for kind in report["kinds"])
    assert {"modem", "DTLS", "truncated", "expired"} < {kind["name"] for kind in report["kinds"]}
    assert report["requests"] > 2000  # and those of the warming up
    assert len(report["samples"]) > 100


@pytest.mark.own_firmware
@pytest.mark.slow
@pytest.mark.parametrize(
    ("leak", "quantity"),
    [("heap", "Python heap, bytes"), ("native", "process memory, bytes"), ("file", "open files")],
)
def test_a_leak_is_noticed(leak: str, quantity: str) -> None:
    status, report, said = soak("--requests", "800", "--kinds", FAST, "--leak", leak, "--leak-every", "5")
    assert status == 1, report
    assert verdicts(report)[quantity] == "grows"
    assert f"{quantity}: it grows" in said


@pytest.mark.own_firmware
@pytest.mark.slow
def test_without_a_leak_the_same_run_is_flat() -> None:
    status, report, said = soak("--requests", "800", "--kinds", FAST)
    assert status == 0, (said, report["quantities"])


@pytest.mark.own_firmware
def test_a_request_that_ends_otherwise_than_it_must_fails_the_run() -> None:
    status, report, said = soak("--requests", "100", "--kinds", "nobody listens", "--expect", "HTTPError")
    assert status == 1
    assert report["right"] is False
    assert "requests ended otherwise than they must" in said


@pytest.mark.own_firmware
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--requests", "5"), "fewer make no trend"),
        (("--kinds", "carrier pigeons"), "no kind of server is called 'carrier pigeons'"),
        (("--micropython", "/nowhere"), "there is no /nowhere"),
    ],
)
def test_what_cannot_be_measured_is_said_in_a_line(options: tuple[str, ...], words: str) -> None:
    status, report, said = soak(*options)
    assert (status, report) == (2, {})
    assert words in said and "Traceback" not in said


# The statistics.


@pytest.mark.own_firmware
def test_the_interval_covers_the_true_slope_as_often_as_it_says() -> None:
    dice = random.Random(1)
    xs = [10.0 * i for i in range(60)]
    hits = 0
    for _ in range(400):
        trend = fit(xs, [5 + 0.3 * x + dice.gauss(0, 40) for x in xs])
        hits += trend.low <= 0.3 <= trend.high
    assert hits >= 388  # 97 %


@pytest.mark.own_firmware
def test_samples_that_resemble_their_neighbours_widen_the_interval() -> None:
    dice = random.Random(2)
    xs = [10.0 * i for i in range(200)]
    hits = 0
    for _ in range(200):
        level, ys = 0.0, []
        for _ in xs:
            level = 0.7 * level + dice.gauss(0, 40)
            ys.append(level)
        trend = fit(xs, ys)
        hits += trend.contains_zero
        assert trend.autocorrelation > 0.3
    assert hits >= 190


@pytest.mark.own_firmware
def test_a_slope_without_noise_is_found_exactly() -> None:
    trend = fit(list(range(20)), [7 + 3 * x for x in range(20)])
    assert trend.slope == pytest.approx(3)
    assert trend.low == pytest.approx(3) and trend.high == pytest.approx(3)


@pytest.mark.own_firmware
def test_too_few_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        fit(range(LEAST_SAMPLES - 1), range(LEAST_SAMPLES - 1))


@pytest.mark.own_firmware
@pytest.mark.parametrize(("freedom", "quantile"), [(8, 3.355), (10, 3.169), (30, 2.750), (120, 2.617)])
def test_quantiles_of_students_distribution(freedom: int, quantile: float) -> None:
    """From the tables in Abramowitz and Stegun, 26.10."""
    assert student_t(freedom) == pytest.approx(quantile, abs=0.004)
