"""The flow task: its loss by hand, its sites against the same thing spelt out, its curriculum, real layouts, bad input."""

import math
from contextlib import ExitStack, contextmanager

import pytest
import torch

from hkt_lite.benchmarks import get, resolve
from hkt_lite.benchmarks.flow.network import LEVELS, raft, smallest
from hkt_lite.benchmarks.flow.task import UPDATES, VAL_UPDATES, Batch, sequence_loss, sites
from hkt_lite.benchmarks.task import LEARNT
from hkt_lite.benchmarks.weights import parameters
from hkt_lite.config import Config, HKTError
from hkt_lite.methods import HKT
from hkt_lite.methods.attention import mix
from hkt_lite.runs.loop import build_method
from hkt_lite.runs.parent import build_parent
from hkt_lite.runs.schedule import learning_rate
from hkt_lite.runs.store import Store
from tests import writers
from tests.helpers import run


def smoke(**fields) -> Config:
    return resolve(
        Config(
            **{"task": "flow", "method": "plain", "scale": "smoke", "source": "synthetic", **fields}
        )
    )


@pytest.fixture(scope="module")
def task():
    return get("flow")(smoke(method="hkt")).load()


def test_the_sizes_of_the_networks_are_those_that_are_published():
    assert parameters(raft("raft_large")) == 5_257_536 and parameters(raft("raft_small")) == 990_162
    assert 3 * parameters(raft("raft_tiny")) < parameters(raft("raft_base"))
    with pytest.raises(HKTError, match="no RAFT 'raft_smal'.*'raft_small'"):
        raft("raft_smal")


@pytest.mark.parametrize("name", list(LEVELS)[2:])
def test_the_smallest_picture_is_the_smallest(name):
    net, side = raft(name).eval(), smallest(name)
    with torch.no_grad():
        assert net(
            torch.zeros(1, 3, side, side), torch.zeros(1, 3, side, side), num_flow_updates=1
        )[-1].shape == (1, 2, side, side)
        with pytest.raises(ValueError):
            net(
                torch.zeros(1, 3, side - 8, side),
                torch.zeros(1, 3, side - 8, side),
                num_flow_updates=1,
            )


def test_sequence_loss_by_hand():
    truth, valid = torch.zeros(1, 2, 2, 2), torch.tensor([[[True, True], [True, False]]])
    truth[0, :, 0, 0] = torch.tensor([3.0, -4.0])
    truth[0, 0, 0, 1] = 500.0  # too long: not learnt from
    first, last = torch.zeros_like(truth), truth.clone()
    last[0, 0, 1, 0], last[0, :, 1, 1] = 2.0, 9.0  # the last pixel is not valid
    # two valid pixels of length below 400, two components each; the first update is off by 3 and 4, the second by 2
    assert sequence_loss([first, last], truth, valid, 0.8).item() == pytest.approx(
        0.8 * 7 / 4 + 2 / 4
    )
    assert sequence_loss([last, first], truth, valid, 0.5).item() == pytest.approx(
        0.5 * 2 / 4 + 7 / 4
    )
    assert sequence_loss([first], truth, torch.zeros_like(valid)).item() == 0


def test_imitation_is_of_the_parents_last_flow_everywhere(task):
    child = [torch.zeros(1, 2, 4, 4), torch.ones(1, 2, 4, 4)]
    parent = [torch.full((1, 2, 4, 4), 7.0), torch.full((1, 2, 4, 4), 3.0)]
    assert task.imitate(child, parent, 4.0).item() == pytest.approx(0.8 * 3 + 2)


@contextmanager
def instead(model, values):
    """Replace modules' outputs by forward hooks, another way than the package's."""
    calls = dict.fromkeys(values, 0)

    def hook(path):
        def replace(module, args, output):
            calls[path] += 1
            return values[path](output, calls[path] - 1)

        return replace

    with ExitStack() as stack:
        for path in values:
            stack.callback(model.get_submodule(path).register_forward_hook(hook(path)).remove)
        yield


