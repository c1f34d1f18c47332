"""Optical flow: a RAFT parent, a smaller RAFT child, two or three sites.

    hkt run sintel hkt --scale quick

A curriculum of corpora trains (FlyingChairs, then FlyingThings3D in the paper); the child is chosen
on validation pairs of the last of them and then evaluated on Sintel and KITTI, which it has not
seen.  Without the real corpora both are stood in for by moving textured layers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...config import Config, HKTError, Stage, data_home, stream
from ...methods.sites import Site
from ..task import Task
from . import choose
from . import data as corpora
from . import synthetic as moving
from .augment import RECIPES, FlowAugment
from .metrics import Meter
from .network import SPLITS, raft, smallest

GAMMA = 0.8  # weight of an update's flow against the next one's (Teed and Deng, 2020)
LONGEST = 400.0  # pixels; longer motion is left out of the loss, as in RAFT's code
LEARNT = 0.9  # share of zero flow's error that a network which has learnt stays below
VAL_UPDATES = 12
UPDATES = {"sintel": 32, "kitti": 24}  # RAFT's practice on the real sets, after a training with 12
LOOKED_AT = 64  # pairs of 'train' that a parent is judged on
CORPORA = {
    "chairs": ("chairs",),
    "things": ("things",),
    "sintel": ("sintel-clean", "sintel-final"),
    "kitti": ("kitti2015",),
    "hd1k": ("hd1k",),
}
# of the embedded scenes: they move two and a half positions of the cost volume at most, and a short
# training has no time for RAFT's full augmentation
MOTION = 20.0  # pixels
EASY = {"scale": (-0.1, 0.3), "stretch": 0.0, "photometric": False, "eraser": 0.0}
PLAIN = {"layers": EASY, "kitti": {**EASY, "sparse": True, "flips": (0.5, 0.0)}}


class Batch(NamedTuple):
    """B pairs of frames."""

    first: Tensor  # (B, 3, H, W) in [-1, 1]
    second: Tensor
    flow: Tensor  # (B, 2, H, W), pixels
    valid: Tensor  # bool (B, H, W)
    key: Tensor  # (B,) number of the example


class Part(NamedTuple):
    """One corpus of a stage: what FlowAugment does with it, its pairs of files or its samples."""

    recipe: dict
    train: list
    val: list


def sequence_loss(
    flows: list[Tensor], truth: Tensor, valid: Tensor, gamma: float = GAMMA
) -> Tensor:
    """sum_i gamma^(n-1-i) mean |f_i - truth| over components and valid pixels.

    flows: n of (B, 2, H, W), valid: (B, H, W).  Teed and Deng (2020), equation 7, with the mean
    over valid pixels, so that a sparse truth weighs as much as a dense one.
    """
    mask = (valid & (truth.square().sum(1) < LONGEST**2))[:, None].float()
    count = (2 * mask.sum()).clamp_min(1)
    return sum(
        gamma ** (len(flows) - 1 - i) * ((flow.float() - truth).abs() * mask).sum() / count
        for i, flow in enumerate(flows)
    )


def sites(name: str | None, parent: str, child: str) -> tuple[Site, ...]:
    """'2hkt': both encoders; '3hkt': the recurrent block too, once an update.

    Our reading: the paper's is not known.  Raises HKTError for an unknown name or network.
    """
    slices = tuple(zip(*(choose("RAFT", arch, SPLITS) for arch in (parent, child))))
    encoders = (
        Site("feature_encoder", "feature_encoder", alone=True),
        Site("context_encoder", "context_encoder", parts=slices, alone=True),
    )
    recurrent = Site("update_block.recurrent_block", "update_block.recurrent_block")
    named = {"2hkt": encoders, "3hkt": (*encoders, recurrent)}
    return choose("set of flow sites", name, named)


class Flow(Task):
    title = "Optical flow"
    metric = "epe"
    higher_is_better = False
    shown = {
        "epe": ("end-point error (px)", 3),
        "sintel_epe": ("end-point error, Sintel (px)", 3),
        "kitti_epe": ("end-point error, KITTI (px)", 3),
        "kitti_fl_all": ("Fl-all, KITTI (%)", 2),
    }
    zero = {key: f"{key}_zero" for key in ("sintel_epe", "sintel_final_epe", "kitti_epe", "epe")}
    public = {
        "raft_large": "raft_large_C_T_V2-1bb1363a.pth",
        "raft_small": "raft_small_C_T_V2-01064c6d.pth",
    }
    protocols = {
        name: {"corpus": name, "updates": UPDATES[corpora.family(name)]}
        for name in ("sintel-clean", "sintel-final", "kitti2015", "kitti2012", "middlebury")
    }
    corpus: str | None = None  # the only test set, after `protocol`

    def __init__(self, config: Config):
        super().__init__(config)
        self.check(config)
        self.sites = sites(config.sites, config.parent, config.child) if config.sites else ()

    @classmethod
    def autos(cls, config: Config) -> dict:
        if config.sites:  # a name that does not exist is refused for methods without sites, too
            sites(config.sites, config.child, config.child)
        source = config.source
        if source == "auto":
            real = all(corpora.present(data_home(), name) for name in ("chairs", "things"))
            source = "real" if real else "synthetic"
        found = {"source": source, "parent_weights": "public"}
        if source == "synthetic":
            found["parent_weights"] = "committed"
        if config.stages:
            found["epochs"] = sum(stage.epochs for stage in config.stages)
        return found

    @classmethod
    def check(cls, config: Config) -> None:
        """HKTError for networks and sites that do not exist, crops and epochs that do not fit."""
        networks = [name for name in (config.child, config.parent) if name != "none"]
        largest = max(networks, key=smallest)
        least = smallest(largest)
        if config.sites:
            sites(config.sites, config.parent, config.child)
        for stage in config.stages:
            high, wide = stage.crop
            if min(stage.crop) < least or high % 8 or wide % 8:
                raise HKTError(
                    f"Stage {stage.corpus!r} has a crop of {high} x {wide} pixels; {largest} needs "
                    f"multiples of 8 and at least {least}."
                )
        epochs = sum(stage.epochs for stage in config.stages)
        if epochs != config.epochs:
            raise HKTError(
                f"The stages have {epochs} epochs and the configuration {config.epochs}; leave "
                "epochs out, it is their sum."
            )

    @classmethod
    def learnt(cls, metrics: dict[str, float]) -> bool:
        """Better than saying that nothing moves, by a tenth at least: on Sintel, if it is there."""
        metric = next(key for key in cls.zero if key in metrics)
        return metrics[metric] < LEARNT * metrics[cls.zero[metric]]

    def load(self) -> Flow:
        """Raises HKTError for corpora that are missing, damaged or leave nothing to train on."""
        config = self.config
        self.train_size = config.train_size
        self.parts = [self._stage(stage) for stage in config.stages]
        self.items = [
            [(part.recipe, pair) for part in parts for pair in part.train] for parts in self.parts
        ]
        self.orders = [
            torch.randperm(len(items), generator=stream(config.seed, "corpus", number))
            for number, items in enumerate(self.items)
        ]
        self.val = [pair for part in self.parts[-1] for pair in part.val]
        self.tests = self._tests()
        self.fingerprint = self._fingerprint()
        return self

    def _stage(self, stage: Stage) -> list[Part]:
        if self.config.source == "synthetic":
            recipe = choose("embedded scene", stage.corpus, PLAIN)
            size = tuple(side + 16 for side in stage.crop)
            train = _moving("train", self.config.train_size, size, stage.corpus)
            return [Part(recipe, train, _moving("val", 48, stage.crop, stage.corpus))]
        found = []
        for name in stage.corpus.split("+"):
            for corpus in choose("flow corpus to train on", name, CORPORA):
                pairs = _checked(corpus)
                train, val = (corpora.split(corpus, pairs, part) for part in ("train", "val"))
                found.append(Part(RECIPES[name], train, val))
        if not any(part.train for part in found):
            raise HKTError(
                f"No pair of {stage.corpus} is left to train on after its validation scenes are "
                f"taken out; add more data under {data_home()}."
            )
        return found

    def _tests(self) -> dict[str, list]:
        """The embedded test sets, or the real ones that are there: whole, if none is trained on."""
        stages = self.config.stages
        if self.config.source == "synthetic":
            size = stages[-1].crop
            return {
                "sintel": _moving("test", 64, size),
                "kitti": _moving("test", 48, size, "kitti"),
            }
        names = {"sintel": "sintel-clean", "sintel_final": "sintel-final", "kitti": "kitti2015"}
        trained = {name for stage in stages for name in stage.corpus.split("+")}
        found = {}
        for name, corpus in names.items():
            if corpora.present(data_home(), corpus):
                found[name] = corpora.pairs(data_home(), corpus)
                if corpora.family(corpus) in trained:
                    found[name] = corpora.split(corpus, found[name], "val")
        if not found:
            raise HKTError(
                f"Neither Sintel nor KITTI lies under {data_home()}, and a child must be tested on "
                "one; see `hkt data status`."
            )
        return found

    def _fingerprint(self) -> str:
        """sha256 over embedded samples, or names and sizes of real files, which are gigabytes."""
        digest = hashlib.sha256()
        trained = [pairs for parts in self.parts for part in parts for pairs in part[1:]]
        for pairs in (*trained, *self.tests.values()):
            for pair in pairs:
                for value in pair:
                    digest.update(_bytes(value))
        return digest.hexdigest()

    def _place(self, epoch: int) -> tuple[int, int]:
        """(number of the stage, epoch within it)."""
        for number, stage in enumerate(self.config.stages):
            if epoch < stage.epochs:
                return number, epoch
            epoch -= stage.epochs
        raise HKTError(f"The stages have no epoch {epoch}.")

    def batch(self, index: Tensor, epoch: int) -> Batch:
        """An epoch goes on where the one before stopped in a shuffled corpus, whatever its size."""
        number, within = self._place(epoch)
        items, order, rows = self.items[number], self.orders[number], []
        for i in index.tolist():
            example = int(order[(within * self.train_size + i) % len(items)])
            recipe, pair = items[example]
            augment = FlowAugment(self.config.stages[number].crop, self.config.seed, **recipe)
            rows.append((*augment(_sample(pair), example, epoch), torch.tensor(example)))
        return self._moved(Batch(*(torch.stack(column) for column in zip(*rows))))

    def _moved(self, batch: Batch) -> Batch:
        layout = torch.channels_last if self.config.channels_last else torch.contiguous_format
        device = self.config.device
        first, second = (x.to(device).contiguous(memory_format=layout) for x in batch[:2])
        return Batch(first, second, *(value.to(device) for value in batch[2:]))

    def _pairs(self, split: str) -> list:
        """Pairs or samples of 'val', a test set, or the first of 'train'."""
        if split == "train":
            return [pair for part in self.parts[-1] for pair in part.train][:LOOKED_AT]
        return self.val if split == "val" else self.tests[split]

    def batches(self, split: str, size: int = 8) -> Iterator[Batch]:
        """Whole pictures as they are, neighbours of one size together, of a split or test set."""
        for group in _grouped(self._pairs(split), size):
            first, second = _images(group).transpose(0, 1)
            flow, valid = (torch.stack(x) for x in zip(*((s.flow, s.valid) for s in group)))
            yield self._moved(Batch(first, second, flow, valid, torch.arange(len(group))))

    def network(self, arch: str) -> nn.Module:
        return raft(arch)

    def example(self) -> tuple[Tensor, Tensor]:
        size = self.config.stages[-1].crop
        first, second = torch.zeros(2, 1, 3, *size, device=self.config.device)
        return first, second

    def predict(self, model: nn.Module, batch: Batch) -> list[Tensor]:
        return model(batch.first, batch.second, num_flow_updates=self.config.updates)

    def predict_tail(self, model: nn.Module, batch: Batch) -> list[Tensor]:
        """The parent behind the sites; the graph of its `parent_updates` is L_p*'s memory."""
        updates = self.config.parent_updates or self.config.updates
        return model(batch.first, batch.second, num_flow_updates=updates)

    def loss(self, output: list[Tensor], batch: Batch) -> Tensor:
        return sequence_loss(output, batch.flow, batch.valid)

    def imitate(
        self, child_output: list[Tensor], parent_output: list[Tensor], temperature: float
    ) -> Tensor:
        """L1 to the parent's last flow at every pixel; a temperature has no meaning for flow."""
        wanted = parent_output[-1].float()
        return sequence_loss(child_output, wanted, torch.ones_like(wanted[:, 0], dtype=torch.bool))

    @torch.no_grad()
    def measure(self, model: nn.Module, items: list, updates: int, family: str) -> dict[str, float]:
        """Metrics on pairs or samples (see `Meter`), and 'epe_zero', the error of zero flow.

        `family`: padding and averaging, 'sintel' or 'kitti' (per image).
        """
        ours, still = Meter(), Meter()
        training, least = model.training, smallest(self.config.child)
        model.eval()
        for group in _grouped(items, 8):
            images, back = corpora.pad(_images(group), mode=family, least=least)
            first, second = images.to(self.config.device).transpose(0, 1)
            flows = model(first.contiguous(), second.contiguous(), num_flow_updates=updates)[-1]
            for flow, sample in zip(back(flows.float()), group):
                ours.add(flow.cpu(), sample)
                still.add(torch.zeros_like(sample.flow), sample)
        model.train(training)
        per_image = family == "kitti"
        return {**ours.result(per_image), "epe_zero": still.result(per_image)["epe"]}

    def metrics(self, model: nn.Module, split: str) -> dict[str, float]:
        """'val', 'train': `measure`; 'test': the same of each test set as 'sintel_epe', …

        After `protocol` 'test' is its corpus alone and the names have no prefix.
        """
        if split != "test":
            return self.measure(model, self._pairs(split), VAL_UPDATES, "sintel")
        found = {}
        for name, items in self.tests.items():
            prefix = "" if self.corpus else f"{name}_"
            for key, value in self.measure(model, items, *self._as_tested(name)).items():
                found[prefix + key] = value
        return found

    def _as_tested(self, name: str) -> tuple[int, str]:
        """(updates, family); networks for the embedded scenes train and are tested with few."""
        family = corpora.family(name)
        few = self.config.source == "synthetic" and not self.corpus
        return VAL_UPDATES if few else UPDATES[family], family

    def protocol(self, name: str) -> dict:
        """One real corpus with ground truth as the only test set; needs no training data."""
        pairs = _checked(name)
        self.corpus, self.parts, self.val, self.tests = name, [], [], {name: pairs}
        self.fingerprint = self._fingerprint()
        fixed = {"source": "real", "split": "training folder", "pairs": len(pairs)}
        return {**fixed, **self.protocols[name]}


