"""Genetic Attention: how much of the parent's feature p enters the child's feature c.

c is the query, p is key and value; C channels.  Vectors (B, C) are gated per sample, maps (B, C, H, W[, D]) per position.

| kind         | mixture m                                                            | where it is from              |
|--------------|----------------------------------------------------------------------|-------------------------------|
| gate         | c + lam (p - GA),  GA = g p + (1 - g) c;  that is c + lam (1-g)(p-c) | released code, default        |
| forward_gate | c + lam g (p - c)                                                    | the gate not inverted, ours   |
| static       | 0.7 p + 0.3 c                                                        | released code, unused there   |
| softmax      | c + lam (1 - a) p,  a = softmax over positions of <c,p> / sqrt(C)    | released code, unused there   |

with g = sigmoid(<c,p> / sqrt(C)).  Source: gen_attention.py of the authors' release (HKT-ResNet, Aug 2025), restated in our notation.
"""

from __future__ import annotations

import torch
from torch import Tensor

KINDS = ("gate", "forward_gate", "static", "softmax")
PARENT_SHARE = 0.7  # of the static kind, as released


def similarity(c: Tensor, p: Tensor) -> Tensor:
    """<c,p> / sqrt(C), summed over the channels: (B, 1) for vectors, (B, 1, H, W) for maps.  Raises ValueError on different shapes."""
    if c.shape != p.shape or c.ndim < 2:
        raise ValueError(
            f"Genetic Attention needs two features of one shape (B, C, ...), got {tuple(c.shape)} and {tuple(p.shape)}."
        )
    return (c * p).sum(1, keepdim=True) / c.shape[1] ** 0.5


def gate(c: Tensor, p: Tensor) -> Tensor:
    """g = sigmoid(<c,p> / sqrt(C)) in (0, 1): near 1 where the two features are alike and long."""
    return torch.sigmoid(similarity(c, p))


def mix(c: Tensor, p: Tensor, kind: str = "gate", lam: float = 0.6) -> Tensor:
    """The mixture m, of c's shape.  lam is the ceiling of what can be inherited (0.6 in the release, without a stated reason).

    Raises ValueError for an unknown kind, for features of different shape, and for `softmax` on vectors, which have no positions.
    """
    dtype = torch.promote_types(
        c.dtype, p.dtype
    )  # under autocast one of the two may be in half precision
    c, p = c.to(dtype), p.to(dtype)
    if kind == "gate":
        genetic_attention = torch.lerp(c, p, gate(c, p).expand_as(c))  # GA = g p + (1 - g) c
        return c + lam * (p - genetic_attention)
    if kind == "forward_gate":
        return c + lam * gate(c, p) * (p - c)
    if kind == "static":
        return PARENT_SHARE * p + (1 - PARENT_SHARE) * c
    if kind == "softmax":
        if c.ndim < 3:
            raise ValueError(
                "Genetic Attention of kind 'softmax' weighs positions, so it needs maps (B, C, H, W), not vectors (B, C)."
            )
        score = similarity(c, p)
        a = torch.softmax(score.flatten(2), -1).view_as(score)  # sums to 1 over all positions
        return c + lam * (1 - a) * p  # p - a p
    raise ValueError(f"Unknown kind of Genetic Attention {kind!r}; known: {', '.join(KINDS)}.")
