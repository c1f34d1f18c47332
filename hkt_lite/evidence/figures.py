"""Pictures of runs: scores as dots, curves over epochs, how much is inherited, who answers, and
how large a share should be."""

import math
from collections.abc import Iterable
from statistics import fmean

from ..benchmarks.task import choose
from ..config import HKTError
from ..runs.records import QUANTILES, RunRecord
from . import plots
from .bundles import recomputable
from .groups import OBSERVED, Group, chosen, group, observed, panels, scope
from .literature import Variant
from .outputs import Block, none, picture, sentence
from .stats import Paired, Summary
from .tables import SEEDS, SHOWN, ready, runs_of, to_plain, unique, where
from .words import metric_name

IDLE = 0.05  # median below which HKT is called inactive, as in claim C7
LEAD = 0.1  # of a probability: from where on the parent's part of the mixture is said to answer
LOSSES = ("L_c", "L_c*", "L_p*")
KINDS = ("gate", "forward_gate")  # of which λ is varied


@recomputable
def dots(
    records,
    task: str = "cifar10",
    metric: str = "accuracy",
    difference: bool = False,
    scale: str | None = None,
    source: str | None = None,
    only: dict | None = None,
) -> Block:
    """The score table as a picture: means with t-intervals over seeds, or with `difference` the
    paired differences to plain; `only` of runs whose configuration has these fields."""
    asked = group(records, SHOWN, only, task=task, scale=scale, source=source)
    for panel in panels(asked, parents=True):
        groups, gains, rows = ready(panel), to_plain(panel, metric), []
        for name, one in unique(groups).items():
            s = gains.get(one) if difference else one.summary(metric)
            if s:
                rows.append({"label": name, **_ends(s)})
        if rows:
            axis, zero = f"test {metric_name(task, metric)[0]}", ""
            if difference:
                axis, zero = f"{axis}: better than plain by", "plain"
            return picture(plots.dots(rows, axis, zero, scope(groups)), _ids(groups))
    return none(f"{where(task, scale, source)} with {SEEDS} seeds")


def at_hand(
    records, runs, task: str, scale, source, methods=None, purposes=("score",), only=None
) -> list[Group]:
    """Of the page's `runs`, or of the largest published budget that has enough seeds (of
    `methods`); of published runs those that score: with all controls no line could be told."""
    if runs is not None:
        return group(records, {run.purpose for run in records})
    found = panels(group(records, purposes, only, task=task, scale=scale, source=source))
    return next(filter(None, (ready(panel, methods) for panel in found)), [])


@recomputable
def curves(
    records,
    runs: list | None = None,
    path: str = "val.accuracy",
    task: str = "cifar10",
    scale: str | None = None,
    source: str | None = None,
    methods: list[str] | None = None,
    only: dict | None = None,
) -> Block:
    """A quantity of the epochs, such as 'val.accuracy' or 'train.L_c', for each method: of `runs`
    of this page or of published records; of all methods or of those named, and `only` of runs
    whose configuration has these fields."""
    groups, series = at_hand(records, runs, task, scale, source, methods, only=only), {}
    split, _, metric = path.partition(".")
    of = choose("curve", split, {"val": "validation", "train": "training", "test": "test"})
    for name, one in unique(groups).items():
        if metric in getattr(one.records[0].epochs[0], split):
            series[name] = [
                [getattr(epoch, split)[metric] for epoch in run.epochs] for run in one.records
            ]
    if not series:
        return none(f"{where(task, scale, source, runs_of(methods))} with {path}")
    axis = f"{of} {metric_name(groups[0].config.task, metric)[0]}"
    return picture(plots.curves(series, axis, scope(groups)), _ids(groups))


@recomputable
def inherited(
    records,
    runs: list | None = None,
    name: str = "displacement",
    task: str = "cifar10",
    scale: str | None = None,
    source: str | None = None,
    only: dict | None = None,
) -> Block:
    """How much was inherited in each epoch: quantiles over images, mean over seeds, of the
    displacement |m - c| / |c|, of the 'share' ρ or of the 'gate' g; also 'share at SITE'; `only`
    of runs whose configuration has these fields."""
    groups, series, idle = at_hand(records, runs, task, scale, source, only=only), {}, []
    for label, one in unique(groups).items():
        if one.options.get("lam") != 0 and (epochs := _bands(one, name)):  # 0 mixes nothing
            series[label] = epochs
            share = _median(one, "share")
            if share is not None and share < IDLE:
                idle.append(label)
    if not series:
        return none(f"{where(task, scale, source)} that inherits")
    what, at_site, site = name.partition(" at ")
    axis, said = OBSERVED[what] + at_site + site, f"{scope(groups)}."
    if idle:
        be = "is" if len(idle) == 1 else "are"
        said += " At the end next to nothing is inherited for the median image: "
        said += f"{' and '.join(idle)} {be} inactive."
    return picture(plots.inherited(series, axis), _ids(groups)) + sentence(said)


