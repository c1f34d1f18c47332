"""The segmentation task: its losses, its batches, its evaluation, and every method on phantoms, LiTS's layout and slice collections."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from hkt_lite.benchmarks import resolve
from hkt_lite.benchmarks.lits import data as reader
from hkt_lite.benchmarks.lits import slices
from hkt_lite.benchmarks.lits import synthetic as phantom
from hkt_lite.benchmarks.lits.metrics import scores
from hkt_lite.benchmarks.lits.task import (
    IN_PLANE,
    PHANTOMS,
    Batch,
    Lits,
    all_liver,
)
from hkt_lite.config import PROJECT, Config, HKTError, data_home
from hkt_lite.runs import grid
from hkt_lite.runs.export import evaluate
from tests import writers
from tests.helpers import run

REAL = data_home()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("HKT_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("HKT_DATA", str(tmp_path / "data"))


def task(**fields) -> Lits:
    return Lits(
        resolve(Config(**{"task": "lits", "method": "plain", "scale": "smoke", **fields}))
    ).load()


def bare() -> Lits:
    """The task without its data."""
    return Lits(resolve(Config(task="lits", method="plain", scale="smoke")))


def parent_of(config: Config, tmp_path) -> str:
    """A parent that has learnt nothing, as the result of a run that never was."""
    torch.manual_seed(1)
    path = tmp_path / "runs" / "parent" / "child.safetensors"
    path.parent.mkdir(parents=True)
    save_file(Lits(resolve(config)).network("resunet2d-24x4").state_dict(), path)
    return "run:parent"


def write_collection(folder, numbers) -> None:
    """Phantoms as a slice collection: images/, masks/ and index.csv."""
    rows = ["split,volume_index,slice"]
    for number in numbers:
        hu, labels, _ = phantom.phantom("train", number, size=64, slices=12)
        found = {"images": slices.windowed(hu), "masks": (labels > 0) * np.uint8(255)}
        for level in range(12):
            for kind, value in found.items():
                path = folder / "train" / kind / f"{number}_{level:03d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(value[level]).save(path)
            rows.append(f"train,{number},{level}")
    (folder / "index.csv").write_text("\n".join(rows))


# --- losses -----------------------------------------------------------------------------------------------------------


def loss(logits, labels):
    return bare().loss(logits, Batch(None, labels, None))


def imitate(child, parent, temperature):
    return bare().imitate(child, parent, temperature)


def test_loss_by_hand():
    """Three pixels, one of them foreground, each with probability 3/4 for its truth: soft Dice of the foreground 2 (3/4) / (5/4 + 1)."""
    logits = torch.log(torch.tensor([[0.25, 0.75, 0.75], [0.75, 0.25, 0.25]]))[
        None, :, None
    ]  # (1, 2, 1, 3)
    labels = torch.tensor([[[1, 0, 0]]])
    wanted = (
        1 - 2 * 0.75 / (1.25 + 1) - np.log(0.75)
    )  # with the background's Dice, 0.8, it would be less
    assert loss(logits, labels).item() == pytest.approx(wanted, abs=1e-4)
    assert loss(logits, 1 - labels).item() > wanted


def test_loss_pools_the_batch():
    """A slice without foreground costs its false pixels, not a whole Dice: the loss of two slices is not the mean of each one's."""
    labels = torch.zeros(2, 8, 8, dtype=torch.long)
    labels[0, :4], labels[0, :2] = 1, 2
    logits = 10 * torch.nn.functional.one_hot(labels, 3).movedim(-1, 1).float()
    logits[1, 1:, 0, 0] = 20.0  # one pixel of the slice without foreground is wrong
    apart = (loss(logits[:1], labels[:1]) + loss(logits[1:], labels[1:])) / 2
    assert loss(logits, labels) < apart - 0.05


