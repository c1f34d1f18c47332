"""RAFT's augmentation for pairs of images with flow: colours, an eraser, scale, flips, crop.

    augment = FlowAugment(crop=(96, 128), seed=0, **RECIPES["sintel"])
    image1, image2, flow, valid = augment(sample, index, epoch)

After Teed and Deng (2020), appendix, and their core/utils/augmentor.py.  What an example becomes
depends on (seed, epoch, index) alone, in whatever order and batch it is asked for.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ... import torchvision
from ...config import stream
from .data import Sample

RECIPES = {  # of RAFT's training stages, by corpus
    "chairs": {"scale": (-0.1, 1.0)},
    "things": {"scale": (-0.4, 0.8)},
    "sintel": {"scale": (-0.2, 0.6)},
    "kitti": {"scale": (-0.2, 0.4), "sparse": True, "flips": (0.0, 0.0)},
    "hd1k": {"scale": (-0.5, 0.2), "sparse": True, "flips": (0.5, 0.0)},
}
FASTEST = 1000  # pixels: faster flow is not learnt from, as in RAFT
ERASED = (50, 100)  # sides of an erased rectangle, in pixels of a crop of at least …
ERASER_CROP = 368  # … this height; smaller crops get smaller rectangles
CHANGES = ("brightness", "contrast", "saturation", "hue")
JITTER = (0.4, 0.4, 0.4, 0.5 / 3.14)  # the most of each
SPARSE_JITTER = (0.3, 0.3, 0.3, 0.3 / 3.14)
Fields = tuple[Tensor, Tensor, Tensor]  # images (2, 3, H, W), flow (2, H, W), valid (H, W)


class _Draw:
    """Random numbers of one example in one epoch."""

    def __init__(self, seed: int, epoch: int, index: int):
        self.generator = stream(seed, "augment", int(epoch), int(index))

    def __call__(self, low: float, high: float) -> float:
        share = torch.rand((), generator=self.generator, dtype=torch.float64).item()
        return low + (high - low) * share

    def chance(self, probability: float) -> bool:
        return self(0, 1) < probability

    def integer(self, low: int, end: int) -> int:
        return int(torch.randint(low, end, (), generator=self.generator))


@dataclass
class FlowAugment:
    """(sample, index, epoch) -> image1, image2 (3, h, w) in [-1, 1], flow (2, h, w), valid (h, w).

    A sample smaller than the crop is enlarged just enough.  `sparse` is RAFT's variant for KITTI
    and HD1K: no stretch, weaker colours alike in both images, each known vector moved to its
    nearest pixel, a crop drawn beyond the border and pushed back.
    """

    crop: tuple[int, int]  # (h, w), pixels
    seed: int
    sparse: bool = False
    scale: tuple[float, float] = (-0.2, 0.5)  # limits of log2 of the zoom
    stretch: float = 0.2  # most log2 that an axis' zoom may differ by
    spatial: float = 0.8  # probability of a zoom
    flips: tuple[float, float] = (0.5, 0.1)  # probability of left-right, of up-down
    photometric: bool = True  # whether colours are jittered
    eraser: float = 0.5  # probability that parts of image 2 are hidden

    def __call__(self, sample: Sample, index: int, epoch: int) -> tuple[Tensor, ...]:
        draw = _Draw(self.seed, epoch, index)
        first, second = self._colours(draw, sample.first, sample.second)
        images = torch.stack([first, self._erased(draw, second)]).float()
        valid = sample.valid & (sample.flow.abs() < FASTEST).all(0)
        fields = self._scaled(draw, images, sample.flow, valid)
        fields = self._flipped(draw, *fields)
        images, flow, valid = self._cropped(draw, *fields)
        first, second = images / 127.5 - 1
        return first, second, flow.contiguous(), valid.contiguous()

    def _jittered(self, draw: _Draw, image: Tensor) -> Tensor:
        """torchvision's ColorJitter with our own random numbers: four changes in random order."""
        change = torchvision().transforms.functional
        limits = SPARSE_JITTER if self.sparse else JITTER
        amounts = [draw(-most, most) for most in limits]
        for k in torch.randperm(len(amounts), generator=draw.generator).tolist():
            adjust = getattr(change, f"adjust_{CHANGES[k]}")
            image = adjust(image, amounts[k] if CHANGES[k] == "hue" else 1 + amounts[k])
        return image

    def _colours(self, draw: _Draw, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        if not self.photometric:
            return first, second
        if draw.chance(0.0 if self.sparse else 0.2):
            return self._jittered(draw, first), self._jittered(draw, second)
        both = torch.cat([first, second], 1)  # one above the other: one mean for the contrast
        return self._jittered(draw, both).chunk(2, 1)

    def _erased(self, draw: _Draw, image: Tensor) -> Tensor:
        """One or two rectangles take the mean colour, as if something had come in front."""
        if not draw.chance(self.eraser):
            return image
        image, (height, width) = image.clone(), image.shape[1:]
        colour = image.float().mean((1, 2)).to(image.dtype)[:, None, None]
        share = min(1.0, min(self.crop) / ERASER_CROP)
        low, high = (max(1, round(side * share)) for side in ERASED)
        for _ in range(draw.integer(1, 3)):
            left, top = draw.integer(0, width), draw.integer(0, height)
            wide, tall = draw.integer(low, high + 1), draw.integer(low, high + 1)
            image[:, top : top + tall, left : left + wide] = colour
        return image

    def _size(self, draw: _Draw, height: int, width: int) -> tuple[int, int]:
        """Size after the zoom, never below the crop."""
        zoom, across, down = draw(*self.scale), 0.0, 0.0
        if draw.chance(0.8):
            stretch = 0.0 if self.sparse else self.stretch
            across, down = draw(-stretch, stretch), draw(-stretch, stretch)
        if not draw.chance(self.spatial):
            zoom = across = down = 0.0
        tall, wide = round(height * 2 ** (zoom + down)), round(width * 2 ** (zoom + across))
        if tall < self.crop[0] or wide < self.crop[1]:  # enlarge both axes alike: shapes stay
            least = max(self.crop[0] / height, self.crop[1] / width)
            tall, wide = max(tall, round(height * least)), max(wide, round(width * least))
        return tall, wide

    def _scaled(self, draw: _Draw, images: Tensor, flow: Tensor, valid: Tensor) -> Fields:
        height, width = valid.shape
        size = self._size(draw, height, width)
        if size == (height, width):
            return images, flow, valid
        images = interpolate(images, size, mode="bilinear", align_corners=False)
        if self.sparse:
            return images, *scatter_resize(flow, valid, size)
        factor = torch.tensor([size[1] / width, size[0] / height])[:, None, None]
        flow, known = (
            interpolate(x[None].float(), size, mode="bilinear", align_corners=False)[0]
            for x in (flow, valid[None])
        )
        return images, flow * factor, known[0] > 0.999  # a mean with an unknown vector is unknown

    def _flipped(self, draw: _Draw, images: Tensor, flow: Tensor, valid: Tensor) -> Fields:
        signs = torch.tensor([[-1.0, 1.0], [1.0, -1.0]])[:, :, None, None]
        for axis, probability, sign in zip((-1, -2), self.flips, signs):
            if draw.chance(probability):
                images, valid = images.flip(axis), valid.flip(axis)
                flow = flow.flip(axis) * sign
        return images, flow, valid

    def _cropped(self, draw: _Draw, images: Tensor, flow: Tensor, valid: Tensor) -> Fields:
        tall, wide = self.crop
        down, across = valid.shape[0] - tall, valid.shape[1] - wide
        below, beside = (20, 50) if self.sparse else (0, 0)  # so that borders are not seen less
        top = min(draw.integer(0, down + below + 1), down)
        left = min(max(draw.integer(-beside, across + beside + 1), 0), across)
        return tuple(x[..., top : top + tall, left : left + wide] for x in (images, flow, valid))


def scatter_resize(flow: Tensor, valid: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Sparse flow (2, H, W) in pixels and valid (H, W) at another size (h, w): each known vector
    goes to the pixel nearest to where its own goes; where two meet the later one stays."""
    (height, width), (tall, wide) = valid.shape, size
    factor = torch.tensor([wide / width, tall / height])
    y, x = valid.nonzero().T
    place = ((torch.stack([x, y], 1) + 0.5) * factor).long()  # the pixel of a point: whole part
    column, row = place[:, 0].clamp(max=wide - 1), place[:, 1].clamp(max=tall - 1)
    last = torch.full((tall * wide,), -1)
    last = last.scatter_reduce(0, row * wide + column, torch.arange(len(x)), "amax")
    resized, known = torch.zeros(2, tall * wide), last >= 0
    resized[:, known] = flow[:, y, x][:, last[known]] * factor[:, None]
    return resized.reshape(2, *size), known.reshape(size)
