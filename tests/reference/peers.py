"""Losses of peers that torchdistill does not have, written plainly from their papers, sample by sample."""

from __future__ import annotations

import torch
from torch import Tensor


def decoupled(
    child: Tensor, parent: Tensor, target: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Zhao et al., CVPR 2022: (TCKD, NCKD) of logits (B, K), times T^2, mean over the batch.

    p_t and b = [p_t, 1 - p_t] as in equations 1 and 2, p-hat as in equation 3; the loss is equation 7 without its weights.
    """
    tckd, nckd = 0.0, 0.0
    for c, p, t in zip(child, parent, target.tolist()):
        q, r = ((z / temperature).exp() / (z / temperature).exp().sum() for z in (c, p))
        rest = [k for k in range(len(c)) if k != t]
        tckd += r[t] * torch.log(r[t] / q[t])
        tckd += (1 - r[t]) * torch.log((1 - r[t]) / (1 - q[t]))
        for k in rest:
            hat_c, hat_p = q[k] / (1 - q[t]), r[k] / (1 - r[t])
            nckd += hat_p * torch.log(hat_p / hat_c)
    return tckd * temperature**2 / len(child), nckd * temperature**2 / len(child)


def learnt_attention(attention, c: Tensor, p: Tensor) -> Tensor:
    """LePoKet's z = q + lambda a (V - q) at every position of maps (B, C, H, W), with the weights of `attention`."""
    wide, _, narrow = attention.score

    def linear(x: Tensor, layer) -> Tensor:
        y = torch.einsum("oc,bchw->bohw", layer.weight, x)
        return y if layer.bias is None else y + layer.bias[:, None, None]

    q, k, v = linear(c, attention.query), linear(p, attention.key), linear(p, attention.value)
    scores = (q * k).sum(1, keepdim=True) / c.shape[1] ** 0.5
    learnt = linear(torch.relu(linear(q * k, wide)), narrow)
    a = (1 / (1 + torch.exp(-scores)) + 1 / (1 + torch.exp(-learnt))) / 2
    return c + attention.lam * a * (v - c)
