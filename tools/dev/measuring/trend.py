"""Does a quantity grow? A straight line through its samples, and how sure its slope is."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.99
LEAST_SAMPLES = 10


@dataclass(frozen=True)
class Trend:
    """`slope` by least squares, the two ends of its two-sided 99 % confidence interval, and how alike the residuals of
    neighbours are (`autocorrelation`, 0 for independent samples; the interval is the wider for it)."""

    slope: float
    low: float
    high: float
    autocorrelation: float
    samples: int

    @property
    def contains_zero(self) -> bool:
        return self.low <= 0 <= self.high


def fit(xs: Sequence[float], ys: Sequence[float]) -> Trend:
    """The trend of `ys` over `xs`. Raises ValueError for fewer than LEAST_SAMPLES samples.

    Neighbouring samples of a heap are alike, which makes a line look surer than it is. So the standard error of the
    slope is multiplied by sqrt((1 + r) / (1 - r)), where r is the residuals' autocorrelation at lag 1 (that of a
    first-order autoregressive process; negative ones count as 0).
    """
    n = len(xs)
    if n < LEAST_SAMPLES:
        raise ValueError(f"{n} samples are too few for a trend, {LEAST_SAMPLES} are needed")
    slope, intercept = statistics.linear_regression(xs, ys)
    residuals = [y - intercept - slope * x for x, y in zip(xs, ys, strict=True)]
    squares = sum(r * r for r in residuals)
    mean = statistics.fmean(xs)
    error = math.sqrt(squares / (n - 2) / sum((x - mean) ** 2 for x in xs))
    alike = sum(a * b for a, b in itertools.pairwise(residuals)) / squares if squares else 0.0
    alike = min(max(alike, 0.0), 0.95)
    reach = student_t(n - 2) * error * math.sqrt((1 + alike) / (1 - alike))
    return Trend(slope, slope - reach, slope + reach, alike, n)


def student_t(freedom: int, confidence: float = CONFIDENCE) -> float:
    """The two-sided quantile of Student's t distribution, from the normal one's (Abramowitz and Stegun, 26.7.5)."""
    z = statistics.NormalDist().inv_cdf((1 + confidence) / 2)
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )
