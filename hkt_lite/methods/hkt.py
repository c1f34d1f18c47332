"""Hereditary Knowledge Transfer: three losses, one child pass, one gradient-free look at the parent.

    L_c   the child's own loss
    L_c*  the child's loss when its sites return the mixture m of its own feature and the parent's
    L_p*  the loss of the parent's tail when its sites return T_back(m)

The released trainer runs both networks twice a step with a graph through the parent; the numbers here are the same (see
tests/reference), because the second runs repeat the first.  Differences we chose: the parent is in evaluation mode (the release leaves
it in training mode, where its batch statistics drift), and running statistics are updated once a step instead of twice.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .etm import Mixture, fitting
from .method import Method
from .sites import SiteError, record, replay, statistics_kept

TERMS = ("L_c", "L_c*", "L_p*")


class HKT(Method):
    """`kind` and `lam` as in `attention.mix`; `terms` says which of the three losses are summed (all of them in the release)."""

    needs_sites = hooks_modules = True

    def __init__(
        self,
        child,
        parent,
        *,
        kind: str = "gate",
        lam: float = 0.6,
        terms: Sequence[str] = TERMS,
        **parts,
    ):
        super().__init__(child, parent, **parts)
        if not self.sites:
            raise ValueError(
                "HKT needs at least one site, a pair of module paths such as Site('avgpool', 'avgpool')."
            )
        if unknown := set(terms) - set(TERMS):
            raise ValueError(f"HKT has no term {min(unknown)!r}; known: {', '.join(TERMS)}.")
        for side, paths in (
            ("parent", [site.parent for site in self.sites]),
            ("child", [site.child for site in self.sites]),
        ):
            if twice := {path for path in paths if paths.count(path) > 1}:
                raise SiteError(
                    f"Two sites share the {side}'s module {min(twice)!r}; a module can be the place of one mixture only."
                )
        self.terms = tuple(terms)
        self.mixture = Mixture(kind, lam)
        self.transfers: nn.ModuleList | None = None  # one a site, fitted on the first batch
        self.upstream = tuple(
            dict.fromkeys(path for site in self.sites for path in site.upstream_child)
        )
        self._observed: dict[
            str, list[dict[str, Tensor]]
        ] = {}  # site -> what Mixture saw at each call

    def setup(self, batch) -> None:
        """Fit the Transfers between parent and child on one training batch; call it before the optimizer is made."""
        inherited = self.parent(batch, output=False)
        with (
            torch.no_grad(),
            statistics_kept(self.child),
            record(self.child, [site.child for site in self.sites]) as own,
        ):
            self.predict(self.child, batch)
        self.transfers = nn.ModuleList(self._fitted(site, own, inherited) for site in self.sites)

    def _fitted(self, site, own, inherited):
        c, p = own[site.child], inherited.features[site.parent]
        if not c or len(c) != len(p):
            raise SiteError(
                f"Site {site.name!r} is called {len(p)} times in the parent and {len(c)} times in the child; "
                "the numbers must agree and not be 0."
            )
        alike = len({x.shape for x in c}) == len({x.shape for x in p}) == 1
        c, p = (
            torch.cat(calls) if alike else calls[0] for calls in (c, p)
        )  # all calls of a loop, where they are alike
        return fitting(c.detach(), p, site.name, site.parts)

    def forward(self, batch) -> dict[str, Tensor]:
        if self.transfers is None:
            self.setup(batch)
            if any(True for _ in self.transfers.parameters()):
                self.transfers = None
                raise SiteError(
                    "These sites need a projection: call setup(batch) once before the optimizer is made, "
                    "so that it trains the projection too."
                )
        inherited = self.parent(batch, output=False)  # Extraction
        with record(self.child, [*(site.child for site in self.sites), *self.upstream]) as own:
            output = self.predict(self.child, batch)
        terms = {"L_c": self.loss(output, batch)}
        mixed: dict[str, list[Tensor]] = {site.parent: [] for site in self.sites}
        self._observed = {site.name: [] for site in self.sites}
        if "L_c*" in self.terms:  # the child once more, from the sites on
            mixing = {
                site.child: self._mixing(site, transfer, inherited, mixed)
                for site, transfer in zip(self.sites, self.transfers)
            }
            mixing |= {
                site.child: [mixing[site.child](c, call) for call, c in enumerate(own[site.child])]
                for site in self.sites
                if site.alone
            }
            with (
                statistics_kept(self.child),
                replay(self.child, {**{path: own[path] for path in self.upstream}, **mixing}),
            ):
                terms["L_c*"] = self.loss(self.predict(self.child, batch), batch)
        elif "L_p*" in self.terms:
            for site, transfer in zip(self.sites, self.transfers):
                mix = self._mixing(site, transfer, inherited, mixed)
                for call, c in enumerate(own[site.child]):
                    mix(c, call)
        if "L_p*" in self.terms:  # the parent's tail on the same mixture
            back = {
                site.parent: [
                    transfer.back(m, p)
                    for m, p in zip(mixed[site.parent], inherited.features[site.parent])
                ]
                for site, transfer in zip(self.sites, self.transfers)
            }
            terms["L_p*"] = self.loss(self.parent.tail(back, inherited, batch), batch)
        return {name: terms[name] for name in self.terms}

    def _mixing(self, site, transfer, inherited, mixed):
        """The function that takes a module's place at `site`: own feature -> mixture with the parent's, call by call."""

        def mix(c: Tensor, call: int) -> Tensor:
            p = transfer(inherited.features[site.parent][call], c)  # Transfer
            widths = [own for _, own in site.parts] or c.shape[1]
            m = torch.cat(
                [self.mixture(*slices) for slices in zip(c.split(widths, 1), p.split(widths, 1))], 1
            )  # Mixture under Genetic Attention
            mixed[site.parent].append(m)
            self._observed[site.name].append(self.mixture.observe(c, p, m))
            return m

        return mix

    def observe(self) -> dict[str, Tensor]:
        """Gate and inherited share of each sample, mean over calls; of several sites also apart, as 'gate at SITE'."""
        found: dict[str, Tensor] = {}
        for site, calls in self._observed.items():
            for name in calls[0] if calls else ():
                values = torch.stack([seen[name] for seen in calls]).mean(0)
                found[f"{name} at {site}"] = values
                found[name] = torch.cat([found[name], values]) if name in found else values
        return (
            found
            if len(self._observed) > 1
            else {name: values for name, values in found.items() if " at " not in name}
        )
