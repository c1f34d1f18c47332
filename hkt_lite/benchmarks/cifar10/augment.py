"""Crop, flip and normalise whole batches of small images on the device, without a loop over images.

What an image looks like depends on its index and the view only, never on the order of batches: a
run can be resumed at any step, and a parent can be read once for each view.
"""

import torch
from torch import Tensor

from ...config import stream

PADDING = 4  # pixels on each side, as He et al. (2016), section 4.2


class Augment:
    """Views of `images` (anything with x, a uint8 tensor (N, 3, H, W))."""

    def __init__(self, images, seed: int, mean, std, device: str = "cpu"):
        n, _, self.height, self.width = images.x.shape
        self.stride = self.width + 2 * PADDING  # of a padded row
        # black around, as torchvision's RandomCrop; a fourth channel, so that a pixel is one number
        # and a gather moves red, green and blue at once
        pixels = torch.zeros(n, self.height + 2 * PADDING, self.stride, 4, dtype=torch.uint8)
        pixels[:, PADDING:-PADDING, PADDING:-PADDING, :3] = images.x.permute(0, 2, 3, 1)
        self.area = pixels.shape[1] * pixels.shape[2]
        self.pixels = pixels.view(torch.int32).flatten().to(device)
        self.images, self.seed, self.device = n, seed, device
        mean, std = torch.tensor((mean, std), dtype=torch.float32, device=device)
        self.shift, self.scale = -mean / std, 1 / (255 * std)
        self.rows = torch.arange(self.height, device=device)
        self.columns = torch.arange(self.width, device=device)
        self._view, self._drawn = None, None

    def _offsets(self, view: int) -> tuple[Tensor, Tensor, Tensor]:
        """Top, left (0 … 8) and mirrored (0 or 1) of all images in a view; stream 'augment'."""
        if self._view != view:
            generator, most = stream(self.seed, "augment", view), 2 * PADDING + 1
            drawn = [
                torch.randint(high, (self.images,), generator=generator).to(self.device)
                for high in (most, most, 2)
            ]
            self._view, self._drawn = view, tuple(drawn)
        return self._drawn

    def batch(self, index: Tensor, view: int) -> Tensor:
        """Augmented, normalised images (B, 3, H, W), float32: a view of `index` (B,)."""
        index = index.to(self.device)
        top, left, mirrored = (drawn[index] for drawn in self._offsets(view))
        columns = torch.where(mirrored[:, None] == 1, self.columns.flip(0), self.columns)  # (B, W)
        return self._cut(index, top[:, None] + self.rows, left[:, None] + columns)

    def plain(self, index: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) without augmentation."""
        index = index.to(self.device)
        rows = (PADDING + self.rows).expand(len(index), -1)
        columns = (PADDING + self.columns).expand(len(index), -1)
        return self._cut(index, rows, columns)

    def _cut(self, index: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Rows (B, H), columns (B, W) of padded images -> (B, 3, H, W), channels last in memory."""
        within = rows[:, :, None] * self.stride + columns[:, None, :]
        place = (index * self.area)[:, None, None] + within  # (B, H, W)
        pixels = self.pixels.index_select(0, place.flatten()).view(torch.uint8)
        pixels = pixels.view(*place.shape, 4).float()  # all four channels convert faster than three
        return torch.addcmul(self.shift, pixels[..., :3], self.scale).movedim(-1, 1)
