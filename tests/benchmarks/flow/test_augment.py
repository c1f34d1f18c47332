"""RAFT's augmentation: what it does to the images it does to the flow, the same draw for the same (seed, epoch, index)."""

import pytest
import torch
from torch.nn.functional import grid_sample

from hkt_lite.benchmarks.flow import synthetic as moving
from hkt_lite.benchmarks.flow.augment import RECIPES, FlowAugment, scatter_resize
from hkt_lite.benchmarks.flow.data import Sample

SIZE, CROP = (96, 128), (64, 88)
BARE = {"photometric": False, "eraser": 0.0}


@pytest.fixture(scope="module")
def scenes():
    return [moving.scene(0, "train", number, SIZE) for number in range(8)]


def mismatch(first, second, flow, valid):
    """Mean difference of image 1 and image 2 looked up along the flow, where that is valid and inside."""
    height, width = valid.shape
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    where = torch.stack([(x + flow[0]) / (width - 1), (y + flow[1]) / (height - 1)], -1) * 2 - 1
    looked = grid_sample(second[None], where[None], align_corners=True)[0]
    return (looked - first).abs().mean(0)[valid & (where.abs() <= 1).all(-1)].mean().item()


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_flow_still_leads_from_one_image_to_the_other(scenes, recipe):
    augment = FlowAugment(CROP, 1, **RECIPES[recipe], **BARE)
    right, still, turned = 0.0, 0.0, [0.0, 0.0]
    for index, sample in enumerate(scenes):
        if RECIPES[recipe].get("sparse"):
            sample = sample._replace(
                valid=torch.rand(SIZE, generator=torch.Generator().manual_seed(index)) < 0.3
            )
        for epoch in range(4):
            first, second, flow, valid = augment(
                sample._replace(valid=sample.valid & ~sample.occluded), index, epoch
            )
            right += mismatch(first, second, flow, valid)
            still += mismatch(first, second, 0 * flow, valid)
            for axis, sign in enumerate(([-1.0, 1.0], [1.0, -1.0])):
                turned[axis] += mismatch(
                    first, second, flow * torch.tensor(sign)[:, None, None], valid
                )
    assert right < 0.3 * still and right < 0.4 * min(turned)


def test_shapes_ranges_and_determinism(scenes):
    for recipe in RECIPES.values():
        augment = FlowAugment(CROP, 0, **recipe)
        first, second, flow, valid = out = augment(scenes[0], 5, 2)
        assert (
            first.shape == second.shape == (3, *CROP)
            and flow.shape == (2, *CROP)
            and valid.shape == CROP
        )
        assert (
            first.dtype == second.dtype == flow.dtype == torch.float32 and valid.dtype == torch.bool
        )
        assert (
            -1 <= min(first.min(), second.min())
            and max(first.max(), second.max()) <= 1
            and first.std() > 0.05
        )
        torch.rand(7)  # nobody else's random numbers matter
        augment(scenes[1], 6, 2)
        assert all(
            torch.equal(a, b) for a, b in zip(out, FlowAugment(CROP, 0, **recipe)(scenes[0], 5, 2))
        )
        for other in (
            augment(scenes[0], 5, 3),
            augment(scenes[0], 6, 2),
            FlowAugment(CROP, 1, **recipe)(scenes[0], 5, 2),
        ):
            assert not torch.equal(other[0], first)


def test_the_sample_is_not_changed(scenes):
    before = [part.clone() for part in scenes[0]]
    for epoch in range(6):
        FlowAugment(CROP, 0)(scenes[0], 0, epoch)
    assert all(torch.equal(a, b) for a, b in zip(before, scenes[0]))


