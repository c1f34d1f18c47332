"""The CIFAR-10 reader: the committed split, the layout written by ourselves, damaged files, the real images."""

import hashlib
import json
import os
import pickle
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from hkt_lite.benchmarks.cifar10 import data as cifar10
from hkt_lite.benchmarks.cifar10 import synthetic
from hkt_lite.config import PROJECT, HKTError, data_home
from tests import writers

REAL = data_home()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("layout")
    assert writers.write_cifar10(root, train=1000, test=200) == root / cifar10.FOLDER
    return root


@pytest.fixture
def copy(written, tmp_path):
    shutil.copytree(written / cifar10.FOLDER, tmp_path / cifar10.FOLDER)
    return tmp_path


def test_split_is_a_partition_of_the_50000_training_images():
    split = json.loads((PROJECT / "data/splits/cifar10.json").read_text())
    train, val = split["train"], split["val"]
    assert (len(train), len(val)) == (45_000, 5_000)
    assert sorted(train + val) == list(range(50_000))
    assert train != sorted(train)


def test_written_layout_reads_back_the_same_pixels(written):
    test, made = cifar10.load(written, "test", official=False), synthetic.images("test", 200)
    assert torch.equal(test.x, made.x) and torch.equal(test.y, made.y)
    assert test.classes == cifar10.CLASSES and test.x.dtype == torch.uint8
    train, all_made = (
        cifar10.load(written, "train", official=False),
        synthetic.images("train", 1000),
    )
    assert 800 < len(train.y) < 1000 and int(train.index.max()) < 1000
    assert torch.equal(train.x, all_made.x[train.index]) and torch.equal(
        train.y, all_made.y[train.index]
    )


def test_size_takes_the_first_of_the_committed_list(written):
    train, few = (cifar10.load(written, "train", size, official=False) for size in (None, 50))
    assert torch.equal(few.index, train.index[:50]) and len(few.x) == 50
    val = cifar10.load(written, "val", official=False)
    assert not set(val.index.tolist()) & set(train.index.tolist())


def test_written_files_are_not_taken_for_the_official_ones(written):
    with pytest.raises(
        HKTError, match=r"test_batch does not have the official checksum.*fetch it again"
    ):
        cifar10.load(written, "test")


def test_unknown_split_names_the_nearest():
    with pytest.raises(HKTError, match="no split 'tets'. Did you mean 'test'"):
        cifar10.load(Path("."), "tets")


def test_missing_file_is_named(copy):
    (copy / cifar10.FOLDER / "data_batch_3").unlink()
    with pytest.raises(HKTError, match=r"there is no .*data_batch_3; run `hkt data fetch cifar10`"):
        cifar10.load(copy, "train", official=False)
    assert len(cifar10.load(copy, "test", official=False).y) == 200


@pytest.mark.parametrize(
    "official, words", [(True, "official checksum"), (False, "not a readable CIFAR-10 batch")]
)
def test_truncated_file_is_named(copy, official, words):
    path = copy / cifar10.FOLDER / "test_batch"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(HKTError, match=rf"test_batch .*{words}"):
        cifar10.load(copy, "test", official=official)


def test_flipped_bit_is_noticed_in_official_files(copy, monkeypatch):
    path = copy / cifar10.FOLDER / "test_batch"
    data = bytearray(path.read_bytes())
    monkeypatch.setitem(cifar10.MD5, "test_batch", hashlib.md5(data).hexdigest())
    cifar10.load(copy, "test")
    cifar10._read.cache_clear()
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(HKTError, match="damaged or truncated"):
        cifar10.load(copy, "test")


def test_disagreeing_lengths_are_refused(copy):
    value = {b"data": np.zeros((3, 3072), np.uint8), b"labels": [0, 1]}
    (copy / cifar10.FOLDER / "test_batch").write_bytes(pickle.dumps(value, protocol=2))
    with pytest.raises(HKTError, match="3 images for 2 labels"):
        cifar10.load(copy, "test", official=False)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("owned",)


def test_a_pickle_cannot_run_code(copy, monkeypatch):
    monkeypatch.chdir(copy)
    (copy / cifar10.FOLDER / "test_batch").write_bytes(pickle.dumps(Evil(), protocol=2))
    with pytest.raises(HKTError, match="it asks for .*mkdir"):
        cifar10.load(copy, "test", official=False)
    assert not (copy / "owned").exists()


class Dtype:
    """A pickled numpy.dtype whose last word, flags, says whether its values are pointers."""

    def __init__(self, code: str, flags: int):
        self.code, self.flags = code, flags

    def __reduce__(self):
        return np.dtype, (self.code, False, True), (3, "|", None, None, None, 8, 8, self.flags)


class Pointers:
    """An array whose values are the file's bytes, whatever its type says."""

    def __init__(self, dtype: Dtype):
        self.state = (1, (3, 3072), dtype, False, b"A" * 8 * 3 * 3072)

    def __reduce__(self):
        return np.empty(0).__reduce__()[0], (np.ndarray, (0,), b"b"), self.state


