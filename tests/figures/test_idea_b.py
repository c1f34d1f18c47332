"""Pages 04 and 05: the figures keep what they say, and the notebooks keep the book's rules."""

from __future__ import annotations

import ast
import json
import re

import numpy as np
import pytest

from hkt_lite.config import PROJECT
from hkt_lite.evidence import style
from hkt_lite.figures import attention, mixture

PAGES = ("04_genetic_attention", "05_mixture_and_the_three_losses")
random = np.random.default_rng(0)


def drawn(made):
    """(figure, alt, table) with the promises every figure makes: an alternative text, a table, the same bytes twice."""
    fig, alt, table = made
    assert len(alt) > 40 and alt.endswith(".") and len(table)
    assert not table.isna().any().any()
    text = style.svg(fig)
    assert text.startswith("<?xml") and "<dc:date>" not in text
    return text, alt, table


def test_segment_puts_ga_and_m_on_the_line():
    _, _, table = drawn(attention.segment((2.0, 0.0), (0.0, 2.0)))
    at = table.set_index("point")
    assert at.loc["GA", "share of the way from c to p"] == 0.5  # similarity 0
    assert at.loc["m", "share of the way from c to p"] == 0.3
    assert at.loc["m", "channel 1"] + at.loc["m", "channel 2"] == pytest.approx(2.0, abs=2e-3)


def test_gate_figure_gives_least_to_the_most_alike():
    cosine = random.uniform(0, 1, 60)
    _, alt, table = drawn(attention.gate({"child": (8 * cosine, cosine)}))
    share = table.set_index("third of the images")["median share"]
    assert share["least alike"] > share["middle"] > share["most alike"]
    assert table["most"].max() <= 0.3 and "0.3" in alt


def test_logistic_of_extreme_similarities():
    assert attention.sigmoid(np.array([-1e9, 0.0, 1e9])).tolist() == [0.0, 0.5, 1.0]


def test_lengths_figure_survives_shares_of_exactly_zero():
    values = {
        "length": [5.0, 1e6],
        "cosine": [0.4, 0.5],
        "share": [0.01, 0.0],
        "exactly 0": [0.0, 1.0],
    }
    _, _, table = drawn(
        attention.lengths((8, 20), {"training mode": values, "evaluation mode": values})
    )
    assert table["images with share exactly 0 (%)"].tolist() == [0.0, 100.0, 0.0, 100.0]


def test_plane_finds_the_multiples_of_every_mixture():
    c, p = random.normal(size=(2, 64))
    _, _, table = drawn(attention.plane(c, p, {"gate": c + 0.2 * (p - c), "softmax": c + 0.5 * p}))
    of = table.set_index("point")
    assert of.loc["gate", ["times c", "times p", "sum"]].tolist() == pytest.approx([0.8, 0.2, 1.0])
    assert of.loc["softmax", ["times c", "times p", "sum"]].tolist() == pytest.approx(
        [1.0, 0.5, 1.5]
    )


def test_maps_and_judges_and_curves_and_the_drawing():
    images = np.zeros((2, 32, 32, 3), np.uint8)
    _, _, table = drawn(
        attention.maps(images, {"gate": np.full((2, 8, 8), 0.1), "static": np.full((2, 8, 8), 0.7)})
    )
    assert len(table) == 4 and set(table["median"]) == {0.1, 0.7}
    rows = [
        {
            "objective": "all three",
            "child on c": 50.0,
            "child on m": 40.0,
            "parent on c": 30.0,
            "share": 0.1,
            "cosine": 0.5,
        }
    ]
    assert "50, 40 and 30" in drawn(mixture.judges(rows, 10.0))[1]
    assert (
        len(
            drawn(
                mixture.curves(
                    {"all three": [10.0, 20.0], "without L_p*": [10.0, 30.0]}, 90.0, 10.0
                )
            )[2]
        )
        == 2
    )
    assert drawn(mixture.three_losses())[2]["loss"].tolist() == list(mixture.TERMS)


def test_pulls_are_drawn_relative_to_the_longest():
    import pandas as pd

    up, right = np.eye(64)[1], np.eye(64)[0]
    arrows = {"L_c": 2 * up, "L_c*": up, "L_p*": 4 * right}
    _, alt, _ = drawn(
        mixture.pulls(
            {"newborn": arrows}, {"newborn": 7 * right}, pd.DataFrame({"term": list(arrows)})
        )
    )
    assert (
        "L_c: +0.00 towards the parent and +0.50 across" in alt
        and "L_p*: +1.00 towards the parent and +0.00 across" in alt
    )


def test_work_is_relative_to_the_plain_step():
    steps = {
        "plain child": {"forward": 1.0, "backward": 2.0},
        "released": {"forward": 12.0, "backward": 12.0},
    }
    _, alt, table = drawn(mixture.work({"a pair": steps}))
    assert table["all"].tolist() == [1.0, 8.0] and "released: 8.0 times" in alt


def test_same_figure_same_bytes():
    assert (
        drawn(attention.segment((1, 0.2), (0.3, 1)))[0]
        == drawn(attention.segment((1, 0.2), (0.3, 1)))[0]
    )


@pytest.fixture(params=PAGES)
def page(request):
    return json.loads(
        (PROJECT / "notebooks" / f"{request.param}.ipynb").read_text(encoding="utf-8")
    )


def text(cell):
    return "".join(cell["source"])


def test_page_is_short_code_and_mostly_prose(page):
    code = [cell for cell in page["cells"] if cell["cell_type"] == "code"]
    assert (
        code[0]["metadata"]["tags"] == ["parameters"]
        and text(code[0]) == 'scale: str = "smoke"\nseed: int = 0'
    )
    for cell in code:
        ast.parse(text(cell))
        hidden = "hide-input" in cell["metadata"].get("tags", [])
        assert not cell["outputs"] and len(text(cell).splitlines()) <= (20 if hidden else 15), cell[
            "id"
        ]
    prose = sum(len(text(cell)) for cell in page["cells"] if cell["cell_type"] == "markdown")
    assert prose > 1.9 * sum(
        len(text(cell)) for cell in code if "hide-input" not in cell["metadata"].get("tags", [])
    )


def test_page_has_its_parts_and_unique_labels(page):
    prose = "\n".join(text(cell) for cell in page["cells"] if cell["cell_type"] == "markdown")
    for part in ("**Question:**", "## What we saw", "## Check yourself", "## Next", "*Doubt.*"):
        assert part in prose
    labels = re.findall(r":label: (\S+)", prose)
    assert len(labels) == len(set(labels))
    for kind, known in (("eq", {name for name in labels if name.startswith("eq:")}),):
        assert set(re.findall(r"\{eq\}`([^`]+)`", prose)) <= known, kind
    exercises = [name for name in labels if name.startswith("ex-")]
    assert len(exercises) >= 3 and all(
        f"```{{solution}} {name}\n:class: dropdown" in prose for name in exercises
    )


def test_moving_figure_loads_nothing():
    script = (PROJECT / "book" / "_static" / "gate.js").read_text(encoding="utf-8")
    assert not re.search(
        r"https?://(?!www\.w3\.org/2000/svg)|\bimport\b|fetch\(|XMLHttpRequest|innerHTML", script
    )