def test_imitation_by_hand():
    child, parent = torch.tensor([0.0, 3.0, 1.0]), torch.tensor([1.0, 0.5, -1.0])
    q, p = torch.log_softmax(child / 2, 0), torch.softmax(parent / 2, 0)
    wanted = 4 * (p * (p.log() - q)).sum().item()
    maps = [value[None, :, None, None].expand(4, 3, 5, 7) for value in (child, parent)]
    assert imitate(*maps, 2.0).item() == pytest.approx(
        wanted, rel=1e-5
    )  # a mean over pixels: their number does not matter
    assert imitate(maps[1], maps[0], 2.0).item() != pytest.approx(wanted, rel=1e-2)
    assert imitate(maps[0], maps[0], 2.0).item() == pytest.approx(0, abs=1e-6)


# --- batches ------------------------------------------------------------------------------------------------------------


def test_an_example_looks_alike_in_every_batch_and_different_in_every_epoch():
    one = task()
    a, b = one.batch(torch.tensor([3, 9, 20]), 1), one.batch(torch.tensor([20, 3]), 1)
    assert (
        torch.equal(a.x[2], b.x[0])
        and torch.equal(a.y[0], b.y[1])
        and torch.equal(a.key, torch.tensor([3, 9, 20]))
    )
    assert not torch.equal(a.x, one.batch(a.key, 2).x)
    assert torch.equal(a.x, task().batch(a.key, 1).x) and not torch.equal(
        a.x, task(seed=1).batch(a.key, 1).x
    )
    assert (
        a.x.shape == (3, 1, 64, 64)
        and a.y.dtype == torch.int64
        and a.x.min() > -0.2
        and a.x.max() < 1.3
    )


def test_picture_and_labels_move_together():
    """With labels for a picture, both come out of the augmentation alike."""
    one = task()
    one.volumes["train"] = [volume._replace(x=volume.y * 100) for volume in one.volumes["train"]]
    batch = one.batch(torch.arange(32), 0)
    light = one._affine(torch.arange(32), 0)[1]
    shown = (batch.x[:, 0] - light[:, 1, None, None]) / light[:, :1, None] * 255 / 100
    assert (shown.round() - batch.y).abs().gt(0.5).float().mean() < 0.01


def test_augmentation_shrinks_and_turns_but_keeps_the_patient():
    one = task()
    plain = (
        torch.cat(
            [torch.from_numpy(one.volumes["train"][v].y[k] > 0)[None] for v, k in one.examples[:48]]
        )
        .float()
        .mean()
    )
    assert one.batch(torch.arange(48), 0).y.gt(0).float().mean() == pytest.approx(
        plain.item(), rel=0.25
    )


def test_slices_with_liver_and_a_quarter_of_the_others_are_trained_on():
    one = task(train_size=64)
    tops = [one.volumes["train"][volume].top[level] for volume, level in one.examples]
    assert 0.05 < np.mean(np.array(tops) == 0) < 0.25 and len(set(one.examples)) == 64


def test_batches_are_whole_volumes_in_order():
    one = task()
    x = torch.cat([batch.x for batch in one.batches("val", 10)])
    assert np.array_equal(
        (x[:, 0] * 255).round().numpy().astype(np.uint8),
        np.concatenate([volume.x for volume in one.volumes["val"]]),
    )
    assert torch.cat([batch.key for batch in one.batches("val", 10)]).tolist() == 4 * list(
        range(24)
    )


# --- evaluation -----------------------------------------------------------------------------------------------------------


class Threshold(torch.nn.Module):
    """Says what a pixel's grey level is: local, so windows and whole slices must agree."""

    def forward(self, x):
        return torch.stack([(0.6 - x[:, 0]) * 9, (x[:, 0] - 0.6) * 9, (x[:, 0] - 0.8) * 20], 1)


