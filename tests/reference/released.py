"""The released algorithm, written plainly: what the methods of this project must agree with, number by number.

In our own words from a description of the authors' release (HKT-ResNet, Aug 2025: gen_attention.py, trainer.py).
Nothing is shared with the package: no hooks, no mixture function, no cache.  One step runs the child twice and the
parent twice on the same images, and the graph runs through the parent.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

LAMBDA = 0.6  # a literal in the release


def genetic_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The dynamic attention for vectors (B, C): a sigmoid of the scaled dot product blends the value with the query."""
    score = torch.einsum("bc,bc->b", query, key) / math.sqrt(query.shape[1])
    gate = 1 / (1 + torch.exp(-score[:, None]))  # (B, 1)
    return gate * value + (1 - gate) * query


def parent_child_attention(child_feature: Tensor, parent_feature: Tensor) -> Tensor:
    """m = c + lambda (p - GA(c, p))."""
    attended = genetic_attention(child_feature, parent_feature, parent_feature)
    return child_feature + LAMBDA * (parent_feature - attended)


def pooled(net: nn.Module, x: Tensor) -> Tensor:
    """The pooled feature (B, C) of a CIFAR ResNet."""
    x = torch.relu(net.bn1(net.conv1(x)))
    x = net.layer1(x)
    x = net.layer2(x)
    x = net.layer3(x)
    return net.avgpool(x)


def mean_cross_entropy(logits: Tensor, classes: Tensor) -> Tensor:
    log_probabilities = logits - logits.logsumexp(1, keepdim=True)
    return -log_probabilities[torch.arange(len(classes)), classes].mean()


def step(
    child: nn.Module, parent: nn.Module, x: Tensor, y: Tensor, *, parent_in_training: bool = False
) -> dict[str, Tensor]:
    """The three unweighted terms of one training step; the child must be in training mode.

    parent_in_training: the release never puts the parent in evaluation mode, so its batch normalisation uses the
    batch and its running statistics move; False is what our methods do.
    """
    parent.train(parent_in_training)
    c = pooled(child, x)  # 1. the child's normal pass
    out_c = child.linear(c)
    p = pooled(parent, x)  # 2. the parent's normal pass; its logits are not used

    c_again = pooled(child, x)  # 3. the child a second time, its head on the mixture
    out_h = child.linear(parent_child_attention(c_again, p))
    p_again = pooled(parent, x)  # 4. the parent a second time, the same mixture
    out_ph = parent.linear(parent_child_attention(c, p_again))

    logits = {"L_c": out_c, "L_c*": out_h, "L_p*": out_ph}
    return {name: mean_cross_entropy(values, y) for name, values in logits.items()}
