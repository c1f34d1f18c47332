"""What records say beside scores: how closely a child answers as its parent, and what it cost."""

from statistics import median

from ..runs.records import RunRecord
from . import stats
from .bundles import recomputable
from .figures import at_hand
from .groups import Group, group, panels, scope
from .outputs import Block, Cell, Table, cell, none, number, numeric
from .tables import SHOWN, stacked, where

PURPOSES = (*SHOWN, "tuning")  # what an answer takes: the scores, and the search before them


@recomputable
def fidelity(
    records,
    runs: list | None = None,
    task: str = "cifar10",
    scale: str | None = None,
    source: str | None = None,
) -> Block:
    """How closely the chosen child answers as its parent, on training and on test images: percent
    of equal answers, and KL divergence in nats; of `runs` of this page or of published records."""
    groups = at_hand(records, runs, task, scale, source, purposes=SHOWN)
    groups = [one for one in groups if all(run.fidelity for run in one.records)]
    if not groups:
        return none(f"{where(task, scale, source)} with its fidelity")
    table = Table()
    for one in groups:
        row = {"method": one.title, "seeds": len(one.runs)}
        for split in ("train", "test"):
            row[f"agreement on {split} images (%)"] = _followed(one, split, "agreement", 1)
            row[f"KL on {split} images (nats)"] = _followed(one, split, "kl", 3)
        table.row(row, one.ids)
    return table.block(
        f"Fidelity to the parent, {scope(groups)}: the epoch chosen on validation images, "
        "images not augmented."
    )


def _followed(one: Group, split: str, what: str, digits: int) -> Cell:
    values = [run.fidelity[split][what] for run in one.records]
    return cell(stats.summary(values) if len(values) > 1 else values[0], digits)


@recomputable
def costs(
    records,
    task: str = "cifar10",
    scale: str | None = None,
    source: str | None = None,
    only: dict | None = None,
) -> Block:
    """What the published runs of each method cost: seconds, passes of child and parent, sizes;
    `only` of runs whose configuration has these fields.

    Seconds are the machine's of that day; passes and sizes are the design's.
    """
    asked = group(records, PURPOSES, only, task=task, scale=scale, source=source)
    found = panels(asked, parents=True)
    return stacked([_bill(panel) for panel in found], where(task, scale, source))


def _bill(panel: list[Group]) -> Block:
    table = Table(ids="")
    for purpose in PURPOSES:
        here = [one for one in panel if one.purpose == purpose]
        for name in dict.fromkeys(one.label for one in here):
            runs = [run for one in here if one.label == name for run in one.records]
            table.row({"method": name, "for": purpose, **_costs(runs)}, [run.id for run in runs])
    every = [run for one in panel for run in one.records]
    # runs of one seed that name the same time share one filling of the cache
    caches = {(run.config.seed, run.cost.parent_seconds) for run in every if _cached(run)}
    seconds = sum(run.cost.seconds for run in every) + sum(seconds for _, seconds in caches)
    shared = f", {len(caches)} fillings of a cache among them" if caches else ""
    return table.block(
        f"What a run cost, {scope(panel)}: median [least, most] over runs. An example counts once "
        "each time it passes through the network in training.",
        f"All {len(every)} runs together: {number(seconds / 3600, 1)} hours{shared}.",
    )


def _costs(runs: list[RunRecord]) -> dict:
    cost = runs[0].cost
    return {
        "runs": len(runs),
        "seconds": _spread([run.cost.seconds for run in runs]),
        "seconds, parent's cache": _spread([run.cost.parent_seconds for run in runs]),
        "examples through the child": runs[0].config.train_size * runs[0].config.epochs,
        "examples through the parent": parent_passes(runs[0]),
        "parameters": cost.parameters,
        "thrown away": cost.extra_parameters,
        "operations an example": cost.flops,
    }


def _spread(values: list[float]) -> Cell:
    low, high = min(values), max(values)
    text = number(median(values), 0)
    if high > low:
        text += f" [{number(low, 0)}, {number(high, 0)}]"
    return numeric(text, {"median": median(values), "low": low, "high": high})


def parent_passes(run: RunRecord) -> int:
    """How many examples went through the parent in training: each view once, or once an epoch."""
    passes = run.config.views if _cached(run) else run.config.epochs
    return run.config.train_size * passes if run.parent else 0


def _cached(run: RunRecord) -> bool:
    return bool(run.parent) and run.config.parent_source == "cached"
