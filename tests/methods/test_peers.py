"""FitNet, attention transfer, and a site whose channels are slices: by hand, and what each refuses."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hkt_lite.methods import AT, HKT, FitNet, Site
from hkt_lite.methods.at import attention_map
from hkt_lite.methods.attention import mix
from hkt_lite.methods.etm import Parts
from hkt_lite.methods.fitnet import hint
from hkt_lite.methods.parent import Live
from hkt_lite.methods.sites import SiteError, record


class Net(nn.Module):
    """Two maps and a head."""

    def __init__(self, width: int, stride: int = 1):
        super().__init__()
        self.stem, self.body, self.head = (
            nn.Conv2d(3, width, 3, stride, 1),
            nn.Sequential(nn.Conv2d(width, width, 3, 1, 1)),
            nn.Linear(width, 4),
        )

    def forward(self, x):
        return self.head(torch.relu(self.body(torch.relu(self.stem(x)))).mean((2, 3)))


PARTS = {
    "predict": lambda model, batch: model(batch[0]),
    "loss": lambda output, batch: F.cross_entropy(output, batch[1]),
}


@pytest.fixture
def nets():
    torch.manual_seed(0)
    return (
        Net(6).double(),
        Net(10, stride=2).double(),
        (torch.randn(5, 3, 8, 8).double(), torch.arange(5) % 4),
    )


def features(net, batch, path):
    with record(net, [path]) as seen:
        net(batch[0])
    return seen[path][0]


def test_fitnet_by_hand(nets):
    child, parent, batch = nets
    method = FitNet(
        child, parent, sites=[Site("stem", "stem"), Site("body", "body")], beta=0.7, **PARTS
    )
    method.setup(batch)
    terms, wanted = method(batch), []
    for regressor, path in zip(method.regressors, ("stem", "body")):
        c, p = (
            features(child, batch, path),
            F.interpolate(features(parent, batch, path), (8, 8), mode="bilinear"),
        )
        r = (
            torch.einsum("oi,bihw->bohw", regressor.weight[:, :, 0, 0], c)
            + regressor.bias[:, None, None]
        )
        wanted.append(((r - p) ** 2).mean())
    assert terms["L_hint"].item() == pytest.approx(
        0.7 * (wanted[0] + wanted[1]).item() / 2, rel=1e-10
    )
    assert terms["L_c"].item() == pytest.approx(F.cross_entropy(child(batch[0]), batch[1]).item())
    assert {id(p) for p in method.extra_parameters()} == {
        id(p) for p in method.regressors.parameters()
    }
    sum(terms.values()).backward()
    assert all(p.grad is not None for p in method.parameters()) and all(
        p.grad is None for p in parent.parameters()
    )


def test_hint_is_a_mean_of_squares():
    assert hint(torch.tensor([[1.0, 3.0]]), torch.tensor([[2.0, 1.0]])).item() == pytest.approx(
        (1 + 4) / 2
    )


def test_attention_transfer_by_hand(nets):
    child, parent, batch = nets
    method = AT(
        child, parent, sites=[Site("stem", "stem"), Site("body", "body")], beta=10.0, **PARTS
    )
    terms, wanted = method(batch), 0.0
    for path in ("stem", "body"):
        c, p = (
            features(child, batch, path),
            F.interpolate(features(parent, batch, path), (8, 8), mode="bilinear"),
        )
        maps = [(x**2).mean(1).flatten(1) for x in (c, p)]
        a, b = (x / (x**2).sum(1, keepdim=True).sqrt() for x in maps)
        wanted += 5.0 * ((a - b) ** 2).mean()
    assert terms["L_at"].item() == pytest.approx(wanted.item(), rel=1e-10)
    assert not list(method.extra_parameters())


def test_an_attention_map_does_not_know_the_width_or_the_size_of_a_feature():
    x = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(attention_map(x), attention_map(torch.cat([7 * x, 7 * x], 1)))
    assert attention_map(x).norm(dim=1).tolist() == pytest.approx([1, 1])


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda c, p, b: FitNet(c, p, **PARTS), "at least one site"),
        (lambda c, p, b: AT(c, p, **PARTS), "at least one site"),
        (lambda c, p, b: FitNet(c, p, sites=[Site("body", "body")], **PARTS)(b), "setup"),
        (lambda c, p, b: AT(c, p, sites=[Site("head", "head")], **PARTS)(b), "compares maps"),
        (
            lambda c, p, b: FitNet(c, p, sites=[Site("head", "body")], **PARTS).setup(b),
            "'head -> body': .* differ in rank or batch",
        ),
        (
            lambda c, p, b: AT(c, p, sites=[Site("head", "body")], **PARTS).setup(b),
            "'head -> body': .* differ in rank or batch",
        ),
        (
            lambda c, p, b: AT(c, p, sites=[Site("head", "head")], **PARTS).setup(b),
            "'head': attention transfer compares maps",
        ),
        (
            lambda c, p, b: HKT(c, p, kind="softmax", sites=[Site("head", "head")], **PARTS).setup(
                b
            ),
            "'head': kind 'softmax' weighs positions",
        ),
        (
            lambda c, p, b: HKT(
                c, p, sites=[Site("body", "body", parts=((4, 2), (5, 4)))], **PARTS
            ).setup(b),
            "do not add up to the 10 and 6 channels",
        ),
    ],
)
def test_what_they_refuse(nets, make, words):
    with pytest.raises((ValueError, SiteError), match=words):
        make(*nets)


class Twice(Net):
    """Calls its body twice."""

    def forward(self, x):
        return self.head(torch.relu(self.body(self.body(self.stem(x)))).mean((2, 3)))


@pytest.mark.parametrize("make", [FitNet, AT, HKT])
def test_a_site_that_is_called_more_often_in_one_network_is_refused(nets, make):
    child, _, batch = nets
    method = make(child, Twice(6).double(), sites=[Site("body", "body")], **PARTS)
    with pytest.raises(SiteError, match="'body' is called 2 times in the parent and 1 times in"):
        method.setup(batch)


def test_peers_keep_the_precision_of_what_they_are_given(nets):
    """float64 stays; half precision, as under autocast, is compared in single."""
    x = torch.rand(2, 3, 4, 4)
    for given, wanted in [("float64",) * 2, ("float32",) * 2, ("bfloat16", "float32")]:
        z = x.to(getattr(torch, given))
        assert attention_map(z).dtype == hint(z, z + 1).dtype == getattr(torch, wanted), given
    z = x.bfloat16()
    assert torch.equal(attention_map(z), attention_map(z.float()))
    assert torch.equal(hint(z, 2 * z), hint(z.float(), 2 * z.float()))
    assert hint(x, x.double() + 1e-9).item() == pytest.approx(1e-18, rel=1e-6)
    child, parent, batch = nets
    for make in (FitNet, AT):  # in double precision throughout, without a conversion by hand
        method = make(child, parent, sites=[Site("body", "body")], **PARTS)
        method.setup(batch)
        assert {term.dtype for term in method(batch).values()} == {torch.float64}


def test_peers_compare_in_single_precision_under_autocast(nets):
    child, parent, batch = nets[0].float(), nets[1].float(), (nets[2][0].float(), nets[2][1])
    for make in (FitNet, AT):
        method = make(child, parent, sites=[Site("body", "body")], **PARTS)
        method.setup(batch)
        with torch.autocast("cpu", torch.bfloat16):
            terms = method(batch)
        assert {term.dtype for term in terms.values()} == {torch.float32}
        sum(terms.values()).backward()
        assert all(torch.isfinite(p.grad).all() for p in method.parameters())


def test_looking_at_a_batch_moves_nothing(nets):
    """`setup` of a method with sites leaves running statistics, weights and gradients alone."""
    child, parent, batch = nets
    child.body.append(nn.BatchNorm2d(6).double())
    before = {name: value.clone() for name, value in child.state_dict().items()}
    for make in (FitNet, AT, HKT):
        make(child, parent, sites=[Site("stem", "stem")], **PARTS).setup(batch)
    assert all(torch.equal(value, before[name]) for name, value in child.state_dict().items())
    assert all(p.grad is None for p in child.parameters())


def test_slices_are_transferred_and_mixed_each_for_itself(nets):
    child, parent, batch = nets
    widths = ((7, 2), (3, 4))
    method = HKT(child, parent, sites=[Site("body", "body", parts=widths)], **PARTS)
    method.setup(batch)
    (transfer,) = method.transfers
    assert isinstance(transfer, Parts) and [
        t.to_child.weight.shape[:2] for t in transfer.transfers
    ] == [(2, 7), (4, 3)]
    terms = method(batch)
    c, p = features(child, batch, "body"), features(parent, batch, "body")
    m = torch.cat(
        [
            mix(own, one(theirs, own))
            for one, own, theirs in zip(transfer.transfers, c.split([2, 4], 1), p.split([7, 3], 1))
        ],
        1,
    )
    assert terms["L_c*"].item() == pytest.approx(
        F.cross_entropy(child.head(torch.relu(m).mean((2, 3))), batch[1]).item()
    )
    whole = HKT(child, parent, sites=[Site("body", "body")], **PARTS)
    whole.setup(batch)
    assert whole(batch)["L_c*"].item() != pytest.approx(terms["L_c*"].item(), abs=1e-6)


def test_a_site_that_stands_alone_is_not_executed_again_and_ends_the_parents_pass(nets):
    child, parent, batch = nets
    counts = {}
    for owner, net in (("child", child), ("parent", parent)):
        for path in ("stem", "body.0", "head"):
            net.get_submodule(path).register_forward_hook(
                lambda *_, key=f"{owner}.{path}": counts.update({key: counts.get(key, 0) + 1})
            )
    alone, plain = (
        HKT(child, parent, sites=[Site("body", "body", alone=flag)], **PARTS)
        for flag in (True, False)
    )
    for method in (alone, plain):
        method.setup(batch)
    plain.transfers.load_state_dict(alone.transfers.state_dict())
    counts.clear()
    terms = alone(batch)
    assert counts == {
        "child.stem": 2,
        "child.body.0": 1,
        "child.head": 2,
        "parent.stem": 2,
        "parent.body.0": 1,
        "parent.head": 1,
    }
    counts.clear()
    for name, value in plain(batch).items():
        torch.testing.assert_close(value, terms[name])
    assert counts["child.body.0"] == 2 and counts["parent.head"] == 2
    assert (
        Live(parent, PARTS["predict"], alone.sites)(batch).output is not None
    )  # who wants the output gets it
