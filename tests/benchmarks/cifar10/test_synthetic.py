"""The drawn figures: repeatable, balanced, apart, and neither trivial nor hopeless."""

import hashlib
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hkt_lite.benchmarks.cifar10 import synthetic
from hkt_lite.benchmarks.cifar10.synthetic import CLASSES, FIGURES, images
from hkt_lite.config import HKTError

NAMES = "disc ring arc crescent square triangle star cross chevron pair".split()
DIGEST = "f7fa81a82f168d93ccf9acff1536305ae2fd1e17c50bafd14d6b3ec45f0ffdf7"


def test_shapes_types_and_balance():
    got = images("train", 1000)
    assert (
        got.x.shape == (1000, 3, 32, 32)
        and got.x.dtype == torch.uint8
        and got.y.dtype == torch.int64
    )
    assert got.y.bincount().tolist() == [100] * 10 and got.classes == CLASSES == NAMES
    assert all(sorted(ten.tolist()) == list(range(10)) for ten in got.y.split(10))
    assert torch.equal(got.index, torch.arange(1000))


def test_bytes_are_the_same_everywhere():
    """A digest made elsewhere: the records' data fingerprints rest on it."""
    digest = hashlib.sha256()
    for split in ("train", "val", "test"):
        digest.update(
            images(split, 500).x.numpy().tobytes() + images(split, 500).y.numpy().tobytes()
        )
    assert digest.hexdigest() == DIGEST


def test_drawn_again_it_is_the_same_and_a_smaller_size_is_a_prefix():
    one = images("val", 300)
    images.cache_clear()
    again, few = images("val", 300), images("val", 120)
    assert again.x is not one.x and torch.equal(again.x, one.x) and torch.equal(again.y, one.y)
    assert torch.equal(few.x, one.x[:120]) and torch.equal(few.y, one.y[:120])


def test_splits_and_seeds_share_no_image():
    sets = [
        {picture.numpy().tobytes() for picture in images(split, 500, seed).x}
        for split, seed in [("train", 0), ("val", 0), ("test", 0), ("train", 1)]
    ]
    assert [len(one) for one in sets] == [500] * 4
    assert len(set.union(*sets)) == 2000


def test_bad_arguments():
    with pytest.raises(HKTError, match="no split 'trian'. Did you mean 'train'"):
        images("trian", 10)
    with pytest.raises(HKTError, match="at least 1, got 0"):
        images("train", 0)


@pytest.mark.parametrize("name", CLASSES)
def test_figures_are_sound(name):
    """Each fills a fair part of its disc, ends inside it, and is its own mirror image (a flip keeps the class)."""
    line = np.linspace(-1.2, 1.2, 241)
    u, v = np.meshgrid(line, line)
    inside = FIGURES[name](u, v) < 0
    assert 0.3 < inside.sum() * 0.01**2 / math.pi < 0.9 and not inside[u * u + v * v > 1.25].any()
    assert (inside == inside[:, ::-1]).mean() > 0.99  # the grid itself is symmetric up to rounding


def test_figures_differ():
    line = np.linspace(-1, 1, 101)
    u, v = np.meshgrid(line, line)
    masks = [figure(u, v) < 0 for figure in FIGURES.values()]
    for i, one in enumerate(masks):
        for other in masks[:i]:
            assert (one & other).sum() / (one | other).sum() < 0.9


def test_star_has_five_equal_points():
    turn = 2 * math.pi / 5
    angle = np.linspace(0, 2 * math.pi, 40, endpoint=False)
    for radius in (0.2, 0.45, 0.8, 0.95):
        u, v = radius * np.sin(angle), radius * np.cos(angle)
        turned = radius * np.sin(angle + turn), radius * np.cos(angle + turn)
        np.testing.assert_allclose(synthetic._star(u, v), synthetic._star(*turned), atol=1e-6)
    assert abs(synthetic._star(np.array(0.0), np.array(1.0))) < 1e-6


def test_nuisances_are_there():
    x = images("train", 1000).x.float()
    assert x.mean((2, 3)).std(0).min() > 20  # colour differs from image to image
    assert (
        (x[:, :, 1:] - x[:, :, :-1]).abs().mean((1, 2, 3)) > 3
    ).float().mean() > 0.9  # noise and texture


def test_pixels_alone_do_not_give_the_class_away():
    train, test = images("train", 2000), images("test", 500)
    x, y = (part.x.flatten(1).float() / 255 for part in (train, test))
    neighbour = train.y[torch.cdist(y, x).argmin(1)] == test.y
    assert neighbour.float().mean() < 0.6
    mean = x.mean(0)
    ridge = (x - mean).T @ (x - mean) + 500 * torch.eye(x.shape[1])
    weights = torch.linalg.solve(ridge, (x - mean).T @ F.one_hot(train.y, 10).float())
    assert (((y - mean) @ weights).argmax(1) == test.y).float().mean() < 0.6


def test_it_is_out_of_reach_of_classifiers_that_weigh_single_pixels():
    train, val = synthetic.images("train", 2000), synthetic.images("val", 1000)
    x, z = (part.x.flatten(1).double() / 255 for part in (train, val))
    weights = torch.linalg.solve(
        x.T @ x + 10 * torch.eye(x.shape[1]).double(),
        x.T @ torch.nn.functional.one_hot(train.y).double(),
    )
    for answer in ((z @ weights).argmax(1), train.y[torch.cdist(z, x).argmin(1)]):
        assert (answer == val.y).double().mean() < 0.6


def test_a_bigger_network_is_clearly_better_on_it():
    """Five seeds at convergence, published: ResNet-20 against ResNet-8."""
    from hkt_lite.evidence import stats
    from hkt_lite.runs.store import published

    runs = [
        run
        for run in published()
        if run.kind == "run" and run.purpose == "parent" and run.config.task == "cifar10"
    ]
    scores = {
        child: {
            run.config.seed: run.selected.test["accuracy"]
            for run in runs
            if run.config.child == child
        }
        for child in ("resnet20", "resnet8")
    }
    assert scores["resnet20"].keys() == scores["resnet8"].keys() == set(range(5))
    gap = stats.paired(*([found[seed] for seed in range(5)] for found in scores.values()))
    assert gap.mean >= 3 and gap.low > 0
