"""Attention transfer: where the child is active, not what it says.  Zagoruyko and Komodakis, "Paying more attention to attention", 2017."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .etm import RESIZE
from .method import Method
from .sites import SiteError, record


def attention_map(feature: Tensor) -> Tensor:
    """Mean square over the channels of a map (B, C, H, W[, D]), flattened and scaled to length 1: (B, positions)."""
    return F.normalize(feature.float().square().mean(1).flatten(1), dim=1)


class AT(Method):
    """L_c + beta / 2 times the sum over sites of the mean squared difference of the attention maps; beta = 1000 as its authors use."""

    needs_sites = hooks_modules = True

    def __init__(self, child, parent, *, beta: float = 1000.0, **parts):
        super().__init__(child, parent, **parts)
        if not self.sites:
            raise ValueError(
                "AT needs at least one site, a pair of module paths such as Site('layer2', 'layer2')."
            )
        self.beta = beta

    def forward(self, batch) -> dict[str, Tensor]:
        p = self.parent(batch, output=False).features
        with record(self.child, [site.child for site in self.sites]) as own:
            output = self.predict(self.child, batch)
        differences = [
            self._difference(mine, theirs, site.name)
            for site in self.sites
            for mine, theirs in zip(own[site.child], p[site.parent])
        ]
        return {
            "L_c": self.loss(output, batch),
            "L_at": self.beta / 2 * torch.stack(differences).sum(),
        }

    @staticmethod
    def _difference(mine: Tensor, theirs: Tensor, site: str) -> Tensor:
        if mine.ndim < 3 or mine.ndim != theirs.ndim:
            raise SiteError(
                f"Site {site!r}: attention transfer compares maps (B, C, H, W), got {tuple(mine.shape)} and {tuple(theirs.shape)}."
            )
        if mine.shape[2:] != theirs.shape[2:]:
            theirs = F.interpolate(
                theirs, mine.shape[2:], mode=RESIZE[theirs.ndim], align_corners=False
            )
        return (attention_map(mine) - attention_map(theirs)).square().mean()
