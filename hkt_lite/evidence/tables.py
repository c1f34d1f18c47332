"""Tables of runs: scores, learning rates tried, networks trained alone, live runs."""

from collections.abc import Iterable, Iterator, Sequence

from ..benchmarks import get, method_class
from ..benchmarks.scales import scales
from ..benchmarks.task import choose
from ..config import HKTError
from ..runs.store import published
from . import stats
from .bundles import recomputable
from .groups import Group, chosen, difference, group, panels, scope, unlike
from .literature import Variant
from .outputs import Block, Table, none, number, numeric, sentence
from .words import corpora, label, metric_name, newborn, sign

SOURCES = ("synthetic", "real")
SEEDS = 3  # fewest for a place in a score table
SHOWN = ("score", "control")  # purposes that enter it; controls are marked


def where(task: str, scale: str | None, source: str | None, kind: str = "run") -> str:
    """What is looked for, in words.  Raises HKTError for a task, scale or source there is not."""
    get(task)
    for what, name, known in (("scale", scale, scales(task)), ("source", source, SOURCES)):
        if name:
            choose(what, name, list(known))
    parts = [source and f"{source}-data", task, kind, scale and f"at {scale} scale"]
    return " ".join(filter(None, parts))


def ready(panel: list[Group], methods: Sequence[str] | None = None) -> list[Group]:
    """Groups with enough seeds for a place in a table, of all methods or of those named."""
    return [one for one in panel if len(one.runs) >= SEEDS and named(one, methods)]


def named(one: Group, methods: Sequence[str] | None) -> bool:
    """Whether it is of one of the methods; None: of any."""
    return methods is None or one.config.method in methods


def runs_of(methods: Sequence[str] | None) -> str:
    """What is looked for, where there is none.  HKTError for a method that there is not."""
    for name in methods or ():
        method_class(name)
    return f"run of {', '.join(methods)}" if methods else "run"


def stacked(blocks: list[Block], what: str) -> Block:
    """Blocks one below the other, or what stands in the place of none."""
    return sum(blocks[1:], blocks[0]) if blocks else none(what)


def unique(groups: list[Group]) -> dict[str, Group]:
    """Title -> group; of several with one label, with the learning rate, the parent, a run's id."""
    labels = [one.label for one in groups]
    found: dict[str, Group] = {}
    for one in groups:
        name = one.title + (f", lr {one.config.lr:g}" if labels.count(one.label) > 1 else "")
        for more in filter(None, (one.config.parent_weights, one.ids[0])):
            name += f", {more}" if name in found else ""
        found[name] = one
    return found


def to_plain(
    panel: list[Group], metric: str, selection: str = "selected"
) -> dict[Group, stats.Paired]:
    """Paired differences to the panel's plain child, of the groups with enough seeds for one."""
    base = chosen(panel, Variant(method="plain"))
    others = [one for one in panel if base and one is not base]
    found = {one: difference(one, base, metric, selection)[0] for one in others}
    return {one: d for one, d in found.items() if d and d.n >= SEEDS}


@recomputable
def scores(
    records,
    task: str = "cifar10",
    metric: str = "accuracy",
    selection: str = "selected",
    scale: str | None = None,
    source: str | None = None,
    methods: list[str] | None = None,
    only: dict | None = None,
) -> Block:
    """Test scores of every method over at least three seeds, and the difference to the plain child
    in the epoch that `selection` ('selected' or 'last') names; `only` of runs whose configuration
    has these fields, such as {"train_size": 24}."""
    if selection not in ("selected", "last"):
        raise HKTError(f"selection must be 'selected' or 'last', got {selection!r}.")
    asked = group(records, SHOWN, only, task=task, scale=scale, source=source)
    found = panels(asked, parents=True)
    parts = [_scores(one, metric, selection, methods) for one in found if ready(one, methods)]
    return stacked(parts, f"{where(task, scale, source, runs_of(methods))} with {SEEDS} seeds")


