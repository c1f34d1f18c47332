"""What the published records of small networks must show before anything is read from them: that something was learnt."""

import re
from statistics import fmean

import pytest

from hkt_lite.benchmarks import get
from hkt_lite.evidence import show
from hkt_lite.evidence.groups import label
from hkt_lite.runs.records import RunRecord
from hkt_lite.runs.store import published


def scores(task: str, method: str, source: str = "synthetic") -> list[RunRecord]:
    return [
        run
        for run in published()
        if isinstance(run, RunRecord)
        and run.purpose == "score"
        and run.config.task == task
        and run.config.source == source
        and run.config.method == method
    ]


@pytest.mark.parametrize("method, least", [("plain", 3), ("kd", 3), ("fitnet", 3), ("hkt", 6)])
def test_a_recorded_flow_child_beats_zero_flow_or_is_called_not_learnt(method, least):
    runs, told = (
        scores("flow", method),
        show.render("scores", {"task": "flow", "metric": "sintel_epe"})["text/plain"],
    )
    learnt = [run for run in runs if get("flow").learnt(run.selected.test)]
    assert len(runs) >= least and len(learnt) >= 3
    for run in runs:
        said = re.search(
            rf"Not learnt[^.]*{re.escape(label(method, run.config.options, run.config.sites))}, seed [^;.]*{run.config.seed}",
            told,
        )
        assert bool(said) == (run not in learnt)


def test_recorded_flow_children_beat_the_untrained_network():
    runs = scores("flow", "plain")
    task = get("flow")(runs[0].config)
    task.tests = task._tests()
    untrained = task.measure(task.child(), task.tests["sintel"], *task._as_tested("sintel"))["epe"]
    assert all(run.selected.test["sintel_epe"] < untrained for run in runs)


def test_recorded_children_find_lesions_better_than_who_cannot_see_them():
    """Every voxel called liver scores 0; the true liver called lesion as a whole scores more, and the plain children beat that too."""
    from hkt_lite.benchmarks.lits import synthetic as phantom
    from hkt_lite.benchmarks.lits.metrics import scores as segmented
    from hkt_lite.benchmarks.lits.task import PHANTOMS

    truths = [volume.y for volume in phantom.volumes("test", PHANTOMS["test"], 64)]
    blind = segmented([2 * (y > 0).astype("uint8") for y in truths], truths)["dice_lesion"]
    plain = [run.selected.test["dice_lesion"] for run in scores("lits", "plain")]
    assert len(plain) >= 3 and min(plain) > 0 and fmean(plain) > blind


@pytest.mark.parametrize("method", ["plain", "kd", "at", "hkt"])
def test_recorded_children_on_real_slices_find_the_liver(method):
    runs = scores("lits", method, "real")
    assert len(runs) >= 3 and all(get("lits").learnt(run.selected.test) for run in runs)
