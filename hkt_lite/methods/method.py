"""What every method is: a module around the child, whose `forward` gives the objective's terms."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .etm import check_pair
from .options import MethodError, Options
from .parent import Inherited, Live
from .sites import Site, SiteError, record, statistics_kept

_Options = Options  # the nested class of each method has the same name


class Method(nn.Module):
    """Base of all methods; `Plain` is the smallest example, `HKT` the one this project is about.

    child    the network that is trained; the only registered submodule but for what a method adds
    parent   an `nn.Module`, which is frozen and read live, or a source from `methods.parent`
    sites    pairs of module paths at which features meet
    predict  predict(model, batch) -> output
    loss     loss(output, batch) -> scalar, the task's supervised loss
    imitate  imitate(child_output, parent_output, temperature) -> scalar, distillation's loss
    target   target(batch) -> (B,), the class of each example, where outputs are logits (B, K)
    options  of the method, by the names and ranges of its class `Options`

    `forward`, so that autocast and parallel wrappers work, returns {name: scalar}; their sum is the
    objective.  Raises MethodError for a missing parent or site, for a parent that is the child, and
    for an option out of range.
    """

    name: str  # in commands and records; a class without one is a base and no method
    title: str  # in tables
    order: int = 50  # of the rows in tables
    needs_parent = True
    begins_alike = True  # whether `setup` leaves the child as it is, the same for all methods
    needs_sites = False  # whether features meet anywhere, read as modules run, or outputs only
    aligns = False  # whether its first site must be a map
    needs_logits = False  # whether the outputs it compares must be logits (B, K) of classes
    calls: tuple[str, ...] = ()  # which of the callables below that may be left out it does need
    parent: Any  # a `Live`, a `Cached` or None

    class Options(_Options):
        """None."""

    def __init__(
        self,
        child: nn.Module,
        parent: nn.Module | Live | None = None,
        *,
        sites: Sequence[Site] = (),
        predict: Callable,
        loss: Callable,
        imitate: Any = None,
        target: Any = None,
        **options,
    ):
        super().__init__()
        self.options: Any = self.Options(**options)
        if self.needs_parent and parent is None:
            raise MethodError(f"{self.title} needs a parent network.")
        if parent is child:
            raise MethodError("Parent and child are one network; copy.deepcopy makes another.")
        if self.needs_sites and not sites:
            raise MethodError(f"{self.title} needs at least one site, such as Site('a', 'a').")
        for site in sites:
            if not isinstance(site, Site):
                raise SiteError(f"A site is a pair of paths, such as Site('a', 'a'), not {site!r}.")
        self.child, self.sites = child, tuple(sites)
        self.predict, self.loss, self.imitate, self.target = predict, loss, imitate, target
        for name in self.calls:
            if getattr(self, name) is None:
                raise MethodError(f"{self.title} needs `{name}`; see Method.")
        source = parent if self.needs_parent else None
        if isinstance(source, nn.Module):
            source = Live(source, predict, sites)
        object.__setattr__(self, "parent", source)  # out of parameters(), state_dict() and train()

    def check_distinct(self, *sides: str) -> None:
        """SiteError where sites share a module on one of the `sides` 'parent' and 'child'."""
        for side in sides:
            paths = [getattr(site, side) for site in self.sites]
            for path in paths:
                if paths.count(path) > 1:
                    raise SiteError(f"Sites share the {side}'s {path!r}, which can be one's only.")

    @classmethod
    def needs_maps(cls, options: dict) -> bool:
        """Whether it compares positions, which a pooled feature (B, C) does not have."""
        return False

    @classmethod
    def label(cls, options: dict, sites: str | None = None) -> str:
        """A variant's name in tables: 'HKT gate, at 2hkt, lam 0.3'.

        A choice is always said, another option where it is not at its default, and the name of a
        set of sites where the task has several.
        """
        given, default = cls.Options(**options), cls.Options()
        title, words = cls.title, [f"at {sites}"] if sites else []
        for name, value in sorted(vars(given).items()):
            if name in cls.Options.choices():
                title += f" {value}"
            elif value != getattr(default, name):
                words.append(f"{name} {_short(value)}")
        return ", ".join([title, *words])

    @classmethod
    def rank(cls, options: dict) -> int:
        """Where a variant stands in tables among those of its method: by its (first) choice."""
        given = cls.Options(**options)
        ranks = [known.index(getattr(given, name)) for name, known in given.choices().items()]
        return ranks[0] if ranks else 0

    def setup(self, batch) -> None:
        """Build fitted parts from a batch, before the optimizer is made; SiteError for misfits."""

    def forward(self, batch) -> dict[str, Tensor]:
        raise NotImplementedError(f"{type(self).__name__} does not say what its terms are.")

    def extra_parameters(self) -> Iterator[nn.Parameter]:
        """What is trained with the child and thrown away afterwards."""
        own = {id(parameter) for parameter in self.child.parameters()}
        return (parameter for parameter in self.parameters() if id(parameter) not in own)

    def observe(self) -> dict[str, Tensor]:
        """Vectors of the last forward pass, one number for each sample at each site after another,
        (S B,); see `Mixture.observe`.  Here none."""
        return {}

    def features(self, batch, upstream=()) -> tuple[object, dict[str, list[Tensor]], Inherited]:
        """(the child's output, {path: [feature of each call]} of its sites and `upstream`, p).

        Raises SiteError where parent and child do not call a site equally often.
        """
        inherited = self.parent(batch, output=False)
        with record(self.child, [*(site.child for site in self.sites), *upstream]) as own:
            output = self.predict(self.child, batch)
        for site in self.sites:
            theirs, ours = len(inherited.features[site.parent]), len(own[site.child])
            if theirs != ours or not ours:
                raise SiteError(
                    f"Site {site.name!r} is called {theirs} times in the parent and {ours} times "
                    "in the child; choose modules that both call equally often, and do call."
                )
        return output, own, inherited

    def first_features(self, batch) -> Iterator[tuple[Site, list[Tensor], list[Tensor]]]:
        """For `setup`: (site, the child's calls, the parent's), a fitting pair; moves nothing."""
        with torch.no_grad(), statistics_kept(self.child):
            _, own, inherited = self.features(batch)
        for site in self.sites:
            c, p = own[site.child], inherited.features[site.parent]
            check_pair(c[0], p[0], site.name)
            yield site, c, p


class Comparing(Method):
    """Base of methods that compare features as they are, at every site and call."""

    needs_sites = True
    least = 1  # examples that are compared
    compare: Callable[..., dict]  # compare(c, p, site) -> {term: (weight, scalar)}, or SiteError

    def setup(self, batch) -> None:
        for site, (c, *_), (p, *_) in self.first_features(batch):
            if len(c) < self.least:
                said = f"{self.title} compares {self.least} examples or more, and it has {len(c)}"
                raise SiteError(f"Site {site.name!r}: {said}; use larger batches.")
            self.compare(c, p, site.name)

    def forward(self, batch) -> dict[str, Tensor]:
        """L_c, and each term's weight times its sum over sites and calls."""
        output, own, inherited = self.features(batch)
        weights: dict[str, float] = {}
        found: dict[str, list[Tensor]] = {}
        for site in self.sites:
            for pair in zip(own[site.child], inherited.features[site.parent]):
                for name, (weights[name], value) in self.compare(*pair, site.name).items():
                    found.setdefault(name, []).append(value)
        sums = {name: weights[name] * torch.stack(values).sum() for name, values in found.items()}
        return {"L_c": self.loss(output, batch), **sums}


def _short(value: Any) -> str:
    """An option's value in a label: terms with a plus between them, a number without needless 0."""
    if isinstance(value, tuple):
        return "+".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
