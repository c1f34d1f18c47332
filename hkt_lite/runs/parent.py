"""The parent of a run: its weights, and its cache, kept on disk for all runs that share it."""

import math
import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ..benchmarks import Task, method_class
from ..benchmarks.weights import parameters
from ..config import Config, HKTError, canonical, stream
from ..files import read_tensors, reserve, sha256, sweep, write_tensors
from ..methods.parent import Cached, Live, in_memory
from . import golden
from .claim import Busy, claimed
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
    outputs, facts = _kept(store, ["outputs", *key], lambda place: _answers(source, task))
    seconds = 0.0
    if isinstance(source, Cached):
        views = ["rows", *key, config.seed, config.views, *filter(None, [config.sites])]
        rows, cost = _kept(store, views, lambda place: _views(source, task, config, place))
        source.rows = {
            name.removeprefix("rows."): value if value.ndim > 2 else value.to(config.device)
            for name, value in rows.items()
        }
        seconds = cost["seconds"]
    known = {"arch": config.parent, "weights": path.name, "sha256": digest, **facts}
    return Parent(source, ParentInfo(parameters=parameters(model), **known), outputs, seconds)


def _key(config: Config, task: Task, digest: str) -> list:
    """All that decides what the parent says about an image, and the images."""
    data = golden.name(config.task, "plain", config.source)
    key = [digest, task.fingerprint, golden.version(data), config.parent]
    return [*key, config.channels_last, config.threads, config.device]


def _kept(store: Store, key: list, make: Callable[[Path], Made]) -> Made:
    """What `make(place)` returns, from the store where another run has put it there."""
    place = store.parents / f"{stream(0, canonical(key)).initial_seed():016x}.safetensors"
    found = _read(place)
    while found is None:
        # Busy: another process took it over while this one stood still, and is waited for
        with suppress(Busy), claimed(place.with_suffix(".claim")) as claim:
            found = _read(place)
            if found is None:
                claim.check()
                sweep(place.parent, place.name)
                tensors, facts = make(place)
                filled = tensors or {"none": torch.zeros(0)}  # a file of tensors needs one
                claim.write(partial(write_tensors, place, filled, {**facts, "cache": place.stem}))
                found = {**tensors, **_mapped(place, facts)}, facts
    return found


def _answers(source: Live, task: Task) -> Made:
    """The parent's logits on training and test images (of a classification), and its accuracy."""
    outputs, facts = {}, {"val": task.metrics(source.parent, "val")}
    facts["train"], known = task.scored(source.parent, "train")
    if known:
        outputs["train"] = known[0].cpu()
        outputs["test"] = task.scored(source.parent, "test")[1][0].cpu()
    return outputs, facts


def cache_bytes(source: Cached, task: Task) -> int:
    """What the cache of all views of all images takes."""
    shapes = source.shapes(task.batch(torch.arange(2), 0)).values()
    return 2 * task.config.views * task.train_size * sum(map(math.prod, shapes))


def _views(source: Cached, task: Task, config: Config, place: Path) -> Made:
    """What the parent says about each view of each image, and the seconds that it took.

    Maps go into files of their own beside `place`, which are never held in memory as a whole; the
    facts have their shapes and digests.  Raises HKTError where the disk has not that much room.
    """
    began, needed = time.perf_counter(), cache_bytes(source, task)
    free = shutil.disk_usage(place.parent).free
    if needed > free:
        raise HKTError(
            f"The parent's cache takes {needed:,} bytes, but only {free:,} are free in "
            f"{place.parent}; make room, set fewer views, or -s parent_source=live."
        )
    parts: dict[str, Path] = {}

    def room(name: str, like: Tensor, shape: tuple[int, ...]) -> Tensor:
        if len(shape) == 2:
            return in_memory(name, like, shape)
        parts[name] = place.with_name(f".{place.name}.{name}.part")
        reserve(parts[name], 2 * math.prod(shape))
        return _map(parts[name], shape, shared=True)

    try:
        rows = source.fill(task.cache_batches(), config.views * task.train_size, room).rows
        maps = {}
        for name, part in parts.items():
            maps[name] = {"shape": list(rows[name].shape), "sha256": sha256(part)}
            os.replace(part, _map_file(place, name))
    except OSError as error:
        said = f"The parent's cache could not be written to {place.parent} ({error.strerror})"
        raise HKTError(f"{said}; make room, set fewer views, or -s parent_source=live.") from None
    finally:
        sweep(place.parent, place.name)
    vectors = {f"rows.{name}": value for name, value in rows.items() if name not in maps}
    return vectors, {"seconds": time.perf_counter() - began, "maps": maps}


def _map_file(place: Path, name: str) -> Path:
    return place.with_name(f"{place.stem}.{name}.half")


def _map(path: Path, shape: Sequence[int], shared: bool = False) -> Tensor:
    """A file's numbers in half precision, paged in as they are read; written only if `shared`."""
    size = math.prod(shape)
    return torch.from_file(str(path), shared, size, dtype=torch.float16).view(*shape)


def _mapped(place: Path, facts: dict) -> dict[str, Tensor]:
    maps = facts.get("maps", {}).items()
    return {f"rows.{name}": _map(_map_file(place, name), said["shape"]) for name, said in maps}


def _read(place: Path) -> Made | None:
    try:
        tensors, facts = read_tensors(place)
        tensors.pop("none", None)
        mine = facts.pop("cache") == place.stem
        for name, said in facts.get("maps", {}).items():
            mine = mine and sha256(_map_file(place, name)) == said["sha256"]
        tensors |= _mapped(place, facts) if mine else {}
    except (ValueError, OSError, KeyError):
        return None  # none yet; a damaged one is only a cache
    return (tensors, facts) if mine else None
