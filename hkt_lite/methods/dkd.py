"""Decoupled distillation: whether it is the target class, and which of the others, apart.

Zhao, Cui, Song, Qiu and Liang, "Decoupled knowledge distillation", CVPR 2022, equations 5 to 7.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .kd import OnLogits, soft_divergence
from .options import number


def split(logits: Tensor, target: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """(softened logits (B, 2) of target and not target, (B, K - 1) of the other classes)."""
    z, hit = logits / temperature, F.one_hot(target, logits.shape[1]).bool()
    others = z[~hit].view(len(z), -1)
    return torch.stack([z[hit], others.logsumexp(1)], 1), others


class DKD(OnLogits):
    """L_c + alpha TCKD + beta NCKD, both T^2 KL(parent || child), mean over the batch.

    alpha 1, beta 8, T 4 are the defaults of its authors, who take beta = 2 for ResNet-56 to 20 on
    CIFAR-100.  KD is TCKD + (1 - the parent's p of the target) NCKD.  Its authors let both terms
    grow linearly over 20 of 240 epochs; a method here is not told the epoch, so that this warm-up
    is left out.
    """

    name, title, order = "dkd", "DKD", 50
    calls = ("target",)

    class Options(OnLogits.Options):
        alpha: float = number(1.0)
        beta: float = number(8.0)
        temperature: float = number(4.0, above=True)

    def forward(self, batch) -> dict[str, Tensor]:
        T, target = self.options.temperature, self.target(batch)
        output, child, parent = self.logits(batch)
        pairs = zip(split(child, target, T), split(parent, target, T))
        tckd, nckd = (T**2 * soft_divergence(c, p, 1) for c, p in pairs)
        return {
            "L_c": self.loss(output, batch),
            "L_tckd": self.options.alpha * tckd,
            "L_nckd": self.options.beta * nckd,
        }
