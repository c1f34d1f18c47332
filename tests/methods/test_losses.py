"""The losses of the peers: closed forms, and the faults these tests must see."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F

from hkt_lite.methods import KD, Plain, kd
from tests.methods.nets import PARTS, gradients, loss, perceptron, rows

LOGITS = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2


def by_hand(child: list[list[float]], parent: list[list[float]], temperature: float) -> float:
    """T^2 times the batch mean of sum_k q_k log(q_k / p_k), q the parent's softened distribution."""
    total = 0.0
    for c, p in zip(child, parent):
        a, b = ([math.exp(z / temperature) for z in logits] for logits in (c, p))
        a, b = [x / sum(a) for x in a], [x / sum(b) for x in b]
        total += sum(q * math.log(q / r) for q, r in zip(b, a))
    return temperature**2 * total / len(child)


def check_divergence(temperature: float = 4.0):
    child, parent = LOGITS
    wanted = by_hand(child.tolist(), parent.tolist(), temperature)
    assert math.isclose(
        float(kd.soft_divergence(child, parent, temperature)), wanted, rel_tol=1e-12
    )
    assert abs(float(kd.soft_divergence(child, child, temperature))) < 1e-12
    child = child.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(kd.soft_divergence(child, parent, temperature), child)
    wanted = (
        temperature
        * (torch.softmax(child / temperature, 1) - torch.softmax(parent / temperature, 1))
        / len(child)
    )
    assert torch.allclose(gradient, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 4.0, 20.0])
def test_soft_divergence_closed_form(temperature):
    check_divergence(temperature)


def test_temperature_squared_keeps_the_gradients_size():
    """At a high temperature the gradient tends to (z_c - z_p) / K, both centred, whatever T is."""
    child, parent = LOGITS[0].clone().requires_grad_(), LOGITS[1]
    (gradient,) = torch.autograd.grad(kd.soft_divergence(child, parent, 1e3), child)
    difference = (child - parent).detach()
    wanted = (difference - difference.mean(1, keepdim=True)) / 4 / 5  # 4 classes, 5 samples
    torch.testing.assert_close(gradient, wanted, rtol=0.01, atol=1e-3)


def faulty(reduction="batchmean", factor=lambda t: t * t, swap=False, soften=lambda z, t: z / t):
    def soft_divergence(child, parent, temperature):
        if swap:
            child, parent = parent, child
        given = (
            F.log_softmax(soften(child, temperature), 1),
            F.log_softmax(soften(parent, temperature), 1),
        )
        return F.kl_div(*given, reduction=reduction, log_target=True) * factor(temperature)

    return soft_divergence


FAULTS = {
    "sign": faulty(factor=lambda t: -t * t),
    "no T^2": faulty(factor=lambda t: 1),
    "T for T^2": faulty(factor=lambda t: t),
    "sum": faulty("sum"),
    "mean over classes too": faulty("mean"),
    "directions exchanged": faulty(swap=True),
    "logits not softened": faulty(soften=lambda z, t: z),
    "weight 0": faulty(factor=lambda t: 0),
}


@pytest.mark.filterwarnings("ignore:reduction")
@pytest.mark.parametrize("fault", FAULTS)
def test_divergence_check_sees(fault, monkeypatch):
    monkeypatch.setattr(kd, "soft_divergence", FAULTS[fault])
    with pytest.raises(AssertionError):
        check_divergence()


def imitate(child_output, parent_output, temperature):
    return kd.soft_divergence(child_output, parent_output, temperature)


def check_kd(alpha: float = 0.9, temperature: float = 4.0, **options):
    child, parent, batch = perceptron(5, 6, 3), perceptron(5, 9, 3, seed=1), rows()
    terms = KD(
        child, parent, alpha=alpha, temperature=temperature, imitate=imitate, **PARTS, **options
    )(batch)
    assert list(terms) == ["L_c", "L_kd"]
    wanted = {
        "L_c": (1 - alpha) * loss(child(batch.x), batch),
        "L_kd": alpha * by_hand(child(batch.x).tolist(), parent(batch.x).tolist(), temperature),
    }
    for name, value in wanted.items():
        assert math.isclose(terms[name].item(), float(value), rel_tol=1e-10), name
    assert not any(p.requires_grad for p in parent.parameters())
    assert all(g.abs().max() > 0 for g in gradients(terms, child).values())


@pytest.mark.filterwarnings("ignore:Converting a tensor")
@pytest.mark.parametrize("alpha, temperature", [(0.9, 4.0), (0.5, 1.0), (0.1, 8.0)])
def test_kd_terms(alpha, temperature):
    check_kd(alpha, temperature)


@pytest.mark.filterwarnings("ignore:Converting a tensor")
@pytest.mark.parametrize(
    "fault", ["alpha exchanged", "alpha 0", "other temperature", "no T^2", "sum"]
)
def test_kd_check_sees(fault, monkeypatch):
    if fault in FAULTS:
        monkeypatch.setattr(kd, "soft_divergence", FAULTS[fault])
    else:
        name, change = {
            "alpha exchanged": ("alpha", lambda alpha: 1 - alpha),
            "alpha 0": ("alpha", lambda alpha: 0.0),
            "other temperature": ("temperature", lambda temperature: 1.0),
        }[fault]
        before = KD.__init__

        def init(self, *args, **kwargs):
            before(self, *args, **kwargs)
            changed = {name: change(getattr(self.options, name))}
            self.options = dataclasses.replace(self.options, **changed)

        monkeypatch.setattr(KD, "__init__", init)
    with pytest.raises(AssertionError):
        check_kd()


def check_plain(weight: float = 3.0):
    child, batch = perceptron(5, 6, 3), rows()
    terms = Plain(child, weight=weight, **PARTS)(batch)
    logits = child(batch.x).tolist()
    wanted = sum(
        math.log(sum(map(math.exp, z))) - z[y] for z, y in zip(logits, batch.y.tolist())
    ) / len(logits)
    assert list(terms) == ["L_c"] and math.isclose(
        terms["L_c"].item(), weight * wanted, rel_tol=1e-12
    )
    assert Plain(child, **PARTS)(batch)["L_c"].item() == pytest.approx(wanted, rel=1e-12)


def test_plain_is_the_weighted_task_loss():
    check_plain()


@pytest.mark.parametrize("fault", ["weight ignored", "sign", "sum"])
def test_plain_check_sees(fault, monkeypatch):
    weight = {"weight ignored": lambda w: 1, "sign": lambda w: -w, "sum": lambda w: 7 * w}[
        fault
    ]  # seven samples
    monkeypatch.setattr(
        Plain,
        "forward",
        lambda self, b: {"L_c": weight(self.options.weight) * loss(self.child(b.x), b)},
    )
    with pytest.raises(AssertionError):
        check_plain()


def test_plain_observes_nothing():
    assert Plain(perceptron(5, 3), **PARTS).observe() == {}
