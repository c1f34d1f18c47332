"""Runs that belong together: one variant under one setting, seed by seed; and what may be compared.

groups = group(published(), task="cifar10");  d, ids = difference(*groups[:2], "accuracy")

Comparability is a whitelist.  Two runs are pooled as seeds only if nothing of their `Config` but
`seed` differs.  Two groups are compared only if, besides, nothing differs but VARIANT, and PARENT
where one of the two has no parent; or nothing but PARENT, where the parent is what is asked about.
Whatever else `Config` holds, now or later, must be equal.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import starmap
from statistics import fmean

from ..benchmarks import get, method_class, method_options
from ..benchmarks.scales import DEFAULTS, scales
from ..config import Config, HKTError, canonical, nearest
from ..runs.records import EvalRecord, RunRecord
from . import stats
from .literature import Variant
from .words import PRECISIONS, deviation, examples, label, newborn, sign

TUNED = ("lr", "weight_decay")  # for each method with equal effort
RECIPE = ("schedule", "sam")  # of controls: the same steps on the same images, taken otherwise
# parent_updates: of L_p* alone; parent_source: what it says of equal views comes from a cache or,
# where maps would fill the disk, is computed in each step; the two differ by rounding
VARIANT = ("method", "options", "sites", "parent_updates", "parent_source", *TUNED, *RECIPE)
PARENT = ("parent", "parent_weights")

# what a record says of an epoch, also 'share at SITE', and how an axis calls it
OBSERVED = {"displacement": "displacement |m − c| / |c|", "share": "share ρ", "gate": "gate g"}


@dataclass(frozen=True, eq=False)
class Group:
    """The runs of one variant, by seed; `config` is that of the first, and but for the seed of all.

    `setting` is what must be equal for two groups to be compared, `parent` is '' without one.  Two
    groups are equal only if they are one and the same.
    """

    config: Config
    options: dict
    purpose: str
    setting: str
    parent: str
    runs: dict[int, RunRecord]

    @property
    def label(self) -> str:
        said = [label(self.config), *starmap(deviation, self.recipe.items())]
        return ", ".join(said + self.unusual)

    @property
    def unusual(self) -> list[str]:
        """The parent, in words, where it is not trained, or not the one that everybody has."""
        weights = self.config.parent_weights or "none"
        if newborn(self.config):
            return ["random parent"]
        if not weights.startswith("run:"):
            return []
        task = get(self.config.task)(self.config)
        other = self.config.parent in task.public or task.committed.exists()
        return [f"parent of run {weights.removeprefix('run:')}"] if other else []

    @property
    def recipe(self) -> dict:
        """How it was trained, as far as that is not the way of its scale."""
        config = self.config
        usual = {**DEFAULTS, **scales(config.task)[config.scale]}
        fields = {field: getattr(config, field) for field in (*RECIPE, "weight_decay")}
        return {field: value for field, value in fields.items() if value != usual.get(field)}

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
                has = ", ".join(sorted(metrics))
                raise HKTError(f"Record {run.id} has no {split} metric {metric!r}; it has {has}.")
            found[run.config.seed] = metrics[metric]
        return found

    def summary(self, metric: str, selection: str = "selected") -> stats.Summary:
        return stats.summary(list(self.scores(metric, selection).values()))


def group(
    records: Iterable[RunRecord | EvalRecord],
    purposes: Iterable[str] = ("score",),
    only: dict | None = None,
    **where,
) -> list[Group]:
    """Groups of the runs with one of `purposes` whose configuration has the fields `where`
    (None: any) and those of `only`, in table order.  Runs marked `audit` enter only where that
    purpose is asked for; HKTError for a run given twice, or a field that there is not.
    """
    wanted = {field: value for field, value in where.items() if value is not None} | (only or {})
    for field in wanted.keys() - Config.model_fields.keys():
        close = nearest(field, Config.model_fields)
        raise HKTError(f"A configuration has no field {field!r}.{close}")
    found: dict[str, Group] = {}
    audits = "audit" in purposes
    for run in records:
        if run.kind != "run" or run.purpose not in purposes or (run.audit and not audits):
            continue
        if any(getattr(run.config, field) != value for field, value in wanted.items()):
            continue
        mine, seed = _group(run), run.config.seed
        same = {**run.config.deciding("seed"), "options": mine.options}
        one = found.setdefault(canonical([run.purpose, mine.setting, mine.parent, same]), mine)
        if one is not mine and seed in one.runs:
            both = f"Records {one.runs[seed].id} and {run.id} are both {one.label}"
            raise HKTError(f"{both} with seed {seed}; keep one of the two.")
        one.runs[seed] = run
    return sorted(found.values(), key=_position)


def _group(run: RunRecord) -> Group:
    """A group of one."""
    config, parent = run.config, ""
    if run.parent:  # a random one is another for each seed
        digest = "" if newborn(config) else run.parent.sha256
        parent = canonical([digest, *(getattr(config, field) for field in PARENT)])
    fixed = config.deciding("seed", *VARIANT, *PARENT)
    setting = canonical([fixed, run.provenance.data])
    options = method_options(config.method, config.options)
    return Group(config, options, run.purpose, setting, parent, {config.seed: run})


def _position(one: Group) -> tuple:
    method = method_class(one.config.method)
    place = (method.order, method.name, method.rank(one.options))
    return one.setting, place, one.label, one.config.lr


def panels(groups: list[Group], parents: bool = False) -> list[list[Group]]:
    """Sets of groups that may be compared: one setting, and one parent wherever there is a
    parent, unless several `parents` are what is compared.

    The largest budget first; of equal ones, and of one budget's parents, what has most runs.
    """
    settings: dict[str, list[Group]] = {}
    for one in groups:
        settings.setdefault(one.setting, []).append(one)

    def order(here: list[Group]) -> tuple[int, int, str]:
        budget = here[0].config.train_size * here[0].config.epochs
        return -budget, -sum(len(one.runs) for one in here), here[0].setting

    found = []
    for here in sorted(settings.values(), key=order):
        if parents:
            found.append(here)
            continue
        runs = Counter(one.parent for one in here if one.parent for _ in one.runs)
        for parent in sorted(runs, key=lambda one: (-runs[one], one)) or [""]:
            found.append([one for one in here if one.parent in ("", parent)])
    return found


def common(*groups: Group) -> list[int]:
    """The seeds that all of them have, in order."""
    return sorted(set.intersection(*(set(one.runs) for one in groups)))


def unlike(pairs: Iterable[tuple[Group, Group]]) -> Iterator[str]:
    """The note on pairs whose runs of one seed were made on different kinds of processor."""
    said = []
    for a, b in pairs:
        seeds = common(a, b)
        made = [[one.runs[seed].provenance.machine for one in (a, b)] for seed in seeds]
        apart = sum(one != other for one, other in made)
        if apart:
            said.append(f"{a.label} and {b.label}, {apart} of {len(seeds)} seeds")
    if said:
        which = "; ".join(dict.fromkeys(said))
        yield f"Made on different kinds of processor, which do not round alike: {which}."


def difference(
    a: Group, b: Group, metric: str, selection: str = "selected", networks: bool = False
) -> tuple[stats.Paired | None, list[str]]:
    """Paired difference a - b over the seeds that both have, positive where a is better, and the
    records' ids; None without a common seed.

    Raises HKTError for groups that must not be compared, unless it is the `networks` themselves,
    each trained alone, that are compared.
    """
    alike = all(getattr(a.config, field) == getattr(b.config, field) for field in VARIANT)
    parents = len({a.parent, b.parent} - {""}) < 2 or alike
    if not networks and (a.setting != b.setting or not parents):
        pair, same = f"{a.label} and {b.label}", "the same data, budget and parent"
        raise HKTError(f"{pair} were not run with {same}, so their difference says nothing.")
    first, second = a.scores(metric, selection), b.scores(metric, selection)
    seeds = common(a, b)
    if not seeds:
        return None, []
    way = sign(a.config.task)
    d = stats.paired([way * first[seed] for seed in seeds], [way * second[seed] for seed in seeds])
    return d, [one.runs[seed].id for one in (a, b) for seed in seeds]


def chosen(
    groups: list[Group],
    variant: Variant,
    purposes: Iterable[str] = ("score",),
    parent: str | None = None,
) -> Group | None:
    """The runs that stand for a variant, with the `parent`'s weights where one is named: without
    sites those at its scale's usual ones, if there are any; of several learning rates the one with
    most seeds, then the best mean validation metric."""
    wanted = (variant.method, method_options(variant.method, variant.options), variant.recipe)

    def merit(one: Group) -> tuple[bool, int, float]:
        task, own = one.config.task, scales(one.config.task).get(one.config.scale, {})
        values = one.scores(get(task).metric, "selected", "val").values()
        usual = one.config.sites == own.get("sites")  # None: the task's only, or first, set
        return usual, len(one.runs), sign(task) * fmean(values)

    fitting = [
        one
        for one in groups
        if (one.config.method, one.options, one.recipe) == wanted
        and one.purpose in purposes
        and variant.sites in (None, one.config.sites)
        and parent in (None, one.config.parent_weights)
    ]
    return max(fitting, key=merit, default=None)


def scope(groups: list[Group]) -> str:
    """What was run, in words: 'cpu scale, real data: 10,000 training examples, 16 epochs,
    float32, resnet56 to resnet20'; of a curriculum its corpora, and RAFT's updates."""
    config, taught = groups[0].config, [one for one in groups if one.parent]
    parents = {"random " * newborn(one.config) + one.records[0].parent.arch for one in taught}
    networks = " to ".join(filter(None, [" or ".join(sorted(parents)), config.child]))
    epochs = f"{config.epochs} epoch{'s' * (config.epochs > 1)}"
    updates = f"{config.updates} updates, " if config.updates else ""
    return (
        f"{config.scale} scale, {config.source} data: {examples(config)}, {epochs}, "
        f"{updates}{PRECISIONS[config.precision]}, {networks}"
    )


def at(record, path: str):
    """record.cost.parameters for 'cost.parameters'; dictionaries are entered by key.  Raises
    HKTError where there is nothing."""
    value = record
    for key in path.split("."):
        try:
            value = value[key] if isinstance(value, dict) else getattr(value, key)
        except (AttributeError, KeyError):
            said = f"nothing at {path!r} (looked for {key!r})"
            raise HKTError(f"Record {record.id} has {said}.") from None
    return value


def observed(run: RunRecord, epoch: int, name: str) -> dict[str, float] | None:
    """Quantiles over images of one of OBSERVED in an epoch, counted from 0; None where the method
    has no such thing, or an old record not that of slices.  Raises HKTError for other names."""
    what = name.partition(" at ")[0]
    if what not in OBSERVED:
        raise HKTError(f"Records do not say {what!r} of an epoch.{nearest(what, OBSERVED)}")
    return run.epochs[epoch].inherited.get(name)
