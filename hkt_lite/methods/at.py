"""Attention transfer: where the child is active, not what it says.

Zagoruyko and Komodakis, "Paying more attention to attention", 2017.
"""

import torch.nn.functional as F
from torch import Tensor

from .etm import precise, resized
from .method import Comparing
from .options import number
from .sites import SiteError


def attention_map(feature: Tensor) -> Tensor:
    """(B, positions): mean square over the channels of a map (B, C, H, W[, D]), of length 1."""
    return F.normalize(precise(feature).square().mean(1).flatten(1), dim=1)


def map_distance(c: Tensor, p: Tensor) -> Tensor:
    """Mean squared difference of two features' attention maps, at the resolution of c."""
    return (attention_map(c) - attention_map(resized(p, c))).square().mean()


class AT(Comparing):
    """L_c + beta / 2 times the mean squared difference of attention maps.

    beta = 1000 is its authors' number, whose code lacks the paper's 1/2 and so weighs twice as
    much.  Raises SiteError for sites that are no maps.
    """

    name, title, order = "at", "AT", 30

    class Options(Comparing.Options):
        beta: float = number(1000.0)

    @classmethod
    def needs_maps(cls, options: dict) -> bool:
        return True

    def compare(self, c: Tensor, p: Tensor, site: str) -> dict[str, tuple[float, Tensor]]:
        if c.ndim < 3:
            raise SiteError(
                f"Site {site!r}: attention transfer compares maps (B, C, H, W), got "
                f"{tuple(c.shape)} and {tuple(p.shape)}; choose a site before the pooling."
            )
        return {"L_at": (self.options.beta / 2, map_distance(c, p))}