@recomputable
def replay(
    records, runs: list | None = None, scale: str | None = None, source: str | None = None
) -> Block:
    """The training on CIFAR-10 epoch by epoch, of all that inherit: their three losses on training
    images, the validation accuracy beside the plain child's, and who answers.  One run of each, of
    the first seed, of `runs` of this page or of published records.  HKTError for runs without an
    accuracy."""
    groups, shown, movie = at_hand(records, runs, "cifar10", scale, source), {}, {}
    for name, one in unique(groups).items():
        if all(loss in one.records[0].epochs[0].train for loss in LOSSES):
            shown[name] = one.records[0]
    plain = next((one.records[0] for one in groups if one.label == "plain"), None)
    for name, run in shown.items():
        movie[name] = {loss: [epoch.train[loss] for epoch in run.epochs] for loss in LOSSES}
        movie[name]["accuracy"] = _accuracies(run)
        both = zip(movie[name]["L_c"], movie[name]["L_c*"])
        movie[name]["answers"] = [parent_answers(*losses) for losses in both]
    if not movie:
        return none(f"{where('cifar10', scale, source)} that inherits")
    axis = f"validation {metric_name('cifar10', 'accuracy')[0]}"
    beside = _accuracies(plain) if plain else []
    data = {"runs": movie, "plain": beside, "axis": axis, "lead": LEAD}
    seen = [run.id for run in [*shown.values(), plain] if run]
    said = f"{scope(groups)}; one run each, of the first seed."
    return picture(plots.replay(movie, beside, axis), seen, ("replay", data)) + sentence(said)


def parent_answers(own: float, mixed: float) -> bool:
    """Does the parent's part of the mixture answer?  `own` and `mixed` are mean cross-entropies of
    the child's head on its own feature and on the mixture; exp(-loss) is the probability, a
    geometric mean over images, of the right class, and with the mixture larger by over LEAD."""
    return math.exp(-mixed) - math.exp(-own) > LEAD


def _accuracies(run: RunRecord) -> list[float]:
    if "accuracy" not in run.epochs[0].val:
        has = ", ".join(sorted(run.epochs[0].val))
        raise HKTError(
            f"show.replay tells what classes are answered, and run {run.id} of {run.config.task!r} "
            f"has no accuracy on validation data, but {has}; show.curves shows these."
        )
    return [epoch.val["accuracy"] for epoch in run.epochs]


def _bands(one: Group, name: str) -> list[dict[str, float]]:
    """For each epoch the quantiles of what was inherited, mean over runs; [] where nothing was."""
    found = []
    for epoch in range(len(one.records[0].epochs)):
        seen = [observed(run, epoch, name) for run in one.records]
        if None in seen:
            return []
        found.append({q: fmean(each[q] for each in seen) for q in QUANTILES})
    return found


def _ids(groups: list[Group]) -> list[str]:
    return [name for one in groups for name in one.ids]


def _ends(s: Summary | Paired) -> dict[str, float]:
    return {"mean": s.mean, "low": s.low, "high": s.high}


def _median(one: Group, name: str) -> float | None:
    """Of the last epoch over images, mean over seeds; None where the runs do not say it."""
    epochs = _bands(one, name)
    return epochs[-1]["q50"] if epochs else None


# -- how large a share -----------------------------------------------------------------------------


@recomputable
def shares(
    records,
    task: str = "cifar10",
    metric: str = "accuracy",
    scale: str | None = None,
    source: str | None = None,
) -> Block:
    """The difference to the plain child over λ, of the budget with most λ; in a browser one λ at a
    time.  A sentence in its place where no λ has enough seeds."""
    budgets = panels(group(records, SHOWN, task=task, scale=scale, source=source))
    steps = [_steps(panel, metric) for panel in budgets]
    found = max(steps, key=lambda some: len(_lams(some)), default={})
    if not found:
        return none(f"{where(task, scale, source, 'λ of HKT')} with {SEEDS} seeds")
    groups, name = list(found), metric_name(task, metric)[0]
    rows = [
        {"label": f"HKT {one.options['kind']}, λ = {one.options['lam']:g}", **_ends(d)}
        for one, d in found.items()
    ]
    made = plots.dots(rows, f"test {name}: better than plain by", "plain", scope(groups))
    said = f"{name}, better than plain by"
    data = {"axis": said, "zero": "plain", "kinds": _by_kind(found, metric)}
    block = picture(made, _ids(groups), live=("lambda", data))
    lams = ", ".join(f"{lam:g}" for lam in _lams(found))
    return block + sentence(f"λ with at least {SEEDS} seeds beside the plain child: {lams}.")


def _steps(panel: list[Group], metric: str) -> dict[Group, Paired]:
    """The difference to the plain child of every λ that the panel has under the usual three losses
    and recipe, gate by gate."""
    gains = to_plain(panel, metric)
    lams = _lams(one for one in panel if one.config.method == "hkt")
    options = [{"kind": kind, "lam": lam} for kind in KINDS for lam in lams]
    found = [chosen(panel, Variant(method="hkt", options=one), SHOWN) for one in options]
    return {one: gains[one] for one in found if one in gains}


def _lams(groups: Iterable[Group]) -> list[float]:
    return sorted({one.options["lam"] for one in groups})


def _by_kind(found: dict[Group, Paired], metric: str) -> dict[str, list[dict]]:
    kinds: dict[str, list[dict]] = {}
    for one, d in found.items():
        row = {
            "lam": one.options["lam"],
            **_ends(d),
            "seeds": d.n,
            "score": one.summary(metric).mean,
            "share": _median(one, "share"),
            "displacement": _median(one, "displacement"),
        }
        kinds.setdefault(f"HKT {one.options['kind']}", []).append(row)
    return kinds
