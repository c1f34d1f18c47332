"""Ours: at its ends it is HKT at the last site and AT at the maps; second passes run the head only."""

import pytest
import torch
import torch.nn.functional as F

from hkt_lite.benchmarks.cifar10.network import resnet
from hkt_lite.benchmarks.cifar10.task import SITES
from hkt_lite.methods import AT, HKT, Site
from hkt_lite.methods.aligned import Aligned
from hkt_lite.methods.at import attention_map
from hkt_lite.methods.parent import Live
from hkt_lite.methods.sites import SiteError, record


def predict(model, batch):
    return model(batch[0])


PARTS = {"predict": predict, "loss": lambda output, batch: F.cross_entropy(output, batch[1])}
PLACES = (*(f"layer{k}.0.conv1" for k in (1, 2, 3)), "linear")  # within what is replayed
ALL, POOLED, LAYERS = (SITES[name] for name in ("layers+pooled", "pooled", "layers"))


@pytest.fixture
def nets():
    torch.manual_seed(0)
    child, parent = resnet("resnet8").double(), resnet("resnet14").double().eval()
    return child, parent, (torch.randn(6, 3, 32, 32).double(), torch.arange(6) % 10)


def made(method, nets, sites, **options):
    child, parent, batch = nets
    torch.manual_seed(1)
    method = method(child, parent, sites=sites, **PARTS, **options)
    method.setup(batch)
    return method


def gradients(terms, child):
    return torch.autograd.grad(sum(terms.values()), list(child.parameters()))


def agree(one, other, nets):
    """The same objective and the same gradients."""
    found = [method(nets[2]) for method in (one, other)]
    torch.testing.assert_close(*(sum(terms.values()) for terms in found))
    torch.testing.assert_close(*(gradients(terms, nets[0]) for terms in found))


@pytest.mark.parametrize(
    "options",
    [{"kind": "forward_gate"}, {"kind": "gate", "lam": 0.3}, {"lam": 0, "terms": ["L_c", "L_p*"]}],
)
def test_without_alignment_it_is_hkt_at_the_last_site(nets, options):
    ours = made(Aligned, nets, ALL, beta=0, **options)
    agree(ours, made(HKT, nets, POOLED, **options), nets)
    assert list(ours.observe()) == ["gate", "share", "displacement"]


def test_without_inheritance_it_is_at_on_the_maps(nets):
    agree(made(Aligned, nets, ALL, terms=["L_c"], beta=7), made(AT, nets, LAYERS, beta=7), nets)


def test_at_several_maps_the_parents_head_reads_the_last_one_only(nets):
    """Why there is no row 'parent's head alone, at layers': it is the method at the vector."""
    alone = {"lam": 0, "terms": ["L_c", "L_p*"]}
    agree(made(HKT, nets, LAYERS, **alone), made(HKT, nets, POOLED, **alone), nets)


def test_one_site_is_aligned_and_mixed(nets):
    child, parent, batch = nets
    last = LAYERS[2:]
    terms = made(Aligned, nets, last, beta=3)(batch)
    wanted = made(HKT, nets, last)(batch)
    with record(child, ["layer3"]) as c, record(parent, ["layer3"]) as p:
        predict(child, batch), predict(parent, batch)
    a, b = (attention_map(seen["layer3"][0]) for seen in (c, p))
    wanted["L_at"] = 1.5 * ((a - b) ** 2).mean()
    assert list(terms) == ["L_c", "L_c*", "L_p*", "L_at"]
    torch.testing.assert_close(terms, wanted)


def test_second_passes_execute_the_heads_only(nets):
    child, parent, batch = nets
    calls = []
    for name, net in (("child", child), ("parent", parent)):
        for path in PLACES:
            seen = f"{name}.{path}"
            module = net.get_submodule(path)
            module.register_forward_hook(lambda *_, seen=seen: calls.append(seen))
    method = made(Aligned, nets, ALL)
    calls.clear()
    method(batch)
    for path in PLACES[:-1]:
        assert calls.count(f"child.{path}") == calls.count(f"parent.{path}") == 1, path
    assert calls.count("child.linear") == 2  # L_c and L_c*


def test_narrow_children_align_as_they_are_and_mix_through_a_projection(nets):
    child = resnet("resnet8", width=8).double()
    method = made(Aligned, (child, *nets[1:]), ALL)
    assert {tuple(x.shape) for x in method.extra_parameters()} == {(32, 64), (64, 32), (32,), (64,)}
    terms = method(nets[2])
    sum(terms.values()).backward()
    assert all(x.grad is not None for x in method.parameters())
    assert all(x.grad is None for x in nets[1].parameters())


def test_what_it_refuses(nets):
    with pytest.raises(SiteError, match="'avgpool': aligned HKT aligns maps .*first site be a map"):
        made(Aligned, nets, POOLED)
    with pytest.raises(SiteError, match="differ in rank"):
        made(Aligned, nets, (Site("linear", "layer1"), *POOLED))
    with pytest.raises(SiteError, match="share the parent's 'layer1'"):
        made(Aligned, nets, (LAYERS[0], LAYERS[0]))


def test_a_source_of_the_parent_serves_it_too(nets):
    child, parent, batch = nets
    ours = made(Aligned, (child, Live(parent, predict, ALL), batch), ALL)
    agree(ours, made(Aligned, nets, ALL), nets)


def test_its_names_in_tables():
    named = {
        "aligned HKT gate": {},
        "aligned HKT forward_gate, beta 0.5": {"kind": "forward_gate", "beta": 0.5},
        "aligned HKT, parent's head alone": {"lam": 0, "terms": ["L_c", "L_p*"]},
        "aligned HKT, parent's head alone, beta 0.5": {
            "lam": 0,
            "terms": ["L_c", "L_p*"],
            "beta": 0.5,
        },
    }
    assert {Aligned.label(options): options for options in named.values()} == named
    alone = Aligned.label({"lam": 0, "terms": ["L_c", "L_p*"]}, "layers+pooled")
    assert alone == "aligned HKT, parent's head alone, at layers+pooled"
