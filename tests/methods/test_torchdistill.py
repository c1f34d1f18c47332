"""Values and gradients of the peers against torchdistill's losses, where it has them, else against tests/reference.

torchdistill reads {module path: {"output": tensor}}; whatever its losses weigh or reduce otherwise than the methods here is
a factor in `WANTED`.  Each comparison must fail under the faults listed below it.
"""

from importlib import import_module
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import hkt_lite.methods as methods
from hkt_lite import torchvision
from hkt_lite.methods import Site, at, dist, dkd, kd, lepoket, lskd, reviewkd, rkd, sp
from hkt_lite.methods.parent import Live
from hkt_lite.methods.sites import record
from tests.reference import peers

theirs = import_module("torchdistill.losses.mid_level")
torchvision()  # as hkt_lite imports it: the wrapper's own import fails where its wheel does not fit
wrapper = import_module("torchdistill.models.wrapper")

SITES = (Site("stem", "stem"), Site("body", "body"))
LOGITS = (".", "output") * 2  # module path and side, of the student and of the teacher
PARTS = {
    "predict": lambda model, batch: model(batch[0]),
    "loss": lambda output, batch: F.cross_entropy(output, batch[1]),
    "imitate": lambda *given: kd.soft_divergence(*given),
    "target": lambda batch: batch[1],
}


class Net(nn.Module):
    """Two maps, 8 x 8 and 4 x 4, and a head; width differs between parent and child."""

    def __init__(self, width: int):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, 1, 1)
        self.body = nn.Conv2d(width, 2 * width, 3, 2, 1)
        self.head = nn.Linear(2 * width, 5)

    def forward(self, x):
        return 3 * self.head(torch.relu(self.body(torch.relu(self.stem(x)))).mean((2, 3)))


def seen(net: nn.Module, batch) -> dict:
    """What torchdistill would hand to its losses."""
    with record(net, ["stem", "body"]) as features:
        output = net(batch[0])
    return {".": {"output": output}} | {k: {"output": calls[0]} for k, calls in features.items()}


def cross_entropy(c: dict, batch):
    return F.cross_entropy(c["."]["output"], batch[1])


# Each is given the method, what student and teacher have shown, and the batch.


def wanted_kd(method, c, p, batch):
    """Its alpha is the weight of the labels, ours of the parent: 0.1 for 0.9."""
    return theirs.KDLoss(*LOGITS, temperature=4.0, alpha=0.1)(c, p, batch[1])


def wanted_lskd(method, c, p, batch):
    return theirs.LogitStdKDLoss(*LOGITS, temperature=2.0, alpha=0.1, beta=9.0)(c, p, batch[1])


def wanted_dist(method, c, p, batch):
    """It leaves the labels to another loss, as do all below."""
    loss = theirs.DISTLoss(*LOGITS, beta=2.0, gamma=0.5, tau=4.0)
    return cross_entropy(c, batch) + loss(c, p)


def wanted_dkd(method, c, p, batch):
    """Not in torchdistill: the paper's formula."""
    tckd, nckd = peers.decoupled(c["."]["output"], p["."]["output"], batch[1], 4.0)
    return cross_entropy(c, batch) + tckd + 8 * nckd


def wanted_fitnet(method, c, p, batch):
    """Its mean squared error of one site; ours is the mean over sites, hence 1/2 each."""
    total = cross_entropy(c, batch)
    for regressor, site in zip(method.regressors, SITES):
        sides = {
            "input": {"is_from_teacher": False, "module_path": site.child, "io": "output"},
            "target": {"is_from_teacher": True, "module_path": site.child, "io": "output"},
        }
        mine = {site.child: {"output": regressor(c[site.child]["output"])}}
        total = total + theirs.SimpleLossWrapper(nn.MSELoss(), **sides)(mine, p, batch[1]) / 2
    return total


def wanted_at(method, c, p, batch):
    """Its mode 'code' is the authors' code, which has no 1/2; the paper's is a weight here."""
    sides = [{"io": "output", "path": site.child} for site in SITES]
    pairs = {side["path"]: {"teacher": side, "student": side, "weight": 500.0} for side in sides}
    return cross_entropy(c, batch) + theirs.ATLoss(pairs, mode="code")(c, p)


def wanted_sp(method, c, p, batch):
    """Its 'batchmean' divides by B^2, as the paper does; for its rows see the last test."""
    with mock.patch.object(theirs, "normalize", lambda x, dim: F.normalize(x, dim=dim)):
        each = [theirs.SPKDLoss(site.child, site.parent, "batchmean")(c, p) for site in SITES]
    return cross_entropy(c, batch) + 3000 * sum(each)


def wanted_rkd(method, c, p, batch):
    each = [theirs.RKDLoss(site.child, site.parent, 25.0, 50.0, "mean")(c, p) for site in SITES]
    return cross_entropy(c, batch) + sum(each)


