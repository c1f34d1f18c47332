"""What inheriting costs: a training step of the release, ours and the plain child's; images a second.   hkt bench step;  hkt bench data

All contestants of a benchmark take turns, round by round, so that a slow moment of the machine hits each of them; a ratio is taken
inside a round, and reported with its spread over the rounds.
"""
from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import HKTError
from .methods import HKT, Plain, Site
from .methods.parent import Cached
from .models.resnet import resnet

BEFORE_POOLING = ("conv1", "bn1", "layer1", "layer2", "layer3")
SITES = (Site("avgpool", "avgpool", BEFORE_POOLING, BEFORE_POOLING),)
STEPS = {"release": 1, "live": 2, "cached": 6, "plain": 6}      # a round times this many, so that short steps are timed long enough
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Bench:
    """Result of a benchmark: `rounds` holds seconds per unit for each contestant, `ratios` {'a / b': (median, lowest, highest)}."""

    name: str
    unit: str                                                   # what the seconds are per: 'step' or 'image'
    setting: dict
    rounds: dict[str, list[float]]
    ratios: dict[str, tuple[float, float, float]]

    @classmethod
    def of(cls, name: str, unit: str, setting: dict, rounds: dict[str, list[float]], pairs: list[tuple[str, str]]) -> Bench:
        def spread(a: str, b: str) -> tuple[float, float, float]:
            ratios = [x / y for x, y in zip(rounds[a], rounds[b])]
            return statistics.median(ratios), min(ratios), max(ratios)
        return cls(name, unit, setting, rounds, {f"{a} / {b}": spread(a, b) for a, b in pairs})

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2)

    def __str__(self) -> str:
        per = 1000 if self.unit == "step" else 1e6
        lines = [f"bench {self.name}: " + ", ".join(f"{key} {value}" for key, value in self.setting.items()),
                 *(f"  {name:<22} {per * statistics.median(seconds):10.1f} {'ms a step' if per == 1000 else 'us an image'}"
                   f"   ({per * min(seconds):.1f} to {per * max(seconds):.1f})" for name, seconds in self.rounds.items()),
                 *(f"  {name:<22} {median:10.2f} x           ({low:.2f} to {high:.2f})" for name, (median, low, high) in self.ratios.items())]
        return "\n".join(lines)


class Batch(NamedTuple):
    x: Tensor
    y: Tensor
    key: Tensor


def release_step(child: nn.Module, parent: nn.Module, batch: Batch) -> Tensor:
    """The objective as the released trainer computes it: both networks run twice, and the graph runs through the parent.

    Source: trainer.py and gen_attention.py of the authors' release (Aug 2025), restated.  Gradients pile up in the parent, as there.
    """
    def run(net: nn.Module, mixing: Callable[[Tensor], Tensor] | None = None) -> tuple[Tensor, Tensor]:
        x = F.relu(net.bn1(net.conv1(batch.x)))
        feature = net.avgpool(net.layer3(net.layer2(net.layer1(x))))
        return net.linear(feature if mixing is None else mixing(feature)), feature

    def mixture(c: Tensor, p: Tensor) -> Tensor:
        g = torch.sigmoid((c * p).sum(1, keepdim=True) / c.shape[1] ** 0.5)
        return c + 0.6 * (p - (g * p + (1 - g) * c))

    plain, c = run(child)
    _, p = run(parent)
    inherited, _ = run(child, lambda own: mixture(own, p))
    returned, _ = run(parent, lambda own: mixture(c, own))
    return sum(F.cross_entropy(output, batch.y) for output in (plain, inherited, returned))


def predict(model: nn.Module, batch: Batch) -> Tensor:
    return model(batch.x)


def cross_entropy(output: Tensor, batch: Batch) -> Tensor:
    return F.cross_entropy(output, batch.y)


def contestants(batch: Batch, parent: nn.Module, child: nn.Module) -> dict[str, tuple[nn.Module, Callable[[], Tensor]]]:
    """{name: (the child it trains, a function that returns the objective of one step)}; each has networks of its own."""
    old_child, old_parent = deepcopy(child), deepcopy(parent)   # in training mode, with gradients, as released
    parts = {"sites": SITES, "predict": predict, "loss": cross_entropy}
    live = HKT(deepcopy(child), deepcopy(parent), **parts)
    cached = HKT(deepcopy(child), Cached(deepcopy(parent), predict, SITES).fill([batch], len(batch.y)), **parts)
    plain = Plain(deepcopy(child), **parts)

    def ours(method):
        return method.child, lambda: sum(method(batch).values())
    return {"release": (old_child, lambda: release_step(old_child, old_parent, batch)),
            "live": ours(live), "cached": ours(cached), "plain": ours(plain)}


