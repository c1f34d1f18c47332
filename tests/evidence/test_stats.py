"""The statistics against closed forms, scipy's own tests and textbook values."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from hkt_lite.evidence.stats import bootstrap, detectable, holm, paired, summary, welch


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
    assert got.mean == 5.0 and all(map(math.isnan, got[2:]))


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


def test_welch_is_scipys_test_of_two_samples_of_unequal_spread():
    rng = np.random.default_rng(2)
    a, b = rng.normal(75, 1, 5), rng.normal(74, 4, 3)
    got = welch(summary(a)._asdict(), summary(b)._asdict(), level=0.9)
    interval = scipy_stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.9)
    assert (got["low"], got["high"]) == pytest.approx(tuple(interval), rel=1e-10)
    assert got["mean"] == pytest.approx(a.mean() - b.mean())


def test_welch_without_spread_and_of_a_single_value():
    two, three = (summary([x, x])._asdict() for x in (2.0, 3.0))
    assert welch(two, three) == {"mean": -1.0, "low": -1.0, "high": -1.0}
    with pytest.raises(ValueError, match="two or more, got 2 and 1"):
        welch(two, summary([1.0])._asdict())


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


def test_holm_against_a_worked_example():
    # R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.02]) == [0.02] and holm([]) == [] and holm([0.9, 0.8]) == [1, 1]


def test_holm_keeps_the_familys_error_below_five_percent():
    rng = np.random.default_rng(3)
    families = rng.random((20_000, 4))  # nothing is there: p values are uniform
    false = sum(min(holm(ps)) < 0.05 for ps in families) / len(families)
    assert 0.045 < false < 0.055 and (families.min(1) < 0.05).mean() > 0.15


def test_intervals_cover_as_often_as_they_say():
    rng = np.random.default_rng(4)
    found = [summary(values) for values in rng.normal(1, 2, (4000, 3))]
    assert np.mean([s.low < 1 < s.high for s in found]) == pytest.approx(0.95, abs=0.01)


def test_bootstrap_is_wide_in_seeds_and_in_examples():
    random = np.random.default_rng(1)
    base = random.normal(size=(6, 400))
    only_seeds = base * 0 + random.normal(size=(6, 1))  # every example of a seed alike
    low, high = bootstrap(only_seeds, base * 0)
    spread = only_seeds[:, 0].std(ddof=0) / math.sqrt(6)
    assert (high - low) / (2 * 1.96 * spread) == pytest.approx(1, abs=0.1)
    only_examples = base * 0 + random.normal(size=(1, 400))  # every seed of an example alike
    low, high = bootstrap(only_examples, base * 0)
    spread = only_examples[0].std(ddof=0) / math.sqrt(400)
    assert (high - low) / (2 * 1.96 * spread) == pytest.approx(1, abs=0.1)
    with pytest.raises(ValueError, match=r"two \(seeds, examples\)"):
        bootstrap(base, base[:3])


def test_bootstrap_covers_as_often_as_it_says_where_there_are_many_of_both():
    random, hits = np.random.default_rng(2), 0
    for trial in range(200):
        d = random.normal(size=(30, 1)) + random.normal(size=(1, 60)) + random.normal(size=(30, 60))
        low, high = bootstrap(0.7 + d, 0 * d, draws=400, seed=trial)
        hits += low <= 0.7 <= high
    assert 180 <= hits <= 199
