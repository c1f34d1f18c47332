"""Runs that belong together: one method with one set of options and one learning rate under one setting, seed by seed.

groups = cohorts(published(), task="cifar10", scale="cpu");  a, b = common(groups[0], groups[1])
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

from ..benchmarks import get, method_options
from ..config import HKTError, canonical
from ..runs.records import EvalRecord, RunRecord

SETTING = (
    "task",
    "scale",
    "source",
    "child",
    "train_size",
    "epochs",
    "batch_size",
    "schedule",
    "views",
    "precision",
    "stages",
    "crop",
    "updates",
)
ORDER = ("plain", "kd", "fitnet", "at", "hkt")  # of the rows; other methods follow by name
KINDS = ("gate", "forward_gate", "static", "softmax")
NAMES = {"plain": "plain", "kd": "KD", "fitnet": "FitNet", "at": "AT", "hkt": "HKT"}


def label(method: str, options: dict, sites: str | None = None) -> str:
    """The name a method has in every table and figure: HKT with its kind, its sites where there is a choice, options that are not at their default."""
    full, default = method_options(method, options), method_options(method, {})
    name = f"HKT {full['kind']}" if method == "hkt" else NAMES.get(method, method)
    if method == "plain" and full["weight"] != 1:
        return f"plain ×{full['weight']:g} loss"
    other = {key: value for key, value in full.items() if value != default[key] and key != "kind"}
    other = {"at": sites, **other} if sites else other
    return name + "".join(
        f", {key} {'+'.join(value) if isinstance(value, list) else value}"
        for key, value in sorted(other.items())
    )


@dataclass(frozen=True)
class Cohort:
    """The runs of one variant, by seed.  `setting` holds what must be equal for two cohorts to be compared; `parent` is a sha256."""

    method: str
    options: dict
    lr: float
    setting: tuple
    parent: str
    runs: dict[int, RunRecord]
    sites: str | None = None

    @property
    def label(self) -> str:
        return label(self.method, self.options, self.sites)

    @property
    def purpose(self) -> str:
        return next(iter(self.runs.values())).purpose

    @property
    def ids(self) -> list[str]:
        return [run.id for _, run in sorted(self.runs.items())]

    def named(self, field: str):
        """One field of the setting."""
        return self.setting[SETTING.index(field)]

    def scores(
        self, metric: str, selection: str = "selected", split: str = "test"
    ) -> dict[int, float]:
        """Seed -> metric of the validation-selected ('selected') or the last epoch.  Raises HKTError for a metric the record lacks."""
        found = {}
        for seed, run in sorted(self.runs.items()):
            metrics = getattr(getattr(run, selection), split)
            if metric not in metrics:
                raise HKTError(
                    f"Record {run.id} has no {split} metric {metric!r}; it has {', '.join(sorted(metrics))}."
                )
            found[seed] = metrics[metric]
        return found


def _plain(value):
    """A field of a configuration as something that can be compared and hashed."""
    return (
        canonical([getattr(one, "model_dump", lambda one=one: one)() for one in value])
        if isinstance(value, list)
        else value
    )


def row(method: str) -> int:
    """Where a method stands in tables; those without a place of their own come last."""
    return ORDER.index(method) if method in ORDER else len(ORDER)


def _position(cohort: Cohort) -> tuple:
    kind = cohort.options.get("kind", "gate")
    return (
        str(cohort.setting),
        row(cohort.method),
        cohort.method,
        KINDS.index(kind) if kind in KINDS else 0,
        cohort.label,
        cohort.lr,
    )


def cohorts(
    records: Iterable[RunRecord | EvalRecord], purposes: Iterable[str] = ("score",), **where
) -> list[Cohort]:
    """Cohorts of the runs with one of `purposes` whose configuration has the fields `where` (None: any), in table order.

    Runs marked `audit` never enter.  Raises HKTError when one seed was published twice for one cohort.
    """
    found: dict[str, Cohort] = {}
    for run in records:
        if run.kind != "run" or run.audit or run.purpose not in purposes:
            continue
        config = run.config
        if any(
            value is not None and getattr(config, field) != value for field, value in where.items()
        ):
            continue
        options, setting = (
            method_options(config.method, config.options),
            tuple(_plain(getattr(config, field)) for field in SETTING),
        )
        parent = run.parent.sha256 if run.parent else ""
        key = str(
            (
                setting,
                config.method,
                sorted(options.items()),
                config.lr,
                parent,
                run.purpose,
                config.sites,
            )
        )
        cohort = found.setdefault(
            key, Cohort(config.method, options, config.lr, setting, parent, {}, config.sites)
        )
        if config.seed in cohort.runs:
            raise HKTError(
                f"Records {cohort.runs[config.seed].id} and {run.id} are both {cohort.label} with seed {config.seed}; "
                "withdraw one from the published results."
            )
        cohort.runs[config.seed] = run
    return sorted(found.values(), key=_position)


def panels(groups: list[Cohort]) -> list[list[Cohort]]:
    """Sets of cohorts that may be compared: one setting, and one parent wherever there is a parent; the largest budget first."""
    settings = {
        group.setting: -group.named("train_size") * group.named("epochs") for group in groups
    }
    found = []
    for setting in sorted(settings, key=lambda setting: (settings[setting], str(setting))):
        here = [group for group in groups if group.setting == setting]
        for parent in sorted({group.parent for group in here if group.parent}) or [""]:
            found.append([group for group in here if group.parent in ("", parent)])
    return found


def common(
    a: Cohort, b: Cohort, metric: str, selection: str = "selected"
) -> tuple[list[float], list[float], list[str]]:
    """Test scores of the seeds both cohorts have, and the records' ids.  Raises HKTError for cohorts that must not be compared."""
    if a.setting != b.setting or (a.parent and b.parent and a.parent != b.parent):
        raise HKTError(
            f"{a.label} and {b.label} were not run with the same data, budget and parent, so their difference says nothing."
        )
    first, second = a.scores(metric, selection), b.scores(metric, selection)
    seeds = [seed for seed in first if seed in second]
    return (
        [first[seed] for seed in seeds],
        [second[seed] for seed in seeds],
        [c.runs[seed].id for c in (a, b) for seed in seeds],
    )


