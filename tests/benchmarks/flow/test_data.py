"""Files of optical flow and the folders they come in: round trips, pairing by name, splits by scene, and every kind of bad input."""

import json
import re
import shutil
import struct

import cv2
import numpy as np
import pytest
import torch

from hkt_lite import torchvision
from hkt_lite.benchmarks.flow import data as flow
from hkt_lite.benchmarks.flow import files
from hkt_lite.config import HKTError, data_home
from tests import writers

SIZE = (32, 48)
REAL = data_home()


def field(height=5, width=7, seed=0):
    return 20 * torch.randn(2, height, width, generator=torch.Generator().manual_seed(seed))


def png(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(files.encode_png(np.asarray(image)))


def refused(words, call, *arguments):
    with pytest.raises(HKTError, match=words) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


# -- files -----------------------------------------------------------------------------------------------------------


def test_flo_comes_back_bit_for_bit_and_as_torchvision_reads_it(tmp_path):
    path, made = tmp_path / "new" / "a.flo", field()
    files.write_flo(path, made)
    assert torch.equal(files.read_flo(path), made) and files.size(path) == (5, 7)
    torchvision()
    from torchvision.datasets._optical_flow import _read_flo

    assert np.array_equal(_read_flo(str(path)), made.numpy())
    assert path.read_bytes()[:12] == struct.pack(
        "<fii", 202021.25, 7, 5
    )  # the magic number, width before height
    assert [one.name for one in path.parent.iterdir()] == ["a.flo"]


def test_kitti_png_keeps_a_64th_of_a_pixel_and_the_mask(tmp_path):
    path, made = tmp_path / "a.png", field()
    valid = torch.rand(5, 7, generator=torch.Generator().manual_seed(1)) < 0.5
    files.write_kitti(path, made, valid)
    read, mask = files.read_kitti(path)
    assert torch.equal(mask, valid) and not read[:, ~valid].any()
    assert (read - made)[:, valid].abs().max() <= 1 / 128 and files.size(path) == (5, 7)
    files.write_kitti(path, read, mask)
    assert torch.equal(files.read_kitti(path)[0], read)
    files.write_kitti(path, made)
    assert files.read_kitti(path)[1].all()


def test_kitti_png_stores_u_in_red_v_in_green_validity_in_blue(tmp_path):
    path = tmp_path / "a.png"
    files.write_kitti(path, torch.tensor([1.0, -2.0])[:, None, None].expand(2, 2, 3))
    blue, green, red = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[0, 0].tolist()
    assert (red, green, blue) == (2**15 + 64, 2**15 - 128, 1)


def test_kitti_writer_refuses_what_16_bits_cannot_hold(tmp_path):
    path, far = tmp_path / "a.png", torch.zeros(2, 2, 2)
    for value in (512.0, -512.0, float("nan"), float("inf")):
        far[1, 0, 1] = value
        refused(
            "a.png was not written: a valid flow is beyond 512 pixels",
            files.write_kitti,
            path,
            far,
        )
    files.write_kitti(
        path, far, torch.tensor([[1, 0], [1, 1]])
    )  # not valid there: nothing to refuse
    far[1, 0, 1] = -511.98
    files.write_kitti(path, far)
    refused(
        r"a.png was not written: a flow is \(2, H, W\), this is \(1, 2, 2, 2\)",
        files.write_kitti,
        path,
        far[None],
    )
    refused("valid mask is", files.write_kitti, path, far, torch.ones(3, 3))
    refused("a.flo was not written", files.write_flo, tmp_path / "a.flo", far[:1])


@pytest.mark.parametrize("scale, order", [("-1.0", "<f4"), ("1", ">f4")])
def test_pfm_rows_run_upwards_in_either_byte_order(tmp_path, scale, order):
    made = field()
    rows = np.concatenate([made.numpy(), np.zeros((1, 5, 7))]).transpose(1, 2, 0)[::-1]
    (tmp_path / "a.pfm").write_bytes(f"PF\n7 5\n{scale}\n".encode() + rows.astype(order).tobytes())
    assert torch.equal(files.read_flo(tmp_path / "a.pfm"), made) and files.size(
        tmp_path / "a.pfm"
    ) == (5, 7)


def test_images_are_red_green_blue_and_grey_is_repeated(tmp_path):
    image = np.zeros((3, 4, 3), np.uint8)
    image[..., 0], image[1, 2] = 200, (1, 2, 3)
    png(tmp_path / "a.png", image)
    (tmp_path / "b.ppm").write_bytes(b"P6\n# a comment\n4 3\n255\n" + image.tobytes())
    for name in ("a.png", "b.ppm"):
        read = files.read_image(tmp_path / name)
        assert read.dtype == torch.uint8 and torch.equal(
            read, torch.from_numpy(image.transpose(2, 0, 1).copy())
        )
        assert files.size(tmp_path / name) == (3, 4)
    png(tmp_path / "c.png", image[..., 0])
    assert torch.equal(files.read_image(tmp_path / "c.png"), read[:1].expand(3, 3, 4))
    assert torch.equal(files.read_mask(tmp_path / "c.png"), read[0] > 0)


@pytest.fixture
def one_of_each(tmp_path):
    files.write_flo(tmp_path / "a.flo", field())
    files.write_kitti(tmp_path / "k.png", field())
    png(tmp_path / "i.png", np.random.default_rng(0).integers(0, 255, (5, 7, 3), np.uint8))
    (tmp_path / "i.ppm").write_bytes(b"P6 7 5 255\n" + bytes(105))
    (tmp_path / "a.pfm").write_bytes(b"PF\n7 5\n-1\n" + bytes(420))
    return tmp_path


READERS = {
    "a.flo": files.read_flo,
    "k.png": files.read_kitti,
    "i.png": files.read_image,
    "i.ppm": files.read_image,
    "a.pfm": files.read_flo,
}


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_named(one_of_each, name):
    path, read = one_of_each / name, READERS[name]
    whole = path.read_bytes()
    read(path)
    for kept in (0, 3, 10, 20, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:kept])
        refused(
            rf"{re.escape(name)} is not a readable file of its kind .*fetch or unpack", read, path
        )
        refused(rf"{re.escape(name)} is not a readable", files.size, path)
    path.write_bytes(b"<html>not found</html>" * 50)
    refused(rf"{re.escape(name)} is not a readable", read, path)
    path.unlink()
    refused(rf"{re.escape(name)} cannot be read \(No such file", read, path)
    refused(rf"{re.escape(name)} cannot be read", files.size, path)


