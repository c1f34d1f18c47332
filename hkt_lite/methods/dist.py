"""DIST: probabilities shall rise and fall with the parent's, not equal them.

Huang, You, Wang, Qian and Xu, "Knowledge distillation from a stronger teacher", NeurIPS 2022.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .kd import OnLogits
from .options import number


def decorrelation(a: Tensor, b: Tensor) -> Tensor:
    """1 - Pearson's correlation of a row of `a` with that of `b`, mean over the rows."""
    return 1 - F.cosine_similarity(a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)).mean()


class DIST(OnLogits):
    """L_c + T^2 (beta inter + gamma intra): of an example over classes, of a class over examples.

    All weights and T are 1 by default, as in the loss its authors released.
    """

    name, title, order = "dist", "DIST", 55

    class Options(OnLogits.Options):
        beta: float = number(1.0)
        gamma: float = number(1.0)
        temperature: float = number(1.0, above=True)

    def forward(self, batch) -> dict[str, Tensor]:
        T = self.options.temperature
        output, *both = self.logits(batch)
        child, parent = (torch.softmax(logits / T, 1) for logits in both)
        return {
            "L_c": self.loss(output, batch),
            "L_inter": self.options.beta * T**2 * decorrelation(child, parent),
            "L_intra": self.options.gamma * T**2 * decorrelation(child.T, parent.T),
        }
