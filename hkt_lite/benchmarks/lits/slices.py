"""CT volumes as stacks of 8-bit slices, and the reader of plain slice collections.

    parts = load(root / "liver_ct", size=128)       # {"train": [Volume, …], "val": …, "test": …}

A collection is a folder with index.csv (columns split, volume_index, slice, and others) and for
each line SPLIT/images/VOLUME_SLICE.png and SPLIT/masks/VOLUME_SLICE.png: 8-bit grey, mask above 127
= liver and tumour as one class.  `split` only says where a file lies; a volume's part in training
is that of data/splits/liver_ct.json.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from ...config import PROJECT, HKTError, stream
from ...files import read_json

EMPTY = 4  # one in so many slices without liver is trained on
WINDOW = (-160.0, 240.0)  # HU: the abdominal soft-tissue window, level 40, width 400
SPLITS = ("train", "val", "test")
FOLDER, SPLIT = "liver_ct", PROJECT / "data" / "splits" / "liver_ct.json"


class Volume(NamedTuple):
    """Axial slices of one patient, the lowest first, the patient's right on the left."""

    name: str
    x: np.ndarray  # uint8 (Z, H, W), HU from WINDOW's lower end (0) to its upper end (255)
    y: np.ndarray  # uint8 (Z, H, W), 0 background, 1 liver, 2 lesion; 1 for both if one class
    spacing: tuple[float, float, float]  # mm between slices, rows, columns; nan if not known
    top: np.ndarray  # uint8 (Z,), the highest label of each slice
    digest: str  # sha256 of x and y


def volume(name: str, x: np.ndarray, y: np.ndarray, spacing: tuple[float, float, float]) -> Volume:
    """A Volume of arrays in memory, with what is derived from them."""
    digest = hashlib.sha256(np.ascontiguousarray(x))
    digest.update(np.ascontiguousarray(y))
    return Volume(name, x, y, spacing, y.max((1, 2)), digest.hexdigest())


def examples(volumes: list[Volume], rest: bool = False) -> list[tuple[int, int]]:
    """(volume, level) of the slices to train on, shuffled; with `rest` volume by volume, the last
    one that the shuffled list comes to first: unseen by a child of the list's first slices."""
    found, first = [], {}
    for number, one in enumerate(volumes):
        empty = np.flatnonzero(one.top == 0)[::EMPTY]
        levels = np.sort(np.concatenate([np.flatnonzero(one.top), empty]))
        found += [(number, level) for level in levels.tolist()]
    order = torch.randperm(len(found), generator=stream(0, "slices")).tolist()
    for place, k in enumerate(order):
        first.setdefault(found[k][0], place)
    if rest:
        order.sort(key=lambda k: -first[found[k][0]])
    return [found[k] for k in order]


def windowed(hu: np.ndarray, window: tuple[float, float] = WINDOW) -> np.ndarray:
    """HU -> uint8 of the same shape; a grey level is 1.6 HU, far below a CT's noise."""
    low, high = window
    grey = np.clip((hu.astype(np.float32) - low) * (255 / (high - low)), 0, 255)
    return (grey + 0.5).astype(np.uint8)


def resized(stack: np.ndarray, size: int, labels: bool = False) -> np.ndarray:
    """uint8 (Z, H, W) -> (Z, size, size): bilinear with anti-aliasing, or nearest for labels."""
    if stack.shape[1:] == (size, size):
        return stack
    x = torch.from_numpy(np.ascontiguousarray(stack))[:, None].float()
    if labels:
        x = F.interpolate(x, (size, size), mode="nearest-exact")
    else:
        x = F.interpolate(x, (size, size), mode="bilinear", antialias=True) + 0.5
    return x[:, 0].numpy().astype(np.uint8)


