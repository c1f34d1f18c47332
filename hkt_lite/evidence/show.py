"""The only way a result number reaches a page: tables and figures that carry their record ids and can be recomputed.

show.scores("cifar10", scale="cpu");  show.claims();  show.live(records)       # in a notebook
show.render("scores", {"task": "cifar10"})                                     # what `hkt check` compares a page with
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from ..benchmarks import get
from ..config import HKTError
from . import stats
from .beside import claims, criteria, elsewhere, evals, literature
from .groups import Cohort, at, chosen, cohorts, common, panels, scope
from .outputs import (
    MIME,
    Block,
    block,
    drawn,
    figure,
    ids,
    interval,
    named,
    none,
    number,
    numeric,
    render,
    sentence,
    shown,
    spread,
    words,
)

__all__ = [
    "MIME",
    "claims",
    "criteria",
    "curves",
    "dots",
    "elsewhere",
    "embedded",
    "evals",
    "figure",
    "inherited",
    "literature",
    "live",
    "render",
    "scores",
    "tuning",
    "value",
]
SEEDS = 3  # fewest for a place in a score table
SHOWN = ("score", "control")  # purposes that enter it; controls are marked
IDLE = 0.05  # median share below which HKT is called inactive, as in claim C7


def _where(task: str, scale: str | None, source: str | None, kind: str = "run") -> str:
    return " ".join(
        filter(None, [source and f"{source}-data", task, kind, scale and f"at {scale} scale"])
    )


def _title(group: Cohort) -> str:
    return group.label + (" (control)" if group.purpose == "control" else "")


def _ready(panel: list[Cohort], methods: Sequence[str] | None = None) -> list[Cohort]:
    """Cohorts with enough seeds for a place in a table."""
    return [
        group
        for group in panel
        if len(group.runs) >= SEEDS
        and (methods is None or group.label in methods or group.method in methods)
    ]


def _differences(
    panel: list[Cohort], metric: str, selection: str = "selected"
) -> dict[int, stats.Paired]:
    """id(cohort) -> paired difference to the panel's plain child, positive where the method is better."""
    base, found = chosen(panel, "plain", {}), {}
    sign = 1 if get(panel[0].named("task")).higher_is_better else -1
    for group in panel:
        if base and group is not base:
            a, b, _ = common(group, base, metric, selection)
            if len(a) >= SEEDS:
                found[id(group)] = stats.paired(
                    [sign * value for value in a], [sign * value for value in b]
                )
    return found


@shown
def scores(
    records,
    task: str = "cifar10",
    metric: str = "accuracy",
    selection: str = "selected",
    methods: list[str] | None = None,
    scale: str | None = None,
    source: str | None = None,
) -> Block:
    """Test scores of every method: mean ± sd over seeds (validation-selected and last epoch), paired difference to the plain child.

    `selection` ('selected' or 'last') decides which epoch the difference is of.  Fewer than three seeds get no number.
    """
    if selection not in ("selected", "last"):
        raise HKTError(f"selection must be 'selected' or 'last', got {selection!r}.")
    (name, digits), parts = named(metric), []
    for panel in panels(cohorts(records, SHOWN, task=task, scale=scale, source=source)):
        groups, differences, rows, values = (
            _ready(panel, methods),
            _differences(panel, metric, selection),
            [],
            [],
        )
        for group in groups:
            best, last = (
                stats.summary(list(group.scores(metric, which).values()))
                for which in ("selected", "last")
            )
            d = differences.get(id(group))
            rows.append(
                [
                    words(_title(group)),
                    numeric(f"{group.lr:g}"),
                    numeric(str(best.n)),
                    spread(best.mean, best.sd, digits),
                    spread(last.mean, last.sd, digits),
                    interval(d.mean, d.low, d.high, digits) if d else numeric("–"),
                    numeric(number(d.detectable, digits) if d else "–"),
                    ids(group.ids),
                ]
            )
            values.append(
                {
                    "method": _title(group),
                    "lr": group.lr,
                    "selected": best._asdict(),
                    "last": last._asdict(),
                    "difference": d and d._asdict(),
                }
            )
        if groups:
            few = [
                f"{group.label}, lr {group.lr:g} ({len(group.runs)})"
                for group in panel
                if len(group.runs) < SEEDS
            ]
            parts.append(
                block(
                    [
                        "method",
                        "learning rate",
                        "seeds",
                        f"test {name}, selected on validation",
                        "last epoch",
                        "better than plain by [95 %]",
                        "detectable",
                        "records",
                    ],
                    rows,
                    f"{task}, {scope(groups)}. Mean ± sd over seeds; paired difference to the plain child "
                    f"({'epoch selected on validation' if selection == 'selected' else 'last epoch'}) with its 95 % t-interval; the smallest true "
                    "difference that such a design finds four times in five.",
                    [
                        *_parents(groups),
                        *_unlearnt(groups),
                        *(
                            [f"Without a number for want of {SEEDS} seeds: {'; '.join(few)}."]
                            if few
                            else []
                        ),
                    ],
                    [name for group in groups for name in group.ids],
                    values,
                )
            )
    return (
        sum(parts[1:], parts[0])
        if parts
        else none(f"{_where(task, scale, source)} with {SEEDS} seeds")
    )


