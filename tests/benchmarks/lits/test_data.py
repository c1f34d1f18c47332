"""LiTS's reader: layouts, orientations, damaged files, the slice cache, and the plain slice collections."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from hkt_lite.benchmarks.lits import data as lits
from hkt_lite.benchmarks.lits import slices
from hkt_lite.benchmarks.lits import synthetic as phantom
from hkt_lite.config import HKTError, data_home
from tests import writers

LISTS = json.loads(lits.SPLIT.read_text())
NUMBERS = [LISTS[name][0] for name in slices.SPLITS]
REAL = data_home()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return writers.write_lits(tmp_path_factory.mktemp("lits"), NUMBERS, size=48, slices=20)


def pair(
    folder: Path,
    number: int = 1,
    hu=None,
    labels=None,
    affine=None,
    mask_affine=None,
    suffix=".nii",
):
    """One small case written by nibabel; returns its two files."""
    hu = np.full((6, 5, 4), 50, np.int16) if hu is None else hu
    labels = np.zeros(hu.shape, np.uint8) if labels is None else labels
    affine = np.diag([-1.0, -1.0, 2.0, 1.0]) if affine is None else affine
    files = [folder / f"{name}-{number}{suffix}" for name in ("volume", "segmentation")]
    for path, array, matrix in zip(
        files, (hu, labels), (affine, affine if mask_affine is None else mask_affine)
    ):
        nib.save(nib.Nifti1Image(array, matrix), path)
    return files


@pytest.mark.parametrize("path, count", [(lits.SPLIT, 131), (slices.SPLIT, 98)])
def test_committed_splits_share_no_volume(path, count):
    lists = slices.split_list(path)
    assert (
        sum(map(len, lists.values()))
        == count
        == len({number for each in lists.values() for number in each})
    )
    assert len(lists["test"]) > len(lists["val"]) >= 13


def test_a_volume_in_two_splits_is_refused(tmp_path):
    path = tmp_path / "split.json"
    path.write_text('{"train": [1, 2], "val": [3], "test": [2]}')
    with pytest.raises(HKTError, match="lists volume 2 twice"):
        slices.split_list(path)


def test_slices_are_the_phantoms_windowed(written, tmp_path):
    parts = lits.load(written, 48, home=tmp_path)
    volume = parts["train"][0]
    hu, labels = phantom.phantom("train", NUMBERS[0], 48, 20)[:2]
    assert np.array_equal(volume.x, slices.windowed(hu)) and np.array_equal(volume.y, labels)
    assert volume.spacing == pytest.approx(
        (phantom.HEIGHT / 19, phantom.FIELD / 48, phantom.FIELD / 48)
    )
    assert volume.top.tolist() == labels.max((1, 2)).tolist()
    assert isinstance(volume.x, np.memmap) and [len(parts[name]) for name in slices.SPLITS] == [
        1,
        1,
        1,
    ]


def test_resizing_keeps_millimetres(written, tmp_path):
    volume = lits.load(written, 24, home=tmp_path)["val"][0]
    assert volume.x.shape == (20, 24, 24) and volume.spacing[1] == pytest.approx(phantom.FIELD / 24)
    whole = phantom.phantom("train", NUMBERS[1], 48, 20)[1]
    assert (volume.y > 0).mean() == pytest.approx((whole > 0).mean(), abs=0.004)
    assert set(np.unique(volume.y)) <= {0, 1, 2}


def test_task03_is_the_same_data(written, tmp_path):
    for number in NUMBERS:
        for old, folder in (("volume", "imagesTr"), ("segmentation", "labelsTr")):
            target = tmp_path / "Task03_Liver" / folder / f"liver_{number}.nii.gz"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(gzip.compress((written / f"{old}-{number}.nii").read_bytes(), 1))
    (target.parent / "._liver_1.nii.gz").write_bytes(b"Mac OS X")
    (tmp_path / "Task03_Liver" / "imagesTs").mkdir()
    assert lits.present(tmp_path) == tmp_path / "Task03_Liver"
    ours, theirs = (
        lits.load(written, 32, home=tmp_path / "a"),
        lits.load(tmp_path / "Task03_Liver", 32, home=tmp_path / "b"),
    )
    assert all(
        a.digest == b.digest for name in slices.SPLITS for a, b in zip(ours[name], theirs[name])
    )


@pytest.mark.parametrize("codes", ["RAS", "LPS", "LAI", "PSR", "SLP"])
def test_every_orientation_gives_the_same_slices(written, tmp_path, codes):
    from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

    for name in ("volume", "segmentation"):
        image = nib.load(written / f"{name}-{NUMBERS[0]}.nii")
        turned = image.as_reoriented(
            ornt_transform(io_orientation(image.affine), axcodes2ornt(codes))
        )
        nib.save(turned, tmp_path / f"{name}-{NUMBERS[0]}.nii")
    assert "".join(nib.aff2axcodes(turned.affine)) == codes
    one, other = (
        lits.prepare(lits.index(root), 48, tmp_path / "cache")[-1 if root == tmp_path else 0]
        for root in (tmp_path, written)
    )
    other = next(
        volume
        for volume in lits.prepare(lits.index(written), 48, tmp_path / "cache")
        if volume.name == one.name
    )
    assert (
        np.array_equal(one.x, other.x)
        and np.array_equal(one.y, other.y)
        and one.spacing == pytest.approx(other.spacing)
    )


def test_scaled_volumes_are_read_in_hounsfield_units(tmp_path):
    pair(tmp_path, hu=np.zeros((4, 4, 3), np.int16))
    image = nib.Nifti1Image(np.full((4, 4, 3), 70.0), np.diag([-1.0, -1.0, 2.0, 1.0]))
    image.set_data_dtype(np.int16)
    image.header.set_slope_inter(2.0, -100.0)
    nib.save(image, tmp_path / "volume-1.nii")
    volume = lits.prepare(lits.index(tmp_path), 4, tmp_path / "cache")[0]
    assert np.unique(volume.x).tolist() == slices.windowed(np.array([2.0 * 70 - 100])).tolist()


# --- what real folders contain ------------------------------------------------------------------------------------------


def test_missing_partner_is_named(tmp_path):
    pair(tmp_path)[1].unlink()
    with pytest.raises(HKTError, match=r"volume-1.nii has no segmentation of the same number"):
        lits.index(tmp_path)


def test_empty_folder_and_doubles_are_named(tmp_path):
    with pytest.raises(HKTError, match="There are no volume-N.nii"):
        lits.index(tmp_path)
    pair(tmp_path)
    (tmp_path / "again").mkdir()
    pair(tmp_path / "again")
    with pytest.raises(
        HKTError, match="are both the volume of case 1|are both the segmentation of case 1"
    ):
        lits.index(tmp_path)


def bad_label(folder):
    labels = np.zeros((6, 5, 4), np.uint8)
    labels[1, 1, 3] = 3
    pair(folder, labels=labels)


def truncated(folder):
    path = pair(folder)[0]
    path.write_bytes(path.read_bytes()[:-7])


def truncated_gz(folder):
    rng = np.random.default_rng(0)
    path = pair(
        folder, hu=rng.integers(-1000, 1000, (40, 40, 30), dtype=np.int16), suffix=".nii.gz"
    )[0]
    path.write_bytes(path.read_bytes()[:-9000])


BAD = {
    "shape": (
        lambda f: pair(f, labels=np.zeros((6, 5, 3), np.uint8)),
        r"segmentation-1.nii has shape \(6, 5, 3\) and its image volume-1.nii has \(6, 5, 4\)",
    ),
    "affine": (
        lambda f: pair(f, mask_affine=np.diag([-1.0, -1.0, 2.5, 1.0])),
        r"segmentation-1.nii has another affine than its image volume-1.nii .*0.5 mm",
    ),
    "orientation": (
        lambda f: pair(f, mask_affine=np.diag([1.0, -1.0, 2.0, 1.0])),
        r"segmentation-1.nii has orientation RPS and its image volume-1.nii has LPS",
    ),
    "label": (bad_label, r"segmentation-1.nii has the label 3; only 0, 1, 2"),
    "fraction": (
        lambda f: pair(f, labels=np.full((6, 5, 4), 0.5, np.float32)),
        r"segmentation-1.nii has the label 0.5",
    ),
    "truncated": (
        truncated,
        r"volume-1.nii is truncated: its header announces 592 bytes and it has 585",
    ),
    "truncated gz": (truncated_gz, r"volume-1.nii.gz is truncated or damaged"),
    "not nifti": (
        lambda f: pair(f)[1].write_bytes(b"no"),
        r"segmentation-1.nii is not a readable NIfTI",
    ),
    "four dimensions": (
        lambda f: pair(f, hu=np.zeros((4, 4, 3, 2), np.int16)),
        r"volume-1.nii has shape \(4, 4, 3, 2\)",
    ),
    "nan": (
        lambda f: pair(f, hu=np.full((4, 4, 3), np.nan, np.float32)),
        r"volume-1.nii has values that are not finite",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_are_one_sentence_and_leave_nothing(kind, tmp_path):
    make, words = BAD[kind]
    root = tmp_path / "data"
    root.mkdir()
    make(root)
    with pytest.raises(HKTError, match=words) as caught:
        lits.prepare(lits.index(root), 8, tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "cache").exists() or not list((tmp_path / "cache").iterdir())


def test_singular_affine_is_refused(tmp_path):
    path = pair(tmp_path)[0]
    data = bytearray(path.read_bytes())
    data[280:328] = bytes(48)  # srow_x, srow_y, srow_z
    path.write_bytes(data)
    with pytest.raises(HKTError, match="volume-1.nii has no valid orientation"):
        lits.prepare(lits.index(tmp_path), 8, tmp_path / "cache")


def test_all_headers_are_looked_at_before_anything_is_built(tmp_path):
    for number in NUMBERS:
        pair(tmp_path, number)
    pair(tmp_path, NUMBERS[-1], labels=np.zeros((6, 5, 3), np.uint8))
    with pytest.raises(HKTError, match=f"segmentation-{NUMBERS[-1]}.nii has shape"):
        lits.load(tmp_path, 8, home=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_unknown_number_and_empty_split_are_named(tmp_path):
    pair(tmp_path, LISTS["train"][0])
    with pytest.raises(HKTError, match="no volume of the split 'val'"):
        lits.load(tmp_path, 8, home=tmp_path / "cache")
    pair(tmp_path, 500)
    with pytest.raises(
        HKTError, match="has volume 500, which .*lits.json does not list.*own-volumes"
    ):
        lits.load(tmp_path, 8, home=tmp_path / "cache")


def test_volumes_of_no_split_are_read_for_evaluation(tmp_path):
    for number in (500, 7, 1000):
        pair(tmp_path, number)
    found = lits.load(tmp_path, 8, None, tmp_path / "cache")
    assert [volume.name for volume in found["test"]] == ["LiTS 7", "LiTS 500", "LiTS 1000"]


@pytest.mark.parametrize("layout", ["LiTS", "Task03_Liver", "."])
def test_volumes_are_found_in_their_folder_or_in_the_one_named(tmp_path, layout):
    assert lits.present(tmp_path) is None
    (tmp_path / layout).mkdir(exist_ok=True)
    pair(tmp_path / layout)
    assert lits.present(tmp_path) == tmp_path / layout
    assert lits.index(lits.present(tmp_path))[0].number == 1


def test_task03_itself_may_be_named_and_strangers_lie_beside(tmp_path):
    for folder, kind in (("imagesTr", "volume"), ("labelsTr", "segmentation")):
        (tmp_path / folder).mkdir()
        pair(tmp_path / folder)[kind == "segmentation"].rename(tmp_path / folder / "liver_3.nii")
        for left in (tmp_path / folder).glob("*-1.nii"):
            left.rename(tmp_path / folder / f"my-{left.name}")
    assert lits.present(tmp_path) == tmp_path
    assert [case.number for case in lits.index(tmp_path)] == [3]


# --- the cache ------------------------------------------------------------------------------------------------------------


def test_cache_is_reused_and_follows_file_size_and_window(written, tmp_path, monkeypatch):
    cases = lits.index(written)
    lits.prepare(cases, 16, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")}
    lits.prepare(cases, 16, tmp_path)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")}
    lits.prepare(cases, 24, tmp_path)
    monkeypatch.setattr(lits, "WINDOW", (0.0, 100.0))
    lits.prepare(cases, 16, tmp_path)
    assert len(list(tmp_path.iterdir())) == 9


def test_a_build_that_breaks_leaves_whole_volumes_only_and_goes_on(written, tmp_path, monkeypatch):
    cases, build, built = lits.index(written), lits._fill, []

    def dies(case, *others):
        build(case, *others)
        built.append(case.number)
        if len(built) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(lits, "_fill", dies)
    with pytest.raises(KeyboardInterrupt):
        lits.prepare(cases, 16, tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    (
        tmp_path / f".{lits._place(cases[1], 16, tmp_path).name}.99.part"
    ).mkdir()  # as a killed process leaves it
    assert len(lits.prepare(cases, 16, tmp_path)) == 3
    assert (
        built == [cases[0].number, cases[1].number, cases[1].number, cases[2].number]
        and len(list(tmp_path.iterdir())) == 3
    )


def test_slices_are_read_slab_by_slab(tmp_path, monkeypatch):
    """Never more than THICK slices of the file are asked for, also where the slice axis is the first."""
    writers.write_lits(tmp_path, [1], size=32, slices=40)
    seen = []
    read = lits._read
    monkeypatch.setattr(
        lits,
        "_read",
        lambda path, image, cut: (
            seen.append(read(path, image, cut).shape) or read(path, image, cut)
        ),
    )
    lits.prepare(lits.index(tmp_path), 32, tmp_path / "cache")
    assert {shape[2] for shape in seen} == {16, 8} and len(seen) == 6


CHILD = """
import os, sys
from pathlib import Path
from hkt_lite.benchmarks.lits import data as lits
from hkt_lite.runs.measure import peak_memory_mb
if sys.argv[3] == "kill":
    build, left = lits._fill, [1]
    def dies(*arguments):
        if not left: os._exit(9)
        left.pop(); build(*arguments)
    lits._fill = dies
