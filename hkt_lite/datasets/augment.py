"""Crop, flip and normalise whole batches of small images on the device, without a loop over images.

What an image looks like depends on its index and the view only, never on the order of batches: a run can be resumed at any step, and
a parent can be read once for each view.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..config import stream

PADDING = 4                                                     # pixels on each side, as He et al. (2016), section 4.2


class Augment:
    """Views of `images` (anything with x, a uint8 tensor (N, 3, H, W)).  `views` = 0 draws a fresh view each epoch, K reuses K of them."""

    def __init__(self, images, seed: int, mean, std, device: str = "cpu", views: int = 0):
        self.x = F.pad(images.x, (PADDING,) * 4).to(device)      # (N, 3, H + 8, W + 8), black around as torchvision's RandomCrop
        self.height, self.width = images.x.shape[2:]
        self.seed, self.views, self.device = seed, views, device
        self.mean = torch.tensor(mean, device=device).view(1, -1, 1, 1) * 255
        self.scale = 1 / (torch.tensor(std, device=device).view(1, -1, 1, 1) * 255)
        self._view, self._drawn = None, None

    def _offsets(self, view: int) -> tuple[Tensor, Tensor, Tensor]:
        """Top, left (0 … 8) and mirrored (0 or 1) of all images in one view, from the stream 'augment'."""
        if self._view != view:
            generator, n = stream(self.seed, "augment", view), len(self.x)
            draw = lambda high: torch.randint(high, (n,), generator=generator).to(self.device)      # noqa: E731
            self._view, self._drawn = view, (draw(2 * PADDING + 1), draw(2 * PADDING + 1), draw(2))
        return self._drawn

    def batch(self, index: Tensor, epoch: int) -> Tensor:
        """Augmented, normalised images (B, 3, H, W), float32, of `index` (B,) as `epoch` sees them."""
        index = index.to(self.device)
        top, left, mirrored = (drawn[index] for drawn in self._offsets(epoch % self.views if self.views else epoch))
        rows = top[:, None] + torch.arange(self.height, device=self.device)                       # (B, H)
        columns = torch.arange(self.width, device=self.device).expand(len(index), -1)
        columns = left[:, None] + torch.where(mirrored[:, None] == 1, self.width - 1 - columns, columns)
        return self._normalised(self.x[index[:, None, None], :, rows[:, :, None], columns[:, None, :]])

    def plain(self, index: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) without augmentation."""
        x = self.x[index.to(self.device), :, PADDING:PADDING + self.height, PADDING:PADDING + self.width]
        return self._normalised(x.movedim(1, -1))

    def _normalised(self, x: Tensor) -> Tensor:
        """uint8 (B, H, W, 3) -> float (B, 3, H, W), channels last in memory."""
        return (x.movedim(-1, 1).float() - self.mean) * self.scale
