"""The embedded scenes: flow and occlusion against the two images, seeds, splits, and both layouts read back."""

import numpy as np
import pytest
import torch
from torch.nn.functional import grid_sample

from hkt_lite.benchmarks.flow import data as flow
from hkt_lite.benchmarks.flow import synthetic as moving
from hkt_lite.config import HKTError
from tests import writers

SIZE = (64, 96)


def warped(image, field):
    """The second image (3, H, W) looked up where the flow leads, float."""
    height, width = field.shape[1:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    where = torch.stack([(x + field[0]) / (width - 1), (y + field[1]) / (height - 1)], -1) * 2 - 1
    return grid_sample(image[None].float(), where[None], align_corners=True)[0]


def mismatch(sample, field):
    seen = sample.valid & ~sample.occluded
    return (warped(sample.second, field) - sample.first.float()).abs().mean(0)[seen].mean().item()


@pytest.fixture(scope="module")
def scenes():
    return moving.pairs_batch("train", 24, SIZE)


def test_shapes_types_and_reach(scenes):
    for one in scenes:
        assert (
            one.first.shape == one.second.shape == (3, *SIZE)
            and one.first.dtype == one.second.dtype == torch.uint8
        )
        assert one.flow.shape == (2, *SIZE) and one.flow.dtype == torch.float32
        assert one.valid.all() and one.occluded.dtype == one.valid.dtype == torch.bool
        assert one.flow.norm(dim=0).max() <= 10.0
        assert one.first.float().std() > 15  # there is something to match


def test_motion_and_occlusion_have_the_intended_spread(scenes):
    speed = torch.cat([one.flow.norm(dim=0).flatten() for one in scenes])
    hidden = torch.tensor([one.occluded.float().mean() for one in scenes])
    assert 2 < speed.mean() < 6 and speed.quantile(0.99) > 8
    assert 0.02 < hidden.mean() < 0.2 and hidden.max() < 0.5


@pytest.mark.parametrize("flavour", moving.FLAVOURS)
def test_the_flow_leads_from_one_image_to_the_other(flavour):
    few = [moving.scene(3, "test", number, SIZE, flavour=flavour) for number in range(6)]
    share = 0.35 if "leaves" in flavour else 0.25  # `warped` interpolates over their sharp edges
    right = [mismatch(one, one.flow) for one in few]
    for turned in (0 * few[0].flow, None):
        wrong = [mismatch(one, -one.flow if turned is None else turned) for one in few]
        assert sum(right) < share * sum(wrong)
    swapped = [mismatch(one, one.flow.flip(0)) for one in few]
    assert sum(right) < share * sum(swapped)


@pytest.mark.parametrize(
    "flavour, most, frames",
    [
        ("layers", 10.0, 2),
        ("layers", 10.0, 3),
        ("layers", 30.0, 4),
        ("kitti", 20.0, 2),
        ("kitti", 40.0, 2),
    ],
)
def test_flow_is_exact_to_a_twentieth_of_a_pixel(flavour, most, frames):
    y, x = np.indices(SIZE, dtype="f4").reshape(2, -1)
    for seed in range(6):
        layers = moving._Layers(np.random.default_rng(seed), SIZE, most, flavour, frames)
        for t in range(frames - 1):
            layer, p = layers.view(t)
            target = np.stack([x, y]) + layers.flow(layer, p, t)[0]
            within = (target >= 0).all(0) & (target[0] < SIZE[1]) & (target[1] < SIZE[0])
            for k in range(layers.count):
                here = (layer == k) & within
                again = layers.origin(
                    k, target[:, here], t + 1
                )  # the point that frame t + 1 shows there
                assert np.abs(again - p[:, here]).max(initial=0) < 0.05


def test_occlusion_is_where_the_second_frame_shows_another_layer():
    layers = moving._Layers(np.random.default_rng(6), SIZE, 8.0, "layers")
    layer, p = layers.view(0)
    moved, occluded = layers.flow(layer, p, 0)
    y, x = np.indices(SIZE, dtype="f4").reshape(2, -1)
    right, down = x + moved[0], y + moved[1]
    within = (right >= 0) & (right <= SIZE[1] - 1) & (down >= 0) & (down <= SIZE[0] - 1)
    assert occluded[~within].all()
    shown = layers.view(1)[0].reshape(SIZE)[
        np.rint(down[within]).astype(int), np.rint(right[within]).astype(int)
    ]
    agree = (shown != layer[within]) == occluded[within]
    assert agree.mean() > 0.97  # all but the half pixel along the edges that rounding moves
    assert 0.01 < occluded[within].mean() < 0.5
    assert (layer[within & occluded] < layers.count - 1).all()  # nothing is above the top layer


def test_same_seed_same_bytes_whatever_was_made_before(scenes):
    again = moving.scene(0, "train", 7, SIZE)
    assert all(torch.equal(a, b) for a, b in zip(again, scenes[7]))
    assert moving.pairs_batch("train", 24, SIZE) is scenes
    assert torch.equal(moving.pairs_batch("train", 3, SIZE)[2].second, scenes[2].second)
    others = [
        moving.scene(1, "train", 7, SIZE),
        moving.scene(0, "val", 7, SIZE),
        moving.scene(0, "train", 8, SIZE),
    ]
    assert not any(torch.equal(one.first, again.first) for one in others)


def test_kitti_flavour_drives_ahead_and_is_sparse():
    few = [moving.scene(0, "train", number, SIZE, 20.0, "kitti") for number in range(12)]
    known = torch.stack([one.valid for one in few]).float()
    assert 0.2 < known.mean() < 0.3 and not known[:, :10].any()
    for one in few:
        assert not one.flow[:, ~one.valid].any() and not (one.occluded & ~one.valid).any()
    left = torch.cat([one.flow[0, 40:, :20][one.valid[40:, :20]] for one in few]).mean()
    right = torch.cat([one.flow[0, 40:, -20:][one.valid[40:, -20:]] for one in few]).mean()
    down = torch.cat([one.flow[1, 50:][one.valid[50:]] for one in few]).mean()
    assert left < -1 and right > 1 and down > 1  # everything moves away from the focus


@pytest.mark.parametrize(
    "change, words",
    [
        ({"split": "trian"}, "no split 'trian'. Did you mean 'train'"),
        ({"flavour": "city"}, "no flavour of scenes 'city'"),
        ({"size": (8, 96)}, "needs 16 pixels"),
        ({"max_motion": 0.0}, "a motion above 0"),
    ],
)
def test_what_cannot_be_made_is_said(change, words):
    with pytest.raises(HKTError, match=words):
        moving.scene(**{"seed": 0, "split": "train", "number": 0, "size": SIZE, **change})


def test_sintel_layout_is_read_back_equal(tmp_path):
    assert (
        writers.write_sintel(tmp_path, scenes=5, frames=3, size=SIZE, seed=4) == tmp_path / "Sintel"
    )
    for corpus in ("sintel-clean", "sintel-final"):
        found = flow.pairs(tmp_path, corpus)
        flow.check(found)
        assert [pair.name for pair in found] == [
            f"moving_{s}/frame_{f:04d}" for s in range(1, 6) for f in (1, 2)
        ]
        assert {pair.scene for pair in flow.split(corpus, found, "val")} == {"moving_5"}
        made = moving.sequence(4, "train", 2, SIZE, frames=3)[1]
        read = flow.read(found[5])
        assert (
            torch.equal(read.flow, made.flow)
            and torch.equal(read.occluded, made.occluded)
            and read.valid.all()
        )
        same = torch.equal(read.first, made.first), torch.equal(read.second, made.second)
        assert same == ((True, True) if corpus == "sintel-clean" else (False, False))
        assert mismatch(read, read.flow) < 0.4 * mismatch(read, 0 * read.flow)
    middle = flow.read(flow.pairs(tmp_path, "sintel-clean")[0]).second
    assert torch.equal(middle, flow.read(flow.pairs(tmp_path, "sintel-clean")[1]).first)


def test_kitti_layout_is_read_back_equal(tmp_path):
    writers.write_kitti(tmp_path, count=5, size=SIZE, seed=4)
    found = flow.pairs(tmp_path, "kitti2015")
    flow.check(found)
    assert [pair.scene for pair in flow.split("kitti2015", found, "val")] == ["900004"] and len(
        found
    ) == 5
    for number, pair in enumerate(found):
        made, read = moving.scene(4, "train", number, SIZE, 20.0, "kitti"), flow.read(pair)
        assert all(
            torch.equal(a, b)
            for a, b in zip(
                (read.first, read.second, read.valid, read.occluded),
                (made.first, made.second, made.valid, made.occluded),
            )
        )
        assert (read.flow - made.flow).abs().max() <= 1 / 128  # the format's rounding
