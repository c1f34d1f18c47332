"""A step of each method at toy size: everything is timed and counted as it says."""

import json
from types import SimpleNamespace

import pytest
import torch

from hkt_lite.config import HKTError
from hkt_lite.runs import bench

SMALL = {"parent": "resnet14", "child": "resnet8", "batch_size": 4}


@pytest.fixture(scope="module")
def steps():
    before = torch.get_num_threads()
    result = bench.step(rounds=2, **SMALL)
    assert torch.get_num_threads() == before
    return result


def test_every_contestant_is_timed_in_every_round(steps):
    assert set(steps.rounds) == {"plain", "kd", "hkt", "hkt, cached parent"}
    assert all(len(seconds) == 2 and min(seconds) > 0 for seconds in steps.rounds.values())
    assert steps.setting["threads"] == 1 and steps.setting["parent"] == "resnet14"


def test_ratios_are_taken_inside_a_round(steps):
    for pair, (middle, low, high) in steps.ratios.items():
        a, b = pair.split(" / ")
        ratios = [x / y for x, y in zip(steps.rounds[a], steps.rounds[b], strict=True)]
        assert (min(ratios), max(ratios)) == (low, high) and low <= middle <= high
    assert {"hkt / plain", "hkt, cached parent / plain"} <= set(steps.ratios)


def test_json_and_table_show_the_same_numbers(steps):
    made = json.loads(steps.to_json())
    assert made["rounds"] == steps.rounds and made["setting"]["batch_size"] == 4
    assert f"{steps.ratios['hkt / plain'][0]:.5f}" in str(steps)
    assert "hkt, MiB kept" in str(steps) and made["memory"] == steps.memory


def test_contestants_take_turns_in_alternating_order():
    order = []
    timers = {name: lambda name=name: order.append(name) or 1.0 for name in "ab"}
    bench.compared("toy", "step", {"rounds": 2}, timers, [("a", "b")])
    assert order == ["a", "b", "b", "a", "a", "b"]  # the first two are not counted


def test_a_benchmark_without_sizes_of_its_own_is_timed_at_smoke_scale(monkeypatch):
    monkeypatch.setattr(bench, "SIZES", {})
    assert set(bench.step("lits", rounds=1).rounds) == {"plain", "kd", "hkt"}


def test_no_round_is_refused():
    with pytest.raises(HKTError, match="at least 1 round"):
        bench.compared("toy", "step", {"rounds": 0}, {}, [])


def test_what_a_graph_keeps_is_counted_once():
    x = torch.randn(256, 1024, requires_grad=True)  # one MiB
    assert bench.kept(lambda: (x * x).sum()) == pytest.approx(1.0)
    assert bench.kept(lambda: x.exp().sum() + (x * x).sum()) == pytest.approx(2.0)


def test_all_of_it_is_measured_in_a_clone(monkeypatch, tmp_path):
    ran = []
    monkeypatch.setattr(
        bench.subprocess, "run", lambda *a, **k: ran.append(a) or SimpleNamespace(returncode=3)
    )
    assert bench.everything() == 3 and ran[0][0][1:] == ["-m", "tests.perf.speed"]
    monkeypatch.setattr(bench, "PROJECT", tmp_path)
    with pytest.raises(HKTError, match="run it in a clone"):
        bench.everything()
