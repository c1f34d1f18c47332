"""The statistics against closed forms, scipy's own tests and textbook values."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from hkt_lite.evidence.stats import detectable, mcnemar, paired, summary, t_interval, wilson


def test_summary_against_hand_computation():
    got = summary([74.0, 75.0, 76.0])
    assert (got.n, got.mean, got.sd) == (3, 75.0, 1.0)
    half = 4.302652729749464 / math.sqrt(3)  # t_{2, 0.975}
    assert (got.low, got.high) == pytest.approx((75 - half, 75 + half), rel=1e-12)


def test_interval_is_scipys():
    values = np.random.default_rng(0).normal(80, 2, 7)
    expected = scipy_stats.t.interval(0.9, 6, values.mean(), scipy_stats.sem(values))
    assert summary(values, level=0.9)[3:] == pytest.approx(expected, rel=1e-12)


def test_single_value_has_no_interval():
    got = summary([5.0])
    assert (
        got.mean == 5.0
        and all(map(math.isnan, got[2:]))
        and all(map(math.isnan, t_interval(5, 0, 1)))
    )


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [[1.0, 2.0]]])
def test_bad_values_are_refused(values):
    with pytest.raises(ValueError, match="finite numbers"):
        summary(values)


def test_paired_is_scipys_paired_test():
    rng = np.random.default_rng(1)
    a, b = rng.normal(75, 1, 5), rng.normal(74, 1, 5)
    got, expected = paired(a, b), scipy_stats.ttest_rel(a, b)
    assert got.p == pytest.approx(expected.pvalue, rel=1e-10)
    assert (got.low, got.high) == pytest.approx(tuple(expected.confidence_interval()), rel=1e-10)
    assert got.mean == pytest.approx((a - b).mean()) and paired(b, a).mean == pytest.approx(
        -got.mean
    )


def test_paired_uses_the_pairing():
    a, b = (
        [70.0, 80.0, 90.0],
        [69.0, 79.1, 88.9],
    )  # large spread over seeds, small spread of the differences
    assert paired(a, b).low > 0 > paired(a, b[::-1]).low


def test_paired_without_spread_and_with_one_pair():
    assert (
        paired([2.0, 3.0], [1.0, 2.0])[4:] == (1.0, 0.0, 0.0)
        and paired([1.0, 2.0], [1.0, 2.0]).p == 1
    )
    assert math.isnan(paired([2.0], [1.0]).p) and math.isnan(paired([2.0], [1.0]).detectable)
    with pytest.raises(ValueError, match="got 2 and 1"):
        paired([1.0, 2.0], [1.0])


def test_detectable_against_the_textbook_sample_size():
    # a one-sample t-test needs n = 9.937864 for an effect of one sd at 80 % power (Cohen 1988; R's power.t.test)
    assert detectable(1.0, 9.937864) == pytest.approx(1, abs=1e-6)
    assert detectable(2.0, 9.937864) == pytest.approx(2, abs=2e-6)
    assert detectable(1.0, 3) > detectable(1.0, 5) > detectable(1.0, 50) and detectable(0.0, 3) == 0


def test_detectable_difference_is_detected_four_times_in_five():
    rng, n, sd = np.random.default_rng(2), 3, 0.7
    d = rng.normal(detectable(sd, n), sd, (40_000, n))
    t = d.mean(1) * math.sqrt(n) / d.std(1, ddof=1)
    assert (abs(t) > scipy_stats.t.ppf(0.975, n - 1)).mean() == pytest.approx(0.8, abs=0.01)


def test_mcnemar():
    got = mcnemar(426, 359)
    assert got.z == pytest.approx(67 / math.sqrt(785)) and got.p == pytest.approx(0.0168, abs=1e-4)
    assert (
        got.exact == pytest.approx(scipy_stats.binomtest(426, 785).pvalue)
        and mcnemar(359, 426).z == -got.z
    )
    with pytest.raises(ValueError, match="discordant"):
        mcnemar(0, 0)


def test_wilson():
    assert wilson(9240, 10_000) == pytest.approx(
        tuple(scipy_stats.binomtest(9240, 10_000).proportion_ci(method="wilson")), rel=1e-9
    )
    assert wilson(0, 10)[0] == 0 and wilson(10, 10)[1] == 1
    with pytest.raises(ValueError, match="successes"):
        wilson(11, 10)
