"""The statistics behind every table: pure functions of numbers, no files, no display.

paired([74.1, 74.9, 74.3], [73.0, 73.8, 73.9])

Intervals and tests are two-sided at 95 %; sd is the sample standard deviation (n - 1).
"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
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
    """Mean of the differences a - b with its t-interval, the t-test's p, and the smallest
    difference that the design could have detected."""

    n: int
    mean: float
    sd: float
    low: float
    high: float
    p: float
    detectable: float


def _values(values: Sequence[float], what: str) -> np.ndarray:
    array = np.asarray(values, dtype=float)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        given = list(np.ravel(array))[:5]
        raise ValueError(f"{what} must be a non-empty list of finite numbers, got {given}.")
    return array


def summary(values: Sequence[float], level: float = 0.95) -> Summary:
    """Mean, sd and t-interval (Student 1908) of `values`, in their unit.

    Raises ValueError for no values or values that are not finite.
    """
    array = _values(values, "summary's values")
    n, mean = len(array), float(array.mean())
    if n < 2:
        return Summary(n, mean, math.nan, math.nan, math.nan)
    sd = float(array.std(ddof=1))
    low = high = mean
    if sd > 0:
        low, high = distributions.t.interval(level, n - 1, mean, sd / math.sqrt(n))
    return Summary(n, mean, sd, float(low), float(high))


def paired(a: Sequence[float], b: Sequence[float]) -> Paired:
    """The paired t-test of the differences a - b, seed by seed.

    Without spread (sd = 0) p is 0, or 1 for a difference of 0.  Raises ValueError for lists of
    different length.
    """
    a, b = _values(a, "paired's first values"), _values(b, "paired's second values")
    if len(a) != len(b):
        raise ValueError(f"paired compares values of the same seeds, got {len(a)} and {len(b)}.")
    d = summary(a - b)
    if d.n < 2:
        return Paired(*d, math.nan, math.nan)
    p = float(d.mean == 0)
    if d.sd > 0:
        p = float(2 * distributions.t.sf(abs(d.mean) * math.sqrt(d.n) / d.sd, d.n - 1))
    return Paired(*d, p, detectable(d.sd, d.n))


def welch(a: Mapping[str, float], b: Mapping[str, float], level: float = 0.95) -> dict[str, float]:
    """'mean', 'low' and 'high' of a - b, two means of samples that are not paired, each given by
    its 'n', 'mean' and 'sd' (Welch 1947).  Raises ValueError for a sample of less than two."""
    if min(a["n"], b["n"]) < 2:
        raise ValueError(f"welch compares samples of two or more, got {a['n']} and {b['n']}.")
    v, w = (one["sd"] ** 2 / one["n"] for one in (a, b))
    mean = low = high = a["mean"] - b["mean"]
    if v + w > 0:
        freedom = (v + w) ** 2 / (v**2 / (a["n"] - 1) + w**2 / (b["n"] - 1))
        low, high = distributions.t.interval(level, freedom, mean, math.sqrt(v + w))
    return {"mean": mean, "low": float(low), "high": float(high)}


def bootstrap(
    a: np.ndarray, b: np.ndarray, draws: int = 4000, seed: int = 0
) -> tuple[float, float]:
    """Interval of the mean difference a - b of two (seeds, examples) arrays, over both.

    Every draw takes seeds and, for all of them, examples with replacement (Efron 1979; Owen 2007).
    It is too short for a handful of seeds, and stands beside the t-interval, which ignores that
    other examples might have been drawn.  Raises ValueError for arrays of different shape.
    """
    a, b = np.asarray(a, dtype=np.float32), np.asarray(b, dtype=np.float32)
    if a.shape != b.shape or a.ndim != 2 or not a.size:
        raise ValueError(f"bootstrap compares two (seeds, examples), got {a.shape} and {b.shape}.")
    seeds, examples = a.shape
    taken = _taken(examples, draws, seed)
    # of each seed in each draw; not by @, whose threads wait for one another on a busy machine
    parts = np.array_split(taken, 16)
    sums = [np.einsum("se,de->sd", a - b, part.astype(np.float32)) for part in parts]
    totals = np.concatenate(sums, axis=1)
    rows = np.random.default_rng((seed, 1)).integers(seeds, size=(seeds, draws))
    means = np.take_along_axis(totals, rows, axis=0).mean(0) / examples
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


@lru_cache(maxsize=2)
def _taken(examples: int, draws: int, seed: int) -> np.ndarray:
    """How often each draw takes each example (draws, examples), kept: a page asks for it again and
    again.  A byte is enough: 256 times happens in one of 256! draws."""
    random = np.random.default_rng(seed)
    takes = (random.integers(examples, size=examples) for _ in range(draws))
    return np.stack([np.bincount(one, minlength=examples).astype(np.uint8) for one in takes])


def detectable(sd: float, n: float, power: float = 0.8, alpha: float = 0.05) -> float:
    """Smallest true mean difference that a paired t-test on n differences of spread sd finds
    with probability `power`, in the values' unit; 0 for sd = 0, nan for n < 2.

    Solves P(|T| > t_{n-1, 1-alpha/2}) = power for delta, where T follows the noncentral t with
    n - 1 degrees of freedom and noncentrality delta sqrt(n) / sd (Cohen 1988, chapter 2).
    """
    if n < 2 or math.isnan(sd):
        return math.nan
    critical = float(distributions.t.ppf(1 - alpha / 2, n - 1))

    def missing(shift: float) -> float:
        # scipy says nan where the wrong side's probability is below 1e-12
        wrong_side = np.nan_to_num(distributions.nct.cdf(-critical, n - 1, shift))
        return float(distributions.nct.sf(critical, n - 1, shift) + wrong_side) - power

    return float(optimize.brentq(missing, 0, 2 * critical + 5, xtol=1e-10)) * sd / math.sqrt(n)


def holm(ps: Sequence[float]) -> list[float]:
    """p values adjusted for a family of tests, in the order given: below 0.05 means that the
    chance of even one false finding in the family is below 5 % (Holm 1979)."""
    values, order = np.array(ps, dtype=float), np.argsort(ps)
    stepped = values[order] * np.arange(len(values), 0, -1)
    values[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return values.tolist()
