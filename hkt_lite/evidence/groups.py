"""Runs that belong together: one variant under one setting, seed by seed; and what may be compared.

groups = group(published(), task="cifar10");  d, ids = difference(*groups[:2], "accuracy")

Comparability is a whitelist.  Two runs are pooled as seeds only if nothing of their `Config` but
`seed` differs.  Two groups are compared only if, besides, nothing differs but VARIANT, and PARENT
where one of the two has no parent.  Whatever else `Config` holds, now or later, must be equal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

from ..benchmarks import get, method_options
from ..config import Config, HKTError, canonical, nearest
from ..methods.attention import KINDS, PARENT_SHARE
from ..runs.records import EvalRecord, RunRecord
from . import stats

VARIANT = ("method", "options", "sites", "lr", "parent_updates")  # parent_updates: of L_p* alone
PARENT = ("parent", "parent_weights", "parent_source")

TITLES = {"plain": "plain", "kd": "KD", "fitnet": "FitNet", "at": "AT", "hkt": "HKT"}
METRICS = {
    "accuracy": ("accuracy (%)", 2),
    "loss": ("cross-entropy", 3),
    "epe": ("end-point error (px)", 3),
    "sintel_epe": ("end-point error, Sintel (px)", 3),
    "kitti_epe": ("end-point error, KITTI (px)", 3),
    "kitti_fl_all": ("Fl-all, KITTI (%)", 2),
    "dice": ("Dice", 3),
    "dice_liver": ("Dice, liver", 3),
    "dice_lesion": ("Dice, lesions", 3),
}


def metric_name(task: str, metric: str) -> tuple[str, int]:
    """A metric's name with its unit, and the decimals it is shown with."""
    return getattr(get(task), "shown", METRICS).get(metric, (metric, 3))


def sign(task: str) -> int:
    """1 where a larger metric is better, else -1."""
    return 1 if get(task).higher_is_better else -1


def titles() -> dict[str, str]:
    """Method -> its title, in the order of tables."""
    return TITLES


def rank(method: str, options: dict) -> tuple:
    """Where a variant stands in tables; methods without a place of their own come last."""
    place = list(titles()).index(method) if method in titles() else len(titles())
    return place, method, KINDS.index(options.get("kind", KINDS[0]))


def label(method: str, options: dict, sites: str | None = None) -> str:
    """The name of a variant in tables and figures: HKT with its kind, its sites where there is a
    choice, and the options that are not at their default."""
    full, default = method_options(method, options), method_options(method, {})
    if method == "plain" and full["weight"] != 1:
        return f"plain ×{full['weight']:g} loss"
    name = f"HKT {full['kind']}" if method == "hkt" else titles().get(method, method)
    parts = [name, f"at {sites}"] if sites else [name]
    for key, value in sorted(full.items()):
        if value != default[key] and key != "kind":
            parts.append(f"{key} {'+'.join(value) if isinstance(value, list) else value}")
    return ", ".join(parts)


@dataclass(frozen=True)
class Group:
    """The runs of one variant, by seed; `config` is that of the first, and but for the seed of all.

    `setting` is what must be equal for two groups to be compared, `parent` is '' without one.
    """

    config: Config
    options: dict
    purpose: str
    setting: str
    parent: str
    runs: dict[int, RunRecord]

    @property
    def label(self) -> str:
        return label(self.config.method, self.options, self.config.sites)

    @property
    def title(self) -> str:
        return self.label + (" (control)" if self.purpose == "control" else "")

    @property
    def records(self) -> list[RunRecord]:
        """In the order of seeds."""
        return [run for _, run in sorted(self.runs.items())]

    @property
    def ids(self) -> list[str]:
        return [run.id for run in self.records]

    def scores(
        self, metric: str, selection: str = "selected", split: str = "test"
    ) -> dict[int, float]:
        """Seed -> metric of the validation-selected ('selected') or the last epoch.

        Raises HKTError for a metric that a record lacks.
        """
        found = {}
        for run in self.records:
            metrics = getattr(getattr(run, selection), split)
            if metric not in metrics:
                raise HKTError(
                    f"Record {run.id} has no {split} metric {metric!r}; "
                    f"it has {', '.join(sorted(metrics))}."
                )
            found[run.config.seed] = metrics[metric]
        return found

    def summary(self, metric: str, selection: str = "selected") -> stats.Summary:
        return stats.summary(list(self.scores(metric, selection).values()))


def group(
    records: Iterable[RunRecord | EvalRecord], purposes: Iterable[str] = ("score",), **where
) -> list[Group]:
    """Groups of the runs with one of `purposes` whose configuration has the fields `where`
    (None: any), in table order.  Runs marked `audit` never enter.

    Raises HKTError when one run is given twice.
    """
    wanted = {field: value for field, value in where.items() if value is not None}
    found: dict[str, Group] = {}
    for run in records:
        if run.kind != "run" or run.audit or run.purpose not in purposes:
            continue
        config = run.config
        if any(getattr(config, field) != value for field, value in wanted.items()):
            continue
        mine = _group(run)
        variant = config.model_dump(mode="json", include={*VARIANT, *PARENT, "seed"})
        same = {**variant, "options": mine.options, "seed": None}
        one = found.setdefault(canonical([run.purpose, mine.setting, mine.parent, same]), mine)
        if one is not mine and config.seed in one.runs:
            raise HKTError(
                f"Records {one.runs[config.seed].id} and {run.id} are both {one.label} with seed "
                f"{config.seed}; keep one of the two."
            )
        one.runs[config.seed] = run
    return sorted(found.values(), key=_position)


