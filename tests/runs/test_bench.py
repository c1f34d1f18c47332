"""The benchmarks at toy size: they measure what they say, and what is spelt out is the release's step."""

import json
from copy import deepcopy

import pytest
import torch

from hkt_lite.benchmarks import get, resolve
from hkt_lite.benchmarks.cifar10.network import resnet
from hkt_lite.config import Config, HKTError
from hkt_lite.methods import HKT
from hkt_lite.runs import bench
from tests.reference import released

SMALL = {"parent": "resnet14", "child": "resnet8", "batch_size": 4}


@pytest.fixture(scope="module")
def steps():
    before = torch.get_num_threads()
    result = bench.step(rounds=2, **SMALL)
    assert torch.get_num_threads() == before
    return result


def test_every_contestant_is_timed_in_every_round(steps):
    assert set(steps.rounds) == {"plain", "kd", "hkt", "spelt out", "hkt, cached parent"}
    assert all(len(seconds) == 2 and min(seconds) > 0 for seconds in steps.rounds.values())
    assert steps.setting["threads"] == 1 and steps.setting["parent"] == "resnet14"


def test_ratios_are_taken_inside_a_round(steps):
    for pair, (middle, low, high) in steps.ratios.items():
        a, b = pair.split(" / ")
        ratios = [x / y for x, y in zip(steps.rounds[a], steps.rounds[b], strict=True)]
        assert (min(ratios), max(ratios)) == (low, high) and low <= middle <= high
    assert {"spelt out / hkt", "hkt, cached parent / plain"} <= set(steps.ratios)


def test_json_and_table_show_the_same_numbers(steps):
    made = json.loads(steps.to_json())
    assert made["rounds"] == steps.rounds and made["setting"]["batch_size"] == 4
    assert f"{steps.ratios['spelt out / hkt'][0]:.5f}" in str(steps)
    assert "spelt out, MiB kept" in str(steps) and made["memory"] == steps.memory


def test_contestants_take_turns_in_alternating_order():
    order = []
    timers = {name: lambda name=name: order.append(name) or 1.0 for name in "ab"}
    bench.compared("toy", "step", {"rounds": 2}, timers, {"a": "b"})
    assert order == ["a", "b", "b", "a", "a", "b"]  # the first two are not counted


@pytest.fixture
def two_ways():
    """(batch, way -> (child, parent, terms())) of one step: the release written plainly, and ours."""
    torch.manual_seed(0)
    parent, child = resnet("resnet14").double().eval(), resnet("resnet8").double()
    config = Config(task="cifar10", method="hkt", scale="smoke", source="synthetic", train_size=6)
    task = get("cifar10")(resolve(config.but(batch_size=6))).load()
    batch = task.batch(torch.arange(6), 0)
    batch = batch._replace(x=batch.x.double())
    parts = {"sites": task.sites, "predict": task.predict, "loss": _cross_entropy}
    method = bench.SpeltOut(deepcopy(child), deepcopy(parent), **parts)
    method.setup(batch)

    def plainly():
        return released.step(child, parent, batch.x, batch.y, parent_in_training=False)

    return {
        "released": (child, parent, plainly),
        "spelt out": (method.child, method.whole[0], lambda: method(batch)),
    }


def test_spelt_out_is_the_released_step(two_ways):
    """The terms, the child's gradients, and those of the parent, which two passes add up."""
    found = {}
    for name, (child, parent, terms) in two_ways.items():
        made = terms()
        sum(made.values()).backward()
        gradients = [p.grad for net in (child, parent) for p in net.parameters()]
        found[name] = list(made), [*made.values(), *gradients]
    names, values = found["released"]
    assert found["spelt out"][0] == names
    for theirs, ours in zip(values, found["spelt out"][1], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("term", ["L_c", "L_c*", "L_p*"])
def test_each_term_goes_back_through_what_it_goes_back_through_in_the_release(two_ways, term):
    for name, (child, parent, terms) in two_ways.items():
        terms()[term].backward()
        reached = {n: p.grad is not None for n, p in parent.named_parameters()}
        assert any(reached.values()) == (term != "L_c"), name
        assert all(on for n, on in reached.items() if "layer" in n) == (term != "L_c"), name
        assert child.conv1.weight.grad is not None, name


def test_spelt_out_counts_the_operations_of_the_release(two_ways):
    from torch.utils.flop_counter import FlopCounterMode

    counted = {}
    for name, (_, _, terms) in two_ways.items():
        with FlopCounterMode(display=False) as counter:
            sum(terms().values()).backward()
        counted[name] = counter.get_flop_counts()["Global"]
    heads = {name: found.pop(torch.ops.aten.addmm, 0) for name, found in counted.items()}
    assert counted["spelt out"][torch.ops.aten.convolution_backward] > 0
    convolutions = (torch.ops.aten.convolution, torch.ops.aten.convolution_backward)
    for one in convolutions:
        assert counted["spelt out"][one] == counted["released"][one]
    assert (
        0 < heads["spelt out"] * 3 == heads["released"] * 4
    )  # the parent's first logits are unused


def _cross_entropy(output, batch):
    return torch.nn.functional.cross_entropy(output, batch.y)


@pytest.mark.parametrize("task, fields", [("flow", {"batch_size": 2, "updates": 2}), ("lits", {})])
def test_spelt_out_is_ours_without_what_is_saved(task, fields):
    size = {"batch_size": 2, "train_size": 2, "parent_source": "live", **fields}
    config = resolve(Config(task=task, method="hkt", scale="smoke", source="synthetic", **size))
    loaded = get(task)(config).load()
    batch = loaded.batch(torch.arange(2), 0)
    methods = bench.contestants(loaded, batch)
    assert len({id(method.child) for method in methods.values()}) == len(methods)
    ours, theirs = methods["hkt"](batch), methods["spelt out"](batch)
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=2e-4, atol=2e-4, msg=name)
    kept = {
        name: bench.kept(lambda name=name: sum(methods[name](batch).values()))
        for name in ("plain", "hkt", "spelt out")
    }
    assert kept["plain"] < kept["hkt"] < kept["spelt out"]
    assert isinstance(methods["spelt out"], HKT)


def test_data_counts_images():
    result = bench.data(rounds=1, images=300, batch=64, workers=1)
    assert result.unit == "image" and set(result.rounds) == {"DataLoader", "Augment"}


def test_no_round_is_refused():
    with pytest.raises(HKTError, match="at least 1 round"):
        bench.compared("toy", "step", {"rounds": 0}, {}, {})


def test_what_a_graph_keeps_is_counted_once():
    x = torch.randn(256, 1024, requires_grad=True)  # one MiB
    assert bench.kept(lambda: (x * x).sum()) == pytest.approx(1.0)
    assert bench.kept(lambda: x.exp().sum() + (x * x).sum()) == pytest.approx(2.0)
