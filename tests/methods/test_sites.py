"""record and replay: reading and replacing features of models that are never edited."""

import gc

import pytest
import torch
from torch import nn

from hkt_lite.methods import HKT, Site
from hkt_lite.methods.attention import gate, mix
from hkt_lite.methods.sites import SiteError, locate, record, replay, statistics_kept
from tests.methods.nets import (
    PARTS,
    UPSTREAM,
    Loop,
    Methodical,
    Pair,
    gradients,
    images,
    loss,
    networks,
    perceptron,
    rows,
)


def anatomy(model: nn.Module) -> dict:
    """Everything that belongs to each module of a model, by identity."""
    return {
        name: {key: id(value) for key, value in vars(module).items()}
        for name, module in model.named_modules()
    }


# -- record ----------------------------------------------------------------------------------------------------------


def test_record_keeps_the_outputs_and_changes_nothing():
    model, batch = perceptron(5, 6, 6, 3), rows()
    before, plain = anatomy(model), model(batch.x)
    with record(model, ["0", "3", "0"]) as seen:
        assert torch.equal(model(batch.x), plain)
    assert list(seen) == ["0", "3"] and [len(calls) for calls in seen.values()] == [1, 1]
    assert torch.equal(seen["0"][0], model[0](batch.x)) and torch.equal(
        seen["3"][0], model[:4](batch.x)
    )
    assert anatomy(model) == before


def test_record_keeps_every_call_of_a_module_in_order():
    model, batch = Loop().double(), rows()
    with record(model, ["cell", "head"]) as seen:
        output = model(batch.x)
    h, calls = torch.zeros_like(batch.x), []
    for _ in range(3):
        calls.append(model.cell(h))
        h = torch.tanh(calls[-1] + batch.x)
    assert len(seen["cell"]) == 3 and all(torch.equal(a, b) for a, b in zip(seen["cell"], calls))
    assert torch.equal(seen["head"][0], output)


def test_a_method_can_be_a_site():
    model, batch = Methodical().double(), rows()
    before = anatomy(model)
    with record(model, ["encoder.features", "encoder.layer"]) as seen:
        model(batch.x)
    torch.testing.assert_close(seen["encoder.features"][0], torch.relu(seen["encoder.layer"][0]))
    with replay(model, {"encoder.features": lambda own, call: own * 0}):
        torch.testing.assert_close(model(batch.x), model.head.bias.expand(7, 3))
    assert anatomy(model) == before and "features" not in vars(model.encoder)


def test_an_output_that_is_changed_in_place_afterwards_is_refused():
    """Else what is compared would be what comes after the site."""
    model, batch = nn.Sequential(nn.Linear(5, 4), nn.ReLU(inplace=True), nn.Linear(4, 3)), rows()
    with pytest.raises(SiteError, match="'0': a later module, such as ReLU.*name that module"):
        with record(model, ["0"]):
            model(batch.x.float())
    with record(model, ["1"]) as seen:
        model(batch.x.float())
    assert float(seen["1"][0].min()) >= 0


def test_recorded_outputs_carry_gradients():
    model, batch = perceptron(5, 6, 3), rows()
    with record(model, ["0"]) as seen:
        model(batch.x)
    assert torch.autograd.grad(seen["0"][0].sum(), model[0].weight)[0].abs().max() > 0


# -- replay ----------------------------------------------------------------------------------------------------------


def test_replay_of_a_tensor_does_not_execute_the_module():
    model, batch = perceptron(5, 6, 3), rows()
    value = torch.randn(7, 6, dtype=torch.float64)
    with record(model, ["0"]) as inner, replay(model, {"1": value}):
        assert torch.equal(model(batch.x), model[2](value))
    assert len(inner["0"]) == 1  # module 0 lies before the site and still ran
    with record(model, ["0"]) as inner, replay(model, {"0": value}):
        assert torch.equal(model(batch.x), model[2](torch.relu(value)))
    assert inner["0"] == []


def test_replay_call_by_call():
    model, batch = Loop().double(), rows()
    with record(model, ["cell"]) as seen:
        plain = model(batch.x)
    with replay(model, {"cell": seen["cell"]}):
        assert torch.equal(model(torch.zeros_like(batch.x) + batch.x), plain)
    given = []
    with replay(model, {"cell": lambda own, call: given.append(call) or own + call}):
        assert not torch.equal(model(batch.x), plain)
    assert given == [0, 1, 2]
    short = replay(model, {"cell": seen["cell"][:2]})
    with (
        pytest.raises(SiteError, match="'cell' was called 3 times, but only 2 recorded outputs"),
        short,
    ):
        model(batch.x)