def _unlearnt(groups: list[Cohort]) -> list[str]:
    """A sentence on runs whose network is not clearly better than an answer given without looking; they stay in the mean."""
    lost = {
        _title(group): [
            str(seed)
            for seed, run in sorted(group.runs.items())
            if not get(run.config.task).learnt(run.selected.test)
        ]
        for group in groups
    }
    said = "; ".join(f"{name}, seed {', '.join(seeds)}" for name, seeds in lost.items() if seeds)
    return [f"Not learnt, no better than an answer without looking: {said}."] if said else []


def _parents(groups: list[Cohort]) -> list[str]:
    """What the records say of the parent: its accuracy on the validation images and on a run's own training images."""
    parents = {
        run.parent.sha256: run.parent
        for group in groups
        for run in group.runs.values()
        if run.parent
    }
    metric = get(groups[0].named("task")).metric
    if metric != "accuracy":
        (name, digits) = named(metric)
        return [
            f"Parent {p.arch} ({p.weights}): {name} {number(p.val[metric], digits)} on validation data"
            + (
                f", {number(p.train[metric], digits)} on training data, not augmented"
                if metric in p.train
                else ""
            )
            + "."
            for _, p in sorted(parents.items())
        ]
    return [
        f"Parent {p.arch} ({p.weights}): {number(p.val['accuracy'])} % of the validation images"
        + (
            f", {number(p.train['accuracy'])} % of a run's training images, not augmented"
            if "accuracy" in p.train
            else ""
        )
        + "."
        for _, p in sorted(parents.items())
        if "accuracy" in p.val
    ]


@shown
def dots(
    records,
    task: str = "cifar10",
    metric: str = "accuracy",
    difference: bool = False,
    scale: str | None = None,
    source: str | None = None,
) -> Block:
    """The score table as a picture: means with t-intervals over seeds, or with `difference` the paired differences to plain."""
    from . import plots as evidence

    for panel in panels(cohorts(records, SHOWN, task=task, scale=scale, source=source)):
        groups, differences, rows = _ready(panel), _differences(panel, metric), []
        for name, group in _unique(groups).items():
            s = (
                differences.get(id(group))
                if difference
                else stats.summary(list(group.scores(metric).values()))
            )
            rows += [{"label": name, "mean": s.mean, "low": s.low, "high": s.high}] if s else []
        if rows:
            axis = f"test {named(metric)[0]}" + (": better than plain by" if difference else "")
            return drawn(
                evidence.dots(rows, axis, zero="plain" if difference else "", title=scope(groups)),
                [name for g in groups for name in g.ids],
            )
    return none(f"{_where(task, scale, source)} with {SEEDS} seeds")


def _unique(groups: list[Cohort]) -> dict[str, Cohort]:
    """Label -> cohort; the learning rate is named where one label has several."""
    labels = [group.label for group in groups]
    return {
        _title(group) + (f", lr {group.lr:g}" if labels.count(group.label) > 1 else ""): group
        for group in groups
    }