volumes = lits.prepare(lits.index(Path(sys.argv[1])), 256, Path(sys.argv[2]))
total = sum(float(v.x[k].mean()) for v in volumes for k in range(0, len(v.x), 7))
print(peak_memory_mb() / 2**10, len(volumes))
"""


@pytest.mark.slow
def test_the_official_size_needs_less_than_two_gigabytes_and_resumes(tmp_path):
    """Two volumes of 512 x 512 x 600: the build is killed after the first one and goes on; peak memory of each process is measured."""
    writers.lookalike(tmp_path / "LiTS", NUMBERS[:2], large=2)
    assert (
        tmp_path / "LiTS" / f"volume-{NUMBERS[0]}.nii"
    ).stat().st_size == 352 + 2 * 512 * 512 * 600

    def start(mode):
        return subprocess.run(
            [sys.executable, "-c", CHILD, str(tmp_path / "LiTS"), str(tmp_path / "cache"), mode],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    assert start("kill").returncode == 9
    whole = [path for path in (tmp_path / "cache").iterdir() if not path.name.startswith(".")]
    assert len(whole) == 1
    made = (whole[0] / "x.npy").stat().st_mtime_ns
    done = start("go on")
    assert done.returncode == 0, done.stderr
    gigabytes, count = done.stdout.split()
    assert float(gigabytes) < 2 and count == "2"
    assert (whole[0] / "x.npy").stat().st_mtime_ns == made and len(
        list((tmp_path / "cache").iterdir())
    ) == 2


# --- plain slice collections ----------------------------------------------------------------------------------------------


@pytest.fixture
def collection(tmp_path):
    rows = ["split,volume_index,slice,source_file,mask_pixels"]
    for number in range(10):
        for level in (3, 11):
            part = "val" if number == 9 else "train"
            for kind, value in (
                ("images", 10 * number + level),
                ("masks", 255 if level == 3 else 0),
            ):
                (tmp_path / part / kind).mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.full((20, 20), value, np.uint8)).save(
                    tmp_path / part / kind / f"{number}_{level:03d}.png"
                )
            rows.append(f"{part},{number},{level},x,0")
    (tmp_path / "index.csv").write_text("\n".join(rows))
    return tmp_path


def test_a_collection_of_ones_own_is_read_whole(collection):
    volumes = slices.load(collection, 16, splits=None)["test"]
    assert [volume.name for volume in volumes] == [str(number) for number in range(10)]
    one = volumes[0]
    assert (
        one.x.shape == (2, 16, 16)
        and one.x[:, 0, 0].tolist() == [3, 11]
        and one.top.tolist() == [1, 0]
    )
    assert np.isnan(one.spacing).all()


@pytest.mark.parametrize(
    "spoil, words",
    [
        (
            lambda f: (f / "train/masks/5_003.png").unlink(),
            r"masks/5_003.png, which index.csv lists, is not readable: there is none",
        ),
        (
            lambda f: (f / "train/images/5_003.png").write_bytes(b"\x89PNG"),
            r"images/5_003.png, which index.csv lists, is not readable",
        ),
        (
            lambda f: Image.new("L", (8, 8)).save(f / "train/masks/4_003.png"),
            r"masks/4_003.png is \(8, 8\) and its image \(20, 20\)",
        ),
        (lambda f: (f / "index.csv").unlink(), r"There is no .*index.csv"),
        (lambda f: (f / "index.csv").write_text("a,b\n1,2"), r"index.csv needs the columns"),
        (
            lambda f: (f / "index.csv").write_text(
                "split,volume_index,slice\ntrain,1,3\ntrain,1,3"
            ),
            "lists slice 3 of volume 1 twice",
        ),
    ],
)
def test_spoiled_collections_are_one_sentence(collection, spoil, words):
    spoil(collection)
    with pytest.raises(HKTError, match=words):
        slices.load(collection, 16, splits=None)


def test_other_collections_have_no_committed_split(collection):
    with pytest.raises(HKTError, match="index.csv has volume 0, which"):
        slices.load(collection, 16)


@pytest.mark.real
@pytest.mark.skipif(not slices.present(REAL), reason="HKT_DATA holds no liver_ct")
def test_real_slices():
    parts = slices.load(slices.present(REAL), 64)
    assert sum(len(volume.x) for part in parts.values() for volume in part) == 488
    assert [len(parts[name]) for name in slices.SPLITS] == [64, 14, 20]
    share = np.mean([volume.y.mean() for volume in parts["train"]])
    assert 0.02 < share < 0.2 and {volume.y.max() for volume in parts["test"]} == {1}
