"""The benchmarks at toy size: they measure what they say, and the baseline is the release's step."""

import json

import pytest
import torch
from torch.nn import functional as F

from hkt_lite.config import HKTError
from hkt_lite.runs import bench
from tests.reference import released

SMALL = {
    "rounds": 2,
    "batch": 4,
    "parent": "resnet14",
    "child": "resnet8",
    "steps": dict.fromkeys(bench.STEPS, 1),
}


@pytest.fixture(scope="module")
def steps():
    before = torch.get_num_threads()
    result = bench.step(**SMALL, threads=1)
    assert torch.get_num_threads() == before
    return result


def test_every_contestant_is_timed_in_every_round(steps):
    assert set(steps.rounds) == {"release", "live", "cached", "plain"}
    assert all(len(seconds) == 2 and min(seconds) > 0 for seconds in steps.rounds.values())
    assert steps.setting["threads"] == 1 and steps.setting["parent"] == "resnet14"


def test_ratios_are_taken_inside_a_round(steps):
    for pair, (middle, low, high) in steps.ratios.items():
        a, b = pair.split(" / ")
        ratios = [x / y for x, y in zip(steps.rounds[a], steps.rounds[b], strict=True)]
        assert (min(ratios), max(ratios)) == (low, high) and low <= middle <= high
    assert {"release / live", "cached / plain"} <= set(steps.ratios)


def test_json_and_table_show_the_same_numbers(steps):
    made = json.loads(steps.to_json())
    assert made["rounds"] == steps.rounds and made["setting"]["batch"] == 4
    assert f"{steps.ratios['release / live'][0]:.3f}" in str(steps) and str(steps).count("\n") == 8


def test_contestants_take_turns_in_alternating_order():
    order = []
    timers = {name: lambda name=name: order.append(name) or 1.0 for name in "ab"}
    bench.compared("toy", "step", {"rounds": 2}, timers, [("a", "b")])
    assert order == ["a", "b", "b", "a", "a", "b"]  # the first two are not counted


def test_baseline_is_the_released_step_and_ours_is_the_same_objective():
    torch.manual_seed(0)
    parent, child = bench.resnet("resnet14").double(), bench.resnet("resnet8").double()
    batch = bench.Batch(
        torch.randn(6, 3, 8, 8, dtype=torch.double), torch.randint(10, (6,)), torch.arange(6)
    )
    wanted = sum(released.step(child, parent, batch.x, batch.y, parent_in_training=True).values())
    torch.testing.assert_close(
        bench.release_loss(child, parent, batch), wanted, rtol=1e-10, atol=1e-10
    )
    racers = bench.contestants(
        batch, parent.eval(), child
    )  # now the parent as we keep it, in evaluation mode
    torch.testing.assert_close(racers["live"][1](), racers["release"][1](), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(
        racers["plain"][1](), F.cross_entropy(child(batch.x), batch.y), rtol=1e-10, atol=1e-10
    )
    assert len({id(net) for net, _ in racers.values()}) == 4  # nobody trains another's child


@pytest.mark.slow
def test_ours_is_much_faster_than_the_release_and_cached_costs_hardly_more_than_plain():
    ratios = bench.step(rounds=2, batch=16, parent="resnet110", child="resnet20", threads=1).ratios
    assert ratios["release / live"][2] > 2.5  # at full size, on a quiet machine: more than 4
    assert ratios["cached / plain"][1] < 1.4  # at full size: at most 1.1


def test_data_counts_images():
    result = bench.data(rounds=1, images=300, batch=64, workers=1)
    assert result.unit == "image" and set(result.rounds) == {"DataLoader", "Augment"}


@pytest.mark.parametrize(
    "run, wrong",
    [
        (bench.step, {"rounds": 0}),
        (bench.step, {"batch": 0}),
        (bench.step, {"threads": 0}),
        (bench.data, {"images": 0}),
        (bench.data, {"workers": -1}),
    ],
)
def test_numbers_below_one_are_refused(run, wrong):
    with pytest.raises(HKTError, match=f"{next(iter(wrong))} must be at least 1"):
        run(**wrong)


def test_flow_is_measured_against_the_same_objective_spelt_out():
    result = bench.flow(rounds=1, batch=1, crop=(64, 64), updates=2, threads=1)
    assert {"2hkt spelt out / 2hkt", "2hkt / plain", "3hkt / plain"} <= result.ratios.keys()
    assert result.memory["plain"] < result.memory["2hkt"] < result.memory["2hkt spelt out"]
    assert (
        "2hkt, MiB kept" in str(result) and json.loads(result.to_json())["memory"] == result.memory
    )


def test_what_a_graph_keeps_is_counted_once():
    x = torch.randn(256, 1024, requires_grad=True)  # one MiB
    assert bench.kept(lambda: (x * x).sum()) == pytest.approx(1.0) and bench.kept(
        lambda: x.exp().sum() + (x * x).sum()
    ) == pytest.approx(2.0)


def test_spelt_out_is_ours_without_what_is_saved():
    from hkt_lite.benchmarks.flow.network import raft
    from hkt_lite.benchmarks.flow.task import Batch as Pairs
    from hkt_lite.benchmarks.flow.task import sequence_loss, sites

    torch.manual_seed(0)
    child, parent = raft("raft_tiny"), raft("raft_base")
    x = torch.rand(2, 1, 3, 64, 64) * 2 - 1
    pairs = Pairs(
        x[0],
        x[1],
        torch.randn(1, 2, 64, 64),
        torch.ones(1, 64, 64, dtype=torch.bool),
        torch.arange(1),
    )
    parts = {
        "sites": sites("2hkt", "raft_base", "raft_tiny"),
        "predict": lambda model, b: model(b.first, b.second, num_flow_updates=2),
        "loss": lambda output, b: sequence_loss(output, b.flow, b.valid),
    }
    ours, spelt = bench.HKT(child, parent, **parts), bench.SpeltOut(child, parent, **parts)
    for method in (ours, spelt):
        method.setup(pairs)
    for name, value in ours(pairs).items():
        torch.testing.assert_close(spelt(pairs)[name], value, rtol=1e-4, atol=1e-4)
