"""CIFAR-10's sites by name: what a run may ask for, and that methods train at maps as at the pooled feature."""

import json
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from hkt_lite.benchmarks import get, method_class, names, resolve
from hkt_lite.benchmarks.cifar10.data import load
from hkt_lite.benchmarks.cifar10.network import depth
from hkt_lite.benchmarks.cifar10.task import LAYERS, NAMED, SITES, Cifar10, sites
from hkt_lite.config import Config, HKTError, runs_home
from hkt_lite.methods.attention import mix
from hkt_lite.methods.parent import Live
from hkt_lite.runs.loop import run
from tests.helpers import tiny
from tests.writers import write_cifar10


@pytest.mark.parametrize(
    "fields, words",
    [
        (
            {"sites": "zzz"},
            "no set of CIFAR-10 sites 'zzz'. Valid: blocks, blocks.pooled, layers, .*pooled.",
        ),
        ({"sites": "layer"}, "Did you mean 'layers'?"),
        ({"sites": ""}, "field 'sites': String should have at least 1 character"),
        ({"method": "kd", "sites": "zzz"}, "no set of CIFAR-10 sites 'zzz'"),
        ({"method": "at"}, "'at' .*compares maps .*'pooled' .*use -s sites=layers"),
        ({"method": "at", "sites": "layers+pooled"}, "use -s sites=layers, or blocks."),
        ({"method": "aligned"}, "'aligned' aligns maps, .*use -s sites=blocks.pooled."),
        ({"options": {"kind": "softmax"}}, "'hkt' .*compares maps .*use -s sites=layers"),
        ({"child": "resnet9999998"}, "no CIFAR ResNet 'resnet9999998'; .*at most 1202"),
        ({"parent": "resnet21"}, "no CIFAR ResNet 'resnet21'"),
        ({"train_size": 45_001}, "train_size 45001 is more than the 45000 images"),
        ({"images": "rest"}, "among real images; add -s source=real"),
        ({"images": "swap", "source": "real", "train_size": 10_000}, "leaves none to judge on"),
        ({"task": "flow", "images": "rest"}, "no use for 'images'"),
        ({"task": "lits", "images": "swap"}, "Only real slices can be chosen"),
    ],
)
def test_what_cannot_be_run_is_refused_before_any_work(fields, words):
    with pytest.raises(HKTError, match=words) as error:
        resolve(Config(scale="smoke", **fields))
    assert "\n" not in str(error.value)


def test_the_pooled_site_is_the_default_and_has_no_name_in_the_hash():
    default, named = tiny(), tiny(sites="pooled")
    assert default.sites is named.sites is None and default.id == named.id
    assert default.parent_source == "cached"
    assert get("cifar10")(default).sites == Cifar10.sites == SITES["pooled"]
    assert tiny(sites="layers").id != default.id


def test_other_images_to_train_on_share_none_with_the_first_and_those_judged_on(
    tmp_path, monkeypatch
):
    write_cifar10(tmp_path, 600, 300)
    monkeypatch.setenv("HKT_DATA", str(tmp_path))
    monkeypatch.setattr(
        "hkt_lite.benchmarks.cifar10.task.cifar10.load", partial(load, official=False)
    )

    def indices(images: str | None) -> list[set[int]]:
        config = Config(
            method="plain", scale="cpu", source="real", images=images, train_size=200, views=0
        )
        task = get("cifar10")(resolve(config)).load()
        return [set(task.images[split].index.tolist()) for split in ("train", "val", "test")]

    (first, val, test), (rest, val_too, test_too) = indices(None), indices("rest")
    assert len(first) == len(rest) == 200 and not first & rest and not rest & val
    assert (val, test) == (val_too, test_too)
    swapped, val_too, judged = indices("swap")
    assert val_too == val and swapped | judged == test and not swapped & judged
    assert len(swapped) == 200


def test_maps_have_a_live_parent_and_methods_without_sites_do_not_care():
    assert tiny(sites="layers").parent_source == "live"
    assert tiny(sites="layers", parent_source="cached").parent_source == "cached"
    assert tiny("kd", sites="layers").id == tiny("kd").id
    assert tiny("plain", sites="layers").id == tiny("plain").id


def test_epochs_differ_and_views_repeat():
    fresh, three = (
        get("cifar10")(tiny("plain", views=views, train_size=64)).load() for views in (0, 3)
    )
    index = torch.arange(40)
    assert not torch.equal(fresh.batch(index, 0).x, fresh.batch(index, 3).x)
    for epoch, view in [(0, 0), (3, 0), (4, 1)]:
        batch, same = three.batch(index, epoch), fresh.batch(index, view)
        assert torch.equal(batch.x, same.x) and torch.equal(batch.key, index + 64 * view)