def test_metrics_are_those_of_the_volumes():
    one = task()
    maps = [
        np.where(v.x / 255 > 0.8 + 0.6 / 11, 2, np.where(v.x / 255 > 0.6, 1, 0))
        for v in one.volumes["val"]
    ]
    wanted = scores(maps, [v.y for v in one.volumes["val"]])
    found = one.metrics(Threshold(), "val")
    assert found["dice_liver"] == pytest.approx(wanted["dice_liver"], abs=1e-3) and set(
        found
    ) == set(wanted)
    assert {"assd_lesion", "hd95_liver", "lesion_recall"} <= set(one.metrics(Threshold(), "test"))


def test_sliding_windows_agree_with_whole_slices():
    whole, windows = task(), task(crop=[32, 32])
    for a, b in zip(whole.segmented(Threshold(), "val"), windows.segmented(Threshold(), "val")):
        assert np.array_equal(a, b)
    assert windows.batch(torch.arange(4), 0).x.shape == (4, 1, 32, 32)


def test_evaluation_leaves_the_mode_as_it_was():
    model = Threshold().train()
    task().metrics(model, "val")
    assert model.training


def test_post_processing_is_a_protocol_and_off_by_default():
    one = task()
    plain = one.segmented(Threshold(), "test")
    assert one.protocol("largest-component")["post-processing"].startswith("largest")
    largest = one.segmented(Threshold(), "test")
    assert all((a > 0).sum() > (b > 0).sum() for a, b in zip(plain, largest))
    one.protocol("volumes")
    assert np.array_equal(one.segmented(Threshold(), "test")[0], plain[0])


def test_an_answer_without_looking():
    one = task()
    found = all_liver(one, "val")
    share = np.mean([2 * (v.y > 0).mean() / (1 + (v.y > 0).mean()) for v in one.volumes["val"]])
    assert found["dice_liver"] == pytest.approx(share) and found["dice_lesion"] == 0
    assert not Lits.learnt(found)
    assert Lits.learnt({"dice": 0.7, "dice_lesion": 0.4}) and not Lits.learnt({"dice": 0.3})


def test_learnt_means_better_than_the_best_answer_that_cannot_see_lesions():
    """The threshold is that answer's score on the test phantoms on which the published children were tested."""
    truths = [v.y for v in phantom.volumes("test", PHANTOMS["test"], IN_PLANE["quick"])]
    blind = scores([2 * (y > 0).astype(np.uint8) for y in truths], truths)
    assert not Lits.learnt(blind)
    assert Lits.learnt({"dice_lesion": blind["dice_lesion"] + 0.005})


# --- evaluation of a checkpoint on volumes that somebody has ------------------------------------------------------------


def checkpoint(tmp_path, config) -> object:
    path = tmp_path / "child.safetensors"
    torch.manual_seed(2)
    save_file(Lits(resolve(config)).network("resunet2d-6x4").state_dict(), path)
    return path


def own(folder, layout: str):
    """Three labelled volumes whose numbers are in no split."""
    target = folder / ("" if layout == "own" else layout)
    writers.write_lits(target, [700, 801, 9], size=48, slices=10)
    for kind in ("volume", "segmentation"):
        (target / f"{kind}-9.nii").rename(target / f"{kind}-2009.nii")
    if layout == "Task03_Liver":
        for path in list(target.glob("*.nii")):
            kind, number = path.stem.split("-")
            new = target / {"volume": "imagesTr", "segmentation": "labelsTr"}[kind]
            new.mkdir(exist_ok=True)
            path.rename(new / f"liver_{number}.nii")


@pytest.mark.parametrize("layout", ["own", "LiTS", "Task03_Liver"])
def test_own_volumes_are_evaluated_without_any_training_data(layout, tmp_path):
    own(tmp_path / "data", layout)
    path = checkpoint(tmp_path, Config(task="lits", method="plain", scale="smoke"))
    record = evaluate("lits", path, protocol="own-volumes", scale="smoke")
    assert record.protocol == {
        "corpus": "lits",
        "volumes": 3,
        "labels": record.protocol["labels"],
        "in-plane": 64,
        "crop": [64, 64],
        "split": "all",
        "post-processing": "none",
    }
    assert {"dice_liver", "hd95_liver", "lesion_recall"} <= set(record.metrics)
    largest = evaluate("lits", path, protocol="own-largest-component", scale="smoke")
    assert largest.id != record.id and largest.protocol["volumes"] == 3
    with pytest.raises(HKTError, match="has volume 700, .*own-volumes"):
        evaluate("lits", path, scale="smoke")


