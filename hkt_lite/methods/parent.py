"""Where a method gets the parent from: *live* (it runs beside the child) or *cached* (it ran once, on K fixed views of each image).

A cached parent costs the training step nothing but a look-up.  Methods are compared only on the same views.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .etm import Extraction
from .sites import Site, SiteError, replay


class Inherited(NamedTuple):
    """What the parent says about a batch."""

    output: object  # of the parent's normal pass
    features: dict[
        str, list[Tensor]
    ]  # path -> one tensor a call: the sites and what is upstream of them


class Live:
    """The parent, read by one gradient-free pass for every batch."""

    def __init__(
        self,
        parent: nn.Module,
        predict: Callable,
        sites: Sequence[Site] = (),
        predict_tail: Callable | None = None,
    ):
        self.parent, self.predict, self.predict_tail = parent, predict, predict_tail or predict
        self.short = bool(sites) and all(site.alone for site in sites)
        self.upstream = tuple(
            dict.fromkeys(path for site in sites for path in site.upstream_parent)
        )
        self.extraction = Extraction(
            parent, predict, [*(site.parent for site in sites), *self.upstream]
        )

    def __call__(self, batch, output: bool = True) -> Inherited:
        """The parent's features and output; without `output` it runs no further than its last site."""
        return Inherited(*self.extraction(batch, enough=not output and self.short))

    def tail(self, values: dict[str, list[Tensor]], inherited: Inherited, batch):
        """The parent's output when its sites return `values`; differentiated with respect to these, never to its weights."""
        self.parent.eval()  # somebody may have called .train() on it since
        known = {path: inherited.features[path] for path in self.upstream}
        with replay(self.parent, {**known, **values}):
            return self.predict_tail(self.parent, batch)


class Cached(Live):
    """The parent's pooled features and outputs for every image and view, in half precision; filled once by `fill`.

    A batch must have `.key`, the row of each of its images in the cache.  Only vectors (B, C) are kept: a map site is refused
    with the bytes it would take.
    """

    def __init__(
        self,
        parent: nn.Module,
        predict: Callable,
        sites: Sequence[Site] = (),
        predict_tail: Callable | None = None,
    ):
        super().__init__(parent, predict, sites, predict_tail)
        self.paths = tuple(dict.fromkeys(site.parent for site in sites))
        self.extraction = Extraction(parent, predict, self.paths)
        self.rows: dict[str, Tensor] = {}

    def fill(self, batches: Iterable, rows: int) -> Cached:
        """Run the parent over `batches` whose keys cover 0 … rows - 1.  Raises SiteError for a map site or a key left out."""
        filled, kept = torch.zeros(rows, dtype=torch.bool), {}
        for batch in batches:
            output, features = self.extraction(batch)
            for name, value in {
                "": output,
                **{path: calls[0] for path, calls in features.items()},
            }.items():
                if not isinstance(value, Tensor) or value.ndim != 2:
                    size = 2 * rows * value[0].numel() if isinstance(value, Tensor) else 0
                    raise SiteError(
                        f"Site {name or 'output'!r} cannot be cached: only vectors are, and {rows} rows of it "
                        f"would take {size:,} bytes; use the live parent."
                    )
                if name not in kept:
                    kept[name] = torch.zeros(
                        rows, value.shape[1], dtype=torch.float16, device=value.device
                    )
                kept[name][batch.key] = value.half()
            filled[batch.key.cpu()] = True
        if not filled.all():
            raise SiteError(f"The parent's cache lacks {int((~filled).sum())} of {rows} rows.")
        self.rows = kept
        return self

    def __call__(self, batch, output: bool = True) -> Inherited:
        if not self.rows:
            raise SiteError("The parent's cache is empty; call fill(batches, rows) first.")
        if (highest := int(batch.key.max())) >= (rows := len(self.rows[""])):
            raise SiteError(
                f"The batch has key {highest}, but the parent's cache has {rows} rows; fill it with every image and view."
            )
        read = {name: kept[batch.key].float() for name, kept in self.rows.items()}
        return Inherited(read.pop(""), {path: [value] for path, value in read.items()})

    def tail(self, values: dict[str, list[Tensor]], inherited: Inherited, batch):
        """As `Live.tail`; what is upstream of a pooled site passes its input through, for nothing downstream looks at it."""
        self.parent.eval()
        through = {
            path: [batch_input(batch).clone()] for path in self.upstream
        }  # cloned: a model may work in place
        with replay(self.parent, {**through, **values}):
            return self.predict_tail(self.parent, batch)


def batch_input(batch) -> Tensor:
    """The first tensor of a batch, a cheap stand-in for outputs nobody reads."""
    return next(
        value
        for value in (batch if isinstance(batch, (tuple, list)) else [batch])
        if isinstance(value, Tensor)
    )
