"""Tables of runs: scores, learning rates tried, networks trained alone, live runs."""

from __future__ import annotations

from collections.abc import Sequence

from ..benchmarks import get
from ..config import HKTError
from . import stats
from .groups import Group, at, chosen, difference, group, label, metric_name, panels, scope
from .groups import sign as direction
from .outputs import Block, Cell, Table, cell, ids, none, number, numeric, recomputable, sentence

SEEDS = 3  # fewest for a place in a score table
SHOWN = ("score", "control")  # purposes that enter it; controls are marked
UNLEARNT = "Not learnt, no better than an answer without looking: "


def where(task: str, scale: str | None, source: str | None, kind: str = "run") -> str:
    parts = [source and f"{source}-data", task, kind, scale and f"at {scale} scale"]
    return " ".join(filter(None, parts))


def ready(panel: list[Group], methods: Sequence[str] | None = None) -> list[Group]:
    """Groups with enough seeds for a place in a table, of all methods or of those named."""
    enough = [one for one in panel if len(one.runs) >= SEEDS]
    if methods is None:
        return enough
    return [one for one in enough if one.label in methods or one.config.method in methods]


def unique(groups: list[Group]) -> dict[str, Group]:
    """Title -> group; the learning rate is named where one label has several."""
    labels = [one.label for one in groups]
    found = {}
    for one in groups:
        several = labels.count(one.label) > 1
        found[one.title + (f", lr {one.config.lr:g}" if several else "")] = one
    return found


def to_plain(
    panel: list[Group], metric: str, selection: str = "selected"
) -> dict[int, stats.Paired]:
    """id(group) -> paired difference to the panel's plain child, where there are enough seeds."""
    base, found = chosen(panel, "plain", {}), {}
    for one in panel:
        if base and one is not base:
            d, _ = difference(one, base, metric, selection)
            if d and d.n >= SEEDS:
                found[id(one)] = d
    return found


def _rate(lr: float) -> Cell:
    return numeric(f"{lr:g}", lr)


@recomputable
def scores(
    records,
    task: str = "cifar10",
    metric: str = "accuracy",
    selection: str = "selected",
    methods: list[str] | None = None,
    scale: str | None = None,
    source: str | None = None,
) -> Block:
    """Test scores of every method: mean ± sd over seeds (validation-selected and last epoch),
    paired difference to the plain child.

    `selection` ('selected' or 'last') decides which epoch the difference is of.  Fewer than three
    seeds get no number.
    """
    if selection not in ("selected", "last"):
        raise HKTError(f"selection must be 'selected' or 'last', got {selection!r}.")
    parts = []
    for panel in panels(group(records, SHOWN, task=task, scale=scale, source=source)):
        if groups := ready(panel, methods):
            parts.append(_scores(panel, groups, metric, selection))
    if not parts:
        return none(f"{where(task, scale, source)} with {SEEDS} seeds")
    return sum(parts[1:], parts[0])


def _scores(panel: list[Group], groups: list[Group], metric: str, selection: str) -> Block:
    task = panel[0].config.task
    name, digits = metric_name(task, metric)
    table, differences = Table(digits), to_plain(panel, metric, selection)
    for one in groups:
        best, d = one.summary(metric), differences.get(id(one))
        table.row(
            {
                "method": one.title,
                "learning rate": _rate(one.config.lr),
                "seeds": best.n,
                f"test {name}, selected on validation": best,
                "last epoch": one.summary(metric, "last"),
                "better than plain by [95 %]": d,
                "detectable": d and d.detectable,
            },
            one.ids,
        )
    epoch = "epoch selected on validation" if selection == "selected" else "last epoch"
    return table.block(
        f"{task}, {scope(groups)}. Mean ± sd over seeds; paired difference to the plain child "
        f"({epoch}) with its 95 % t-interval; the smallest true difference that such a design "
        "finds four times in five.",
        *_parents(groups),
        *_unlearnt(groups),
        *_few(panel),
        *_family(groups, differences),
    )


def _few(panel: list[Group]) -> list[str]:
    few = [one for one in panel if len(one.runs) < SEEDS]
    said = [f"{one.label}, lr {one.config.lr:g} ({len(one.runs)})" for one in few]
    return [f"Without a number for want of {SEEDS} seeds: {'; '.join(said)}."] if few else []


def _unlearnt(groups: list[Group]) -> list[str]:
    """A sentence on runs whose network is not clearly better than an answer given without looking;
    they stay in the mean."""
    said = []
    for one in groups:
        learnt = get(one.config.task).learnt
        seeds = [str(run.config.seed) for run in one.records if not learnt(run.selected.test)]
        if seeds:
            said.append(f"{one.title}, seed {', '.join(seeds)}")
    return [f"{UNLEARNT}{'; '.join(said)}."] if said else []


def _parents(groups: list[Group]) -> list[str]:
    """How good the parent is, on validation data and on a run's own training data."""
    runs = [run for one in groups for run in one.records if run.parent]
    task = groups[0].config.task
    metric = get(task).metric
    name, digits = metric_name(task, metric)
    notes = []
    for _, parent in sorted({run.parent.sha256: run.parent for run in runs}.items()):
        said = [
            f"{number(seen[metric], digits)} on {where}"
            for seen, where in (
                (parent.val, "validation data"),
                (parent.train, "training data, not augmented"),
            )
            if metric in seen
        ]
        notes.append(f"Parent {parent.arch} ({parent.weights}): {name} {', '.join(said)}.")
    return notes


