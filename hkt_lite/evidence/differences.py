"""Paired differences: of one variant to another, and all those to plain that leave 0 out.

show.contrasts("cifar10", [[{"method": "hkt"}, {"method": "plain", "options": {"weight": 3}}]])
show.differences({"cifar10": ["accuracy"], "lits": ["dice", "dice_lesion"]})
"""

from base64 import b64decode
from collections.abc import Iterator

import numpy as np

from . import stats
from .bundles import recomputable
from .groups import Group, chosen, common, difference, group, panels, scope, unlike
from .literature import Variant
from .outputs import Block, Table, none, number, numeric, sentence, signed, with_interval
from .tables import SEEDS, SHOWN, ready, to_plain, unique, unlearnt, where
from .words import PRECISIONS, examples, metric_name

SWAPPED = (
    "An audit, no score: the children learnt from test images, which this parent has never seen, "
    "and were judged on the other test images."
)


@recomputable
def contrasts(
    records,
    task: str = "cifar10",
    pairs: list = (),
    metric: str = "accuracy",
    scale: str | None = None,
    source: str | None = None,
    audit: bool = False,
    only: dict | None = None,
) -> Block:
    """Paired differences of the first minus the second variant of each pair, positive where the
    first is better; p adjusted for all of them (Holm).

    A variant is a dictionary with `method` and, where they are not the usual ones, `options`,
    `sites` and `recipe`; with `parent` ('public', 'random', 'run:ID') in each variant that has
    one, children of several parents are compared.  Pairs with too few seeds are counted below the
    table.  With `audit`, of the runs whose parent has never seen the child's images, because
    the sets were swapped; `only` of runs whose configuration has these fields.
    """
    purposes, images = (("audit",), "swap") if audit else (SHOWN, None)
    wanted = [[Side(**side) for side in pair] for pair in pairs]
    parents = any(side.parent for pair in wanted for side in pair)
    asked = {"task": task, "scale": scale, "source": source, "images": images}
    found = panels(group(records, purposes, only, **asked), parents)
    best = max((_sides(panel, wanted, purposes) for panel in found), key=len, default=[])
    if not best:
        return none(f"{where(task, scale, source, 'pair of runs')} with {SEEDS} common seeds")
    return _contrasted(best, len(wanted) - len(best), metric)


class Side(Variant):
    """A variant in a comparison; `parent` names its parent's weights where several are compared."""

    parent: str | None = None


def _sides(panel: list[Group], pairs: list[list[Side]], purposes) -> list[list[Group]]:
    """The two groups of each pair that has enough seeds in common."""
    found = [[chosen(panel, side, purposes, side.parent) for side in pair] for pair in pairs]
    return [both for both in found if all(both) and len(common(*both)) >= SEEDS]


def told(row: dict, digits: int) -> str:
    """What a row behind `show.contrasts` says, with the ends of its interval."""
    d = next(value for key, value in row.items() if key.endswith("[95 %]"))
    low, high = (signed(d[end], digits) for end in ("low", "high"))
    better, worse = row["better by"].split(" over ")
    if d["low"] <= 0 <= d["high"]:
        return f"whether {better} differs from {worse} is open [{low}, {high}]"
    which = "better" if d["mean"] > 0 else "worse"
    firm = "" if row["p, Holm"] < 0.05 else ", though not after Holm's correction"
    return f"{better} is {which} than {worse} [{low}, {high}]{firm}"


def beside_plain(row: dict, unit: str, digits: int) -> str:
    """What a row behind `show.scores` says of its method beside the plain child; "" for its own."""
    d = row["better than plain by [95 %]"]
    if not d:
        return ""
    said = f"{row['method']}: {with_interval(d, digits)} {unit} over plain"
    if d["low"] <= 0 <= d["high"]:
        detectable = number(row["detectable"], digits)
        return f"{said}, open: {detectable} {unit} would have been detectable"
    return f"{said}, {'above' if d['low'] > 0 else 'below'} 0"


