"""The statistics behind every table: pure functions of numbers, no files, no display.   paired([74.1, 74.9, 74.3], [73.0, 73.8, 73.9])

All intervals and tests are two-sided at `level` = 0.95 unless said otherwise; sd is the sample standard deviation (n - 1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import optimize
from scipy import stats as distributions


class Summary(NamedTuple):
    """Mean of n values with its t-interval; sd, low and high are nan for a single value."""

    n: int
    mean: float
    sd: float
    low: float
    high: float


class Paired(NamedTuple):
    """Mean of the differences a - b with its t-interval, the t-test's p and the smallest difference the design could have detected."""

    n: int
    mean: float
    sd: float
    low: float
    high: float
    p: float
    detectable: float


class McNemar(NamedTuple):
    """z and p of the normal approximation, and the exact binomial p."""

    z: float
    p: float
    exact: float


def _values(values: Sequence[float], what: str) -> np.ndarray:
    array = np.asarray(values, dtype=float)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        raise ValueError(
            f"{what} must be a non-empty list of finite numbers, got {list(np.ravel(array))[:5]}."
        )
    return array


def t_interval(mean: float, sd: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """mean -+ t_{n-1, (1+level)/2} sd / sqrt(n), in the values' unit; (nan, nan) for n < 2.  Source: Student 1908."""
    if n < 2:
        return math.nan, math.nan
    half = float(distributions.t.ppf((1 + level) / 2, n - 1)) * sd / math.sqrt(n)
    return mean - half, mean + half


def summary(values: Sequence[float], level: float = 0.95) -> Summary:
    """Mean, sd = sqrt(sum (x - mean)^2 / (n - 1)) and t-interval of independent values (n,).  Raises ValueError on empty or nan."""
    array = _values(values, "summary's values")
    sd = float(array.std(ddof=1)) if len(array) > 1 else math.nan
    mean = float(array.mean())
    return Summary(len(array), mean, sd, *t_interval(mean, sd, len(array), level))


def paired(
    a: Sequence[float], b: Sequence[float], level: float = 0.95, power: float = 0.8
) -> Paired:
    """Paired t-test of a - b, both (n,), a[i] and b[i] from the same seed.

    d = a - b;  t = mean(d) sqrt(n) / sd(d);  p = 2 P(T_{n-1} > |t|).  Without spread (sd = 0) p is 0, or 1 for a difference of 0.
    Raises ValueError for lists of different length.
    """
    a, b = _values(a, "paired's first values"), _values(b, "paired's second values")
    if len(a) != len(b):
        raise ValueError(
            f"paired compares values of the same seeds, got {len(a)} and {len(b)} of them."
        )
    n, mean, sd, low, high = summary(a - b, level)
    if n < 2:
        return Paired(n, mean, sd, low, high, math.nan, math.nan)
    p = (
        float(2 * distributions.t.sf(abs(mean) * math.sqrt(n) / sd, n - 1))
        if sd > 0
        else float(mean == 0)
    )
    return Paired(n, mean, sd, low, high, p, detectable(sd, n, power, 1 - level))


def detectable(sd: float, n: float, power: float = 0.8, alpha: float = 0.05) -> float:
    """Smallest true mean difference that a paired t-test on n differences of spread sd finds with probability `power`.

    Solves P(|T| > t_{n-1, 1-alpha/2}) = power for delta, where T follows the noncentral t with n - 1 degrees of freedom and
    noncentrality delta sqrt(n) / sd.  In the values' unit; 0 for sd = 0, nan for n < 2.  Source: Cohen 1988, chapter 2.
    """
    if n < 2 or math.isnan(sd):
        return math.nan
    critical = float(distributions.t.ppf(1 - alpha / 2, n - 1))

    def missing(shift: float) -> float:
        wrong_side = np.nan_to_num(
            distributions.nct.cdf(-critical, n - 1, shift)
        )  # scipy says nan where it is below 1e-12
        return float(distributions.nct.sf(critical, n - 1, shift) + wrong_side) - power

    return float(optimize.brentq(missing, 0, 2 * critical + 5, xtol=1e-10)) * sd / math.sqrt(n)


def mcnemar(only_a: int, only_b: int) -> McNemar:
    """Do two classifiers err differently on one test set?  Counts of images that only a, and only b, gets right.

    z = (only_a - only_b) / sqrt(only_a + only_b), p = 2 P(Z > |z|), without continuity correction; exact: binomial with 1/2.
    Says nothing about other training seeds.  Source: McNemar 1947.
    """
    total = only_a + only_b
    if min(only_a, only_b) < 0 or total == 0:
        raise ValueError(
            f"mcnemar needs two counts of discordant images that are not both 0, got {only_a} and {only_b}."
        )
    z = (only_a - only_b) / math.sqrt(total)
    return McNemar(
        z,
        float(2 * distributions.norm.sf(abs(z))),
        float(distributions.binomtest(only_a, total).pvalue),
    )


def wilson(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Interval of a proportion, such as an accuracy on n images: (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n).

    Both ends in [0, 1].  Raises ValueError unless 0 <= successes <= n and n > 0.  Source: Wilson 1927.
    """
    if not 0 <= successes <= n or n <= 0:
        raise ValueError(f"wilson needs 0 <= successes <= n and n > 0, got {successes} of {n}.")
    z, p = float(distributions.norm.ppf((1 + level) / 2)), successes / n
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)
    return low if successes else 0.0, high if successes < n else 1.0
