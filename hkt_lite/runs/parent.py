"""The parent of a run: its weights, and its cache, kept on disk for all runs that share it."""

import time
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


def parent_file(config: Config, task: Task, store: Store) -> Path:
    """The parent's weights: of a run in the store, or the file that the benchmark names."""
    name = config.parent_weights or ""
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

    Its cache, answers and accuracy are kept on disk and shared by all runs with the same parent,
    images and views.  The first of these fills the cache, others wait; a damaged one is made anew.
    """
    if not method_class(config.method).needs_parent:
        return Parent()
    model, path = task.parent(parent_file(config, task, store))
    digest, cached = sha256(path), config.parent_source == "cached"
    source = (Cached if cached else Live)(model, task.predict, task.sites, task.predict_tail)
    place = store.parents / f"{_cache_name(config, task, digest)}.safetensors"
    found = _read(place)
    if found is None:
        with claimed(place.with_suffix(".claim")):
            found = _read(place) or _filled(place, source, task, config)
    tensors, facts = found
    if isinstance(source, Cached):
        source.rows = {k: x.to(config.device) for k, x in _named("rows.", tensors).items()}
    seconds = facts.pop("seconds")
    known = {"arch": config.parent, "weights": path.name, "sha256": digest, **facts}
    info = ParentInfo(parameters=parameters(model), **known)
    return Parent(source, info, _named("outputs.", tensors), seconds)


def _named(kind: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(kind): x for k, x in tensors.items() if k.startswith(kind)}


def _cache_name(config: Config, task: Task, digest: str) -> str:
    """A name for all that decides what the parent says about the training images."""
    cached = config.parent_source == "cached"
    data = golden.name(config.task, "plain", config.source)
    key = ["outputs", digest, task.fingerprint, cached, golden.version(data), config.parent]
    key += [[config.seed, config.views] if cached else 0]
    key += [config.channels_last, config.threads, config.device]
    return f"{stream(0, canonical(key)).initial_seed():016x}"


def _filled(
    place: Path, source: Live, task: Task, config: Config
) -> tuple[dict[str, Tensor], dict]:
    sweep(place.parent, place.name)
    began = time.perf_counter()
    tensors = {"none": torch.zeros(0)}  # a file of tensors needs one
    if isinstance(source, Cached):
        source.fill(task.cache_batches(), config.views * task.train_size)
        tensors = {f"rows.{name}": value for name, value in source.rows.items()}
    facts: dict = {"seconds": time.perf_counter() - began}
    facts["val"] = task.metrics(source.parent, "val")
    facts["train"], known = task.scored(source.parent, "train")
    if known:
        tensors["outputs.train"] = known[0].cpu()
        tensors["outputs.test"] = task.scored(source.parent, "test")[1][0].cpu()
    write_tensors(place, tensors, {**facts, "cache": place.stem})
    return tensors, facts


def _read(place: Path) -> tuple[dict[str, Tensor], dict] | None:
    try:
        tensors, facts = read_tensors(place)
        mine = facts.pop("cache") == place.stem
    except (ValueError, OSError, KeyError):
        return None  # none yet; a damaged one is only a cache
    return (tensors, facts) if mine else None