@shown
def tuning(
    records, task: str = "cifar10", scale: str | None = None, source: str | None = None
) -> Block:
    """The learning-rate grid: validation metric of every method at every rate, the best marked.

    A score run of the tuning seed stands in the place of the tuning run it repeats: the two have one configuration and so one record.
    """
    metric, sign = get(task).metric, 1 if get(task).higher_is_better else -1
    (name, digits), parts = named(metric), []
    groups = cohorts(records, ("tuning", *SHOWN), task=task, scale=scale, source=source)
    tried = sorted(
        {
            (group.setting, seed)
            for group in groups
            if group.purpose == "tuning"
            for seed in group.runs
        },
        key=str,
    )
    for setting, seed in tried:
        here = [group for group in groups if group.setting == setting and seed in group.runs]
        rates, rows, values = sorted({group.lr for group in here}), [], []
        for label in dict.fromkeys(group.label for group in here):
            val = {
                group.lr: group.runs[seed].selected.val[metric]
                for group in here
                if group.label == label
            }
            best = max(val, key=lambda lr: sign * val[lr])
            cells = [
                numeric(
                    number(val[lr], digits) + (" ★" if lr == best else "") if lr in val else "–"
                )
                for lr in rates
            ]
            rows.append(
                [
                    words(label),
                    *cells,
                    words(
                        "at the edge of the grid"
                        if best in (min(val), max(val))
                        else "inside the grid"
                    ),
                ]
            )
            values.append(
                {
                    "method": label,
                    "seed": seed,
                    "best": best,
                    "val": {f"{lr:g}": val[lr] for lr in sorted(val)},
                }
            )
        equal = len({len(value["val"]) for value in values}) == 1
        parts.append(
            block(
                ["method", *(f"lr {lr:g}" for lr in rates), "best (★)"],
                rows,
                f"Learning rates tried, seed {seed}, {scope(here)}: {name} of the best epoch on validation images.",
                [] if equal else ["The grids differ in size: the tuning effort was not equal."],
                [group.runs[seed].id for group in here],
                values,
            )
        )
    return sum(parts[1:], parts[0]) if parts else none(_where(task, scale, source, "tuning run"))


@shown
def embedded(records, task: str = "cifar10", metric: str = "accuracy") -> Block:
    """Is the embedded data hard enough?  Networks of several sizes trained alone to convergence, and the paired gap of the first to each."""
    sign, (name, digits), rows, values = (
        1 if get(task).higher_is_better else -1,
        named(metric),
        [],
        [],
    )
    groups = [
        group
        for group in cohorts(records, ("parent",), task=task, source="synthetic")
        if len(group.runs) >= SEEDS
    ]
    groups.sort(key=lambda group: -next(iter(group.runs.values())).cost.parameters)
    for group in groups:
        found, first = group.scores(metric), groups[0].scores(metric)
        s, run = stats.summary(list(found.values())), next(iter(group.runs.values()))
        seeds = [seed for seed in found if seed in first]
        d = (
            stats.paired(
                [sign * first[seed] for seed in seeds], [sign * found[seed] for seed in seeds]
            )
            if group is not groups[0]
            else None
        )
        rows.append(
            [
                words(group.named("child")),
                numeric(f"{run.cost.parameters:,}"),
                numeric(str(s.n)),
                spread(s.mean, s.sd, digits),
                interval(d.mean, d.low, d.high, digits) if d else numeric("–"),
                ids(group.ids),
            ]
        )
        values.append(
            {"child": group.named("child"), "test": s._asdict(), "gap": d and d._asdict()}
        )
    if not rows:
        return none(f"synthetic {task} run of purpose 'parent' with {SEEDS} seeds")
    return block(
        [
            "network",
            "parameters",
            "seeds",
            f"test {name}",
            f"behind {groups[0].named('child')} by [95 %]",
            "records",
        ],
        rows,
        f"Networks trained alone on the embedded data, {groups[0].named('train_size'):,} examples, {groups[0].named('epochs')} epochs.",
        [],
        [name for group in groups for name in group.ids],
        values,
    )


@shown
def value(
    records, record: str, path: str, what: str = "", unit: str = "", digits: int = 2
) -> Block:
    """One number of one published record, e.g. value("3fa2", "selected.test.accuracy", "plain, seed 0", "%")."""
    hits = [r for r in records if r.id.startswith(record)]
    if len(hits) != 1:
        raise HKTError(
            f"{'No' if not hits else 'More than one'} published record has an id beginning with {record!r}."
        )
    found, short = at(hits[0], path), ids([hits[0].id])
    text = (
        number(found, digits)
        if isinstance(found, float)
        else f"{found:,}"
        if isinstance(found, int)
        else str(found)
    )
    said = words(f"{what or path}: {text}{unit and ' ' + unit}")
    return Block(
        f"{said.text} (record {short.text})",
        f'<p class="hkt-value">{said.html} {short.html}</p>',
        [hits[0].id],
        [found],
    )


# -- runs of this build, curves ------------------------------------------------------------------------------------------------


