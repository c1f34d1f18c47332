"""Where a method gets the parent from: *live*, it runs with the child, batch by batch.

Or *cached*: it ran once, on K fixed views of each image, and costs a training step a look-up;
methods are compared only on the same views.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from .etm import Extraction
from .sites import Site, SiteError, replay


class Inherited(NamedTuple):
    """What the parent says about a batch."""

    output: object  # of the parent's normal pass
    features: dict[str, list[Tensor]]  # path -> one tensor a call: the sites, what is upstream


class Live(Extraction):
    """The parent, read at its sites, and upstream of them, by one pass for every batch."""

    def __init__(
        self,
        parent: nn.Module,
        predict: Callable,
        sites: Sequence[Site] = (),
        predict_tail: Callable | None = None,
    ):
        self.sites = [site.parent for site in sites]
        self.upstream = [path for site in sites for path in site.upstream_parent]
        super().__init__(parent, predict, [*self.sites, *self.upstream])
        self.predict_tail = predict_tail or predict
        self.short = all(site.alone for site in sites)

    def __call__(self, batch, output: bool = True) -> Inherited:
        """Its features and output; without `output` it runs no further than its last site."""
        return Inherited(*super().__call__(batch, enough=not output and self.short))

    def tail(self, values: dict[str, list[Tensor]], inherited: Inherited, batch):
        """The parent's output when its sites return `values`; differentiable in these."""
        self.parent.eval()  # somebody may have called .train() on it since
        with replay(self.parent, {**self._known(inherited, batch), **values}):
            return self.predict_tail(self.parent, batch)

    def _known(self, inherited: Inherited, batch) -> dict[str, list[Tensor]]:
        """What the modules upstream of the sites return in the tail's pass."""
        return {path: inherited.features[path] for path in self.upstream}


def in_memory(name: str, like: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Room for `shape` in half precision, on the device of `like`."""
    return like.new_zeros(shape, dtype=torch.float16)


class Cached(Live):
    """The parent's features and outputs for every image and view, in half precision.

    Filled once by `fill`.  A batch must have `.key`, the row of each of its images in the cache.

    Vectors are small.  Maps may have twenty times the bytes of their image and more, so they belong
    on disk (`fill` uses the room it is given), and each step reads those of its batch.  The live
    parent is cheaper where its pass takes no longer than that reading, as a small one's on a GPU
    may, and where a run has no more epochs than views and shares them with no other run.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.paths = self.sites
        self.rows: dict[str, Tensor] = {}  # path -> (rows, C, ...); the output under ""

    def shapes(self, batch) -> dict[str, tuple[int, ...]]:
        """{path: shape of one row}, the output under ""; raises as `fill`."""
        return {name: tuple(value.shape[1:]) for name, value in self._said(batch).items()}

    def fill(self, batches: Iterable, rows: int, room: Callable = in_memory) -> Self:
        """Run the parent over `batches` and keep what it says in what `room` returns; SiteError
        for what is no one tensor a pass, and where a key of 0 … rows - 1 is left out."""
        filled, cache = torch.zeros(rows, dtype=torch.bool), {}
        for batch in batches:
            for name, value in self._said(batch).items():
                if name not in cache:
                    cache[name] = room(name, value, (rows, *value.shape[1:]))
                kept = cache[name]
                kept[batch.key.to(kept.device)] = value.to(kept.device, torch.float16)
            filled[batch.key.cpu()] = True
        if not filled.all():
            raise SiteError(f"The parent's cache lacks {int((~filled).sum())} of {rows} rows.")
        self.rows = cache
        return self

    def _said(self, batch) -> dict[str, Tensor]:
        """The parent's output, under "", and its feature at each site."""
        output, features = super().__call__(batch)
        if not isinstance(output, Tensor):
            raise SiteError(f"A {type(output).__name__} cannot be cached; use the live parent.")
        for path, calls in features.items():
            if len(calls) != 1:
                said = f"Site {path!r} is called {len(calls)} times in a pass"
                raise SiteError(f"{said} and cannot be cached; use the live parent.")
        return {"": output, **{path: calls[0] for path, calls in features.items()}}

    def __call__(self, batch, output: bool = True) -> Inherited:
        """As `Live`, from the cache.  Raises SiteError where it has no such row."""
        if not self.rows:
            raise SiteError("The parent's cache is empty; call fill(batches, rows) first.")
        highest, rows = int(batch.key.max()), len(self.rows[""])
        if highest >= rows:
            raise SiteError(f"Key {highest} is not among the {rows} rows of the parent's cache.")
        key = batch.key
        read = {name: x[key.to(x.device)].to(key.device).float() for name, x in self.rows.items()}
        return Inherited(read.pop(""), {path: [value] for path, value in read.items()})

    def _known(self, inherited: Inherited, batch) -> dict[str, list[Tensor]]:
        """Nobody reads what is upstream of a pooled site: the batch's first tensor stands in; what
        is upstream of a map is computed."""
        if any(calls[0].ndim > 2 for calls in inherited.features.values()):
            return {}
        values = batch if isinstance(batch, (tuple, list)) else [batch]
        stand_in = next(value for value in values if isinstance(value, Tensor))
        return {path: [stand_in.clone()] for path in self.upstream}  # a model may work in place
