"""Both directions: every recorded difference to the plain child whose interval leaves 0 out.

show.differences({"cifar10": ["accuracy"], "lits": ["dice", "dice_lesion"]})
"""

from collections.abc import Iterator
from typing import NamedTuple

from .groups import Group, group, metric_name, panels
from .outputs import Block, Table, none, recomputable, sentence
from .stats import Paired
from .tables import SEEDS, SHOWN, ready, to_plain, unique


class Found(NamedTuple):
    """One variant's difference to the plain child in one metric; positive is better."""

    title: str
    group: Group
    metric: str
    difference: Paired


@recomputable
def differences(records, metrics: dict[str, list[str]]) -> Block:
    """What is clearly better and what is clearly worse than the plain child, by each benchmark's
    `metrics`, whatever the method; those whose interval contains 0 are counted in a note."""
    compared = list(_compared(records, metrics))
    if not compared:
        return none(f"difference to a plain child over {SEEDS} seeds")
    above = [found for found in compared if found.difference.low > 0]
    below = [found for found in compared if found.difference.high < 0]
    note = (
        f"Intervals without 0: {len(above) + len(below)} of {len(compared)} differences to the "
        f"plain child, {len(above)} above it and {len(below)} below. By chance alone about one in "
        "twenty would be, even if no method did anything."
    )
    if not above and not below:
        return sentence(note)
    table = Table(3)
    for found in above + below:
        config, better = found.group.config, found.difference.mean > 0
        table.row(
            {
                "in its favour": "yes" if better else "no",
                "benchmark": f"{config.task}, {config.source} data, {config.scale} scale",
                "method": found.title,
                "measured by": metric_name(config.task, found.metric)[0],
                "seeds": found.difference.n,
                "better than plain by [95 %]": found.difference,
            },
            found.group.ids,
        )
    return table.block("Differences to the plain child whose 95 % interval leaves 0 out.", note)


def _compared(records, metrics: dict[str, list[str]]) -> Iterator[Found]:
    """All that have enough seeds and the metric, in the order of the score tables."""
    for task, names in metrics.items():
        for panel in panels(group(records, SHOWN, task=task)):
            for metric in names:
                if metric not in panel[0].records[0].selected.test:
                    continue
                gains = to_plain(panel, metric)
                for title, one in unique(ready(panel)).items():
                    if id(one) in gains:
                        yield Found(title, one, metric, gains[id(one)])
