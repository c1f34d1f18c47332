"""The RAFTs: what oneDNN does wrong is not asked of it."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from hkt_lite.benchmarks.cifar10.network import resnet
from hkt_lite.benchmarks.flow.network import LEVELS, Subsampled, raft
from hkt_lite.benchmarks.lits.network import unet
from hkt_lite.config import PROJECT

STEP = """
import torch
from hkt_lite.benchmarks.flow.network import raft

torch.set_num_threads(1)
net = raft("raft_tiny").train().to(memory_format=torch.channels_last)
for _ in range(3):
    pair = (torch.rand(8, 3, 96, 128).contiguous(memory_format=torch.channels_last) for _ in "12")
    sum(flow.abs().mean() for flow in net(*pair, num_flow_updates=2)).backward()
print("alive")
"""


def dangerous(network):
    """Names of the convolutions whose gradient writes past its workspace in oneDNN."""
    return [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d)
        and not isinstance(module, Subsampled)
        and module.in_channels < 16
        and all(side == 1 for side in module.kernel_size)
        and any(step > 1 for step in module.stride)
    ]


@pytest.mark.parametrize("arch", LEVELS)
def test_no_raft_asks_for_the_gradient_that_kills(arch):
    assert not dangerous(raft(arch))


def test_neither_do_the_other_benchmarks_networks():
    assert not dangerous(resnet("resnet8"))
    assert not dangerous(unet("resunet2d-6x4", 3)) and not dangerous(unet("unet2d-4x3", 3))
    assert dangerous(nn.Sequential(nn.Conv2d(12, 16, 1, 2))) == ["0"]


def test_a_step_at_the_size_that_killed_it_survives():
    done = subprocess.run([sys.executable, "-c", STEP], cwd=PROJECT, capture_output=True, text=True)
    assert done.stdout.strip() == "alive", f"exit {done.returncode}: {done.stderr}"


@pytest.mark.parametrize("size", [(8, 12), (7, 9)])
def test_a_subsampled_convolution_is_the_strided_one(size):
    torch.manual_seed(0)
    strided, ours = nn.Conv2d(12, 16, 1, 2).double(), Subsampled(12, 16, 1, 2).double()
    ours.load_state_dict(strided.state_dict())
    found = []
    for module in (strided, ours):
        x = torch.rand(3, 12, *size, generator=torch.Generator().manual_seed(1)).double()
        y = module(x.requires_grad_())
        y.square().sum().backward()
        found.append((y, x.grad, module.weight.grad, module.bias.grad))
    for one, other in zip(*found):
        assert torch.allclose(one, other, rtol=1e-12, atol=1e-12)
