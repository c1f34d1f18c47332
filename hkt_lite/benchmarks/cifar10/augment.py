"""Crop, flip and normalise whole batches of small images on the device, without a loop over images.

What an image looks like depends on its index and the view only, never on the order of batches: a run can be resumed at
any step, and a parent can be read once for each view.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...config import stream

PADDING = 4  # pixels on each side, as He et al. (2016), section 4.2


class Augment:
    """Views of `images` (anything with x, a uint8 tensor (N, 3, H, W)).

    `views` = 0 draws a fresh view each epoch, K reuses K of them.
    """

    def __init__(self, images, seed: int, mean, std, device: str = "cpu", views: int = 0):
        n, _, self.height, self.width = images.x.shape
        self.stride = self.width + 2 * PADDING  # of a padded row
        pixels = torch.zeros(
            n, self.height + 2 * PADDING, self.stride, 4, dtype=torch.uint8
        )  # black around as torchvision's RandomCrop
        pixels[:, PADDING:-PADDING, PADDING:-PADDING, :3] = images.x.permute(0, 2, 3, 1)
        self.area = pixels.shape[1] * pixels.shape[2]
        self.pixels = (
            pixels.view(torch.int32).flatten().to(device)
        )  # one number a pixel: a gather moves red, green and blue at once
        self.images, self.seed, self.views, self.device = n, seed, views, device
        mean, std = (
            torch.tensor(values, dtype=torch.float32, device=device) for values in (mean, std)
        )
        self.shift, self.scale = -mean / std, 1 / (255 * std)
        self.rows, self.columns = (
            torch.arange(self.height, device=device),
            torch.arange(self.width, device=device),
        )
        self._view, self._drawn = None, None

    def _offsets(self, view: int) -> tuple[Tensor, Tensor, Tensor]:
        """Top, left (0 … 8) and mirrored (0 or 1) of all images in one view, from the stream 'augment'."""
        if self._view != view:
            generator = stream(self.seed, "augment", view)
            draw = lambda high: torch.randint(high, (self.images,), generator=generator).to(
                self.device
            )
            self._view, self._drawn = view, (draw(2 * PADDING + 1), draw(2 * PADDING + 1), draw(2))
        return self._drawn

    def batch(self, index: Tensor, epoch: int) -> Tensor:
        """Augmented, normalised images (B, 3, H, W), float32, of `index` (B,) as `epoch` sees them."""
        index = index.to(self.device)
        top, left, mirrored = (
            drawn[index] for drawn in self._offsets(epoch % self.views if self.views else epoch)
        )
        columns = torch.where(mirrored[:, None] == 1, self.columns.flip(0), self.columns)  # (B, W)
        return self._cut(index, top[:, None] + self.rows, left[:, None] + columns)

    def plain(self, index: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) without augmentation."""
        index = index.to(self.device)
        return self._cut(
            index,
            (PADDING + self.rows).expand(len(index), -1),
            (PADDING + self.columns).expand(len(index), -1),
        )

    def _cut(self, index: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Pixels at rows (B, H) and columns (B, W) of the padded images -> float (B, 3, H, W), channels last in memory."""
        place = (
            (index * self.area)[:, None, None]
            + rows[:, :, None] * self.stride
            + columns[:, None, :]
        )  # (B, H, W)
        pixels = (
            self.pixels.index_select(0, place.flatten())
            .view(torch.uint8)
            .view(*place.shape, 4)
            .float()
        )  # whole rows convert faster
        return torch.addcmul(self.shift, pixels[..., :3], self.scale).movedim(-1, 1)
