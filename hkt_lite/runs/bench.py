"""What inheriting costs, as ratios in one run.   hkt bench all; cifar10, flow, lits, data, cache

Contestants take turns, round by round, so that a slow moment of the machine hits each; ratios are
taken inside a round.
"""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from .. import torchvision
from ..benchmarks import Task, get, resolve
from ..benchmarks.cifar10.augment import Augment
from ..benchmarks.cifar10.task import MEAN, STD
from ..config import Config, HKTError
from ..methods import HKT, KD, Plain
from ..methods.parent import Cached
from ..methods.sites import record, replay
from .device import deterministic

SIZES = {  # what is measured where nothing else is asked for
    "cifar10": {"parent": "resnet110", "child": "resnet20", "batch_size": 128},
    "flow": {"parent": "raft_base", "child": "raft_tiny", "batch_size": 4, "updates": 4},
    "lits": {"parent": "resunet2d-24x4", "child": "resunet2d-6x4", "batch_size": 8},
}
AGAINST = {"spelt out": "hkt", "hkt": "plain", "kd": "plain", "hkt, cached parent": "plain"}


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
    name: str, unit: str, setting: dict, actions: Mapping[str, Callable[[], int]], against: dict
) -> Bench:
    """Time actions, which return how many units they did, in turn; the first does not count."""
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
        for a, b in against.items()
        if a in rounds and b in rounds
    }
    return Bench(name, unit, {**setting, "torch": torch.__version__}, rounds, ratios)


class SpeltOut(HKT):
    """HKT as one would first write it, and as the release does: four whole passes a step.

    Each has a graph, and the backward pass goes through them all: the mixture of L_c* is with what
    the parent's first pass gave, that of L_p* with what its second gives again.  The release has
    one site.  Where another was replaced before a site, what the second pass gives there is no
    longer the parent's own feature, and that of the first pass stands in, as in HKT.
    """

    def __init__(self, child: nn.Module, parent: nn.Module, **given):
        super().__init__(child, parent, **given)
        self.whole = [parent.requires_grad_(True)]  # in a list: not a submodule

    def forward(self, batch) -> dict[str, Tensor]:
        (parent,), pairs = self.whole, list(zip(self.sites, self.transfers))
        with record(parent, [site.parent for site in self.sites]) as p:
            self.predict(parent, batch)
        with record(self.child, [site.child for site in self.sites]) as c:
            terms = {"L_c": self.loss(self.predict(self.child, batch), batch)}
        mixed: dict[str, list[Tensor]] = {site.parent: [] for site in self.sites}
        replaced: list[Tensor] = []  # in the parent's second pass

        def mixing(site, transfer, c_again: Tensor, call: int) -> Tensor:
            inherited = transfer(p[site.parent][call], c_again)
            mixed[site.parent].append(self.mixture(c_again, inherited, site.parts))
            return mixed[site.parent][call]

        def returning(site, transfer, p_again: Tensor, call: int) -> Tensor:
            m = mixed[site.parent][call]
            if site.alone or not replaced:
                own = c[site.child][call]
                m = self.mixture(own, transfer(p_again, own), site.parts)
            replaced.append(m)
            return transfer.back(m, p_again)

        with replay(self.child, {s.child: partial(mixing, s, T) for s, T in pairs}):
            terms["L_c*"] = self.loss(self.predict(self.child, batch), batch)
        with replay(parent, {s.parent: partial(returning, s, T) for s, T in pairs}):
            terms["L_p*"] = self.loss(self.predict(parent, batch), batch)
        return terms


def contestants(task: Task, batch) -> dict[str, nn.Module]:
    """The methods, each with networks of its own (random weights) and set up on `batch`."""
    config = task.config
    parts: dict[str, Any] = {"predict": task.predict, "loss": task.loss, "imitate": task.imitate}
    parent, child = (task.placed(task.network(arch)) for arch in (config.parent, config.child))
    made = {
        "plain": Plain(deepcopy(child), **parts),
        "kd": KD(deepcopy(child), deepcopy(parent), **parts),
        "hkt": HKT(deepcopy(child), deepcopy(parent), sites=task.sites, **parts),
        "spelt out": SpeltOut(deepcopy(child), deepcopy(parent), sites=task.sites, **parts),
    }
    if [site.child for site in task.sites] == ["avgpool"]:  # vectors, which can be cached
        cache = Cached(deepcopy(parent), task.predict, task.sites)
        cache.fill([batch], int(batch.key.max()) + 1)
        made["hkt, cached parent"] = HKT(deepcopy(child), cache, sites=task.sites, **parts)
    for method in made.values():
        method.setup(batch)
    return made


