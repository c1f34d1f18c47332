"""DKD, DIST, LSKD, SP and RKD: what their losses mean, what they refuse, and half precision."""

import pytest
import torch
import torch.nn.functional as F

from hkt_lite.benchmarks import resolve
from hkt_lite.config import Config, HKTError
from hkt_lite.methods import METHODS, MethodError, Site, kd
from hkt_lite.methods.dist import decorrelation
from hkt_lite.methods.dkd import split
from hkt_lite.methods.lskd import standardised
from hkt_lite.methods.parent import Cached
from hkt_lite.methods.rkd import relations
from hkt_lite.methods.sites import SiteError
from hkt_lite.methods.sp import similarities
from tests.methods.nets import PARTS, POOLED, images, networks, perceptron, rows

ON_LOGITS = ("dkd", "dist", "lskd")
ON_FEATURES = ("sp", "rkd")
TARGET = {"target": lambda batch: batch.y}
LOGITS = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2


def divergence(child, parent):
    return F.kl_div(child.log_softmax(1), parent.log_softmax(1), reduction="none", log_target=True)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_decoupled_terms_add_up_to_kd(temperature):
    """KL = TCKD + (1 - p_t) NCKD, sample by sample (equation 5 of the paper)."""
    child, parent = LOGITS
    target = torch.tensor([0, 1, 2, 3, 3, 0])
    binary, others = zip(split(child, target, temperature), split(parent, target, temperature))
    missed = 1 - (parent / temperature).softmax(1)[torch.arange(6), target]
    found = divergence(*binary).sum(1) + missed * divergence(*others).sum(1)
    wanted = divergence(child / temperature, parent / temperature).sum(1)
    torch.testing.assert_close(found, wanted)
    assert kd.soft_divergence(child, parent, temperature).item() == pytest.approx(
        temperature**2 * found.mean().item()
    )


def test_decoupled_terms_survive_a_parent_that_is_certain():
    """Probabilities of 1 in single precision, as memorised images have, give no infinity and no NaN."""
    logits = torch.tensor([[300.0, 0.0, 1.0]], requires_grad=True)
    for part in split(logits, torch.tensor([0]), 1.0):
        loss = kd.soft_divergence(part, part.detach().flip(1), 1)
        (gradient,) = torch.autograd.grad(loss, logits, retain_graph=True)
        assert torch.isfinite(loss) and torch.isfinite(gradient).all()


def test_what_each_loss_cannot_see():
    """DIST: scale and shift of probabilities; LSKD: of logits; SP: length; RKD: scale, place and rotation."""
    x, y = LOGITS
    assert decorrelation(x, 3 * x + 1).item() == pytest.approx(0, abs=1e-12)
    assert decorrelation(x, -x).item() == pytest.approx(2)
    torch.testing.assert_close(standardised(3 * x + 1), standardised(x))
    assert standardised(x).std(1).tolist() == pytest.approx([1] * 6, rel=1e-5)
    torch.testing.assert_close(similarities(5 * x), similarities(x))
    rotation = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64)).Q
    for found, wanted in zip(relations(3 * x @ rotation + y[:1]), relations(x)):
        torch.testing.assert_close(found, wanted)


def test_relations_by_hand():
    """A triangle with sides 3, 4, 5, as a map: distances over their mean 4, and the cosines at its corners."""
    distance, cosine = relations(torch.tensor([[0.0, 0], [3, 0], [0, 4]]).view(3, 1, 1, 2))
    wanted = torch.tensor([[0.0, 3, 4], [3, 0, 5], [4, 5, 0]]) / 4
    torch.testing.assert_close(distance, wanted)
    assert cosine[0, 1, 2].item() == pytest.approx(0, abs=1e-6)
    assert cosine[1, 0, 2].item() == pytest.approx(0.6)
    assert cosine[2, 1, 0].item() == pytest.approx(0.8)
    assert cosine[0, 0].abs().max() == cosine[0, :, 0].abs().max() == 0


