"""The figures of pages 1 to 3: what is drawn, said and tabulated are the arrays that were given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from hkt_lite.evidence import style
from hkt_lite.figures import extraction, training, transfer

CLASSES = ["disc", "ring", "star"]
RANDOM = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def maps(*shapes):
    return {f"layer{i + 1}": RANDOM.random(shape) - 0.5 for i, shape in enumerate(shapes)}


def every():
    labels = np.array([2, 0, 1, 0, 2, 1])
    soft = {1: np.eye(3)[[0, 1]], 4: np.full((2, 3), 1 / 3)}
    share = np.linspace(0.2, 1, 8)
    return {
        "three_ways": training.three_ways(),
        "soft_outputs": training.soft_outputs(
            np.zeros((2, 8, 8, 3), np.uint8), soft, [0, 2], CLASSES
        ),
        "stripes": training.stripes(
            {"parent": np.eye(6), "a child": RANDOM.random((6, 6))}, labels, CLASSES
        ),
        "dependence": training.dependence(
            {"KD L_c": (1.2, 0.0), "KD L_kd": (0.0, 0.9), "HKT L_c*": (1.1, 0.3)}
        ),
        "depth": extraction.depth(
            ["pixels", "layer1"], {"the parent": [20, 50], "untrained": [20, 22]}, 83.0, 10.0
        ),
        "mosaic": extraction.mosaic(np.zeros((8, 8, 3), np.uint8), maps((4, 8, 8), (6, 4, 4))),
        "drift": extraction.drift(
            {"evaluation": [90.0, 90.0, 90.0], "training": [90.0, 70.0, 40.0]}
        ),
        "plane": transfer.plane(RANDOM.random((6, 2)), labels, CLASSES, share),
        "widths": transfer.widths(
            [1, 2], {"probe": {"principal": [30, 60], "random": [20, 40]}}, {"probe": 81}, 10
        ),
        "resized": transfer.resized(
            {"4": np.ones((4, 4)), "2": np.zeros((4, 4))}, [4, 2], [80, 30], [0, 0.5]
        ),
    }


def test_every_figure_says_what_it_shows_and_has_its_numbers():
    for name, (fig, alt, table) in every().items():
        assert alt.endswith(".") and len(alt) > 60, name
        assert "nan" not in alt, name
        assert len(table) and not table.isna().any().any(), name
        assert fig.get_facecolor() == (1, 1, 1, 1), f"{name} must be opaque white, for dark mode"


def test_same_arrays_give_the_same_bytes():
    labels = {"a": (1.0, 0.0), "b": (0.5, 0.25)}
    assert style.svg(training.dependence(labels)[0]) == style.svg(training.dependence(labels)[0])
    assert style.svg(training.dependence(labels)[0]) != style.svg(
        training.dependence({**labels, "b": (0.5, 0.26)})[0]
    )


def test_dependence_names_the_blind_terms():
    _, alt, table = training.dependence(
        {"KD L_c": (1.2, 0.0), "KD L_kd": (0.0, 0.9), "HKT L_c*": (1.1, 0.3)}
    )
    assert "labels: KD L_kd;" in alt and "parent: KD L_c." in alt
    assert table["labels exchanged"].tolist() == [1.2, 0.0, 1.1]


def test_stripes_compare_within_and_between_classes():
    same = np.repeat(np.eye(3), 2, axis=0)  # two images a class, each class its own channel
    table = training.stripes({"parent": same}, np.repeat([0, 1, 2], 2), CLASSES)[2]
    assert table.iloc[0].tolist() == ["parent", 1.0, 0.0]


def test_soft_outputs_names_the_parents_choice():
    soft = {1: np.array([[0.1, 0.7, 0.2]])}
    _, alt, table = training.soft_outputs(np.zeros((1, 4, 4, 3), np.uint8), soft, [2], CLASSES)
    assert "labelled star, is called ring with 70%" in alt
    assert table[CLASSES].iloc[0].tolist() == [0.1, 0.7, 0.2]


def test_mosaic_counts_silent_channels_and_keeps_order():
    feature = np.ones((5, 2, 2))
    feature[3] = 0
    fig, _, table = extraction.mosaic(np.zeros((4, 4, 3), np.uint8), {"layer1": feature})
    sheet = (
        fig.axes[1].images[0].get_array().filled(np.nan)
    )  # three columns of 2 x 2 tiles, one position between
    assert table["silent channels"].tolist() == [1]
    assert sheet[3, 0] == 0 and sheet[3, 3] == 1 and sheet[0, 0] == 1 and np.isnan(sheet[3, 6])


def test_depth_and_drift_tables_hold_the_given_numbers():
    depth = extraction.depth(["pixels", "avgpool"], {"the parent": [20.0, 80.04]}, 83.0, 10.0)[2]
    assert depth["the parent"].tolist() == [20.0, 80.0]
    fig, alt, drift = extraction.drift({"training": [90.0, 70.0, 40.0]})
    assert drift["training"].tolist() == [90.0, 70.0, 40.0] and "between 40.0 and 90.0" in alt
    assert fig.axes[0].lines[0].get_ydata().tolist() == [90.0, 70.0, 40.0]


def test_transfer_tables_hold_the_given_numbers():
    table = transfer.widths([1, 4], {"probe": {"principal": [30.0, 80.0]}}, {"probe": 81.0}, 10.0)[
        2
    ]
    assert table["probe: principal"].tolist() == [30.0, 80.0]
    plane = transfer.plane(
        RANDOM.random((4, 2)), np.array([0, 1, 2, 0]), CLASSES, np.array([0.5, 0.75, 0.875, 1.0])
    )[2]
    assert dict(plane.to_numpy().tolist()) == {1: 50.0, 2: 75.0, 4: 100.0}
    resized = transfer.resized({"via 2 x 2": np.ones((4, 4))}, [4, 2], [80.0, 30.0], [0.0, 0.5])[2]
    assert resized["relative error"].tolist() == [0.0, 0.5]
