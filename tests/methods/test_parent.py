"""The parent's two sources, and what frozen means."""

import hashlib
import io
import math
import pickle
from copy import deepcopy

import pytest
import torch
from torch import nn

from hkt_lite.methods import HKT, KD, Plain, Site
from hkt_lite.methods.kd import soft_divergence
from hkt_lite.methods.parent import Cached, Live
from hkt_lite.methods.sites import SiteError
from tests.methods.nets import (
    PARTS,
    POOLED,
    POOLED_UPSTREAM,
    gradients,
    images,
    networks,
    opened,
    predict,
)


def fingerprint(model: nn.Module) -> str:
    """sha256 of the parameters *and* buffers."""
    digest = hashlib.sha256()
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        digest.update(name.encode() + value.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def pair():
    batch = images(12, dtype=torch.float32)
    return (*opened(*networks(dtype=torch.float32), batch.x), batch)


def part(batch, index):
    index = torch.tensor(index)
    return type(batch)(batch.x[index], batch.y[index], batch.key[index])


# -- cached ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sites", [POOLED, POOLED_UPSTREAM], ids=["plain", "upstream"])
def test_cached_equals_live_within_half_precision(pair, sites):
    child, parent, batch = pair
    cached = Cached(deepcopy(parent), predict, sites).fill(
        [part(batch, range(0, 5)), part(batch, range(5, 12))], 12
    )
    live = Live(deepcopy(parent), predict, sites)
    chosen = part(batch, [7, 0, 3, 7])
    read, seen = cached(chosen), live(chosen)
    torch.testing.assert_close(read.output, seen.output, rtol=2**-10, atol=1e-3)
    torch.testing.assert_close(
        read.features["avgpool"][0], seen.features["avgpool"][0], rtol=2**-10, atol=1e-3
    )
    assert read.output.dtype == torch.float32 and cached.rows["avgpool"].dtype == torch.float16
    terms, grads = [], []
    for source in (cached, live):
        net = deepcopy(child)
        made = HKT(net, source, sites=sites, **PARTS)(chosen)
        terms.append(made), grads.append(gradients(made, net))
    for name in terms[0]:
        torch.testing.assert_close(terms[0][name], terms[1][name], rtol=5e-3, atol=0)
    for name in grads[0]:
        assert (grads[0][name] - grads[1][name]).abs().max() <= 2e-2 * grads[1][name].abs().max(), (
            name
        )
    assert float(terms[0]["L_c"]) == float(terms[1]["L_c"])


def test_cached_parent_is_not_run_in_a_step(pair):
    child, parent, batch = deepcopy(pair)
    cached = Cached(parent, predict, POOLED_UPSTREAM).fill([batch], 12)
    ran = []
    parent.layer1[0].conv1.register_forward_pre_hook(lambda *_: ran.append(1))
    HKT(child, cached, sites=POOLED_UPSTREAM, **PARTS)(batch)
    assert not ran


MAPS = tuple(Site(name, name, ("conv1", "bn1"), ("conv1", "bn1")) for name in ("layer2", "layer3"))


def test_maps_are_the_same_bits_in_memory_and_in_a_mapped_file_and_nearly_those_of_the_live_parent(
    pair, tmp_path
):
    child, parent, batch = pair
    halves = [part(batch, range(7, 12)), part(batch, range(7))]

    def room(name, like, shape):
        path = tmp_path / (name or "output")
        path.write_bytes(bytes(2 * math.prod(shape)))
        return torch.from_file(str(path), True, math.prod(shape), dtype=torch.float16).view(shape)

    sources = [
        Cached(deepcopy(parent), predict, MAPS).fill(halves, 12),
        Cached(deepcopy(parent), predict, MAPS).fill(halves, 12, room),
        Live(deepcopy(parent), predict, MAPS),
    ]
    assert sources[0].shapes(batch) == {"": (10,), "layer2": (32, 8, 8), "layer3": (64, 4, 4)}
    chosen, terms = part(batch, [7, 0, 3, 7]), []
    for source in sources:
        net = deepcopy(child)
        terms.append(HKT(net, source, sites=MAPS, **PARTS)(chosen))
        terms[-1] |= gradients(terms[-1], net)
    for name, value in terms[0].items():
        assert torch.equal(value, terms[1][name])
        torch.testing.assert_close(value, terms[2][name], rtol=1e-2, atol=2e-3)
    seen, told = sources[0](chosen).features["layer3"][0], sources[2](chosen).features["layer3"][0]
    assert torch.equal(seen, told.half().float()) and not torch.equal(seen, told)


class Twice(nn.Module):
    """Calls one module twice, and says two things."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x):
        return self.inner(self.inner(x)), x


def test_what_cannot_be_kept_as_one_row_an_image_is_refused(pair):
    batch = pair[2]
    for answer, words in (
        (0, "'inner' is called 2 times .*cannot be cached"),
        (slice(2), "A tuple cannot be cached"),
    ):
        source = Cached(Twice(), lambda net, b, a=answer: net(b.x[:, 0, 0, :4])[a], [SITE])
        with pytest.raises(SiteError, match=words + ".*; use the live parent"):
            source.fill([batch], 12)


SITE = Site("inner", "inner")


def test_missing_rows_and_an_empty_cache_are_errors(pair):
    _, parent, batch = pair
    with pytest.raises(SiteError, match="cache is empty; call fill"):
        Cached(deepcopy(parent), predict, POOLED)(batch)
    with pytest.raises(SiteError, match="cache lacks 4 of 12 rows"):
        Cached(deepcopy(parent), predict, POOLED).fill([part(batch, range(8))], 12)


def test_a_cache_that_was_not_filled_completely_is_not_used(pair):
    _, parent, batch = pair
    cached = Cached(deepcopy(parent), predict, POOLED)
    with pytest.raises(SiteError, match="lacks"):
        cached.fill([part(batch, range(8))], 12)
    with pytest.raises(SiteError, match="call fill"):
        cached(batch)


def test_a_key_outside_the_cache_is_named(pair):
    _, parent, batch = pair
    cached = Cached(deepcopy(parent), predict, POOLED).fill([part(batch, range(8))], 8)
    with pytest.raises(SiteError, match="8 rows"):
        cached(batch)


# -- frozen ----------------------------------------------------------------------------------------------------------


def imitate(child_output, parent_output, temperature):
    return soft_divergence(child_output, parent_output, temperature)


METHODS = {
    "hkt": lambda child, parent, sites: HKT(child, parent, sites=sites, **PARTS),
    "kd": lambda child, parent, sites: KD(child, parent, sites=sites, imitate=imitate, **PARTS),
}


@pytest.mark.parametrize("sites", [POOLED, POOLED_UPSTREAM], ids=["plain", "upstream"])
@pytest.mark.parametrize("source", ["live", "cached"])
@pytest.mark.parametrize("name", METHODS)
def test_frozen_means_frozen(pair, name, source, sites):
    """An epoch with .train() called half-way, on the method and even on the parent itself."""
    child, parent, batch = deepcopy(pair)
    before, start = fingerprint(parent), fingerprint(child)
    given = parent if source == "live" else Cached(parent, predict, sites).fill([batch], 12)
    method = METHODS[name](child, given, sites)
    optimizer = torch.optim.SGD(method.parameters(), lr=0.1, momentum=0.9)
    for step, index in enumerate(torch.arange(12).split(2) * 2):
        if step == 3:
            method.train()
            parent.train()
        optimizer.zero_grad()
        sum(method(part(batch, index.tolist())).values()).backward()
        optimizer.step()
    assert fingerprint(parent) == before and fingerprint(child) != start
    assert all(p.grad is None and not p.requires_grad for p in parent.parameters())


def test_fingerprint_sees_a_moved_buffer(pair):
    _, parent, batch = deepcopy(pair)
    before = fingerprint(parent)
    parent.train()(batch.x)
    assert fingerprint(parent) != before


@pytest.mark.parametrize("name", METHODS)
def test_the_parent_is_no_part_of_the_method(pair, name):
    child, parent, batch = deepcopy(pair)
    method = METHODS[name](child, parent, POOLED_UPSTREAM)
    method(batch)
    ids = {id(p) for p in parent.parameters()}
    assert not ids & {id(p) for p in method.parameters()} and not list(method.extra_parameters())
    assert all(key.startswith("child.") for key in method.state_dict())
    assert all(module is not parent for module in method.modules())
    assert method.train() is method and child.training and not parent.training
    method.eval()
    assert not child.training


def test_a_projection_is_an_extra_parameter_and_no_part_of_the_child():
    child, parent, batch = *networks(dtype=torch.float32), images(dtype=torch.float32)
    method = HKT(child, parent, sites=[Site("layer3", "layer2")], **PARTS)
    method.setup(batch)
    extra = list(method.extra_parameters())
    assert [tuple(p.shape) for p in extra] == [(32, 64, 1, 1), (32,), (64, 32, 1, 1), (64,)]
    terms = method(batch)
    assert all(
        g is not None and g.abs().max() > 0 for g in torch.autograd.grad(sum(terms.values()), extra)
    )
    named = dict(method.named_parameters())
    left = {key for key in named if not key.startswith("transfers.0.")}
    assert left == {f"child.{key}" for key, _ in child.named_parameters()}


def test_only_the_child_is_needed_afterwards(pair):
    child, parent, batch = deepcopy(pair)
    method = HKT(child, parent, sites=POOLED_UPSTREAM, **PARTS)
    sum(method(batch).values()).backward()
    alone = pickle.loads(
        pickle.dumps(child.eval())
    )  # no replaced forward, no reference to the parent
    assert torch.equal(alone(batch.x), child(batch.x))
    buffer = io.BytesIO()
    torch.save(child.state_dict(), buffer)
    assert buffer.tell() < 500_000


def test_methods_that_need_a_parent_or_a_site_say_so(pair):
    child, parent, _ = pair
    with pytest.raises(ValueError, match="HKT needs a parent network"):
        HKT(child, None, sites=POOLED, **PARTS)
    with pytest.raises(ValueError, match="KD needs a parent network"):
        KD(child, None, imitate=imitate, **PARTS)
    with pytest.raises(ValueError, match="HKT needs at least one site"):
        HKT(child, deepcopy(parent), **PARTS)
    with pytest.raises(ValueError, match="Parent and child are one network; copy.deepcopy"):
        HKT(child, child, sites=POOLED, **PARTS)
    with pytest.raises(ValueError, match=r"A site is a pair of paths, .*, not 'avgpool'\."):
        HKT(child, deepcopy(parent), sites=["avgpool"], **PARTS)
    with pytest.raises(ValueError, match="some of L_c, L_c\\*, L_p\\*, in this order, got .*'L_x'"):
        HKT(child, deepcopy(parent), sites=POOLED, terms=["L_c", "L_x"], **PARTS)
    with pytest.raises(ValueError, match="KD needs `imitate"):
        KD(child, deepcopy(parent), **PARTS)
    assert Plain(child, **PARTS).parent is None