def step(task: str = "cifar10", rounds: int = 7, threads: int = 1, **sizes) -> Bench:
    """A training step of each method on one batch of embedded data; `sizes` as in SIZES."""
    fields = {**SIZES[task], **sizes}
    size = {"train_size": fields["batch_size"], "parent_source": "live", "threads": threads}
    config = resolve(
        Config(task=task, method="hkt", scale="smoke", source="synthetic", **fields, **size)
    )
    with deterministic(config):
        loaded = get(task)(config).load()
        batch = loaded.batch(torch.arange(config.batch_size), 0)
        methods = contestants(loaded, batch)
        memory = {name: kept(partial(_objective, one, batch)) for name, one in methods.items()}
        actions = {name: partial(_step, one, batch) for name, one in methods.items()}
        setting = {"rounds": rounds, **fields, "threads": threads}
        return replace(compared(f"step, {task}", "step", setting, actions, AGAINST), memory=memory)


def _objective(method: nn.Module, batch) -> Tensor:
    return sum(method(batch).values())


def _step(method: nn.Module, batch) -> int:
    method.zero_grad()
    _objective(method, batch).backward()
    return 1


def data(rounds: int = 7, images: int = 10_000, batch: int = 128, workers: int = 2) -> Bench:
    """An epoch of CIFAR-10's `Augment` and of torchvision's DataLoader: crop, flip, normalise."""
    x = torch.randint(256, (images, 3, 32, 32), dtype=torch.uint8)
    t = torchvision().transforms
    crop, flip = t.RandomCrop(32, 4), t.RandomHorizontalFlip()
    chain = t.Compose([t.ToPILImage(), crop, flip, t.ToTensor(), t.Normalize(MEAN, STD)])
    arrays = list(x.movedim(1, -1).contiguous().numpy())
    collate = partial(_transformed, chain)
    loading = {"num_workers": workers, "collate_fn": collate, "persistent_workers": True}
    loader = DataLoader(arrays, batch, True, **loading)
    ours, epochs = Augment(SimpleNamespace(x=x), 0, MEAN, STD), iter(range(rounds + 1))

    def loaded() -> int:
        return sum(len(images) for images in loader)

    def augmented() -> int:
        epoch = next(epochs)
        return sum(len(ours.batch(part, epoch)) for part in torch.randperm(images).split(batch))

    actions = {"DataLoader": loaded, "Augment": augmented}
    setting = {"rounds": rounds, "images": images, "batch": batch, "workers": workers}
    return compared("data", "image", setting, actions, {"DataLoader": "Augment"})


def cache(rounds: int = 7, **sizes) -> Bench:
    """Filling a parent's cache against passes of the parent alone, an image and view each."""
    fields = {"parent": "resnet56", "train_size": 512, "views": 2, **sizes}
    given: dict[str, Any] = {"task": "cifar10", "scale": "smoke", "source": "synthetic"}
    task = get("cifar10")(resolve(Config(**given, **fields))).load()
    parent, rows = task.placed(task.network(fields["parent"])), fields["views"] * task.train_size
    made, batches = Cached(parent, task.predict, task.sites), list(task.cache_batches())

    def fill() -> int:
        made.fill(task.cache_batches(), rows)
        return rows

    @torch.no_grad()
    def passes() -> int:
        for one in batches:
            task.predict(parent.eval(), one)
        return rows

    setting = {"rounds": rounds, **fields}
    actions = {"cache filled": fill, "parent's pass": passes}
    found = compared("cache", "image", setting, actions, {"cache filled": "parent's pass"})
    held = sum(values.nbytes for values in made.rows.values()) / 2**20
    return replace(found, memory={"cache": held})


SMALL: dict[str, dict] = {
    "cifar10": {"parent": "resnet14", "child": "resnet8", "batch_size": 4},
    "flow": {"batch_size": 2, "updates": 2},
    "lits": {"batch_size": 2},
    "data": {"images": 128, "batch": 64, "workers": 1},
    "cache": {"parent": "resnet8", "train_size": 64},
}


def everything(rounds: int = 7, small: bool = False) -> dict:
    """Every benchmark of this file in one run, as JSON has it; `small` to try it in seconds."""
    sizes = SMALL if small else {}
    found = [step(task, rounds, **sizes.get(task, {})) for task in SIZES]
    found.append(data(rounds, **sizes.get("data", {})))
    found.append(cache(rounds, **sizes.get("cache", {})))
    return {"made": made(), "benches": [asdict(one) for one in found]}


def made() -> dict:
    """Where and when something was measured, and how busy the machine was."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "load": load,
    }


def said(facts: dict) -> str:
    """`made` in words."""
    busy = "" if facts["load"] is None else f", load {facts['load']:.1f} at its end"
    return (
        f"Measured {facts['date']} on {facts['machine']}, Python {facts['python']}, torch "
        f"{facts['torch']}{busy}."
    )


def as_markdown(found: dict) -> str:
    """The ratios of `everything` as a table."""
    lines = ["| measured | ratio | median | least | most |", "|---|---|---|---|---|"]
    for one in found["benches"]:
        for name, (middle, low, high) in one["ratios"].items():
            lines.append(f"| {one['name']} | {name} | {middle:.2f} | {low:.2f} | {high:.2f} |")
    return "\n".join([*lines, "", said(found["made"])])


def _transformed(chain: Callable, arrays: list) -> Tensor:
    """What a worker does for torchvision's CIFAR10: each array (H, W, 3) by itself."""
    return torch.stack([chain(array) for array in arrays])


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
