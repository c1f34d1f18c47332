"""Knowledge distillation: imitate the parent's outputs.

Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015.
"""

import torch.nn.functional as F
from torch import Tensor

from .method import Method
from .options import MethodError, number


def soft_divergence(child_logits: Tensor, parent_logits: Tensor, temperature: float) -> Tensor:
    """T^2 KL(parent || child) of the softened class distributions, mean over the batch.

    Logits (B, K).  T^2 keeps the gradient's size when the temperature changes; `batchmean`, for
    plain `mean` would divide by the classes as well.
    """
    child = F.log_softmax(child_logits / temperature, 1)
    parent = F.log_softmax(parent_logits / temperature, 1)
    return F.kl_div(child, parent, reduction="batchmean", log_target=True) * temperature**2


class KD(Method):
    """(1 - alpha) L_c + alpha L_kd; 0.9 and T = 4 are usual for small networks on CIFAR."""

    name, title, order = "kd", "KD", 10

    class Options(Method.Options):
        alpha: float = number(0.9, 0, 1)
        temperature: float = number(4.0, above=True)

    def __init__(self, child, parent, **given):
        super().__init__(child, parent, **given)
        if self.imitate is None:
            raise MethodError("KD needs `imitate(child_output, parent_output, temperature)`.")

    def forward(self, batch) -> dict[str, Tensor]:
        alpha, temperature = self.options.alpha, self.options.temperature
        output = self.predict(self.child, batch)
        wanted = self.parent(batch).output
        return {
            "L_c": (1 - alpha) * self.loss(output, batch),
            "L_kd": alpha * self.imitate(output, wanted, temperature),
        }
