"""Optical flow: a RAFT parent, a smaller RAFT child, two or three sites.   hkt run sintel hkt --scale quick

A curriculum of corpora trains (FlyingChairs, then FlyingThings3D in the paper); the child is chosen on validation pairs of the last of them and
then evaluated on Sintel and KITTI, which it has not seen.  Without the real corpora both are stood in for by moving textured layers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...config import Config, HKTError, Stage, data_home, nearest, stream
from ...methods.sites import Site
from ..task import Task
from . import data as corpora
from . import synthetic as moving
from .augment import RECIPES, FlowAugment
from .metrics import Meter
from .network import SPLITS, raft, smallest

GAMMA = 0.8  # weight of an update's flow against the next one's (Teed and Deng, 2020)
LONGEST = 400.0  # pixels; longer motion is left out of the loss, as in RAFT's code
VAL_UPDATES = 12
MOTION = (
    20.0  # pixels the embedded scenes move at most: two and a half positions of the cost volume
)
CORPORA = {
    "chairs": ("chairs",),
    "things": ("things",),
    "sintel": ("sintel-clean", "sintel-final"),
    "kitti": ("kitti2015",),
    "hd1k": ("hd1k",),
}
EASY = {
    "scale": (-0.1, 0.3),
    "stretch": 0.0,
    "photometric": False,
    "eraser": 0.0,
}  # a short training has no time for RAFT's full augmentation
PLAIN = {
    "layers": EASY,
    "kitti": {**EASY, "sparse": True, "flips": (0.5, 0.0)},
}  # of the embedded scenes
LOOKED_AT = 64  # pairs of 'train' that a parent is judged on
UPDATES = {"sintel": 32, "kitti": 24}  # RAFT's practice on the real sets, after a training with 12


class Batch(NamedTuple):
    """first, second (B, 3, H, W) in [-1, 1]; flow (B, 2, H, W) in pixels; valid (B, H, W) bool; key (B,) number of the example."""

    first: Tensor
    second: Tensor
    flow: Tensor
    valid: Tensor
    key: Tensor


def sequence_loss(
    flows: list[Tensor], truth: Tensor, valid: Tensor, gamma: float = GAMMA
) -> Tensor:
    """sum_i gamma^(n-1-i) mean |f_i - truth|, over components and valid pixels; flows n of (B, 2, H, W), valid (B, H, W).

    Teed and Deng (2020), equation 7.  The mean is over the valid pixels, so that a sparse truth weighs as much as a dense one.
    """
    mask = (valid & (truth.square().sum(1) < LONGEST**2))[:, None].float()
    count = (2 * mask.sum()).clamp_min(1)
    return sum(
        gamma ** (len(flows) - 1 - i) * ((flow.float() - truth).abs() * mask).sum() / count
        for i, flow in enumerate(flows)
    )


class Flow(Task):
    metric = "epe"
    higher_is_better = False
    public = {
        "raft_large": "raft_large_C_T_V2-1bb1363a.pth",
        "raft_small": "raft_small_C_T_V2-01064c6d.pth",
    }
    protocols = {
        name: {"corpus": name, "updates": 24 if name.startswith("kitti") else 32}
        for name in ("sintel-clean", "sintel-final", "kitti2015", "kitti2012", "middlebury")
    }

    def __init__(self, config: Config):
        super().__init__(config)
        self.sites = sites(config.sites, config.parent, config.child) if config.sites else ()
        for stage in config.stages:
            if min(stage.crop) < smallest(config.child) or any(side % 8 for side in stage.crop):
                raise HKTError(
                    f"Stage {stage.corpus!r} has a crop of {stage.crop[0]} x {stage.crop[1]} pixels; {config.child} needs multiples of 8 "
                    f"and at least {smallest(config.child)}."
                )

    @classmethod
    def autos(cls, config: Config) -> dict:
        source = config.source
        if source == "auto":
            source = (
                "real"
                if all(corpora.present(data_home(), name) for name in ("chairs", "things"))
                else "synthetic"
            )
        found = {
            "source": source,
            "parent_weights": "committed" if source == "synthetic" else "public",
        }
        return (
            {**found, "epochs": sum(stage.epochs for stage in config.stages)}
            if config.stages
            else found
        )

    @classmethod
    def learnt(cls, metrics: dict[str, float]) -> bool:
        """Better than saying that nothing moves, by a tenth at least."""
        return metrics["sintel_epe"] < 0.9 * metrics["sintel_epe_zero"]

    # -- data --

    def load(self) -> Flow:
        config = self.config
        if sum(stage.epochs for stage in config.stages) != config.epochs:
            raise HKTError(
                f"The stages have {sum(stage.epochs for stage in config.stages)} epochs and the configuration {config.epochs}; "
                "leave epochs out, it is their sum."
            )
        self.train_size = config.train_size
        self.parts = [self._stage(stage) for stage in config.stages]
        self.items = [
            [
                (recipe, pair)
                for recipe, (train, _) in zip(self._recipes(stage), part)
                for pair in train
            ]
            for stage, part in zip(config.stages, self.parts)
        ]
        self.orders = [
            torch.randperm(len(items), generator=stream(config.seed, "corpus", number))
            for number, items in enumerate(self.items)
        ]
        self.val = [pair for _, val in self.parts[-1] for pair in val]
        self.tests = self._tests()
        self.fingerprint = self._fingerprint()
        return self

    def _stage(self, stage: Stage) -> list[tuple[list, list]]:
        """(train, val) of each corpus of a stage: pairs of files, or samples of the embedded scenes."""
        if self.config.source == "synthetic":
            if stage.corpus not in PLAIN:
                raise HKTError(
                    f"There are no embedded scenes {stage.corpus!r}.{nearest(stage.corpus, PLAIN)}"
                )
            size = tuple(side + 16 for side in stage.crop)
            return [
                (
                    self._moving("train", self.config.train_size, size, stage.corpus),
                    self._moving("val", 48, stage.crop, stage.corpus),
                )
            ]
        found = []
        for name in stage.corpus.split("+"):
            if name not in CORPORA:
                raise HKTError(
                    f"There is no flow corpus {name!r} to train on.{nearest(name, CORPORA)}"
                )
            for corpus in CORPORA[name]:
                pairs = corpora.pairs(data_home(), corpus)
                corpora.check(pairs)
                found.append(tuple(corpora.split(corpus, pairs, part) for part in ("train", "val")))
        if not any(train for train, _ in found):
            raise HKTError(
                f"No pair of {stage.corpus} is left to train on after its validation scenes are taken out; add more data under {data_home()}."
            )
        return found

    @staticmethod
    def _moving(split: str, count: int, size: tuple[int, int], flavour: str = "layers") -> list:
        return moving.pairs_batch(split, count, size, max_motion=MOTION, flavour=flavour)

    def _recipes(self, stage: Stage) -> list[dict]:
        """What FlowAugment does with each corpus of a stage, in the order of `_stage`."""
        if self.config.source == "synthetic":
            return [PLAIN[stage.corpus]]
        return [RECIPES[name] for name in stage.corpus.split("+") for _ in CORPORA[name]]

    def _tests(self) -> dict[str, list]:
        """The two test sets; of real ones those that are there."""
        if self.config.source == "synthetic":
            size = self.config.stages[-1].crop
            return {
                "sintel": self._moving("test", 64, size),
                "kitti": self._moving("test", 48, size, "kitti"),
            }
        names = {"sintel": "sintel-clean", "sintel_final": "sintel-final", "kitti": "kitti2015"}
        trained = {name for stage in self.config.stages for name in stage.corpus.split("+")}
        found = {}
        for name, corpus in names.items():
            if corpora.present(data_home(), corpus):
                pairs = corpora.pairs(data_home(), corpus)
                found[name] = (
                    corpora.split(corpus, pairs, "val") if name.split("_")[0] in trained else pairs
                )  # all of it, where none was trained on
        if not found:
            raise HKTError(
                f"Neither Sintel nor KITTI lies under {data_home()}, and a child must be tested on one; see `hkt data status`."
            )
        return found

    def _fingerprint(self) -> str:
        """sha256 over the embedded samples, or over the names and sizes of the real files: their contents are gigabytes."""
        digest = hashlib.sha256()
        for items in [
            *(pairs for part in self.parts for both in part for pairs in both),
            *self.tests.values(),
        ]:
            for item in items:
                for value in item:
                    digest.update(
                        value.numpy().tobytes()
                        if isinstance(value, Tensor)
                        else f"{value.name} {value.stat().st_size}".encode()
                        if hasattr(value, "stat")
                        else str(value).encode()
                    )
        return digest.hexdigest()

    def _place(self, epoch: int) -> tuple[int, int]:
        """(number of the stage, epoch within it)."""
        for number, stage in enumerate(self.config.stages):
            if epoch < stage.epochs:
                return number, epoch
            epoch -= stage.epochs
        raise HKTError(f"The stages have no epoch {epoch}.")

    def batch(self, index: Tensor, epoch: int) -> Batch:
        """An epoch goes on where the one before stopped in a shuffled corpus, whatever its size is."""
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

    def batches(self, split: str, size: int = 8) -> Iterator[Batch]:
        """Whole pictures, padded to multiples of 8, neighbours of one size together; 'train' is the first of them only."""
        items = (
            self.val
            if split == "val"
            else self.tests[split]
            if split != "train"
            else [p for train, _ in self.parts[-1] for p in train][:LOOKED_AT]
        )
        for _, group in self._grouped(items, size):
            yield self._moved(_stacked(group))

    @staticmethod
    def _grouped(items: list, size: int) -> Iterator[tuple[int, list]]:
        samples = ((i, _sample(item)) for i, item in enumerate(items))
        for key, group in groupby(samples, lambda one: (tuple(one[1].first.shape), one[0] // size)):
            yield key, [sample for _, sample in group]

    def network(self, arch: str) -> nn.Module:
        return raft(arch)

    # -- what is learnt --

    def predict(self, model: nn.Module, batch: Batch) -> list[Tensor]:
        return model(batch.first, batch.second, num_flow_updates=self.config.updates)

    def predict_tail(self, model: nn.Module, batch: Batch) -> list[Tensor]:
        """The parent behind the sites: `parent_updates` of its updates, whose graph is what L_p* costs in memory."""
        return model(
            batch.first,
            batch.second,
            num_flow_updates=self.config.parent_updates or self.config.updates,
        )

    def loss(self, output: list[Tensor], batch: Batch) -> Tensor:
        return sequence_loss(output, batch.flow, batch.valid)

    def imitate(
        self, child_output: list[Tensor], parent_output: list[Tensor], temperature: float
    ) -> Tensor:
        """L1 to the parent's last flow, at every pixel; a temperature has no meaning for flow."""
        wanted = parent_output[-1].float()
        return sequence_loss(child_output, wanted, torch.ones_like(wanted[:, 0], dtype=torch.bool))

    # -- evaluation --

    @torch.no_grad()
    def measure(
        self, model: nn.Module | None, items: list, updates: int, mode: str
    ) -> dict[str, float]:
        """Metrics of `model`, or of zero flow for None, on pairs or samples; per-image means for mode 'kitti' (see `Meter`)."""
        meter, training = Meter(), model is not None and model.training
        if model is not None:
            model.eval()
        for _, group in self._grouped(items, 8):
            flows = self._flows(model, group, updates, mode)
            for flow, sample in zip(flows, group):
                meter.add(flow.cpu(), sample)
        if model is not None:
            model.train(training)
        return meter.result(per_image=mode == "kitti")

    def _flows(self, model: nn.Module | None, group: list, updates: int, mode: str) -> Tensor:
        if model is None:
            return torch.zeros(len(group), 2, *group[0].first.shape[1:])
        pictures, back = corpora.pad(
            torch.stack([torch.stack([s.first, s.second]) for s in group]),
            mode=mode,
            least=smallest(self.config.child),
        )
        x = (pictures.float() / 127.5 - 1).to(self.config.device)
        return back(
            model(x[:, 0].contiguous(), x[:, 1].contiguous(), num_flow_updates=updates)[-1].float()
        )

    def metrics(self, model: nn.Module, split: str) -> dict[str, float]:
        """'val', 'train': {'epe', 'fl_all', 'epe_zero'}; 'test': the same of each test set as 'sintel_epe', …; zero is the error of no flow."""
        if split != "test":
            items = (
                self.val
                if split == "val"
                else [pair for train, _ in self.parts[-1] for pair in train][:LOOKED_AT]
            )
            return self._with_zero(model, items, VAL_UPDATES, "sintel")
        return {
            f"{name}_{key}": value
            for name, items in self.tests.items()
            for key, value in self._with_zero(
                model, items, *self._as_tested(name.split("_")[0])
            ).items()
        }

    def _as_tested(self, name: str) -> tuple[int, str]:
        """(updates, padding and averaging); networks for the embedded scenes are trained with few updates and tested with few."""
        return VAL_UPDATES if self.config.source == "synthetic" else UPDATES[name], name

    def _with_zero(self, model, items, updates, mode) -> dict[str, float]:
        return {
            **self.measure(model, items, updates, mode),
            "epe_zero": self.measure(None, items, updates, mode)["epe"],
        }

    def protocol(self, name: str) -> dict:
        """One real corpus with ground truth as the only test set; no training data is needed."""
        said = self.protocols[name]
        pairs = corpora.pairs(data_home(), name)
        corpora.check(pairs)
        self.parts, self.val, self.tests = [], [], {name: pairs}
        self.fingerprint = self._fingerprint()
        self.metrics = lambda model, split: self._with_zero(
            model, pairs, said["updates"], "kitti" if name.startswith("kitti") else "sintel"
        )
        return {"source": "real", "split": "training folder", "pairs": len(pairs), **said}

    def example(self) -> tuple[Tensor, Tensor]:
        size = self.config.stages[-1].crop
        return torch.zeros(1, 3, *size, device=self.config.device), torch.zeros(
            1, 3, *size, device=self.config.device
        )


def sites(name: str | None, parent: str, child: str) -> tuple[Site, ...]:
    """'2hkt': feature and context encoder; '3hkt': the recurrent block too, once an update.  Our reading: the paper's is not known."""
    encoders = (
        Site("feature_encoder", "feature_encoder", alone=True),
        Site(
            "context_encoder",
            "context_encoder",
            parts=tuple(zip(SPLITS[parent], SPLITS[child])),
            alone=True,
        ),
    )
    found = {
        "2hkt": encoders,
        "3hkt": (*encoders, Site("update_block.recurrent_block", "update_block.recurrent_block")),
    }
    if name not in found:
        raise HKTError(f"Task 'flow' has no sites {name!r}.{nearest(name or '', found)}")
    return found[name]


def _sample(item) -> corpora.Sample:
    return item if isinstance(item, corpora.Sample) else corpora.read(item)


def _stacked(group: list) -> Batch:
    def join(values):
        return torch.stack(list(values))

    first, second = (
        join(getattr(s, name) for s in group).float() / 127.5 - 1 for name in ("first", "second")
    )
    return Batch(
        first,
        second,
        join(s.flow for s in group),
        join(s.valid for s in group),
        torch.arange(len(group)),
    )
