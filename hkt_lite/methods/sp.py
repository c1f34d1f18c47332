"""Similarity-preserving distillation: examples that are alike to the parent shall be to the child.

Tung and Mori, "Similarity-preserving knowledge distillation", ICCV 2019, equations 2 to 4.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .etm import precise
from .method import Comparing
from .options import number


def inner_products(z: Tensor) -> Tensor:
    """(B, B) of the rows of z (B, C); autocast would take them in half precision."""
    with torch.autocast(z.device.type, enabled=False):
        return z @ z.T


def similarities(feature: Tensor) -> Tensor:
    """(B, B): inner products of the flattened features (B, C, ...), each row of length 1."""
    return F.normalize(inner_products(precise(feature).flatten(1)), dim=1)


class SP(Comparing):
    """L_c + beta |G_c - G_p|^2 / B^2, G the similarities; beta = 3000 as its authors use.

    Of vectors and maps; width and resolution may differ.
    """

    name, title, order = "sp", "SP", 40
    least = 2

    class Options(Comparing.Options):
        beta: float = number(3000.0)

    def compare(self, c: Tensor, p: Tensor, site: str) -> dict[str, tuple[float, Tensor]]:
        return {"L_sp": (self.options.beta, F.mse_loss(similarities(c), similarities(p)))}
