"""Genetic Attention: how much of the parent's feature p enters the child's feature c.

c is the query, p is key and value; C channels.  Vectors (B, C) are gated per sample, maps
(B, C, H, W[, D]) per position.

| kind         | mixture m                              | share rho   | where it is from         |
|--------------|----------------------------------------|-------------|--------------------------|
| gate         | c + lam (p - GA), GA = g p + (1 - g) c | lam (1 - g) | release, default         |
| forward_gate | c + lam g (p - c)                      | lam g       | ours: gate not inverted  |
| static       | 0.7 p + 0.3 c                          | 0.7         | release, unused there    |
| softmax      | c + lam (1 - a) p                      | lam (1 - a) | release, unused there    |
| constant     | c + lam (p - c)                        | lam         | ours: no attention       |

with g = sigmoid(<c,p> / sqrt(C)) and a = softmax over positions of <c,p> / sqrt(C); the first m is
c + lam (1 - g) (p - c).  Release: gen_attention.py of HKT-ResNet, Aug 2025, in our notation.
"""

import torch
from torch import Tensor

from .options import MethodError

KINDS = ("gate", "forward_gate", "static", "softmax", "constant")
PARENT_SHARE = 0.7  # of the static kind, as released


def similarity(c: Tensor, p: Tensor) -> Tensor:
    """<c,p> / sqrt(C), summed over the channels: (B, 1) for vectors, (B, 1, H, W) for maps.

    Raises MethodError for features of different shape.
    """
    if c.shape != p.shape or c.ndim < 2:
        shapes = f"{tuple(c.shape)} and {tuple(p.shape)}"
        raise MethodError(f"Genetic Attention needs features of one shape (B, C, …), got {shapes}.")
    return (c * p).sum(1, keepdim=True) / c.shape[1] ** 0.5


def gate(c: Tensor, p: Tensor) -> Tensor:
    """g = sigmoid(<c,p> / sqrt(C)) in (0, 1): near 1 where the two features are alike and long."""
    return torch.sigmoid(similarity(c, p))


def share(c: Tensor, p: Tensor, kind: str = "gate", lam: float = 0.6) -> Tensor:
    """rho (B, 1, ...): how much of the way from c to p the mixture of that kind goes.

    For `softmax`, whose mixture is c + rho p, it is the weight of p.  Raises as `mix`.
    """
    if kind == "gate":
        return lam * (1 - gate(c, p))
    if kind == "forward_gate":
        return lam * gate(c, p)
    if kind in ("static", "constant"):
        return torch.full_like(similarity(c, p), PARENT_SHARE if kind == "static" else lam)
    if kind == "softmax":
        if c.ndim < 3:
            raise MethodError(
                f"Kind 'softmax' weighs positions: it needs maps, not {tuple(c.shape)}."
            )
        s = similarity(c, p)
        return lam * (1 - torch.softmax(s.flatten(2), -1).view_as(s))  # sums to 1 over positions
    raise MethodError(f"Unknown kind of Genetic Attention {kind!r}; known: {', '.join(KINDS)}.")


def mix(c: Tensor, p: Tensor, kind: str = "gate", lam: float = 0.6) -> Tensor:
    """The mixture m, of c's shape; lam (0.6 in the release) is the ceiling of what is inherited.

    Raises MethodError for an unknown kind, for features of different shape, and for `softmax` on
    vectors, which have no positions.
    """
    dtype = torch.promote_types(c.dtype, p.dtype)  # autocast may have left one in half precision
    c, p = c.to(dtype), p.to(dtype)
    if kind == "gate":
        genetic_attention = torch.lerp(c, p, gate(c, p).expand_as(c))  # GA = g p + (1 - g) c
        return c + lam * (p - genetic_attention)
    if kind == "static":
        return PARENT_SHARE * p + (1 - PARENT_SHARE) * c
    rho = share(c, p, kind, lam)
    return c + rho * (p if kind == "softmax" else p - c)
