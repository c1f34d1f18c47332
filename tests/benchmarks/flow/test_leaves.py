"""Dead leaves: their statistics, their edges, their seeds."""

import numpy as np
import pytest

from hkt_lite.benchmarks.drawing import Draw
from hkt_lite.benchmarks.flow import leaves
from hkt_lite.benchmarks.flow import synthetic as moving

SIZE = (64, 96)


def slope(grey):
    """The exponent of the spectrum's fall: power ~ f^slope, f in cycles a picture."""
    side = len(grey)
    power = np.abs(np.fft.fft2(grey - grey.mean())) ** 2
    across = np.fft.fftfreq(side) * side
    f = np.hypot(across[:, None], across)
    bands = 2.0 ** np.arange(1, 6.5, 0.5)  # octaves by halves, up to a quarter of the frequencies
    mean = [power[(low <= f) & (f < high)].mean() for low, high in zip(bands, bands[1:])]
    return np.polyfit(np.log(bands[:-1]), np.log(mean), 1)[0]


def test_the_spectrum_falls_as_that_of_photographs_does():
    found = [slope(leaves.picture("test", 0, number).mean(2)) for number in range(4)]
    assert -2.6 < np.mean(found) < -1.6  # Ruderman and Bialek (1994): -1.81
    assert slope(np.random.default_rng(0).random((256, 256))) == pytest.approx(0, abs=0.2)


def test_most_steps_are_small_and_a_few_are_edges():
    """Unlike noise: the kurtosis of neighbours' differences is 3 for a Gaussian."""
    grey = leaves.picture("test", 0, 0).mean(2)
    step = np.diff(grey, axis=1).ravel()
    assert (step**4).mean() / (step**2).mean() ** 2 > 6


def test_a_picture_repeats_without_a_seam():
    grey = leaves.picture("test", 0, 1).mean(2)
    seam = np.abs(grey[:, 0] - grey[:, -1]).mean()
    inside = np.abs(np.diff(grey, axis=1)).mean(0)
    assert seam < inside.max() * 1.5


def test_same_key_same_bytes_and_other_splits_other_leaves():
    first = leaves.picture("train", 0, 0)
    leaves.picture.cache_clear()
    assert np.array_equal(first, leaves.picture("train", 0, 0))
    for other in (("train", 0, 1), ("train", 1, 0), ("test", 0, 0)):
        assert not np.array_equal(first, leaves.picture(*other))
    assert np.isfinite(first).all() and first.shape == (leaves.SIDE, leaves.SIDE, 3)


def test_colours_are_those_of_a_picture_and_differ_between_layers():
    draw = Draw(np.random.default_rng(3), 4)
    texture = leaves.Leaves(draw, ("train", 0))
    y, x = np.indices((96, 96), np.float32).reshape(2, -1)
    shown = [texture.colour(np.full(x.size, k), np.stack([x, y])) for k in range(4)]
    for one in shown:
        assert one.dtype == np.float32 and one.shape == (x.size, 3)
        assert ((0 < one) & (one < 1)).mean() > 0.7  # few pixels are clipped
        assert one.std() > 0.04
    assert not np.allclose(shown[0], shown[1])


def test_scenes_of_leaves_move_as_the_others_do():
    """Same seed, same motion laws: only what is painted on the layers is another."""
    speeds = {}
    for flavour in ("layers", "leaves"):
        few = [moving.scene(0, "train", number, SIZE, flavour=flavour) for number in range(24)]
        speeds[flavour] = np.mean([one.flow.norm(dim=0).mean() for one in few])
    assert speeds["leaves"] == pytest.approx(speeds["layers"], rel=0.25)
