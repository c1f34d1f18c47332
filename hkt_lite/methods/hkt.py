"""Hereditary Knowledge Transfer: three losses, and one gradient-free look at the parent.

    L_c   the child's own loss
    L_c*  the child's loss when its sites return the mixture m of its own feature and the parent's
    L_p*  the loss of the parent's tail when its sites return T_back(m)

The released trainer runs both networks twice a step; the numbers here are the same (see
tests/reference), because the second runs repeat the first.  Differences we chose: the parent is in
evaluation mode (in the release its batch statistics drift), and running statistics are updated once
a step instead of twice.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .etm import Mixture, fitting
from .method import Method
from .options import subset
from .sites import Site, SiteError, record, replay, statistics_kept

TERMS = ("L_c", "L_c*", "L_p*")
Calls = dict[str, list[Tensor]]  # the child's path of a site -> one tensor a call


class HKT(Method):
    """The sum of the three losses, or of those named in `terms`; `kind` and `lam` as in `mix`."""

    name, title, order = "hkt", "HKT", 100
    needs_sites = True

    class Options(Mixture.Options):
        terms: tuple[str, ...] = subset(*TERMS)

    def __init__(self, child, parent, **given):
        super().__init__(child, parent, **given)
        self.check_distinct("parent", "child")
        self.terms = self.options.terms
        self.mixture: Any = self.joint()
        self.transfers: Any = None  # one a mixed site, fitted on the first batch
        self.read, self.mixed = self.split(self.sites)
        upstream = [path for site in self.mixed for path in site.upstream_child]
        self.upstream = [*upstream, *(site.child for site in self.read)]
        self._observed: dict[str, list[dict[str, Tensor]]] = {}  # site -> what each call showed

    @staticmethod
    def split(sites: Sequence[Site]) -> tuple[Sequence[Site], Sequence[Site]]:
        """(sites that are only read, which second passes replay; sites that are mixed)."""
        return (), sites

    def joint(self) -> nn.Module:
        return Mixture(self.options.kind, self.options.lam)

    def mixture_at(self, site: Site) -> Any:
        return self.mixture

    @classmethod
    def label(cls, options: dict, sites: str | None = None) -> str:
        given = cls.Options(**options)
        still = given.lam == 0 and given.kind != "static"  # m is c; static asks no lam
        if still and given.terms == ("L_c", "L_p*"):
            return ", ".join(["parent's head alone", *([f"at {sites}"] if sites else [])])
        return super().label(options, sites)

    @classmethod
    def needs_maps(cls, options: dict) -> bool:
        return cls.Options(**options).kind == "softmax"

    def setup(self, batch) -> None:
        """Fit the Transfers between parent and child; call it before the optimizer is made."""
        seen = {site: pair for site, *pair in self.first_features(batch)}
        self.transfers = nn.ModuleList(self._fitted(site, *seen[site]) for site in self.mixed)

    def _fitted(self, site: Site, own: list[Tensor], theirs: list[Tensor]) -> nn.Module:
        c, p = own[0], theirs[0]
        if self.needs_maps(self.options.plain()) and c.ndim < 3:
            raise SiteError(
                f"Site {site.name!r}: kind 'softmax' weighs positions, so it needs maps, "
                f"not vectors {tuple(c.shape)}; choose another site or kind."
            )
        if len({x.shape for x in own}) == len({x.shape for x in theirs}) == 1:
            c, p = torch.cat(own), torch.cat(theirs)  # all calls of a loop, where they are alike
        return fitting(c, p, site.name, site.parts)

    def forward(self, batch) -> dict[str, Tensor]:
        self._need_transfers(batch)
        pairs = list(zip(self.mixed, self.transfers))
        output, own, inherited = self.features(batch, self.upstream)  # Extraction
        theirs = inherited.features
        p = {s.child: list(map(T, theirs[s.parent], own[s.child])) for s, T in pairs}  # Transfer
        c, m, terms = own, Calls(), {"L_c": self.loss(output, batch)}
        if "L_c*" in self.terms:
            output, c, m = self._mixed_pass(batch, own, p)  # Mixture
            terms["L_c*"] = self.loss(output, batch)
        elif "L_p*" in self.terms:
            m = {site.child: self._mixtures(site, own, p) for site in self.mixed}
        if "L_p*" in self.terms:
            back = {site.parent: theirs[site.parent] for site in self.read}
            for s, T in pairs:
                back[s.parent] = list(map(T.back, m[s.child], theirs[s.parent]))
            terms["L_p*"] = self.loss(self.parent.tail(back, inherited, batch), batch)
        for site in self.mixed:
            calls = zip(c[site.child], p[site.child], m.get(site.child, ()))
            mixture = self.mixture_at(site)
            self._observed[site.name] = [mixture.observe(*call, site.parts) for call in calls]
        return {**{name: terms[name] for name in self.terms}, **self.further(own, theirs)}

    def further(self, own: Calls, theirs: Calls) -> dict[str, Tensor]:
        """Terms that a kin of HKT adds, of the features of the child's first pass; here none."""
        return {}

    def _need_transfers(self, batch) -> None:
        """Only sites that need no projection can do without `setup`."""
        if self.transfers is None:
            self.setup(batch)
            if list(self.extra_parameters()):
                self.transfers = None
                raise SiteError(
                    f"{self.title}: call setup(batch) once before the optimizer is made, so that "
                    "it trains the projections that these sites need."
                )

    def _mixtures(self, site: Site, c: Calls, p: Calls) -> list[Tensor]:
        mixture, calls = self.mixture_at(site), zip(c[site.child], p[site.child])
        return [mixture(*call, site.parts) for call in calls]

    def _mixed_pass(self, batch, own: Calls, p: Calls) -> tuple[object, Calls, Calls]:
        """The child once more: (output, its features c, which follow earlier mixtures, and m)."""

        def mixing(site: Site, c: Tensor, call: int) -> Tensor:
            return self.mixture_at(site)(c, p[site.child][call], site.parts)

        paths = [site.child for site in self.mixed]
        places: dict = {path: own[path] for path in self.upstream}
        for site in self.mixed:
            places[site.child] = partial(mixing, site)
            if site.alone:  # not executed once more
                places[site.child] = self._mixtures(site, own, p)
        with (
            statistics_kept(self.child),
            record(self.child, paths) as c,  # what the modules return …
            replay(self.child, places),
            record(self.child, paths) as m,  # … and what takes its place
        ):
            output = self.predict(self.child, batch)
        return output, {path: c[path] or own[path] for path in paths}, m

    def observe(self) -> dict[str, Tensor]:
        """As `Mixture.observe`, mean over calls; of several sites also apart, as 'gate at SITE'."""
        joined: dict[str, list[Tensor]] = {}
        apart: dict[str, Tensor] = {}
        for site, calls in self._observed.items():
            for name in calls[0] if calls else ():
                values = torch.stack([seen[name] for seen in calls]).mean(0)
                apart[f"{name} at {site}"] = values
                joined.setdefault(name, []).append(values)
        found = {name: torch.cat(values) for name, values in joined.items()}
        return {**found, **apart} if len(self.mixed) > 1 else found
