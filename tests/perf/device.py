"""How much of a device a training step of ResNet-20 uses.   python -m tests.perf.device

    --device cuda                      # a GPU
    --compile                          # also a compiled step, on a GPU with CUDA graphs
    --together 4                       # also that many trainings at once, each in a process of its own
    --write                            # also into data/measured/device.json

Everything is counted in operations (a multiply-add is two), so that a ratio of the seconds that 10^9
of them take is a share: of what a loop over the same convolutions alone reaches, and of what one
large matrix product reaches, which is the most that the device does in this precision.
"""

import argparse
import subprocess
import sys
import time
from dataclasses import asdict
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hkt_lite.benchmarks.cifar10.network import resnet
from hkt_lite.config import PROJECT
from hkt_lite.files import write_json
from hkt_lite.runs.bench import Bench, compared
from hkt_lite.runs.precision import autocast
from tests.perf import tables

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
SIDE = 2048  # of the square matrices
STEP, COMPILED = "plain step", "compiled step"
BARE, PRODUCT = "convolutions alone", "matrix product"


class Convolutions(nn.Module):
    """The convolutions of a network, each on a picture like the one it has there, side by side."""

    def __init__(self, network: nn.Module, x: Tensor, precision: str):
        super().__init__()
        self.layers = nn.ModuleList(m for m in network.modules() if isinstance(m, nn.Conv2d))
        self.pictures: list[Tensor] = []
        hooks = [one.register_forward_pre_hook(self._keep) for one in self.layers]
        with torch.no_grad(), autocast(x.device.type, precision):
            network(x)
        for hook in hooks:
            hook.remove()
        self.pictures = [x] + [one.requires_grad_() for one in self.pictures[1:]]

    def _keep(self, module: nn.Module, given: tuple) -> None:
        self.pictures.append(given[0].detach().clone(memory_format=torch.channels_last))

    def forward(self, x: Tensor) -> Tensor:
        return sum(layer(one).sum() for layer, one in zip(self.layers, self.pictures))


def operations(action) -> float:
    """10^9 operations of one call."""
    with FlopCounterMode(display=False) as counter:
        action()
    return counter.get_total_flops() / 1e9


def step(
    model: nn.Module, x: Tensor, y: Tensor | None, precision: str, compiled: bool = False
) -> None:
    """Forward and backward; with `y` also cross-entropy and an update, as in training."""
    model.zero_grad()
    with autocast(x.device.type, precision, compiled):
        out = model(x)
        loss = out if y is None else F.cross_entropy(out, y)
    loss.backward()
    if y is not None:
        with torch.no_grad():
            for weight in model.parameters():
                weight -= 1e-3 * weight.grad


def device(
    precision: str, rounds: int = 7, where: str = "cpu", batch: int = 128, compiled: bool = False
) -> Bench:
    """Seconds that 10^9 operations take in each way, and the shares."""
    network, x, y = _parts(where, batch)
    bare = Convolutions(network, x, precision)
    a, b = torch.rand(2, SIDE, SIDE, device=where, dtype=DTYPES[precision])
    ways = {
        STEP: partial(step, network, x, y, precision),
        BARE: partial(step, bare, x, None, precision),
        PRODUCT: lambda: a @ b,
    }
    work = {name: operations(way) for name, way in ways.items()}
    if compiled:
        faster = torch.compile(network, mode="default" if where == "cpu" else "reduce-overhead")
        ways[COMPILED] = partial(step, faster, x, y, precision, compiled)
        work[COMPILED] = work[STEP]

    def timed(name: str) -> float:
        ways[name]()
        _wait(where)
        return work[name]

    actions = {name: partial(timed, name) for name in ways}
    setting = {"rounds": rounds, "device": _name(where), "batch": batch, "precision": precision}
    shares = [(most, one) for one in (STEP, COMPILED) for most in (BARE, PRODUCT)]
    return compared(f"device, {precision}", "10⁹ operations", setting, actions, shares)


def _parts(where: str, batch: int) -> tuple[nn.Module, Tensor, Tensor]:
    """A newborn network in training mode, and a batch for it."""
    torch.manual_seed(0)
    made = {"device": where, "memory_format": torch.channels_last}
    x, y = torch.rand(batch, 3, 32, 32).to(**made), torch.randint(10, (batch,), device=where)
    return resnet("resnet20").to(**made).train(), x, y


def _wait(where: str) -> None:
    """A GPU has done what it was told."""
    if where != "cpu":
        torch.cuda.synchronize()


def _name(where: str) -> str:
    return torch.cuda.get_device_name(where) if where != "cpu" else "cpu, 1 thread"


def together(count: int, precision: str, where: str = "cpu", seconds: float = 20) -> float:
    """Times the images a second of one training that `count` at once reach."""
    return sum(_rates(count, precision, where, seconds)) / _rates(1, precision, where, seconds)[0]


def _rates(count: int, precision: str, where: str, seconds: float) -> list[float]:
    command = [sys.executable, "-m", "tests.perf.device", "--one", precision, where, str(seconds)]
    running = [subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE) for _ in range(count)]
    return [float(one.communicate()[0].split()[-1]) for one in running]


def _rate(precision: str, where: str, seconds: float, batch: int = 128) -> float:
    """Images a second of one training, the first steps left out."""
    network, x, y = _parts(where, batch)

    def steps(least: float) -> float:
        """Of at least so many seconds: images a second."""
        began, done = time.perf_counter(), 0
        while not done or time.perf_counter() - began < least:
            step(network, x, y, precision)
            _wait(where)
            done += batch
        return done / (time.perf_counter() - began)

    steps(seconds / 4)
    return steps(seconds)


def everything(rounds: int, where: str, compiled: bool, count: int, batch: int = 128) -> dict:
    """Every measurement of this file in one run, as JSON has it."""
    found = [device(precision, rounds, where, batch, compiled) for precision in DTYPES]
    at_once = {one: together(count, one, where) for one in DTYPES} if count > 1 else {}
    return {
        "made": tables.made(),
        "benches": [asdict(one) for one in found],
        "together": {"count": count, "times": at_once},
    }


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m tests.perf.device", description=__doc__)
    options.add_argument("--device", default="cpu")
    options.add_argument("--compile", action="store_true", help="also a compiled step")
    options.add_argument("--together", type=int, default=1, help="trainings at once")
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--write", action="store_true", help="keep it for `tests.perf.tables`")
    given = options.parse_args()
    torch.set_num_threads(1)
    found = everything(given.rounds, given.device, given.compile, given.together)
    if given.write:
        write_json(tables.FOLDER / "device.json", found)
    print(tables.device(found))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        torch.set_num_threads(1)
        print(_rate(sys.argv[2], sys.argv[3], float(sys.argv[4])))
    else:
        main()