def step(rounds: int = 7, batch: int = 128, parent: str = "resnet110", child: str = "resnet20", threads: int | None = None,
         channels_last: bool = True, device: str = "cpu", steps: dict[str, int] | None = None) -> Bench:
    """Seconds of a training step (objective, backward, SGD) on random 32 x 32 images.  Raises HKTError for fewer than one round."""
    checked(rounds=rounds, batch=batch)
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    nets = [resnet(name).to(device).to(memory_format=layout) for name in (parent, child)]
    x = torch.randn(batch, 3, 32, 32, device=device).contiguous(memory_format=layout)
    data = Batch(x, torch.randint(0, 10, (batch,), device=device), torch.arange(batch, device=device))
    running = {}
    for name, (net, objective) in contestants(data, *nets).items():
        running[name] = (objective, torch.optim.SGD(net.parameters(), 0.01, 0.9, weight_decay=1e-4))

    def timed(objective: Callable[[], Tensor], optimizer: torch.optim.Optimizer, repeat: int) -> float:
        begin = time.perf_counter()
        for _ in range(repeat):
            optimizer.zero_grad()
            objective().backward()
            optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - begin) / repeat

    steps = steps or STEPS
    try:
        seconds = taking_turns(rounds, {name: lambda one=one, n=steps[name]: timed(*one, n) for name, one in running.items()})
    finally:
        torch.set_num_threads(before)
    setting = {"batch": batch, "parent": parent, "child": child, "threads": threads or before, "device": device,
               "layout": "channels_last" if channels_last else "contiguous", "rounds": rounds, "torch": torch.__version__}
    return Bench.of("step", "step", setting, seconds, [("release", "live"), ("release", "cached"), ("live", "plain"), ("cached", "plain")])


def taking_turns(rounds: int, timers: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Every timer once without counting, then `rounds` times in turn, in alternating order."""
    names, seconds = list(timers), {name: [] for name in timers}
    for number in range(-1, rounds):
        for name in names if number % 2 else names[::-1]:
            taken = timers[name]()
            if number >= 0:
                seconds[name].append(taken)
    return seconds


def checked(**values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise HKTError(f"bench: {name} must be at least 1, got {value}.")


class Pictures(torch.utils.data.Dataset):
    """Images one by one, as torchvision's CIFAR10 gives them: an array, a PIL image, the transforms."""

    def __init__(self, x: Tensor, y: Tensor, transform: Callable):
        self.x, self.y, self.transform = x.permute(0, 2, 3, 1).contiguous().numpy(), y.tolist(), transform

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int):
        from PIL import Image
        return self.transform(Image.fromarray(self.x[index])), self.y[index]


def data(rounds: int = 5, images: int = 10_000, batch: int = 128, workers: int = 2, threads: int | None = None) -> Bench:
    """Seconds an image of `Augment` and of torchvision's DataLoader: crop with 4 px of padding, flip, normalisation, shuffled batches."""
    from . import torchvision
    from .datasets.augment import Augment
    from .datasets.cifar10 import Images
    checked(rounds=rounds, images=images, batch=batch)
    transforms = torchvision().transforms
    x, y = torch.randint(0, 256, (images, 3, 32, 32), dtype=torch.uint8), torch.randint(0, 10, (images,))
    steps = [transforms.RandomCrop(32, 4), transforms.RandomHorizontalFlip(), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    loader = torch.utils.data.DataLoader(Pictures(x, y, transforms.Compose(steps)), batch, shuffle=True, num_workers=workers,
                                         persistent_workers=workers > 0)
    ours, epochs = Augment(Images(x, y, torch.arange(images), "noise", list("0123456789")), 0, MEAN, STD, "cpu"), iter(range(10**9))

    def timed(batches: Callable) -> float:
        begin = time.perf_counter()
        seen = sum(len(one) for one in batches())
        if seen != images:
            raise HKTError(f"bench data: {seen} of {images} images came out of the loader.")
        return (time.perf_counter() - begin) / images

    def augmented():
        epoch = next(epochs)
        return (ours.batch(index, epoch) for index in torch.randperm(images).split(batch))

    seconds = taking_turns(rounds, {"DataLoader": lambda: timed(lambda: (one for one, _ in loader)), "Augment": lambda: timed(augmented)})
    setting = {"images": images, "batch": batch, "workers": workers, "threads": torch.get_num_threads(), "cpus": os.cpu_count()}
    return Bench.of("data", "image", setting, seconds, [("DataLoader", "Augment")])
