"""Flow as colours: one scale for all pictures, and a legend that says which."""

import torch

from hkt_lite.benchmarks.flow.colour import UNKNOWN, colours, longest_of, wheel
from hkt_lite.evidence import style


def constant(u: float, v: float) -> torch.Tensor:
    return torch.tensor([float(u), float(v)])[:, None, None].expand(2, 16, 24)


def first(flow: torch.Tensor) -> list[int]:
    return colours(flow, 10)[0, 0].tolist()


def test_colours_share_one_scale():
    still, slow, fast = (first(constant(u, 0)) for u in (0, 5, 10))
    assert still == [255, 255, 255]
    assert slow[1] > fast[1]  # the longer, the more saturated
    assert first(constant(30, 0)) == fast  # beyond the scale: its end
    assert fast not in (first(constant(-10, 0)), first(constant(0, 10)))


def test_what_is_not_known_is_grey():
    known = torch.zeros(16, 24, dtype=torch.bool)
    known[:8] = True
    image = colours(constant(10, 0), 10, known)
    assert image.shape == (16, 24, 3)
    assert (image[8:] == UNKNOWN).all() and image[0, 0].tolist() == first(constant(10, 0))


def test_the_legend_ends_at_the_longest_vector():
    assert longest_of(constant(3, 4), constant(0, 1.2)) == 5 and longest_of(constant(0, 0)) == 1
    fig, ax = style.axes()
    wheel(ax, 5)
    assert list(ax.get_xticks()) == [-5, 0, 5]
    assert style.svg(fig).count("<image") == 1
