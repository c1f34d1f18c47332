"""Attention transfer: where the child is active, not what it says.

Zagoruyko and Komodakis, "Paying more attention to attention", 2017.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .etm import check_pair, precise, resized
from .method import Method
from .options import number
from .sites import SiteError


def attention_map(feature: Tensor) -> Tensor:
    """(B, positions): mean square over the channels of a map (B, C, H, W[, D]), of length 1."""
    return F.normalize(precise(feature).square().mean(1).flatten(1), dim=1)


class AT(Method):
    """L_c + beta / 2 times the sum over sites of the mean squared difference of attention maps.

    beta = 1000 as its authors use.  Raises SiteError for sites that are no maps.
    """

    name, title, order = "at", "AT", 30
    needs_sites = True

    class Options(Method.Options):
        beta: float = number(1000.0)

    @classmethod
    def needs_maps(cls, options: dict) -> bool:
        return True

    def setup(self, batch) -> None:
        for site, own, theirs in self.first_features(batch):
            self._difference(own[0], theirs[0], site.name)

    def forward(self, batch) -> dict[str, Tensor]:
        output, own, inherited = self.features(batch)
        differences = [
            self._difference(c, p, site.name)
            for site in self.sites
            for c, p in zip(own[site.child], inherited.features[site.parent])
        ]
        L_at = self.options.beta / 2 * torch.stack(differences).sum()
        return {"L_c": self.loss(output, batch), "L_at": L_at}

    @staticmethod
    def _difference(c: Tensor, p: Tensor, site: str) -> Tensor:
        check_pair(c, p, site)
        if c.ndim < 3:
            raise SiteError(
                f"Site {site!r}: attention transfer compares maps (B, C, H, W), got "
                f"{tuple(c.shape)} and {tuple(p.shape)}; choose a site before the pooling."
            )
        return (attention_map(c) - attention_map(resized(p, c))).square().mean()
