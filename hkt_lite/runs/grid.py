"""Many runs from one file: finished ones are skipped, a cut-off one goes on.

    hkt grid data/grids/cifar10-cpu.yaml --jobs 4

A grid file is YAML: `base` (fields every run has), `runs` (a list of changes; a field whose value
is {"each": [...]} is expanded into one run a value), `purpose` and `about`.  Nothing else, so that
a grid reads like the table it fills.
"""

import sys
import threading
import time
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field
from tqdm import tqdm

from ..benchmarks import get, resolve
from ..config import Checked, Config, HKTError
from ..files import from_yaml
from .executors import Answer, Executor, Job, here
from .records import Purpose

MOST = 10_000  # runs of one grid
TOO_MANY = f"with it the grid stands for more than {MOST:,} runs; split the grid."


class Grid(Checked):
    base: dict[str, Any] = {}
    runs: list[dict[str, Any]] = Field(min_length=1)
    purpose: Purpose = "score"
    about: Any = None


def read(path: Path) -> tuple[list[Config], Purpose]:
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
            if len(configs) > MOST:
                raise HKTError(TOO_MANY)
        except HKTError as error:
            raise HKTError(f"Run {number} of grid file {path}: {error}") from None
    return list(configs.values()), grid.purpose


def _parsed(path: Path) -> Grid:
    try:
        value = from_yaml(path.read_text(encoding="utf-8"))
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
        raise HKTError(TOO_MANY)
    return [{**fields, **dict(zip(axes, values))} for values in product(*axes.values())]


def sweep(
    configs: list[Config],
    purpose: Purpose = "score",
    executor: Executor = here,
    *,
    gpu_gib: float | None = None,
) -> list[Answer]:
    """One answer a configuration, in their order; a run that fails stops no other.

    What other processes are making comes last, so that two grids on one store share the work.
    """
    watch = Watch(configs)
    answers: dict[int, Answer] = {}
    for wait in (False, True):
        left = [number for number in range(len(configs)) if number not in answers]
        if not left:
            break
        jobs = [Job(configs[number], purpose, wait, gpu_gib) for number in left]

        def tell(number: int, done: float, val: dict, left=left) -> None:
            watch.tell(left[number], done, val)

        for number, answer in executor(jobs, tell):
            if answer.record and answer.record.id != configs[left[number]].id:
                answer = Answer(None, f"other code made another run of it, {answer.record.id}")
            if wait or not answer.busy:
                answers[left[number]] = answer
                watch.ended(left[number], answer)
    return [answers[number] for number in range(len(configs))]


class Watch:
    """Tells how a grid goes: a line for each run that ends, and one of what is going on.

    The latter is written over in a terminal, and appears once a minute elsewhere.
    """

    def __init__(self, configs: list[Config]):
        self.configs, self.began, self.best = configs, time.monotonic(), ""
        self.first: dict[int, float] = {}  # run -> share that was done when it was first heard of
        self.done: dict[int, float] = {}
        self.scores: list[float] = []  # `Task.worth`, the most is best
        self.bar = tqdm(leave=False, disable=None, bar_format="{desc}")
        self.told, self.lock = self.began, threading.Lock()  # runs tell from threads of their own

    def tell(self, number: int, done: float, val: dict[str, float]) -> None:
        with self.lock:
            if self.done.get(number) == 1:  # late news of a run that has ended
                return
            self.first.setdefault(number, done)
            self.done[number] = min(done, 0.99)  # it still has to be tested and recorded
            now = time.monotonic()
            self.bar.set_description_str(self.summary())
            if self.bar.disable and now - self.told >= 60:
                self.told = now
                print(self.summary(), file=sys.stderr, flush=True)

    def ended(self, number: int, answer: Answer) -> None:
        config, said = self.configs[number], f"failed: {answer.reason}"
        if answer.record:
            task, val = get(config.task), answer.record.selected.val
            said = f"val {task.metric} {val[task.metric]:.4g}"
            self.scores.append(task.worth(val))
            if self.scores[-1] == max(self.scores):
                self.best = f"best so far: {said}, {label(config)}"
        with self.lock:
            self.done[number] = 1.0
            self.bar.write(f"{label(config)}  {said}\n    {self.summary()}")

    def summary(self) -> str:
        """'3 of 8 done, 2 running, about 12 min left; best so far: val accuracy 61.2, …'."""
        shares = list(self.done.values())
        running = sum(share < 1 for share in shares)
        said = f"{len(shares) - running} of {len(self.configs)} done, {running} running"
        made = sum(self.done[number] - first for number, first in self.first.items())
        if made > 0:
            seconds = (time.monotonic() - self.began) * (len(self.configs) - sum(shares)) / made
            said += f", about {seconds / 60:.0f} min left"
        return f"{said}; {self.best}" if self.best else said


def label(config: Config) -> str:
    options = [f"{key}={value}" for key, value in config.options.items()]
    options += [f"sites={config.sites}"] if config.sites else []
    return " ".join([config.id, config.method, *options, f"lr={config.lr} seed={config.seed}"])
