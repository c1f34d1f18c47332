"""Knowledge distillation: imitate the parent's outputs.

Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .etm import precise
from .method import Method
from .options import MethodError, number
from .sites import statistics_kept


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
    calls = ("imitate",)

    class Options(Method.Options):
        alpha: float = number(0.9, 0, 1)
        temperature: float = number(4.0, above=True)

    def forward(self, batch) -> dict[str, Tensor]:
        alpha, temperature = self.options.alpha, self.options.temperature
        output = self.predict(self.child, batch)
        wanted = self.parent(batch).output
        return {
            "L_c": (1 - alpha) * self.loss(output, batch),
            "L_kd": alpha * self.imitate(output, wanted, temperature),
        }


class OnLogits(Method):
    """Base of methods that compare logits (B, K) of whole examples, whatever `imitate` is.

    Flow has none; of two or three classes a pixel the order of the wrong ones says next to nothing.
    """

    needs_logits = True

    def setup(self, batch) -> None:
        with torch.no_grad(), statistics_kept(self.child):
            self.logits(batch)

    def logits(self, batch) -> tuple[Tensor, Tensor, Tensor]:
        """(the child's output, its logits, the parent's); MethodError for what is none."""
        output, wanted = self.predict(self.child, batch), self.parent(batch).output
        shape, other = (tuple(getattr(x, "shape", ())) for x in (output, wanted))
        if shape != other or len(shape) != 2 or shape[1] < 3:
            raise MethodError(
                f"{self.title} compares logits (B, K) of three classes or more, got outputs of "
                f"shapes {shape} and {other}; use kd, which imitates any output."
            )
        return output, precise(output), precise(wanted)
