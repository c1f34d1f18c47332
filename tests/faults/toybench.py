"""A benchmark whose runs take a hundredth of a second, in place of one of the three: `task="toy"`.

Importing this module makes it known to the process, as a folder benchmarks/toy would; a Dask worker
does so with `--preload tests.faults.toybench`.  Everything else of a run is the real thing.
"""

from __future__ import annotations

import os
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from hkt_lite.benchmarks import scales
from hkt_lite.benchmarks.task import Task
from hkt_lite.config import Config, stream
from hkt_lite.methods.kd import soft_divergence
from hkt_lite.methods.sites import Site

MODULE = "hkt_lite.benchmarks.toy.task"
SMOKE = {
    "parent": "wide",
    "child": "narrow",
    "parent_weights": "committed",
    "parent_source": "cached",
    "views": 1,
    "train_size": 64,
    "epochs": 3,
    "batch_size": 16,
    "lr": 0.1,
    "schedule": "onecycle",
    "channels_last": False,
}
WIDTHS = {"wide": 24, "narrow": 8}


class Batch(NamedTuple):
    """x (B, 8) points, y (B,) one of three classes, key (B,) rows of the parent's cache."""

    x: Tensor
    y: Tensor
    key: Tensor


class Net(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(8, width), nn.ReLU())
        self.head = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.hidden(x))


class Toy(Task):
    title, cacheable = "Toy", True
    shown = {"accuracy": ("accuracy (%)", 2)}
    sites = (Site("hidden", "hidden"),)

    @classmethod
    def autos(cls, config: Config) -> dict:
        return {"source": "synthetic"}

    def load(self) -> Toy:
        sizes = {"train": self.config.train_size, "val": 32, "test": 32}
        self.points = {split: _points(split, size) for split, size in sizes.items()}
        self.train_size, self.fingerprint = sizes["train"], "toy"
        return self

    def batch(self, index: Tensor, epoch: int) -> Batch:
        time.sleep(float(os.environ.get("TOY_SECONDS", 0)))  # a step, for who wants to interrupt it
        x, y = self.points["train"]
        return Batch(x[index], y[index], index)

    def batches(self, split: str) -> Iterator[Batch]:
        x, y = self.points[split]
        yield Batch(x, y, torch.arange(len(y)))

    def cache_batches(self) -> Iterator[Batch]:
        return self.batches("train")

    def network(self, arch: str) -> nn.Module:
        return Net(WIDTHS[arch])

    def parent_file(self) -> Path:
        return Path(os.environ["TOY_PARENT"])

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        return model(batch.x)

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        return F.cross_entropy(output, batch.y)

    def imitate(self, child_output: Tensor, parent_output: Tensor, temperature: float) -> Tensor:
        return soft_divergence(child_output, parent_output, temperature)

    @torch.no_grad()
    def metrics(self, model: nn.Module, split: str) -> dict[str, float]:
        (batch,) = self.batches(split)
        right = self.predict(model, batch).argmax(1) == batch.y
        return {"accuracy": 100 * right.double().mean().item()}

    def example(self) -> tuple[Tensor]:
        return (torch.zeros(1, 8),)


def _points(split: str, size: int) -> tuple[Tensor, Tensor]:
    x = torch.randn(size, 8, generator=stream(0, "toy", split))
    rule = torch.randn(8, 3, generator=stream(0, "toy", "rule"))
    return x, (x @ rule).argmax(1)


def write_parent(path: Path) -> None:
    """The file that TOY_PARENT names."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_file(Net(WIDTHS["wide"]).state_dict(), path)


def config(method: str = "hkt", **fields) -> Config:
    return scales.resolve(Config(task="toy", method=method, scale="smoke", **fields))


def _install() -> None:
    Toy.__module__ = MODULE
    module = types.ModuleType(MODULE)
    module.__file__, module.Toy = __file__, Toy
    sys.modules[MODULE] = module
    names, settings = scales.names, scales._settings
    scales.names = lambda: [*names(), "toy"]
    scales._settings = lambda name: {"smoke": SMOKE} if name == "toy" else settings(name)


if MODULE not in sys.modules:
    _install()
