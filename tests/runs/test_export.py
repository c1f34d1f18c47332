"""Export: the child alone, checked; evaluation of foreign checkpoints, with the known values where they lie here."""

import shutil
from pathlib import Path

import pytest
import torch

from hkt_lite.benchmarks.cifar10.network import resnet
from hkt_lite.benchmarks.weights import parameters
from hkt_lite.config import HKTError, data_home
from hkt_lite.runs.export import evaluate, export, load_child
from hkt_lite.runs.store import Store
from tests.helpers import recorded


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    yield from recorded("hkt", tmp_path_factory)


def test_all_three_formats_give_the_childs_logits_and_nothing_of_the_parent(record, tmp_path):
    differences = export(record, tmp_path)
    assert {name.rsplit(".", 1)[1] for name in differences} == {"safetensors", "pt2", "onnx"}
    assert max(differences.values()) <= 1e-4
    size = (
        (tmp_path / next(name for name in differences if name.endswith("safetensors")))
        .stat()
        .st_size
    )
    assert size < 4 * parameters(resnet("resnet8")) * 1.2, "the file holds more than the child"
    program = torch.export.load(
        tmp_path / next(name for name in differences if name.endswith("pt2"))
    )
    assert program.module()(torch.zeros(7, 3, 32, 32)).shape == (7, 10)


def test_export_refuses(record, tmp_path):
    with pytest.raises(HKTError, match="'tflite'"):
        export(record, tmp_path, ("tflite",))
    with pytest.raises(HKTError, match="has no weights in"):
        load_child(record.model_copy(update={"id": "0" * 12}))


def test_a_wrong_export_is_not_kept(record, tmp_path, monkeypatch):
    from hkt_lite.runs import export as module

    monkeypatch.setitem(
        module._EXPORTERS,
        "torch",
        lambda model, x, path: (path.write_text("bad"), model(*x) + 1)[1],
    )
    with pytest.raises(HKTError, match="differs from the child"):
        export(record, tmp_path, ("torch",))
    assert not list(tmp_path.glob("*.pt2"))


@pytest.mark.parametrize(
    "file, arch, accuracy",
    [("HKT-RestNet20.pth", "resnet20", 92.40), ("resnet20-12fca82f.th", "resnet20", 91.73)],
)
def test_the_public_checkpoints_have_their_known_accuracy(
    file, arch, accuracy, tmp_path, monkeypatch
):
    path = data_home() / "weights" / file
    if not (path.is_file() and (data_home() / "cifar-10-batches-py" / "test_batch").is_file()):
        pytest.skip("CIFAR-10 and the public checkpoints are not under HKT_DATA")
    monkeypatch.setenv("HKT_RUNS", str(tmp_path))
    record = evaluate("cifar10", path, arch)
    assert (
        record.metrics["accuracy"] == pytest.approx(accuracy, abs=0.005)
        and record.protocol["images"] == 10_000
    )


def test_a_checkpoint_is_named_after_its_run_and_no_other_folder(record, tmp_path, monkeypatch):
    asked = {"source": "synthetic", "scale": "smoke", "arch": record.config.child}
    weights = Store.default().weights(record.id)
    monkeypatch.chdir(weights.parent)
    assert evaluate("cifar10", Path(weights.name), **asked).checkpoint == f"run {record.id}"
    monkeypatch.setenv("HKT_RUNS", str(tmp_path))  # a store of which `parents` is no run
    kept = Store.default().parents / weights.name
    kept.parent.mkdir()
    shutil.copy(weights, kept)
    assert evaluate("cifar10", kept, **asked).checkpoint == weights.name


def test_evaluation_refuses(tmp_path):
    with pytest.raises(HKTError, match="no weights at"):
        evaluate("cifar10", tmp_path / "none.pth", "resnet20")
    with pytest.raises(HKTError, match="protocol 'imagnet'.*'imagenet'"):
        evaluate("cifar10", tmp_path / "none.pth", "resnet20", "imagnet")
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(HKTError, match="cut.pth are corrupt or truncated"):
        evaluate("cifar10", tmp_path / "cut.pth", "resnet20")