def _moving(split: str, count: int, size: tuple[int, int], flavour: str = "layers") -> list:
    return moving.pairs_batch(split, count, size, max_motion=MOTION, flavour=flavour)


def _checked(corpus: str) -> list[corpora.Pair]:
    pairs = corpora.pairs(data_home(), corpus)
    corpora.check(pairs)
    return pairs


def _bytes(value: Tensor | Path | str | None) -> bytes:
    """What a fingerprint sees of one field of a sample or pair."""
    if isinstance(value, Tensor):
        return value.numpy().tobytes()
    if isinstance(value, Path):
        return f"{value.name} {value.stat().st_size}".encode()
    return str(value).encode()


def _sample(item: corpora.Pair | corpora.Sample) -> corpora.Sample:
    return item if isinstance(item, corpora.Sample) else corpora.read(item)


def _grouped(items: list, size: int) -> Iterator[list[corpora.Sample]]:
    """Samples in order, at most `size` neighbours of one shape together."""
    samples = enumerate(map(_sample, items))
    for _, group in groupby(samples, lambda one: (one[1].first.shape, one[0] // size)):
        yield [sample for _, sample in group]


def _images(group: list[corpora.Sample]) -> Tensor:
    """float32 (B, 2, 3, H, W) in [-1, 1]."""
    stacked = torch.stack([torch.stack([sample.first, sample.second]) for sample in group])
    return stacked.float() / 127.5 - 1
