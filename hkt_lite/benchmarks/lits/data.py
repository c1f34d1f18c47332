"""LiTS (Bilic et al., 2023) in its official NIfTI files, or the Decathlon's Task03_Liver.

    parts = load(root, size=256)         # {"train": [slices.Volume, …], "val": …, "test": …}

A volume is read slab by slab, turned so that the patient's right is on the left of the image,
windowed, resized in-plane and kept as 8-bit slices in a cache on disk, where it appears when it is
whole: a build that was cut off goes on behind the last whole volume.
"""

import hashlib
import json
import os
import re
import shutil
import zlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import shorten
from typing import NamedTuple

import numpy as np

from ...config import PROJECT, HKTError, canonical, runs_home
from ...files import read_json
from .slices import SPLITS, WINDOW, Volume, by_split, resized, windowed

FOLDERS = ("LiTS", "Task03_Liver", "")  # under HKT_DATA, or that folder itself
SPLIT = PROJECT / "data" / "splits" / "lits.json"
NAME = re.compile(  # an image has the first group; the other one is the number
    r"(?:^|/)(?:(volume-|imagesTr/liver_)|segmentation-|labelsTr/liver_)(\d+)\.nii(?:\.gz)?$"
)
LABELS = (0, 1, 2)  # background, liver, tumour
ARRAYS = ("x.npy", "y.npy")
THICK = 16  # slices in memory at a time: 32 MB of a 512 x 512 volume as float64
MADE_AS = 1  # of the cache: raise it when its contents would change
SAME = 1e-2  # mm by which two affines may differ, which is how headers are rounded


class Case(NamedTuple):
    number: int
    image: Path
    mask: Path


def present(root: Path) -> Path | None:
    """The folder under `root`, or `root` itself, that holds volumes."""
    for name in FOLDERS:
        folder = Path(root) / name
        depths = ("**/*.nii*",) if name else ("*.nii*", "imagesTr/*.nii*")
        if any(NAME.search(path.as_posix()) for depth in depths for path in folder.glob(depth)):
            return folder
    return None


def index(root: Path) -> list[Case]:
    """The cases under `root` by number, in whichever subfolders their files lie.

    Raises HKTError naming the file that lacks its partner or is there twice, or an empty folder.
    """
    found = {"volume": {}, "segmentation": {}}  # number -> file
    for path in sorted(Path(root).rglob("*.nii*")):
        name = NAME.search(path.as_posix())
        if name is None:
            continue
        kind, n = "volume" if name[1] else "segmentation", int(name[2])
        other = found[kind].setdefault(n, path)
        if other != path:
            raise HKTError(f"{path} and {other} are both the {kind} of case {n}; remove one.")
    images, masks = found.values()
    if not images and not masks:
        raise HKTError(f"There are no volume-N.nii, nor imagesTr/ (Task03_Liver), under {root}.")
    for n in sorted(images.keys() ^ masks.keys()):
        path, partner = masks.get(n), "volume"
        if path is None:
            path, partner = images[n], "segmentation"
        raise HKTError(f"{path} has no {partner} of the same number; add or remove one.")
    return [Case(n, images[n], masks[n]) for n in sorted(images)]


def _opened(path: Path):
    """The NIfTI image, of which only the header is read.  Raises HKTError naming a bad file."""
    import nibabel as nib

    try:
        # kept open, or each slab of a .nii.gz would be unpacked from its beginning
        image = nib.load(path, keep_file_open=True)
    except Exception as error:  # a damaged header can raise nearly anything
        said = shorten(str(error), 90)
        raise HKTError(f"{path} is not a readable NIfTI file ({said}); copy it again.") from None
    needed = image.dataobj.offset + int(np.prod(image.shape)) * image.get_data_dtype().itemsize
    size, problem = path.stat().st_size, None
    if path.suffix != ".gz" and size < needed:
        problem = f"is truncated: its header announces {needed:,} bytes and it has {size:,}"
    elif len(image.shape) != 3 or min(image.shape) < 1:
        problem = f"has shape {image.shape}; a CT volume or its labels have three dimensions"
    elif not np.isfinite(image.affine).all() or abs(np.linalg.det(image.affine[:3, :3])) < 1e-9:
        problem = "has no valid orientation, for its affine is singular; repair its sform or qform"
    if problem:
        raise HKTError(f"{path} {problem}.")
    return image


def _pair(case: Case):
    """Both images of a case, whose geometry agrees.  Raises HKTError naming the mask otherwise."""
    from nibabel import aff2axcodes

    image, mask = _opened(case.image), _opened(case.mask)
    codes = ["".join(aff2axcodes(one.affine)) for one in (mask, image)]
    problem, its_image = None, f"its image {case.image.name}"
    if not np.allclose(image.affine, mask.affine, atol=SAME):
        worst = np.abs(image.affine - mask.affine).max()
        problem = f"another affine than {its_image} (by up to {worst:.3g} mm)"
    for what, ours, theirs in (("orientation", *codes), ("shape", mask.shape, image.shape)):
        if ours != theirs:
            problem = f"{what} {ours} and {its_image} has {theirs}"
    if problem:
        raise HKTError(f"{case.mask} has {problem}; resample one of them onto the other.")
    return image, mask