@pytest.mark.parametrize("name", ["2hkt", "3hkt"])
def test_the_three_terms_and_gradients_equal_the_straightforward_way(name):
    """Nothing reused: both networks run whole for every term; context mixed slice by slice, the recurrent state call by call."""
    torch.manual_seed(0)
    parent, child = raft("raft_base").eval(), raft("raft_tiny")
    x = torch.rand(2, 2, 3, 64, 64) * 2 - 1
    batch = Batch(
        x[0], x[1], torch.randn(2, 2, 64, 64), torch.rand(2, 64, 64) < 0.7, torch.arange(2)
    )
    predict = lambda model, batch: model(batch.first, batch.second, num_flow_updates=2)  # noqa: E731
    loss = lambda output, batch: sequence_loss(output, batch.flow, batch.valid)  # noqa: E731
    where = sites(name, "raft_base", "raft_tiny")
    method = HKT(child, parent, sites=where, predict=predict, loss=loss)
    method.setup(batch)
    got = method(batch)

    p = {site.parent: [] for site in where}
    with (
        torch.no_grad(),
        instead(parent, {path: lambda out, call, path=path: p[path].append(out) for path in p}),
    ):
        predict(parent, batch)
    mixed = {site.parent: [] for site in where}

    def mixing(site, transfer):
        def mixture(c, call):
            slices = site.parts or ((p[site.parent][call].shape[1], c.shape[1]),)
            each = getattr(transfer, "transfers", [transfer])
            parts = [
                mix(own, one(theirs, own))
                for one, own, theirs in zip(
                    each,
                    c.split([b for _, b in slices], 1),
                    p[site.parent][call].split([a for a, _ in slices], 1),
                )
            ]
            mixed[site.parent].append(parts)
            return torch.cat(parts, 1)

        return mixture

    with instead(
        child,
        {site.child: mixing(site, transfer) for site, transfer in zip(where, method.transfers)},
    ):
        second = loss(predict(child, batch), batch)
    back = {}
    for site, transfer in zip(where, method.transfers):
        each = getattr(transfer, "transfers", [transfer])
        back[site.parent] = [
            torch.cat([one.to_parent(part) for one, part in zip(each, parts)], 1)
            for parts in mixed[site.parent]
        ]
    with instead(parent, {path: lambda out, call, path=path: back[path][call] for path in back}):
        third = loss(predict(parent, batch), batch)
    wanted = {"L_c": loss(predict(child, batch), batch), "L_c*": second, "L_p*": third}
    for term in wanted:
        torch.testing.assert_close(got[term], wanted[term], rtol=1e-4, atol=1e-4)
    trained = dict(method.named_parameters())
    ours, theirs = (
        dict(
            zip(
                trained,
                torch.autograd.grad(sum(terms.values()), list(trained.values()), allow_unused=True),
            )
        )
        for terms in (got, wanted)
    )
    # with the recurrent state replaced at every call nothing of the encoders reaches the parent's flow, so that their way back is not learnt
    silent = {
        key
        for key in trained
        if name == "3hkt" and "to_parent" in key and not key.startswith("transfers.2")
    }
    assert {key for key, value in ours.items() if value is None} == silent
    for key in trained.keys() - silent:  # RAFT's grid is float32, whatever the weights are
        torch.testing.assert_close(
            ours[key],
            theirs[key],
            rtol=1e-2,
            atol=1e-3 * theirs[key].abs().max().item() + 1e-6,
            msg=lambda text, key=key: f"{key}: {text}",
        )


def test_what_no_gradient_needs_is_done_once(task):
    """The parent's loop is not run to read its encoders, and no encoder is executed twice."""
    config = task.config
    source = build_parent(config, task, Store.default()).source
    method = build_method(config, task, task.child(), source)
    counts = {}
    with ExitStack() as stack:
        for owner, net in (("parent", source.parent), ("child", method.child)):
            for path in (
                "feature_encoder.conv",
                "context_encoder.conv",
                "update_block.recurrent_block",
            ):

                def count(*_, key=(owner, path)):
                    counts[key] = counts.get(key, 0) + 1

                stack.callback(net.get_submodule(path).register_forward_hook(count).remove)
        method(task.batch(torch.arange(4), 0))
    loops = config.updates
    assert counts == {
        ("parent", "feature_encoder.conv"): 1,
        ("parent", "context_encoder.conv"): 1,
        ("parent", "update_block.recurrent_block"): loops,
        ("child", "feature_encoder.conv"): 1,
        ("child", "context_encoder.conv"): 1,
        ("child", "update_block.recurrent_block"): 2 * loops,
    }
    seen = method.observe()
    assert (
        seen["displacement at feature_encoder"].shape == (8,)
        and seen["displacement at context_encoder"].shape == (4,)
        and seen["displacement"].shape == (12,)
    )


