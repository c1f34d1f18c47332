"""Ours: HKT, and KD beside it, for a child that is born with modules of its parent.

    child's i-th module of n in a row  <-  the parent's i (N - 1) / (n - 1)-th of N, before training

HKT joins two features channel by channel, though nothing makes a child's channel mean what its
parent's does.  Where both networks are of one family, inheritance in the plain sense does: the
child's modules begin with the weights of some of the parent's.  So Sanh, Debut, Chaumond and Wolf,
"DistilBERT", 2019, begin with every other layer, and Xu, Chen, Vishniakov, Yin, Shen, Darrell, Liu
and Liu, "Initializing models with larger ones", ICLR 2024, with a part of each.  The child keeps
its size, and afterwards the parent is thrown away as ever.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from .hkt import HKT
from .kd import KD
from .method import Method
from .options import MethodError


class Born(Method):
    """Base: `setup` gives the child all modules that it has alike with its parent.

    Raises MethodError where they hold less than half of the child's parameters.
    """

    begins_alike = False

    def setup(self, batch) -> None:
        born(self.child, self.parent.parent, self.title)
        super().setup(batch)


class Heir(Born, HKT):
    """HKT for such a child; with `terms` L_c alone, nothing of the parent but these modules."""

    name, title, order = "heir", "heir HKT", 107

    class Options(HKT.Options):
        """Those of HKT."""

    @classmethod
    def label(cls, options: dict, sites: str | None = None) -> str:
        if cls.Options(**options).terms == ("L_c",):
            return "parent's modules alone"
        said = super().label(options, sites)
        return said if said.startswith(cls.title) else f"{cls.title}, {said}"


class HeirKD(Born, KD):
    """KD for such a child, as DistilBERT is trained but for its third term, on hidden states."""

    name, title, order = "heir_kd", "heir KD", 108

    class Options(KD.Options):
        """Those of KD."""


def born(child: nn.Module, parent: nn.Module, title: str = "The child") -> None:
    """Copy into `child` what `lineage` finds in `parent`; MethodError where that is too little."""
    pairs = list(lineage(child, parent))
    taken = sum(x.numel() for own, _ in pairs for x in own.parameters(recurse=False))
    every = sum(x.numel() for x in child.parameters())
    if 2 * taken < every:
        raise MethodError(
            f"{title}: {taken:,} of the child's {every:,} parameters are in modules that its "
            "parent has alike, and half is needed; take two networks of one family and width."
        )
    with torch.no_grad():
        for own, theirs in pairs:
            for name, value in _held(own).items():
                value.copy_(_held(theirs)[name])


def lineage(child: nn.Module, parent: nn.Module) -> Iterator[tuple[nn.Module, nn.Module]]:
    """(module of the child, the parent's in its place) for all whose own tensors have one shape.

    Paths agree but for numbers, of which a short row is spread over a long one: the three blocks
    of a stage stand for the first, the middle and the last of the parent's.
    """
    for path, own in child.named_modules():
        theirs = _counterpart(path, child, parent)
        if theirs is not None and _shapes(own) and _shapes(own) == _shapes(theirs):
            yield own, theirs


def _counterpart(path: str, child: nn.Module, parent: nn.Module) -> nn.Module | None:
    """The parent's module in the place of the child's at `path`, if there is one."""
    for part in path.split(".") if path else ():
        ours, theirs = (dict(net.named_children()) for net in (child, parent))
        name = part
        if part.isdigit() and theirs:
            place = list(ours).index(part) * (len(theirs) - 1) / max(1, len(ours) - 1)
            name = list(theirs)[round(place)]
        if name not in theirs:
            return None
        child, parent = ours[part], theirs[name]
    return parent


def _held(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers of a module itself."""
    own = (module.named_parameters(recurse=False), module.named_buffers(recurse=False))
    return {name: value for some in own for name, value in some}


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in _held(module).items()}