@pytest.mark.parametrize(
    "wrong, shape",
    [(lambda own, call: own[:3], r"\(3, 6\)"), (lambda own, call: own[..., None], r"\(7, 6, 1\)")],
)
def test_replay_of_another_batch_or_rank_names_the_site(wrong, shape):
    model = perceptron(5, 6, 3)
    sentence = rf"Site '0': {shape} cannot take the place of \(7, 6\)"
    with pytest.raises(SiteError, match=sentence), replay(model, {"0": wrong}):
        model(rows().x)


# -- errors and their aftermath --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path, message",
    [
        ("7", r"Site '7': Sequential has no '7'; it has 0, 1, 2 there"),
        ("0.deep.er", r"Site '0.deep.er': Sequential has no '0.deep'; it has no submodules there"),
        (
            "0.weight",
            r"Site '0.weight': 'weight' of Linear is a Parameter, neither a module nor a method",
        ),
        ("", "Site ''"),
    ],
)
def test_a_missing_path_names_the_site_and_what_is_there(path, message):
    model = perceptron(5, 6, 3)
    before = anatomy(model)
    for block in (
        lambda: record(model, ["0", path]),
        lambda: replay(model, {"0": rows().x, path: rows().x}),
    ):
        with pytest.raises(SiteError, match=message), block():
            pass
        assert anatomy(model) == before  # also what was replaced before the wrong path was met


def test_an_output_that_is_no_tensor_names_the_site():
    model = nn.Sequential(Pair())
    sentence = "Site '0' returns a tuple, not a tensor; name a module inside it"
    with pytest.raises(SiteError, match=sentence), record(model, ["0"]):
        model(rows().x)


@pytest.mark.parametrize(
    "block",
    [
        lambda model: record(model, ["0", "2"]),
        lambda model: replay(model, {"0": lambda own, call: own}),
    ],
)
def test_after_an_exception_the_model_is_what_it_was(block):
    model, batch = perceptron(5, 6, 3), rows()
    before, plain = anatomy(model), model(batch.x)
    with pytest.raises(ZeroDivisionError), block(model):
        model(batch.x)
        _ = 1 / 0
    assert anatomy(model) == before and torch.equal(model(batch.x), plain)
    with pytest.raises(RuntimeError), block(model):
        model(batch.x[:, :2])  # inside the model's own forward
    assert anatomy(model) == before and torch.equal(model(batch.x), plain)


def test_a_forward_that_was_already_replaced_comes_back():
    model, batch = perceptron(5, 6, 3), rows()
    model[0].forward = mine = lambda x: torch.zeros(len(x), 6, dtype=torch.float64)
    with record(model, ["0"]) as seen:
        model(batch.x)
    assert model[0].forward is mine and float(seen["0"][0].abs().max()) == 0


def test_nested_blocks():
    model, batch = perceptron(5, 6, 3), rows()
    before, plain = anatomy(model), model(batch.x)
    with record(model, ["0"]) as outer:
        with replay(model, {"0": lambda own, call: own + 1}), record(model, ["0"]) as inner:
            model(batch.x)
        middle = model(batch.x)
    assert torch.equal(
        inner["0"][0], outer["0"][0] + 1
    )  # the inner record sees what the replay returned
    assert len(outer["0"]) == 2 and torch.equal(middle, plain) and anatomy(model) == before


def test_same_block_used_on_two_models_at_once():
    one, two, batch = perceptron(5, 6, 3), perceptron(5, 4, 3, seed=1), rows()
    with record(one, ["0"]) as first, record(two, ["0"]) as second:
        one(batch.x), two(batch.x)
    assert first["0"][0].shape == (7, 6) and second["0"][0].shape == (7, 4)


def test_nothing_is_kept_alive_after_the_block():
    model, batch = perceptron(5, 6, 3), rows()
    with record(model, ["0"]):
        model(batch.x)
    gc.collect()
    assert "forward" not in vars(model[0])


# -- running statistics ----------------------------------------------------------------------------------------------


