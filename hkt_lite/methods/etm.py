"""Extraction, Transfer, Mixture: the three stages of inheritance at a site.

output, features = Extraction(parent, predict, ["avgpool"])(batch)   # without gradients
p = transfer(features["avgpool"][0], c)                              # in the child's shape
m = mixture(c, p)                                                    # under Genetic Attention
"""

from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import KINDS, gate, mix, share
from .options import Options, choice, number
from .sites import SiteError, record

Widths = Sequence[tuple[int, int]]  # (parent's, child's) channels of each slice


class Extraction:
    """Reads the frozen parent, in evaluation mode, at all sites in one pass.

    Not an `nn.Module`: the parent is no part of a method's parameters, checkpoint or `.train()`.
    """

    def __init__(self, parent: nn.Module, predict: Callable, paths: Sequence[str]):
        self.parent = parent.eval().requires_grad_(False)
        self.predict, self.paths = predict, paths

    @torch.no_grad()
    def __call__(self, batch, enough: bool = False) -> tuple[object, dict[str, list[Tensor]]]:
        """(the parent's output, {path: [feature of each call]}).

        With `enough` the parent stops once every path has been called, and the output is None.
        Raises SiteError for sites that are missing or not tensors.
        """
        self.parent.eval()  # somebody may have called .train() on it since
        output = None
        with record(self.parent, self.paths, enough) as features:
            output = self.predict(self.parent, batch)
        return output, features


def projection(inputs: int, outputs: int, ndim: int) -> nn.Module:
    """A trainable linear map of the channels of features of rank `ndim`: Linear or 1x1 conv."""
    if ndim == 2:
        return nn.Linear(inputs, outputs)
    return {3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}[ndim](inputs, outputs, kernel_size=1)