def wanted_reviewkd(method, c, p, batch):
    """Its fusions with our weights, the last stage first; its loss is that of one stage."""
    total, later = cross_entropy(c, batch), None
    for site, ours in reversed(list(zip(SITES, method.fusions))):
        x, like = c[site.child]["output"], p[site.parent]["output"]
        widths = x.shape[1], ours.enter[0].out_channels, like.shape[1]
        fusion = wrapper.AttentionBasedFusion(
            *widths, uses_attention=ours.weigh is not None
        ).double()
        weights = {THEIR_NAMES[k.split(".")[0]] + k[5:]: v for k, v in ours.named_parameters()}
        given = (x, later, x.shape[-1])
        fused, later = torch.func.functional_call(fusion, weights, given)
        loss = theirs.HierarchicalContextLoss(site.child, "output", site.parent, "output")
        total = total + loss({site.child: {"output": (fused, None)}}, p)
    return total


def wanted_simkd(method, c, p, batch):
    """Not in torchdistill: FitNet's terms and the parent's head on the regressed last feature."""
    parent = method.parent.parent
    regressed = method.regressors[1](c["body"]["output"])
    logits = 3 * parent.head(torch.relu(regressed).mean((2, 3)))
    return wanted_fitnet(method, c, p, batch) + 0.5 * F.cross_entropy(logits, batch[1])


def wanted_lepoket(method, c, p, batch):
    """Not in torchdistill: a child whose two features are mixtures, the second one's after the first."""
    child, values = method.child, []
    for k, site in enumerate(SITES):
        own = c["stem"]["output"] if k == 0 else child.body(torch.relu(values[0]))
        transferred = method.transfers[k](p[site.parent]["output"], own)
        values.append(peers.learnt_attention(method.mixture[str(k)], own, transferred))
    logits = 3 * child.head(torch.relu(values[1]).mean((2, 3)))
    return F.cross_entropy(logits, batch[1])


THEIR_NAMES = {"enter": "conv1", "leave": "conv2", "weigh": "attention_conv"}
WANTED = {
    "kd": (wanted_kd, {}),
    "fitnet": (wanted_fitnet, {}),
    "at": (wanted_at, {}),
    "sp": (wanted_sp, {}),
    "rkd": (wanted_rkd, {}),
    "dkd": (wanted_dkd, {}),
    "dist": (wanted_dist, {"beta": 2.0, "gamma": 0.5, "temperature": 4.0}),
    "lskd": (wanted_lskd, {}),
    "reviewkd": (wanted_reviewkd, {}),
    "simkd": (wanted_simkd, {"head": 0.5}),
    "lepoket": (wanted_lepoket, {}),
}


def check(name: str, seed: int) -> None:
    """The sum of the method's terms, and its gradient at every parameter, are what is wanted."""
    torch.manual_seed(seed)
    child, parent = Net(4).double(), Net(7).double()
    batch = torch.randn(6, 3, 8, 8).double(), torch.randint(5, (6,))
    wanted, options = WANTED[name]
    method = methods.get(name)(child, parent, sites=SITES, **PARTS, **options)
    method.setup(batch)
    trained = list(method.parameters())
    ours = sum(method(batch).values())
    with torch.no_grad():
        shown = seen(parent, batch)
    expected = wanted(method, seen(child, batch), shown, batch)
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-12)
    found = torch.autograd.grad(ours, trained, allow_unused=True)
    gradients = torch.autograd.grad(expected, trained, allow_unused=True)
    assert all(gradient.abs().max() > 0 for gradient in gradients[: len(list(child.parameters()))])
    for one, other in zip(found, gradients):
        assert (one is None) == (other is None)  # T_back, which LePoKet has no use for
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", WANTED)
def test_values_and_gradients(name, seed):
    check(name, seed)


# -- faults that the comparison must see ---------------------------------------------------------------------------------


def scaled(factor: float):
    """The transfer terms times a factor, whatever the method: -1 is the sign, 6 the sum over the batch for the mean."""

    def fault(patch, name):
        forward = methods.get(name).forward

        def changed(self, batch):
            terms = forward(self, batch)
            return {k: v if k == "L_c" else factor * v for k, v in terms.items()}

        patch(methods.get(name), "forward", changed)

    return fault


def softened_only(module):
    """No T^2, T = 2, in what is to keep the size of gradients."""

    def fault(patch, name):
        patch(module, "soft_divergence", lambda c, p, t: DIVERGENCE(c, p, t) / 4)

    return fault


def reversed_divergence(patch, name):
    patch(dkd, "soft_divergence", lambda c, p, t: DIVERGENCE(p, c, t))


def replaced(module, attribute, value):
    return lambda patch, name: patch(module, attribute, value)


def target_among_others(logits, target, temperature):
    two, _ = SPLIT(logits, target, temperature)
    return two, logits / temperature


def another_row(logits, target, temperature):
    return SPLIT(logits, target.roll(1), temperature)


def unscaled(feature):
    distance, angle = RELATIONS(feature)
    return 2 * distance, angle


def wider_angle(feature):
    distance, angle = RELATIONS(feature)
    return distance, angle.acos()


