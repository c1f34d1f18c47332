"""The shares of a device: what is counted, and that the parts do what they are called."""

import torch

from hkt_lite.benchmarks.cifar10.network import resnet
from tests.perf import device, tables


def test_operations_are_those_of_the_network_and_a_product():
    a = torch.rand(64, 64)
    assert device.operations(lambda: a @ a) == 2 * 64**3 / 1e9
    network, x = resnet("resnet20"), torch.rand(1, 3, 32, 32)
    forward = device.operations(lambda: network(x))
    assert 0.08 < forward < 0.09  # 41 million multiply-adds (He et al., 2016)
    y = torch.zeros(1, dtype=torch.long)
    whole = device.operations(lambda: device.step(network, x, y, "fp32"))
    assert 2.9 < whole / forward <= 3  # images need no gradient
    bare = device.Convolutions(network, x, "fp32")
    alone = device.operations(lambda: device.step(bare, x, None, "fp32"))
    assert 0.99 < alone / whole < 1


def test_the_shares_become_a_table(monkeypatch):
    monkeypatch.setattr(device, "SIDE", 64)
    found = device.everything(rounds=1, where="cpu", compiled=False, count=1, batch=4)
    text = tables.device(found)
    for line in (
        "| fp32 | plain step | convolutions alone |",
        "| bf16 | plain step | matrix product |",
    ):
        assert line in text
    assert "cpu, 1 thread" in text
    found["together"] = {"count": 2, "times": {"fp32": 1.25}}
    assert "| fp32 | images a second, 2 at once | one training | 125% | | |" in tables.device(found)


def test_a_compiled_step_has_a_row_of_its_own(monkeypatch):
    """Compiled in earnest in tests/runs/test_loop.py; here `torch.compile` hands back what it got."""
    modes = []
    monkeypatch.setattr(device, "SIDE", 64)
    monkeypatch.setattr(torch, "compile", lambda model, mode: modes.append(mode) or model)
    made = device.device("fp32", rounds=1, batch=4, compiled=True)
    assert {name.partition(" / ")[2] for name in made.ratios} == {"plain step", "compiled step"}
    assert modes == ["default"]  # CUDA graphs are a GPU's


def test_a_rate_is_that_of_a_training_in_a_process_of_its_own():
    (rate,) = device._rates(1, "fp32", "cpu", 1.0)
    assert rate > 0
