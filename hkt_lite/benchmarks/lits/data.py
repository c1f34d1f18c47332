"""LiTS (Bilic et al., 2023) in its official NIfTI files, or the Decathlon's Task03_Liver.

    parts = load(root, size=256)         # {"train": [slices.Volume, …], "val": …, "test": …}

A volume is read a slab of slices at a time, turned so that the patient's right is on the left of
the image, windowed, resized in-plane and kept as 8-bit slices in a cache on disk.  Its place there
appears when it is whole, so a build that was cut off goes on behind the last whole volume.
"""

import hashlib
import json
import os
import re
import shutil
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
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
    """The folder under `root`, or `root` itself, that holds volumes in one of the two layouts."""
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
        kind, number = "volume" if name[1] else "segmentation", int(name[2])
        other = found[kind].setdefault(number, path)
        if other != path:
            raise HKTError(
                f"{path} and {other} are both the {kind} of case {number}; remove one of them."
            )
    images, masks = found.values()
    if not images and not masks:
        raise HKTError(
            "There are no volume-N.nii and segmentation-N.nii (LiTS) or imagesTr/ and labelsTr/ "
            f"(Task03_Liver) under {root}."
        )
    for number in sorted(images.keys() ^ masks.keys()):
        path = images.get(number) or masks[number]
        partner = "segmentation" if number in images else "volume"
        raise HKTError(f"{path} has no {partner} of the same number; add or remove one.")
    return [Case(number, images[number], masks[number]) for number in sorted(images)]


def _opened(path: Path):
    """The NIfTI image, of which only the header is read.  Raises HKTError naming a bad file."""
    import nibabel as nib

    try:
        # kept open, or each slab of a .nii.gz would be unpacked from its beginning
        image = nib.load(path, keep_file_open=True)
    except Exception as error:  # a damaged header can raise nearly anything
        said = " ".join(str(error).split())[:90]
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
    for what, ours, theirs in (("shape", mask.shape, image.shape), ("orientation", *codes)):
        if ours != theirs:
            raise HKTError(
                f"{case.mask} has {what} {ours} and its image {case.image.name} has {theirs}; "
                "resample one of them onto the other."
            )
    if not np.allclose(image.affine, mask.affine, atol=SAME):
        worst = np.abs(image.affine - mask.affine).max()
        raise HKTError(
            f"{case.mask} has another affine than its image {case.image.name} (they differ by up "
            f"to {worst:.3g} mm); resample one of them onto the other."
        )
    return image, mask


def _slabs(case: Case, image, mask, turn) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """(first slice, HU (z, y, x), labels uint8 (z, y, x)) in the order of the file.

    `turn` is nibabel's orientation transform to left, posterior, superior.  Raises HKTError naming
    a file that is damaged, or holds what neither HU nor labels can be.
    """
    from nibabel.orientations import apply_orientation

    axis = int(turn[:, 0].argmax())  # the stored one that becomes z
    count, cut = image.shape[axis], [slice(None)] * 3
    for first in range(0, count, THICK):
        last = min(first + THICK, count)
        cut[axis] = slice(first, last)
        hu, labels = _read(case.image, image, tuple(cut)), _read(case.mask, mask, tuple(cut))
        if not np.isfinite(hu).all():
            raise HKTError(
                f"{case.image} has values that are not finite in slices {first} to {last - 1}."
            )
        strange = np.setdiff1d(labels, LABELS)
        if strange.size:
            raise HKTError(
                f"{case.mask} has the label {strange[0]:g}; only {', '.join(map(str, LABELS))} "
                "(background, liver, tumour) are known."
            )
        start = first if turn[axis, 1] > 0 else count - last
        labels = labels.astype(np.uint8)
        yield start, apply_orientation(hu, turn).T, apply_orientation(labels, turn).T


def _read(path: Path, image, cut) -> np.ndarray:
    try:
        return np.asanyarray(image.dataobj[cut])
    except (OSError, EOFError, ValueError, zlib.error) as error:
        said = " ".join(str(error).split())[:80]
        raise HKTError(f"{path} is truncated or damaged ({said}); copy it again.") from None


# --- the slice cache ----------------------------------------------------------------------------


def _place(case: Case, size: int, home: Path) -> Path:
    """Where the slices of a case belong; another file, size or window has another place."""
    files = []
    for path in (case.image, case.mask):
        stat = path.stat()
        files.append([str(path.resolve()), stat.st_size, stat.st_mtime_ns])
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
            raise HKTError(
                f"Could not write the slices {place} ({error.strerror or error}); free some space "
                "or set HKT_RUNS to another folder."
            ) from error


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
    wanted = [number for chosen in numbers.values() for number in chosen]
    volumes = dict(zip(wanted, prepare([cases[number] for number in wanted], size, home)))
    return {name: [volumes[number] for number in chosen] for name, chosen in numbers.items()}
