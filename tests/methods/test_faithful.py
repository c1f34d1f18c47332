"""HKT with one pooled site is the released algorithm: the three terms and the child's gradients, number by number."""

from copy import deepcopy

import pytest
import torch

import hkt_lite.methods.method as method_module
from hkt_lite.benchmarks.cifar10 import data as cifar10
from hkt_lite.benchmarks.cifar10.network import resnet
from hkt_lite.benchmarks.cifar10.task import MEAN, STD
from hkt_lite.benchmarks.weights import load_weights
from hkt_lite.config import data_home
from hkt_lite.methods import HKT, attention, etm
from hkt_lite.methods.attention import gate
from tests.methods.nets import (
    PARTS,
    POOLED,
    POOLED_UPSTREAM,
    Batch,
    gradients,
    images,
    networks,
    opened,
)
from tests.reference import released

TOLERANCE = {
    torch.float32: 2e-5,
    torch.float64: 1e-10,
}  # of a term, and of a gradient's largest entry
WEIGHTS = data_home() / "weights"


def check_terms(got, wanted, dtype):
    assert list(got) == ["L_c", "L_c*", "L_p*"]
    for name, term in wanted.items():
        value, term = got[name].item(), term.item()
        assert abs(value - term) <= TOLERANCE[dtype] * term, f"{name}: {value} is not {term}"


def check_gradients(got, wanted, dtype):
    assert got.keys() == wanted.keys()
    for name, gradient in wanted.items():
        assert gradient.abs().max() > 0, f"{name} has no gradient"
        error = float((got[name] - gradient).abs().max() / gradient.abs().max())
        assert error <= TOLERANCE[dtype], f"the gradient of {name} is off by {error}"


def check_faithful(child, parent, batch, sites=POOLED_UPSTREAM, **parts):
    """Terms and gradients of our step against the released one, both from the same start."""
    theirs, ours = deepcopy(child), deepcopy(child)
    wanted = released.step(theirs, deepcopy(parent), batch.x, batch.y)
    method = HKT(ours, deepcopy(parent), sites=sites, **{**PARTS, **parts})
    terms = method(batch)
    check_terms(terms, wanted, batch.x.dtype)
    check_gradients(gradients(terms, ours), gradients(wanted, theirs), batch.x.dtype)
    return method


def check_open(child, parent, batch):
    """The gate is open, and both the parent's feature and the gate carry a gradient in every sample."""
    c, p = (
        released.pooled(deepcopy(net), batch.x).detach().requires_grad_() for net in (child, parent)
    )
    g = gate(c, p)
    assert 0.1 < g.min().item() and g.max().item() < 0.9
    m = c + 0.6 * (1 - g) * (p - c)
    torch.testing.assert_close(m, attention.mix(c, p))
    objective = sum(released.mean_cross_entropy(net.linear(m), batch.y) for net in (child, parent))
    through_p, through_g = torch.autograd.grad(objective, [p, g])
    assert (through_p.abs().amax(1) > 0).all() and (through_g.abs() > 0).all()


@pytest.fixture(scope="module", params=[torch.float32, torch.float64], ids=["float32", "float64"])
def pair(request):
    batch = images(dtype=request.param)
    return (*opened(*networks(dtype=request.param), batch.x), batch)


@pytest.mark.parametrize(
    "sites", [POOLED, POOLED_UPSTREAM], ids=["whole second pass", "upstream replayed"]
)
def test_equals_the_release_with_an_open_gate(pair, sites):
    check_open(*pair)
    method = check_faithful(*pair, sites)
    seen = method.observe()
    assert (
        seen["gate"].shape == (8,)
        and 0.1 < float(seen["gate"].min())
        and float(seen["displacement"].min()) > 0
    )
    torch.testing.assert_close(seen["share"], 0.6 * (1 - seen["gate"]))