def _slabs(case: Case, image, mask, turn) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """(first slice, HU (z, y, x), labels uint8 (z, y, x)) in the order of the file, `turn`-ed.

    Raises HKTError naming a file that is damaged, or holds what neither HU nor labels can be.
    """
    from nibabel.orientations import apply_orientation

    axis = int(turn[:, 0].argmax())  # the stored one that becomes z
    count, cut = image.shape[axis], [slice(None)] * 3
    for first in range(0, count, THICK):
        last = min(first + THICK, count)
        cut[axis] = slice(first, last)
        hu, labels = _read(case.image, image, tuple(cut)), _read(case.mask, mask, tuple(cut))
        if not np.isfinite(hu).all():
            raise HKTError(f"{case.image} has values that are not finite from slice {first} on.")
        strange = np.setdiff1d(labels, LABELS)
        if strange.size:
            known = "0, 1, 2 (background, liver, tumour)"
            raise HKTError(f"{case.mask} has the label {strange[0]:g}; only {known} are known.")
        start = first if turn[axis, 1] > 0 else count - last
        labels = labels.astype(np.uint8)
        yield start, apply_orientation(hu, turn).T, apply_orientation(labels, turn).T


def _read(path: Path, image, cut) -> np.ndarray:
    try:
        return np.asanyarray(image.dataobj[cut])
    except (OSError, EOFError, ValueError, zlib.error) as error:
        said = shorten(str(error), 80)
        raise HKTError(f"{path} is truncated or damaged ({said}); copy it again.") from None


# --- the slice cache ----------------------------------------------------------------------------


def _place(case: Case, size: int, home: Path) -> Path:
    """Where the slices of a case belong; another file, size or window has another place."""
    stats = [(path, path.stat()) for path in case[1:]]
    files = [[str(path.resolve()), stat.st_size, stat.st_mtime_ns] for path, stat in stats]
    made_from = canonical([MADE_AS, files, size, WINDOW, LABELS])
    return home / f"{case.number:03d}-{size}-{hashlib.sha256(made_from.encode()).hexdigest()[:12]}"


def build(case: Case, size: int, place: Path) -> None:
    """Write the slices of one case to a neighbour of the folder `place`, renamed when whole.

    Raises HKTError naming the bad file, or when the disk refuses; nothing is left then.
    """
    pair, prefix = _pair(case), f".{place.name}."
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(".part", prefix, place.parent, ignore_cleanup_errors=True) as part:
            whole = Path(part) / "whole"
            whole.mkdir()
            _fill(case, *pair, size, whole)
            os.replace(whole, place)
    except OSError as error:
        if not place.is_dir():  # else another process was faster
            why = f"{error.strerror or error}; free some space or set HKT_RUNS to another folder"
            raise HKTError(f"Could not write the slices {place}: {why}.") from error


def _fill(case: Case, image, mask, size: int, folder: Path) -> None:
    """Write x.npy, y.npy (Z, size, size) and about.json: all that `_mapped` reads."""
    import nibabel as nib
    from nibabel.orientations import axcodes2ornt, ornt_transform

    turn = ornt_transform(nib.io_orientation(image.affine), axcodes2ornt("LPS"))
    axes = turn[:, 0].argsort()[::-1]  # the stored ones that become z, y, x
    count, *sides = np.array(image.shape)[axes].tolist()
    thick, *pixel = nib.affines.voxel_sizes(image.affine)[axes].tolist()
    shape, digests = (count, size, size), []
    x, y = (np.lib.format.open_memmap(folder / n, "w+", np.uint8, shape) for n in ARRAYS)
    for first, hu, labels in _slabs(case, image, mask, turn):
        slab = slice(first, first + len(hu))
        x[slab] = resized(windowed(hu), size)
        y[slab] = resized(labels, size, labels=True)
        digests.append([first, hashlib.sha256(x[slab].tobytes() + y[slab].tobytes()).hexdigest()])
    x.flush()
    y.flush()
    about = {
        "name": f"LiTS {case.number}",
        "spacing": [thick, *(mm * side / size for mm, side in zip(pixel, sides))],
        "top": y.max((1, 2)).tolist(),
        "digest": hashlib.sha256(canonical(sorted(digests)).encode()).hexdigest(),
    }
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")


def _mapped(place: Path) -> Volume:
    """A volume of the cache; its voxels stay on disk until they are looked at."""
    about = read_json(place / "about.json", "slice cache")
    x, y = (np.load(place / name, mmap_mode="r") for name in ARRAYS)
    about |= {"spacing": tuple(about["spacing"]), "top": np.array(about["top"], np.uint8)}
    return Volume(x=x, y=y, **about)


def prepare(cases: Sequence[Case], size: int, home: Path | None = None) -> list[Volume]:
    """The cases as memory-mapped 8-bit slices (Z, size, size), building what the cache lacks.

    Raises HKTError naming the bad file; all headers are looked at before the first one is built.
    """
    from tqdm import tqdm

    home = home or runs_home() / "slices"
    places = [_place(case, size, home) for case in cases]
    missing = [(case, place) for case, place in zip(cases, places) if not place.is_dir()]
    for case, _ in missing:
        _pair(case)
    for case, place in tqdm(missing, "slices", unit="volume", disable=None if missing else True):
        build(case, size, place)
        for leftover in home.glob(f".{place.name}.*.part"):  # of a build that was killed
            shutil.rmtree(leftover, ignore_errors=True)
    return [_mapped(place) for place in places]


def load(
    root: Path, size: int, splits: Sequence[str] | None = SPLITS, home: Path | None = None
) -> dict[str, list[Volume]]:
    """Split -> its volumes under `root` (see `slices.by_split`); a part of LiTS is enough."""
    cases = {case.number: case for case in index(root)}
    numbers = by_split(cases, SPLIT, root, splits)
    volumes = iter(prepare([cases[n] for chosen in numbers.values() for n in chosen], size, home))
    return {name: list(islice(volumes, len(chosen))) for name, chosen in numbers.items()}
