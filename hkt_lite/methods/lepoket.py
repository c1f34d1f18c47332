"""LePoKet, HKT's follow-up: attention with projections, gate and lambda that are learnt.

    m = c + lam a (V - c),  a = (sigmoid(<Q,K> / sqrt(C)) + sigmoid(MLP(Q * K))) / 2

Q is linear in c, K and V in p; the loss is the task's, of the mixed pass alone.  Tchenko, Mohr,
Hadj Abdelkader and Tabia, "Can knowledge transfer parameters be learned?", arXiv 2609.16637, 2026.

At test time: they say that the parent serves in training only and give no rule, with a head that
was trained on mixtures.  Here the child is tested as any other, alone, on its own feature; `terms`
may add L_c, which trains that pass, too.
"""

import torch
from torch import Tensor, nn

from .etm import Widths, precise
from .hkt import HKT
from .method import Method
from .options import subset
from .sites import Site


class LearntAttention(nn.Module):
    """In place of a `Mixture`, for C channels in all; slices of a feature share the gate.

    As released: Q, K, V without bias, Kaiming initialisation, lam from U(0, 1) and not clamped.
    """

    def __init__(self, C: int):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(C, C, bias=False) for _ in range(3))
        self.score = nn.Sequential(nn.Linear(C, C), nn.ReLU(), nn.Linear(C, 1))
        for layer in (self.query, self.key, self.value, self.score[0], self.score[2]):
            nn.init.kaiming_normal_(layer.weight)
        self.lam = nn.Parameter(torch.rand(()))

    def gate(self, c: Tensor, p: Tensor) -> Tensor:
        """a (B, 1, ...) of c and p (B, C, ...)."""
        product = self.query(c.movedim(1, -1)) * self.key(p.movedim(1, -1))
        alike = product.sum(-1, keepdim=True) / c.shape[1] ** 0.5
        return ((torch.sigmoid(alike) + torch.sigmoid(self.score(product))) / 2).movedim(-1, 1)

    def forward(self, c: Tensor, p: Tensor, parts: Widths = ()) -> Tensor:
        value = self.value(p.movedim(1, -1)).movedim(-1, 1)
        return c + self.lam * self.gate(c, p) * (value - c)

    @torch.no_grad()
    def observe(self, c: Tensor, p: Tensor, m: Tensor, parts: Widths = ()) -> dict[str, Tensor]:
        """As `Mixture.observe`; the share is that of V."""
        gate = self.gate(c, p).flatten(1).mean(1)
        moved = (m - c).flatten(1).norm(dim=1) / c.flatten(1).norm(dim=1).clamp_min(1e-12)
        return {"gate": gate, "share": self.lam * gate, "displacement": moved}


class LePoKet(HKT):
    """L_c*, the child's loss when its sites return m; one attention a site."""

    name, title, order = "lepoket", "LePoKet", 110

    class Options(Method.Options):
        terms: tuple[str, ...] = subset("L_c", "L_c*", default=("L_c*",))

    @classmethod
    def needs_maps(cls, options: dict) -> bool:
        return False

    @classmethod
    def label(cls, options: dict, sites: str | None = None) -> str:
        return super(HKT, cls).label(options, sites)  # it has no form without mixing

    def joint(self) -> nn.Module:
        return nn.ModuleDict()

    def mixture_at(self, site: Site) -> nn.Module:
        return self.mixture[str(self.sites.index(site))]

    def _fitted(self, site: Site, own: list[Tensor], theirs: list[Tensor]) -> nn.Module:
        attention = LearntAttention(own[0].shape[1]).to(precise(own[0]))
        self.mixture[str(self.sites.index(site))] = attention
        return super()._fitted(site, own, theirs)