@pytest.mark.parametrize(
    "flips, axis, sign", [((1.0, 0.0), -1, (-1.0, 1.0)), ((0.0, 1.0), -2, (1.0, -1.0))]
)
def test_a_flip_turns_images_flow_and_the_right_component(scenes, flips, axis, sign):
    sample = scenes[0]._replace(valid=torch.rand(SIZE) < 0.5)
    first, second, flow, valid = FlowAugment(SIZE, 0, flips=flips, spatial=0.0, **BARE)(
        sample, 0, 0
    )
    assert torch.equal(first, (sample.first / 127.5 - 1).flip(axis)) and torch.equal(
        second, (sample.second / 127.5 - 1).flip(axis)
    )
    assert torch.equal(
        flow, sample.flow.flip(axis) * torch.tensor(sign)[:, None, None]
    ) and torch.equal(valid, sample.valid.flip(axis))


def test_without_anything_to_draw_it_is_the_identity(scenes):
    first, second, flow, valid = FlowAugment(SIZE, 0, flips=(0, 0), spatial=0.0, **BARE)(
        scenes[2], 0, 0
    )
    assert (
        torch.equal(first, scenes[2].first / 127.5 - 1)
        and torch.equal(flow, scenes[2].flow)
        and valid.all()
    )


@pytest.mark.parametrize("sparse", [False, True])
def test_zoom_multiplies_the_flow(sparse):
    image = torch.zeros(3, 40, 60, dtype=torch.uint8)
    flow = torch.tensor([3.0, -2.0])[:, None, None].expand(2, 40, 60)
    sample = Sample(image, image, flow, torch.ones(40, 60, dtype=torch.bool))
    augment = FlowAugment(
        (40, 60), 0, sparse, scale=(1.0, 1.0), stretch=0.0, spatial=1.0, flips=(0, 0), **BARE
    )
    _, _, flow, valid = augment(sample, 0, 0)
    assert valid.float().mean() == pytest.approx(0.25 if sparse else 1.0, abs=0.02)
    assert (flow[0][valid] == 6).all() and (flow[1][valid] == -4).all()


@pytest.mark.parametrize(
    "size, crop",
    [((50, 128), (64, 88)), ((96, 60), (64, 88)), ((20, 30), (64, 88)), ((63, 88), (64, 88))],
)
@pytest.mark.parametrize("sparse", [False, True])
def test_an_image_below_the_crop_is_enlarged_just_enough(size, crop, sparse):
    image = torch.randint(0, 255, (3, *size), dtype=torch.uint8)
    flow = torch.ones(2, *size)
    augment = FlowAugment(crop, 0, sparse, spatial=0.0, flips=(0, 0), **BARE)
    first, _, flow, valid = augment(
        Sample(image, image, flow, torch.ones(size, dtype=torch.bool)), 0, 0
    )
    zoom = max(crop[0] / size[0], crop[1] / size[1])
    assert first.shape == (3, *crop) and valid.any()
    assert flow[:, valid].min() == pytest.approx(zoom, rel=0.02) and flow[
        :, valid
    ].max() == pytest.approx(zoom, rel=0.02)


def test_zoom_stretch_and_crop_are_drawn_from_their_limits():
    ramp = torch.arange(200.0).repeat(150, 1).clamp(max=255).to(torch.uint8).expand(3, -1, -1)
    sample = Sample(ramp, ramp, torch.ones(2, 150, 200), torch.ones(150, 200, dtype=torch.bool))
    augment = FlowAugment((40, 50), 0, scale=(-0.5, 0.5), stretch=0.2, flips=(0, 0), **BARE)
    zoom = torch.stack([augment(sample, index, 0)[2][:, 0, 0] for index in range(200)]).log2()
    assert -0.72 < zoom.min() < -0.5 and 0.5 < zoom.max() < 0.72
    assert 0.1 < (zoom == 0).all(1).float().mean() < 0.3  # one in five keeps its size
    assert 0.05 < (zoom[:, 0] - zoom[:, 1]).abs().max() <= 0.42
    assert zoom.mean().abs() < 0.08


