"""The plain child: the task's loss and nothing else.  `weight` = 3 is the control for a method that adds three losses up."""

from torch import Tensor

from .method import Method


class Plain(Method):
    needs_parent = False

    def __init__(self, child, parent=None, *, weight: float = 1.0, **parts):
        super().__init__(child, None, **parts)
        self.weight = weight

    def forward(self, batch) -> dict[str, Tensor]:
        return {"L_c": self.weight * self.loss(self.predict(self.child, batch), batch)}
