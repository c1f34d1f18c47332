"""What every task offers, and how a configuration's *auto* fields are filled in before it is hashed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from pathlib import Path

import torch
import yaml
from torch import Tensor, nn

from .. import methods
from ..config import PROJECT, Config, HKTError, data_home, nearest, runs_home, stream
from ..methods.method import Method, MethodError
from ..methods.sites import Site
from .weights import load_weights

TORCH_DEFAULTS = {
    "optimizer": "sgd",
    "precision": "fp32",
    "channels_last": True,
    "compile": False,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "threads": 1,
}
COMMITTED = PROJECT / "data" / "parents"


class Task:
    """One benchmark under one resolved configuration.  Subclasses fill in everything below."""

    metric = "accuracy"  # the one that selects, on validation data
    higher_is_better = True
    chance = 0.0  # the metric of an answer that has learnt nothing
    sites: tuple[Site, ...] = ()
    public: dict[
        str, str
    ] = {}  # architecture -> file of its published weights under HKT_DATA/weights
    protocols: dict[
        str, dict
    ] = {}  # name -> what an evaluation of a checkpoint fixes; see `protocol`
    train_size: int  # examples, set when the data is loaded
    fingerprint: str  # sha256 of the examples used

    def __init__(self, config: Config):
        self.config = config

    @classmethod
    def learnt(cls, metrics: dict[str, float]) -> bool:
        """Whether test metrics are clearly those of a network that has learnt something."""
        return metrics[cls.metric] > cls.chance + 3

    @classmethod
    def autos(cls, config: Config) -> dict:
        """Auto fields that depend on other fields (the data source above all); task-specific."""
        return {}

    def load(self) -> Task:
        """Read the data; afterwards `train_size`, `fingerprint`, `batch` and `batches` work."""
        raise NotImplementedError

    def batch(self, index: Tensor, epoch: int):
        """An augmented training batch: examples `index` (B,) as epoch `epoch` sees them."""
        raise NotImplementedError

    def batches(self, split: str, size: int = 500) -> Iterator:
        """The examples of 'train', 'val' or 'test' in order, not augmented."""
        raise NotImplementedError

    def cache_batches(self, size: int = 500) -> Iterator:
        """Every training example in each of the configuration's views, with `.key` counting from 0."""
        raise NotImplementedError

    def network(self, arch: str) -> nn.Module:
        """A new network of that architecture."""
        raise NotImplementedError

    def parent_file(self) -> Path:
        """Where the parent's weights lie: 'public', 'committed' with the project, or 'run:ID' of this machine."""
        config = self.config
        if config.parent_weights == "public":
            if config.parent not in self.public:
                raise HKTError(
                    f"There is no public checkpoint of {config.parent!r}.{nearest(config.parent, self.public)}"
                )
            return data_home() / "weights" / self.public[config.parent]
        if config.parent_weights == "committed":
            return COMMITTED / f"{config.task}-{config.source}-{config.parent}.safetensors"
        if config.parent_weights.startswith("run:"):
            return self.run_weights(config.parent_weights.removeprefix("run:"))
        raise HKTError(
            f"parent_weights must be 'public', 'committed' or 'run:ID', got {config.parent_weights!r}."
        )

    def parent(self, path: Path | None = None) -> tuple[nn.Module, Path]:
        """The pretrained parent and the file its weights came from; `path` where a run made it."""
        path = path or self.parent_file()
        return self._placed(load_weights(self.network(self.config.parent), path)), path

    def child(self) -> nn.Module:
        """A new child, initialised from the stream `child` of the seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream(self.config.seed, "child").initial_seed())
            return self._placed(self.network(self.config.child))

    def _placed(self, model: nn.Module) -> nn.Module:
        model = model.to(self.config.device)
        return model.to(memory_format=torch.channels_last) if self.config.channels_last else model

    def predict(self, model: nn.Module, batch):
        raise NotImplementedError

    def predict_tail(self, model: nn.Module, batch):
        """As `predict`, for the parent's pass behind the sites, where a task may ask for less."""
        return self.predict(model, batch)

    def loss(self, output, batch) -> Tensor:
        raise NotImplementedError

    def imitate(self, child_output, parent_output, temperature: float) -> Tensor:
        raise NotImplementedError

    def metrics(self, model: nn.Module, split: str) -> dict[str, float]:
        raise NotImplementedError

    def protocol(self, name: str) -> dict:
        """Set the task up to evaluate under one of `protocols` instead of `load`, and say in a record's words what that fixes."""
        self.load()
        return self.protocols[name]

    def example(self):
        """Inputs of one forward pass, as a tuple, for counting operations and for export."""
        raise NotImplementedError

    def run_weights(self, run_id: str) -> Path:
        """The selected weights of a local run, for parents trained here."""
        path = runs_home() / run_id / "child.safetensors"
        if not path.is_file():
            raise HKTError(
                f"Parent weights 'run:{run_id}' need {path}; train that run first or name other weights."
            )
        return path