def test_parent_updates_shortens_the_parents_tail_only():
    config = smoke(method="hkt", parent_updates=1)
    task = get("flow")(config).load()
    source = build_parent(config, task, Store.default()).source
    batch = task.batch(torch.arange(2), 0)
    assert (
        len(source.tail({}, source(batch), batch)) == 1
        and len(source(batch).output) == config.updates
    )
    assert smoke(method="plain").parent_updates is None


@pytest.mark.parametrize(
    "method, fields",
    [
        ("plain", {}),
        ("kd", {"options": {"alpha": 0.5}}),
        ("fitnet", {}),
        ("hkt", {}),
        ("hkt", {"sites": "3hkt"}),
    ],
)
def test_every_method_runs_through_the_curriculum(method, fields):
    record = run(smoke(method=method, **fields))
    assert record.config.epochs == 2 and len(record.epochs) == 2
    test = record.selected.test
    assert {
        "sintel_epe",
        "sintel_epe_zero",
        "sintel_epe_unmatched",
        "kitti_epe",
        "kitti_fl_all",
        "kitti_epe_zero",
    } <= test.keys()
    assert all(math.isfinite(value) for value in test.values())
    assert record.cost.parameters == parameters(raft("raft_tiny"))
    assert (record.cost.extra_parameters > 0) == (method in ("hkt", "fitnet"))
    if fields.get("sites") == "3hkt":
        assert "displacement at update_block.recurrent_block" in record.epochs[-1].inherited


def test_both_names_of_the_benchmark_are_one_run():
    one, other = (
        resolve(Config(task=name, method="hkt", scale="smoke")) for name in ("sintel", "kitti")
    )
    assert one.id == other.id and one.task == "flow"
    fine = resolve(Config(task="kitti-finetuned", method="plain", device="cpu"))
    assert [stage.corpus for stage in fine.stages] == [
        "chairs",
        "things",
        "sintel+kitti+hd1k",
        "kitti",
    ] and fine.scale == "paper"


def test_each_stage_has_its_schedule_and_its_share_of_the_rate():
    config = smoke(lr=0.001)  # two stages of one epoch, the second at half the rate
    rates = [learning_rate(config, step, 40) for step in range(40)]
    assert max(rates[:20]) == pytest.approx(0.001) and max(rates[20:]) == pytest.approx(0.0005)
    assert rates[19] < 0.0001 and rates[20] == pytest.approx(0.0005 / 25)


def test_batches_depend_on_index_and_epoch_only(task):
    a, b = task.batch(torch.tensor([3, 5]), 0), task.batch(torch.tensor([5]), 0)
    assert torch.equal(a.first[1], b.first[0]) and torch.equal(a.flow[1], b.flow[0])
    assert a.first.shape == (2, 3, 64, 64) and task.batch(torch.tensor([0]), 1).first.shape == (
        1,
        3,
        64,
        72,
    )


def test_zero_flow_is_the_length_of_the_true_one(task):
    lengths = torch.cat([s.flow.norm(dim=0)[s.valid] for s in task.val])
    assert task.measure(task.child(), task.val, 1, "sintel")["epe_zero"] == pytest.approx(
        lengths.double().mean().item(), rel=1e-6
    )
    images = torch.stack([s.flow.norm(dim=0)[s.valid].mean() for s in task.tests["kitti"]])
    assert task.measure(task.child(), task.tests["kitti"], 1, "kitti")["epe_zero"] == pytest.approx(
        images.double().mean().item(), rel=1e-5
    )  # per image
    assert task.metrics(task.child(), "val")["epe_zero"] == pytest.approx(
        lengths.double().mean().item(), rel=1e-6
    )