def test_relations_of_equal_examples_are_finite():
    x = torch.ones(4, 3, requires_grad=True)
    gradients = [torch.autograd.grad(y.sum(), x, retain_graph=True)[0] for y in relations(x)]
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("name", ON_LOGITS)
def test_outputs_that_are_no_logits_are_refused(name):
    """Maps, as segmentation has; two classes; lists, as flow has; parents with other classes."""
    make, batch = METHODS[name], rows()
    child, parent = perceptron(5, 6, 3), perceptron(5, 9, 3)
    for predict in (
        lambda model, b: model(b.x)[..., None],
        lambda model, b: model(b.x)[:, :2],
        lambda model, b: [model(b.x)],
        lambda model, b: model(b.x)[:, : 3 if model is child else 2],
    ):
        method = make(child, parent, predict=predict, loss=PARTS["loss"], **TARGET)
        with pytest.raises(MethodError, match=f"{make.title} compares logits .* use kd"):
            method.setup(batch)
        with pytest.raises(MethodError, match="of three classes or more"):
            method(batch)


@pytest.mark.parametrize("name", ON_LOGITS)
@pytest.mark.parametrize("task", ["flow", "lits"])
def test_tasks_without_logits_are_refused_before_any_work(task, name):
    with pytest.raises(HKTError, match=f"{name!r} compares class logits .* task {task!r} are none"):
        resolve(Config(task=task, method=name, scale="smoke", source="synthetic"))


def test_dkd_needs_the_classes():
    with pytest.raises(MethodError, match="DKD needs `target"):
        METHODS["dkd"](perceptron(5, 3), perceptron(5, 3), **PARTS)


@pytest.mark.parametrize("name, least", [("sp", 2), ("rkd", 3)])
def test_too_few_examples_to_compare_are_refused(name, least):
    make, site = METHODS[name], [Site("0", "0")]
    method = make(perceptron(5, 6, 3), perceptron(5, 9, 3), sites=site, **PARTS)
    method.setup(rows(least))
    with pytest.raises(
        SiteError, match=f"'0': {make.title} compares {least} examples or more.* larger"
    ):
        method.setup(rows(least - 1))
    with pytest.raises(SiteError, match="differ in rank or batch"):
        make(*networks(), sites=[Site("layer3", "avgpool")], **PARTS).setup(images())


@pytest.mark.parametrize("name", ON_LOGITS + ON_FEATURES)
def test_they_compare_in_single_precision_under_autocast(name):
    """And move no running statistics when they look at the first batch."""
    child, parent = networks(dtype=torch.float32)
    batch, before = images(dtype=torch.float32), child.bn1.running_mean.clone()
    method = METHODS[name](child, parent, sites=POOLED, **PARTS, **TARGET)
    method.setup(batch)
    assert torch.equal(child.bn1.running_mean, before)
    with torch.autocast("cpu", torch.bfloat16):
        terms = method(batch)
    terms.pop("L_c")  # its precision is the task's
    assert terms and all(term.dtype == torch.float32 for term in terms.values())
    sum(terms.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in child.parameters() if p.grad is not None)
    z = torch.randn(8, 5)
    with torch.autocast("cpu", torch.bfloat16):
        found = [similarities(z), *relations(z)]
    for one, wanted in zip(found, [similarities(z), *relations(z)]):
        assert torch.equal(one, wanted)


@pytest.mark.parametrize("name", ON_LOGITS + ON_FEATURES)
def test_a_cached_parent_says_what_a_live_one_does(name):
    """Up to the cache's half precision; and none of them trains anything beside the child."""
    child, parent = networks(dtype=torch.float32)
    batch, terms = images(dtype=torch.float32), []
    cached = Cached(parent, PARTS["predict"], POOLED).fill([batch], 8)
    for source in (parent, cached):
        method = METHODS[name](child, source, sites=POOLED, **PARTS, **TARGET)
        method.setup(batch)
        terms.append(torch.stack(list(method(batch).values())))
        assert not list(method.extra_parameters())
    torch.testing.assert_close(*terms, rtol=1e-2, atol=1e-4)


# -- SimKD, LePoKet, ReviewKD: what they leave behind and what they refuse ----------------------------------------------


def small(name, child, parent, **options):
    parts = {"predict": PARTS["predict"], "loss": PARTS["loss"]}
    return METHODS[name](child, parent, sites=POOLED, **parts, **options)