@lru_cache
def presets(task: str) -> dict[str, dict]:
    """Scale -> auto fields of a task, from data/scales.yaml; they are part of each run's hashed configuration.

    'presets' instead of a task gives the names that stand for a task with some fields set.
    """
    return yaml.safe_load((PROJECT / "data" / "scales.yaml").read_text(encoding="utf-8"))[task]


def names() -> list[str]:
    return sorted(path.parent.name for path in Path(__file__).parent.glob("*/task.py"))


def get(name: str) -> type[Task]:
    """The task class of that name or preset: the one subclass of `Task` that benchmarks/NAME/task.py defines."""
    name = presets("presets").get(name, {"task": name})["task"]
    if name not in names():
        raise HKTError(
            f"There is no task {name!r}.{nearest(name, [*names(), *presets('presets')])}"
        )
    module = import_module(f"{__package__}.{name}.task")
    return next(
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Task)
        and value.__module__ == module.__name__
    )


def method_class(name: str) -> type[Method]:
    """As `methods.get`, with an HKTError."""
    try:
        return methods.get(name)
    except MethodError as error:
        raise HKTError(str(error)) from None


def method_options(name: str, given: dict) -> dict:
    """As `methods.options`, with an HKTError."""
    try:
        return methods.options(name, given)
    except MethodError as error:
        raise HKTError(str(error)) from None


def resolve(config: Config) -> Config:
    """The configuration with every auto field filled in: explicit value, then the task's preset for the scale, then the default.

    Raises HKTError for an unknown task, method or option, and for a scale the task does not have.
    """
    task = get(config.task)
    if preset := presets("presets").get(config.task):
        fits = {
            key: value
            for key, value in preset.items()
            if key in ("task", "scale") or getattr(config, key) in (None, "auto")
        }
        config = config.but(**fits)
    scales = presets(config.task)
    if config.scale not in scales:
        raise HKTError(
            f"Task {config.task!r} has no scale {config.scale!r}.{nearest(config.scale, scales)}"
        )
    given = {
        key: value
        for key, value in config.model_dump().items()
        if value is not None and value != "auto"
    }
    given["options"] = method_options(config.method, config.options)
    filled = {**TORCH_DEFAULTS, **scales[config.scale], **given}
    filled = {**filled, **task.autos(Config(**filled)), **given}
    if not method_class(config.method).needs_parent:
        filled |= {"parent": "none", "parent_weights": "none", "parent_source": "live"}
    if not method_class(config.method).needs_sites:
        filled |= {"sites": None, "parent_updates": None}
    filled.setdefault(
        "device", "cuda" if config.scale == "paper" and torch.cuda.is_available() else "cpu"
    )
    resolved = Config(**filled)
    if resolved.unresolved:
        raise HKTError(
            f"Task {config.task!r} at scale {config.scale!r} leaves {resolved.unresolved[0]!r} open; give it a value."
        )
    if resolved.parent_source == "cached" and not resolved.views:
        raise HKTError(
            "A cached parent needs fixed views of each image: set views to 1 or more, or parent_source to 'live'."
        )
    return resolved