def test_learnt_is_a_tenth_better_than_zero_flow_on_sintel_or_what_there_is():
    flow = get("flow")
    assert LEARNT == 0.9
    assert flow.learnt({"sintel_epe": 8.9, "sintel_epe_zero": 10.0, "kitti_epe": 99.0})
    assert not flow.learnt({"sintel_epe": 9.1, "sintel_epe_zero": 10.0})
    assert flow.learnt({"epe": 1.0, "epe_zero": 2.0}) and not flow.learnt({"epe": 2, "epe_zero": 2})
    assert {"epe", "sintel_epe", "kitti_epe", "kitti_fl_all"} == flow.shown.keys()
    assert flow.zero["sintel_epe"] == "sintel_epe_zero" and flow.title


def test_measuring_leaves_the_model_as_it_was(task):
    child = task.child().train()
    task.measure(child, task.val[:2], 1, "sintel")
    assert child.training


def test_real_layouts_train_and_are_tested_on(tmp_path, monkeypatch):
    """Written in Sintel's and KITTI's layouts with odd sizes, read back as real data."""
    monkeypatch.setenv("HKT_DATA", str(tmp_path))
    writers.write_sintel(tmp_path, scenes=6, frames=3, size=(70, 90))
    writers.write_kitti(tmp_path, count=3, size=(66, 130))
    config = smoke(
        source="real", train_size=8, stages=[{"corpus": "sintel", "epochs": 1, "crop": [64, 64]}]
    )
    record = run(config)
    assert record.config.source == "real"
    assert {"sintel_epe", "sintel_final_epe", "kitti_epe"} <= record.selected.test.keys()
    task = get("flow")(config).load()
    scenes = [{pair.scene for pair in pairs} for pairs in (task.val, [p for _, p in task.items[0]])]
    assert scenes[0] and scenes[1] and not scenes[0] & scenes[1]
    assert {pair.scene for pair in task.tests["sintel"]} == scenes[
        0
    ]  # trained on Sintel: tested on its other scenes
    assert len(task.tests["kitti"]) == 3  # not trained on: all of it


def test_a_checkpoint_is_evaluated_on_a_real_corpus_without_any_training_data(
    tmp_path, monkeypatch
):
    from safetensors.torch import save_file

    from hkt_lite.runs.export import evaluate

    monkeypatch.setenv("HKT_DATA", str(tmp_path))
    monkeypatch.setenv("HKT_RUNS", str(tmp_path / "runs"))
    writers.write_sintel(tmp_path, scenes=2, frames=3, size=(70, 90))
    save_file(raft("raft_tiny").state_dict(), tmp_path / "child.safetensors")
    record = evaluate(
        "sintel", tmp_path / "child.safetensors", "raft_tiny", "sintel-clean", scale="smoke"
    )
    assert record.protocol["pairs"] == 4 and record.protocol["updates"] == 32
    assert record.metrics["epe"] > 0 and record.metrics["epe_zero"] > 0
    small = evaluate(
        "sintel", tmp_path / "child.safetensors", "raft_tiny", "sintel-clean-small", scale="smoke"
    )
    assert (small.protocol["shrunk"], small.protocol["updates"]) == (4, VAL_UPDATES)
    assert small.id != record.id
    quarter = record.metrics["epe_zero"] / 4  # pixels of a picture a quarter as wide
    assert small.metrics["epe_zero"] == pytest.approx(quarter, rel=0.1)
    assert not any(key.startswith("sintel") for key in record.metrics)  # one corpus: no prefix
    with pytest.raises(HKTError, match="no evaluation protocol 'sintel-clear'"):
        evaluate("sintel", tmp_path / "child.safetensors", "raft_tiny", "sintel-clear")


