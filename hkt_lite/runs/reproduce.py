"""Run a record again and say how close it came.   hkt reproduce ID"""

import json
import math
import shutil
from collections.abc import Callable
from statistics import fmean, stdev

from scipy import stats as distributions

from ..benchmarks import get
from ..benchmarks.task import COMMITTED
from ..config import HKTError, canonical
from ..files import sha256_of
from .claim import claimed
from .loop import run
from .records import EvalRecord, Record, RepeatRecord, RunRecord, Verdict
from .store import Store, published

FEWEST = 3  # seeds an interval needs


def reproduce(record: Record, progress: Callable | None = None) -> tuple[Verdict, str]:
    """('same bits' | 'inside the interval' | 'different', a sentence).

    Same bits: every number of the curves and scores is equal.  Inside the interval: the
    validation-selected test metric lies within the 95 % prediction interval of one more run, from
    the recorded runs that differ in nothing but the seed (three at least).  The rerun happens in a
    store of its own, where one that was cut off goes on; the user's keeps what came of it, and the
    child unless it has one.
    """
    if record.kind == "again":
        raise HKTError(f"{record.id} is what came of running {record.run} again; name that run.")
    if record.kind == "eval":
        again = f"`{evaluation(record)}`"
        raise HKTError(f"{record.id} is not a run; repeat the evaluation with {again}.")
    store = Store.default()
    own = Store(store.home / f".again-{record.id}", earlier=store.home)
    with claimed(store.home / f".again-{record.id}.claim"):
        rerun = run(record.config, record.purpose, store=own, progress=progress).record
        store.collect(rerun, own)
        shutil.rmtree(own.home)
    verdict, sentence = compare(record, rerun, [*published(), *store.records()])
    made = rerun.provenance
    name = sha256_of(json.dumps([record.id, made.golden, made.commit]).encode())[:12]
    repeat = RepeatRecord(
        id=name, run=record.id, verdict=verdict, sentence=sentence, provenance=made
    )
    store.add(repeat)
    return verdict, sentence


def evaluation(record: EvalRecord) -> str:
    """The command that makes an evaluation again; $HKT_DATA is the folder of the data."""
    of = record.checkpoint.removeprefix("run ")
    command = f"hkt eval {record.task} {of}"
    if of == record.checkpoint:
        place = "data/parents" if (COMMITTED / of).exists() else "$HKT_DATA/weights"
        command = f'hkt eval {record.task} "{place}/{of}" --arch {record.arch}'
    for name, said in get(record.task).protocols.items():
        if said.items() <= record.protocol.items():
            return f"{command} --protocol {name}"
    return command


def compare(record: RunRecord, rerun: RunRecord, known: list[Record]) -> tuple[Verdict, str]:
    """Verdict and sentence on a rerun; `known` are the records among which its seeds are found."""
    if numbers(rerun) == numbers(record):
        what = f"all {len(record.epochs)} epochs and both scores of {record.id}"
        return "same bits", f"{what} came out equal to the last digit."
    metric = next(iter(record.selected.test))
    new, old = rerun.selected.test[metric], record.selected.test[metric]
    said = f"{metric} {new:.2f} instead of {old:.2f}"
    wanted = record.config.deciding("seed")
    alike = [one for one in known if one.kind == "run" and one.config.deciding("seed") == wanted]
    twins = {one.id: one.selected.test[metric] for one in alike}
    twins[record.id] = old  # of which `known` may have the rerun, that would vouch for itself
    if len(twins) < FEWEST:
        return "different", f"{said}; {len(twins)} seeds are recorded, too few for an interval."
    n, values = len(twins), list(twins.values())
    half = distributions.t.ppf(0.975, n - 1) * stdev(values) * math.sqrt(1 + 1 / n)
    low, high = fmean(values) - half, fmean(values) + half
    verdict: Verdict = "inside the interval" if low <= new <= high else "different"
    expected = f"one more of {n} seeds is expected between {low:.2f} and {high:.2f}"
    return verdict, f"{said}; {expected}."


def numbers(record: RunRecord) -> str:
    """All that the configuration decides, as JSON: the curves without seconds, and both scores."""
    parts = {"epochs": {"__all__": {"seconds"}}}
    dumped = record.model_dump_json(include={"epochs", "selected", "last"}, exclude=parts)
    return canonical(json.loads(dumped))
