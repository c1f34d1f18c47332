"""What inheriting costs on your machine, as ratios in one run.   hkt bench cifar10; flow, lits, all

Contestants take turns, round by round, so that a slow moment of the machine hits each; ratios are
taken inside a round.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..benchmarks import Task, get, resolve
from ..config import PROJECT, Config, HKTError
from ..methods import HKT, KD, Plain
from ..methods.parent import Cached
from .device import deterministic

SIZES = {  # what is measured where nothing else is asked for
    "cifar10": {"parent": "resnet110", "child": "resnet20", "batch_size": 128},
    "flow": {"parent": "raft_base", "child": "raft_tiny", "batch_size": 4, "updates": 4},
    "lits": {"parent": "resunet2d-24x4", "child": "resunet2d-6x4", "batch_size": 8},
}
Actions = Mapping[str, Callable[[], int]]
AGAINST = {"hkt": "plain", "kd": "plain", "hkt, cached parent": "plain"}


@dataclass(frozen=True)
class Bench:
    """`rounds`: each contestant's seconds a unit; `ratios`: {'a / b': (median, min, max)}."""

    name: str
    unit: str
    setting: dict
    rounds: dict[str, list[float]]
    ratios: dict[str, tuple[float, float, float]]
    memory: dict[str, float] = field(default_factory=dict)  # MiB kept for the backward pass

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2)

    def __str__(self) -> str:
        rows = {f"{name}, s a {self.unit}": spread(took) for name, took in self.rounds.items()}
        lines = [f"bench {self.name}: " + ", ".join(f"{k} {v}" for k, v in self.setting.items())]
        for name, (middle, low, high) in {**rows, **self.ratios}.items():
            lines.append(f"  {name:<34}{middle:12.5f}  ({low:.5f} to {high:.5f})")
        lines += [f"  {f'{name}, MiB kept':<34}{mib:12.1f}" for name, mib in self.memory.items()]
        return "\n".join(lines)


def spread(values: list[float]) -> tuple[float, float, float]:
    return statistics.median(values), min(values), max(values)


def compared(
    name: str, unit: str, setting: dict, actions: Actions, against: Iterable[tuple[str, str]]
) -> Bench:
    """Time actions, which return how many units they did, in turn; the first does not count.
    `against`: pairs of which the ratio is wanted, where both are among the actions."""
    if setting["rounds"] < 1:
        raise HKTError(f"A benchmark needs at least 1 round, got {setting['rounds']}.")
    rounds: dict[str, list[float]] = {key: [] for key in actions}
    for number in range(setting["rounds"] + 1):
        for key in list(actions)[:: -1 if number % 2 else 1]:
            begin = time.perf_counter()
            units = actions[key]()
            rounds[key].append((time.perf_counter() - begin) / units)
    rounds = {key: seconds[1:] for key, seconds in rounds.items()}
    ratios = {
        f"{a} / {b}": spread([x / y for x, y in zip(rounds[a], rounds[b])])
        for a, b in against
        if a in rounds and b in rounds
    }
    return Bench(name, unit, {**setting, "torch": torch.__version__}, rounds, ratios)


def contestants(task: Task, batch, ways: Mapping[str, type[HKT]] = {}) -> dict[str, nn.Module]:
    """The methods and other `ways` to write HKT, each with random networks, set up on `batch`."""
    config = task.config
    parts: dict[str, Any] = {"predict": task.predict, "loss": task.loss, "imitate": task.imitate}
    parent, child = (task.placed(task.network(arch)) for arch in (config.parent, config.child))
    made: dict[str, nn.Module] = {
        "plain": Plain(deepcopy(child), **parts),
        "kd": KD(deepcopy(child), deepcopy(parent), **parts),
    }
    written: dict[str, type[HKT]] = {"hkt": HKT, **ways}
    for name, way in written.items():
        made[name] = way(deepcopy(child), deepcopy(parent), sites=task.sites, **parts)
    if [site.child for site in task.sites] == ["avgpool"]:  # vectors, which can be cached
        cache = Cached(deepcopy(parent), task.predict, task.sites)
        cache.fill([batch], int(batch.key.max()) + 1)
        made["hkt, cached parent"] = HKT(deepcopy(child), cache, sites=task.sites, **parts)
    for method in made.values():
        method.setup(batch)
    return made


def everything() -> int:
    """Runs tests/perf/speed.py, whose yardsticks are no part of the package; its exit status.

    Raises HKTError where there is no clone of the project.
    """
    if not (PROJECT / "tests/perf/speed.py").is_file():
        raise HKTError("`hkt bench all` compares with yardsticks of the tests; run it in a clone.")
    return subprocess.run([sys.executable, "-m", "tests.perf.speed"], cwd=PROJECT).returncode


def step(
    task: str = "cifar10",
    rounds: int = 7,
    threads: int = 1,
    ways: Mapping[str, type[HKT]] = {},
    **sizes,
) -> Bench:
    """A training step of each method on one batch of embedded data; `sizes` as in SIZES, `ways` as
    in `contestants`, each timed against `hkt`."""
    fields = {"batch_size": 8, **SIZES.get(task, {}), **sizes}
    size = {"train_size": fields["batch_size"], "parent_source": "live", "threads": threads}
    config = resolve(
        Config(task=task, method="hkt", scale="smoke", source="synthetic", **fields, **size)
    )
    with deterministic(config):
        loaded = get(task)(config).load()
        batch = loaded.batch(torch.arange(config.batch_size), 0)
        methods = contestants(loaded, batch, ways)
        memory = {name: kept(partial(_objective, one, batch)) for name, one in methods.items()}
        actions = {name: partial(_step, one, batch) for name, one in methods.items()}
        setting = {"rounds": rounds, **fields, "threads": threads}
        against = [*((way, "hkt") for way in ways), *AGAINST.items()]
        return replace(compared(f"step, {task}", "step", setting, actions, against), memory=memory)


def _objective(method: nn.Module, batch) -> Tensor:
    return sum(method(batch).values())


def _step(method: nn.Module, batch) -> int:
    method.zero_grad()
    _objective(method, batch).backward()
    return 1


def kept(objective: Callable[[], Tensor]) -> float:
    """MiB of distinct storage that the graph of one objective keeps for its backward pass."""
    storages: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        graph = objective()  # noqa: F841 -- held until here: freed storage could be counted twice
    return sum(storages.values()) / 2**20