def chosen(
    groups: list[Cohort], method: str, options: dict, sites: str | None = None
) -> Cohort | None:
    """The score runs that stand for a variant: of several learning rates the one with most seeds, then the best mean validation metric."""
    full = method_options(method, options)
    fitting = [
        group
        for group in groups
        if group.method == method
        and group.options == full
        and group.purpose == "score"
        and sites in (None, group.sites)
    ]

    def merit(group: Cohort) -> tuple[int, float]:
        task = get(group.named("task"))
        best = fmean(group.scores(task.metric, "selected", "val").values())
        return len(group.runs), best if task.higher_is_better else -best

    return max(fitting, key=merit, default=None)


def scope(groups: Iterable[Cohort]) -> str:
    """What was run, in words: 'cpu scale, real data: 10,000 training examples, 16 epochs, resnet56 to resnet20'."""
    groups = list(groups)
    parents = sorted(
        {run.parent.arch for group in groups for run in group.runs.values() if run.parent}
    )
    one = groups[0]
    return (
        f"{one.named('scale')} scale, {one.named('source')} data: {one.named('train_size'):,} training examples, "
        f"{one.named('epochs')} epochs, {parents[0] + ' to ' if parents else ''}{one.named('child')}"
    )


def at(record, path: str):
    """record.cost.parameters for 'cost.parameters'; dictionaries are entered by key, lists by number."""
    value = record
    for key in path.split("."):
        try:
            value = (
                value[key]
                if isinstance(value, dict)
                else value[int(key)]
                if isinstance(value, list)
                else getattr(value, key)
            )
        except (AttributeError, KeyError, IndexError, ValueError):
            raise HKTError(
                f"Record {record.id} has nothing at {path!r} (looked for {key!r})."
            ) from None
    return value
