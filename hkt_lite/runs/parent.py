"""The parent of a run: its weights, and its cache, kept on disk for all runs that share it."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ..benchmarks import Task, method_class
from ..benchmarks.weights import parameters
from ..config import Config, canonical, stream
from ..files import read_tensors, sha256, sweep, write_tensors
from ..methods.parent import Cached, Live
from . import golden
from .claim import claimed
from .records import ParentInfo
from .store import Store

Made = tuple[dict[str, Tensor], dict]  # tensors by name, and JSON values


def parent_file(config: Config, task: Task, store: Store) -> Path:
    """The parent's weights: of a run in the store, of an untrained network, which is written there,
    or the file that the benchmark names."""
    name = config.parent_weights or ""
    if name == "random":
        place = store.parents / f"random-{config.task}-{config.parent}-{config.seed}.safetensors"
        write_tensors(place, dict(task.newborn().state_dict()), {})
        return place
    if name.startswith("run:"):
        return store.weights(name.removeprefix("run:"))
    return task.parent_file()


class Parent(NamedTuple):
    """What a run has of its parent; nothing where its method needs none."""

    source: Live | None = None
    info: ParentInfo | None = None  # what the record says of it
    outputs: dict[str, Tensor] = {}  # split -> logits (N, K), of a classification
    seconds: float = 0.0  # its cache took to fill


def build_parent(config: Config, task: Task, store: Store) -> Parent:
    """The parent of a configuration.

    Its answers and accuracy, and its cache of views, are kept on disk and shared by all runs with
    the same parent and images (and views).  The first run makes them, others wait; what is damaged
    is made anew.
    """
    if not method_class(config.method).needs_parent:
        return Parent()
    model, path = task.parent(parent_file(config, task, store))
    digest, cached = sha256(path), config.parent_source == "cached"
    source = (Cached if cached else Live)(model, task.predict, task.sites, task.predict_tail)
    key = _key(config, task, digest)
    outputs, facts = _kept(store, ["outputs", *key], lambda: _answers(source, task))
    seconds = 0.0
    if isinstance(source, Cached):
        views = ["rows", *key, config.seed, config.views]
        rows, cost = _kept(store, views, lambda: _views(source, task, config))
        source.rows = {k.removeprefix("rows."): x.to(config.device) for k, x in rows.items()}
        seconds = cost["seconds"]
    known = {"arch": config.parent, "weights": path.name, "sha256": digest, **facts}
    return Parent(source, ParentInfo(parameters=parameters(model), **known), outputs, seconds)


def _key(config: Config, task: Task, digest: str) -> list:
    """All that decides what the parent says about an image, and the images."""
    data = golden.name(config.task, "plain", config.source)
    key = [digest, task.fingerprint, golden.version(data), config.parent]
    return [*key, config.channels_last, config.threads, config.device]


def _kept(store: Store, key: list, make: Callable[[], Made]) -> Made:
    """What `make()` returns, from the store where another run has put it there."""
    place = store.parents / f"{stream(0, canonical(key)).initial_seed():016x}.safetensors"
    found = _read(place)
    if found is None:
        with claimed(place.with_suffix(".claim")):
            found = _read(place)
            if found is None:
                sweep(place.parent, place.name)
                tensors, facts = found = make()
                filled = tensors or {"none": torch.zeros(0)}  # a file of tensors needs one
                write_tensors(place, filled, {**facts, "cache": place.stem})
    return found


def _answers(source: Live, task: Task) -> Made:
    """The parent's logits on training and test images (of a classification), and its accuracy."""
    outputs, facts = {}, {"val": task.metrics(source.parent, "val")}
    facts["train"], known = task.scored(source.parent, "train")
    if known:
        outputs["train"] = known[0].cpu()
        outputs["test"] = task.scored(source.parent, "test")[1][0].cpu()
    return outputs, facts


def _views(source: Cached, task: Task, config: Config) -> Made:
    """What the parent says about each view of each image, and the seconds that it took."""
    began = time.perf_counter()
    source.fill(task.cache_batches(), config.views * task.train_size)
    rows = {f"rows.{name}": value for name, value in source.rows.items()}
    return rows, {"seconds": time.perf_counter() - began}


def _read(place: Path) -> Made | None:
    try:
        tensors, facts = read_tensors(place)
        tensors.pop("none", None)
        mine = facts.pop("cache") == place.stem
    except (ValueError, OSError, KeyError):
        return None  # none yet; a damaged one is only a cache
    return (tensors, facts) if mine else None