def test_other_volumes_are_another_evaluation(tmp_path, monkeypatch):
    path = checkpoint(tmp_path, Config(task="lits", method="plain", scale="smoke"))
    ids = set()
    for number in (700, 701):
        writers.write_lits(tmp_path / str(number), [number], size=48, slices=6)
        monkeypatch.setenv("HKT_DATA", str(tmp_path / str(number)))
        ids.add(evaluate("lits", path, protocol="own-volumes", scale="smoke").id)
    assert len(ids) == 2


def test_the_committed_test_volumes_need_no_others(tmp_path):
    lists = slices.split_list(reader.SPLIT)
    writers.write_lits(tmp_path / "data" / "LiTS", lists["test"][:2], size=48, slices=6)
    path = checkpoint(tmp_path, Config(task="lits", method="plain", scale="smoke"))
    said = evaluate("lits", path, scale="smoke").protocol
    assert said["split"] == "test" and said["volumes"] == 2


def test_a_volume_with_no_split_of_a_collection_is_evaluated(tmp_path):
    write_collection(tmp_path / "data" / "liver_ct", [77001, 77002])
    one = Lits(
        resolve(Config(task="lits", method="plain", scale="smoke", source="real", crop=[64, 64]))
    )
    said = one.protocol("own-volumes")
    assert said["corpus"] == "liver_ct" and said["volumes"] == 2
    assert set(one.metrics(one.child(), "test")) == {
        "dice",
        "dice_foreground",
        "dice_foreground_global",
    }
    with pytest.raises(HKTError, match="index.csv has volume 77001, which"):
        one.protocol("volumes")


def test_phantoms_can_be_evaluated_too():
    one = task()
    assert one.protocol("volumes")["volumes"] == 6 and one.protocol("own-volumes")["volumes"] == 6
    assert one.protocol("volumes")["corpus"] == "phantoms"


# --- runs -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["plain", "kd", "hkt", "fitnet", "at"])
def test_every_method_trains_at_smoke_scale(method, tmp_path):
    weights = parent_of(Config(task="lits", method="plain", scale="smoke"), tmp_path)
    record = run(
        Config(
            task="lits",
            method=method,
            scale="smoke",
            parent_weights=None if method == "plain" else weights,
        )
    )
    assert (
        set(record.epochs[0].train)
        == {
            "plain": {"L_c"},
            "kd": {"L_c", "L_kd"},
            "hkt": {"L_c", "L_c*", "L_p*"},
            "fitnet": {"L_c", "L_hint"},
            "at": {"L_c", "L_at"},
        }[method]
    )
    assert 0 <= record.selected.test["dice"] <= 1 and record.cost.parameters == 57_070
    if method == "hkt":
        assert any("at model" in name for name in record.epochs[-1].inherited)


def test_same_configuration_same_bits(tmp_path, monkeypatch):
    found = []
    for name in ("a", "b"):
        monkeypatch.setenv("HKT_RUNS", str(tmp_path / name))
        record = run(Config(task="lits", method="plain", scale="smoke", train_size=32, epochs=1))
        found.append((tmp_path / name / record.id / "child.safetensors").read_bytes())
    assert found[0] == found[1]


