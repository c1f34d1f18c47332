"""Ours: HKT whose maps are aligned with the parent's before its last feature is mixed.

    L_c + L_c* + L_p* + beta / 2 times the mean squared difference of attention maps

HKT joins two features channel by channel, though nothing makes a child's channel mean what its
parent's does.  What the two can share without being alike is where they are active: so every site
that is a map learns that, as in attention transfer, and only the last one is mixed, there where
both speak of the same classes.
"""

import torch
from torch import Tensor

from .at import map_distance
from .hkt import HKT, Calls
from .options import number
from .sites import SiteError


class Aligned(HKT):
    """HKT at the last site, and AT at every site that is a map; beta = 1000 as for AT.

    With one site, a map, both at that one.  Raises SiteError where the first site is no map.
    """

    name, title, order = "aligned", "aligned HKT", 105
    aligns = True

    class Options(HKT.Options):
        beta: float = number(1000.0)

    @staticmethod
    def split(sites):
        return sites[:-1], sites[-1:]

    @classmethod
    def label(cls, options: dict, sites: str | None = None) -> str:
        said, beta = super().label(options, sites), cls.Options(**options).beta
        if not said.startswith("parent's"):
            return said
        weight = f", beta {beta:g}" if beta != cls.Options().beta else ""
        return f"{cls.title}, {said}{weight}"

    def first_features(self, batch):
        for site, own, theirs in super().first_features(batch):
            c, p = own[0], theirs[0]
            if site == self.sites[0] and c.ndim < 3:
                raise SiteError(
                    f"Site {site.name!r}: {self.title} aligns maps (B, C, H, W), got "
                    f"{tuple(c.shape)} and {tuple(p.shape)}; let the first site be a map."
                )
            yield site, own, theirs

    def further(self, own: Calls, theirs: Calls) -> dict[str, Tensor]:
        found: list[Tensor] = []
        for site in self.sites:
            calls = zip(own[site.child], theirs[site.parent])
            found.extend(map_distance(c, p) for c, p in calls if c.ndim > 2)
        return {"L_at": self.options.beta / 2 * torch.stack(found).sum()}
