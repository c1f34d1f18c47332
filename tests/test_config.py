"""Config: what is refused, what is filled in, what the hash covers."""

import pytest
import torch

import hkt_lite.benchmarks.scales as scales_of
from hkt_lite.benchmarks import get, names, resolve
from hkt_lite.benchmarks.scales import PARTS, scales
from hkt_lite.benchmarks.task import Task
from hkt_lite.config import Config, HKTError, nearest, stream


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"qqq": 0.1}, ["qqq", "Valid: "]),
        ({"epoch": 3}, ["'epoch'", "'epochs'"]),
        ({"epochs": "three"}, ["'epochs'", "'three'"]),
        ({"epochs": True}, ["'epochs'"]),
        ({"seed": -1}, ["'seed'", "-1"]),
        ({"scale": "huge"}, ["'scale'", "'huge'"]),
        ({"lr": 0.0}, ["'lr'"]),
    ],
)
def test_a_wrong_field_is_one_sentence_that_names_it(fields, words):
    with pytest.raises(HKTError) as error:
        Config(**fields)
    assert all(word in str(error.value) for word in words) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"task": "cifar01"}, ["cifar01", "'cifar10'"]),
        ({"method": "htk"}, ["htk", "'hkt'"]),
        ({"options": {"lamb": 0.3}}, ["'lamb'", "'lam'"]),
        ({"options": {"lam": "high"}}, ["'lam'", "'high'"]),
        ({"method": "plain", "options": {"kind": "gate"}}, ["Plain", "'kind'", "weight"]),
        ({"scale": "smoke", "views": 0}, ["cached", "views"]),
        ({"batch_size": 8000}, ["batch_size 8000", "train_size 2000"]),
        ({"epochs": 10**9}, ["'epochs'", "1000000000"]),
        ({"method": "plain", "views": 10**9}, ["'views'", "equal to 10000 ", "1000000000"]),
        ({"threads": 10**6}, ["'threads'", "equal to 1024 ", "1000000"]),
        ({"task": "sintell"}, ["sintell", "'sintel'"]),
    ],
)
def test_resolving_refuses_with_a_sentence(fields, words):
    with pytest.raises(HKTError) as error:
        resolve(Config(**fields))
    assert all(word in str(error.value) for word in words)


def test_nothing_auto_is_left_and_explicit_values_win():
    for scale in scales("cifar10"):
        assert resolve(Config(scale=scale)).unresolved == []
    assert resolve(Config(scale="smoke", lr=0.03)).lr == 0.03
    assert names() == ["cifar10", "flow", "lits"]


def test_every_benchmark_has_its_scales_and_each_of_them_resolves():
    for name in names():
        full = {"full"} if name == "cifar10" else set()  # all images without a GPU
        assert set(scales(name)) == {"smoke", "quick", "cpu", "paper"} | full
        for scale in scales(name):
            config = resolve(Config(task=name, method="plain", scale=scale, source="synthetic"))
            assert config.unresolved == [] and config.scale == scale


def test_learnt_goes_by_the_direction_of_a_metric():
    class Error(Task):
        metric, higher_is_better, zero = "rmse", False, {"rmse": "rmse_zero"}

    assert Error.learnt({"rmse": 0.42, "rmse_zero": 1.0})
    assert not Error.learnt({"rmse": 0.95, "rmse_zero": 1.0})
    assert not Task.learnt({"accuracy": 3.0}) and Task.learnt({"accuracy": 3.5})


def test_a_benchmark_that_lacks_a_part_is_named(monkeypatch):
    monkeypatch.setattr(get("cifar10"), "imitate", Task.imitate)
    with pytest.raises(
        HKTError, match=r"task.py does not define imitate; hkt_lite.benchmarks.task"
    ):
        get("cifar10")


def test_scales_that_cannot_be_read_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(scales_of, "__file__", str(tmp_path / "scales.py"))
    file = tmp_path / "half" / "scales.yaml"
    for text, said in [
        (None, "The scales of benchmark 'half' cannot be read: .*scales.yaml"),
        ("smoke:\n\t- 1", "The scales of benchmark 'half' cannot be read: .*line 2"),
        ("", "scales.yaml has no scales"),
        ("smoke: 3", "scales.yaml has no scales"),
    ]:
        file.parent.mkdir(exist_ok=True)
        if text is not None:
            file.write_text(text)
        with pytest.raises(HKTError, match=said):
            scales_of._settings.__wrapped__("half")


def test_every_benchmark_defines_what_a_task_is():
    for name in names():
        missing = [part for part in PARTS if part not in vars(get(name))]
        assert missing == [], (name, missing)


def test_a_preset_fills_what_was_not_given():
    assert (
        resolve(Config(task="sintel", scale="smoke")).id
        == resolve(Config(task="flow", scale="smoke")).id
    )
    tuned = resolve(Config(task="kitti-finetuned", method="plain"))
    assert (tuned.task, tuned.scale, tuned.source, tuned.epochs) == ("flow", "paper", "real", 140)
    assert [stage.corpus for stage in tuned.stages] == [
        "chairs",
        "things",
        "sintel+kitti+hd1k",
        "kitti",
    ]
    stages = [{"corpus": "chairs", "epochs": 2, "crop": [368, 496]}]
    assert resolve(Config(task="kitti-finetuned", method="plain", stages=stages)).epochs == 2


def test_the_id_needs_a_resolved_config_and_covers_every_field():
    with pytest.raises(HKTError, match="not resolved"):
        _ = Config().id
    base = resolve(Config(scale="smoke"))
    changed = [
        base.but(seed=1),
        base.but(lr=0.2),
        base.but(threads=2),
        base.but(options={**base.options, "lam": 0.5}),
    ]
    assert len({base.id, *(config.id for config in changed)}) == 5
    assert resolve(base).id == base.id, "resolving twice must change nothing"


def test_a_plain_child_does_not_depend_on_a_parent_it_never_sees():
    assert (
        resolve(Config(method="plain", scale="smoke", parent="resnet56")).id
        == resolve(Config(method="plain", scale="smoke")).id
    )


def test_streams_are_independent_and_repeatable():
    draw = lambda *name: torch.rand(4, generator=stream(*name)).tolist()  # noqa: E731
    assert draw(0, "order", 1) == draw(0, "order", 1)
    seen = {
        tuple(draw(seed, name, k))
        for seed in (0, 1)
        for name in ("child", "order", "augment", "method")
        for k in (0, 1)
    }
    assert len(seen) == 16


def test_nearest_names_one_or_all():
    assert nearest("gatee", ["gate", "static"]) == " Did you mean 'gate'?"
    assert "gate, static" in nearest("zzz", ["static", "gate"])


def test_a_record_that_does_not_name_sgd_is_one_of_sgd():
    config = resolve(Config(method="plain", scale="smoke"))
    first = Config(**{**config.model_dump(), "optimizer": None})
    assert config.optimizer == "sgd" and first.deciding("seed") == config.deciding("seed")
    assert first.id == config.id != config.but(optimizer="adamw").id
