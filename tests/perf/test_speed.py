"""What is spelt out is the release's step, and every measurement of speed is made, at toy size."""

import json
from copy import deepcopy

import pytest
import torch

from hkt_lite.benchmarks import get, resolve
from hkt_lite.benchmarks.cifar10.network import resnet
from hkt_lite.config import Config
from hkt_lite.methods import HKT
from hkt_lite.runs import bench
from tests.perf import speed, tables
from tests.reference import released


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
    method = speed.SpeltOut(deepcopy(child), deepcopy(parent), **parts)
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
    methods = bench.contestants(loaded, batch, {"spelt out": speed.SpeltOut})
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
    result = speed.data(rounds=1, images=300, batch=64, workers=1)
    assert result.unit == "image" and set(result.rounds) == {"DataLoader", "Augment"}


@pytest.mark.slow
def test_everything_is_measured_in_one_run():
    found = speed.everything(rounds=1, small=True)
    names = {one["name"] for one in found["benches"]}
    assert names == {"step, cifar10", "step, flow", "step, lits", "data", "cache"}
    assert all(one["ratios"] for one in found["benches"])
    assert {"date", "machine", "torch"} <= set(found["made"])
    assert "spelt out / hkt" in tables.speed(json.loads(json.dumps(found)))
