"""CIFAR-10: a ResNet parent, a ResNet child, one pooled site, as in the authors' release.   hkt run cifar10 hkt --scale cpu

Normalisation is ImageNet's, because the public checkpoints and the release were trained with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...config import Config, HKTError, data_home
from ...methods.kd import soft_divergence
from ...methods.sites import Site
from ..task import Task
from . import data as cifar10
from . import synthetic
from .augment import Augment
from .network import resnet

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NORMALISATIONS = {
    "imagenet": (MEAN, STD),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
}  # the usual figures; the second is the mean of per-image ones
PUBLIC = {
    "resnet20": "resnet20-12fca82f.th",
    "resnet32": "resnet32-d509ac18.th",
    "resnet44": "resnet44-014dd654.th",
    "resnet56": "resnet56-4bfd9763.th",
    "resnet110": "resnet110-1d1ed7c2.th",
}
BEFORE_POOLING = ("conv1", "bn1", "layer1", "layer2", "layer3")
SIZES = {"val": 1000, "test": 2000}  # of the synthetic splits


class Batch(NamedTuple):
    """x (B, 3, 32, 32) normalised, y (B,) classes, key (B,) rows of the parent's cache."""

    x: Tensor
    y: Tensor
    key: Tensor


class Cifar10(Task):
    chance = 10.0  # percent, one of ten classes
    public = PUBLIC
    protocols = {"imagenet": {"normalisation": "imagenet"}, "cifar10": {"normalisation": "cifar10"}}
    sites = (Site("avgpool", "avgpool", BEFORE_POOLING, BEFORE_POOLING),)

    @classmethod
    def autos(cls, config: Config) -> dict:
        source = config.source
        if source == "auto":
            source = "real" if cifar10.present(data_home()) else "synthetic"
        real = source == "real"
        return {
            "source": source,
            "parent": config.parent or ("resnet56" if real else "resnet20"),
            "parent_weights": "public" if real else "committed",
        }

    def load(self) -> Cifar10:
        config = self.config
        if config.source == "real":
            read = lambda split, size=None: cifar10.load(data_home(), split, size)  # noqa: E731
        else:
            read = lambda split, size=None: synthetic.images(split, size or SIZES[split])  # noqa: E731
        self.images = {
            "train": read("train", config.train_size),
            "val": read("val"),
            "test": read("test"),
        }
        self.classes, self.train_size = self.images["train"].classes, len(self.images["train"].y)
        if self.train_size < config.train_size:
            raise HKTError(
                f"train_size {config.train_size} is more than the {self.train_size} training images of {self.images['train'].name}."
            )
        digest = hashlib.sha256()
        for images in self.images.values():
            digest.update(images.x.numpy().tobytes() + images.y.numpy().tobytes())
        self.fingerprint = digest.hexdigest()
        self.views = {
            split: Augment(images, config.seed, MEAN, STD, config.device, config.views)
            for split, images in self.images.items()
        }
        self.labels = {split: images.y.to(config.device) for split, images in self.images.items()}
        return self

    def _batch(self, split: str, x: Tensor, index: Tensor, view: int) -> Batch:
        index = index.to(self.config.device)
        layout = torch.channels_last if self.config.channels_last else torch.contiguous_format
        return Batch(
            x.contiguous(memory_format=layout),
            self.labels[split][index],
            index + view * self.train_size,
        )

    def batch(self, index: Tensor, epoch: int) -> Batch:
        view = epoch % self.config.views if self.config.views else epoch
        return self._batch("train", self.views["train"].batch(index, epoch), index, view)

    def batches(self, split: str, size: int = 500) -> Iterator[Batch]:
        for index in torch.arange(len(self.labels[split])).split(size):
            yield self._batch(split, self.views[split].plain(index), index, 0)

    def cache_batches(self, size: int = 500) -> Iterator[Batch]:
        for view in range(self.config.views):
            for index in torch.arange(self.train_size).split(size):
                yield self.batch(index, view)

    def network(self, arch: str) -> nn.Module:
        return resnet(arch)

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        return model(batch.x)

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        return F.cross_entropy(output.float(), batch.y)

    def imitate(self, child_output: Tensor, parent_output: Tensor, temperature: float) -> Tensor:
        return soft_divergence(child_output.float(), parent_output.float(), temperature)

    @torch.no_grad()
    def metrics(self, model: nn.Module, split: str) -> dict[str, float]:
        """{'accuracy': percent of the images, 'loss': mean cross-entropy} of `model` in evaluation mode."""
        training, right, loss, count = model.training, 0, 0.0, 0
        model.eval()
        for batch in self.batches(split):
            output = self.predict(model, batch).float()
            right += int((output.argmax(1) == batch.y).sum())
            loss += float(F.cross_entropy(output, batch.y, reduction="sum"))
            count += len(batch.y)
        model.train(training)
        return {"accuracy": 100 * right / count, "loss": loss / count}

    def protocol(self, name: str) -> dict:
        """The test images under a normalisation: 'imagenet', as the public checkpoints were trained, or 'cifar10'."""
        self.load()
        self.views["test"] = Augment(
            self.images["test"], self.config.seed, *NORMALISATIONS[name], self.config.device, 0
        )
        return {
            "source": self.config.source,
            "split": "test",
            "images": len(self.labels["test"]),
            "normalisation": name,
        }

    def example(self) -> tuple[Tensor]:
        return (torch.zeros(1, 3, 32, 32, device=self.config.device),)
