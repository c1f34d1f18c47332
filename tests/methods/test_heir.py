"""Ours, too: which modules a child is born with, that they are copies, and that the rest is HKT or KD."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hkt_lite.benchmarks.cifar10.network import resnet
from hkt_lite.benchmarks.cifar10.task import SITES
from hkt_lite.methods import HKT, METHODS, MethodError, Plain
from hkt_lite.methods.heir import Heir, HeirKD, born, lineage
from hkt_lite.methods.kd import soft_divergence


def predict(model, batch):
    return model(batch[0])


PARTS = {
    "predict": predict,
    "loss": lambda output, batch: F.cross_entropy(output, batch[1]),
    "imitate": soft_divergence,
    "target": lambda batch: batch[1],
}
POOLED = SITES["pooled"]


@pytest.fixture
def nets():
    torch.manual_seed(0)
    child, parent = resnet("resnet20").double(), resnet("resnet56").double()
    batch = torch.randn(6, 3, 32, 32).double(), torch.arange(6) % 10
    parent.train()(batch[0])  # statistics that are not those of a new network
    return child, parent.eval(), batch


def made(method, nets, sites=POOLED, **options):
    child, parent, batch = nets
    torch.manual_seed(1)
    method = method(child, parent, sites=sites, **PARTS, **options)
    method.setup(batch)
    return method


def paths(child, parent) -> dict[str, str]:
    """{the child's path: the parent's} of what `lineage` finds."""
    names = [{id(module): path for path, module in net.named_modules()} for net in (child, parent)]
    return {names[0][id(own)]: names[1][id(theirs)] for own, theirs in lineage(child, parent)}


def test_blocks_are_spread_over_the_parents(nets):
    """Blocks 0, 1, 2 of a stage are 0, 4, 8 of nine; the second one's first convolution:"""
    found = paths(*nets[:2])
    for stage in (1, 2, 3):
        for own, theirs in ((0, 0), (1, 4), (2, 8)):
            for part in ("conv1", "bn1", "conv2", "bn2"):
                assert found[f"layer{stage}.{own}.{part}"] == f"layer{stage}.{theirs}.{part}"
    rest = {path: theirs for path, theirs in found.items() if not path.startswith("layer")}
    assert rest == {"conv1": "conv1", "bn1": "bn1", "linear": "linear"}
    assert len(found) == 3 * 3 * 4 + 3
    assert paths(resnet("resnet8"), resnet("resnet14"))["layer2.0.conv1"] == "layer2.0.conv1"


def test_a_child_as_deep_as_its_parent_is_its_copy(nets):
    _, parent, batch = nets
    child = resnet("resnet56").double().eval()
    assert not torch.equal(child(batch[0]), parent(batch[0]))
    born(child, parent)
    assert torch.equal(child(batch[0]), parent(batch[0]))


def test_modules_are_copies_with_their_statistics(nets):
    child, parent, _ = nets
    before = copy.deepcopy(parent.state_dict())
    made(Heir, nets)
    middle, theirs = child.layer3[1].bn2, parent.layer3[4].bn2
    assert torch.equal(middle.running_var, theirs.running_var)
    assert torch.equal(middle.weight, theirs.weight)
    with torch.no_grad():
        for value in child.state_dict().values():
            value.zero_()
    assert all(torch.equal(value, before[name]) for name, value in parent.state_dict().items())


def test_after_birth_it_is_hkt(nets):
    child, parent, batch = nets
    heir = made(Heir, nets, kind="forward_gate", lam=0.3)
    other = made(HKT, (copy.deepcopy(child), parent, batch), kind="forward_gate", lam=0.3)
    torch.testing.assert_close(heir(batch), other(batch))
    assert list(heir.observe()) == ["gate", "share", "displacement"]
    assert not list(heir.extra_parameters())


def test_after_birth_it_is_kd(nets):
    child, parent, batch = nets
    heir = made(HeirKD, nets, alpha=0.7)
    assert torch.equal(child.layer2[2].conv1.weight, parent.layer2[8].conv1.weight)
    child.eval()
    with torch.no_grad():
        own, theirs = child(batch[0]), parent(batch[0])
    found = heir(batch)
    wanted = 0.3 * F.cross_entropy(own, batch[1]), 0.7 * soft_divergence(own, theirs, 4.0)
    torch.testing.assert_close(list(found.values()), list(wanted))
    assert list(found) == ["L_c", "L_kd"] and not list(heir.extra_parameters())


def test_who_begins_otherwise_says_so(nets):
    """Of all methods; pairing of runs by seed means the same first child for the others only."""
    child, parent, batch = nets
    before = copy.deepcopy(child.state_dict())
    moved = []
    for name, method in METHODS.items():
        child.load_state_dict(before)
        sites = (
            "layers" if method.needs_maps({}) else "layers+pooled" if method.aligns else "pooled"
        )
        made(method, (child, parent, batch), sites=SITES[sites])
        if any(not torch.equal(value, before[key]) for key, value in child.state_dict().items()):
            moved.append(name)
    assert moved == [name for name, method in METHODS.items() if not method.begins_alike] != []


def test_modules_alone_train_as_the_plain_child_does(nets):
    child, _, batch = nets
    heir = made(Heir, nets, terms=["L_c"])
    twin = copy.deepcopy(child)
    found = heir(batch), Plain(twin, **PARTS)(batch)
    assert list(found[0]) == ["L_c"]
    torch.testing.assert_close(*found)
    grads = [
        torch.autograd.grad(terms["L_c"], list(net.parameters()))
        for terms, net in zip(found, (child, twin))
    ]
    torch.testing.assert_close(*grads)


def test_what_does_not_fit_keeps_its_own_beginning():
    child = nn.ModuleDict({"wide": nn.Linear(9, 9), "narrow": nn.Linear(2, 3)})
    child["new"] = nn.Linear(1, 2)
    parent = nn.ModuleDict({"wide": nn.Linear(9, 9), "narrow": nn.Linear(2, 4)})
    own = {name: child[name].weight.clone() for name in ("narrow", "new")}
    born(child, parent)
    assert torch.equal(child["wide"].weight, parent["wide"].weight)
    assert all(torch.equal(child[name].weight, value) for name, value in own.items())
    assert paths(child, parent) == {"wide": "wide"}


def test_too_little_alike_is_refused(nets):
    child, parent, batch = nets
    said = (
        "heir HKT: 0 of the child's .* parameters are in modules that its parent has alike, and "
        "half is needed; take two networks of one family and width."
    )
    narrow = resnet("resnet20", width=8).double()
    before = copy.deepcopy(narrow.state_dict())
    with pytest.raises(MethodError, match=said):
        made(Heir, (narrow, parent, batch))
    assert all(torch.equal(value, before[name]) for name, value in narrow.state_dict().items())
    with pytest.raises(MethodError, match="heir HKT needs a parent"):
        Heir(child, None, sites=POOLED, **PARTS)


def test_its_names_in_tables():
    named = {
        "heir HKT gate": {},
        "heir HKT forward_gate, lam 0.3": {"kind": "forward_gate", "lam": 0.3},
        "heir HKT, parent's head alone": {"lam": 0, "terms": ["L_c", "L_p*"]},
        "parent's modules alone": {"terms": ["L_c"]},
    }
    assert {Heir.label(options): options for options in named.values()} == named
