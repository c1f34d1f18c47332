"""What every method is: a module around the child whose `forward(batch)` returns the named terms of its objective."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from torch import Tensor, nn

from .parent import Live
from .sites import MethodError, Site  # noqa: F401


class Method(nn.Module):
    """Base of all methods; `Plain` is the smallest example, `HKT` the one this project is about.

    child    the network that is trained; the only registered submodule besides what a method adds for training
    parent   an `nn.Module`, which is frozen and read live, or a source from `methods.parent`; never registered here
    sites    pairs of module paths at which features meet
    predict  predict(model, batch) -> output
    loss     loss(output, batch) -> scalar, the task's supervised loss
    imitate  imitate(child_output, parent_output, temperature) -> scalar, what output distillation means for the task

    `forward` returns {name: scalar}; their sum is the objective.  It is `forward`, so that autocast and parallel wrappers work.
    """

    needs_parent = True
    hooks_modules = False  # a compiled child would not see what is read or replaced at run time
    needs_sites = False  # whether features meet anywhere, or outputs only

    def __init__(
        self,
        child: nn.Module,
        parent: nn.Module | Live | None = None,
        *,
        sites: Sequence[Site] = (),
        predict: Callable,
        loss: Callable,
        imitate: Callable | None = None,
    ):
        super().__init__()
        if self.needs_parent and parent is None:
            raise ValueError(f"{type(self).__name__} needs a parent network.")
        self.child, self.sites, self.predict, self.loss, self.imitate = (
            child,
            tuple(sites),
            predict,
            loss,
            imitate,
        )
        source = Live(parent, predict, sites) if isinstance(parent, nn.Module) else parent
        object.__setattr__(self, "parent", source)  # out of parameters(), state_dict() and train()

    def setup(self, batch) -> None:
        """Look at one training batch before the optimizer is made; methods that add fitted parts build them here."""

    def forward(self, batch) -> dict[str, Tensor]:
        raise NotImplementedError(f"{type(self).__name__} does not say what its terms are.")

    def extra_parameters(self) -> Iterator[nn.Parameter]:
        """What is trained beside the child and thrown away afterwards."""
        own = {id(parameter) for parameter in self.child.parameters()}
        return (parameter for parameter in self.parameters() if id(parameter) not in own)

    def observe(self) -> dict[str, Tensor]:
        """Per-sample vectors (B,) of the last forward pass, for the record: how much was inherited.  Empty where nothing is."""
        return {}