def test_updates_are_those_of_the_corpus_and_few_on_embedded_scenes(task, tmp_path, monkeypatch):
    assert task._as_tested("kitti") == (VAL_UPDATES, "kitti")
    monkeypatch.setenv("HKT_DATA", str(tmp_path))
    writers.write_kitti(tmp_path, count=1, size=(66, 130))
    one = get("flow")(task.config)
    assert one.protocol("kitti2015")["updates"] == UPDATES["kitti"] == 24
    assert one._as_tested("kitti2015") == (24, "kitti")
    assert get("flow").protocols["middlebury"]["updates"] == UPDATES["sintel"] == 32


@pytest.mark.parametrize(
    "fields, words",
    [
        (
            {"stages": [{"corpus": "layers", "epochs": 1, "crop": [24, 64]}]},
            "crop of 24 x 64 pixels; raft_tiny needs multiples of 8 and at least 32",
        ),
        ({"stages": [{"corpus": "layers", "epochs": 1, "crop": [68, 64]}]}, "needs multiples of 8"),
        (
            {"stages": [{"corpus": "layer", "epochs": 1, "crop": [64, 64]}]},
            "no flow corpus to train on 'layer'. Did you mean 'layers'",
        ),
        ({"method": "hkt", "sites": "4hkt"}, "no set of flow sites '4hkt'. Did you mean '.hkt'"),
        ({"sites": "zzz"}, "no set of flow sites 'zzz'. Valid: 2hkt, 3hkt"),
        ({"child": "raft_tinyy"}, "no RAFT 'raft_tinyy'. Did you mean 'raft_tiny'"),
        ({"method": "hkt", "parent": "raft_bas"}, "no RAFT 'raft_bas'. Did you mean 'raft_base'"),
        ({"method": "kd", "parent": "raft_bas"}, "no RAFT 'raft_bas'"),
        ({"method": "kd", "parent": "raft_large"}, "raft_large needs .* at least 128"),
        ({"epochs": 5}, "stages have 2 epochs and the configuration 5"),
        (
            {"stages": [{"corpus": "chairs", "epochs": 2, "crop": [64, 96]}], "epochs": 2},
            "A curriculum from chairs needs the real pairs",
        ),
    ],
)
def test_bad_settings_are_a_sentence_before_training(fields, words):
    with pytest.raises(HKTError, match=words):
        run(smoke(**fields))


def test_real_data_that_is_not_there_or_bad_is_named_before_training(tmp_path, monkeypatch):
    monkeypatch.setenv("HKT_DATA", str(tmp_path))
    monkeypatch.setenv("HKT_RUNS", str(tmp_path / "runs"))
    fields = {"source": "real", "stages": [{"corpus": "sintel", "epochs": 1, "crop": [64, 64]}]}
    with pytest.raises(HKTError, match="no folder .*Sintel"):
        run(smoke(**fields))
    folder = writers.write_sintel(tmp_path, scenes=2, frames=3, size=(70, 90))
    bad = next((folder / "training" / "flow").glob("*/*.flo"))
    bad.write_bytes(bad.read_bytes()[:-10])
    with pytest.raises(HKTError, match=bad.name):
        run(smoke(**fields))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("corpus, name", [("layers", "synthetic"), ("leaves", "leaves")])
def test_the_committed_parent_has_seen_scenes_of_the_childs_kind(corpus, name):
    stages = [{"corpus": corpus, "epochs": 1, "crop": [64, 96]}]
    made = Config(task="flow", method="kd", scale="smoke", source="synthetic", stages=stages)
    path = get("flow")(resolve(made)).parent_file()
    assert path.name == f"flow-{name}-raft_base.safetensors" and path.is_file()


def test_scenes_of_leaves_are_tested_on_scenes_of_leaves():
    stages = [{"corpus": "leaves", "epochs": 1, "crop": [64, 96]}]
    made = Config(task="flow", method="plain", scale="smoke", source="synthetic", stages=stages)
    task = get("flow")(resolve(made)).load()
    own = get("flow")(task.config.but(stages=[{**stages[0], "corpus": "layers"}])).load()
    for name in ("sintel", "kitti"):
        assert not torch.equal(task.tests[name][0].first, own.tests[name][0].first)
    assert not task.tests["kitti"][0].valid.all()  # its truth has holes, whatever is painted
