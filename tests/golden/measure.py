"""What today's code computes on the tiny configurations of cases.py, as JSON values rounded to seven digits.

measure(GOLDENS["flow-hkt-real"]["2hkt"], homes["all"], folder)         # folder: an empty run store

A run goes through the project's own `run`, watched from its hook `inspect`; an evaluation through `evaluate`.  All that is
needed of the package is imported here, and what makes its data sets small is patched in `small`, nowhere else.
"""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

import torch
from safetensors.torch import load_file, save_file

from hkt_lite.benchmarks import get, resolve
from hkt_lite.benchmarks.cifar10 import data as cifar10_data
from hkt_lite.benchmarks.cifar10 import task as cifar10_task
from hkt_lite.benchmarks.flow import synthetic as moving
from hkt_lite.benchmarks.lits import task as lits_task
from hkt_lite.config import PROJECT, Config
from hkt_lite.runs.export import evaluate
from hkt_lite.runs.loop import run

FEW = {"val": 240, "test": 320}  # embedded images; the smoke scale takes a quarter
FEW_SCENES = 5  # of moving layers in validation and test
FEW_VOLUMES = {"val": 8, "test": 12}  # phantoms; the smoke scale takes a quarter
COMMITTED = {
    "cifar10": "cifar10-synthetic-resnet20",
    "flow": "flow-synthetic-raft_base",
    "lits": "lits-synthetic-resunet2d-24x4",
}
PUBLIC = "resnet20-12fca82f.th"


@contextmanager
def small(home: Path, store: Path):
    """The corpora in `home`, an own run store, and embedded data sets of a size for tests."""
    load, scenes = cifar10_data.load, moving.pairs_batch

    def unofficial(root, split, size=None):
        return load(root, split, size, official=False)  # without the official files' checksums

    def few(split, count, *arguments, **named):
        return scenes(
            split, count if split == "train" else min(count, FEW_SCENES), *arguments, **named
        )

    with ExitStack() as stack:
        stack.enter_context(
            mock.patch.dict(os.environ, {"HKT_DATA": str(home), "HKT_RUNS": str(store)})
        )
        stack.enter_context(mock.patch.object(cifar10_data, "load", unofficial))
        stack.enter_context(mock.patch.object(cifar10_task, "SIZES", FEW))
        stack.enter_context(mock.patch.object(moving, "pairs_batch", few))
        stack.enter_context(mock.patch.object(lits_task, "PHANTOMS", FEW_VOLUMES))
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def measure(fields: dict, home: Path, store: Path) -> dict:
    """JSON values of one case; `store` must be new."""
    fields = {key: value for key, value in fields.items() if key != "home"}
    with small(home, store):
        return rounded(
            _evaluated(fields, store) if "checkpoint" in fields else _trained(fields, store)
        )


# -- a run --------------------------------------------------------------------------------------------------------------


