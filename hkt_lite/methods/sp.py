"""Similarity-preserving distillation: examples that are alike to the parent shall be to the child.

Tung and Mori, "Similarity-preserving knowledge distillation", ICCV 2019, equations 2 to 4.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .etm import check_pair, precise
from .method import Method
from .options import number
from .sites import SiteError


class Relational(Method):
    """Base of methods that compare the examples of a batch, B of them, with one another.

    Vectors and maps, flattened; width and resolution may differ.  Raises SiteError for a site with
    fewer than `least` examples.
    """

    needs_sites = True
    least = 2

    def setup(self, batch) -> None:
        for site, (c, *_), (p, *_) in self.first_features(batch):
            check_pair(c, p, site.name)
            if len(c) < self.least:
                raise SiteError(
                    f"Site {site.name!r}: {self.title} compares {self.least} examples or more with "
                    f"one another and the site has {len(c)}; use larger batches."
                )

    def compare(self, c: Tensor, p: Tensor) -> dict[str, Tensor]:
        raise NotImplementedError(f"{type(self).__name__} does not say what it compares.")

    def forward(self, batch) -> dict[str, Tensor]:
        """L_c, and what `compare` says of each site's calls, summed."""
        output, own, inherited = self.features(batch)
        terms = {"L_c": self.loss(output, batch)}
        for site in self.sites:
            for pair in zip(own[site.child], inherited.features[site.parent]):
                for name, value in self.compare(*pair).items():
                    terms[name] = terms.get(name, 0) + value
        return terms


def inner_products(z: Tensor) -> Tensor:
    """(B, B) of rows (B, C); autocast would multiply in half precision."""
    with torch.autocast(z.device.type, enabled=False):
        return z @ z.T


def similarities(feature: Tensor) -> Tensor:
    """(B, B): inner products of the flattened features (B, C, ...), each row of length 1."""
    return F.normalize(inner_products(precise(feature).flatten(1)), dim=1)


class SP(Relational):
    """L_c + beta |G_c - G_p|^2 / B^2, G the similarities; beta = 3000 as its authors use."""

    name, title, order = "sp", "SP", 40

    class Options(Relational.Options):
        beta: float = number(3000.0)

    def compare(self, c: Tensor, p: Tensor) -> dict[str, Tensor]:
        return {"L_sp": self.options.beta * F.mse_loss(similarities(c), similarities(p))}
