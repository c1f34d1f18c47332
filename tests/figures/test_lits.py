"""The segmentation page's pictures hand over what they show."""

import numpy as np
import pytest

from hkt_lite.benchmarks.lits.slices import windowed
from hkt_lite.benchmarks.lits.synthetic import phantom
from hkt_lite.evidence import style
from hkt_lite.figures import lits

HU, LABELS, _ = phantom("test", 0, 64, 24)
LEVELS = np.argsort(-(LABELS == 2).sum((1, 2)))[:3]
IMAGES, TRUTH = windowed(HU[LEVELS]), LABELS[LEVELS]


def test_windows_say_their_limits():
    fig, alt, table = lits.windows(HU[LEVELS[0]])
    assert len(table) == 4 and "soft tissue (used here) from -160 to 240 HU" in alt
    assert (
        dict(zip(table["window"], table["HU per grey level of 255"]))["soft tissue (used here)"]
        == 1.57
    )
    assert style.svg(fig).count("<image") == 4


def test_greys_tell_liver_from_lesion_by_numbers():
    _, alt, table = lits.greys([HU, HU], [LABELS, LABELS])
    assert (
        list(table["voxels"]) == ["elsewhere", "liver", "lesion"]
        and abs(table["share of all (%)"].sum() - 100) < 0.01
    )
    lesion = table.iloc[2]
    assert lesion["mean (HU)"] == round(float(HU[LABELS == 2].mean()), 1)
    assert (
        lesion["share of all (%)"] == round(100 * float((LABELS == 2).mean()), 3)
        and "lesion" in alt
    )


@pytest.mark.parametrize("levels", [4, 5])
def test_pair_names_the_channels_of_the_real_networks(levels):
    from hkt_lite.benchmarks.lits.network import shapes, unet

    networks = [unet(f"resunet2d-{width}x{levels}", 3) for width in (24, 6)]
    places = ["bottleneck", "decoder1"]
    fig, alt, table = lits.pair(
        ("big", "small"), tuple(list(one.channels) for one in networks), (900, 50), places
    )
    for column, network in zip(("parent's channels", "child's channels"), networks):
        assert list(table[column]) == [shape[1] for shape in shapes(network, places).values()]
    assert "decoder1" in alt and "900 parameters" in alt
    style.svg(fig)


def test_contours_give_each_slice_its_dice():
    fig, alt, table = lits.contours(
        IMAGES, TRUTH, {"parent": TRUTH, "child": np.minimum(TRUTH, 1)}, ["a", "b", "c"]
    )
    assert (
        list(table["slice"]) == ["a", "b", "c"]
        and set(table["parent, Dice lesion"]) == {1.0}
        and set(table["child, Dice lesion"]) == {0.0}
    )
    assert "parent in blue" in alt and "child in vermillion" in alt
    text = style.svg(fig)
    assert style.CHILD.lower() in text.lower() and style.PARENT.lower() in text.lower()


def test_gate_map_averages_regions():
    gate = np.zeros((8, 8))
    gate[:, :4] = 0.5  # the image's left half, where the liver lies
    fig, alt, table = lits.gate_map(
        IMAGES[0], TRUTH[0], {"bottleneck": gate, "decoder1": gate + 0.1}
    )
    left = (TRUTH[0] > 0)[:, :32].sum() / (TRUTH[0] > 0).sum()
    assert (
        abs(table["mean in the liver"][0] - 0.5 * left) < 1e-3
        and list(table["positions"]) == ["8 × 8"] * 2
    )
    assert "decoder1" in alt
    style.svg(fig)


def test_every_volume_is_a_dot_and_undefined_ones_are_counted():
    values = {"plain": [0.2, 0.4, np.nan, 0.9], "HKT gate": [0.3, 0.5, np.nan, 1.0]}
    fig, alt, table = lits.dots(values, "lesion", baseline=0.13)
    assert (
        sum(
            len(one.get_offsets())
            - int(np.isnan(np.asarray(one.get_offsets().filled(np.nan))).any(1).sum())
            for one in fig.axes[0].collections
        )
        == 6
    )
    assert (
        list(table["mean"]) == [0.5, 0.6]
        and list(table["undefined"]) == [1, 1]
        and "4 volumes" in alt
    )
    style.svg(fig)


def test_figures_are_the_same_bytes_again():
    draw = lambda: style.svg(lits.dots({"plain": [0.2, 0.4]}, "liver")[0])  # noqa: E731
    assert draw() == draw()