def test_statistics_kept_uses_the_batch_but_moves_nothing():
    net, batch = networks()[0], images()
    before = {name: value.clone() for name, value in net.named_buffers()}
    plain = net(batch.x)
    moved = {name: value.clone() for name, value in net.named_buffers()}
    with pytest.raises(ZeroDivisionError), statistics_kept(net):
        with statistics_kept(net):
            assert torch.equal(net(batch.x), plain)
        net(batch.x)
        _ = 1 / 0
    for name, value in net.named_buffers():
        assert torch.equal(value, moved[name]) and not torch.equal(value, before[name]), name
    net.eval()
    wanted = net(batch.x)
    with statistics_kept(net):
        assert torch.equal(net(batch.x), wanted)  # evaluation still needs the running statistics
    net.train()(batch.x)
    assert not torch.equal(net.bn1.running_mean, moved["bn1.running_mean"])


# -- HKT at these sites ----------------------------------------------------------------------------------------------


def run(net, x, at, mixing):
    """A perceptron by hand; the outputs of the layers in `at` go through mixing(output, layer)."""
    for number, layer in enumerate(net):
        x = layer(x)
        if number in at:
            x = mixing(x, number)
    return x


def test_several_sites_against_the_same_thing_by_hand():
    parent, child, batch = perceptron(5, 6, 4, 3, seed=1), perceptron(5, 6, 4, 3, seed=2), rows()
    features, mixtures = {}, {}
    run(parent, batch.x, (1, 3), lambda z, n: features.setdefault(n, z.detach()))

    def joined(c, n):
        mixtures[n] = mix(c, features[n])
        return mixtures[n]

    wanted = {
        "L_c": loss(child(batch.x), batch),
        "L_c*": loss(run(child, batch.x, (1, 3), joined), batch),
    }
    wanted["L_p*"] = loss(run(parent, batch.x, (1, 3), lambda z, n: mixtures[n]), batch)
    for first in (Site("1", "1"), Site("1", "1", ("0",), ("0",))):
        method = HKT(child, parent, sites=[first, Site("3", "3")], **PARTS)
        terms = method(batch)
        for name, value in wanted.items():
            torch.testing.assert_close(terms[name], value, rtol=1e-12, atol=0)
        got, want = gradients(terms, child), {}
        want = dict(
            zip(
                got,
                torch.autograd.grad(
                    sum(wanted.values()), list(child.parameters()), retain_graph=True
                ),
            )
        )
        for name in want:
            torch.testing.assert_close(got[name], want[name], rtol=1e-10, atol=1e-12)
    seen = method.observe()
    assert seen["gate"].shape == (14,) and torch.equal(
        torch.cat([seen[f"gate at {site.name}"] for site in method.sites]), seen["gate"]
    )
    with torch.no_grad():  # what is observed behind a mixture is that pass's own feature
        first = mix(child[:2](batch.x), features[1])
        c, p = child[2:4](first), features[3]
    gone = 0.6 * (1 - gate(c, p)[:, 0])
    torch.testing.assert_close(seen["share at 3"], gone)
    torch.testing.assert_close(
        seen["displacement at 3"], gone * (p - c).norm(dim=1) / c.norm(dim=1)
    )


@pytest.mark.parametrize("terms", [("L_c", "L_c*", "L_p*"), ("L_c", "L_p*")])
def test_a_module_called_three_times_is_mixed_call_by_call(terms):
    torch.manual_seed(0)
    parent, child, batch = Loop().double(), Loop().double(), rows()

    def loop(net, mixing):
        h = torch.zeros_like(batch.x)
        for call in range(3):
            h = torch.tanh(mixing(net.cell(h), call) + batch.x)
        return loss(net.head(h), batch)

    p, own, m = [], [], []
    loop(parent, lambda z, call: p.append(z.detach()) or z)
    wanted = {"L_c": loop(child, lambda z, call: own.append(z) or z)}
    if "L_c*" in terms:  # this pass's own feature with the parent's of that call
        wanted["L_c*"] = loop(child, lambda z, call: m.append(mix(z, p[call])) or m[-1])
    else:
        m = [mix(c, feature) for c, feature in zip(own, p)]
    wanted["L_p*"] = loop(parent, lambda z, call: m[call])
    got = HKT(child, parent, sites=[Site("cell", "cell")], terms=terms, **PARTS)(batch)
    assert list(got) == list(wanted) == list(terms)
    for name in wanted:
        torch.testing.assert_close(got[name], wanted[name], rtol=1e-12, atol=0)
    found, want = gradients(got, child), gradients(wanted, child)
    for name in want:
        torch.testing.assert_close(found[name], want[name], rtol=1e-10, atol=1e-12)


