"""FitNet: the child's features, regressed to the parent's, imitate them.

Romero et al., "FitNets: hints for thin deep nets", 2015.  The original pretrains the child's first
half on the hint alone; as most comparisons since, this trains both losses together.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .etm import precise, projection, resized
from .method import Method
from .options import number
from .parent import Inherited
from .sites import SiteError


class FitNet(Method):
    """L_c + beta mean over sites and calls of |R(c) - p|^2; R is linear, trained, thrown away."""

    name, title, order = "fitnet", "FitNet", 20
    needs_sites = True

    class Options(Method.Options):
        beta: float = number(1.0)

    def __init__(self, child, parent, **given):
        super().__init__(child, parent, **given)
        self.regressors: Any = None  # one a site

    def setup(self, batch) -> None:
        """Make the regressors in the width of one batch's features."""
        regressors = [
            projection(c.shape[1], p.shape[1], c.ndim).to(precise(c))
            for _, (c, *_), (p, *_) in self.first_features(batch)
        ]
        self.regressors = nn.ModuleList(regressors)

    def forward(self, batch) -> dict[str, Tensor]:
        return self.hinted(batch)[0]

    def hinted(self, batch) -> tuple[dict[str, Tensor], list[list[Tensor]], Inherited]:
        """(terms, R(c) of each site and call, what the parent says)."""
        if self.regressors is None:
            raise SiteError(f"{self.title}: call setup(batch) once before the optimizer is made.")
        output, own, inherited = self.features(batch)
        regressed = [list(map(R, own[s.child])) for s, R in zip(self.sites, self.regressors)]
        hints = [
            hint(*pair)
            for site, calls in zip(self.sites, regressed)
            for pair in zip(calls, inherited.features[site.parent])
        ]
        L_hint = self.options.beta * torch.stack(hints).mean()
        return {"L_c": self.loss(output, batch), "L_hint": L_hint}, regressed, inherited


def hint(child: Tensor, parent: Tensor) -> Tensor:
    """Mean squared difference of a regressed feature (B, C, ...) to the parent's, resized."""
    dtype = torch.promote_types(torch.promote_types(child.dtype, parent.dtype), torch.float32)
    return F.mse_loss(child.to(dtype), resized(parent, child).to(dtype))