def test_a_stretch_multiplies_each_component_by_its_own_zoom():
    x, y = (
        part.to(torch.uint8).expand(3, 60, 80)
        for part in (torch.arange(80).repeat(60, 1), torch.arange(60)[:, None].repeat(1, 80))
    )
    augment, apart = (
        FlowAugment((40, 50), 0, scale=(0.3, 0.3), stretch=0.3, spatial=1.0, flips=(0, 0), **BARE),
        0.0,
    )
    for index in range(8):
        across, down, flow, _ = augment(
            Sample(x, y, torch.ones(2, 60, 80), torch.ones(60, 80, dtype=torch.bool)), index, 0
        )
        zoom = 1 / torch.stack(
            [(across[0].diff(dim=1) * 127.5).median(), (down[0].diff(dim=0) * 127.5).median()]
        )  # pixels that one became
        assert torch.allclose(flow[:, 20, 25], zoom, rtol=0.03)
        apart = max(apart, (zoom[0] / zoom[1] - 1).abs().item())
    assert apart > 0.15


def test_invalid_and_very_fast_pixels_never_become_valid():
    image, valid = torch.zeros(3, 60, 80, dtype=torch.uint8), torch.ones(60, 80, dtype=torch.bool)
    flow = torch.ones(2, 60, 80)
    valid[20:30, 20:50], flow[:, 20:30, 20:50], flow[1, 40:44] = False, 500.0, 1200.0
    for sparse in (False, True):
        augment = FlowAugment((40, 60), 0, sparse, spatial=1.0, **BARE)
        for epoch in range(10):
            _, _, moved, known = augment(Sample(image, image, flow, valid), 0, epoch)
            assert moved[:, known].abs().max() < 2.5 and 0.1 < known.float().mean() < 1


def test_the_eraser_hides_parts_of_the_second_image_only(scenes):
    augment = FlowAugment(SIZE, 0, photometric=False, eraser=1.0, spatial=0.0, flips=(0, 0))
    shares = []
    for index, sample in enumerate(scenes):
        first, second, flow, _ = augment(sample, index, 0)
        assert torch.equal(first, sample.first / 127.5 - 1) and torch.equal(flow, sample.flow)
        hidden = (second != sample.second / 127.5 - 1).any(0)
        shares.append(hidden.float().mean().item())
        assert len(second[:, hidden].T.unique(dim=0)) == 1  # one colour, the mean
    assert 0 < max(shares) < 0.15 and sum(map(bool, shares)) > 5


def test_colours_change_together_four_times_in_five_and_always_when_sparse(scenes):
    sample = scenes[0]._replace(second=scenes[0].first)
    for sparse, low, high in ((False, 0.65, 0.95), (True, 1.0, 1.0)):
        augment = FlowAugment(SIZE, 0, sparse, eraser=0.0, spatial=0.0, flips=(0, 0))
        pairs = [augment(sample, index, 0)[:2] for index in range(40)]
        assert low <= sum(torch.equal(*pair) for pair in pairs) / 40 <= high
        levels = torch.tensor([pair[0].mean() for pair in pairs])
        assert levels.std() > 0.05 and len(levels.unique()) == 40


def test_scattered_vectors_go_to_the_nearest_pixel():
    flow, valid = torch.zeros(2, 4, 6), torch.zeros(4, 6, dtype=torch.bool)
    flow[:, 1, 2], flow[:, 3, 5] = torch.tensor([2.0, 4.0]), torch.tensor([-6.0, 8.0])
    valid[1, 2] = valid[3, 5] = True
    larger, known = scatter_resize(flow, valid, (8, 9))
    assert known.nonzero().tolist() == [[3, 3], [7, 8]]  # (1.5, 2.5) * (2, 1.5) = (3, 3.75)
    assert (
        larger[:, 3, 3].tolist() == [3.0, 8.0]
        and larger[:, 7, 8].tolist() == [-9.0, 16.0]
        and larger.count_nonzero() == 4
    )
    smaller, known = scatter_resize(flow, torch.ones_like(valid), (2, 3))
    assert (
        known.all()
        and smaller[:, 1, 2].tolist() == [-3.0, 4.0]
        and smaller[:, 0, 1].tolist() == [0.0, 0.0]
    )
    assert not scatter_resize(flow, torch.zeros_like(valid), (8, 9))[1].any()