def test_flipped_bits_and_foreign_kinds_are_noticed(one_of_each):
    path = one_of_each / "k.png"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    refused("k.png .*a checksum in it is wrong", files.read_kitti, path)
    refused(
        "flow is a 16-bit PNG of three channels, this has uint8",
        files.read_kitti,
        one_of_each / "i.png",
    )
    (one_of_each / "a.flo").write_bytes(b"PIEH" + struct.pack("<ii", -7, 5) + bytes(280))
    refused("its header says -7 x 5 pixels", files.read_flo, one_of_each / "a.flo")
    (one_of_each / "a.flo").write_bytes(b"PIEH" + struct.pack("<ii", 7, 5) + bytes(288))
    refused("too long: 300 bytes for 7 x 5", files.read_flo, one_of_each / "a.flo")


@pytest.mark.parametrize("name", READERS)
def test_whatever_happens_to_a_file_it_is_read_or_refused_in_one_sentence(one_of_each, name):
    random, path = np.random.default_rng(7), one_of_each / name
    whole, refusals = np.frombuffer(path.read_bytes(), np.uint8), 0
    for _ in range(150):
        bad = whole[: random.integers(len(whole)) if random.random() < 0.3 else None].copy()
        for _ in range(random.integers(1, 4)):
            bad[random.integers(max(1, min(len(bad), 40))) :][:1] = random.integers(256)
        path.write_bytes(bad.tobytes())
        for call in (files.size, READERS[name]):
            try:
                call(path)
            except HKTError as error:
                refusals += 1
                assert name in str(error) and "\n" not in str(error)
    assert refusals > 30
    ihdr = b"\x89PNG\r\n\x1a\n\0\0\0\x04IHDR\0\0\0\x01" + b"\0" * 40
    path = path.with_suffix(".png")
    path.write_bytes(ihdr)
    refused("is not a readable file of its kind", files.size, path)


