"""Extraction, Transfer, Mixture: the three stages of inheritance at a site.

features = Extraction(parent, predict, ["avgpool"])(batch)     # what the parent knows, without gradients
p = transfer(features["avgpool"][0])                           # in the child's shape
m = mixture(c, p)                                              # joined under Genetic Attention
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import KINDS, gate, mix
from .sites import SiteError, record

RESIZE = {3: "linear", 4: "bilinear", 5: "trilinear"}  # by rank of the feature


class Extraction:
    """Reads the frozen parent at all sites in one pass.  The parent is switched to evaluation and its weights need no gradient.

    Not an `nn.Module`: the parent must not appear in the child's parameters, checkpoint or `.train()`.
    """

    def __init__(self, parent: nn.Module, predict: Callable, paths: Sequence[str]):
        self.parent, self.predict, self.paths = (
            parent.eval().requires_grad_(False),
            predict,
            tuple(dict.fromkeys(paths)),
        )

    @torch.no_grad()
    def __call__(self, batch, enough: bool = False) -> tuple[object, dict[str, list[Tensor]]]:
        """(the parent's output, {path: [feature of each call]}).  Raises SiteError for sites that are missing or not tensors.

        With `enough` the parent stops as soon as every path has been called once, and the output is None.
        """
        self.parent.eval()  # somebody may have called .train() on it since
        output = None
        with record(self.parent, self.paths, enough) as features:
            output = self.predict(self.parent, batch)
        return output, features


class Transfer(nn.Module):
    """T brings a parent feature to the child's channels and resolution; `back` (T_back) returns a mixture to the parent's.

    Identity where the channels agree, else a 1x1 projection both ways; maps of another resolution are resized (bi/tri)linearly.
    `fit` sets T to the top principal directions of the parent's feature and T_back to its transpose around the same mean,
    so that the parent's tail works from the first step.  Identity as released for ResNet; the rest is our choice.
    """

    def __init__(self, parent_channels: int, child_channels: int, ndim: int):
        super().__init__()
        self.identity = parent_channels == child_channels
        layer = {2: nn.Linear, 3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}[ndim]
        one = {} if ndim == 2 else {"kernel_size": 1}
        self.to_child = (
            nn.Identity() if self.identity else layer(parent_channels, child_channels, **one)
        )
        self.to_parent = (
            nn.Identity() if self.identity else layer(child_channels, parent_channels, **one)
        )

    @torch.no_grad()
    def fit(self, p: Tensor) -> Transfer:
        """Initialise from one batch of parent features p (B, C_p, ...); nothing to do for the identity."""
        if not self.identity:
            rows = p.movedim(1, -1).flatten(0, -2).double()  # (B * positions, C_p)
            mean = rows.mean(0)
            directions = torch.linalg.eigh((rows - mean).T @ (rows - mean)).eigenvectors.flip(1)
            width = self.to_child.weight.shape[0]
            top = directions[:, :width].T  # (C_c, C_p); more channels than directions stay 0
            top = F.pad(top, (0, 0, 0, width - top.shape[0]))
            top = top * torch.where(
                top.sum(1, keepdim=True) < 0, -1.0, 1.0
            )  # eigenvectors have no sign of their own
            self.to_child.weight.copy_(top.reshape(self.to_child.weight.shape))
            self.to_child.bias.copy_(-(top @ mean))
            self.to_parent.weight.copy_(top.T.reshape(self.to_parent.weight.shape))
            self.to_parent.bias.copy_(mean)
        return self

    def forward(self, p: Tensor, like: Tensor) -> Tensor:
        """T(p): (B, C_p, ...) -> the shape of the child's feature `like` (B, C_c, ...)."""
        return _resized(self.to_child(p), like)

    def back(self, m: Tensor, like: Tensor) -> Tensor:
        """T_back(m): (B, C_c, ...) -> the shape of the parent's feature `like`."""
        return _resized(self.to_parent(m), like)


class Parts(nn.Module):
    """A Transfer for each slice of a feature whose channels play several roles, such as RAFT's context (hidden state | input)."""

    def __init__(self, transfers: Sequence[Transfer], widths: Sequence[tuple[int, int]]):
        super().__init__()
        self.transfers, self.theirs, self.own = nn.ModuleList(transfers), *map(list, zip(*widths))

    def forward(self, p: Tensor, like: Tensor) -> Tensor:
        return self._each("forward", p, self.theirs, like, self.own)

    def back(self, m: Tensor, like: Tensor) -> Tensor:
        return self._each("back", m, self.own, like, self.theirs)

    def _each(self, way: str, x: Tensor, widths, like: Tensor, wanted) -> Tensor:
        parts = zip(self.transfers, x.split(widths, 1), like.split(wanted, 1))
        return torch.cat(
            [getattr(transfer, way)(part, beside) for transfer, part, beside in parts], 1
        )


def _resized(x: Tensor, like: Tensor) -> Tensor:
    return (
        x
        if x.shape[2:] == like.shape[2:]
        else F.interpolate(x, like.shape[2:], mode=RESIZE[x.ndim], align_corners=False)
    )


def fitting(
    c: Tensor, p: Tensor, site: str, parts: Sequence[tuple[int, int]] = ()
) -> Transfer | Parts:
    """A fitted Transfer between one batch of features, slice by slice where there are `parts`.

    Raises SiteError naming the site when rank or batch differ, and when the parts do not add up to the channels.
    """
    if c.ndim != p.ndim or c.shape[0] != p.shape[0] or not 2 <= c.ndim <= 5:
        raise SiteError(
            f"Site {site!r}: the parent's feature {tuple(p.shape)} and the child's {tuple(c.shape)} differ in rank or batch; "
            "Transfer changes width and resolution only."
        )
    if parts:
        if (p.shape[1], c.shape[1]) != tuple(map(sum, zip(*parts))):
            raise SiteError(
                f"Site {site!r}: its parts {list(parts)} do not add up to the {p.shape[1]} and {c.shape[1]} channels it has."
            )
        slices = zip(
            c.split([own for _, own in parts], 1), p.split([theirs for theirs, _ in parts], 1)
        )
        return Parts([fitting(own, theirs, site) for own, theirs in slices], parts)
    return (
        Transfer(p.shape[1], c.shape[1], c.ndim)
        .to(c.device, torch.promote_types(p.dtype, torch.float32))
        .fit(p)
    )


class Mixture(nn.Module):
    """Joins the child's feature with the transferred one under a kind of Genetic Attention.  Nothing here is learned."""

    def __init__(self, kind: str = "gate", lam: float = 0.6):
        super().__init__()
        if kind not in KINDS:
            raise ValueError(
                f"Unknown kind of Genetic Attention {kind!r}; known: {', '.join(KINDS)}."
            )
        if not isinstance(lam, (int, float)) or not 0 <= lam <= 1:
            raise ValueError(f"lam is a share between 0 and 1, got {lam!r}.")
        self.kind, self.lam = kind, lam

    def forward(self, c: Tensor, p: Tensor) -> Tensor:
        return mix(c, p, self.kind, self.lam)

    @torch.no_grad()
    def observe(self, c: Tensor, p: Tensor, m: Tensor) -> dict[str, Tensor]:
        """Per sample: the gate g (mean over positions) and how far the mixture moved, |m - c| / |c|."""
        moved = (m - c).flatten(1).norm(dim=1) / c.flatten(1).norm(dim=1).clamp_min(1e-12)
        return {"gate": gate(c, p).flatten(1).mean(1), "inherited": moved}
