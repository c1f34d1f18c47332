"""Optical-flow errors on fields made by hand, where every number can be counted."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hkt_lite.benchmarks.flow.data import Sample
from hkt_lite.benchmarks.flow.metrics import Meter, metrics, warm_start
from hkt_lite.config import HKTError


def sample(truth, valid=None, occluded=None):
    height, width = truth.shape[1:]
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    return Sample(
        image,
        image,
        truth,
        torch.ones(height, width, dtype=torch.bool) if valid is None else valid,
        occluded,
    )


def row(*vectors):
    """A flow (2, 1, N) of the given (u, v)."""
    return torch.tensor(vectors, dtype=torch.float32).T[:, None]


def mask(*values):
    return torch.tensor([values], dtype=torch.bool)


def test_every_key_on_a_field_made_by_hand():
    truth = row((6, 8), (0, 9.5), (40, 0), (100, 0), (39.5, 0), (0, 0))
    guess = truth + row((3, 4), (0, 2), (0, 0.5), (4, 0), (0, 3.5), (1000, 0))
    found = metrics(guess, sample(truth, mask(1, 1, 1, 1, 1, 0), mask(0, 1, 0, 0, 1, 1)))
    assert found["epe"] == pytest.approx((5 + 2 + 0.5 + 4 + 3.5) / 5)
    assert found["epe_matched"] == pytest.approx((5 + 0.5 + 4) / 3) and found["n/epe_matched"] == 3
    assert found["epe_unmatched"] == pytest.approx((2 + 3.5) / 2) and found["n/epe_unmatched"] == 2
    assert found["s0-10"] == pytest.approx(2) and found["s10-40"] == pytest.approx(
        (5 + 3.5) / 2
    )  # 10 belongs to the middle
    assert found["s40+"] == pytest.approx((0.5 + 4) / 2)  # and 40 to the fast
    assert found["fl_all"] == pytest.approx(
        40
    )  # 4 of 100 pixels long is 4 %: right although above 3 pixels
    assert (found["px1"], found["px3"], found["px5"]) == pytest.approx(
        (80, 60, 0)
    )  # 5 is not above 5
    assert found["n/epe"] == found["n/px3"] == 5


def test_an_error_of_three_pixels_or_five_percent_is_not_wrong_yet():
    truth = row((0, 10), (80, 0), (80, 0))
    assert metrics(truth + row((3, 0), (4, 0), (4.001, 0)), sample(truth))[
        "fl_all"
    ] == pytest.approx(100 / 3)


def test_no_key_without_a_pixel():
    truth = row((1, 0), (2, 0))
    found = metrics(truth, sample(truth, occluded=mask(0, 0)))
    assert not {"s10-40", "s40+", "epe_unmatched"} & set(found) and found["epe"] == 0
    assert not {"epe_matched", "epe_unmatched"} & set(metrics(truth, sample(truth)))
    empty = sample(truth, mask(0, 0))
    meter = Meter()
    meter.add(truth, empty)
    assert (
        {key for key in metrics(truth, empty) if not key.startswith("n/")}
        == set()
        == set(meter.result())
        == set(meter.result(True))
    )


def test_unknown_truth_does_not_count_even_if_it_is_not_a_number():
    truth = row((1, 0), (float("nan"), 0))
    assert metrics(torch.zeros(2, 1, 2), sample(truth, mask(1, 0)))["epe"] == 1


def test_sintel_pools_pixels_and_kitti_takes_the_mean_of_images():
    small, large = sample(row((8, 0))), sample(row((2, 0), (2, 0), (2, 0)))
    meter = Meter()
    for one in (small, large, sample(row((9, 9)), mask(0))):
        meter.add(torch.zeros_like(one.flow), one)
    assert meter.result()["epe"] == pytest.approx((8 + 3 * 2) / 4)
    assert meter.result(per_image=True)["epe"] == pytest.approx((8 + 2) / 2)
    assert (
        meter.result()["fl_all"] == meter.result(per_image=True)["fl_all"] == pytest.approx(25)
    )  # Fl-all stays pooled


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5))
def test_the_meter_is_the_metrics_of_all_pixels_at_once(seed, count):
    random = torch.Generator().manual_seed(seed)
    truth = 30 * torch.randn(count, 2, 3, 4, generator=random)
    guess = truth + 3 * torch.randn(truth.shape, generator=random)
    valid, hidden = (torch.rand(count, 3, 4, generator=random) < p for p in (0.7, 0.3))
    meter = Meter()
    for k in range(count):
        meter.add(guess[k], sample(truth[k], valid[k], hidden[k]))
    joined = metrics(
        torch.cat(list(guess), 1),
        sample(torch.cat(list(truth), 1), torch.cat(list(valid)), torch.cat(list(hidden))),
    )
    assert meter.result() == pytest.approx(
        {key: value for key, value in joined.items() if not key.startswith("n/")}
    )


def test_what_cannot_be_compared_is_said():
    truth = row((1, 0), (2, 0))
    with pytest.raises(HKTError, match=r"shape \(2, 1, 3\) cannot be compared .*\(2, 1, 2\); crop"):
        metrics(torch.zeros(2, 1, 3), sample(truth))
    with pytest.raises(HKTError, match="not finite"):
        Meter().add(truth * float("inf"), sample(truth))


def test_warm_start_carries_a_moving_square_along():
    flow = torch.zeros(2, 12, 16)
    flow[0] = -0.25  # so that no two vectors land on the same point
    flow[0, 4:8, 2:6] = 5.0
    guess = warm_start(flow)
    assert guess.shape == flow.shape and guess.dtype == flow.dtype
    square = torch.zeros(12, 16, dtype=torch.bool)
    square[4:8, 7:11] = True
    assert torch.equal(guess[0] == 5, square)  # where it left, the background beside it is nearest
    assert (guess[0][~square] == -0.25).all() and not guess[1].any()
    assert torch.equal(warm_start(flow.flip(0).transpose(1, 2)), guess.flip(0).transpose(1, 2))


def test_warm_start_of_a_constant_flow_is_the_same_and_of_one_that_leaves_is_zero():
    assert torch.equal(warm_start(torch.full((2, 6, 7), 1.5)), torch.full((2, 6, 7), 1.5))
    assert not warm_start(torch.full((2, 6, 7), 99.0)).any()