# -- pairs -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("layouts")
    writers.write_sintel(root, scenes=2, frames=4, size=SIZE)
    writers.write_kitti(root, count=3, size=SIZE)
    return root


@pytest.fixture
def layouts(made, tmp_path):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_a_missing_flow_costs_its_own_pair_only(layouts):
    before = {pair.name: flow.read(pair).flow for pair in flow.pairs(layouts, "sintel-clean")}
    top = layouts / "Sintel/training"
    (top / "flow/moving_1/frame_0002.flo").unlink()
    after = flow.pairs(layouts, "sintel-clean")
    assert [pair.name for pair in after] == [
        name for name in before if name != "moving_1/frame_0002"
    ]
    for pair in after:
        assert torch.equal(flow.read(pair).flow, before[pair.name])
        assert (
            int(pair.second.stem[-4:]) == int(pair.first.stem[-4:]) + 1
            and pair.flow.stem == pair.first.stem == pair.occlusion.stem
        )
    assert not flow.read(after[1]._replace(flow=None)).valid.any()
    (top / "clean/moving_2/frame_0002.png").unlink()  # a missing frame costs the two pairs it is in
    assert [pair.name for pair in flow.pairs(layouts, "sintel-clean")] == [
        "moving_1/frame_0001",
        "moving_1/frame_0003",
        "moving_2/frame_0003",
    ]


def test_stray_files_change_nothing(layouts):
    top = layouts / "Sintel/training"
    before = flow.pairs(layouts, "sintel-clean"), flow.pairs(layouts, "kitti2015")
    for name in (
        "clean/moving_1/Thumbs.db",
        "clean/moving_1/frame_0001 (copy).png",
        "clean/moving_1/frame_0000.png.part",
        "clean/readme.txt",
        "clean/moving_1/._frame_0001.png",
        "flow/moving_1/frame_0000.flo",
        "flow/other/frame_0001.flo",
    ):
        (top / name).parent.mkdir(exist_ok=True)
        (top / name).write_bytes(b"stray")
    for name in ("image_2/notes_10.png", "image_2/000007_11.png", "flow_occ/000007_10.png"):
        (layouts / "KittiFlow/training" / name).write_bytes(b"stray")
    assert (flow.pairs(layouts, "sintel-clean"), flow.pairs(layouts, "kitti2015")) == before


def test_one_folder_a_pair_belongs_to_its_scene(layouts):
    top = layouts / "Sintel/training"
    for kind in ("clean", "flow", "occlusions", "invalid"):
        (top / kind / "moving_1").rename(top / kind / "cave_4__0001")
    found = flow.pairs(layouts, "sintel-clean")
    assert {pair.scene for pair in found} == {"cave_4", "moving_2"}
    assert {pair.scene for pair in flow.split("sintel-clean", found, "val")} == {"cave_4"}


def test_sintel_invalid_pixels_are_not_valid_and_masks_may_be_missing(layouts):
    top, mask = layouts / "Sintel/training", np.zeros(SIZE, np.uint8)
    mask[3, 4:9] = 255
    png(top / "invalid/moving_1/frame_0001.png", mask)
    shutil.rmtree(top / "occlusions")
    one = flow.read(flow.pairs(layouts, "sintel-clean")[0])
    assert (
        torch.equal(one.valid, torch.from_numpy(mask == 0))
        and not one.flow[:, ~one.valid].any()
        and one.occluded is None
    )


