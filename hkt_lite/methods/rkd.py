"""Relational distillation: the child's examples lie to one another as the parent's do.

Park, Kim, Lu and Cho, "Relational knowledge distillation", CVPR 2019, equations 4 to 9.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .etm import precise
from .method import Comparing
from .options import number
from .sp import inner_products


def relations(feature: Tensor) -> tuple[Tensor, Tensor]:
    """(distances (B, B) over their mean; cosines (B, B, B) of the angle whose corner comes first).

    A cosine is 0 where the corner is one of the other two.  Differences of maps would fill memory.
    """
    z = precise(feature).flatten(1)
    inner = inner_products(z - z.mean(0))  # which moves no distance, and rounds less
    square, same = inner.diagonal(), torch.eye(len(z), dtype=torch.bool, device=z.device)
    distance = (square[:, None] + square - 2 * inner).clamp_min(1e-12).sqrt()
    inverse = (1 / distance).masked_fill(same, 0)
    distance = distance.masked_fill(same, 0)
    # <z_i - z_j, z_k - z_j> at [j, i, k]
    corner = inner - inner[:, :, None] - inner[:, None, :] + square[:, None, None]
    cosine = (corner * inverse[:, :, None] * inverse[:, None, :]).clamp(-1, 1)
    return distance / (distance.sum() / (~same).sum()), cosine


class RKD(Comparing):
    """L_c + distance H(d_c, d_p) + angle H(a_c, a_p), H the mean Huber loss.

    25 and 50 as in the common comparisons (RepDistiller, mdistiller).  Of vectors and maps; width
    and resolution may differ.
    """

    name, title, order = "rkd", "RKD", 45
    least = 3

    class Options(Comparing.Options):
        distance: float = number(25.0)
        angle: float = number(50.0)

    def compare(self, c: Tensor, p: Tensor, site: str) -> dict[str, tuple[float, Tensor]]:
        pairs = zip(relations(c), relations(p))
        distance, angle = (F.smooth_l1_loss(mine, theirs) for mine, theirs in pairs)
        return {
            "L_distance": (self.options.distance, distance),
            "L_angle": (self.options.angle, angle),
        }