@shown
def live(records, runs: list, metric: str = "accuracy") -> Block:
    """Runs that a page has just made, given as their records: no interval and no verdict; a child that did not learn is called so."""
    if not records:
        return sentence("No run was made on this page.")
    (name, digits), rows, values, lost, groups = (
        named(metric),
        [],
        [],
        [],
        cohorts(records, {run.purpose for run in records}),
    )
    chooses = get(records[0].config.task).metric
    for group in groups:
        for seed, run in sorted(group.runs.items()):
            test, last, val = (
                run.selected.test[metric],
                run.last.test[metric],
                run.selected.val[chooses],
            )
            learnt = get(run.config.task).learnt(run.selected.test)
            lost += [] if learnt else [group.label]
            rows.append(
                [
                    words(group.label),
                    numeric(f"{group.lr:g}"),
                    numeric(str(seed)),
                    numeric(f"{run.selected.epoch} of {len(run.epochs)}"),
                    numeric(number(val, digits)),
                    numeric(number(test, digits) + ("" if learnt else " (not learnt)")),
                    numeric(number(last, digits)),
                    ids([run.id]),
                ]
            )
            values.append(
                {
                    "method": group.label,
                    "lr": group.lr,
                    "seed": seed,
                    "val": val,
                    "test": test,
                    "last": last,
                }
            )
    told = ["Live: one run a row, so no interval and no verdict."] + (
        [f"Not learnt, no better than an answer without looking: {', '.join(lost)}."]
        if lost
        else []
    )
    return block(
        [
            "method",
            "learning rate",
            "seed",
            "epoch chosen",
            f"validation {named(chooses)[0]}",
            f"test {name}",
            "test, last epoch",
            "run",
        ],
        rows,
        f"Runs of this page, {scope(groups)}.",
        told,
        [run.id for run in records],
        values,
    )


def _series(records, runs, task: str, scale, source) -> tuple[dict[str, list], list[str], str]:
    """label -> records in order of seeds, of the page's runs or of the largest published budget that has enough seeds; ids; scope."""
    if runs is not None:
        groups = cohorts(records, {run.purpose for run in records})
    else:
        groups = next(
            filter(
                None,
                map(_ready, panels(cohorts(records, SHOWN, task=task, scale=scale, source=source))),
            ),
            [],
        )
    found = {
        name: [run for _, run in sorted(group.runs.items())]
        for name, group in _unique(groups).items()
    }
    return found, [name for group in groups for name in group.ids], scope(groups) if groups else ""


@shown
def curves(
    records,
    runs: list | None = None,
    path: str = "val.accuracy",
    task: str = "cifar10",
    scale: str | None = None,
    source: str | None = None,
) -> Block:
    """A quantity of the epochs, such as 'val.accuracy' or 'train.L_c', for each method: of `runs` of this page or of published records."""
    from . import plots as evidence

    found, used, said = _series(records, runs, task, scale, source)
    split, _, metric = path.partition(".")
    series = {
        name: [[at(run, f"epochs.{i}.{path}") for i in range(len(run.epochs))] for run in group]
        for name, group in found.items()
        if metric in getattr(group[0].epochs[0], split, {})
    }
    if not series:
        return none(f"{_where(task, scale, source)} with {path}")
    axis = f"{ {'val': 'validation', 'train': 'training'}.get(split, split) } {named(metric)[0]}"
    return drawn(evidence.curves(series, axis, said), used)


@shown
def inherited(
    records,
    runs: list | None = None,
    name: str = "inherited",
    task: str = "cifar10",
    scale: str | None = None,
    source: str | None = None,
) -> Block:
    """How much was inherited in each epoch: quantiles over images of |m - c| / |c| ('inherited') or of g ('gate'), mean over seeds."""
    from . import plots as evidence

    found, used, said = _series(records, runs, task, scale, source)
    series = {
        label: [
            {
                q: fmean(run.epochs[i].inherited[name][q] for run in group)
                for q in evidence.QUANTILES
            }
            for i in range(len(group[0].epochs))
        ]
        for label, group in found.items()
        if name in group[0].epochs[0].inherited
    }
    if not series:
        return none(f"{_where(task, scale, source)} that inherits")
    idle = [
        label
        for label, epochs in series.items()
        if name == "inherited" and epochs[-1]["q50"] < IDLE
    ]
    return drawn(
        evidence.inherited(
            series, {"inherited": "|m − c| / |c|", "gate": "gate g"}.get(name, name)
        ),
        used,
    ) + sentence(
        f"{said}."
        + (
            f" At the end next to nothing is inherited for the median image: {', '.join(idle)} is inactive."
            if idle
            else ""
        )
    )
