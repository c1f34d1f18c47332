"""CT phantoms: the same bytes from a seed, anatomy and statistics of the kind that LiTS has, the official layout."""

import hashlib

import numpy as np
import pytest

from hkt_lite.benchmarks.drawing import Draw, generator
from hkt_lite.benchmarks.lits import synthetic as phantom
from hkt_lite.benchmarks.lits.slices import WINDOW, windowed
from hkt_lite.config import HKTError
from tests import writers


def test_same_seed_same_bytes():
    hu, labels, spacing = phantom.phantom("train", 3)
    again = phantom.phantom("train", 3)
    assert np.array_equal(hu, again[0]) and np.array_equal(labels, again[1]) and spacing == again[2]
    assert (hu.shape, hu.dtype, labels.dtype) == ((24, 64, 64), np.int16, np.uint8)
    assert (
        hashlib.sha256(labels.tobytes() + hu.tobytes()).hexdigest().startswith("1852fca95371a2fa")
    )


def test_splits_seeds_and_numbers_differ():
    one = phantom.phantom("train", 0)[0]
    for other in (
        phantom.phantom("val", 0),
        phantom.phantom("train", 1),
        phantom.phantom("train", 0, seed=1),
    ):
        assert not np.array_equal(one, other[0])


def test_a_volume_does_not_depend_on_how_it_is_cut():
    whole = phantom.phantom("train", 5, 64, 20)
    for k in (0, 1):
        assert np.array_equal(
            whole[k],
            np.concatenate(
                [
                    phantom.phantom("train", 5, 64, 20, 0, range(a, a + 5))[k]
                    for a in range(0, 20, 5)
                ]
            ),
        )


def test_a_smaller_count_is_a_prefix():
    few, more = phantom.volumes("val", 2), phantom.volumes("val", 4)
    assert [volume.digest for volume in few] == [volume.digest for volume in more[:2]]


@pytest.fixture(scope="module")
def many():
    return [phantom.phantom("train", number) for number in range(60)]


def test_tissues_have_their_hounsfield_units(many):
    means = {
        name: [hu[labels == label].mean() for hu, labels, _ in many if (labels == label).any()]
        for name, label in (("liver", 1), ("lesion", 2))
    }
    assert 70 < np.mean(means["liver"]) < 125
    darker = [
        hu[labels == 2].mean() < hu[labels == 1].mean()
        for hu, labels, _ in many
        if (labels == 2).sum() > 30
    ]
    assert 0.75 < np.mean(darker) < 1.0  # some lesions are brighter than the liver, as in patients
    hu = many[0][0]
    assert hu.min() < -900 and hu.max() > 400  # air and bone


def test_liver_and_lesions_take_the_share_they_have_in_lits(many):
    liver = np.mean([(labels > 0).mean() for _, labels, _ in many])
    lesion = np.mean([(labels == 2).mean() for _, labels, _ in many])
    empty = np.mean([not (labels == 2).any() for _, labels, _ in many])
    assert 0.03 < liver < 0.08 and 0.002 < lesion < 0.012 and 0.02 < empty < 0.2
    assert all(labels[0].max() == 0 or labels[-1].max() == 0 for _, labels, _ in many)


def test_borders_hold_both_tissues():
    """Partial volume: without noise, voxels beside the liver's border lie between it and what surrounds it."""
    quiet = phantom._anatomy(Draw(generator("phantom", 0, "train", 0)))
    canvas = phantom._Canvas({**quiet, "shift": 0.0}, 64, 24, range(24))
    phantom._liver(canvas, quiet)
    values = canvas.hu[(canvas.hu > -900) & (canvas.hu < 40)]
    assert len(values) > 200


@pytest.mark.parametrize(
    "arguments, words",
    [(("tran", 0), "Did you mean 'train'"), (("train", 0, 16), "at least 32 pixels")],
)
def test_mistakes_are_one_sentence(arguments, words):
    with pytest.raises(HKTError, match=words):
        phantom.phantom(*arguments)


def test_written_volumes_are_official_nifti(tmp_path):
    import nibabel as nib

    writers.write_lits(tmp_path, [7, 8], size=48, slices=20, suffix=".nii.gz")
    image, mask = (nib.load(tmp_path / f"{name}-7.nii.gz") for name in ("volume", "segmentation"))
    hu, labels = phantom.phantom("train", 7, 48, 20)[:2]
    assert image.get_data_dtype() == np.int16 and mask.get_data_dtype() == np.uint8
    assert nib.aff2axcodes(image.affine) == ("L", "P", "S") and np.array_equal(
        image.affine, mask.affine
    )
    assert np.array_equal(np.asanyarray(image.dataobj).T, hu) and np.array_equal(
        np.asanyarray(mask.dataobj).T, labels
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"{name}-{k}.nii.gz" for name in ("segmentation", "volume") for k in (7, 8)
    ]


def test_lookalike_mixes_sizes(tmp_path, monkeypatch):
    calls = []

    def write_lits(root, numbers, size, slices, seed):
        calls.append((numbers, size, slices))

    monkeypatch.setattr(writers, "write_lits", write_lits)
    writers.lookalike(tmp_path, range(5), large=2, size=64, slices=10)
    assert calls == [([0, 1], 512, 600), ([2, 3, 4], 64, 10)]


def test_window_spans_eight_bits():
    assert windowed(np.array([-2000, WINDOW[0], 40, WINDOW[1], 3000])).tolist() == [
        0,
        0,
        128,
        255,
        255,
    ]