def forgetful(self, c, later, p):
    """The fusion, of nothing."""
    return FUSION(self, c, torch.zeros_like(later) if later is not None else None, p)


def evenly(c, p):
    """Every size weighs alike."""
    sides = [side for side in (4, 2, 1) if side < c.shape[2]]
    pairs = [(c, p), *((F.adaptive_avg_pool2d(c, k), F.adaptive_avg_pool2d(p, k)) for k in sides)]
    return sum(F.mse_loss(*pair) for pair in pairs) / len(pairs)


def of_the_parent(self, values, inherited, batch):
    return TAIL(self, inherited.features, inherited, batch)


SPLIT, RELATIONS, FUSION, TAIL = dkd.split, rkd.relations, reviewkd.Fusion.forward, Live.tail
GATE = lepoket.LearntAttention.gate
DIVERGENCE, DECORRELATION = kd.soft_divergence, dist.decorrelation
BIASED = replaced(
    lskd,
    "standardised",
    lambda z: (z - z.mean(1, keepdim=True)) / (z.std(1, keepdim=True, correction=0) + 1e-7),
)
NOT_CENTRED = replaced(dist, "decorrelation", lambda a, b: 1 - F.cosine_similarity(a, b).mean())
MAGNITUDES = replaced(
    sp, "similarities", lambda z: F.normalize(sp.inner_products(z.flatten(1)), p=1, dim=1)
)
ALL = {"sign": scaled(-1), "sum": scaled(6)}
FAULTS = {
    "kd": {
        **ALL,
        "no T^2": replaced(kd, "soft_divergence", lambda c, p, t: DIVERGENCE(c, p, t) / t**2),
    },
    "fitnet": {**ALL, "sum over sites": scaled(2)},
    "at": {
        **ALL,
        "maps of any length": replaced(
            at, "attention_map", lambda z: z.square().mean(1).flatten(1)
        ),
        "magnitudes": replaced(
            at, "attention_map", lambda z: F.normalize(z.abs().mean(1).flatten(1), dim=1)
        ),
    },
    "sp": {
        **ALL,
        "rows of sum 1, as torchdistill's": MAGNITUDES,
        "not normalised": replaced(sp, "similarities", lambda z: sp.inner_products(z.flatten(1))),
    },
    "rkd": {
        **ALL,
        "distances in other units": replaced(rkd, "relations", unscaled),
        "angles for cosines": replaced(rkd, "relations", wider_angle),
        "squares for Huber": replaced(rkd, "F", SimpleNamespace(smooth_l1_loss=F.mse_loss)),
    },
    "dkd": {
        **ALL,
        "a quarter of T^2": softened_only(dkd),
        "the child's divergence": reversed_divergence,
        "target among the others": replaced(dkd, "split", target_among_others),
        "the neighbour's target": replaced(dkd, "split", another_row),
    },
    "dist": {
        **ALL,
        "not centred": NOT_CENTRED,
        "classes for examples": replaced(
            dist, "decorrelation", lambda a, b: DECORRELATION(a.T, b.T)
        ),
    },
    "lskd": {
        **ALL,
        "no T^2": softened_only(lskd),
        "biased deviation": BIASED,
        "not standardised": replaced(lskd, "standardised", lambda z: z),
    },
    "reviewkd": {
        **ALL,
        "nothing handed on": replaced(reviewkd.Fusion, "forward", forgetful),
        "sizes weigh alike": replaced(reviewkd, "context_loss", evenly),
    },
    "simkd": {**ALL, "the head on the parent's own feature": replaced(Live, "tail", of_the_parent)},
    "lepoket": {
        **ALL,
        "the gate inverted": replaced(
            lepoket.LearntAttention, "gate", lambda self, c, p: 1 - GATE(self, c, p)
        ),
        "child and parent exchanged": replaced(
            lepoket.LearntAttention, "gate", lambda self, c, p: GATE(self, p, c)
        ),
    },
}


@pytest.mark.parametrize("name, fault", [(n, f) for n, faults in FAULTS.items() for f in faults])
def test_the_comparison_sees(name, fault, monkeypatch):
    FAULTS[name][fault](monkeypatch.setattr, name)
    with pytest.raises(AssertionError):
        check(name, 0)


def test_every_comparison_has_faults():
    assert WANTED.keys() == FAULTS.keys() and all(len(faults) > 2 for faults in FAULTS.values())


def test_torchdistill_gives_the_rows_of_similarities_length_1_in_the_sum_of_magnitudes():
    """Its `normalize(x, 1)` names the norm, where the paper has Euclid's over dimension 1: no factor leads from one to the other."""
    torch.manual_seed(0)
    z = torch.rand(2, 5, 7).double()
    shown = [{"body": {"output": one}} for one in z]
    rows = [F.normalize(one @ one.T, p=1, dim=1) for one in z]
    found = theirs.SPKDLoss("body", "body", "batchmean")(*shown)
    torch.testing.assert_close(found, (rows[0] - rows[1]).square().mean())
    assert sp.similarities(z[0]).norm(dim=1).tolist() == pytest.approx([1] * 5)
