"""FitNet: the child's features, regressed to the parent's, imitate them.  Romero et al., "FitNets: hints for thin deep nets", 2015.

The original pretrains the child's first half on the hint alone; as most comparisons since, this trains both losses together.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .etm import RESIZE
from .method import Method
from .sites import SiteError, record, statistics_kept


class FitNet(Method):
    """L_c + beta mean over sites and calls of |R(c) - p|^2, with R a linear map or 1x1 convolution that is trained and thrown away."""

    needs_sites = hooks_modules = True

    def __init__(self, child, parent, *, beta: float = 1.0, **parts):
        super().__init__(child, parent, **parts)
        if not self.sites:
            raise ValueError(
                "FitNet needs at least one site, a pair of module paths such as Site('layer2', 'layer2')."
            )
        self.beta, self.regressors = beta, None

    def setup(self, batch) -> None:
        """Make the regressors in the width of one batch's features; call it before the optimizer is made."""
        p = self.parent(batch, output=False).features
        with (
            torch.no_grad(),
            statistics_kept(self.child),
            record(self.child, [site.child for site in self.sites]) as own,
        ):
            self.predict(self.child, batch)
        self.regressors = nn.ModuleList(
            self._regressor(own[site.child], p[site.parent], site.name) for site in self.sites
        )

    @staticmethod
    def _regressor(c: list[Tensor], p: list[Tensor], site: str) -> nn.Module:
        if not c or len(c) != len(p) or c[0].ndim != p[0].ndim or c[0].shape[0] != p[0].shape[0]:
            raise SiteError(
                f"Site {site!r}: {len(p)} calls of {[tuple(x.shape) for x in p[:1]]} in the parent, {len(c)} of "
                f"{[tuple(x.shape) for x in c[:1]]} in the child; calls, rank and batch must agree."
            )
        layer = {2: nn.Linear, 3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}[c[0].ndim]
        return layer(
            c[0].shape[1], p[0].shape[1], **({} if c[0].ndim == 2 else {"kernel_size": 1})
        ).to(c[0].device)

    def forward(self, batch) -> dict[str, Tensor]:
        if self.regressors is None:
            raise SiteError(
                "FitNet's regressors are not there yet: call setup(batch) once before the optimizer is made."
            )
        p = self.parent(batch, output=False).features
        with record(self.child, [site.child for site in self.sites]) as own:
            output = self.predict(self.child, batch)
        hints = [
            hint(regressor(mine), theirs)
            for site, regressor in zip(self.sites, self.regressors)
            for mine, theirs in zip(own[site.child], p[site.parent])
        ]
        return {"L_c": self.loss(output, batch), "L_hint": self.beta * torch.stack(hints).mean()}


def hint(child: Tensor, parent: Tensor) -> Tensor:
    """Mean squared difference of a regressed feature (B, C, ...) to the parent's, which is resized to its resolution."""
    if child.shape[2:] != parent.shape[2:]:
        parent = F.interpolate(
            parent, child.shape[2:], mode=RESIZE[parent.ndim], align_corners=False
        )
    return F.mse_loss(child.float(), parent.float())
