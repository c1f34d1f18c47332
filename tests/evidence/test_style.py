"""What a figure is as text."""

import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from hkt_lite.evidence import style

NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
METADATA = "{http://www.w3.org/2000/svg}metadata"


def a_figure():
    draws = np.random.default_rng(0)
    fig, (left, right) = style.axes(1, 2)
    left.plot(draws.random(30), marker="o", label="a – b")
    left.set_ylabel("turned by a right angle")
    left.legend()
    right.imshow(draws.random((20, 20)))
    return fig


def elements(text: str) -> list[tuple[str, dict]]:
    root = ElementTree.fromstring(text)
    return [(item.tag, item.attrib) for item in root.iter() if "/2000/svg}" in item.tag]


def test_a_figures_text_is_what_was_drawn_to_a_hundredth_of_a_point_and_smaller():
    style.use()
    buffer = io.BytesIO()
    a_figure().savefig(buffer, format="svg", facecolor="white")
    drawn, kept = buffer.getvalue().decode(), style.svg(a_figure())
    assert len(kept) < 0.9 * len(drawn) and "<!--" not in kept and "metadata" not in kept
    before = [one for one in elements(drawn) if one[0] != METADATA]
    after = elements(kept)
    assert [tag for tag, _ in before] == [tag for tag, _ in after]
    for (tag, was), (_, now) in zip(before, after, strict=True):
        assert was.keys() == now.keys(), tag
        for key, value in was.items():
            if value == now[key]:
                continue
            assert NUMBER.sub("", value).split() == NUMBER.sub("", now[key]).split(), (tag, key)
            exact, rounded = (
                [float(n) for n in NUMBER.findall(text)] for text in (value, now[key])
            )
            assert rounded == pytest.approx(exact, rel=0, abs=0.0051), (tag, key)


def test_the_same_figure_gives_the_same_text():
    assert style.svg(a_figure()) == style.svg(a_figure())