def _trained(fields: dict, store: Path) -> dict:
    config = resolve(Config(**fields))
    _give_parent(config, store)
    task = get(config.task)(config).load()
    first = task.child()
    found = {
        "batches": {},
        "untrained": {split: task.metrics(first, split) for split in ("val", "test")},
        "steps": [],
    }
    for split in ("val", *getattr(task, "tests", ("test",))):
        found["batches"][split] = _batch(next(iter(task.batches(split))))
    steps, watched, terms = max(1, config.train_size // config.batch_size), [], {}

    def inspect(method, batch, step: int) -> None:
        if step == 0:  # its terms are in the mean of the first epoch
            watched.append(method)
            method.register_forward_hook(
                lambda _, given, said: terms.update({k: v.item() for k, v in said.items()})
            )
        if step % steps == 0 or step == 1:
            found["batches"][f"step {step}"] = _batch(batch)
        seen = {name: value.double().mean().item() for name, value in method.observe().items()}
        found["steps"].append({**terms, **seen})

    record = run(config, inspect=inspect).record
    child, extra = watched[0].child, list(watched[0].extra_parameters())
    found["epochs"] = [
        {"lr": epoch.lr, "terms": epoch.train, "val": epoch.val} for epoch in record.epochs
    ]
    found["parent"] = (
        {"val": record.parent.val, "train": record.parent.train} if record.parent else {}
    )
    found["test"] = {
        "selected": record.selected.test,
        "last": record.last.test,
        "epoch": record.selected.epoch,
    }
    found["weights"] = {
        "parameters": _norms(child.parameters()),
        "buffers": _norms(child.buffers()),
        "extra": _norms(extra),
        "counts": [
            sum(p.numel() for p in child.parameters()),
            sum(p.numel() for p in extra),
            record.cost.flops,
        ],
    }
    return found


def _give_parent(config: Config, store: Path) -> None:
    """Weights for `parent_weights`: run:given or public: the committed parent where it fits, else a seeded network."""
    target = store / "given" / "child.safetensors"
    if config.parent_weights == "public":
        target = Path(os.environ["HKT_DATA"]) / "weights" / PUBLIC
        target.parent.mkdir(parents=True, exist_ok=True)
        state = {
            f"module.{key}": value for key, value in load_file(_committed(config.task)).items()
        }
        torch.save({"state_dict": state}, target)
    elif config.parent_weights == "run:given":
        target.parent.mkdir(parents=True, exist_ok=True)
        if config.stages and config.stages[0].corpus == "liver_ct":
            save_file(_seeded(config, config.parent), target)
        else:
            shutil.copyfile(_committed(config.task), target)


def _committed(task: str) -> Path:
    return PROJECT / "data" / "parents" / f"{COMMITTED[task]}.safetensors"


def _seeded(config: Config, arch: str) -> dict:
    """Weights of `arch` as the stream of the configuration's seed draws them."""
    fields = {
        "method": "plain",
        "child": arch,
        "options": {},
        "parent_weights": None,
        "parent_source": None,
    }
    network = get(config.task)(resolve(config.but(**fields))).child()
    return {key: value.contiguous() for key, value in network.state_dict().items()}


def _norms(values) -> float:
    return sum(value.detach().double().norm().item() for value in values)


# -- an evaluation ------------------------------------------------------------------------------------------------------


def _evaluated(fields: dict, store: Path) -> dict:
    """protocol -> what it says it fixes, and the metrics."""
    task, arch, source = fields["task"], fields["arch"], fields["source"]
    path = _committed(task)
    if fields["checkpoint"] == "seeded":
        config = resolve(
            Config(task=task, method="plain", scale="smoke", source=source, child=arch)
        )
        path = store / "seeded.safetensors"
        store.mkdir(parents=True, exist_ok=True)
        save_file(_seeded(config, arch), path)
    small = fields.get("small", False)  # flow's pictures
    chosen = [name for name in get(task).protocols if name.endswith("-small") == small]
    records = {name: evaluate(task, path, arch, name, source, "smoke") for name in chosen}
    return {
        "evaluated": {
            name: {**record.protocol, **record.metrics} for name, record in records.items()
        }
    }


# -- sketches -----------------------------------------------------------------------------------------------------------


def _batch(batch) -> dict:
    return {name: sketch(value) for name, value in batch._asdict().items()}


def sketch(x: torch.Tensor) -> list:
    """[type and shape, mean, standard deviation, two sums under cosines, six values]; of whole numbers [type, two sums, six values]."""
    flat, what = (
        x.detach().cpu().reshape(-1),
        f"{str(x.dtype).removeprefix('torch.')} {list(x.shape)}",
    )
    place = torch.arange(len(flat))
    chosen = place[torch.arange(1, 7) * len(flat) // 7]
    if not x.is_floating_point():
        flat = flat.long()
        return [what, int(flat.sum()), int((flat * (place % 101)).sum()), *flat[chosen].tolist()]
    flat = flat.double()
    waves = [
        (flat * torch.cos(speed * place.double())).sum() / len(flat) ** 0.5
        for speed in (0.7, 0.013)
    ]
    return [
        what,
        *(value.item() for value in (flat.mean(), flat.std(), *waves)),
        *flat[chosen].tolist(),
    ]


def rounded(value):
    """JSON values with seven significant digits."""
    if isinstance(value, dict):
        return {str(key): rounded(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(inner) for inner in value]
    return float(f"{value:.7g}") if isinstance(value, float) else value
