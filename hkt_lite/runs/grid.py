"""Many runs from one file, resumable: finished ones are skipped, a cut-off one goes on.   hkt grid data/grids/cifar10-cpu.yaml

A grid file is YAML: `base` (fields every run has), `runs` (a list of changes; a field whose value is {"each": [...]} is expanded into one
run a value) and `purpose`.  Nothing else, so that a grid reads like the table it fills.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path

import yaml

from ..benchmarks import resolve
from ..config import Config, HKTError, nearest
from .loop import run
from .records import RunRecord

KEYS = ("base", "runs", "purpose", "about")


def read(path: Path) -> tuple[list[Config], str]:
    """The resolved configurations of a grid file in order, without repetitions, and their purpose."""
    try:
        value = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise HKTError(f"There is no grid file {path}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise HKTError(
            f"The grid file {path} is not valid YAML ({str(error).splitlines()[0]})."
        ) from None
    if not isinstance(value, dict) or not isinstance(value.get("runs"), list):
        raise HKTError(f"The grid file {path} needs a list `runs`.")
    if unknown := set(value) - set(KEYS):
        raise HKTError(
            f"The grid file {path} has an unknown key {min(unknown)!r}.{nearest(min(unknown), KEYS)}"
        )
    configs = {}
    for number, changes in enumerate(value["runs"], 1):
        for fields in _expanded({**value.get("base", {}), **changes}):
            try:
                config = resolve(Config(**fields))
            except HKTError as error:
                raise HKTError(f"Run {number} of grid file {path}: {error}") from None
            configs[config.id] = config
    return list(configs.values()), value.get("purpose", "score")


def _expanded(fields: dict) -> list[dict]:
    """One dictionary for each combination of the fields that say {"each": [...]}."""
    axes = {
        key: value["each"]
        for key, value in fields.items()
        if isinstance(value, dict) and set(value) == {"each"}
    }
    return [{**fields, **dict(zip(axes, values))} for values in product(*axes.values())]


def sweep(
    configs: list[Config],
    purpose: str = "score",
    index: int | None = None,
    said: Callable[[str], None] = print,
    progress: Callable | None = None,
) -> list[RunRecord]:
    """Run them one after the other, or only the one at `index`; a failing run is reported and the others still run.

    Raises HKTError at the end if any failed, and for an index outside the grid.
    """
    if index is not None:
        if not 0 <= index < len(configs):
            raise HKTError(f"The grid has runs 0 to {len(configs) - 1}; there is no run {index}.")
        configs = [configs[index]]
    records, failed = [], []
    for number, config in enumerate(configs, 1):
        said(
            f"[{number}/{len(configs)}] {config.id} {config.method} {config.options} lr {config.lr} seed {config.seed}"
        )
        try:
            records.append(run(config, purpose, progress))
        except HKTError as error:
            failed.append(config.id)
            said(f"    failed: {error}")
    if failed:
        raise HKTError(
            f"{len(failed)} of {len(configs)} runs failed ({', '.join(failed)}); the others are recorded, "
            "start the grid again to retry these."
        )
    return records