def test_three_dimensions(tmp_path):
    config = Config(
        task="lits",
        method="hkt",
        scale="smoke",
        parent="resunet3d-6x3",
        child="resunet3d-2x3",
        crop=[8, 32, 32],
        sites="bottleneck",
        train_size=8,
        epochs=1,
        batch_size=4,
        parent_weights="run:cube",
    )
    path = tmp_path / "runs" / "cube" / "child.safetensors"
    path.parent.mkdir(parents=True)
    one = Lits(resolve(config)).load()
    save_file(one.network("resunet3d-6x3").state_dict(), path)
    batch = one.batch(torch.arange(2), 0)
    assert batch.x.shape == (2, 1, 8, 32, 32) and batch.y.shape == (2, 8, 32, 32)
    assert [value.shape for value in one.segmented(one.child(), "val")] == [(24, 64, 64)] * 4
    record = run(config)
    assert record.config.channels_last is False and "L_p*" in record.epochs[0].train


def test_the_official_layout_trains_end_to_end(tmp_path):
    lists = json.loads(reader.SPLIT.read_text())
    writers.write_lits(
        tmp_path / "data" / "LiTS",
        [*lists["train"][:4], *lists["val"][:1], *lists["test"][:2]],
        size=96,
        slices=24,
    )
    record = run(
        Config(task="lits", method="plain", scale="smoke", source="real", train_size=32, epochs=1)
    )
    assert record.config.stages[0].corpus == "lits" and {"dice_lesion", "hd95_liver"} <= set(
        record.selected.test
    )
    assert len(list((tmp_path / "runs" / "slices").iterdir())) == 7


def test_a_slice_collection_trains_with_one_class(tmp_path):
    lists = slices.split_list(slices.SPLIT)
    numbers = [*lists["train"][:3], *lists["val"][:1], *lists["test"][:1]]
    write_collection(tmp_path / "data" / "liver_ct", numbers)
    config = Config(
        task="lits", method="plain", scale="smoke", source="real", train_size=16, epochs=1
    )
    one = Lits(resolve(config)).load()
    assert (
        one.classes == 2 and (one._affine(torch.arange(16), 0)[0][:, 0, 0] < 0).any()
    )  # flipped, unlike volumes
    assert (task()._affine(torch.arange(16), 0)[0][:, 0, 0] > 0).all()
    record = run(config)
    assert record.config.stages[0].corpus == "liver_ct" and set(record.selected.test) == {
        "dice",
        "dice_foreground",
        "dice_foreground_global",
    }


def test_the_rest_is_of_volumes_that_a_child_of_few_slices_has_not_seen(tmp_path):
    lists = slices.split_list(slices.SPLIT)
    numbers = [*lists["train"][:6], *lists["val"][:1], *lists["test"][:1]]
    write_collection(tmp_path / "data" / "liver_ct", numbers)
    few, rest, first, every = (
        task(source="real", batch_size=2, train_size=size, images=which).examples
        for size, which in ((3, None), (30, "rest"), (30, None), (45, "rest"))
    )
    volumes = [{volume for volume, _ in examples} for examples in (few, rest, first)]
    assert not volumes[0] & volumes[1] and volumes[0] & volumes[2] == volumes[0]
    assert [len(set(examples)) for examples in (rest, first, every)] == [30, 30, 45]


def test_the_corpus_is_part_of_the_name(tmp_path):
    ids = set()
    for make in (
        lambda: None,
        lambda: (
            (tmp_path / "data/liver_ct").mkdir(parents=True)
            or (tmp_path / "data/liver_ct/index.csv").write_text("")
        ),
        lambda: writers.write_lits(tmp_path / "data/LiTS", [1], size=32, slices=4),
    ):
        make()
        config = resolve(
            Config(
                task="lits",
                method="plain",
                scale="smoke",
                source="synthetic" if not ids else "real",
            )
        )
        ids.add(config.id)
    assert len(ids) == 3


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"crop": [60, 64]}, "multiples of 8, .*got"),
        ({"crop": [64]}, "crop of 2 sides"),
        ({"crop": [128, 128]}, "scale 'smoke' needs a crop .* in-plane at most 64"),
        ({"child": "resnet8"}, "There is no U-Net 'resnet8'"),
        ({"images": "rest"}, "Only real slices can be chosen, by images=rest"),
        ({"images": "swap", "source": "real"}, "Only real slices can be chosen, by images=rest"),
        (
            {"source": "real"},
            "There is no liver_ct under .*; set HKT_DATA to a folder with LiTS",
        ),
    ],
)
def test_mistakes_are_one_sentence(fields, words):
    with pytest.raises(HKTError, match=words):
        task(**fields)


