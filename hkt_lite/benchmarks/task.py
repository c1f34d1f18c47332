"""What every benchmark offers; a benchmark is a subclass of `Task` in its own folder."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..config import PROJECT, Config, HKTError, data_home, nearest, stream
from ..methods.sites import Site
from .weights import load_weights

COMMITTED = PROJECT / "data" / "parents"


def choose(what: str, name: str, choices: Collection):
    """choices[name], or the name itself of a list; HKTError with the nearest one if it is none."""
    if name not in choices:
        raise HKTError(f"There is no {what} {name!r}.{nearest(name, choices)}")
    return choices[name] if isinstance(choices, dict) else name


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """`model` in evaluation mode and no gradients; afterwards it is in the mode it was in."""
    training = model.training
    model.eval()
    with torch.no_grad():
        yield
    model.train(training)


LEARNT = 0.9  # share of the error without looking that a network which has learnt stays below


class Task:
    """One benchmark under one resolved configuration.  Subclasses fill in everything below."""

    title = ""  # in tables and headings
    metric = "accuracy"  # the one that selects, on validation data
    higher_is_better = True
    chance = 0.0  # the metric of an answer that has learnt nothing
    shown: dict[str, tuple[str, int]]  # metric -> its name with the unit, decimals
    limits: dict[str, float] = {}  # pattern of metrics -> the highest there can be; none is below 0
    zero: dict[str, str] = {}  # metric -> the metric of an answer given without looking
    sites: tuple[Site, ...] = ()  # the chosen set
    default_sites: str | None = None  # name of the set that `config.sites` = None stands for
    own: tuple[str, ...] = ("optimizer", "sites", "clip", "sam")  # of Config.OPTIONAL, those in use
    cacheable = False  # whether outputs are vectors, which a cached parent can keep
    public: dict[str, str] = {}  # architecture -> its published weights under HKT_DATA/weights
    protocols: dict[str, dict] = {}  # name -> what an evaluation of a checkpoint fixes
    target: Any = None  # target(batch) -> (B,), the classes; None: outputs are no logits (B, K)
    train_size: int  # examples, set when the data is loaded
    fingerprint: str  # sha256 of the examples used

    def __init__(self, config: Config):
        self.config = config

    @classmethod
    def learnt(cls, metrics: dict[str, float]) -> bool:
        """Whether test metrics are clearly those of a network that has learnt something: the first
        metric of `zero` that there is a tenth better than its answer without looking, or, without
        any, `metric` by 3 better than `chance`."""
        for metric, blind in cls.zero.items():
            if metric in metrics:
                if cls.higher_is_better:
                    return LEARNT * metrics[metric] > metrics[blind]
                return metrics[metric] < LEARNT * metrics[blind]
        return cls.sign() * (metrics[cls.metric] - cls.chance) > 3

    @classmethod
    def sign(cls) -> int:
        """1 where a larger metric is better, else -1."""
        return 1 if cls.higher_is_better else -1

    @classmethod
    def worth(cls, metrics: dict[str, float]) -> float:
        """What selects: the more the better, and of equals the first; NaN is worse than any."""
        value = cls.sign() * metrics.get(cls.metric, math.nan)
        return -math.inf if math.isnan(value) else value

    @classmethod
    def autos(cls, config: Config) -> dict:
        """Auto fields that depend on other fields, on the data source above all."""
        return {}

    @classmethod
    def check(cls, config: Config) -> None:
        """Raise HKTError for a resolved configuration that cannot be run, before any work."""

    # -- what a subclass defines; `model` is a parent or a child

    def load(self) -> Task: ...  # reads the data and sets train_size and fingerprint
    def batch(self, index: Tensor, epoch: int): ...  # examples `index` (B,), as `epoch` sees them
    def batches(self, split: str) -> Iterator: ...  # 'train', 'val' or 'test', not augmented
    def cache_batches(self) -> Iterator: ...  # all examples in all views, `.key` counting from 0
    def network(self, arch: str) -> nn.Module: ...  # a new one
    def predict(self, model: nn.Module, batch): ...  # the output, as `loss` takes it
    def loss(self, output, batch) -> Tensor: ...  # supervised, a scalar
    def imitate(self, child_output, parent_output, temperature: float) -> Tensor: ...  # distilling
    def metrics(self, model: nn.Module, split: str) -> dict[str, float]: ...  # in evaluation mode
    def example(self) -> tuple[Tensor, ...]: ...  # inputs of one pass, for counting and export

    # -- what it may leave as it is

    def scored(self, model: nn.Module, split: str) -> tuple[dict, tuple[Tensor, Tensor] | None]:
        """`metrics`, and what they were counted from: logits (N, K) and classes (N,), in order.

        None where the task is no classification of whole examples.
        """
        return self.metrics(model, split), None

    def predict_tail(self, model: nn.Module, batch):
        """As `predict`, for the parent's pass behind the sites, where a task may ask for less."""
        return self.predict(model, batch)

    def protocol(self, name: str) -> dict:
        """In place of `load`: make `metrics` evaluate under one of `protocols`; say what it fixes.

        What is returned goes into the record of the evaluation.
        """
        self.load()
        return self.protocols[name]

    def child(self) -> nn.Module:
        """A new child, initialised from the stream `child` of the seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream(self.config.seed, "child").initial_seed())
            return self.placed(self.network(self.config.child))

    def newborn(self) -> nn.Module:
        """A parent that has learnt nothing, a control, from the stream `parent` of the seed.

        Only its layers' statistics are those of a training batch: without them the features of a
        deep network grow from block to block beyond what half precision holds.
        """
        config = self.config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream(config.seed, "parent").initial_seed())
            model = self.placed(self.network(config.parent)).train()
        for layer in model.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.momentum = None  # the mean over all batches seen: one
        first = torch.arange(min(config.batch_size, self.train_size))
        with torch.no_grad():
            self.predict(model, self.batch(first, 0))
        return model

    def parent(self, path: Path | None = None) -> tuple[nn.Module, Path]:
        """The pretrained parent and the file its weights came from; `path` where a run made it."""
        path = path or self.parent_file()
        return self.placed(load_weights(self.network(self.config.parent), path)), path

    def parent_file(self) -> Path:
        """The parent's weights, 'public' or 'committed' in the project; others are for `runs`."""
        config, weights = self.config, self.config.parent_weights
        if weights == "public":
            name = choose("public checkpoint of", config.parent, self.public)
            return data_home() / "weights" / name
        if weights == "committed":
            known = {path.stem: path for path in COMMITTED.glob("*.safetensors")}
            if config.source == "synthetic" and not self.committed.exists():
                raise HKTError(
                    f"No {config.parent} that has learnt embedded data of task {config.task!r} is "
                    "committed. Is there real data (hkt data status)? Or train one: hkt run "
                    f"{config.task} plain -s child={config.parent} --purpose parent"
                )
            return choose("committed parent", self.committed.stem, known)
        raise HKTError(
            f"parent_weights {weights!r} are no file of the benchmark; ask `runs.parent`."
        )

    @property
    def committed(self) -> Path:
        """Where a parent of this architecture and data lies in the project, if one does."""
        return COMMITTED / f"{self.config.task}-{self.seen}-{self.config.parent}.safetensors"

    @property
    def seen(self) -> str:
        """The data that a committed parent has learnt from, as in its file's name."""
        stages = self.config.stages if self.config.source == "real" else None
        return stages[0].corpus if stages else self.config.source

    @property
    def layout(self) -> torch.memory_format:
        """Of weights and images (B, C, H, W)."""
        return torch.channels_last if self.config.channels_last else torch.contiguous_format

    def placed(self, model: nn.Module) -> nn.Module:
        """A network on the configuration's device, in its memory layout."""
        return model.to(self.config.device, memory_format=self.layout)