@pytest.mark.parametrize(
    "sites, method",
    [
        ("layers", "at"),  # attention transfer has no use for a pooled feature
        ("layers", "fitnet"),
        ("layers", "hkt"),
        ("layers+pooled", "fitnet"),
        ("layers+pooled", "hkt"),
    ],
)
def test_methods_train_at_maps_end_to_end(method, sites):
    config = tiny(method, sites=sites, train_size=64, epochs=1)
    run(config)
    record = json.loads((runs_home() / config.id / "record.json").read_text())
    assert record["config"]["sites"] == sites
    terms = {"at": ["L_at"], "fitnet": ["L_hint"], "hkt": ["L_c*", "L_p*"]}[method]
    assert list(record["epochs"][0]["train"]) == ["L_c", *terms]
    assert record["epochs"][0]["train"][terms[0]] > 0


@pytest.fixture(scope="module")
def trained():
    """(task, child, method) of HKT on the three layers, after its set-up."""
    config = tiny(sites="layers", train_size=64)
    task = get("cifar10")(config).load()
    child, (parent, _) = task.child(), task.parent()
    source = Live(parent, task.predict, task.sites, task.predict_tail)
    parts = {"predict": task.predict, "loss": task.loss}
    method = method_class("hkt")(child, source, sites=task.sites, **parts, **config.options)
    method.setup(task.batch(torch.arange(32), 0))
    return task, child, method


def stem(net, x):
    return F.relu(net.bn1(net.conv1(x)))


def test_hkt_at_layers_is_the_algorithm_written_plainly(trained):
    """The mixture at a layer is what the next layer sees; the parent's tail sees the last mixture."""
    task, child, method = trained
    batch, parent = task.batch(torch.arange(16), 0), method.parent.parent
    assert not list(method.extra_parameters()), "widths are equal, Transfer is the identity"
    child.eval()
    terms = method(batch)
    theirs, own, plain = stem(parent, batch.x), stem(child, batch.x), stem(child, batch.x)
    for name in ("layer1", "layer2", "layer3"):
        theirs, own = getattr(parent, name)(theirs), getattr(child, name)(own)
        plain, own = getattr(child, name)(plain), mix(own, theirs, "gate", 0.6)
    for term, net, feature in (("L_c", child, plain), ("L_c*", child, own), ("L_p*", parent, own)):
        expected = task.loss(net.linear(net.avgpool(feature)), batch)
        torch.testing.assert_close(terms[term], expected, rtol=1e-4, atol=1e-5)
    assert terms["L_c*"] != terms["L_c"]
    child.train()


@pytest.mark.parametrize(
    "parent, child, pairs",
    [
        ("resnet56", "resnet20", [(2, 0), (5, 1), (8, 2)]),
        ("resnet20", "resnet14", [(0, 0), (2, 1)]),
        ("resnet20", "resnet20", [(0, 0), (1, 1), (2, 2)]),
        ("resnet8", "resnet20", [(0, 2)]),
    ],
)
def test_blocks_meet_at_equal_depth(parent, child, pairs):
    wanted = [(f"layer{k}.{theirs}", f"layer{k}.{own}") for k in (1, 2, 3) for theirs, own in pairs]
    assert [(site.parent, site.child) for site in sites("blocks", parent, child)] == wanted
    assert sites("blocks+pooled", parent, child)[-1].name == "avgpool"
    assert wanted[-1][1] == f"layer3.{(depth(child) - 2) // 6 - 1}"  # the last of each group
    with pytest.raises(HKTError, match="set of CIFAR-10 sites 'block'. Did you mean 'blocks'"):
        sites("block", parent, child)


def test_at_blocks_a_task_meets_at_those_of_its_networks():
    config = tiny("at", sites="blocks", parent="resnet20", child="resnet14")
    assert get("cifar10")(config).sites == sites("blocks", "resnet20", "resnet14")


@pytest.mark.parametrize("name", NAMED)
def test_replaying_what_lies_before_the_sites_changes_nothing(name, trained):
    """With nothing inherited the second passes are the first ones, whatever is replayed."""
    task, child, method = trained
    meet = sites(name, task.config.parent, task.config.child)
    source = Live(method.parent.parent, task.predict, meet)
    parts = {"predict": task.predict, "loss": task.loss}
    still = method_class("hkt")(child, source, sites=meet, lam=0.0, **parts)
    batch = task.batch(torch.arange(16), 0)
    still.setup(batch)
    terms = still(batch)
    torch.testing.assert_close(terms["L_c*"], terms["L_c"], rtol=1e-5, atol=1e-6)


def test_what_a_table_needs_comes_with_the_benchmark():
    assert Cifar10.title == "CIFAR-10" and Cifar10.metric in Cifar10.shown
    assert [site.name for site in LAYERS] == ["layer1", "layer2", "layer3"]
    assert "cifar10" in names()