def _family(groups: list[Group], differences: dict[int, stats.Paired]) -> list[str]:
    """Which differences to plain stand when the table's comparisons are taken as one family."""
    compared = {name: one for name, one in unique(groups).items() if id(one) in differences}
    if len(compared) < 2:
        return []
    adjusted = stats.holm([differences[id(one)].p for one in compared.values()])
    clear = [name for name, p in zip(compared, adjusted) if p < 0.05]
    return [
        f"Of these {len(compared)} differences to plain, clear at 5 % after Holm's correction for "
        f"their number: {'; '.join(clear) or 'none'}."
    ]


@recomputable
def tuning(
    records, task: str = "cifar10", scale: str | None = None, source: str | None = None
) -> Block:
    """The learning-rate grid: validation metric of every method at every rate, the best marked.

    A score run of the tuning seed stands in the place of the tuning run it repeats: the two have
    one configuration and so one record.
    """
    groups = group(records, ("tuning", *SHOWN), task=task, scale=scale, source=source)
    tried = {(one.setting, seed) for one in groups if one.purpose == "tuning" for seed in one.runs}
    parts = []
    for setting, seed in sorted(tried):
        here = [one for one in groups if one.setting == setting and seed in one.runs]
        parts.append(_rates(here, seed))
    return sum(parts[1:], parts[0]) if parts else none(where(task, scale, source, "tuning run"))


def _rates(here: list[Group], seed: int) -> Block:
    task = here[0].config.task
    metric = get(task).metric
    name, digits = metric_name(task, metric)
    table, sizes = Table(digits, ids=""), set()
    for variant in dict.fromkeys(one.label for one in here):
        mine = {one.config.lr: one.runs[seed] for one in here if one.label == variant}
        val = {lr: run.selected.val[metric] for lr, run in mine.items()}
        best = max(val, key=lambda lr: direction(task) * val[lr])
        row = {"method": variant}
        for lr in sorted({one.config.lr for one in here}):
            text = number(val.get(lr), digits) + " ★" * (lr == best)
            row[f"lr {lr:g}"] = numeric(text, val.get(lr))
        edge = best in (min(val), max(val))
        row["best (★)"] = "at the edge of the grid" if edge else "inside the grid"
        table.row(row, [run.id for run in mine.values()])
        sizes.add(len(val))
    unequal = ["The grids differ in size: the tuning effort was not equal."]
    return table.block(
        f"Learning rates tried, seed {seed}, {scope(here)}: {name} of the best epoch on validation "
        "images.",
        *(unequal if len(sizes) > 1 else []),
    )


@recomputable
def embedded(records, task: str = "cifar10", metric: str = "accuracy") -> Block:
    """Is the embedded data hard enough?  Networks of several sizes trained alone to convergence,
    and the paired gap of the largest to each."""
    groups = ready(group(records, ("parent",), task=task, source="synthetic"))
    if not groups:
        return none(f"synthetic {task} run of purpose 'parent' with {SEEDS} seeds")
    groups.sort(key=lambda one: -one.records[0].cost.parameters)
    name, digits = metric_name(task, metric)
    table, first = Table(digits), groups[0]
    for one in groups:
        gap, _ = difference(first, one, metric, networks=True)
        table.row(
            {
                "network": one.config.child,
                "parameters": one.records[0].cost.parameters,
                "seeds": len(one.runs),
                f"test {name}": one.summary(metric),
                f"behind {first.config.child} by [95 %]": None if one is first else gap,
            },
            one.ids,
        )
    return table.block(
        f"Networks trained alone on the embedded data, {first.config.train_size:,} examples, "
        f"{first.config.epochs} epochs."
    )


@recomputable
def live(records, runs: list, metric: str = "accuracy") -> Block:
    """Runs that a page has just made, given as their records: no interval and no verdict; a child
    that did not learn is called so."""
    if not records:
        return sentence("No run was made on this page.")
    groups, lost = group(records, {run.purpose for run in records}), []
    task = records[0].config.task
    kind, (name, digits) = get(task), metric_name(task, metric)
    chooses, _ = metric_name(task, kind.metric)
    table = Table(digits, ids="run")
    for run in (run for one in groups for run in one.records):
        config, best, test = run.config, run.selected, run.selected.test[metric]
        variant = label(config.method, config.options, config.sites)
        said, learnt = number(test, digits), kind.learnt(best.test)
        if not learnt:
            lost.append(variant)
        table.row(
            {
                "method": variant,
                "learning rate": _rate(config.lr),
                "seed": config.seed,
                "epoch chosen": numeric(f"{best.epoch} of {len(run.epochs)}", best.epoch),
                f"validation {chooses}": best.val[kind.metric],
                f"test {name}": numeric(said if learnt else f"{said} (not learnt)", test),
                "test, last epoch": run.last.test[metric],
            },
            [run.id],
        )
    notes = ["Live: one run a row, so no interval and no verdict."]
    if lost:
        notes.append(f"{UNLEARNT}{', '.join(lost)}.")
    return table.block(f"Runs of this page, {scope(groups)}.", *notes)


@recomputable
def value(
    records, record: str, path: str, what: str = "", unit: str = "", digits: int = 2
) -> Block:
    """One number of one published record, e.g.
    value("3fa2", "selected.test.accuracy", "plain, seed 0", "%")."""
    hits = [one for one in records if one.id.startswith(record)]
    if len(hits) != 1:
        many = "More than one" if hits else "No"
        raise HKTError(f"{many} published record has an id beginning with {record!r}.")
    found, short = at(hits[0], path), ids([hits[0].id])
    said = cell(f"{what or path}: {cell(found, digits).text}{unit and ' ' + unit}")
    html = f'<p class="hkt-value">{said.html} {short.html}</p>'
    return Block(f"{said.text} (record {short.text})", html, [hits[0].id], [found])
