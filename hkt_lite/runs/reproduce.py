"""Run a record again and say how close it came.   hkt reproduce ID"""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
from collections.abc import Callable

import numpy as np
from scipy import stats as distributions

from ..config import HKTError, runs_home
from ..files import write_json
from .loop import run
from .records import AgainRecord, EvalRecord, RunRecord, local, published

FEWEST = 3  # seeds an interval needs


def reproduce(record: RunRecord | EvalRecord, progress: Callable | None = None) -> tuple[str, str]:
    """('same bits' | 'inside the interval' | 'different', a sentence).

    Same bits: every number of the curves and scores is equal.  Inside the interval: the validation-selected test metric lies within the
    95 % prediction interval of one more run, from the published or local runs that differ in nothing but the seed (three at least).
    The rerun happens in a store of its own, so that nothing is overwritten; what came of it is kept as again-ID.json, to be published.
    """
    if not isinstance(record, RunRecord):
        raise HKTError(
            f"{record.id} is not a run"
            + (
                f"; repeat the evaluation with `hkt eval {record.task} {record.checkpoint}`."
                if isinstance(record, EvalRecord)
                else f" but what came of running {record.run} again; name that."
            )
        )
    again = _fresh(record, progress)
    verdict, sentence = _compared(record, again)
    name = hashlib.sha256(f"{record.id} {again.provenance.code}".encode()).hexdigest()[:12]
    write_json(
        runs_home() / f"again-{name}.json",
        AgainRecord(
            id=name, run=record.id, verdict=verdict, sentence=sentence, provenance=again.provenance
        ),
    )
    return verdict, sentence


def _compared(record: RunRecord, again: RunRecord) -> tuple[str, str]:
    if numbers(again) == numbers(record):
        return (
            "same bits",
            f"all {len(record.epochs)} epochs and both scores of {record.id} came out equal to the last digit.",
        )
    metric = next(iter(record.selected.test))
    new, old = again.selected.test[metric], record.selected.test[metric]
    twins = {
        other.id: other.selected.test[metric]
        for other in [*published(), *local()]
        if isinstance(other, RunRecord) and _twin(other) == _twin(record)
    }
    if len(twins) < FEWEST:
        return (
            "different",
            f"{metric} {new:.2f} instead of {old:.2f}; {len(twins)} seeds are recorded, too few for an interval.",
        )
    values = np.array(list(twins.values()))
    half = (
        float(distributions.t.ppf(0.975, len(values) - 1))
        * values.std(ddof=1)
        * math.sqrt(1 + 1 / len(values))
    )
    low, high = values.mean() - half, values.mean() + half
    return (
        "inside the interval" if low <= new <= high else "different",
        f"{metric} {new:.2f} instead of {old:.2f}; one more of {len(values)} seeds is expected between {low:.2f} and {high:.2f}.",
    )


def _fresh(record: RunRecord, progress: Callable | None) -> RunRecord:
    """The same configuration once more, in an empty store beside the usual one (which keeps the parent's cache and own parents)."""
    home = runs_home()
    home.mkdir(parents=True, exist_ok=True)
    before = os.environ.get("HKT_RUNS")
    with tempfile.TemporaryDirectory(dir=home, prefix=".again-") as folder:
        parent = record.config.parent_weights or ""
        for name in (
            ("parents", parent.removeprefix("run:")) if parent.startswith("run:") else ("parents",)
        ):
            if (home / name).exists():
                os.symlink(home / name, os.path.join(folder, name), target_is_directory=True)
        os.environ["HKT_RUNS"] = folder
        try:
            return run(record.config, record.purpose, progress)
        finally:
            if before is None:
                del os.environ["HKT_RUNS"]
            else:
                os.environ["HKT_RUNS"] = before


def numbers(record: RunRecord) -> dict:
    """Everything of a record that the configuration decides: the curves without seconds, and both scores."""
    return {
        "epochs": [epoch.model_dump(exclude={"seconds"}) for epoch in record.epochs],
        "selected": record.selected.model_dump(),
        "last": record.last.model_dump(),
    }


def _twin(record: RunRecord) -> dict:
    return record.config.model_dump(exclude={"seed"})
