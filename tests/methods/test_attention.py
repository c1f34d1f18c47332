"""Genetic Attention: the closed forms of its four kinds, what bounds them, and the sentences of its errors."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hkt_lite.methods import MethodError, attention, etm
from hkt_lite.methods.attention import KINDS, gate, mix, share, similarity
from hkt_lite.methods.etm import Mixture
from tests.reference import released

SETTINGS = settings(max_examples=40, deadline=None)


def features(seed: int, shape: tuple[int, ...], length: float = 1.0, positive: bool = False):
    draw = torch.Generator().manual_seed(seed)
    c, p = (length * torch.randn(shape, generator=draw, dtype=torch.float64) for _ in range(2))
    return (c.abs(), p.abs()) if positive else (c, p)


SHAPES = st.sampled_from([(3, 4), (2, 1), (1, 7), (2, 4, 3), (2, 4, 3, 5), (2, 3, 2, 2, 3)])
DRAWN = st.builds(features, st.integers(0, 10**6), SHAPES, st.floats(0.1, 3), st.booleans())
LAM = st.floats(0, 1)


# -- closed forms, number by number ----------------------------------------------------------------------------------


def by_hand(c: list[float], p: list[float], kind: str, lam: float) -> list[float]:
    """One vector pair in plain Python."""
    g = 1 / (1 + math.exp(-sum(a * b for a, b in zip(c, p)) / math.sqrt(len(c))))
    return {
        "gate": [a + lam * (1 - g) * (b - a) for a, b in zip(c, p)],
        "forward_gate": [a + lam * g * (b - a) for a, b in zip(c, p)],
        "static": [0.3 * a + 0.7 * b for a, b in zip(c, p)],
        "constant": [(1 - lam) * a + lam * b for a, b in zip(c, p)],
    }[kind]


def check_closed_form(kind: str, lam: float = 0.6, seed: int = 0):
    """Vectors, and maps position by position."""
    c, p = features(seed, (3, 4, 2, 2))
    m = attention.mix(c, p, kind, lam)
    for b in range(3):
        for y in range(2):
            for x in range(2):
                one = by_hand(c[b, :, y, x].tolist(), p[b, :, y, x].tolist(), kind, lam)
                wanted = torch.tensor(one, dtype=torch.float64)
                assert torch.allclose(m[b, :, y, x], wanted, rtol=1e-12, atol=1e-12), (
                    m[b, :, y, x],
                    wanted,
                )
    vectors = attention.mix(c[:, :, 0, 0], p[:, :, 0, 0], kind, lam)
    assert torch.allclose(vectors, m[:, :, 0, 0], rtol=1e-12, atol=1e-12)


def check_softmax(lam: float = 0.6, seed: int = 0):
    """a sums to 1 over the positions, so a position's value hardly shrinks: m = c + lam (p - a p)."""
    c, p = features(seed, (2, 4, 2, 3))
    m = attention.mix(c, p, "softmax", lam)
    for b in range(2):
        products = (c[b] * p[b]).tolist()  # [channel][y][x]; C = 4, so sqrt(C) = 2
        scores = [
            [sum(products[k][y][x] for k in range(4)) / 2 for x in range(3)] for y in range(2)
        ]
        total = sum(math.exp(s) for row in scores for s in row)
        for y in range(2):
            for x in range(3):
                a = math.exp(scores[y][x]) / total
                wanted = c[b, :, y, x] + lam * (1 - a) * p[b, :, y, x]
                assert torch.allclose(m[b, :, y, x], wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("lam", [0.0, 0.25, 0.6, 1.0])
@pytest.mark.parametrize("kind", ["gate", "forward_gate", "static", "constant"])
def test_closed_forms(kind, lam):
    check_closed_form(kind, lam)


@pytest.mark.parametrize("lam", [0.0, 0.6])
def test_softmax_closed_form(lam):
    check_softmax(lam)


def test_gate_equals_the_released_words():
    c, p = features(3, (5, 64), 0.3)
    torch.testing.assert_close(mix(c, p), released.parent_child_attention(c, p), rtol=1e-12, atol=0)


@SETTINGS
@given(DRAWN)
def test_gate_is_a_step_over_genetic_attention(pair):
    """m = c + lam (p - GA) with GA = g p + (1 - g) c, the two ways of writing it."""
    c, p = pair
    g = gate(c, p)
    torch.testing.assert_close(
        mix(c, p), c + 0.6 * (p - (g * p + (1 - g) * c)), rtol=1e-9, atol=1e-9
    )


def test_shapes_of_similarity_and_gate():
    for shape in [(3, 4), (2, 4, 5), (2, 4, 5, 6), (2, 4, 2, 3, 2)]:
        c, p = features(0, shape)
        assert similarity(c, p).shape == (shape[0], 1, *shape[2:]) == gate(c, p).shape
        assert all(
            mix(c, p, kind).shape == shape for kind in KINDS if len(shape) > 2 or kind != "softmax"
        )


# -- properties ------------------------------------------------------------------------------------------------------


@SETTINGS
@given(DRAWN, LAM, st.sampled_from(["gate", "forward_gate"]))
def test_the_mixture_lies_between_child_and_lam_of_the_way_to_the_parent(pair, lam, kind):
    c, p = pair
    m = mix(c, p, kind, lam)
    share = {"gate": 1 - gate(c, p), "forward_gate": gate(c, p)}[kind]
    torch.testing.assert_close(m - c, lam * share * (p - c), rtol=1e-9, atol=1e-9)
    assert ((m - c).abs() <= lam * (p - c).abs() + 1e-9).all()


@SETTINGS
@given(st.integers(0, 10**6), SHAPES, st.floats(0.1, 3), LAM)
def test_at_most_half_of_lam_is_inherited_from_non_negative_features(seed, shape, length, lam):
    """Pooled features after a ReLU are >= 0, so g >= 1/2: the released gate gives at most lam / 2 = 0.3 of the way."""
    c, p = features(seed, shape, length, positive=True)
    assert (gate(c, p) >= 0.5).all()
    assert ((mix(c, p, "gate", lam) - c).abs() <= lam / 2 * (p - c).abs() + 1e-12).all()
    assert ((mix(c, p, "forward_gate", lam) - c).abs() >= lam / 2 * (p - c).abs() - 1e-12).all()


@SETTINGS
@given(DRAWN, LAM, st.sampled_from(["gate", "forward_gate", "static", "constant"]))
def test_samples_and_positions_do_not_see_each_other(pair, lam, kind):
    c, p = pair
    whole = mix(c, p, kind, lam)
    torch.testing.assert_close(
        torch.cat([mix(a[None], b[None], kind, lam) for a, b in zip(c, p)]), whole
    )
    if c.ndim > 2:
        torch.testing.assert_close(mix(c.flip(2), p.flip(2), kind, lam).flip(2), whole)


@SETTINGS
@given(DRAWN, st.sampled_from(KINDS))
def test_order_of_channels_does_not_matter(pair, kind):
    c, p = pair
    if kind == "softmax" and c.ndim < 3:
        return
    order = torch.randperm(c.shape[1], generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(mix(c[:, order], p[:, order], kind), mix(c, p, kind)[:, order])


@SETTINGS
@given(DRAWN, LAM, st.sampled_from(["gate", "forward_gate", "static", "constant"]))
def test_a_parent_that_agrees_changes_nothing(pair, lam, kind):
    c, _ = pair
    torch.testing.assert_close(mix(c, c, kind, lam), c)


@SETTINGS
@given(DRAWN)
def test_the_gate_closes_with_similarity_and_inheritance_with_it(pair):
    c, p = pair
    closer = gate(c, p + 0.5 * c)  # adding the child's own direction makes them more alike
    assert (closer >= gate(c, p)).all() and ((1 - closer) <= (1 - gate(c, p))).all()


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_child_and_parent(kind):
    c, p = (z.requires_grad_() for z in features(5, (2, 3, 2, 2), 0.5))
    assert torch.autograd.gradcheck(lambda c, p: mix(c, p, kind), (c, p))


# -- errors ----------------------------------------------------------------------------------------------------------


def test_error_sentences():
    c, p = features(0, (3, 4))
    with pytest.raises(MethodError, match=r"features of one shape .*got \(3, 4\) and \(3, 3\)\."):
        mix(c, p[:, :3])
    for call in (mix, share):
        with pytest.raises(MethodError, match=r"'softmax' .* needs maps, not \(3, 4\)\."):
            call(c, p, "softmax")
        with pytest.raises(
            MethodError,
            match="Unknown kind .* 'gates'; known: gate, forward_gate, static, softmax, constant",
        ):
            call(c, p, "gates")
    with pytest.raises(
        MethodError,
        match="'kind' of Mixture must be a name out of gate, forward_gate, static, softmax, "
        "constant, got 'gates'. Did you mean 'gate'?",
    ):
        Mixture("gates")
    for lam in (-0.1, 1.1, "much", None, True, math.nan):
        with pytest.raises(MethodError, match="'lam' of Mixture must be a number from 0 to 1, got"):
            Mixture("gate", lam)
    with pytest.raises(MethodError, match="one shape"):
        gate(c[0], p[0])


# -- Mixture ---------------------------------------------------------------------------------------------------------


def test_mixture_is_mix_without_parameters_and_observes_per_sample():
    c, p = features(1, (6, 4, 2, 2))
    mixture = Mixture("forward_gate", 0.4)
    m = mixture(c, p)
    assert not list(mixture.parameters()) and torch.equal(m, mix(c, p, "forward_gate", 0.4))
    seen = mixture.observe(c.requires_grad_(), p, m)
    torch.testing.assert_close(seen["gate"], gate(c, p).mean((1, 2, 3)).detach())
    torch.testing.assert_close(
        seen["share"], 0.4 * gate(c, p).mean((1, 2, 3)).detach(), rtol=1e-12, atol=0
    )
    torch.testing.assert_close(
        seen["displacement"], ((m - c).flatten(1).norm(dim=1) / c.flatten(1).norm(dim=1)).detach()
    )
    assert list(seen) == ["gate", "share", "displacement"]
    assert all(value.shape == (6,) and not value.requires_grad for value in seen.values())
    assert torch.isfinite(mixture.observe(0 * c, p, m)["displacement"]).all()


def shares_by_hand(
    c: list[list[float]], p: list[list[float]], kind: str, lam: float
) -> list[float]:
    """rho at each position of one sample in plain Python; c and p are [position][channel]."""
    scores = [sum(a * b for a, b in zip(x, y)) / math.sqrt(len(x)) for x, y in zip(c, p)]
    gates = [1 / (1 + math.exp(-s)) for s in scores]
    total = sum(map(math.exp, scores))
    return {
        "gate": [lam * (1 - g) for g in gates],
        "forward_gate": [lam * g for g in gates],
        "static": [0.7 for _ in gates],
        "softmax": [lam * (1 - math.exp(s) / total) for s in scores],
        "constant": [lam for _ in gates],
    }[kind]


def check_observed(kind: str, lam: float = 0.45):
    """Gate, share and displacement of each sample: number by number."""
    c, p = features(7, (3, 4, 2, 3), 0.8)
    mixture = Mixture(kind, lam)
    seen = mixture.observe(c, p, mixture(c, p))
    for b in range(3):
        rows = [z[b].flatten(1).T.tolist() for z in (c, p)]
        shares = shares_by_hand(*rows, kind, lam)
        gates = shares_by_hand(*rows, "forward_gate", 1.0)
        towards = 0.0 if kind == "softmax" else 1.0  # softmax adds p, the others go from c to p
        moved = length = 0.0
        for x, y, rho in zip(*rows, shares):
            moved += sum((rho * (v - towards * u)) ** 2 for u, v in zip(x, y))
            length += sum(u * u for u in x)
        assert seen["gate"][b].item() == pytest.approx(sum(gates) / 6, rel=1e-10)
        assert seen["share"][b].item() == pytest.approx(sum(shares) / 6, rel=1e-10)
        assert seen["displacement"][b].item() == pytest.approx((moved / length) ** 0.5, rel=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_observed_of_every_kind(kind):
    check_observed(kind)


@pytest.mark.parametrize("kind", ["gate", "forward_gate"])
def test_the_share_of_vectors(kind):
    c, p = features(8, (5, 6), 0.7)
    seen = Mixture(kind, 0.3).observe(c, p, mix(c, p, kind, 0.3))
    for b in range(5):
        (wanted,) = shares_by_hand([c[b].tolist()], [p[b].tolist()], kind, 0.3)
        assert seen["share"][b].item() == pytest.approx(wanted, rel=1e-10)


def test_slices_have_shares_of_their_own():
    """The mean over channels: a slice counts by its width."""
    c, p = features(9, (3, 6), 0.9)
    mixture, parts = Mixture("gate", 0.6), ((9, 2), (9, 4))
    m = mixture(c, p, parts)
    assert torch.equal(m, torch.cat([mix(c[:, :2], p[:, :2]), mix(c[:, 2:], p[:, 2:])], 1))
    seen = mixture.observe(c, p, m, parts)
    first, second = (0.6 * (1 - gate(c[:, s], p[:, s])[:, 0]) for s in (slice(2), slice(2, 6)))
    torch.testing.assert_close(seen["share"], (2 * first + 4 * second) / 6)
    torch.testing.assert_close(seen["gate"], gate(c, p)[:, 0])


SHARES = {
    "gate inverted": lambda c, p, kind, lam: lam - share(c, p, kind, lam),
    "lambda left out": lambda c, p, kind, lam: share(c, p, kind, 1.0),
    "sign": lambda c, p, kind, lam: -share(c, p, kind, lam),
    "sum over positions": lambda c, p, kind, lam: 6 * share(c, p, kind, lam),
}


@pytest.mark.parametrize("fault", SHARES)
def test_observed_shares_see(fault, monkeypatch):
    monkeypatch.setattr(etm, "share", SHARES[fault])
    with pytest.raises(AssertionError):
        check_observed("gate")


# -- mutations -------------------------------------------------------------------------------------------------------


def _mutated(formula):
    def mix(c, p, kind="gate", lam=0.6):
        return formula(c, p, gate(c, p), lam)

    return mix


@pytest.mark.parametrize(
    "formula",
    [
        lambda c, p, g, lam: c - lam * (1 - g) * (p - c),
        lambda c, p, g, lam: c + lam * g * (p - c),
        lambda c, p, g, lam: c,
        lambda c, p, g, lam: c + (1 - g) * (p - c),
        lambda c, p, g, lam: c + lam * (1 - g) * p,
    ],
    ids=["sign", "gate inverted", "lambda 0", "lambda 1", "not a difference"],
)
def test_closed_form_of_the_gate_sees(formula, monkeypatch):
    monkeypatch.setattr(attention, "mix", _mutated(formula))
    with pytest.raises(AssertionError):
        check_closed_form("gate")


@pytest.mark.parametrize(
    "formula",
    [
        lambda c, p, g, lam: c + lam * (1 - g) * (p - c),
        lambda c, p, g, lam: c - lam * g * (p - c),
        lambda c, p, g, lam: c,
    ],
    ids=["gate inverted", "sign", "lambda 0"],
)
def test_closed_form_of_the_forward_gate_sees(formula, monkeypatch):
    monkeypatch.setattr(attention, "mix", _mutated(formula))
    with pytest.raises(AssertionError):
        check_closed_form("forward_gate")


@pytest.mark.parametrize("share", [0.3, 0.0], ids=["shares exchanged", "lambda 0"])
def test_closed_form_of_static_sees(share, monkeypatch):
    monkeypatch.setattr(attention, "PARENT_SHARE", share)
    with pytest.raises(AssertionError):
        check_closed_form("static")


@pytest.mark.parametrize(
    "fault",
    [
        lambda c, p: -(c * p).sum(1, keepdim=True) / c.shape[1] ** 0.5,
        lambda c, p: (c * p).sum(1, keepdim=True),
        lambda c, p: (c * p).mean(1, keepdim=True),
    ],
    ids=["sign", "not divided by sqrt C", "mean for sum"],
)
@pytest.mark.parametrize(
    "check",
    [
        lambda: check_closed_form("gate"),
        lambda: check_closed_form("forward_gate"),
        check_softmax,
    ],
    ids=["gate", "forward_gate", "softmax"],
)
def test_closed_forms_see_a_wrong_similarity(check, fault, monkeypatch):
    monkeypatch.setattr(attention, "similarity", fault)
    with pytest.raises(AssertionError):
        check()


def test_mixture_passes_on_its_kind_and_lam(monkeypatch):
    asked = []
    monkeypatch.setattr(etm, "mix", lambda *given: asked.append(given[2:]) or given[0])
    Mixture("static", 0.25)(*features(0, (2, 3)))
    assert asked == [("static", 0.25)]
