"""The plain child: the task's loss and nothing else.

`weight` = 3 is the control for a method that adds three losses up.
"""

from torch import Tensor

from .method import Method
from .options import number


class Plain(Method):
    name, title, order = "plain", "plain", 0
    needs_parent = False

    class Options(Method.Options):
        weight: float = number(1.0, above=True)

    @classmethod
    def label(cls, options: dict, sites: str | None = None) -> str:
        weight = cls.Options(**options).weight
        return cls.title if weight == 1 else f"{cls.title} ×{weight:g} loss"

    def forward(self, batch) -> dict[str, Tensor]:
        return {"L_c": self.options.weight * self.loss(self.predict(self.child, batch), batch)}