def test_parent_in_training_mode_is_what_we_left_out(pair):
    """The release's parent normalises with the batch and its statistics move twice a step; ours does neither."""
    child, parent, batch = (deepcopy(part) for part in pair)
    quiet = released.step(deepcopy(child), parent, batch.x, batch.y)
    before = {name: value.clone() for name, value in parent.named_buffers()}
    loud = released.step(deepcopy(child), parent, batch.x, batch.y, parent_in_training=True)
    assert (
        loud["L_c"].item() == quiet["L_c"].item()
        and abs(loud["L_p*"].item() - quiet["L_p*"].item()) > 1e-4
    )
    after = dict(parent.named_buffers())
    assert int(after["bn1.num_batches_tracked"] - before["bn1.num_batches_tracked"]) == 2
    assert not torch.equal(after["bn1.running_mean"], before["bn1.running_mean"])


def test_random_networks_close_the_gate_and_prove_nothing():
    """Why the tests above shift and scale: long features give 1 - g = 0, and the parent no gradient."""
    batch = images(dtype=torch.float32)
    child, parent = networks(dtype=torch.float32)
    c, p = (
        released.pooled(net, batch.x).detach() * 20 for net in (child, parent)
    )  # as deep networks have them
    p.requires_grad_()
    assert (1 - gate(c, p)).max().item() == 0
    (through_p,) = torch.autograd.grad(attention.mix(c, p).square().sum(), p)
    assert float(through_p.abs().max()) == 0
    check_faithful(child, parent, batch)  # still equal; but so would nearly anything be


@pytest.mark.parametrize(
    "sites", [POOLED, POOLED_UPSTREAM], ids=["whole second pass", "upstream replayed"]
)
def test_running_statistics_move_once_a_step_as_in_a_plain_pass(pair, sites):
    child, parent, batch = pair
    plain, ours, theirs = (deepcopy(child) for _ in range(3))
    plain(batch.x)
    HKT(ours, deepcopy(parent), sites=sites, **PARTS)(batch)
    released.step(theirs, deepcopy(parent), batch.x, batch.y)
    for (name, a), (_, b), (_, c) in zip(
        plain.named_buffers(), ours.named_buffers(), theirs.named_buffers()
    ):
        assert torch.equal(a, b), name
        assert not torch.equal(a, c), f"{name}: the release moves it twice"
    assert int(ours.bn1.num_batches_tracked) == 1 and int(theirs.bn1.num_batches_tracked) == 2


def test_parent_gets_no_gradient_and_the_mixture_does(pair):
    child, parent, batch = pair
    method = HKT(deepcopy(child), deepcopy(parent), sites=POOLED_UPSTREAM, **PARTS)
    sum(method(batch).values()).backward()
    assert all(p.grad is None and not p.requires_grad for p in method.parent.parent.parameters())
    only_parent = HKT(
        deepcopy(child), deepcopy(parent), sites=POOLED_UPSTREAM, terms=["L_p*"], **PARTS
    )
    found = gradients(only_parent(batch), only_parent.child)
    assert found["conv1.weight"].abs().max() > 0 and found["linear.weight"].abs().max() == 0


@pytest.mark.parametrize("terms", [("L_c",), ("L_c*",), ("L_p*",), ("L_c", "L_p*")])
def test_a_choice_of_terms_has_the_same_values(pair, terms):
    child, parent, batch = pair
    wanted = released.step(deepcopy(child), deepcopy(parent), batch.x, batch.y)
    got = HKT(deepcopy(child), deepcopy(parent), sites=POOLED_UPSTREAM, terms=terms, **PARTS)(batch)
    assert tuple(got) == terms
    for name in terms:
        torch.testing.assert_close(
            got[name], wanted[name].detach(), check_dtype=False, rtol=2e-5, atol=0
        )


# -- mutations: each of these faults must be seen --------------------------------------------------------------------


def _mix(change):
    """A faulty formula in the place where HKT's Mixture finds it."""
    return lambda patch: patch.setattr(
        etm, "mix", lambda c, p, kind, lam: change(c, p, gate(c, p), lam)
    )


def _tail_of_parent_feature(patch):
    patch.setattr(etm.Transfer, "back", lambda self, m, like: like)


def _detached_tail(patch):
    patch.setattr(etm.Transfer, "back", lambda self, m, like: m.detach())


