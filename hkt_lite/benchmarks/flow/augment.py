"""RAFT's augmentation for pairs of images with flow: colours, an eraser, scale, flips, crop (Teed and Deng 2020, appendix; their augmentor.py).

    augment = FlowAugment(crop=(96, 128), seed=0, **RECIPES["sintel"])
    image1, image2, flow, valid = augment(sample, index, epoch) # float in [-1, 1], flow in pixels of the crop

What an example becomes depends on (seed, epoch, index) alone, in whatever order and batch it is asked for.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ...config import HKTError, stream

RECIPES = {  # of RAFT's training stages, by corpus: powers of two the scale is drawn from
    "chairs": {"scale": (-0.1, 1.0)},
    "things": {"scale": (-0.4, 0.8)},
    "sintel": {"scale": (-0.2, 0.6)},
    "kitti": {"scale": (-0.2, 0.4), "sparse": True, "flips": (0.0, 0.0)},
    "hd1k": {"scale": (-0.5, 0.2), "sparse": True, "flips": (0.5, 0.0)},
}
FASTEST = 1000  # pixels: faster flow is not learnt from, as in RAFT
ERASED = (50, 100)  # sides of an erased rectangle, in pixels of a crop of at least …
ERASER_CROP = 368  # … this height; smaller crops get smaller rectangles


class FlowAugment:
    """Callable (sample, index, epoch) -> image1, image2 float32 (3, h, w) in [-1, 1], flow float32 (2, h, w), valid bool (h, w).

    crop: (h, w) in pixels.  scale: limits of log2 of the zoom, which `spatial` of the samples get; a sample smaller than the crop is always
    enlarged just enough.  stretch: most log2 by which the axes may differ.  flips: probability of left-right and of up-down.  photometric:
    whether colours are jittered.  eraser: probability that parts of image 2 are hidden.
    `sparse` is RAFT's variant for KITTI and HD1K: no stretch, weaker colours that are the same for both images, each known vector moved to its
    nearest pixel instead of interpolated, a crop drawn beyond the border and pushed back.  Raises HKTError for a crop without pixels.
    """

    def __init__(
        self,
        crop: tuple[int, int],
        seed: int,
        sparse: bool = False,
        scale: tuple[float, float] = (-0.2, 0.5),
        stretch: float = 0.2,
        spatial: float = 0.8,
        flips: tuple[float, float] = (0.5, 0.1),
        photometric: bool = True,
        eraser: float = 0.5,
    ):
        if len(crop) != 2 or min(crop) < 1 or scale[0] > scale[1]:
            raise HKTError(
                f"An augmentation needs a crop (height, width) and a scale (low, high), got {tuple(crop)} and {tuple(scale)}."
            )
        self.crop, self.seed, self.sparse, self.scale, self.spatial, self.flips = (
            tuple(crop),
            seed,
            sparse,
            scale,
            spatial,
            flips,
        )
        self.stretch = 0.0 if sparse else stretch
        self.photometric, self.eraser = photometric, eraser
        self.jitter = (
            (0.3, 0.3, 0.3, 0.3 / 3.14) if sparse else (0.4, 0.4, 0.4, 0.5 / 3.14)
        )  # brightness, contrast, saturation, hue
        self.asymmetric = 0.0 if sparse else 0.2

    def __call__(self, sample, index: int, epoch: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        draw = _Draw(self.seed, epoch, index)
        first, second = self._colours(draw, sample.first, sample.second)
        second = self._erased(draw, second)
        flow, valid = sample.flow, sample.valid & (sample.flow.abs() < FASTEST).all(0)
        images, flow, valid = self._scaled(draw, torch.stack([first, second]).float(), flow, valid)
        images, flow, valid = self._flipped(draw, images, flow, valid)
        images, flow, valid = self._cropped(draw, images, flow, valid)
        first, second = images / 127.5 - 1
        return first, second, flow.contiguous(), valid.contiguous()

    # -- colours --

    def _jittered(self, draw: _Draw, image: Tensor) -> Tensor:
        """ColorJitter of torchvision with our own random numbers: uint8 (3, H, W), the four changes in random order."""
        from ... import torchvision

        change = torchvision().transforms.functional
        brightness, contrast, saturation, hue = (draw(-most, most) for most in self.jitter)
        steps = [
            lambda x: change.adjust_brightness(x, 1 + brightness),
            lambda x: change.adjust_contrast(x, 1 + contrast),
            lambda x: change.adjust_saturation(x, 1 + saturation),
            lambda x: change.adjust_hue(x, hue),
        ]
        for k in draw.order(len(steps)):
            image = steps[k](image)
        return image

    def _colours(self, draw: _Draw, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        if not self.photometric:
            return first, second
        if draw.chance(self.asymmetric):
            return self._jittered(draw, first), self._jittered(draw, second)
        return self._jittered(draw, torch.cat([first, second], 1)).chunk(
            2, 1
        )  # one above the other: one contrast for both

    def _erased(self, draw: _Draw, image: Tensor) -> Tensor:
        """One or two rectangles of image 2 take its mean colour, as if something had come in front."""
        if not draw.chance(self.eraser):
            return image
        image, (height, width) = image.clone(), image.shape[1:]
        colour = image.float().mean((1, 2)).to(image.dtype)[:, None, None]
        low, high = (
            max(1, round(side * min(1.0, min(self.crop) / ERASER_CROP))) for side in ERASED
        )
        for _ in range(draw.integer(1, 3)):
            left, top = draw.integer(0, width), draw.integer(0, height)
            wide, tall = draw.integer(low, high + 1), draw.integer(low, high + 1)
            image[:, top : top + tall, left : left + wide] = colour
        return image

    # -- geometry --

    def _size(self, draw: _Draw, height: int, width: int) -> tuple[int, int]:
        """Size after the zoom, never below the crop."""
        zoom, across, down = draw(*self.scale), 0.0, 0.0
        if draw.chance(0.8):
            across, down = draw(-self.stretch, self.stretch), draw(-self.stretch, self.stretch)
        if not draw.chance(self.spatial):
            zoom = across = down = 0.0
        tall, wide = round(height * 2 ** (zoom + down)), round(width * 2 ** (zoom + across))
        if tall < self.crop[0] or wide < self.crop[1]:
            least = max(
                self.crop[0] / height, self.crop[1] / width
            )  # enlarge both axes alike: shapes stay
            tall, wide = max(tall, round(height * least)), max(wide, round(width * least))
        return max(tall, self.crop[0]), max(wide, self.crop[1])

    def _scaled(
        self, draw: _Draw, images: Tensor, flow: Tensor, valid: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
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

    def _flipped(
        self, draw: _Draw, images: Tensor, flow: Tensor, valid: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        for axis, probability, sign in (
            (-1, self.flips[0], (-1.0, 1.0)),
            (-2, self.flips[1], (1.0, -1.0)),
        ):
            if draw.chance(probability):
                images, flow, valid = (
                    images.flip(axis),
                    flow.flip(axis) * torch.tensor(sign)[:, None, None],
                    valid.flip(axis),
                )
        return images, flow, valid

    def _cropped(
        self, draw: _Draw, images: Tensor, flow: Tensor, valid: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        down, across = (side - kept for side, kept in zip(valid.shape, self.crop))
        beyond = (20, 50) if self.sparse else (0, 0)  # so that the borders are not seen less
        top = min(max(draw.integer(0, down + beyond[0] + 1), 0), down)
        left = min(max(draw.integer(-beyond[1], across + beyond[1] + 1), 0), across)
        return tuple(
            x[..., top : top + self.crop[0], left : left + self.crop[1]]
            for x in (images, flow, valid)
        )


class _Draw:
    """Random numbers of one example in one epoch."""

    def __init__(self, seed: int, epoch: int, index: int):
        self.generator = stream(seed, "augment", int(epoch), int(index))

    def __call__(self, low: float, high: float) -> float:
        return (
            low
            + (high - low) * torch.rand((), generator=self.generator, dtype=torch.float64).item()
        )

    def chance(self, probability: float) -> bool:
        return self(0, 1) < probability

    def integer(self, low: int, end: int) -> int:
        return int(torch.randint(low, end, (), generator=self.generator))

    def order(self, count: int) -> list[int]:
        return torch.randperm(count, generator=self.generator).tolist()


def scatter_resize(flow: Tensor, valid: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Sparse flow (2, H, W) and valid (H, W) at another size (h, w): each known vector goes to the pixel nearest to where its own goes.

    Interpolation would mix known with unknown.  Where two meet the later one in reading order stays.
    """
    height, width = valid.shape
    factor = torch.tensor([size[1] / width, size[0] / height])
    y, x = valid.nonzero().T
    place = (torch.stack([x, y], 1) + 0.5) * factor  # the pixel of a point is its whole part
    column, row = (
        place[:, 0].long().clamp(max=size[1] - 1),
        place[:, 1].long().clamp(max=size[0] - 1),
    )
    last = torch.full((size[0] * size[1],), -1).scatter_reduce(
        0, row * size[1] + column, torch.arange(len(x)), "amax"
    )
    resized, known = torch.zeros(2, size[0] * size[1]), last >= 0
    resized[:, known] = flow[:, y, x][:, last[known]] * factor[:, None]
    return resized.reshape(2, *size), known.reshape(size)
