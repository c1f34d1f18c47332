"""What a run that has ended is worth and what it cost: its record.

But for audits, this is the only place where test data is looked at: once, after the choice.
"""

import torch
from torch import Tensor

from ..benchmarks.weights import parameters
from .measure import bits, fidelity, flops, peak_memory_mb
from .records import Cost, RunRecord, Score


def scored(run, last: dict[str, Tensor], weights: dict[str, str]) -> RunRecord:
    """The record of a `loop.Run` whose epochs are done, with both scores: of `run.best` and of the
    child's `last` state.  The child is left in one of the two."""
    selected, answers = _score(run, run.best_epoch, run.best)
    alike = _fidelity(run, answers)
    at_the_end = run.best_epoch == len(run.epochs)
    return RunRecord(
        id=run.config.id,
        config=run.config,
        purpose=run.purpose,
        audit=run.purpose == "audit",
        epochs=run.epochs,
        selected=selected,
        last=selected if at_the_end else _score(run, len(run.epochs), last)[0],
        parent=run.parent.info,
        fidelity=alike,
        cost=_cost(run),
        weights=weights,
        provenance=run.provenance,
    )


def _score(run, epoch: int, state: dict[str, Tensor]) -> tuple[Score, Tensor | None]:
    """A state's metrics, and of a classification its logits on the test data."""
    run.child.load_state_dict(state)
    val = run.epochs[epoch - 1].val
    test, answers = run.task.scored(run.child, "test")
    logits, classes = answers or (None, None)
    right = "" if logits is None else bits(logits.argmax(1) == classes)
    return Score(epoch=epoch, val=val, test=test, right=right), logits


def _fidelity(run, tested: Tensor | None) -> dict[str, dict[str, float]]:
    """How the child, in its present state, answers as its parent; `tested` on test data."""
    found = {}
    for split, theirs in run.parent.outputs.items():
        own = tested if split == "test" else run.task.scored(run.child, split)[1][0]
        found[split] = fidelity(own.cpu(), theirs.cpu())
    return found


def _cost(run) -> Cost:
    cuda = run.config.device == "cuda"
    return Cost(
        seconds=run.seconds,
        parent_seconds=run.parent.seconds,
        device=torch.cuda.get_device_name() if cuda else run.config.device,
        peak_memory_mb=peak_memory_mb(cuda),
        parameters=parameters(run.child),
        flops=flops(run.child, run.task.example()),
        extra_parameters=sum(p.numel() for p in run.method.extra_parameters()),
    )
