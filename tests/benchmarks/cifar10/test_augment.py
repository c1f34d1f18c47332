"""Augment against one image at a time in plain Python; a view depends on image and view number alone."""

from types import SimpleNamespace

import pytest
import torch

from hkt_lite.benchmarks.cifar10.augment import PADDING, Augment
from hkt_lite.config import stream

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(1)
    return SimpleNamespace(
        x=torch.randint(0, 256, (40, 3, 32, 32), dtype=torch.uint8, generator=generator)
    )


def one_by_one(images, seed, index, view):
    """Pad, crop, flip and normalise image after image; offsets from the documented stream."""
    generator, n = stream(seed, "augment", view), len(images.x)
    top, left = (
        torch.randint(2 * PADDING + 1, (n,), generator=generator).tolist() for _ in range(2)
    )
    mirrored = torch.randint(2, (n,), generator=generator).tolist()
    out = []
    for k in index:
        padded = torch.zeros(3, 32 + 2 * PADDING, 32 + 2 * PADDING)
        padded[:, PADDING:-PADDING, PADDING:-PADDING] = images.x[k].float()
        crop = padded[:, top[k] : top[k] + 32, left[k] : left[k] + 32]
        if mirrored[k]:
            crop = torch.stack([crop[:, :, 31 - column] for column in range(32)], 2)
        out.append(torch.stack([(crop[c] / 255 - MEAN[c]) / STD[c] for c in range(3)]))
    return torch.stack(out)


@pytest.mark.parametrize("seed, view", [(0, 0), (0, 3), (7, 1)])
def test_equals_one_image_at_a_time(images, seed, view):
    index = torch.tensor([5, 0, 39, 17, 5, 22])
    got = Augment(images, seed, MEAN, STD).batch(index, view)
    torch.testing.assert_close(
        got, one_by_one(images, seed, index.tolist(), view), rtol=0, atol=2e-6
    )


def test_every_offset_and_both_directions_occur():
    many = SimpleNamespace(x=torch.zeros(3000, 3, 32, 32, dtype=torch.uint8))
    many.x[:, :, 16, 12] = 255  # one lit pixel tells offset and direction
    lit = (
        Augment(many, 0, (0,) * 3, (1,) * 3).batch(torch.arange(3000), 0)[:, 0].flatten(1).argmax(1)
    )
    rows, columns = lit // 32, lit % 32
    assert set(rows.tolist()) == set(range(12, 21))
    assert set(columns.tolist()) == set(range(8, 17)) | set(range(15, 24))
    assert (
        0.45
        < (columns >= 17).float().mean() / ((columns >= 17) | (columns < 15)).float().mean()
        < 0.55
    )


def test_plain_is_only_normalised(images):
    got = Augment(images, 0, MEAN, STD).plain(torch.tensor([3, 1]))
    expected = (images.x[[3, 1]].float() / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(
        STD
    ).view(3, 1, 1)
    torch.testing.assert_close(got, expected, rtol=0, atol=2e-6)
    assert got.dtype == torch.float32 and got.shape == (2, 3, 32, 32)


def test_a_view_does_not_depend_on_order_or_company(images):
    one, other = Augment(images, 0, MEAN, STD), Augment(images, 0, MEAN, STD)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(2))
    together = one.batch(torch.arange(40), 4)
    other.batch(order, 1)
    assert torch.equal(
        torch.cat([other.batch(part, 4) for part in order.split(7)]), together[order]
    )


def test_views_and_seeds_differ(images):
    index, one = torch.arange(40), Augment(images, 0, MEAN, STD)
    assert not torch.equal(one.batch(index, 0), one.batch(index, 3))
    assert not torch.equal(one.batch(index, 0), Augment(images, 1, MEAN, STD).batch(index, 0))


def test_source_images_are_left_alone(images):
    before = images.x.clone()
    batch = Augment(images, 0, MEAN, STD).batch(torch.arange(40), 0)
    batch.zero_()
    assert torch.equal(images.x, before)


def test_channels_last_is_asked_for_at_no_cost(images):
    batch = Augment(images, 0, MEAN, STD).batch(torch.arange(8), 0)
    assert batch.contiguous(memory_format=torch.channels_last).data_ptr() == batch.data_ptr()