def precise(x: Tensor) -> Tensor:
    """x in single precision at least; half, as under autocast, loses what a loss compares."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def resized(x: Tensor, like: Tensor) -> Tensor:
    """x (B, C, ...) at the resolution of `like` (B, C', ...), (bi/tri)linearly."""
    if x.shape[2:] == like.shape[2:]:
        return x
    mode = {3: "linear", 4: "bilinear", 5: "trilinear"}[x.ndim]
    return F.interpolate(x, like.shape[2:], mode=mode, align_corners=False)


class Transfer(nn.Module):
    """T brings a parent feature to the child's shape; `back` (T_back) returns a mixture.

    Identity where the channels agree, as released for ResNet, else a 1x1 projection both ways; maps
    are resized.  `fit` sets T to the top principal directions of the parent's feature and T_back to
    its transpose around the same mean, so that the parent's tail works from the first step.
    """

    def __init__(self, parent_channels: int, child_channels: int, ndim: int):
        super().__init__()
        self.identity = parent_channels == child_channels
        self.to_child: Any = nn.Identity()
        self.to_parent: Any = nn.Identity()
        if not self.identity:
            self.to_child = projection(parent_channels, child_channels, ndim)
            self.to_parent = projection(child_channels, parent_channels, ndim)

    @torch.no_grad()
    def fit(self, p: Tensor) -> Self:
        """Initialise from one batch of parent features p (B, C_p, ...)."""
        if self.identity:
            return self
        rows = p.movedim(1, -1).flatten(0, -2).double()  # (B * positions, C_p)
        mean = rows.mean(0)
        directions = torch.linalg.eigh((rows - mean).T @ (rows - mean)).eigenvectors.flip(1)
        width = self.to_child.weight.shape[0]
        top = directions[:, :width].T  # (C_c, C_p); more channels than directions stay 0
        top = F.pad(top, (0, 0, 0, width - top.shape[0]))
        top = top * torch.where(top.sum(1, keepdim=True) < 0, -1.0, 1.0)  # they have no own sign
        self.to_child.weight.copy_(top.reshape(self.to_child.weight.shape))
        self.to_child.bias.copy_(-(top @ mean))
        self.to_parent.weight.copy_(top.T.reshape(self.to_parent.weight.shape))
        self.to_parent.bias.copy_(mean)
        return self

    def forward(self, p: Tensor, like: Tensor) -> Tensor:
        """T(p): (B, C_p, ...) -> the shape of the child's feature `like` (B, C_c, ...)."""
        return resized(self.to_child(p), like)

    def back(self, m: Tensor, like: Tensor) -> Tensor:
        """T_back(m): (B, C_c, ...) -> the shape of the parent's feature `like`."""
        return resized(self.to_parent(m), like)


class Parts(nn.Module):
    """A Transfer for each slice of a feature, such as RAFT's context: hidden state | input."""

    def __init__(self, transfers: Sequence[nn.Module], widths: Widths):
        super().__init__()
        self.transfers: Any = nn.ModuleList(transfers)
        self.parent_widths, self.child_widths = map(list, zip(*widths))

    def forward(self, p: Tensor, like: Tensor) -> Tensor:
        parts = p.split(self.parent_widths, 1), like.split(self.child_widths, 1)
        return torch.cat([T(*pair) for T, *pair in zip(self.transfers, *parts)], 1)

    def back(self, m: Tensor, like: Tensor) -> Tensor:
        parts = m.split(self.child_widths, 1), like.split(self.parent_widths, 1)
        return torch.cat([T.back(*pair) for T, *pair in zip(self.transfers, *parts)], 1)


def check_pair(c: Tensor, p: Tensor, site: str) -> None:
    """Raises SiteError naming the site when rank or batch of two features differ."""
    if c.ndim != p.ndim or c.shape[0] != p.shape[0] or not 2 <= c.ndim <= 5:
        raise SiteError(
            f"Site {site!r}: the parent's feature {tuple(p.shape)} and the child's "
            f"{tuple(c.shape)} differ in rank or batch; only width and resolution may differ."
        )


def fitting(c: Tensor, p: Tensor, site: str, parts: Widths = ()) -> Transfer | Parts:
    """A fitted Transfer between one batch of features, slice by slice where there are `parts`.

    Raises SiteError where rank or batch differ or the parts do not add up to the channels.
    """
    check_pair(c, p, site)
    if not parts:
        transfer = Transfer(p.shape[1], c.shape[1], c.ndim)
        return transfer.to(c.device, torch.promote_types(p.dtype, torch.float32)).fit(p)
    theirs, own = map(list, zip(*parts))
    if (sum(theirs), sum(own)) != (p.shape[1], c.shape[1]):
        raise SiteError(
            f"Site {site!r}: its parts {list(parts)} do not add up to the {p.shape[1]} and "
            f"{c.shape[1]} channels it has."
        )
    slices = zip(c.split(own, 1), p.split(theirs, 1))
    return Parts([fitting(a, b, site) for a, b in slices], parts)


class Mixture(nn.Module):
    """Joins c and T(p) under a kind of Genetic Attention; `parts` are slices mixed each alone."""

    class Options(Options):
        kind: str = choice(*KINDS)
        lam: float = number(0.6, 0, 1)

    def __init__(self, kind: str = "gate", lam: float = 0.6):
        super().__init__()
        given = self.Options(kind=kind, lam=lam)
        self.kind, self.lam = given.kind, given.lam

    def forward(self, c: Tensor, p: Tensor, parts: Widths = ()) -> Tensor:
        return torch.cat([mix(*pair, self.kind, self.lam) for pair in _slices(c, p, parts)], 1)

    @torch.no_grad()
    def observe(self, c: Tensor, p: Tensor, m: Tensor, parts: Widths = ()) -> dict[str, Tensor]:
        """Per sample (B,), means over positions.

        gate          g of the whole feature, also where `parts` have gates of their own
        share         rho, how much of the way to the parent is gone; of `parts` the mean by width
        displacement  |m - c| / |c|, how far the mixture moved the child's feature
        """
        shares = [
            share(own, theirs, self.kind, self.lam).flatten(1).mean(1) * own.shape[1] / c.shape[1]
            for own, theirs in _slices(c, p, parts)
        ]
        moved = (m - c).flatten(1).norm(dim=1) / c.flatten(1).norm(dim=1).clamp_min(1e-12)
        return {
            "gate": gate(c, p).flatten(1).mean(1),
            "share": torch.stack(shares).sum(0),
            "displacement": moved,
        }


def _slices(c: Tensor, p: Tensor, parts: Widths) -> list[tuple[Tensor, Tensor]]:
    widths = [own for _, own in parts] or c.shape[1]
    return list(zip(c.split(widths, 1), p.split(widths, 1)))
