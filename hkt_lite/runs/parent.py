"""The parent of a run: its weights, and its cache, kept on disk for all runs that share it."""

import time
from pathlib import Path

import torch

from ..benchmarks import Task, method_class
from ..benchmarks.weights import parameters
from ..config import Config, canonical, stream
from ..files import read_tensors, sha256, write_tensors
from ..methods.parent import Cached, Live
from . import golden
from .records import ParentInfo
from .store import Store


def parent_file(config: Config, task: Task, store: Store) -> Path:
    """The parent's weights: of a run in the store, or the file that the benchmark names."""
    name = config.parent_weights or ""
    if name.startswith("run:"):
        return store.weights(name.removeprefix("run:"))
    return task.parent_file()


def build_parent(
    config: Config, task: Task, store: Store
) -> tuple[Live | None, ParentInfo | None, float]:
    """(source, what the record says of it, seconds its cache took to fill); None without a parent.

    Its cache and its accuracy are kept on disk and shared by all runs with the same parent, images
    and views.  A damaged cache is made anew.
    """
    if not method_class(config.method).needs_parent:
        return None, None, 0.0
    model, path = task.parent(parent_file(config, task, store))
    digest, cached = sha256(path), config.parent_source == "cached"
    source = (Cached if cached else Live)(model, task.predict, task.sites, task.predict_tail)
    place = store.parents / f"{_cache_name(config, task, digest)}.safetensors"
    facts = _read(place, source, config)
    if facts is None:
        facts = _fill(source, task, config)
        rows = source.rows if cached else {"none": torch.zeros(0)}
        write_tensors(place, {f"rows.{name}": value for name, value in rows.items()}, facts)
    seconds = facts.pop("seconds")
    known = {"arch": config.parent, "weights": path.name, "sha256": digest, **facts}
    return source, ParentInfo(parameters=parameters(model), **known), seconds


def _cache_name(config: Config, task: Task, digest: str) -> str:
    """A name for all that decides what the parent says about the training images."""
    cached = config.parent_source == "cached"
    data = golden.name(config.task, "plain", config.source)
    key = [digest, task.fingerprint, cached, golden.version(data), config.parent]
    key += [[config.seed, config.views] if cached else 0]
    key += [config.channels_last, config.threads, config.device]
    return f"{stream(0, canonical(key)).initial_seed():016x}"


def _fill(source: Live, task: Task, config: Config) -> dict:
    began = time.perf_counter()
    if isinstance(source, Cached):
        source.fill(task.cache_batches(), config.views * task.train_size)
    seconds = time.perf_counter() - began
    scores = {split: task.metrics(source.parent, split) for split in ("val", "train")}
    return {"seconds": seconds, **scores}


def _read(place: Path, source: Live, config: Config) -> dict | None:
    if not place.exists():
        return None
    try:
        rows, facts = read_tensors(place)
    except (ValueError, OSError):
        return None  # only a cache: a damaged one is made anew
    if isinstance(source, Cached):
        source.rows = {k.removeprefix("rows."): x.to(config.device) for k, x in rows.items()}
    return facts
