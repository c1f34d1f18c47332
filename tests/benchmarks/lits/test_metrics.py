"""Segmentation metrics on masks small enough to count by hand, and what happens where a mask is empty."""

import numpy as np
import pytest

from hkt_lite.benchmarks.lits.metrics import (
    counts,
    dice,
    largest_component,
    lesionwise,
    scores,
    surface,
)


def volume(*boxes, shape=(4, 16, 16)):
    """Labels with (label, z, y, x) boxes painted in order."""
    found = np.zeros(shape, np.uint8)
    for label, *box in boxes:
        found[tuple(slice(a, b) for a, b in box)] = label
    return found


TRUTH = volume(
    (1, (0, 2), (2, 10), (2, 10)), (2, (0, 1), (4, 8), (4, 8))
)  # 128 voxels of liver, 16 of them lesion
SHIFTED = volume(
    (1, (0, 2), (2, 10), (4, 12)), (2, (0, 1), (4, 8), (6, 10))
)  # both two voxels to the side


def test_dice_by_hand():
    assert counts(SHIFTED > 0, TRUTH > 0) == (96, 128, 128)
    assert dice(96, 128, 128) == 0.75 and dice(8, 16, 16) == 0.5 and dice(0, 3, 4) == 0
    assert dice(3, 3, 6) == pytest.approx(2 / 3)


def test_liver_includes_its_lesions():
    wrong_lesion = np.where(TRUTH == 2, 1, TRUTH)
    found = scores([wrong_lesion], [TRUTH])
    assert found["dice_liver"] == 1 and found["dice_lesion"] == 0 and found["dice"] == 0.5


def test_per_case_and_global_are_different_means():
    """A large case with Dice 1 and a small one with 0: per case 1/2, global nearly 1."""
    large, small = volume((2, (0, 4), (0, 16), (0, 16))), volume((2, (0, 1), (0, 2), (0, 2)))
    found = scores([large, np.zeros_like(small)], [large, small])
    assert found["dice_lesion"] == 0.5
    assert found["dice_lesion_global"] == pytest.approx(2 * 1024 / (1024 + 1028))


def test_both_empty_leaves_the_case_out_and_one_empty_is_zero():
    empty = np.zeros_like(TRUTH)
    assert np.isnan(dice(0, 0, 0))
    assert (
        scores([TRUTH, np.minimum(TRUTH, 1)], [TRUTH, np.minimum(TRUTH, 1)])["dice_lesion"] == 1
    )  # the second case has no lesion and none predicted
    assert (
        scores([TRUTH, TRUTH], [TRUTH, np.minimum(TRUTH, 1)])["dice_lesion"] == 0.5
    )  # a lesion invented in the second case
    assert scores([empty], [TRUTH])["dice"] == 0
    assert scores([empty], [empty]) == {}


def test_one_class():
    found = scores([np.minimum(SHIFTED, 1)], [np.minimum(TRUTH, 1)], classes=2)
    assert found == {"dice": 0.75, "dice_foreground": 0.75, "dice_foreground_global": 0.75}


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="cannot be compared"):
        scores([TRUTH[:2]], [TRUTH])


def test_surface_distance_of_two_planes_is_their_distance_in_mm():
    a, b = np.zeros((2, 3, 12, 12), bool)
    a[:, 4:6], b[:, 7:9] = (
        True,
        True,
    )  # two slabs, three rows apart, each surface voxel 3 rows from the other's nearest edge
    assd, hd95 = surface(a, b, (5.0, 2.0, 1.0))
    assert assd == pytest.approx((2 + 3) / 2 * 2.0) and hd95 == pytest.approx(3 * 2.0)
    assert surface(a, a, (5.0, 2.0, 1.0)) == (0, 0)


def test_surface_of_an_empty_mask_is_the_diagonal_or_undefined():
    a = np.zeros((3, 4, 5), bool)
    assert np.isnan(surface(a, a, (1, 1, 1))).all()
    b = a.copy()
    b[1, 1, 1] = True
    assert (
        surface(a, b, (2.0, 1.0, 1.0))
        == surface(b, a, (2.0, 1.0, 1.0))
        == pytest.approx((np.sqrt(36 + 16 + 25),) * 2)
    )


def test_hd95_looks_at_both_directions():
    a, b = np.zeros((2, 1, 24, 24), bool)
    a[0, :4, :4] = b[0, :4, :4] = True
    b[0, 15:24, 15:24] = True  # a false island: near to nothing of a
    assert surface(a, b, (1, 1, 1))[1] == surface(b, a, (1, 1, 1))[1] > 15


def test_lesionwise_counts_lesions_not_voxels():
    truth = (
        volume(
            (1, (0, 1), (0, 8), (0, 8)), (1, (0, 1), (10, 12), (0, 4)), (1, (3, 4), (0, 1), (0, 1))
        )
        > 0
    )
    half = truth.copy()
    half[0, 10:12, 0:3] = False  # a quarter of the second lesion is left
    assert lesionwise(truth, truth) == (3, 3, 0)
    assert lesionwise(half, truth) == (2, 3, 0)
    half[0, 10:12, 2] = True  # and now half of it
    assert lesionwise(half, truth) == (3, 3, 0)
    alarm = truth.copy()
    alarm[2, 14:, 14:] = True
    assert lesionwise(alarm, truth) == (3, 3, 1)
    assert lesionwise(np.zeros_like(truth), truth) == (0, 3, 0)
    assert lesionwise(truth, np.zeros_like(truth)) == (0, 0, 3)


def test_diagonal_neighbours_are_one_lesion():
    truth = np.zeros((1, 4, 4), bool)
    truth[0, 0, 0] = truth[0, 1, 1] = True
    assert lesionwise(truth, truth)[1] == 1


def test_full_scores_pool_lesions_and_skip_unknown_spacings():
    found = scores([TRUTH, SHIFTED], [TRUTH, TRUTH], [(1.0, 1.0, 1.0), (np.nan,) * 3])
    assert found["assd_liver"] == 0 and found["hd95_lesion"] == 0
    assert (
        found["lesion_recall"] == 1.0 and found["false_alarms"] == 0
    )  # half of the second lesion is covered
    assert scores([TRUTH], [TRUTH], [(np.nan,) * 3]).keys() == {
        "dice",
        "dice_liver",
        "dice_liver_global",
        "dice_lesion",
        "dice_lesion_global",
        "lesion_recall",
        "false_alarms",
    }


def test_largest_component_keeps_one_liver_with_its_lesions():
    islands = volume(
        (1, (0, 2), (2, 10), (2, 10)), (2, (0, 1), (4, 8), (4, 8)), (2, (3, 4), (14, 16), (14, 16))
    )
    assert np.array_equal(largest_component(islands), TRUTH)
    assert largest_component(np.zeros_like(TRUTH)).sum() == 0