def _contrasted(found: list[list[Group]], missing: int, metric: str) -> Block:
    name, digits = metric_name(found[0][0].config.task, metric)
    differences = [difference(a, b, metric) for a, b in found]
    adjusted = stats.holm([d.p for d, _ in differences])
    table = Table(digits)
    for (a, b), (d, ids), p in zip(found, differences, adjusted):
        table.row(
            {
                "better by": f"{a.label} over {b.label}",
                "seeds": d.n,
                f"{name} [95 %]": d,
                "over seeds and images": _both(a, b, digits) if metric == "accuracy" else None,
                "detectable": d.detectable,
                "p, Holm": numeric("<0.001" if p < 0.001 else number(p, 3), p),
            },
            ids,
        )
    clear = [p < 0.05 for p in adjusted]
    notes = [SWAPPED] if found[0][0].config.images == "swap" else []
    notes += [f"Clear at 5 % after Holm's correction: {sum(clear)} of {len(clear)}."]
    rates = [(a, b) for a, b in found if a.config.lr != b.config.lr]
    if rates:
        said = [f"{a.label} at {a.config.lr:g}, {b.label} at {b.config.lr:g}" for a, b in rates]
        notes.append(f"The learning rate differs, too, where each has its own: {'; '.join(said)}.")
    notes += unlike(found)
    notes += unlearnt({one.title: one for pair in found for one in pair}.values())
    if missing:
        wait = "waits" if missing == 1 else "wait"
        notes.append(f"{missing} more of these comparisons {wait} for runs.")
    return table.block(
        f"{found[0][0].config.task}, {scope([one for pair in found for one in pair])}. Paired "
        "differences, positive where the first is better, with t-intervals over seeds. A bootstrap "
        "over seeds and test images together, beside some, is too short for so few seeds and "
        "decides nothing.",
        *notes,
    )


def _both(a: Group, b: Group, digits: int):
    """The bootstrap interval where all records say which test images were right."""
    sides = [[one.runs[seed].selected.right for seed in common(a, b)] for one in (a, b)]
    if not all(map(all, sides)):
        return None
    first, second = (np.array([_right(text) for text in side]) for side in sides)
    low, high = (100 * bound for bound in stats.bootstrap(first, second))
    said = f"[{signed(low, digits)}, {signed(high, digits)}]"
    return numeric(said, {"low": low, "high": high})


def _right(text: str) -> np.ndarray:
    """A record's bits as numbers; those that fill up the last byte are 0 on both sides."""
    return np.unpackbits(np.frombuffer(b64decode(text), np.uint8))


@recomputable
def differences(records, metrics: dict[str, list[str]]) -> Block:
    """What is better and what is worse than the plain child by an interval without 0, in each of a
    benchmark's `metrics`, whatever the method; the others are counted in a note."""
    every = list(compared(records, metrics))
    if not every:
        return none(f"difference to a plain child over {SEEDS} seeds")
    above = [found for found in every if found[-1].low > 0]
    below = [found for found in every if found[-1].high < 0]
    note = (
        f"Intervals without 0: {len(above) + len(below)} of {len(every)} differences to the "
        f"plain child, {len(above)} above it and {len(below)} below. By chance alone about one in "
        "twenty would be, even if no method did anything."
    )
    if not above and not below:
        return sentence(note)
    table = Table(3)
    for title, one, metric, d in above + below:
        config = one.config
        budget = f"{config.scale} scale, {examples(config)}"
        budget += f", {PRECISIONS['bf16']}" if config.precision == "bf16" else ""
        table.row(
            {
                "in its favour": "yes" if d.mean > 0 else "no",
                "benchmark": f"{config.task}, {config.source} data, {budget}",
                "method": title,
                "measured by": metric_name(config.task, metric)[0],
                "seeds": d.n,
                "better than plain by [95 %]": d,
            },
            one.ids,
        )
    return table.block("Differences to the plain child whose 95 % interval leaves 0 out.", note)


def compared(
    records, metrics: dict[str, list[str]]
) -> Iterator[tuple[str, Group, str, stats.Paired]]:
    """(title, group, metric, difference to plain, positive where better) of all that have enough
    seeds and the metric, in the order of the score tables."""
    for task, names in metrics.items():
        for panel in panels(group(records, SHOWN, task=task), parents=True):
            for metric in names:
                if metric not in panel[0].records[0].selected.test:
                    continue
                gains = to_plain(panel, metric)
                for title, one in unique(ready(panel)).items():
                    if one in gains:
                        yield title, one, metric, gains[one]