def test_methods_as_sites_of_hkt():
    torch.manual_seed(0)
    parent, child, batch = Methodical().double(), Methodical().double(), rows()
    terms = HKT(child, parent, sites=[Site("encoder.features", "encoder.features")], **PARTS)(batch)
    p = parent.encoder.features(batch.x).detach()
    m = mix(child.encoder.features(batch.x), p)
    torch.testing.assert_close(terms["L_c*"], loss(child.head(m), batch))
    torch.testing.assert_close(terms["L_p*"], loss(parent.head(m), batch))


def test_upstream_is_not_executed_a_second_time():
    child, parent = networks()
    method = HKT(child, parent, sites=[Site("avgpool", "avgpool", UPSTREAM, UPSTREAM)], **PARTS)
    method.setup(images())
    executed = []
    for net in (child, parent):
        for path in ("layer1.0.conv1", "layer3.0.conv2", "linear"):
            net.get_submodule(path).register_forward_pre_hook(
                lambda *_, path=path: executed.append(path)
            )
    method(images())
    assert (
        executed.count("layer1.0.conv1") == executed.count("layer3.0.conv2") == 2
    )  # once in each network
    assert executed.count("linear") == 4  # the head is behind the site


class Odd(nn.Module):
    """Modules whose outputs do not fit the parent's feature (7, 6) at '1'."""

    def __init__(self):
        super().__init__()
        self.layer, self.head = nn.Linear(5, 6).double(), nn.Linear(6, 3).double()
        self.loop, self.unused, self.pair = nn.Identity(), nn.Identity(), Pair()
        self.flat, self.first = nn.Unflatten(1, (3, 2)), First()

    def forward(self, x):
        z = self.loop(self.loop(self.layer(x)))
        self.flat(z), self.first(z), self.pair(z)
        return self.head(z)


class First(nn.Module):
    def forward(self, x):
        return x[:3]


@pytest.mark.parametrize(
    "sites, message",
    [
        ([Site("9", "1")], "Site '9': Sequential has no '9'"),
        ([Site("1", "9")], "Site '9': Odd has no '9'"),
        (
            [Site("1", "flat")],
            r"'1 -> flat': .* \(7, 6\) and the child's \(7, 3, 2\) differ in rank or batch",
        ),
        (
            [Site("1", "first")],
            r"'1 -> first': .* \(7, 6\) and the child's \(3, 6\) differ in rank or batch",
        ),
        (
            [Site("1", "loop")],
            "Site '1 -> loop' is called 1 times in the parent and 2 times in the child",
        ),
        (
            [Site("1", "unused")],
            "Site '1 -> unused' is called 1 times in the parent and 0 times in the child",
        ),
        ([Site("1", "pair")], "Site 'pair' returns a tuple"),
    ],
)
def test_sites_that_do_not_fit_are_named(sites, message):
    child, parent = Odd(), perceptron(5, 6, 3)
    before = anatomy(child), anatomy(parent.eval())
    with pytest.raises(SiteError, match=message):
        HKT(child, parent, sites=sites, **PARTS)(rows())
    assert (anatomy(child), anatomy(parent)) == before


def test_a_site_needs_a_fitted_projection_before_the_optimizer_is_made():
    method = HKT(perceptron(5, 4, 3), perceptron(5, 6, 3), sites=[Site("1", "1")], **PARTS)
    for _ in range(2):  # and it says so every time, not just the first
        with pytest.raises(
            SiteError, match=r"call setup\(batch\) once before the optimizer is made"
        ):
            method(rows())


def test_two_pairs_that_share_a_module_are_refused():
    """One place cannot return two mixtures."""
    for pair in ([Site("1", "1"), Site("1", "3")], [Site("1", "1"), Site("3", "1")]):
        with pytest.raises((SiteError, ValueError), match="'1'"):
            HKT(perceptron(5, 6, 6, 3), perceptron(5, 6, 6, 3, seed=1), sites=pair, **PARTS)(rows())


def test_site_names():
    assert Site("a", "a").name == "a" and Site("a", "b").name == "a -> b"


def test_locate_finds_modules_and_methods():
    model = Methodical()
    assert locate(model, "encoder.layer") == (model.encoder.layer, "forward")
    assert locate(model, "encoder.features") == (model.encoder, "features")
