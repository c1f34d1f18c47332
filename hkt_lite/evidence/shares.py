"""How large a share?  HKT's published runs of each λ under each gate, against the plain child.

show.shares("cifar10", source="real")
"""

from collections.abc import Iterator
from typing import NamedTuple

from . import plots
from .figures import bands
from .groups import Group, chosen, group, metric_name, panels, scope
from .literature import Variant
from .outputs import Block, none, picture, recomputable, sentence
from .stats import Paired
from .tables import SEEDS, SHOWN, to_plain, where

KINDS = ("gate", "forward_gate")


class Step(NamedTuple):
    """The runs of one λ under one gate and their paired difference to the plain child."""

    lam: float
    group: Group
    difference: Paired


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
    found: list[Step] = []
    for panel in panels(group(records, SHOWN, task=task, scale=scale, source=source)):
        steps = list(_steps(panel, metric))
        if len({step.lam for step in steps}) > len({step.lam for step in found}):
            found = steps
    if not found:
        return none(f"{where(task, scale, source, 'λ of HKT')} with {SEEDS} seeds")
    groups = [step.group for step in found]
    rows = [
        {"label": f"{_title(step)}, λ = {step.lam:g}", **_ends(step.difference)} for step in found
    ]
    name = metric_name(task, metric)[0]
    axis = f"test {name}: better than plain by"
    made = plots.dots(rows, axis, "plain", scope(groups))
    said = f"{name}, better than plain by"
    data = {"axis": said, "zero": "plain", "kinds": _by_kind(found, metric)}
    ids = [name for one in groups for name in one.ids]
    block = picture(made, ids, live=("lambda", data))
    lams = ", ".join(f"{lam:g}" for lam in sorted({step.lam for step in found}))
    return block + sentence(f"λ with at least {SEEDS} seeds beside the plain child: {lams}.")


def _steps(panel: list[Group], metric: str) -> Iterator[Step]:
    """Every λ that the panel has under the usual three losses and recipe, gate by gate."""
    gains = to_plain(panel, metric)
    lams = sorted({one.options["lam"] for one in panel if one.config.method == "hkt"})
    for kind in KINDS:
        for lam in lams:
            one = chosen(panel, Variant(method="hkt", options={"kind": kind, "lam": lam}), SHOWN)
            if one and id(one) in gains:
                yield Step(lam, one, gains[id(one)])


def _by_kind(found: list[Step], metric: str) -> dict[str, list[dict]]:
    kinds: dict[str, list[dict]] = {}
    for step in found:
        row = {
            "lam": step.lam,
            **_ends(step.difference),
            "seeds": step.difference.n,
            "score": step.group.summary(metric).mean,
            "share": _median(step.group, "share"),
            "displacement": _median(step.group, "displacement"),
        }
        kinds.setdefault(_title(step), []).append(row)
    return kinds


def _ends(difference: Paired) -> dict[str, float]:
    return {end: getattr(difference, end) for end in ("mean", "low", "high")}


def _title(step: Step) -> str:
    return f"HKT {step.group.options['kind']}"


def _median(one: Group, name: str) -> float | None:
    """Of the last epoch over images, mean over seeds; None where the runs do not say it."""
    epochs = bands(one, name)
    return epochs[-1]["q50"] if epochs else None
