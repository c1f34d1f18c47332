"""Many runs from one file: finished ones are skipped, a cut-off one goes on.

    hkt grid data/grids/cifar10-cpu.yaml

A grid file is YAML: `base` (fields every run has), `runs` (a list of changes; a field whose value
is {"each": [...]} is expanded into one run a value), `purpose` and `about`.  Nothing else, so that
a grid reads like the table it fills.
"""

from collections.abc import Callable
from itertools import product
from math import prod
from pathlib import Path

import yaml

from ..benchmarks import resolve
from ..config import Config, HKTError, nearest
from .loop import run
from .records import RunRecord, check_purpose
from .store import Store

KEYS = ("base", "runs", "purpose", "about")
MOST = 10_000  # runs of one grid


def read(path: Path) -> tuple[list[Config], str]:
    """The resolved configurations of a grid file, without repetitions, and their purpose."""
    value = _parsed(Path(path))
    purpose = value.get("purpose", "score")
    try:
        check_purpose(purpose)
    except (HKTError, TypeError) as error:
        raise HKTError(f"The grid file {path}: {error}") from None
    configs = {}
    for number, changes in enumerate(value["runs"], 1):
        try:
            for fields in _expanded({**value.get("base", {}), **changes}):
                config = resolve(Config(**fields))
                configs[config.id] = config
        except HKTError as error:
            raise HKTError(f"Run {number} of grid file {path}: {error}") from None
    return list(configs.values()), purpose


def _parsed(path: Path) -> dict:
    """The file's value, with `runs` a list of mappings and `base` a mapping."""
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise HKTError(f"The grid file {path} cannot be read ({error.strerror}).") from None
    except (yaml.YAMLError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise HKTError(f"The grid file {path} is not valid YAML ({first}).") from None
    if not isinstance(value, dict):
        raise HKTError(f"The grid file {path} needs a list `runs`.")
    for key in value:
        if key not in KEYS:
            raise HKTError(f"The grid file {path} has an unknown key {key!r}.{nearest(key, KEYS)}")
    runs, base = value.get("runs"), value.get("base", {})
    if not isinstance(runs, list) or not runs:
        raise HKTError(f"The grid file {path} needs a list `runs` with at least one run.")
    for number, fields in [("`base`", base), *enumerate(runs, 1)]:
        if not isinstance(fields, dict) or not all(isinstance(key, str) for key in fields):
            raise HKTError(
                f"The grid file {path}: {number if fields is base else f'run {number}'} must be "
                "fields of a configuration, such as `{method: kd, seed: 0}`."
            )
    return value


def _expanded(fields: dict) -> list[dict]:
    """One dictionary for each combination of the fields that say {"each": [...]}."""
    axes = {}
    for key, value in fields.items():
        if isinstance(value, dict) and set(value) == {"each"}:
            if not isinstance(value["each"], list) or not value["each"]:
                raise HKTError(f"`each` of {key!r} needs a list of values.")
            axes[key] = value["each"]
    if prod(map(len, axes.values())) > MOST:
        raise HKTError(f"it stands for more than {MOST:,} runs; split the grid.")
    return [{**fields, **dict(zip(axes, values))} for values in product(*axes.values())]


def sweep(
    configs: list[Config],
    purpose: str = "score",
    index: int | None = None,
    *,
    store: Store | None = None,
    said: Callable[[str], None] = print,
    progress: Callable | None = None,
) -> list[RunRecord]:
    """Run them one after the other, or only the one at `index`; a failing one stops no other.

    Raises HKTError at the end if any failed, and for an index outside the grid.
    """
    if index is not None:
        if not 0 <= index < len(configs):
            raise HKTError(f"The grid has runs 0 to {len(configs) - 1}; there is no run {index}.")
        configs = [configs[index]]
    records, failed = [], []
    for number, config in enumerate(configs, 1):
        said(
            f"[{number}/{len(configs)}] {config.id} {config.method} {config.options} "
            f"lr {config.lr} seed {config.seed}"
        )
        try:
            outcome = run(config, purpose, store=store, progress=progress)
        except HKTError as error:
            failed.append(config.id)
            said(f"    failed: {error}")
        else:
            records.append(outcome.record)
    if failed:
        raise HKTError(
            f"{len(failed)} of {len(configs)} runs failed ({', '.join(failed)}); the others are "
            "recorded, start the grid again to retry these."
        )
    return records
