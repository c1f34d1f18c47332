"""Small networks and batches for the tests of the methods, and a parent and child whose gate is open."""

from __future__ import annotations

from copy import deepcopy
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hkt_lite.benchmarks.cifar10.network import resnet
from hkt_lite.methods import Site
from hkt_lite.methods.attention import gate
from hkt_lite.methods.sites import statistics_kept
from tests.reference import released

UPSTREAM = ("conv1", "bn1", "layer1", "layer2", "layer3")
POOLED = (Site("avgpool", "avgpool"),)
POOLED_UPSTREAM = (Site("avgpool", "avgpool", UPSTREAM, UPSTREAM),)


class Batch(NamedTuple):
    x: Tensor
    y: Tensor
    key: Tensor


def predict(model: nn.Module, batch: Batch) -> Tensor:
    return model(batch.x)


def loss(output: Tensor, batch: Batch) -> Tensor:
    return F.cross_entropy(output, batch.y)


PARTS = {"predict": predict, "loss": loss}


def images(
    count: int = 8, size: int = 16, dtype: torch.dtype = torch.float64, seed: int = 0
) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 3, size, size, generator=draw, dtype=torch.float64).to(dtype)
    return Batch(x, torch.randint(10, (count,), generator=draw), torch.arange(count))


class Affine(nn.Module):
    """(z - shift) * scale with fixed numbers."""

    def __init__(self, shift: float, scale: float):
        super().__init__()
        self.shift, self.scale = shift, scale

    def forward(self, z: Tensor) -> Tensor:
        return (z - self.shift) * self.scale


def networks(
    parent: str = "resnet14",
    child: str = "resnet8",
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
):
    """(child, parent) at their random initialisation; the parent's running statistics have seen some images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        child, parent = resnet(child), resnet(parent)
        for _ in range(20):
            parent(torch.randn(8, 3, 16, 16))
    return child.to(dtype), parent.to(dtype).eval()


@torch.no_grad()
def opened(
    child: nn.Module, parent: nn.Module, x: Tensor, reach: float = 2.0
) -> tuple[nn.Module, nn.Module]:
    """Copies whose pooled features are shifted and scaled so that <c,p>/sqrt(C) of the images lies within +-reach.

    At their own length pooled features of random networks close the gate for good: 1 - g rounds to 0.
    """
    child, parent = deepcopy(child), deepcopy(parent)
    with statistics_kept(child):
        features = [released.pooled(net, x) for net in (child, parent)]
    unit = [(z - z.mean()) / z.std() for z in features]
    score = (unit[0] * unit[1]).sum(1) / unit[0].shape[1] ** 0.5
    length = (reach / float(score.abs().max())) ** 0.5
    for net, z in zip((child, parent), features):
        net.avgpool.append(Affine(float(z.mean()), length / float(z.std())))
    with statistics_kept(child):
        g = gate(released.pooled(child, x), released.pooled(parent, x))
    assert 0.1 < float(g.min()) and float(g.max()) < 0.9, (
        f"the gate reaches from {float(g.min())} to {float(g.max())}"
    )
    return child, parent


class Loop(nn.Module):
    """Calls its cell three times, as flow networks do: h <- tanh(cell(h) + x)."""

    def __init__(self, width: int = 5, out: int = 3):
        super().__init__()
        self.cell, self.head = nn.Linear(width, width), nn.Linear(width, out)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros_like(x)
        for _ in range(3):
            h = torch.tanh(self.cell(h) + x)
        return self.head(h)


class Methodical(nn.Module):
    """Its feature comes out of a method, not of a module."""

    def __init__(self, width: int = 6, inputs: int = 5):
        super().__init__()
        self.encoder, self.head = Encoder(inputs, width), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder.features(x))


class Encoder(nn.Module):
    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.layer = nn.Linear(inputs, width)

    def features(self, x: Tensor) -> Tensor:
        return torch.relu(self.layer(x))


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


def perceptron(*widths: int, seed: int = 0) -> nn.Sequential:
    """Linear, ReLU, Linear, ReLU, …, Linear in double precision."""
    torch.manual_seed(seed)
    layers = [layer for a, b in zip(widths, widths[1:]) for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1]).double()


def rows(count: int = 7, width: int = 5, classes: int = 3, seed: int = 0) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(count, width, generator=draw, dtype=torch.float64)
    return Batch(x, torch.randint(classes, (count,), generator=draw), torch.arange(count))


def gradients(terms: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The gradient of the sum of terms with respect to each parameter of the model; zeros where there is none."""
    named = dict(model.named_parameters())
    found = torch.autograd.grad(sum(terms.values()), list(named.values()), allow_unused=True)
    return {
        name: torch.zeros_like(p) if g is None else g for (name, p), g in zip(named.items(), found)
    }
