"""CT volumes as stacks of 8-bit slices, and the reader of plain slice collections (images/ masks/ index.csv).

    train = load(root / "liver_ct", "train", size=128)         # a list of Volume, split by volume as data/splits/liver_ct.json says

A collection is a folder with index.csv, which has the columns split, volume_index, slice (others are ignored), and for each line the files
SPLIT/images/VOLUME_SLICE.png and SPLIT/masks/VOLUME_SLICE.png: 8-bit grey, mask 0 = background, anything above 127 = liver and tumour as
one class.  The column `split` only says in which folder a file lies; a volume's part in training is the committed list's.
"""

from __future__ import annotations

import csv
import hashlib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...config import PROJECT, HKTError, nearest

WINDOW = (-160.0, 240.0)  # HU: the abdominal soft-tissue window, level 40, width 400
SPLITS = ("train", "val", "test")
FOLDER, SPLIT = "liver_ct", PROJECT / "data" / "splits" / "liver_ct.json"


class Volume(NamedTuple):
    """Axial slices of one patient, patient's right on the left of the image, the first one the lowest.

    x        uint8 (Z, H, W), HU from WINDOW's lower end (0) to its upper end (255)
    y        uint8 (Z, H, W), 0 background, 1 liver, 2 lesion (or 1 for both in a one-class collection)
    spacing  millimetres (between slices, rows, columns); nan where it is not known
    top      uint8 (Z,), the highest label of each slice
    digest   sha256 of x and y
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    spacing: tuple[float, float, float]
    top: np.ndarray
    digest: str


def volume(name: str, x: np.ndarray, y: np.ndarray, spacing: tuple[float, float, float]) -> Volume:
    """A Volume of arrays in memory, with what is derived from them."""
    digest = hashlib.sha256(np.ascontiguousarray(x))
    digest.update(np.ascontiguousarray(y))
    return Volume(name, x, y, spacing, y.max((1, 2)), digest.hexdigest())


def windowed(hu: np.ndarray, window: tuple[float, float] = WINDOW) -> np.ndarray:
    """HU -> uint8 of the same shape, clipped to the window; a grey level is 1.6 HU, far below a CT's noise."""
    low, high = window
    return (np.clip((hu.astype(np.float32) - low) * (255 / (high - low)), 0, 255) + 0.5).astype(
        np.uint8
    )


def resized(stack: np.ndarray, size: int, labels: bool = False) -> np.ndarray:
    """Slices (Z, H, W) -> (Z, size, size) of the same type: bilinear with anti-aliasing for images, nearest for labels (torch's)."""
    import torch
    import torch.nn.functional as F

    if stack.shape[1:] == (size, size):
        return stack
    x = torch.from_numpy(np.ascontiguousarray(stack))[:, None].float()
    x = (
        F.interpolate(x, (size, size), mode="nearest-exact")
        if labels
        else F.interpolate(
            x, (size, size), mode="bilinear", antialias=True, align_corners=False
        ).add_(0 if stack.dtype.kind == "f" else 0.5)
    )
    return x[:, 0].numpy().astype(stack.dtype)


@lru_cache(maxsize=4)
def split_list(path: Path) -> dict[str, list[int]]:
    """{'train': volume numbers, 'val': …, 'test': …} of a committed split.  Raises HKTError naming the file and a volume listed twice."""
    from ...files import read_json

    value = read_json(path, "split")
    lists = {name: list(value[name]) for name in SPLITS}
    every = [number for numbers in lists.values() for number in numbers]
    if twice := sorted({number for number in every if every.count(number) > 1}):
        raise HKTError(
            f"The split {path} lists volume {twice[0]} twice; a patient belongs to one split only."
        )
    return lists


def present(root: Path) -> bool:
    return (Path(root) / FOLDER / "index.csv").is_file()


def load(folder: Path, split: str, size: int, official: bool = True) -> list[Volume]:
    """The volumes of 'train', 'val' or 'test' with all their slices in order, resized in-plane to (size, size).

    `official` = False is for collections other than the one the committed list was made for: the first tenth of their volumes is 'val', the next
    fifth 'test', the rest 'train'.  Raises HKTError naming the file that is missing, damaged, of another size or without a place in the list.
    """
    folder = Path(folder)
    if split not in SPLITS:
        raise HKTError(f"Slices have no split {split!r}.{nearest(split, SPLITS)}")
    rows = _index(folder / "index.csv")
    numbers = list(rows)
    if official:
        lists = split_list(SPLIT)
        known = {number for each in lists.values() for number in each}
        if strange := [number for number in numbers if number not in known]:
            raise HKTError(
                f"{folder / 'index.csv'} has volume {strange[0]}, which {SPLIT} does not list; its split is unknown."
            )
        chosen = [number for number in lists[split] if number in rows]
    else:
        val, test = max(1, len(numbers) // 10), max(1, len(numbers) // 5)
        chosen = {
            "val": numbers[:val],
            "test": numbers[val : val + test],
            "train": numbers[val + test :],
        }[split]
    if not chosen:
        raise HKTError(
            f"{folder} has no volume of the split {split!r}; it needs at least one in each of {', '.join(SPLITS)}."
        )
    return [_volume(folder, number, rows[number], size) for number in chosen]


def _index(path: Path) -> dict[int, list[tuple[int, str]]]:
    """volume -> [(slice, folder of its files)], both ascending."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = [
                (int(row["volume_index"]), int(row["slice"]), row["split"])
                for row in csv.DictReader(file)
            ]
    except OSError:
        raise HKTError(
            f"There is no {path}; a slice collection needs images/, masks/ and index.csv."
        ) from None
    except (KeyError, TypeError, ValueError) as error:
        raise HKTError(
            f"{path} needs the columns split, volume_index and slice with whole numbers ({error})."
        ) from None
    found: dict[int, list[tuple[int, str]]] = {}
    for number, level, part in sorted(rows):
        if found.setdefault(number, []) and found[number][-1][0] == level:
            raise HKTError(f"{path} lists slice {level} of volume {number} twice.")
        found[number].append((level, part))
    return found


def _volume(folder: Path, number: int, rows: list[tuple[int, str]], size: int) -> Volume:
    names = [(folder / part, f"{number}_{level:03d}.png") for level, part in rows]
    x = [_grey(part / "images" / name) for part, name in names]
    y = [_grey(part / "masks" / name) for part, name in names]
    for (part, name), image, mask in zip(names, x, y):
        if image.shape != mask.shape or image.shape != x[0].shape:
            raise HKTError(
                f"{part / 'masks' / name} is {mask.shape} and its image {image.shape}; all slices of volume {number} must have the "
                f"size of its first, {x[0].shape}."
            )
    return volume(
        str(number),
        resized(np.stack(x), size),
        resized((np.stack(y) > 127).astype(np.uint8), size, labels=True),
        (float("nan"),) * 3,
    )


def _grey(path: Path) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("L"))
    except FileNotFoundError:
        raise HKTError(
            f"There is no {path}, although index.csv lists it; every slice needs an image and a mask of that name."
        ) from None
    except (OSError, ValueError, SyntaxError) as error:
        raise HKTError(
            f"{path} is not a readable picture ({str(error)[:80]}); it is damaged or truncated."
        ) from None
