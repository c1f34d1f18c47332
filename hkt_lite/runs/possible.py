"""Whether a record's numbers can be those of a run: what no digest shows.   hkt check

A digest tells that a file was altered after it was listed.  Who alters a number and then lists the
file anew leaves no trace in it, but a record says many things twice, and some cannot be.
"""

import math
from base64 import b64decode
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from functools import lru_cache

from ..benchmarks import get
from ..benchmarks.task import Task
from ..config import HKTError, canonical
from .records import EvalRecord, Record, RepeatRecord, RunRecord, Score

FIDELITY = {"agreement": 100.0}
_task = lru_cache(get)  # ten thousand records are of a few tasks


def flaws(record: Record) -> Iterator[str]:
    """A clause for each thing in a record that contradicts another or that cannot be."""
    if isinstance(record, RepeatRecord):
        return
    try:
        task = _task(record.config.task if isinstance(record, RunRecord) else record.task)
    except HKTError as error:
        yield f"is of no benchmark: {error}"
        return
    if isinstance(record, EvalRecord):
        yield from _beyond("metrics", record.metrics, task.limits)
        return
    yield from _curves(record)
    yield from _choice(record, task)
    for where, metrics in _measured(record):
        yield from _beyond(where, metrics, task.limits)
    for split, metrics in record.fidelity.items():
        yield from _beyond(f"fidelity {split}", metrics, FIDELITY)
    for name in ("selected", "last"):
        yield from _miscounted(name, getattr(record, name))


def unfounded(records: Iterable[Record]) -> Iterator[tuple[Record, str]]:
    """(record, clause) where one rests on a run that is not there, or on another child of it."""
    records = list(records)
    runs = {record.id: record for record in records if isinstance(record, RunRecord)}
    for record in records:
        named = _founded_on(record)
        if named and named not in runs:
            yield record, f"speaks of the run {named}, whose record is not there"
        elif named:
            left = runs[named].weights.get("child.safetensors")
            used = record if isinstance(record, EvalRecord) else getattr(record, "parent", None)
            if left and used and used.sha256 != left:
                yield record, f"rests on another child of the run {named} than its record names"


def _founded_on(record: Record) -> str:
    """The id of the run whose child is the parent, was evaluated or was made again; or ''."""
    if isinstance(record, RunRecord):
        return (record.config.parent_weights or "").partition("run:")[2]
    if isinstance(record, EvalRecord):
        before, _, named = record.checkpoint.partition("run ")
        return "" if before else named
    return record.run


def _curves(record: RunRecord) -> Iterator[str]:
    numbers, trained = [epoch.epoch for epoch in record.epochs], record.config.epochs
    if numbers != list(range(1, trained + 1)):
        listed = ", ".join(map(str, numbers[:20])) + ", …" * (len(numbers) > 20) or "none"
        yield f"has the curves of epochs {listed}, but its configuration trains {trained}"


def _choice(record: RunRecord, task: type[Task]) -> Iterator[str]:
    """Both scores are of the epochs they must be of, and repeat these, NaN (as JSON) included."""
    if not record.epochs:
        return
    best = max(record.epochs, key=lambda epoch: task.worth(epoch.val)).epoch
    for name, wanted in (("selected", best), ("last", record.epochs[-1].epoch)):
        score: Score = getattr(record, name)
        if score.epoch != wanted:
            yield f"has as {name} epoch {score.epoch}, but its curves say {wanted}"
        for epoch in record.epochs:
            if epoch.epoch == score.epoch and canonical(epoch.val) != canonical(score.val):
                yield f"has in {name} another validation result than in its epoch {score.epoch}"
    one, other = record.selected, record.last
    if one.epoch == other.epoch and canonical(one.test) != canonical(other.test):
        yield f"has two test results of one epoch, {one.epoch}"


def _measured(record: RunRecord) -> Iterator[tuple[str, dict[str, float]]]:
    for epoch in record.epochs:
        yield f"epoch {epoch.epoch}", epoch.val
        yield f"epoch {epoch.epoch}, test", epoch.test
    for name in ("selected", "last"):
        yield f"{name}, validation", getattr(record, name).val
        yield f"{name}, test", getattr(record, name).test
    if record.parent:
        yield "parent, validation", record.parent.val
        yield "parent, training", record.parent.train


def _beyond(where: str, metrics: dict[str, float], limits: dict[str, float]) -> Iterator[str]:
    """Metrics below zero or above what their unit allows; one that is not a number is let be."""
    for name, value in metrics.items():
        highest = _highest(name, tuple(limits.items()))
        if value < 0 or value > highest * (1 + 1e-9):
            span = "not be negative" if highest == math.inf else f"lie in 0 … {highest:g}"
            yield f"has {name} {value:g} ({where}), which must {span}"


@lru_cache
def _highest(name: str, limits: tuple[tuple[str, float], ...]) -> float:
    return min((top for pattern, top in limits if fnmatch(name, pattern)), default=math.inf)


def _miscounted(name: str, score: Score) -> Iterator[str]:
    """The answers that were right, one bit each, against the accuracy that was made of them."""
    if not score.right:
        return
    try:
        data = b64decode(score.right, validate=True)
    except ValueError:
        yield f"has in {name} answers that are no base64"
        return
    count, most = int.from_bytes(data, "big").bit_count(), 8 * len(data)
    possible = [100 * count / size for size in range(most - 7, most + 1)]
    given = score.test.get("accuracy", math.nan)
    if min(abs(given - one) for one in possible) > 1e-4:
        yield f"has in {name} {count} right answers of about {most}, but an accuracy of {given:g} %"
