"""Knowledge distillation: imitate the parent's outputs.  Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015."""

import torch.nn.functional as F
from torch import Tensor

from .method import Method


def soft_divergence(child_logits: Tensor, parent_logits: Tensor, temperature: float) -> Tensor:
    """T^2 KL(parent || child) of the softened class distributions, mean over the batch; logits (B, K).

    T^2 keeps the gradient's size when the temperature changes.  `batchmean`, for plain `mean` would divide by the classes as well.
    """
    child = F.log_softmax(child_logits / temperature, 1)
    parent = F.log_softmax(parent_logits / temperature, 1)
    return F.kl_div(child, parent, reduction="batchmean", log_target=True) * temperature**2


class KD(Method):
    """(1 - alpha) L_c + alpha L_kd; alpha = 0.9 and T = 4 are the usual choice for small networks on CIFAR."""

    def __init__(self, child, parent, *, alpha: float = 0.9, temperature: float = 4.0, **parts):
        super().__init__(child, parent, **parts)
        if self.imitate is None:
            raise ValueError(
                "KD needs the task's `imitate(child_output, parent_output, temperature)`."
            )
        self.alpha, self.temperature = alpha, temperature

    def forward(self, batch) -> dict[str, Tensor]:
        output = self.predict(self.child, batch)
        wanted = self.parent(batch).output
        return {
            "L_c": (1 - self.alpha) * self.loss(output, batch),
            "L_kd": self.alpha * self.imitate(output, wanted, self.temperature),
        }