def test_unknown_sites_are_named():
    config = Config(task="lits", method="hkt", scale="smoke", sites="bottleneck+encoder1")
    with pytest.raises(HKTError, match="no site 'encoder1'"):
        resolve(config)


def test_more_slices_than_there_are(tmp_path):
    lists = json.loads(reader.SPLIT.read_text())
    writers.write_lits(
        tmp_path / "data" / "LiTS",
        [lists["train"][0], lists["val"][0], lists["test"][0]],
        size=32,
        slices=8,
    )
    with pytest.raises(HKTError, match="train_size 64 is more than the"):
        task(source="real")


@pytest.mark.slow
def test_a_quick_child_sees_lesions():
    record = run(Config(task="lits", method="plain", scale="quick", source="synthetic"))
    blind = all_liver(task(scale="quick"), "test")
    assert (
        record.selected.test["dice_lesion"]
        > 2 * blind["dice_lesion_in_liver"]
        > blind["dice_lesion"]
    )
    assert record.selected.test["dice_liver"] > 0.85 and Lits.learnt(record.selected.test)


def real() -> Lits:
    """A child of the slice collection, whose data nobody looks at yet."""
    stages = [{"corpus": slices.FOLDER, "epochs": 1, "crop": [128, 128]}]
    pair = {"parent": "resunet2d-24x4", "child": "resunet2d-6x4", "parent_weights": "committed"}
    asked = {"task": "lits", "method": "kd", "scale": "cpu", "source": "real", "stages": stages}
    return Lits(resolve(Config(**asked, **pair)))


def test_the_committed_parent_of_real_slices_has_their_classes():
    parent, path = real().parent()
    assert path.name == "lits-liver_ct-resunet2d-24x4.safetensors"
    assert parent(torch.zeros(1, 1, 32, 32)).shape == (1, 2, 32, 32)


def test_a_parent_that_is_not_committed_is_named():
    config = real().config.but(parent="resunet2d-24x5", child="resunet2d-6x5")
    with pytest.raises(HKTError, match="no committed parent 'lits-liver_ct-resunet2d-24x5'"):
        Lits(config).parent()


@pytest.mark.real
@pytest.mark.skipif(not slices.present(REAL), reason="HKT_DATA holds no liver_ct")
def test_real_slices_are_one_class_and_split_by_volume(monkeypatch):
    monkeypatch.setenv("HKT_DATA", str(REAL))
    one = task(scale="cpu", source="real")
    assert one.corpus in ("liver_ct", "lits") and (one.classes == 2) == (one.corpus == "liver_ct")
    batch = one.batch(torch.arange(4), 0)
    assert batch.x.shape == (4, 1, 128, 128)
    assert isinstance(one.predict(one.child(), Batch(*batch)), torch.Tensor)


@pytest.mark.real
@pytest.mark.skipif(not slices.present(REAL), reason="HKT_DATA holds no liver_ct")
def test_one_recorded_parent_has_seen_no_volume_of_the_children_of_few_slices(monkeypatch):
    monkeypatch.setenv("HKT_DATA", str(REAL))
    parents, children = (
        grid.read(PROJECT / "data" / "grids" / name)[0]
        for name in ("lits-parent.yaml", "lits-few-parents.yaml")
    )
    few = {volume for volume, _ in Lits(children[0]).load().examples}
    asked = {config.parent_weights for config in children}
    made = [config for config in parents if f"run:{config.id}" in asked]
    seen = [{volume for volume, _ in Lits(config).load().examples} for config in made]
    assert [bool(few & one) for one in seen] == [config.images is None for config in made]
    assert len(asked) == len(made) == 2 and len({config.train_size for config in made}) == 1
