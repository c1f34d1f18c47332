"""Where things lie, what a run is made of, and how its randomness is divided.

hkt run cifar10 hkt --dry-run   # prints a resolved Config
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

PROJECT = Path(__file__).resolve().parent.parent


class HKTError(Exception):
    """Something the user can mend; one sentence that says what, where and what to do."""


def data_home() -> Path:
    """Folder of the data sets in their official layouts: $HKT_DATA, else data/cache."""
    return _folder("HKT_DATA", "cache")


def runs_home() -> Path:
    """Folder of this machine's runs: $HKT_RUNS, else data/runs of the project."""
    return _folder("HKT_RUNS", "runs")


def results_home() -> Path:
    """Folder of the published records: $HKT_RESULTS, else data/results of the project."""
    return _folder("HKT_RESULTS", "results")


def _folder(variable: str, usual: str) -> Path:
    path = Path(os.environ.get(variable) or PROJECT / "data" / usual)
    try:
        path = path.expanduser()
    except RuntimeError:  # of pathlib, where nobody has that name
        raise HKTError(f"{variable} is {path}, but there is no such user; set another.") from None
    if path.exists() and not path.is_dir():
        raise HKTError(f"{variable} is {path}, which is no folder; set another.")
    return path


def nearest(name: str, choices) -> str:
    """' Did you mean …?' for a mistyped name, with the valid ones when none is near."""
    choices = sorted(map(str, choices))
    near = difflib.get_close_matches(str(name), choices, 1, 0.5)
    more = f", … ({len(choices):,} in all)" if len(choices) > 40 else ""
    return f" Did you mean {near[0]!r}?" if near else f" Valid: {', '.join(choices[:40])}{more}."


class Checked(BaseModel):
    """A model whose wrong or unknown field is one sentence (HKTError)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def __init__(self, /, **values):
        name, known = type(self).__name__, type(self).model_fields
        for key in values:
            if key not in known:
                raise HKTError(f"{name} has no field {key!r}.{nearest(key, known)}")
        try:
            super().__init__(**values)
        except ValidationError as error:
            where, said = first_flaw(error)
            got = error.errors()[0]["input"]
            raise HKTError(f"{name} field {where!r}: {said} (got {got!r}).") from None


def first_flaw(error: ValidationError) -> tuple[str, str]:
    """Where a value does not fit its model first, and why."""
    first = error.errors()[0]
    return ".".join(map(str, first["loc"])), first["msg"]


Side = Annotated[int, Field(gt=0, le=10_000, strict=True)]  # of a patch, in pixels


class Stage(BaseModel):
    """One part of a curriculum: `epochs` on `corpus`, at `lr` times the configuration's rate.

    Patches have `crop` pixels (H, W).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    corpus: str
    epochs: int = Field(gt=0, strict=True)
    lr: float = Field(default=1.0, gt=0, strict=True)
    crop: tuple[Side, Side]


class Config(Checked):
    """Everything that decides a run's numbers.

    A field left at None is *auto*: `benchmarks.resolve` fills it before it is hashed.  The fields
    in OPTIONAL may stay None, where a task has no use for them, and are then not hashed.
    """

    OPTIONAL: ClassVar = (
        "optimizer sites stages crop updates parent_updates clip sam images".split()
    )

    task: str = "cifar10"
    method: str = "hkt"
    scale: Literal["smoke", "quick", "cpu", "full", "paper"] = "quick"
    source: Literal["auto", "real", "synthetic"] = "auto"
    seed: int = Field(default=0, ge=0)
    options: dict[str, Any] = {}  # of the method: kind, lam, terms, temperature, …
    parent: str | None = None  # architecture of the parent
    child: str | None = None  # architecture of the child
    parent_weights: str | None = None  # 'committed', 'public', 'random' or 'run:ID'
    parent_source: Literal["live", "cached"] | None = None
    views: int | None = Field(default=None, ge=0, le=10_000)  # of an image; 0: a new one each epoch
    train_size: int | None = Field(default=None, gt=0, le=10_000_000)  # images
    images: Literal["rest", "swap"] | None = None  # others than the first of the list; see the task
    epochs: int | None = Field(default=None, gt=0, le=100_000)
    batch_size: int | None = Field(default=None, gt=1)
    lr: float | None = Field(default=None, gt=0)
    optimizer: Literal["sgd", "adamw"] | None = None
    clip: float | None = Field(default=None, gt=0)  # largest norm of the gradient
    sam: float | None = Field(default=None, gt=0)  # radius of sharpness-aware minimisation
    schedule: Literal["onecycle", "cosine", "multistep"] | None = None
    momentum: float | None = Field(default=None, ge=0, lt=1)
    weight_decay: float | None = Field(default=None, ge=0)
    precision: Literal["fp32", "bf16"] | None = None
    channels_last: bool | None = None
    threads: int | None = Field(default=None, gt=0, le=1024)  # another number gives other bits
    device: Literal["cpu", "cuda", "mps"] | None = None
    compile: bool | None = None
    sites: str | None = Field(default=None, min_length=1)  # the task's name of a set: '2hkt', …
    stages: list[Stage] | None = None  # a curriculum; its epochs add up to `epochs`
    crop: list[Side] | None = None  # pixels (H, W[, D]) of a training patch
    updates: int | None = Field(default=None, gt=0, le=1000)  # of a recurrent network, in training
    parent_updates: int | None = Field(default=None, gt=0, le=1000)  # of the parent's tail in L_p*

    def but(self, **changes) -> Config:
        """The same configuration with some fields changed, checked anew."""
        return Config(**{**self.model_dump(), **changes})

    @property
    def unresolved(self) -> list[str]:
        return [
            key
            for key, value in self
            if (value is None and key not in self.OPTIONAL) or value == "auto"
        ]

    @property
    def id(self) -> str:
        """The run's name: the first 12 hex digits of the sha256 of the resolved configuration."""
        if self.unresolved:
            raise HKTError(
                f"Config is not resolved yet (auto: {', '.join(self.unresolved)}); call "
                "benchmarks.resolve(config) first."
            )
        return hashlib.sha256(canonical(self.deciding()).encode()).hexdigest()[:12]

    def deciding(self, *without: str) -> dict:
        """The fields in use, as JSON has them, without some; SGD is unsaid.

        It was the only optimizer when the first records were made, which do not name it.
        """
        values = self.model_dump(mode="json", exclude=set(without))
        if values.get("optimizer") == "sgd":
            del values["optimizer"]
        return {key: value for key, value in values.items() if value is not None}


def canonical(value) -> str:
    """JSON with sorted keys and no white space, the form that is hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def stream(seed: int, *names):
    """An independent `torch.Generator` for each (seed, names): child, order, augment, method.

    Two methods with one seed start from the same child and see the same batches, whatever either
    draws for itself.
    """
    import torch

    digest = hashlib.sha256(canonical([seed, *names]).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
