"""ReviewKD: an earlier stage of the child, with its later ones in view, imitates the parent's.

Chen, Liu, Zhao and Jia, "Distilling knowledge via knowledge review", CVPR 2021.  Of the two that
could stand here it needs features only; CRD's memory of every training image's feature does not
belong to a step on a batch.  Its authors let the term grow over 20 of 240 epochs, which is left out
as a method is not told the epoch, and add the pooled feature as a last stage.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .etm import precise
from .method import Method
from .options import number
from .sites import SiteError


class Fusion(nn.Module):
    """Joins a stage with what the later ones handed on, position by position ("ABF")."""

    def __init__(self, inputs: int, middle: int, outputs: int, last: bool):
        super().__init__()
        enter = nn.Conv2d(inputs, middle, 1, bias=False)
        leave = nn.Conv2d(middle, outputs, 3, padding=1, bias=False)
        for conv in (enter, leave):
            nn.init.kaiming_uniform_(conv.weight, a=1)
        self.enter = nn.Sequential(enter, nn.BatchNorm2d(middle))
        self.leave = nn.Sequential(leave, nn.BatchNorm2d(outputs))
        self.weigh = None if last else nn.Sequential(nn.Conv2d(2 * middle, 2, 1), nn.Sigmoid())

    def forward(self, c: Tensor, later: Tensor | None, p: Tensor) -> tuple[Tensor, Tensor]:
        """(the feature to compare with p, of its shape; what is handed on to earlier stages)."""
        x = self.enter(c)
        if self.weigh is not None and later is not None:
            later = F.interpolate(later, x.shape[2:])
            weights = self.weigh(torch.cat([x, later], 1))
            x = x * weights[:, :1] + later * weights[:, 1:]
        x = x if x.shape[2:] == p.shape[2:] else F.interpolate(x, p.shape[2:])
        return self.leave(x), x


def context_loss(c: Tensor, p: Tensor) -> Tensor:
    """Mean squared difference of maps and of their means on 4 x 4, 2 x 2, 1 x 1 fields ("HCL").

    Each weighs half of the one before, those that are not smaller than the maps nothing.
    """
    c, p = precise(c), precise(p)
    sides = [side for side in (4, 2, 1) if side < c.shape[2]]
    losses = [F.mse_loss(c, p)]
    losses += [F.mse_loss(*(F.adaptive_avg_pool2d(x, side) for x in (c, p))) for side in sides]
    weights = [0.5**k for k in range(len(losses))]
    return sum(w * loss for w, loss in zip(weights, losses)) / sum(weights)


class ReviewKD(Method):
    """L_c + beta times the sum over sites, first to last stage, of `context_loss`.

    beta 1 is mdistiller's default; its authors take 0.6 for ResNet-56 to 20 on CIFAR-100.
    Raises SiteError for fewer than two sites, and for what are no maps (B, C, H, W) of one batch.
    """

    name, title, order = "reviewkd", "ReviewKD", 65
    needs_sites = True

    class Options(Method.Options):
        beta: float = number(1.0)

    def __init__(self, child, parent, **given):
        super().__init__(child, parent, **given)
        self.fusions: Any = None  # one a site

    @classmethod
    def needs_maps(cls, options: dict) -> bool:
        return True

    def setup(self, batch) -> None:
        found = list(self.first_features(batch))
        middle, fusions = min(512, found[-1][1][0].shape[1]), []
        for site, (c, *more), (p, *_) in found:
            if more or c.ndim != 4 or len(c) != len(found[0][1][0]) or len(found) < 2:
                raise SiteError(
                    f"Site {site.name!r}: ReviewKD needs two sites or more with maps (B, C, H, W) "
                    f"of one batch, each called once; it got {1 + len(more)} of {tuple(c.shape)}."
                )
            fusions.append(Fusion(c.shape[1], middle, p.shape[1], site is self.sites[-1]))
        self.fusions = nn.ModuleList(fusions).to(precise(c))

    def forward(self, batch) -> dict[str, Tensor]:
        if self.fusions is None:
            raise SiteError("ReviewKD: call setup(batch) once before the optimizer is made.")
        output, own, inherited = self.features(batch)
        later, losses = None, []
        for site, fusion in reversed(list(zip(self.sites, self.fusions))):
            p = inherited.features[site.parent][0]
            fused, later = fusion(own[site.child][0], later, p)
            losses.append(context_loss(fused, p))
        L_review = self.options.beta * torch.stack(losses).sum()
        return {"L_c": self.loss(output, batch), "L_review": L_review}
