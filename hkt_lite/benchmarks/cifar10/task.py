"""CIFAR-10: a ResNet parent and a ResNet child.   hkt run cifar10 hkt --scale cpu

They meet at one pooled site as in the authors' release, or at maps:  -s sites=layers, or blocks
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
from ..drawing import held_out
from ..scales import method_class
from ..task import Task, choose, evaluating
from . import data as cifar10
from . import synthetic
from .augment import Augment
from .network import depth, resnet

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NORMALISATIONS = {  # the usual figures; those of CIFAR-10 are the mean of per-image ones
    "imagenet": (MEAN, STD),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
}
PUBLIC = {
    "resnet20": "resnet20-12fca82f.th",
    "resnet32": "resnet32-d509ac18.th",
    "resnet44": "resnet44-014dd654.th",
    "resnet56": "resnet56-4bfd9763.th",
    "resnet110": "resnet110-1d1ed7c2.th",
}
LARGEST = 45_000  # training images; of embedded ones no more are drawn either
TESTED = 10_000  # test images
SIZES = {"val": 1000, "test": 2000}  # of the synthetic splits

STEM = ("conv1", "bn1")
BEFORE_POOLING = (*STEM, "layer1", "layer2", "layer3")
LAYERS = (  # maps of 16, 32 and 64 channels; what comes out of one changes what the next one sees
    Site("layer1", "layer1", STEM, STEM, alone=True),
    Site("layer2", "layer2", STEM, STEM),
    Site("layer3", "layer3", STEM, STEM),
)
POOLED = Site("avgpool", "avgpool", STEM, STEM)  # after other sites: less is replayed
SITES = {
    "pooled": (Site("avgpool", "avgpool", BEFORE_POOLING, BEFORE_POOLING),),
    "layers": LAYERS,
    "layers+pooled": (*LAYERS, POOLED),
}
NAMED = (*SITES, "blocks", "blocks+pooled")
MAPS = ("layers", "blocks")  # sets without the pooled vector


def sites(name: str, parent: str, child: str) -> tuple[Site, ...]:
    """The set of that name; 'blocks' are the child's residual blocks, or the parent's if it has
    fewer, each with the other's at the same share of its group's depth."""
    if name in SITES:
        return SITES[name]
    choose("set of CIFAR-10 sites", name, NAMED)
    theirs, own = ((depth(arch) - 2) // 6 for arch in (parent, child))
    n = min(theirs, own)
    found = [
        Site(f"layer{k}.{b * theirs // n - 1}", f"layer{k}.{b * own // n - 1}", STEM, STEM)
        for k in (1, 2, 3)
        for b in range(1, n + 1)
    ]
    return (*found, POOLED) if name == "blocks+pooled" else tuple(found)


class Batch(NamedTuple):
    """x (B, 3, 32, 32) normalised, y (B,) classes, key (B,) rows of the parent's cache."""

    x: Tensor
    y: Tensor
    key: Tensor


