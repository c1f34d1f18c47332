"""What inheriting costs: the release's training step, ours and the plain child's; images a second.   hkt bench step

Contestants take turns, round by round, so that a slow moment of the machine hits each; ratios are taken inside a round.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import repeat
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ..benchmarks.cifar10.augment import Augment
from ..benchmarks.cifar10.network import resnet
from ..benchmarks.cifar10.task import MEAN, STD, Batch, Cifar10
from ..config import HKTError
from ..methods import HKT, KD, Plain
from ..methods.parent import Cached
from ..methods.sites import record, replay

STEPS = {
    "release": 1,
    "live": 2,
    "cached": 6,
    "plain": 6,
}  # steps a round: short ones are timed long enough
PAIRS = [("release", "live"), ("release", "cached"), ("live", "plain"), ("cached", "plain")]


@dataclass(frozen=True)
class Bench:
    """`rounds`: each contestant's seconds per unit ('step', 'image'); `ratios`: {'a / b': (median, min, max)}."""

    name: str
    unit: str
    setting: dict
    rounds: dict[str, list[float]]
    ratios: dict[str, tuple[float, float, float]]
    memory: dict[str, float] = field(
        default_factory=dict
    )  # MiB that an objective keeps for its backward pass

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2)

    def __str__(self) -> str:
        times = {
            f"{name}, ms a {self.unit}": [1e3 * x for x in spread(taken)]
            for name, taken in self.rounds.items()
        }
        rows = [
            f"  {name:<26}{mid:10.3f}  ({a:.3f} to {b:.3f})"
            for name, (mid, a, b) in (times | self.ratios).items()
        ]
        rows += [f"  {f'{name}, MiB kept':<26}{mib:10.1f}" for name, mib in self.memory.items()]
        return f"bench {self.name}: " + "\n".join(
            [", ".join(f"{key} {x}" for key, x in self.setting.items()), *rows]
        )


def spread(values: list[float]) -> tuple[float, float, float]:
    return statistics.median(values), min(values), max(values)


def compared(
    name: str, unit: str, setting: dict, timers: dict[str, Callable], pairs: list[tuple[str, str]]
) -> Bench:
    """Every timer once without counting, then `setting['rounds']` times in turn, in alternating order."""
    rounds: dict[str, list[float]] = {key: [] for key in timers}
    for number in range(setting["rounds"] + 1):
        for key in list(timers)[:: -1 if number % 2 else 1]:
            rounds[key].append(timers[key]())
    rounds = {key: seconds[1:] for key, seconds in rounds.items()}
    return Bench(
        name,
        unit,
        {**setting, "torch": torch.__version__},
        rounds,
        {f"{a} / {b}": spread([x / y for x, y in zip(rounds[a], rounds[b])]) for a, b in pairs},
    )


def checked(**setting) -> dict:  # each of its numbers must be at least 1
    if wrong := [key for key, value in setting.items() if isinstance(value, int) and value < 1]:
        raise HKTError(f"A benchmark's {wrong[0]} must be at least 1, got {setting[wrong[0]]}.")
    return setting


