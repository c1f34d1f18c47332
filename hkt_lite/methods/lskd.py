"""Distillation with standardised logits: their order and spacing, not their range.

Sun, Ren, Li, Wang and Cao, "Logit standardization in knowledge distillation", CVPR 2024.
"""

from torch import Tensor

from .kd import OnLogits, soft_divergence
from .options import number


def standardised(logits: Tensor) -> Tensor:
    """(B, K): mean 0 and standard deviation 1 over the classes of each example."""
    centred = logits - logits.mean(1, keepdim=True)
    return centred / (logits.std(1, keepdim=True) + 1e-7)


class LSKD(OnLogits):
    """alpha L_c + beta T^2 KL(parent || child) of standardised logits.

    0.1, 9 and T = 2 as its authors run it on CIFAR-100.
    """

    name, title, order = "lskd", "LSKD", 60

    class Options(OnLogits.Options):
        alpha: float = number(0.1)
        beta: float = number(9.0)
        temperature: float = number(2.0, above=True)

    def forward(self, batch) -> dict[str, Tensor]:
        output, child, parent = self.logits(batch)
        kl = soft_divergence(standardised(child), standardised(parent), self.options.temperature)
        return {
            "L_c": self.options.alpha * self.loss(output, batch),
            "L_lskd": self.options.beta * kl,
        }
