"""Optical flow: a RAFT parent, a smaller RAFT child, two or three sites.

    hkt run sintel hkt --scale quick

A curriculum of corpora trains (FlyingChairs, then FlyingThings3D in the paper); the child is chosen
on validation pairs of the last and then evaluated on Sintel and KITTI, which it has not seen.
Moving textured layers stand in for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...config import Config, HKTError, data_home, stream
from ...methods.sites import Site
from ..task import Task, choose, evaluating
from . import curriculum
from . import data as corpora
from .augment import FlowAugment
from .metrics import Meter
from .network import SPLITS, raft, smallest

GAMMA = 0.8  # weight of an update's flow against the next one's (Teed and Deng, 2020)
LONGEST = 400.0  # pixels; longer motion is left out of the loss, as in RAFT's code
VAL_UPDATES = 12
UPDATES = {"sintel": 32, "kitti": 24}  # RAFT's practice on the real sets, after a training with 12
REAL = ("sintel-clean", "sintel-final", "kitti2015", "kitti2012", "middlebury")
# pictures of about the size of the scenes that networks without a GPU are trained on
SMALL = {"updates": VAL_UPDATES, "shrunk": 4}
LOOKED_AT = 64  # pairs of 'train' that a parent is judged on


class Batch(NamedTuple):
    """B pairs of frames."""

    first: Tensor  # (B, 3, H, W) in [-1, 1]
    second: Tensor
    flow: Tensor  # (B, 2, H, W), pixels
    valid: Tensor  # bool (B, H, W)
    key: Tensor  # (B,) number of the example


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
    limits = {"*fl_all": 100.0, "*px[135]": 100.0}
    own = (*Task.own, "stages", "updates", "parent_updates")
    cacheable = False
    zero = {key: f"{key}_zero" for key in ("sintel_epe", "sintel_final_epe", "kitti_epe", "epe")}
    public = {
        "raft_large": "raft_large_C_T_V2-1bb1363a.pth",
        "raft_small": "raft_small_C_T_V2-01064c6d.pth",
    }
    protocols = {
        **{name: {"corpus": name, "updates": UPDATES[corpora.family(name)]} for name in REAL},
        **{f"{name}-small": {"corpus": name, **SMALL} for name in REAL},
    }
    corpus: str | None = None  # the only test set, after `protocol`
    times = 1  # its pictures are shrunk

    def __init__(self, config: Config):
        super().__init__(config)
        self.sites = sites(config.sites, config.parent, config.child) if config.sites else ()

    @classmethod
    def autos(cls, config: Config) -> dict:
        if config.sites:  # a name that does not exist is refused for methods without sites, too
            sites(config.sites, config.child, config.child)
        source = config.source
        if source == "auto":
            real = all(corpora.present(data_home(), name) for name in ("chairs", "things"))
            source = "real" if real else "synthetic"
        weights = "public" if source == "real" else "committed"
        found = {"source": source, "parent_weights": weights}
        if config.stages:
            found["epochs"] = sum(stage.epochs for stage in config.stages)
        return found

    @classmethod
    def check(cls, config: Config) -> None:
        largest = max(sorted({config.child, config.parent} - {"none"}), key=smallest)
        least = smallest(largest)
        for stage in config.stages:
            for name in stage.corpus.split("+"):  # whether it is here is seen when it is read
                choose("flow corpus to train on", name, {*curriculum.PLAIN, *curriculum.CORPORA})
            high, wide = stage.crop
            if min(stage.crop) < least or high % 8 or wide % 8:
                raise HKTError(
                    f"Stage {stage.corpus!r} has a crop of {high} x {wide} pixels; {largest} needs "
                    f"multiples of 8 and at least {least}."
                )
        epochs = sum(stage.epochs for stage in config.stages)
        if epochs != config.epochs:
            stages = f"{epochs} epochs and the configuration {config.epochs}"
            raise HKTError(f"The stages have {stages}; leave epochs out, it is their sum.")

    def load(self) -> Flow:
        """Raises HKTError for corpora that are missing, damaged or leave nothing to train on."""
        config = self.config
        self.train_size = config.train_size
        stages = [curriculum.parts(config, stage) for stage in config.stages]
        self.items = [
            [(part.recipe, pair) for part in parts for pair in part.train] for parts in stages
        ]
        self.orders = [
            torch.randperm(len(items), generator=stream(config.seed, "corpus", number))
            for number, items in enumerate(self.items)
        ]
        self.val = [pair for part in stages[-1] for pair in part.val]
        self.tests = curriculum.tests(config)
        trained = [pairs for parts in stages for part in parts for pairs in (part.train, part.val)]
        self.fingerprint = curriculum.fingerprint([*trained, *self.tests.values()])
        return self

    def batch(self, index: Tensor, epoch: int) -> Batch:
        """An epoch goes on where the one before stopped in a shuffled corpus, whatever its size."""
        epochs = [(k, n) for k, stage in enumerate(self.config.stages) for n in range(stage.epochs)]
        number, within = epochs[epoch]
        items, order, rows = self.items[number], self.orders[number], []
        for i in index.tolist():
            example = int(order[(within * self.train_size + i) % len(items)])
            recipe, item = items[example]
            augment = FlowAugment(self.config.stages[number].crop, self.config.seed, **recipe)
            row = augment(curriculum.sample(item), example, epoch)
            rows.append((*row, torch.tensor(example)))
        return self._moved(Batch(*(torch.stack(column) for column in zip(*rows))))

    def _moved(self, batch: Batch) -> Batch:
        first, second, *rest = (value.to(self.config.device) for value in batch)
        pair = (x.contiguous(memory_format=self.layout) for x in (first, second))
        return Batch(*pair, *rest)

    def _items(self, split: str) -> list:
        """Of 'val', a test set, or the first of 'train'."""
        if split == "train":
            return [item for _, item in self.items[-1][:LOOKED_AT]]
        return self.val if split == "val" else self.tests[split]

    def batches(self, split: str) -> Iterator[Batch]:
        """Whole pictures as they are, neighbours of one size together, of a split or test set."""
        for samples, (first, second) in curriculum.grouped(self._items(split)):
            flow, valid = (torch.stack(x) for x in zip(*((s.flow, s.valid) for s in samples)))
            yield self._moved(Batch(first, second, flow, valid, torch.arange(len(samples))))

    @property
    def seen(self) -> str:
        return "leaves" if curriculum.of_leaves(self.config) else super().seen

    def network(self, arch: str) -> nn.Module:
        return raft(arch)

    def example(self) -> tuple[Tensor, Tensor]:
        size = self.config.stages[-1].crop
        return torch.zeros(2, 1, 3, *size, device=self.config.device).unbind()

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

    def measure(self, model: nn.Module, items: list, updates: int, family: str) -> dict[str, float]:
        """Metrics on pairs or samples (see `Meter`), padded and averaged as `family` does, and
        'epe_zero', the error of zero flow."""
        ours, still, least = Meter(), Meter(), smallest(self.config.child)
        with evaluating(model):
            for samples, images in curriculum.grouped(items, times=self.times):
                images, back = corpora.pad(images, mode=family, least=least)
                first, second = images.to(self.config.device).contiguous()
                flows = model(first, second, num_flow_updates=updates)[-1]
                for flow, sample in zip(back(flows.float()), samples):
                    ours.add(flow.cpu(), sample)
                    still.add(torch.zeros_like(sample.flow), sample)
        per_image = family == "kitti"
        return {**ours.result(per_image), "epe_zero": still.result(per_image)["epe"]}

    def metrics(self, model: nn.Module, split: str) -> dict[str, float]:
        """'val', 'train': `measure`; 'test': the same of each test set as 'sintel_epe', …

        After `protocol` 'test' is its corpus alone and the names have no prefix.
        """
        if split != "test":
            return self.measure(model, self._items(split), VAL_UPDATES, "sintel")
        found = {}
        for name, items in self.tests.items():
            prefix = "" if self.corpus else f"{name}_"
            for key, value in self.measure(model, items, *self._as_tested(name)).items():
                found[prefix + key] = value
        return found

    def _as_tested(self, name: str) -> tuple[int, str]:
        """(updates, family); networks for the embedded scenes train and are tested with few."""
        family = corpora.family(name)
        few = self.times > 1 or (self.config.source == "synthetic" and not self.corpus)
        return VAL_UPDATES if few else UPDATES[family], family

    def protocol(self, name: str) -> dict:
        """One real corpus with ground truth as the only test set; needs no training data."""
        said = self.protocols[name]
        corpus = said["corpus"]
        pairs = curriculum.checked(corpus)
        self.corpus, self.val, self.tests = corpus, [], {corpus: pairs}
        self.times = said.get("shrunk", 1)
        self.fingerprint = curriculum.fingerprint([pairs])
        fixed = {"source": "real", "split": "training folder", "pairs": len(pairs)}
        return {**fixed, **said}
