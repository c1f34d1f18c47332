"""What networks train on and are tested on: corpora of pairs, or moving layers in their place.

An item is a data.Pair, whose files are read when it is its turn, or an embedded data.Sample.
"""

import hashlib
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ...config import Config, HKTError, Stage, data_home
from ..task import choose
from . import data
from . import synthetic as moving
from .augment import RECIPES

CORPORA = {  # of a name in a stage
    "chairs": ["chairs"],
    "things": ["things"],
    "sintel": ["sintel-clean", "sintel-final"],
    "kitti": ["kitti2015"],
    "hd1k": ["hd1k"],
}
TESTS = {"sintel": "sintel-clean", "sintel_final": "sintel-final", "kitti": "kitti2015"}
# of the embedded scenes: they move two and a half positions of the cost volume at most, and a short
# training has no time for RAFT's full augmentation
MOTION = 20.0  # pixels
EASY = {"scale": (-0.1, 0.3), "stretch": 0.0, "photometric": False, "eraser": 0.0}
SPARSE = {**EASY, "sparse": True, "flips": (0.5, 0.0)}
PLAIN = {"layers": EASY, "kitti": SPARSE, "leaves": EASY, "leaves-kitti": SPARSE}


class Part(NamedTuple):
    """One corpus of a stage: what FlowAugment does with it, and its items."""

    recipe: dict
    train: list
    val: list


def parts(config: Config, stage: Stage) -> list[Part]:
    """Raises HKTError for corpora that are missing, damaged or leave nothing to train on."""
    if config.source == "synthetic":
        real = [name for name in stage.corpus.split("+") if name in CORPORA.keys() - PLAIN]
        if real:
            said = f"A curriculum from {', '.join(real)} needs the real pairs"
            raise HKTError(f"{said}; --source real says what is missing, or name other stages.")
        recipe = choose("embedded scene", stage.corpus, PLAIN)
        size = tuple(side + 16 for side in stage.crop)
        train = _moving("train", config.train_size, size, stage.corpus)
        return [Part(recipe, train, _moving("val", 48, stage.crop, stage.corpus))]
    found = []
    for name in stage.corpus.split("+"):
        for corpus in choose("flow corpus to train on", name, CORPORA):
            pairs = checked(corpus)
            train, val = (data.split(corpus, pairs, part) for part in ("train", "val"))
            found.append(Part(RECIPES[name], train, val))
    if not any(part.train for part in found):
        what = f"Without its validation scenes {stage.corpus} has no pair to train on"
        raise HKTError(f"{what}; add more data under {data_home()}.")
    return found


def tests(config: Config) -> dict[str, list]:
    """The embedded test sets, or the real ones that are there: whole, if none is trained on."""
    if config.source == "synthetic":
        size = config.stages[-1].crop
        kinds = ("leaves", "leaves-kitti") if of_leaves(config) else ("layers", "kitti")
        sets = zip(("sintel", "kitti"), (64, 48), kinds)
        return {name: _moving("test", count, size, kind) for name, count, kind in sets}
    trained = {name for stage in config.stages for name in stage.corpus.split("+")}
    found = {}
    for name, corpus in TESTS.items():
        if data.present(data_home(), corpus):
            found[name] = data.pairs(data_home(), corpus)
            if data.family(corpus) in trained:
                found[name] = data.split(corpus, found[name], "val")
    if not found:
        where = f"Neither Sintel nor KITTI lies under {data_home()}"
        raise HKTError(f"{where}, and a child must be tested on one; see `hkt data status`.")
    return found


def of_leaves(config: Config) -> bool:
    """Whether the embedded scenes at the end of a curriculum are painted with dead leaves."""
    return config.source == "synthetic" and "leaves" in config.stages[-1].corpus


def _moving(split: str, count: int, size: tuple[int, int], flavour: str) -> list:
    return moving.pairs_batch(split, count, size, max_motion=MOTION, flavour=flavour)


def checked(corpus: str) -> list[data.Pair]:
    """All pairs of a corpus; HKTError naming the first missing or damaged file."""
    pairs = data.pairs(data_home(), corpus)
    data.check(pairs)
    return pairs


def fingerprint(sets: list[list]) -> str:
    """sha256 over embedded samples, or names and sizes of real files, which are gigabytes."""
    digest = hashlib.sha256()
    for items in sets:
        for item in items:
            for value in item:
                if isinstance(value, Tensor):
                    digest.update(value.numpy().tobytes())
                    continue
                if isinstance(value, Path):
                    value = f"{value.name} {value.stat().st_size}"
                digest.update(str(value).encode())
    return digest.hexdigest()


def sample(item: data.Pair | data.Sample) -> data.Sample:
    return item if isinstance(item, data.Sample) else data.read(item)


def grouped(items: list, times: int = 1) -> Iterator[tuple[list[data.Sample], Tensor]]:
    """Samples in order, shrunk `times`, and their images, at most 8 of one shape together.

    Images are float32 (2, B, 3, H, W) in [-1, 1]: first and second frames.
    """
    whole = map(sample, items)
    samples = enumerate(data.shrunk(one, times) if times > 1 else one for one in whole)
    for _, numbered in groupby(samples, lambda one: (one[1].first.shape, one[0] // 8)):
        group = [one for _, one in numbered]
        first, second = (torch.stack(images) for images in zip(*(one[:2] for one in group)))
        yield group, torch.stack([first, second]).float() / 127.5 - 1