def _group(run: RunRecord) -> Group:
    """A group of one."""
    config, parent = run.config, ""
    if run.parent:
        parent = canonical([run.parent.sha256, *(getattr(config, field) for field in PARENT)])
    fixed = config.model_dump(mode="json", exclude={"seed", *VARIANT, *PARENT})
    setting = canonical([fixed, run.provenance.data])
    options = method_options(config.method, config.options)
    return Group(config, options, run.purpose, setting, parent, {config.seed: run})


def _position(one: Group) -> tuple:
    return one.setting, rank(one.config.method, one.options), one.label, one.config.lr


def panels(groups: list[Group]) -> list[list[Group]]:
    """Sets of groups that may be compared: one setting, and one parent wherever there is a
    parent; the largest budget first."""
    budgets = {one.setting: -one.config.train_size * one.config.epochs for one in groups}
    found = []
    for setting in sorted(budgets, key=lambda setting: (budgets[setting], setting)):
        here = [one for one in groups if one.setting == setting]
        for parent in sorted({one.parent for one in here if one.parent}) or [""]:
            found.append([one for one in here if one.parent in ("", parent)])
    return found


def difference(
    a: Group, b: Group, metric: str, selection: str = "selected", networks: bool = False
) -> tuple[stats.Paired | None, list[str]]:
    """Paired difference a - b over the seeds that both have, positive where a is better, and the
    records' ids; None without a common seed.

    Raises HKTError for groups that must not be compared, unless it is the `networks` themselves,
    each trained alone, that are compared.
    """
    parents = {a.parent, b.parent} - {""}
    if not networks and (a.setting != b.setting or len(parents) > 1):
        raise HKTError(
            f"{a.label} and {b.label} were not run with the same data, budget and parent, "
            "so their difference says nothing."
        )
    first, second = a.scores(metric, selection), b.scores(metric, selection)
    seeds = [seed for seed in first if seed in second]
    if not seeds:
        return None, []
    way = sign(a.config.task)
    d = stats.paired([way * first[seed] for seed in seeds], [way * second[seed] for seed in seeds])
    return d, [one.runs[seed].id for one in (a, b) for seed in seeds]


def chosen(
    groups: list[Group], method: str, options: dict, sites: str | None = None
) -> Group | None:
    """The score runs that stand for a variant: of several learning rates the one with most seeds,
    then the best mean validation metric."""
    full = method_options(method, options)

    def fits(one: Group) -> bool:
        same = (one.config.method, one.options, one.purpose) == (method, full, "score")
        return same and sites in (None, one.config.sites)

    def merit(one: Group) -> tuple[int, float]:
        task = one.config.task
        values = one.scores(get(task).metric, "selected", "val").values()
        return len(one.runs), sign(task) * fmean(values)

    return max(filter(fits, groups), key=merit, default=None)


def scope(groups: Iterable[Group]) -> str:
    """What was run, in words: 'cpu scale, real data: 10,000 training examples, 16 epochs,
    resnet56 to resnet20'."""
    groups = list(groups)
    parents = sorted({run.parent.arch for one in groups for run in one.records if run.parent})
    config = groups[0].config
    return (
        f"{config.scale} scale, {config.source} data: {config.train_size:,} training examples, "
        f"{config.epochs} epochs, {parents[0] + ' to ' if parents else ''}{config.child}"
    )


def at(record, path: str):
    """record.cost.parameters for 'cost.parameters'; dictionaries are entered by key, lists by
    number.  Raises HKTError where there is nothing."""
    value = record
    for key in path.split("."):
        try:
            if isinstance(value, dict):
                value = value[key]
            else:
                value = value[int(key)] if isinstance(value, list) else getattr(value, key)
        except (AttributeError, KeyError, IndexError, ValueError):
            raise HKTError(
                f"Record {record.id} has nothing at {path!r} (looked for {key!r})."
            ) from None
    return value


# -- how much is inherited, also in records that do not say the share yet --------------------------

OBSERVED = ("share", "displacement", "gate")
SPLIT = "context_encoder"


def observed(run: RunRecord, epoch: int, name: str) -> dict[str, float] | None:
    """Quantiles over images of 'share', 'displacement' or 'gate' (also 'share at SITE') in an
    epoch, counted from 0; None where the method has no such thing.  Raises HKTError for others."""
    name = name.replace("inherited", "displacement")
    what, _, site = name.partition(" at ")
    if what not in OBSERVED:
        raise HKTError(f"Records do not say {what!r} of an epoch.{nearest(what, OBSERVED)}")
    seen = run.epochs[epoch].inherited
    if name not in seen and what == "share":
        return share(run, epoch, site)
    return seen.get(name, seen.get(name.replace("displacement", "inherited")))


def share(run: RunRecord, epoch: int, site: str = "") -> dict[str, float] | None:
    """Quantiles of the share ρ, how much of the way from c to p is gone, from those of the gate g:
    λ(1 - g) for kind gate, λ g for forward_gate, 0.7 for static; None where there is no gate.

    Exact, for ρ is linear in g: a quantile of 1 - g is 1 minus the opposite quantile of g.  None
    also for SPLIT, whose slices are mixed apart while these records hold the whole feature's gate.
    """
    seen = run.epochs[epoch].inherited
    g = seen.get(f"gate at {site}" if site else "gate")
    if site == SPLIT or (not site and f"gate at {SPLIT}" in seen):
        return None
    options = method_options(run.config.method, run.config.options)
    kind, lam = options.get("kind"), options.get("lam")
    if g is None or kind not in ("gate", "forward_gate", "static"):
        return None
    if kind == "static":
        return dict.fromkeys(g, PARENT_SHARE)
    if kind == "forward_gate":
        return {name: lam * value for name, value in g.items()}
    opposite = {"q05": "q95", "q25": "q75", "q75": "q25", "q95": "q05"}
    return {name: lam * (1 - g[opposite.get(name, name)]) for name in g}
