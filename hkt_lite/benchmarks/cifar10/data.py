"""CIFAR-10 (Krizhevsky, 2009) from its official python files, with a committed validation split."""

from __future__ import annotations

import hashlib
import io
import pickle
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...config import PROJECT, HKTError, nearest
from ...files import read_json

FOLDER = "cifar-10-batches-py"
SPLITS = ("train", "val", "test")
SPLIT = PROJECT / "data" / "splits" / "cifar10.json"
MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


class Images(NamedTuple):
    """One split: x uint8 (N, 3, 32, 32), y int64 (N,), index int64 (N,) in the official order."""

    x: Tensor
    y: Tensor
    index: Tensor
    classes: list[str]

    def part(self, which: slice) -> Images:
        return Images(self.x[which], self.y[which], self.index[which], self.classes)


class _Array:
    """In place of what makes arrays: an empty one, whatever shape, type or buffer was asked for.

    Shape and bytes come with its state, where NumPy compares their sizes.
    """

    __slots__ = ()  # a pickle can set no attribute of it

    def __call__(self, *_) -> np.ndarray:
        return np.empty(0, np.uint8)


class _Bytes:
    """In place of numpy.dtype: NumPy's own uint8, which no pickled state can turn into pointers."""

    __slots__ = ()

    def __call__(self, code="", *_) -> np.dtype:
        if code not in ("u1", b"u1"):
            raise pickle.UnpicklingError(f"it holds an array of {code!r} instead of bytes")
        return np.dtype(np.uint8)


class _Plain(pickle._Unpickler):
    """Reads the official pickles and nothing else: no object can be made but arrays of bytes.

    In Python, because the one in C allocates whatever length a file names.
    """

    ALLOWED = {
        ("numpy.core.multiarray", "_reconstruct"): _Array(),
        ("numpy._core.multiarray", "_reconstruct"): _Array(),
        ("numpy", "ndarray"): None,
        ("numpy", "dtype"): _Bytes(),
        ("_codecs", "encode"): str.encode,
    }

    def find_class(self, module, name):
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return self.ALLOWED[module, name]


def _arrays(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Images and classes of a batch file's bytes; raises nearly anything for a damaged one."""
    value = _Plain(io.BytesIO(data), encoding="bytes").load()
    x, labels = value[b"data"], value[b"labels"]
    if not isinstance(x, np.ndarray) or x.dtype != np.uint8:
        raise ValueError("its images are no array of bytes")
    if not isinstance(labels, list) or not all(type(y) is int and 0 <= y < 10 for y in labels):
        raise ValueError("its labels are no list of classes from 0 to 9")
    x = x.reshape(-1, 3, 32, 32)
    if len(x) != len(labels):
        raise ValueError(f"{len(x)} images for {len(labels)} labels")
    return x, np.asarray(labels, dtype=np.int64)


def present(root: Path) -> bool:
    return (root / FOLDER / "test_batch").is_file()


@lru_cache(maxsize=12)
def _read(path: Path, official: bool) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (N, 3, 32, 32) and classes int64 (N,) of one batch file."""
    if not path.is_file():
        raise HKTError(
            f"CIFAR-10 is not complete: there is no {path}; run `hkt data fetch cifar10`, or set "
            f"HKT_DATA to the folder that holds {FOLDER}."
        )
    data = path.read_bytes()
    if official and hashlib.md5(data).hexdigest() != MD5[path.name]:
        raise HKTError(
            f"{path} does not have the official checksum: it is damaged or truncated; fetch it "
            "again with `hkt data fetch cifar10`."
        )
    try:
        return _arrays(data)
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise HKTError(
            f"{path} is not a readable CIFAR-10 batch ({error}); fetch it again with "
            "`hkt data fetch cifar10`."
        ) from None


def load(root: Path, split: str, size: int | None = None, official: bool = True) -> Images:
    """The images of 'train' (45,000), 'val' (5,000) or 'test' (10,000).

    `size` takes the first of the committed, shuffled list.  `official` = False, for other images in
    this layout, in any number, skips the checksums.  Raises HKTError naming the file.
    """
    if split not in SPLITS:
        raise HKTError(f"CIFAR-10 has no split {split!r}.{nearest(split, SPLITS)}")
    names = ["test_batch"] if split == "test" else [f"data_batch_{k}" for k in range(1, 6)]
    parts = [_read(Path(root) / FOLDER / name, official) for name in names]
    x, y = (np.concatenate(part) for part in zip(*parts))
    index = np.arange(len(y)) if split == "test" else np.asarray(read_json(SPLIT, "split")[split])
    index = torch.from_numpy(index[index < len(y)][:size])
    return Images(torch.from_numpy(x)[index], torch.from_numpy(y)[index], index, CLASSES)