@contextmanager
def using(threads: int) -> Iterator[None]:
    """So many CPU threads inside the block, as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def release_loss(child: nn.Module, parent: nn.Module, batch: Batch) -> Tensor:
    """The released trainer's objective, restated: both networks run twice, the graph runs through the parent."""

    def run(
        net: nn.Module, mixing: Callable[[Tensor], Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        x = F.relu(net.bn1(net.conv1(batch.x)))
        feature = net.avgpool(net.layer3(net.layer2(net.layer1(x))))  # (B, C)
        return net.linear(mixing(feature) if mixing else feature), feature

    def mixture(c: Tensor, p: Tensor) -> Tensor:
        g = torch.sigmoid((c * p).sum(1, keepdim=True) / c.shape[1] ** 0.5)  # (B, 1)
        return c + 0.6 * (p - (g * p + (1 - g) * c))

    plain, c = run(child)
    _, p = run(parent)
    inherited, _ = run(child, lambda own: mixture(own, p))
    returned, _ = run(parent, lambda own: mixture(c, own))
    return sum(F.cross_entropy(output, batch.y) for output in (plain, inherited, returned))


def contestants(
    batch: Batch, parent: nn.Module, child: nn.Module
) -> dict[str, tuple[nn.Module, Callable]]:
    """{name: (the child it trains, what returns its objective)}, each with networks of its own."""
    parts = {
        "sites": Cifar10.sites,
        "predict": lambda model, batch: model(batch.x),
        "loss": lambda output, batch: F.cross_entropy(output, batch.y),
    }
    cache = Cached(deepcopy(parent), parts["predict"], Cifar10.sites).fill([batch], len(batch.y))
    ours = {
        "live": HKT(deepcopy(child), deepcopy(parent), **parts),
        "cached": HKT(deepcopy(child), cache, **parts),
        "plain": Plain(deepcopy(child), **parts),
    }
    return {
        "release": (child, lambda: release_loss(child, parent, batch)),
        **{name: (m.child, lambda m=m: sum(m(batch).values())) for name, m in ours.items()},
    }


def step(
    rounds: int = 7,
    batch: int = 128,
    parent: str = "resnet110",
    child: str = "resnet20",
    threads: int | None = None,
    steps: dict[str, int] = STEPS,
) -> Bench:
    """A CPU training step (objective, backward, SGD) on random images (batch, 3, 32, 32), channels last for all."""
    threads = torch.get_num_threads() if threads is None else threads
    setting = checked(rounds=rounds, batch=batch, parent=parent, child=child, threads=threads)
    x = torch.randn(batch, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    nets = [resnet(name).to(memory_format=torch.channels_last) for name in (parent, child)]

    def timed(
        repeats: int, objective: Callable[[], Tensor], optimizer: torch.optim.Optimizer
    ) -> float:
        begin = time.perf_counter()
        for _ in range(repeats):
            optimizer.zero_grad()
            objective().backward()
            optimizer.step()
        return (time.perf_counter() - begin) / repeats

    racers = contestants(Batch(x, torch.randint(10, (batch,)), torch.arange(batch)), *nets)
    with using(threads):
        timers = {
            name: partial(timed, steps[name], loss, torch.optim.SGD(child.parameters(), 0.01, 0.9))
            for name, (child, loss) in racers.items()
        }
        return compared("step", "step", setting, timers, PAIRS)


def pictures(transform: Callable, arrays: list) -> Tensor:
    """What a worker does for torchvision's CIFAR10: array (H, W, 3) -> PIL image -> transforms, one by one."""
    from PIL import Image

    return torch.stack([transform(Image.fromarray(array)) for array in arrays])


def data(rounds: int = 7, images: int = 10_000, batch: int = 128, workers: int = 2) -> Bench:
    """An epoch of `Augment` and of torchvision's DataLoader: 4 px crop, flip, normalisation, shuffled batches."""
    from .. import torchvision

    setting = checked(
        rounds=rounds, images=images, batch=batch, workers=workers, threads=torch.get_num_threads()
    )
    x, t = torch.randint(256, (images, 3, 32, 32), dtype=torch.uint8), torchvision().transforms
    chain = t.Compose(
        [t.RandomCrop(32, 4), t.RandomHorizontalFlip(), t.ToTensor(), t.Normalize(MEAN, STD)]
    )
    loader = DataLoader(
        x.movedim(1, -1).contiguous().numpy(),
        batch,
        True,
        num_workers=workers,
        collate_fn=partial(pictures, chain),
        persistent_workers=True,
    )
    ours, epochs = Augment(SimpleNamespace(x=x), 0, MEAN, STD), iter(range(rounds + 1))

    def augmented() -> Iterator[Tensor]:
        return map(ours.batch, torch.randperm(images).split(batch), repeat(next(epochs)))

    def timed(batches: Callable[[], Iterable[Tensor]]) -> float:
        begin, seen = time.perf_counter(), sum(len(x) for x in batches())
        return (time.perf_counter() - begin) / seen

    timers = {"DataLoader": partial(timed, lambda: loader), "Augment": partial(timed, augmented)}
    return compared("data", "image", setting, timers, [("DataLoader", "Augment")])


def flow(
    rounds: int = 7,
    batch: int = 4,
    crop: tuple[int, int] = (64, 96),
    parent: str = "raft_base",
    child: str = "raft_tiny",
    updates: int = 4,
    threads: int | None = None,
) -> Bench:
    """A training step of optical flow on random pairs: HKT spelt out (each pass whole, a graph through the parent), ours, KD, the plain child.

    Its `memory` is what each objective's graph holds on to, which is the same on every device.
    """
    from ..benchmarks.flow.network import raft
    from ..benchmarks.flow.task import Batch as Pairs
    from ..benchmarks.flow.task import sequence_loss, sites

    threads = torch.get_num_threads() if threads is None else threads
    setting = checked(
        rounds=rounds, batch=batch, parent=parent, child=child, updates=updates, threads=threads
    ) | {"crop": f"{crop[0]}x{crop[1]}"}
    x = torch.rand(2, batch, 3, *crop) * 2 - 1
    pairs = Pairs(
        x[0],
        x[1],
        torch.randn(batch, 2, *crop),
        torch.ones(batch, *crop, dtype=torch.bool),
        torch.arange(batch),
    )
    nets = [raft(name).to(memory_format=torch.channels_last) for name in (parent, child)]
    parts = {
        "predict": lambda model, b: model(b.first, b.second, num_flow_updates=updates),
        "loss": lambda output, b: sequence_loss(output, b.flow, b.valid),
        "imitate": lambda mine, theirs, _: sequence_loss(mine, theirs[-1], pairs.valid),
    }
    makers = {
        "plain": lambda c, p: Plain(c, **parts),
        "kd": lambda c, p: KD(c, p, **parts),
        **{
            name: lambda c, p, name=name: HKT(c, p, sites=sites(name, parent, child), **parts)
            for name in ("2hkt", "3hkt")
        },
    }
    methods = {name: make(*map(deepcopy, nets[::-1])) for name, make in makers.items()}
    methods["2hkt spelt out"] = SpeltOut(
        *map(deepcopy, nets[::-1]), sites=sites("2hkt", parent, child), **parts
    )

    def timed(method: nn.Module) -> float:
        begin = time.perf_counter()
        sum(method(pairs).values()).backward()
        return time.perf_counter() - begin

    with using(threads):
        for method in methods.values():
            method.setup(pairs)
        memory = {name: kept(lambda m=m: sum(m(pairs).values())) for name, m in methods.items()}
        pairings = [
            ("2hkt spelt out", "2hkt"),
            *((name, "plain") for name in ("kd", "2hkt", "3hkt", "2hkt spelt out")),
        ]
        return replace(
            compared(
                "flow",
                "step",
                setting,
                {name: partial(timed, method) for name, method in methods.items()},
                pairings,
            ),
            memory=memory,
        )


class SpeltOut(HKT):
    """HKT as one would first write it: four whole passes, the parent's with a graph, nothing kept from one to the next."""

    def __init__(self, child: nn.Module, parent: nn.Module, **parts):
        super().__init__(child, parent, **parts)
        self.kept = [parent.requires_grad_(True)]  # in a list: not a submodule

    def forward(self, batch) -> dict[str, Tensor]:
        (parent,) = self.kept
        pairs = list(zip(self.sites, self.transfers))
        with record(parent, [site.parent for site in self.sites]) as seen:
            self.predict(parent, batch)
        terms = {"L_c": self.loss(self.predict(self.child, batch), batch)}
        mixing = {
            site.child: (
                lambda own, call, site=site, transfer=transfer: self.mixture(
                    own, transfer(seen[site.parent][call], own), site.parts
                )
            )
            for site, transfer in pairs
        }
        paths = [site.child for site in self.sites]
        with replay(self.child, mixing), record(self.child, paths) as mixed:
            terms["L_c*"] = self.loss(self.predict(self.child, batch), batch)
        back = {
            site.parent: (
                lambda own, call, site=site, transfer=transfer: transfer.back(
                    mixed[site.child][call], own
                )
            )
            for site, transfer in pairs
        }
        with replay(parent, back):
            terms["L_p*"] = self.loss(self.predict(parent, batch), batch)
        return terms


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