@pytest.mark.parametrize(
    "code, flags, words",
    [
        ("O8", 0, "it holds an array of 'O8' instead of bytes"),  # NumPy alone: the process dies
        ("V8", 63, "it holds an array of 'V8' instead of bytes"),
        ("u1", 63, "buffer size does not match"),
    ],
)
def test_a_pickle_cannot_turn_bytes_into_pointers(copy, code, flags, words):
    value = {b"data": Pointers(Dtype(code, flags)), b"labels": [0, 1, 2]}
    (copy / cifar10.FOLDER / "test_batch").write_bytes(pickle.dumps(value, protocol=2))
    with pytest.raises(HKTError, match=f"not a readable CIFAR-10 batch .*{words}"):
        cifar10.load(copy, "test", official=False)
    assert np.dtype(np.uint8).itemsize == 1 and not np.dtype(np.uint8).hasobject


class Call:
    """What a pickle makes by calling `function` with `given`."""

    def __init__(self, function, *given):
        self.function, self.given = function, given

    def __reduce__(self):
        return self.function, self.given


def nested(depth: int):
    """2 ** depth numbers in a list of `depth` entries: each names the one before it twice."""
    inner = [1]
    for _ in range(depth):
        inner = [inner, inner]
    return inner


IMAGES, RECONSTRUCT = np.zeros((3, 3072), np.uint8), np.empty(0).__reduce__()[0]
CRAFTED = {
    "pointers in a buffer": (Call(np.ndarray, (3, 384), "O", b"A" * 9216), [0, 1, 2]),
    "pointers by reconstruction": (Call(RECONSTRUCT, np.ndarray, (3, 3072), b"O"), [0, 1, 2]),
    "more than there is memory": (Call(RECONSTRUCT, np.ndarray, (10**9, 3072), b"b"), [0, 1, 2]),
    "no array": (b"A" * 9216, [0, 1, 2]),
    "an array of labels": (IMAGES, np.zeros(3, np.uint8)),
    "labels of labels": (IMAGES, nested(60)),
    "a label beyond the classes": (IMAGES, [0, 1, 250]),
    "a label below the classes": (IMAGES, [0, 1, -1]),
    "a label that is text": (IMAGES, [0, 1, "2"]),
}


@pytest.mark.parametrize("name", CRAFTED)
def test_a_crafted_pickle_is_refused(copy, name):
    images, labels = CRAFTED[name]
    crafted = pickle.dumps({b"data": images, b"labels": labels}, protocol=2)
    (copy / cifar10.FOLDER / "test_batch").write_bytes(crafted)
    with pytest.raises(HKTError, match="test_batch is not a readable CIFAR-10 batch"):
        cifar10.load(copy, "test", official=False)


def test_a_pickle_cannot_make_an_array_that_numpy_would_fill_with_pointers(copy, monkeypatch):
    """Not even for a moment: what is refused afterwards may have been read by then."""
    made = []
    load = cifar10._Plain.load

    def watched(self):
        made.append(load(self))
        return made[-1]

    monkeypatch.setattr(cifar10._Plain, "load", watched)
    for name in ("pointers in a buffer", "pointers by reconstruction"):
        images, labels = CRAFTED[name]
        crafted = pickle.dumps({b"data": images, b"labels": labels}, protocol=2)
        (copy / cifar10.FOLDER / "test_batch").write_bytes(crafted)
        cifar10._read.cache_clear()
        with pytest.raises(HKTError):
            cifar10.load(copy, "test", official=False)
    assert all(value[b"data"].dtype == np.uint8 for value in made)


def test_a_pickle_cannot_alter_what_reads_it(copy):
    """State for one of the allowed names, in place of an object that it made."""
    crafted = b"\x80\x02cnumpy\ndtype\n}X\x08\x00\x00\x00__call__K\x01sb."
    (copy / cifar10.FOLDER / "test_batch").write_bytes(crafted)
    with pytest.raises(HKTError, match="not a readable CIFAR-10 batch"):
        cifar10.load(copy, "test", official=False)
    assert cifar10._Bytes()("u1") == np.uint8


def test_a_length_that_the_file_does_not_have_costs_no_memory(copy):
    """One place in the memo, number 2 ** 31: pickle in C makes room for them all."""
    import tracemalloc

    crafted = b"\x80\x02]r" + (2**31).to_bytes(4, "little") + b"."
    (copy / cifar10.FOLDER / "test_batch").write_bytes(crafted)
    tracemalloc.start()
    with pytest.raises(HKTError, match="not a readable CIFAR-10 batch"):
        cifar10.load(copy, "test", official=False)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10**8


@pytest.mark.real
@pytest.mark.skipif(not cifar10.present(REAL), reason="HKT_DATA holds no cifar-10-batches-py")
def test_real_images():
    test, val = cifar10.load(REAL, "test"), cifar10.load(REAL, "val")
    assert test.x.shape == (10_000, 3, 32, 32) and test.x.dtype == torch.uint8
    assert test.classes[int(test.y[0])] == "cat" and test.y[:5].tolist() == [3, 8, 8, 0, 6]
    assert val.y.bincount().tolist() == [500] * 10
    train = cifar10.load(REAL, "train", 1000)
    assert (
        train.y.bincount().tolist() == [100] * 10
        and Counter(train.index.tolist()).most_common(1)[0][1] == 1
    )
    assert train.x.float().mean().item() == pytest.approx(
        120.7, abs=2.5
    )  # the training set's mean grey value