def split_list(path: Path) -> dict[str, list[int]]:
    """{'train': volume numbers, 'val': …, 'test': …}.  Raises HKTError if one is listed twice."""
    lists = read_json(path, "split")
    [(number, times)] = Counter(chain(*map(lists.get, SPLITS))).most_common(1)
    if times > 1:
        raise HKTError(f"The split {path} lists volume {number} twice; keep it in one split only.")
    return {name: lists[name] for name in SPLITS}


def by_split(
    numbers: Iterable[int], path: Path, where: Path, splits: Sequence[str] | None
) -> dict[str, list[int]]:
    """The volumes of each of `splits` among `numbers`, as the committed split `path` lists them.

    For None all of them are 'test', whether or not they are listed: somebody's own volumes.
    Raises HKTError naming a volume that is not listed, or a split that has no volume.
    """
    if splits is None:
        return {"test": sorted(numbers)}
    numbers, lists = set(numbers), split_list(path)
    strange = sorted(numbers.difference(*lists.values()))
    if strange:
        raise HKTError(
            f"{where} has volume {strange[0]}, which {path} does not list; evaluate volumes of "
            "your own with the protocol 'own-volumes'."
        )
    found = {name: [number for number in lists[name] if number in numbers] for name in splits}
    for name, chosen in found.items():
        if not chosen:
            raise HKTError(f"{where} has no volume of the split {name!r}; {path} lists them.")
    return found


def present(root: Path) -> Path | None:
    """The folder under `root` that holds a slice collection, if one does."""
    folder = Path(root) / FOLDER
    return folder if (folder / "index.csv").is_file() else None


def load(folder: Path, size: int, splits: Sequence[str] | None = SPLITS) -> dict[str, list[Volume]]:
    """Split -> its volumes (see `by_split`) with all their slices, resized to (size, size).

    Raises HKTError naming the file that is missing, damaged or of another size.
    """
    rows = _index(folder)
    found = by_split(rows, SPLIT, folder / "index.csv", splits)
    return {
        name: [_volume(folder, number, rows[number], size) for number in numbers]
        for name, numbers in found.items()
    }


def _index(folder: Path) -> dict[int, list[tuple[int, str]]]:
    """volume -> [(slice, folder of its files)], the slices ascending."""
    import pandas as pd

    path, keys = folder / "index.csv", ["volume_index", "slice"]
    types = {"split": str, **dict.fromkeys(keys, int)}
    try:
        table = pd.read_csv(path, usecols=list(types), dtype=types, keep_default_na=False)
    except OSError:
        raise HKTError(f"There is no {path}; a slice collection needs one.") from None
    except ValueError as error:
        needs = "the columns split, volume_index and slice with whole numbers"
        raise HKTError(f"{path} needs {needs} ({error}).") from None
    for number, level in table.loc[table.duplicated(keys), keys].values:
        raise HKTError(f"{path} lists slice {level} of volume {number} twice.")
    return {
        number: list(zip(rows["slice"], rows["split"]))
        for number, rows in table.sort_values(keys).groupby("volume_index")
    }


def _volume(folder: Path, number: int, rows: list[tuple[int, str]], size: int) -> Volume:
    x, y = [], []
    for level, part in rows:
        name = f"{number}_{level:03d}.png"
        image, mask = (_grey(folder / part / kind / name) for kind in ("images", "masks"))
        x.append(image)
        y.append(mask)
        if not image.shape == mask.shape == x[0].shape:
            raise HKTError(
                f"{folder / part / 'masks' / name} is {mask.shape} and its image {image.shape}; "
                f"the first of volume {number} is {x[0].shape}, and all must be."
            )
    labels = (np.stack(y) > 127).astype(np.uint8)
    unknown = (float("nan"),) * 3
    return volume(str(number), resized(np.stack(x), size), resized(labels, size, True), unknown)


def _grey(path: Path) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("L"))
    except (OSError, ValueError, SyntaxError) as error:
        said = "there is none" if isinstance(error, FileNotFoundError) else str(error)[:80]
        raise HKTError(f"{path}, which index.csv lists, is not readable: {said}.") from None
