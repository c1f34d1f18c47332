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
from typing import Any

import yaml
from pydantic import Field

from ..benchmarks import resolve
from ..config import Checked, Config, HKTError
from .loop import run
from .records import Purpose, RunRecord

MOST = 10_000  # runs of one grid


class Grid(Checked):
    base: dict[str, Any] = {}
    runs: list[dict[str, Any]] = Field(min_length=1)
    purpose: Purpose = "score"
    about: Any = None


def read(path: Path) -> tuple[list[Config], str]:
    """The resolved configurations of a grid file, without repetitions, and their purpose.

    Raises HKTError that names the file and the run, for all that is no grid of configurations.
    """
    grid = _parsed(Path(path))
    configs = {}
    for number, changes in enumerate(grid.runs, 1):
        try:
            for fields in _expanded({**grid.base, **changes}):
                config = resolve(Config(**fields))
                configs[config.id] = config
        except HKTError as error:
            raise HKTError(f"Run {number} of grid file {path}: {error}") from None
    return list(configs.values()), grid.purpose


def _parsed(path: Path) -> Grid:
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Grid(**(value if isinstance(value, dict) else {}))
    except OSError as error:
        raise HKTError(f"The grid file {path} cannot be read ({error.strerror}).") from None
    except (yaml.YAMLError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise HKTError(f"The grid file {path} is not valid YAML ({first}).") from None
    except (HKTError, TypeError) as error:  # TypeError: a key that is no word
        needs = "a grid needs a list `runs`, such as `[{method: kd, seed: 0}]`"
        raise HKTError(f"The grid file {path} does not fit ({needs}): {error}") from None


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
        what = f"{config.id} {config.method} {config.options} lr {config.lr} seed {config.seed}"
        said(f"[{number}/{len(configs)}] {what}")
        try:
            outcome = run(config, purpose, progress=progress)
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