def _statistics_instead_of_batch(patch):
    patch.setattr(method_module, "record", _evaluated(method_module.record))


def _evaluated(record):
    def changed(model, paths):
        model.eval()
        return record(model, paths)

    return changed


def _long(c, p):
    return (c * p).sum(1, keepdim=True)


MUTATIONS = {
    "sign": _mix(lambda c, p, g, lam: c - lam * (1 - g) * (p - c)),
    "gate inverted": _mix(lambda c, p, g, lam: c + lam * g * (p - c)),
    "lambda 0": _mix(lambda c, p, g, lam: c),
    "lambda 0.5": _mix(lambda c, p, g, lam: c + 0.5 * (1 - g) * (p - c)),
    "parent and child exchanged": _mix(lambda c, p, g, lam: p + lam * (1 - g) * (c - p)),
    "the attended feature itself": _mix(lambda c, p, g, lam: g * p + (1 - g) * c),
    "no gradient through the gate": _mix(lambda c, p, g, lam: c + lam * (1 - g.detach()) * (p - c)),
    "no gradient through the child": _mix(lambda c, p, g, lam: attention.mix(c.detach(), p)),
    "not divided by sqrt C": lambda patch: patch.setattr(attention, "similarity", _long),
    "softmax for sigmoid": lambda patch: patch.setattr(
        attention.torch, "sigmoid", lambda s: torch.softmax(s, 0)
    ),
    "parent's head on the parent's feature": _tail_of_parent_feature,
    "mixture detached for the parent's head": _detached_tail,
    "child in evaluation mode": _statistics_instead_of_batch,
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_faithfulness_sees(name, pair, monkeypatch):
    child, parent, batch = pair
    MUTATIONS[name](monkeypatch)
    with pytest.raises(AssertionError):
        check_faithful(child, parent, batch)


@pytest.mark.parametrize("fault", ["sum", "doubled", "two terms exchanged"])
def test_faithfulness_sees_losses(fault, pair):
    child, parent, batch = pair
    wrong = {
        "sum": lambda out, b: torch.nn.functional.cross_entropy(out, b.y, reduction="sum"),
        "doubled": lambda out, b: 2 * PARTS["loss"](out, b),
    }
    with pytest.raises(AssertionError):
        if fault in wrong:
            check_faithful(child, parent, batch, loss=wrong[fault])
        else:
            terms = released.step(deepcopy(child), deepcopy(parent), batch.x, batch.y)
            check_terms(
                {"L_c": terms["L_c"], "L_c*": terms["L_p*"], "L_p*": terms["L_c*"]},
                terms,
                batch.x.dtype,
            )


# -- the public checkpoints ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pictures():
    """Six real test images where they are, else noise."""
    if not cifar10.present(data_home()):
        return images(6, 32, torch.float32)
    found = cifar10.load(data_home(), "test", 6)
    mean, std = (torch.tensor(value).view(1, 3, 1, 1) for value in (MEAN, STD))
    return Batch((found.x / 255 - mean) / std, found.y, torch.arange(6))


@pytest.mark.real
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("child_file", ["HKT-RestNet20.pth", "resnet20-12fca82f.th"])
def test_equals_the_release_on_public_checkpoints(child_file, dtype, pictures):
    missing = [
        name for name in ("resnet56-4bfd9763.th", child_file) if not (WEIGHTS / name).is_file()
    ]
    if missing:
        pytest.skip(f"the public checkpoint {missing[0]} is not under {WEIGHTS}")
    child = load_weights(resnet("resnet20"), WEIGHTS / child_file).to(dtype)
    parent = load_weights(resnet("resnet56"), WEIGHTS / "resnet56-4bfd9763.th").to(dtype).eval()
    batch = pictures._replace(x=pictures.x.to(dtype))
    method = check_faithful(child, parent, batch)  # as they are: nearly closed, but not quite
    assert 0 < float(method.observe()["share"].median()) < 0.3
    assert 0 < float(method.observe()["displacement"].median()) < 0.3
    scaled = opened(child, parent, batch.x)
    check_open(*scaled, batch)
    check_faithful(*scaled, batch)
