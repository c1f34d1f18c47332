"""What a step, an epoch's images and a filled cache cost against another, in one run.

    python -m tests.perf.speed                  # minutes; --small tries it with toy sizes
    python -m tests.perf.speed --write          # also into data/measured/speed.json

`hkt bench cifar10` tells what the methods of the package cost; here the training step as it was
released, written out, takes part, and what images and cache would cost without ours.
"""

import argparse
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from hkt_lite import torchvision
from hkt_lite.benchmarks import get, resolve
from hkt_lite.benchmarks.cifar10.augment import Augment
from hkt_lite.benchmarks.cifar10.task import MEAN, STD
from hkt_lite.config import Config
from hkt_lite.files import write_json
from hkt_lite.methods import HKT
from hkt_lite.methods.parent import Cached
from hkt_lite.methods.sites import record, replay
from hkt_lite.runs.bench import SIZES, Bench, compared, step
from tests.perf import tables

SMALL: dict[str, dict] = {
    "cifar10": {"parent": "resnet14", "child": "resnet8", "batch_size": 4},
    "flow": {"batch_size": 2, "updates": 2},
    "lits": {"batch_size": 2},
    "data": {"images": 128, "batch": 64, "workers": 1},
    "cache": {"parent": "resnet8", "train_size": 64},
}


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
    return compared("data", "image", setting, actions, [("DataLoader", "Augment")])


def _transformed(chain: Callable, arrays: list) -> Tensor:
    """What a worker does for torchvision's CIFAR10: each array (H, W, 3) by itself."""
    return torch.stack([chain(array) for array in arrays])


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
    found = compared("cache", "image", setting, actions, [("cache filled", "parent's pass")])
    held = sum(values.nbytes for values in made.rows.values()) / 2**20
    return replace(found, memory={"cache": held})


def everything(rounds: int = 7, small: bool = False) -> dict:
    """Every measurement of this file in one run, as JSON has it; `small` to try it in seconds."""
    sizes, ways = SMALL if small else {}, {"spelt out": SpeltOut}
    found = [step(task, rounds, ways=ways, **sizes.get(task, {})) for task in SIZES]
    found.append(data(rounds, **sizes.get("data", {})))
    found.append(cache(rounds, **sizes.get("cache", {})))
    return {"made": tables.made(), "benches": [asdict(one) for one in found]}


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m tests.perf.speed", description=__doc__)
    options.add_argument("--small", action="store_true", help="toy sizes, to try it")
    options.add_argument("--write", action="store_true", help="keep it for `tests.perf.tables`")
    given = options.parse_args()
    found = everything(small=given.small)
    if given.write:
        write_json(tables.FOLDER / "speed.json", found)
    print(tables.speed(found))


if __name__ == "__main__":
    main()