class Cifar10(Task):
    title = "CIFAR-10"
    chance = 10.0  # percent, one of ten classes
    shown = {"accuracy": ("accuracy (%)", 2), "loss": ("cross-entropy", 3)}
    limits = {"accuracy": 100.0}
    cacheable = True
    own = (*Task.own, "images")
    public = PUBLIC
    protocols = {name: {"normalisation": name} for name in NORMALISATIONS}
    sites = SITES["pooled"]
    default_sites = "pooled"

    def __init__(self, config: Config):
        super().__init__(config)
        self.sites = sites(config.sites or self.default_sites, config.parent, config.child)

    @classmethod
    def autos(cls, config: Config) -> dict:
        here = config.source == "auto" and cifar10.present(data_home())
        real = config.source == "real" or here
        found = {
            "source": "real" if real else "synthetic",
            "parent": config.parent or ("resnet56" if real else "resnet20"),
            "parent_weights": "public" if real else "committed",
        }
        given = config.sites or cls.default_sites
        choose("set of CIFAR-10 sites", given, NAMED)  # also of who has no sites
        if given != cls.default_sites and method_class(config.method).needs_sites:
            found["parent_source"] = "live"  # a cache of maps fills gigabytes; it may be asked for
        return found

    @classmethod
    def check(cls, config: Config) -> None:
        for arch in {config.parent, config.child} - {"none"}:
            depth(arch)
        if config.train_size > LARGEST:
            raise HKTError(f"train_size {config.train_size} is more than the {LARGEST} images.")
        if config.images and config.source != "real":
            raise HKTError(f"images={config.images} chooses among real images; add -s source=real.")
        if config.images == "swap" and config.train_size >= TESTED:
            raise HKTError(
                f"images=swap trains on {config.train_size} of {TESTED} test images and leaves "
                "none to judge on; make train_size smaller."
            )
        given = config.sites or cls.default_sites
        method = method_class(config.method)
        if method.aligns and given == "pooled":
            said = "aligns maps, and the site 'pooled' is none; use -s sites=blocks+pooled"
            raise HKTError(f"Method {config.method!r} {said}.")
        if method.needs_maps(config.options) and given not in MAPS:
            raise HKTError(
                f"Method {config.method!r} with these options compares maps while the "
                f"sites {given!r} hold the pooled feature; use -s sites=layers, or blocks."
            )

    def load(self) -> Cifar10:
        config = self.config
        self.images = {split: self._read(split) for split in cifar10.SPLITS}
        self.classes, self.train_size = self.images["train"].classes, len(self.images["train"].y)
        digest = hashlib.sha256()
        for images in self.images.values():
            digest.update(images.x.numpy().tobytes() + images.y.numpy().tobytes())
        self.fingerprint = digest.hexdigest()
        self.views = {
            split: Augment(images, config.seed, MEAN, STD, config.device)
            for split, images in self.images.items()
        }
        self.labels = {split: images.y.to(config.device) for split, images in self.images.items()}
        self.at_once = 125 if config.device == "cpu" else 500  # more maps leave a processor's cache
        return self

    def _read(self, split: str) -> cifar10.Images:
        """The first `train_size` images of a list to train on, and the lists' others.

        images = 'rest' trains on the list's last ones, which a parent or child of the first has not
        seen; 'swap' on the first of the test images, and is judged on those that remain.
        """
        size, which = self.config.train_size, self.config.images
        if self.config.source != "real":
            number = size if split == "train" else held_out(SIZES[split], self.config.scale)
            return synthetic.images(split, number)
        if which == "swap" and split != "val":
            images = cifar10.load(data_home(), "test")
            return images.part(slice(size) if split == "train" else slice(size, None))
        images = cifar10.load(data_home(), split)
        if split == "train":
            images = images.part(slice(-size, None) if which == "rest" else slice(size))
        return images

    def _batch(self, split: str, x: Tensor, index: Tensor, view: int) -> Batch:
        index = index.to(self.config.device)
        x = x.contiguous(memory_format=self.layout)
        return Batch(x, self.labels[split][index], index + view * self.train_size)

    def batch(self, index: Tensor, epoch: int) -> Batch:
        view = epoch % self.config.views if self.config.views else epoch
        return self._batch("train", self.views["train"].batch(index, view), index, view)

    def batches(self, split: str, size: int = 500) -> Iterator[Batch]:
        for index in torch.arange(len(self.labels[split])).split(size):
            yield self._batch(split, self.views[split].plain(index), index, 0)

    def cache_batches(self) -> Iterator[Batch]:
        for view in range(self.config.views):
            for index in torch.arange(self.train_size).split(self.at_once):
                yield self.batch(index, view)

    def network(self, arch: str) -> nn.Module:
        return resnet(arch)

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        return model(batch.x)

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        return F.cross_entropy(output.float(), batch.y)

    def target(self, batch: Batch) -> Tensor:
        return batch.y

    def imitate(self, child_output: Tensor, parent_output: Tensor, temperature: float) -> Tensor:
        return soft_divergence(child_output.float(), parent_output.float(), temperature)

    def metrics(self, model: nn.Module, split: str) -> dict[str, float]:
        """{'accuracy': percent of the images, 'loss': mean cross-entropy} in evaluation mode."""
        return self.scored(model, split)[0]

    def scored(self, model: nn.Module, split: str) -> tuple[dict, tuple[Tensor, Tensor]]:
        labels = self.labels[split]
        with evaluating(model):
            batches = self.batches(split, self.at_once)
            logits = torch.cat([self.predict(model, batch).float() for batch in batches])
        right = int((logits.argmax(1) == labels).sum())
        parts = zip(logits.split(500), labels.split(500))  # other sums would have other last digits
        loss = sum(float(F.cross_entropy(part, y, reduction="sum")) for part, y in parts)
        return {"accuracy": 100 * right / len(labels), "loss": loss / len(labels)}, (logits, labels)

    def protocol(self, name: str) -> dict:
        """The test images, normalised as the public checkpoints were ('imagenet') or 'cifar10'."""
        self.load()
        images, config = self.images["test"], self.config
        self.views["test"] = Augment(images, config.seed, *NORMALISATIONS[name], config.device)
        facts = {"source": config.source, "split": "test", "images": len(images.y)}
        return {**facts, "normalisation": name}

    def example(self) -> tuple[Tensor]:
        return (torch.zeros(1, 3, 32, 32, device=self.config.device),)
