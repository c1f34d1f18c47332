"""bfloat16 by float32 products is what autocast computes, up to the order of sums."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hkt_lite.runs import precision
from hkt_lite.runs.precision import Bfloat16InFloat32, autocast

EPSILON = 2**-8  # half the distance of neighbouring bfloat16 numbers, relative


def computed(how, action, *leaves):
    """Result and gradients."""
    given = [leaf.clone().requires_grad_() for leaf in leaves]
    with torch.autocast("cpu", torch.bfloat16), how:
        out = action(*given)
        (out.float().square().sum() / 2).backward()
    return out, [leaf.grad for leaf in given]


def exactly(out, action, *leaves):
    """The same in double precision on rounded numbers, going back from the rounded `out`."""
    given = [leaf.bfloat16().double().requires_grad_() for leaf in leaves]
    result = action(*given)
    return result, torch.autograd.grad(result, given, out.detach().double())


def drawn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)))


CASES = {
    "convolution": (
        lambda x, w, b: F.conv2d(x, w, b, stride=2, padding=1),
        drawn(2, 8, 12, 12),
        drawn(16, 8, 3, 3),
        drawn(16),
    ),
    "volume": (lambda x, w: F.conv3d(x, w), drawn(1, 4, 5, 5, 5), drawn(8, 4, 3, 3, 3)),
    "back up": (lambda x, w: F.conv_transpose2d(x, w), drawn(2, 8, 5, 5), drawn(8, 4, 2, 2)),
    "linear": (F.linear, drawn(32, 64), drawn(10, 64), drawn(10)),
    "product": (lambda a, b: a @ b, drawn(32, 64), drawn(64, 16)),
    "batch": (torch.bmm, drawn(3, 16, 32), drawn(3, 32, 8)),
}


@pytest.mark.parametrize("case", CASES)
def test_products_are_summed_in_float32_and_rounded_once(case):
    action, *leaves = CASES[case]
    out, gradients = computed(Bfloat16InFloat32(), action, *leaves)
    exact, back = exactly(out, action, *leaves)
    assert out.dtype == torch.bfloat16
    for one, other in [(out, exact), *zip(gradients, back)]:
        assert torch.equal(one, one.bfloat16().to(one.dtype))
        assert one.double().allclose(
            other, rtol=1.01 * EPSILON, atol=1e-6 * other.abs().max().item()
        )
    assert [x.dtype for x in gradients] == [torch.float32] * len(leaves)


@pytest.mark.parametrize("case", CASES)
def test_autocast_computes_the_same_and_never_more_precisely(case):
    action, *leaves = CASES[case]
    ours, theirs = (
        computed(Bfloat16InFloat32(), action, *leaves),
        computed(torch.enable_grad(), action, *leaves),
    )
    exact, back = exactly(ours[0], action, *leaves)
    pairs = [(ours[0], theirs[0], exact), *zip(ours[1], theirs[1], back)]
    for one, other, truth in pairs:
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        errors = [(x.double() - truth).norm() / truth.norm() for x in (one, other)]
        assert errors[0] <= 1.2 * errors[1] and errors[1] < 4 * EPSILON


def test_where_a_method_leaves_autocast_it_computes_in_single_precision():
    a, b = drawn(8, 300), drawn(300, 8)
    with torch.autocast("cpu", torch.bfloat16), Bfloat16InFloat32():
        with torch.autocast("cpu", enabled=False):
            assert torch.equal(a @ b, torch.matmul(a, b)) and (a @ b).dtype == torch.float32
        assert (a @ b).dtype == torch.bfloat16
    assert (a @ b).dtype == torch.float32


@pytest.mark.parametrize("fast", [True, False])
def test_only_a_processor_without_bfloat16_takes_this_way(fast, monkeypatch):
    layer, x, used = nn.Linear(4, 2), drawn(3, 4), []
    monkeypatch.setattr(precision, "native", lambda: fast)
    monkeypatch.setattr(precision, "_rounded", lambda x: used.append(x) or x)
    with autocast("cpu", "fp32"):
        assert layer(x).dtype == torch.float32
    assert not used
    with autocast("cpu", "bf16"):
        assert layer(x).dtype == torch.bfloat16
    assert bool(used) is not fast