def _scores(panel: list[Group], metric: str, selection: str, methods) -> Block:
    task, groups = panel[0].config.task, ready(panel, methods)
    name, digits = metric_name(task, metric)
    table, gains = Table(digits), to_plain(panel, metric, selection)
    base = chosen(panel, Variant(method="plain"))
    for title, one in unique(groups).items():
        best, d = one.summary(metric), gains.get(one)
        table.row(
            {
                "method": title,
                "learning rate": numeric(f"{one.config.lr:g}", one.config.lr),
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
        *unlike((one, base) for one in groups if one in gains),
        *_notes([one for one in panel if named(one, methods)], groups, gains),
    )


def _parents(groups: list[Group]) -> Iterator[str]:
    """How good a trained parent is, on validation data and on a run's own training data, and
    whether that is more than the plain child is."""
    runs = [run for one in groups for run in one.records if run.parent and not newborn(run.config)]
    task = groups[0].config.task
    metric = get(task).metric
    name, digits = metric_name(task, metric)
    plain = chosen(groups, Variant(method="plain"))
    alone = plain and stats.summary([run.selected.val[metric] for run in plain.records])
    names = {}
    for run in runs:
        made = run.config.parent_weights.partition("run:")[2]
        names[run.parent.sha256] = f"of run {made}" if made else run.parent.weights, run.parent
    for whence, parent in sorted(names.values(), key=lambda one: one[0]):
        said = f"{number(parent.val[metric], digits)} on validation data"
        if metric in parent.train:
            said += f", {number(parent.train[metric], digits)} on training data, not augmented"
        yield f"Parent {parent.arch} ({whence}): {name} {said}."
        if alone and sign(task) * (parent.val[metric] - alone.mean) <= alone.mean - alone.low:
            ends = ", ".join(number(end, digits) for end in (alone.low, alone.high))
            yield (
                f"No clear lead over the plain child, {number(alone.mean, digits)} [{ends}] on "
                "validation data: such rows hardly ask what a better network's knowledge is worth."
            )


def _notes(
    panel: list[Group], groups: list[Group], gains: dict[Group, stats.Paired]
) -> Iterator[str]:
    """Of runs that learnt nothing, which stay in the mean; of variants with too few seeds; and
    which differences to plain stand when all of their setting, shown or not, are one family."""
    yield from unlearnt(groups)
    few = [one for one in panel if len(one.runs) < SEEDS]
    if few:
        said = [f"{one.label}, lr {one.config.lr:g} ({len(one.runs)})" for one in few]
        yield f"Without a number for want of {SEEDS} seeds: {'; '.join(said)}."
    compared = {name: gains[one] for name, one in unique(groups).items() if one in gains}
    if compared and len(gains) > 1:
        adjusted = dict(zip(gains, stats.holm([d.p for d in gains.values()])))
        clear = [name for name, one in unique(groups).items() if adjusted.get(one, 1) < 0.05]
        which = f"these {len(gains)} differences to plain"
        if len(compared) < len(gains):
            which = f"the {len(gains)} differences to plain that there are ({len(compared)} here)"
        yield (
            f"Of {which}, clear at 5 % after Holm's correction for their number: "
            f"{'; '.join(clear) or 'none'}."
        )


def unlearnt(groups: Iterable[Group]) -> Iterator[str]:
    """The note on runs that learnt nothing, if there are any."""
    lost = []
    for one in groups:
        learnt = get(one.config.task).learnt
        seeds = [str(run.config.seed) for run in one.records if not learnt(run.selected.test)]
        if seeds:
            lost.append(f"{one.title}, seed {', '.join(seeds)}")
    if lost:
        yield f"Not learnt, not clearly better than an answer without looking: {'; '.join(lost)}."


@recomputable
def tuning(
    records,
    task: str = "cifar10",
    scale: str | None = None,
    source: str | None = None,
    only: dict | None = None,
) -> Block:
    """The learning-rate grid: validation metric of every method at every rate, the best marked;
    `only` of runs whose configuration has these fields.

    A score run of the tuning seed has one configuration, and so one record, with its tuning run.
    """
    groups = group(records, ("tuning", *SHOWN), only, task=task, scale=scale, source=source)
    tried = {(one.setting, seed) for one in groups if one.purpose == "tuning" for seed in one.runs}
    parts = []
    for setting, seed in sorted(tried):
        here = [one for one in groups if one.setting == setting and seed in one.runs]
        parts.append(_rates(here, seed))
    return stacked(parts, where(task, scale, source, "tuning run"))


def _rates(here: list[Group], seed: int) -> Block:
    task = here[0].config.task
    metric = get(task).metric
    name, digits = metric_name(task, metric)
    table, sizes = Table(digits, ids=""), set()
    for variant in dict.fromkeys(one.label for one in here):
        mine = {one.config.lr: one.runs[seed] for one in here if one.label == variant}
        val = {lr: run.selected.val[metric] for lr, run in mine.items()}
        best = max(val, key=lambda lr: sign(task) * val[lr])
        row = {"method": variant}
        if here[0].config.stages:
            row["trained on"] = corpora(here[0].config)
        for lr in sorted({one.config.lr for one in here}):
            text = number(val.get(lr), digits) + " ★" * (lr == best)
            row[f"lr {lr:g}"] = numeric(text, val.get(lr))
        where = "at the edge of" if best in (min(val), max(val)) else "inside"
        row["best (★)"] = f"{where} the grid" if len(val) > 1 else "the only one tried"
        table.row(row, [run.id for run in mine.values()])
        sizes.add(len(val))
    notes = ["The grids differ in size: the tuning effort was not equal."] * (len(sizes) > 1)
    return table.block(
        f"Learning rates tried, seed {seed}, {scope(here)}: {name} of the best epoch on validation "
        "images.",
        *notes,
    )


@recomputable
def embedded(records, task: str = "cifar10", metric: str = "accuracy") -> Block:
    """Is the embedded data hard enough?  Networks alone, and the largest's paired gap to each."""
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
    that did not learn is called so.  HKTError for a metric that the runs lack."""
    if not records:
        return sentence("No run was made on this page.")
    groups = group(records, {run.purpose for run in records})
    task = records[0].config.task
    kind, (name, digits) = get(task), metric_name(task, metric)
    table = Table(digits, ids="run")
    for one in groups:
        tests, lasts = one.scores(metric), one.scores(metric, "last")
        for run in one.records:
            config, best, test = run.config, run.selected, tests[run.config.seed]
            said = number(test, digits) + " (not learnt)" * (not kind.learnt(best.test))
            table.row(
                {
                    "method": label(config),
                    "learning rate": numeric(f"{config.lr:g}", config.lr),
                    "seed": config.seed,
                    "epoch chosen": numeric(f"{best.epoch} of {len(run.epochs)}", best.epoch),
                    f"validation {metric_name(task, kind.metric)[0]}": best.val[kind.metric],
                    f"test {name}": numeric(said, test),
                    "test, last epoch": lasts[config.seed],
                },
                [run.id],
            )
    notes = ["Live: one run a row, so no interval and no verdict.", *_made_before(records, metric)]
    return table.block(f"Runs of this page, {scope(groups)}.", *notes, *unlearnt(groups))


def _made_before(records, metric: str) -> Iterator[str]:
    """What published runs of the same configurations ended with, where it is something else."""
    name, digits = metric_name(records[0].config.task, metric)
    known = {one.id: one.selected.test.get(metric) for one in published() if one.kind == "run"}
    said = []
    for run in records:
        there = number(known.get(run.id), digits)
        if there not in ("–", number(run.selected.test[metric], digits)):
            said.append(f"{label(run.config)} {there}")
    if said:
        yield (
            "Published records, to which the ids lead, have these configurations from another "
            f"machine, where the last digits and so in time the scores differ. Test {name} "
            f"there: {', '.join(said)}."
        )
