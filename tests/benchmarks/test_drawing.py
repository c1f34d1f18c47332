"""What the embedded data is drawn with, against values one can work out."""

import math

import numpy as np
import pytest

from hkt_lite.benchmarks import drawing


def test_a_stream_belongs_to_its_names():
    one, again, other = (
        drawing.Draw(drawing.generator("a", name)) for name in ("train", "train", "val")
    )
    values = [one(3, 5) for _ in range(100)]
    assert values == [again(3, 5) for _ in range(100)] and isinstance(values[0], float)
    assert all(3 <= value < 5 for value in values) and other(3, 5) not in values


def test_rows_come_before_the_shape():
    draw = drawing.Draw(drawing.generator("rows"), 4)
    assert draw(0, 1).shape == (4,) and draw(0, 1, 2, 3).shape == (4, 2, 3)


def test_noise_has_unit_deviation_and_no_mean():
    noise = drawing.triangular(drawing.generator("noise"), (400, 400)) * drawing.SQRT6
    assert noise.dtype == np.float32 and abs(noise.mean()) < 0.01 and abs(noise.std() - 1) < 0.01


def test_waves_are_nearly_a_sine_and_go_on_for_ever():
    t = np.linspace(-2, 2, 401, dtype=np.float32)
    assert np.abs(drawing.wave(t) + np.sin(2 * math.pi * t)).max() < 0.06
    assert np.abs(drawing.sawtooth(t[:100]) - drawing.sawtooth(t[100:200])).max() < 1e-5


def test_distance_to_a_segment():
    points = np.array([0.0, 2.0, 5.0]), np.array([1.0, 1.0, 4.0])
    found = drawing.segment(points, (0, 0), (2, 0))
    assert found == pytest.approx([1, 1, 5])
    assert drawing.norm(3.0, 4.0, 12.0) == 13


def test_cover_is_half_on_the_edge_one_pixel_wide():
    distance = np.array([-3.0, -1.0, 0.0, 0.5, 1.0])
    assert drawing.cover(distance).tolist() == [1, 1, 0.5, 0, 0]
    assert drawing.cover(distance, 2, 0.75).tolist() == [0.75, 0.75, 0.5, 0.25, 0]
    assert drawing.blend(10.0, 20.0, 0.25) == 12.5


def test_binomial_of_a_point_is_the_mask():
    image = np.zeros((5, 5))
    image[2, 2] = 1
    assert drawing.binomial(image).tolist() == [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