def test_kitti_tells_occlusion_where_both_flows_are_there(layouts):
    one = flow.read(flow.pairs(layouts, "kitti2015")[0])
    assert 0 < one.occluded.sum() < one.valid.sum() and not (one.occluded & ~one.valid).any()
    folder = layouts / "KittiFlow/training"
    (layouts / "KITTI2012/training").mkdir(parents=True)
    (folder / "image_2").rename(layouts / "KITTI2012/training/colored_0")
    (folder / "flow_noc").rename(layouts / "KITTI2012/training/flow_noc")
    other = flow.read(flow.pairs(layouts, "kitti2012")[0])
    assert other.occluded is None and torch.equal(other.valid, one.valid & ~one.occluded)


def test_the_other_layouts(tmp_path):
    image, made = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8), field(*SIZE)
    ppm = b"P6 %d %d 255\n" % SIZE[::-1] + image.tobytes()
    for number in ("00001", "00002", "00017"):
        for end in ("_img1.ppm", "_img2.ppm"):
            (tmp_path / "FlyingChairs/data").mkdir(parents=True, exist_ok=True)
            (tmp_path / f"FlyingChairs/data/{number}{end}").write_bytes(ppm)
        files.write_flo(tmp_path / f"FlyingChairs/data/{number}_flow.flo", made)
    things = tmp_path / "FlyingThings3D"
    for part, frame in (("TRAIN", 6), ("TRAIN", 7), ("TEST", 6), ("TEST", 7)):
        for passed in ("clean", "final"):
            png(things / f"frames_{passed}pass/{part}/A/0000/left/{frame:04d}.png", image)
        for way in ("Future", "Past"):
            path = (
                things
                / f"optical_flow/{part}/A/0000/into_{way.lower()}/left/OpticalFlowInto{way}_{frame:04d}_L.pfm"
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(
                b"PF\n%d %d\n-1\n" % SIZE[::-1]
                + np.full((*SIZE, 3), frame if way == "Future" else -frame, "<f4").tobytes()
            )
    for sequence, frame in ((0, 10), (0, 11), (0, 12), (31, 13), (31, 14)):
        png(tmp_path / f"hd1k/hd1k_input/image_2/{sequence:06d}_{frame:04d}.png", image)
        files.write_kitti(
            tmp_path / f"hd1k/hd1k_flow_gt/flow_occ/{sequence:06d}_{frame:04d}.png", made
        )
    for name in ("frame10", "frame11"):
        png(tmp_path / f"Middlebury/other-data/Urban/{name}.png", image)
    unknown = made.clone()
    unknown[:, 2, 3] = 1e10
    files.write_flo(tmp_path / "Middlebury/other-gt-flow/Urban/flow10.flo", unknown)

    found = {
        corpus: flow.pairs(tmp_path, corpus)
        for corpus in ("chairs", "things", "hd1k", "middlebury")
    }
    for some in found.values():
        flow.check(some)
    assert [pair.name for pair in found["chairs"]] == ["00001", "00002", "00017"]
    assert [pair.name for pair in flow.split("chairs", found["chairs"], "val")] == ["00017"]
    assert len(found["things"]) == 8 and {
        pair.scene for pair in flow.split("things", found["things"], "train")
    } == {"TRAIN/A/0000"}
    first = {pair.name: float(flow.read(pair).flow[0, 0, 0]) for pair in found["things"][:2]}
    assert first == {"clean/TEST/A/0000/0006-future": 6.0, "clean/TEST/A/0000/0007-past": -7.0}
    assert found["things"][1].first.stem == "0007" and found["things"][1].second.stem == "0006"
    assert [pair.name for pair in found["hd1k"]] == [
        "000000_0010",
        "000000_0011",
        "000031_0013",
    ]  # never from one sequence into the next
    assert [pair.scene for pair in flow.split("hd1k", found["hd1k"], "val")] == ["000031"]
    one = flow.read(found["middlebury"][0])
    assert (
        not one.valid[2, 3]
        and one.valid.sum() == SIZE[0] * SIZE[1] - 1
        and not one.flow[:, 2, 3].any()
    )
    assert torch.equal(one.flow[:, one.valid], made[:, one.valid])


def test_chairs_follow_their_official_list(tmp_path):
    found = [
        flow.Pair(
            f"{n:05d}", f"{n:05d}", tmp_path / f"FlyingChairs/data/{n:05d}_img1.ppm", tmp_path
        )
        for n in (1, 2, 4)
    ]
    (tmp_path / "FlyingChairs").mkdir()
    (tmp_path / "FlyingChairs" / flow.CHAIRS_LIST).write_text("1\n2\n1\n1\n")
    assert [pair.name for pair in flow.split("chairs", found, "val")] == ["00002"]
    assert [pair.name for pair in flow.split("chairs", found, "train")] == ["00001", "00004"]
    (tmp_path / "FlyingChairs" / flow.CHAIRS_LIST).write_text("1\n2\n1\n")
    refused(
        f"{flow.CHAIRS_LIST} has no line with 1 or 2 for the pair 00004",
        flow.split,
        "chairs",
        found,
        "train",
    )


def test_pairs_for_a_submission_need_no_flow(layouts):
    (layouts / "Sintel/training").rename(layouts / "Sintel/test")
    shutil.rmtree(layouts / "Sintel/test/flow")
    assert len(flow.pairs(layouts, "sintel-final", part="test")) == 6
    refused("no part of hd1k 'test'", flow.pairs, layouts, "hd1k", "test")


# -- bad input -------------------------------------------------------------------------------------------------------


def test_absent_folders_and_wrong_layouts_are_named(layouts):
    refused(
        r"no folder .*FlyingChairs for chairs; put the data there as data/NUMBER_img1.ppm, data/NUMBER_img2.ppm with",
        flow.pairs,
        layouts,
        "chairs",
    )
    with pytest.raises(
        HKTError, match="no flow corpus 'sintel-claen'. Did you mean 'sintel-clean'"
    ):
        flow.pairs(layouts, "sintel-claen")
    top = layouts / "Sintel/training"
    (top / "flow").rename(top / "flows")
    refused(
        r"training is not laid out as sintel-clean: 6 pairs of images but no flow; expected is clean/SCENE",
        flow.pairs,
        layouts,
        "sintel-clean",
    )
    (layouts / "KittiFlow/training/image_2").rename(layouts / "KittiFlow/training/image_02")
    refused(r"is not laid out as kitti2015: no pair of images", flow.pairs, layouts, "kitti2015")
    assert (
        not flow.present(layouts, "kitti2015")
        and not flow.present(layouts, "hd1k")
        and not flow.present(layouts, "sintel-final")
    )


@pytest.mark.parametrize(
    "name",
    [
        "flow/moving_2/frame_0001.flo",
        "clean/moving_2/frame_0002.png",
        "occlusions/moving_2/frame_0001.png",
    ],
)
def test_files_of_different_size_are_named_before_training(layouts, name):
    path = layouts / "Sintel/training" / name
    if path.suffix == ".flo":
        files.write_flo(path, field(*SIZE)[:, :-1])
    else:
        png(path, np.zeros((SIZE[0] - 1, SIZE[1]), np.uint8))
    found = flow.pairs(layouts, "sintel-clean")
    words = rf"{name} has 48 x 31 pixels and .*frame_0001.png has 48 x 32; they are one pair"
    refused(words, flow.check, found)
    refused(words, flow.read, found[3])


def test_check_finds_a_truncated_file_without_decoding_any(layouts, monkeypatch):
    found = flow.pairs(layouts, "sintel-clean")
    monkeypatch.setattr(files, "_decoded", None)
    flow.check(found)
    for path in (found[4].flow, found[2].second, found[1].invalid):
        whole = path.read_bytes()
        path.write_bytes(whole[:-9])
        refused(
            rf"{path.name} is not a readable file of its kind \(it is truncated", flow.check, found
        )
        path.write_bytes(whole)
    found[3].occlusion.unlink()
    refused("frame_0001.png cannot be read", flow.check, found)


def test_a_scene_in_two_splits_is_named(layouts, tmp_path):
    found, rules = flow.pairs(layouts, "sintel-clean"), tmp_path / "rules.json"
    rules.write_text(json.dumps({"sintel": {"train": ["moving_*"], "val": ["moving_2"]}}))
    refused(
        "Scene 'moving_2' is in the training and in the validation split",
        flow.split,
        "sintel-clean",
        found,
        "train",
        rules,
    )
    rules.write_text(json.dumps({"sintel": {"train": ["moving_1"], "val": ["moving_2"]}}))
    parts = [flow.split("sintel-clean", found, part, rules) for part in ("train", "val")]
    assert parts == [found[:3], found[3:]]
    refused("rules.json says nothing about kitti2015", flow.split, "kitti2015", [], "val", rules)
    with pytest.raises(HKTError, match="no split 'vla'. Did you mean 'val'"):
        flow.split("sintel-clean", found, "vla")


def test_the_committed_splits():
    rules = json.loads(flow.SPLITS.read_text())
    assert set(rules) - {"about"} == {corpus.split("-")[0] for corpus in flow.LAYOUTS}

    def val(corpus, scenes):
        some = [flow.Pair(scene, scene, flow.SPLITS, flow.SPLITS) for scene in scenes]
        parts = [
            [pair.scene for pair in flow.split(corpus, some, part)] for part in ("train", "val")
        ]
        assert sorted(parts[0] + parts[1]) == sorted(scenes)
        return parts[1]

    sintel = [
        f"{name}_{n}"
        for name, numbers in {
            "alley": (1, 2),
            "ambush": (2, 4, 5, 6, 7),
            "bamboo": (1, 2),
            "bandage": (1, 2),
            "cave": (2, 4),
            "market": (2, 5, 6),
            "mountain": (1,),
            "shaman": (2, 3),
            "sleeping": (1, 2),
            "temple": (2, 3),
        }.items()
        for n in numbers
    ]
    assert len(sintel) == 23 and val("sintel-final", sintel) == [
        "ambush_2",
        "ambush_6",
        "bamboo_2",
        "cave_4",
        "market_6",
        "temple_2",
    ]
    assert val("kitti2015", [f"{n:06d}" for n in range(200)]) == [
        f"{n:06d}" for n in range(160, 200)
    ]
    assert val("kitti2012", [f"{n:06d}" for n in range(194)]) == [
        f"{n:06d}" for n in range(155, 194)
    ]
    assert val("hd1k", [f"{n:06d}" for n in range(36)]) == [f"{n:06d}" for n in range(31, 36)]
    assert 0.02 < len(val("chairs", [f"{n:05d}" for n in range(1, 2001)])) / 2000 < 0.04
    assert not flow.split(
        "middlebury", [flow.Pair("Urban", "Urban", flow.SPLITS, flow.SPLITS)], "train"
    )


# -- padding ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode, top", [("sintel", 2), ("kitti", 0)])
def test_padding_repeats_the_border_and_is_cropped_off_again(mode, top):
    x = torch.randn(2, 3, 436, 1021)
    padded, crop = flow.pad(x, mode=mode)
    assert padded.shape == (2, 3, 440, 1024) and torch.equal(crop(padded), x)
    assert torch.equal(padded[..., top : top + 436, 1:1022], x)
    expected = torch.nn.functional.pad(x, (1, 2, top, 4 - top), mode="replicate")
    assert torch.equal(padded, expected)
    same, crop = flow.pad(x[..., :432, :1016], mode=mode)
    assert torch.equal(same, x[..., :432, :1016]) and crop(same[:, :2]).shape == (2, 2, 432, 1016)


def test_padding_reaches_the_least_size_and_takes_bytes():
    padded, crop = flow.pad(torch.zeros(3, 96, 130, dtype=torch.uint8), least=128)
    assert padded.shape == (3, 128, 136) and crop(padded).shape == (3, 96, 130)
    refused("no padding 'middle'", flow.pad, padded, "middle")


# -- genuine files ---------------------------------------------------------------------------------------------------


@pytest.mark.real
@pytest.mark.parametrize(
    "corpus, count, known",
    [
        ("sintel-clean", 4, 0.99),
        ("sintel-final", 8, 0.9),
        ("kitti2015", 1, 0.15),
        ("kitti2012", 1, 0.2),
        ("middlebury", 1, 0.95),
        ("chairs", 9, 1.0),
    ],
)
def test_genuine_pairs(corpus, count, known):
    if not flow.present(REAL, corpus):
        pytest.skip(f"HKT_DATA holds no {corpus}")
    found = flow.pairs(REAL, corpus)
    assert len(found) >= count
    flow.check(found[:20])
    one = flow.read(found[0])
    assert one.valid.float().mean() >= known and one.flow.abs().max() < 500
    assert 0.1 < one.flow.norm(dim=0)[one.valid].mean() < 100 and (
        one.occluded is not None
    ) == corpus.startswith("sintel")
    moved = abs_difference(one, one.flow)
    assert moved < 0.7 * abs_difference(
        one, -one.flow
    )  # u is to the right, v down, from the first frame to the second


def abs_difference(sample, field):
    height, width = field.shape[1:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    where = torch.stack([(x + field[0]) / (width - 1), (y + field[1]) / (height - 1)], -1) * 2 - 1
    looked = torch.nn.functional.grid_sample(
        sample.second[None].float(), where[None], align_corners=True
    )[0]
    return (
        (looked - sample.first.float())
        .abs()
        .mean(0)[sample.valid & (where.abs() < 1).all(-1)]
        .mean()
    )


# --- at a quarter of the size ---------------------------------------------------------------------


def moved(size, known=True, hidden=None):
    """A grey sample that moves by (8, -4) pixels wherever that is `known`."""
    field = torch.stack([torch.full(size, 8.0), torch.full(size, -4.0)])
    valid = torch.full(size, True) if known is True else known
    image = torch.arange(size[0] * size[1]).reshape(1, *size).expand(3, *size) % 251
    return flow.Sample(image.to(torch.uint8), image.flip(2).to(torch.uint8), field, valid, hidden)


def test_a_shrunk_sample_has_mean_colours_and_shorter_flow():
    one = moved((9, 14))
    small = flow.shrunk(one, 4)
    assert small.first.shape == (3, 2, 3) and small.first.dtype == torch.uint8
    assert small.first[0, 1, 2] == one.first[0, 4:8, 8:12].float().mean().round()
    assert (small.flow[0] == 2).all() and (small.flow[1] == -1).all()
    assert small.valid.all() and small.occluded is None


def test_unknown_flow_does_not_enter_the_mean():
    known = torch.zeros(8, 8, dtype=torch.bool)
    known[1, 2] = known[5, 5] = True
    one = moved((8, 8), known, hidden=torch.ones(8, 8, dtype=torch.bool))
    one = one._replace(flow=torch.where(known, one.flow, 1e3))
    small = flow.shrunk(one, 4)
    assert small.valid.tolist() == [[True, False], [False, True]]
    assert (small.flow[:, 0, 0] == torch.tensor([2.0, -1.0])).all()
    assert (small.flow[:, 0, 1] == 0).all()
    assert small.occluded.tolist() == small.valid.tolist()  # hidden, where something is known