@pytest.mark.parametrize("name", ["simkd", "lepoket"])
def test_what_is_tested_is_the_child_alone_and_unchanged(name):
    """Projections and attentions are beside the child; the parent is not asked once the method is gone."""
    child, parent = networks(dtype=torch.float32)
    before, batch = dict(child.named_parameters()), images(dtype=torch.float32)
    method = small(name, child, parent)
    method.setup(batch)
    sum(method(batch).values()).backward()
    assert dict(method.child.named_parameters()) == before and method.child is child
    extra = list(method.extra_parameters())
    assert extra and not {id(p) for p in extra} & {id(p) for p in before.values()}
    assert all(p.grad is not None for p in extra) and all(
        p.grad is None for p in parent.parameters()
    )
    for module in parent.modules():
        module.register_forward_hook(lambda *_: pytest.fail("the parent was asked"))
    assert child(batch.x).shape == (8, 10)


def test_lepoket_adds_the_childs_own_loss_where_it_is_asked_to():
    child, parent = networks(dtype=torch.float32)
    batch = images(dtype=torch.float32)
    terms = {}
    for chosen in (["L_c*"], ["L_c", "L_c*"]):
        method = small("lepoket", child, parent, terms=chosen)
        torch.manual_seed(0)
        method.setup(batch)
        terms[len(chosen)] = method(batch)
    assert list(terms[1]) == ["L_c*"] and list(terms[2]) == ["L_c", "L_c*"]
    assert terms[1]["L_c*"].item() == pytest.approx(terms[2]["L_c*"].item())
    assert terms[2]["L_c"].item() == pytest.approx(PARTS["loss"](child(batch.x), batch).item())
    seen = method.observe()
    torch.testing.assert_close(seen["share"], method.mixture["0"].lam * seen["gate"])
    assert seen.keys() == {"gate", "share", "displacement"} and len(seen["gate"]) == 8


@pytest.mark.parametrize("name", ["fitnet", "simkd", "lepoket", "reviewkd"])
def test_what_is_trained_beside_the_child_must_be_set_up(name):
    method = small(name, *networks(dtype=torch.float32))
    with pytest.raises(SiteError, match=f"{method.title}: call setup.batch. once before the opt"):
        method(images(dtype=torch.float32))


@pytest.mark.parametrize("sites", [["layer3"], ["avgpool", "avgpool"]])
def test_reviewkd_needs_several_maps(sites):
    parts = {"predict": PARTS["predict"], "loss": PARTS["loss"]}
    sites = [Site(path, path) for path in sites]
    method = METHODS["reviewkd"](*networks(), sites=sites, **parts)
    with pytest.raises(SiteError, match="ReviewKD needs two sites or more with maps .B, C, H, W."):
        method.setup(images())


def test_reviewkd_brings_a_stage_to_the_parents_resolution():
    """And works under autocast."""
    child, parent = networks("resnet20", "resnet8", dtype=torch.float32)
    sites = [Site("layer1", "layer2"), Site("layer2", "layer3")]  # 16 and 8 pixels wide, 8 and 4
    parts = {"predict": PARTS["predict"], "loss": PARTS["loss"]}
    method, batch = METHODS["reviewkd"](child, parent, sites=sites, **parts), images()
    batch = batch._replace(x=batch.x.float())
    method.setup(batch)
    with torch.autocast("cpu", torch.bfloat16):
        terms = method(batch)
    assert terms["L_review"].dtype == torch.float32 and torch.isfinite(terms["L_review"])
    terms["L_review"].backward()
    assert all(torch.isfinite(p.grad).all() for p in method.extra_parameters())


def test_simkd_replaces_a_module_of_the_parent_once_and_fitnet_regresses_to_it_twice():
    child, parent = networks(dtype=torch.float32)
    sites = [Site("avgpool", "avgpool"), Site("avgpool", "avgpool")]
    parts = {"predict": PARTS["predict"], "loss": PARTS["loss"]}
    with pytest.raises(SiteError, match="Sites share the parent's 'avgpool'"):
        METHODS["simkd"](child, parent, sites=sites, **parts)
    method, batch = METHODS["fitnet"](child, parent, sites=sites, **parts), images()
    batch = batch._replace(x=batch.x.float())
    method.setup(batch)
    method(batch)["L_hint"].backward()
    assert all(p.grad.abs().max() > 0 for p in method.extra_parameters())
