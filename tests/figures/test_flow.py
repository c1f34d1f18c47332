"""The optical-flow pages' pictures hand over what they show."""

import numpy as np
import pytest
import torch

from hkt_lite.benchmarks.flow.data import Sample
from hkt_lite.evidence import style
from hkt_lite.figures import flow

RANDOM = np.random.default_rng(0)
FIRST, SECOND = RANDOM.integers(0, 255, (2, 3, 16, 24), dtype=np.uint8)


def constant(u: float, v: float) -> np.ndarray:
    return np.stack([np.full((16, 24), u, np.float32), np.full((16, 24), v, np.float32)])


def drawn(made):
    """(svg, alt, table) of a figure function's answer."""
    return style.svg(made[0]), made[1], made[2]


def test_colours_share_one_scale_and_leave_out_the_unknown():
    still, slow, fast = (flow.colours(constant(u, 0), 10)[0, 0] for u in (0, 5, 10))
    assert tuple(still) == (255, 255, 255) and slow[1] > fast[1]  # the longer, the more saturated
    assert np.array_equal(
        flow.colours(constant(30, 0), 10)[0, 0], fast
    )  # beyond the scale: its end
    assert not np.array_equal(
        flow.colours(constant(-10, 0), 10)[0, 0], fast
    ) and not np.array_equal(flow.colours(constant(0, 10), 10)[0, 0], fast)
    known = np.zeros((16, 24), bool)
    known[:8] = True
    image = flow.colours(constant(10, 0), 10, known)
    assert (
        (image[8:] == flow.UNKNOWN).all()
        and (image[:8] == fast).all()
        and image.shape == (16, 24, 3)
    )


def test_task_says_how_far_things_move():
    picture, alt, table = drawn(flow.task(FIRST, SECOND, constant(6, -8)))
    assert (
        picture.count("<image") == 4
        and "mean length is 10.0" in alt
        and table["moved by more than 8 px (%)"][0] == 100
    )


def test_cost_volume_measures_in_pixels_from_the_true_place():
    cost = RANDOM.normal(size=(2, 3))
    picture, alt, table = drawn(
        flow.cost_volume(FIRST, SECOND, cost, (0, 0), {1: (0.0, 0.0), 4: (1.0, 2.0)}, (1.0, 2.0), 1)
    )
    assert list(table["update"]) == [1, 4] and table["pixels from the true place"][
        0
    ] == pytest.approx(8 * 5**0.5, abs=0.01)
    assert (
        table["pixels from the true place"][1] == 0
        and "3 by 3 positions" in alt
        and picture.count("<image") >= 4
    )


def test_progress_shows_each_update_and_the_truth():
    picture, alt, table = drawn(
        flow.progress({1: constant(0, 0), 3: constant(3, 4)}, constant(3, 4), {1: 5.0, 3: 0.0})
    )
    assert (
        picture.count("<image") == 3
        and list(table["end-point error (px)"]) == [5.0, 0.0]
        and "5.00 px, 0.00 px" in alt
    )


def test_over_updates_names_the_best_and_zero_flow():
    _, alt, table = drawn(
        flow.over_updates(
            {"parent": [3.0, 1.0, 2.0], "child, HKT": [4.0, 3.0, 3.5]}, {"zero flow": 6.0}, 2
        )
    )
    assert list(table["update"]) == [1, 2, 3] and list(table["parent"]) == [3.0, 1.0, 2.0]
    assert (
        "parent 3.00 after one, 1.00 at best (update 2), 2.00 after 3" in alt
        and "zero flow: 6.00" in alt
    )


def test_sites_names_networks_and_widths():
    _, alt, table = drawn(
        flow.sites(
            "raft_base",
            "raft_tiny",
            (611_280, 168_034),
            {"feature encoder": (64, 40), "recurrent block": (48, 28)},
        )
    )
    assert (
        "raft_base with 611,280" in alt
        and "raft_tiny with 168,034" in alt
        and list(table["child's channels"]) == [40, 28]
    )


def sample(u: float, hidden: int = 0) -> Sample:
    """True flow (u, 0), known in the upper half, occluded in the first `hidden` rows."""
    valid, occluded = torch.zeros(2, 16, 24, dtype=torch.bool)
    valid[:8], occluded[:hidden] = True, True
    return Sample(
        torch.from_numpy(FIRST),
        torch.from_numpy(SECOND),
        torch.from_numpy(constant(u, 0)),
        valid,
        occluded,
    )


def test_worst_pairs_come_first_and_only_valid_pixels_count():
    estimate = constant(0, 0)
    estimate[:, 8:] = 99.0  # where nothing is known
    estimate[0, :2] = 3.0
    picture, alt, table = drawn(
        flow.worst([sample(1), sample(5, hidden=2), sample(3)], [estimate] * 3, count=2)
    )
    assert (
        list(table["pair"]) == [1, 2]
        and picture.count("<image") >= 8
        and "pair 1 4.25 px; pair 2 2.25 px" in alt
    )
    assert (
        table["where occluded (px)"][0] == 2
        and table["where visible (px)"][0] == 5
        and table["zero flow's (px)"][0] == 5
    )
    assert table["occluded (%)"][0] == 25 and np.isnan(table["where occluded (px)"][1])


def test_sparse_counts_what_is_known():
    known = np.zeros((16, 24), bool)
    known[8:, ::2] = True
    _, alt, table = drawn(flow.sparse(FIRST, constant(3, 4), known))
    assert (
        table["known"][0] == 96
        and table["first row with truth"][0] == 8
        and table["mean length (px)"][0] == 5
        and "25 %" in alt
    )


def test_pooling_makes_the_two_means():
    _, alt, table = drawn(flow.pooling([1.0, 10.0], [900, 100]))
    assert (
        table["pooled over pixels (px)"][0] == 1.9
        and table["mean of the images (px)"][0] == 5.5
        and table["difference (px)"][0] == 3.6
    )
    assert "images is 5.50" in alt and "pixels 1.90" in alt


def test_warm_compares_three_beginnings():
    _, alt, table = drawn(flow.warm(constant(0, 4), constant(3, 3), constant(3, 4)))
    assert (
        list(table["end-point error (px)"]) == [5.0, 3.0, 1.0]
        and "carried along itself 1.00 px" in alt
    )


def test_focus_finds_where_everything_comes_from():
    y, x = np.indices((16, 24))
    ahead, known = np.stack([x - 5.0, y - 9.0]) * 0.1, RANDOM.random((16, 24)) < 0.5
    share, column = flow.focus(ahead, known)
    assert column == pytest.approx(5) and share > 99
    assert flow.focus(-ahead, known)[0] < 1
