"""LiTS (Bilic et al., 2023) from its official NIfTI files, or the Decathlon's Task03_Liver: 131 CT volumes with liver and tumour labels.

    cases = index(root);  check(cases)                          # pairs of files, and everything that may be wrong with them
    parts = load(root, size=256)                                # {"train": [slices.Volume, …], "val": …, "test": …}, memory-mapped

A volume is read a slab of slices at a time, turned so that the patient's right is on the left of the image, windowed, resized in-plane and
kept as 8-bit slices in a cache on disk.  A volume's place in the cache appears when it is whole; a build that was cut off goes on behind
the last whole one.  The committed split is by volume number, in both layouts.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...config import PROJECT, HKTError, canonical, runs_home
from .slices import SPLITS, WINDOW, Volume, resized, split_list, windowed

FOLDERS = ("LiTS", "Task03_Liver")  # under HKT_DATA
SPLIT = PROJECT / "data" / "splits" / "lits.json"
NAME = re.compile(r"(volume|segmentation)-(\d+)\.nii(?:\.gz)?")
LABELS = (0, 1, 2)  # background, liver, tumour
THICK = 16  # slices in memory at a time: 32 MB of a 512 x 512 volume as float64
MADE_AS = 1  # of the cache: raise it when its contents would change
SAME = 1e-2  # mm by which two affines may differ, which is how headers are rounded


class Case(NamedTuple):
    number: int
    image: Path
    mask: Path


def present(root: Path) -> Path | None:
    """The folder under `root` that holds LiTS or Task03_Liver, if one does."""
    for name in FOLDERS:
        folder = Path(root) / name
        if folder.is_dir() and any(True for _ in _named(folder)):
            return folder
    return None


def _named(root: Path) -> Iterator[tuple[str, int, Path]]:
    """(volume or segmentation, number, file) of either layout; whatever else lies there is left alone."""
    for path in sorted(Path(root).rglob("*.nii*")):
        if path.name.startswith(
            "."
        ):  # the Decathlon's archives hold '._liver_1.nii.gz' of another system
            continue
        if found := NAME.fullmatch(path.name):
            yield found[1], int(found[2]), path
        elif (
            found := re.fullmatch(r"liver_(\d+)\.nii(?:\.gz)?", path.name)
        ) and path.parent.name in ("imagesTr", "labelsTr"):
            yield (
                ("volume" if path.parent.name == "imagesTr" else "segmentation"),
                int(found[1]),
                path,
            )


def index(root: Path) -> list[Case]:
    """The cases under `root` by number, in whichever subfolders their files lie.

    Raises HKTError naming the file that lacks its partner or is there twice, or the folder that holds none.
    """
    found: dict[str, dict[int, Path]] = {"volume": {}, "segmentation": {}}
    for kind, number, path in _named(root):
        if number in found[kind]:
            raise HKTError(
                f"{path} and {found[kind][number]} are both the {kind} of case {number}; remove one of them."
            )
        found[kind][number] = path
    images, masks = found["volume"], found["segmentation"]
    if not images and not masks:
        raise HKTError(
            f"There are no volume-N.nii and segmentation-N.nii (LiTS) or imagesTr/ and labelsTr/ (Task03_Liver) under {root}."
        )
    for number in sorted(images.keys() ^ masks.keys()):
        path, other = (
            (images[number], "segmentation") if number in images else (masks[number], "volume")
        )
        raise HKTError(
            f"{path} has no {other} of the same number; add that file or remove this one."
        )
    return [Case(number, images[number], masks[number]) for number in sorted(images)]


# --- looking at files -------------------------------------------------------------------------------------------------


def _opened(path: Path):
    """The NIfTI image, nothing of its voxels read.  Raises HKTError naming a file that is no NIfTI, truncated, not 3-D or without orientation."""
    import nibabel as nib

    try:
        image = nib.load(
            path, keep_file_open=True
        )  # or each slab of a .nii.gz would be unpacked from its beginning
    except FileNotFoundError:
        raise HKTError(f"There is no {path}.") from None
    except Exception as error:  # a damaged header can raise nearly anything
        raise HKTError(
            f"{path} is not a readable NIfTI file ({str(error).splitlines()[0][:90]}); copy it again."
        ) from None
    needed = image.dataobj.offset + int(np.prod(image.shape)) * image.get_data_dtype().itemsize
    if path.suffix != ".gz" and (size := path.stat().st_size) < needed:
        raise HKTError(
            f"{path} is truncated: its header announces {needed:,} bytes and it has {size:,}; copy it again."
        )
    if len(image.shape) != 3 or min(image.shape) < 1:
        raise HKTError(
            f"{path} has shape {image.shape}; a CT volume or its labels have three dimensions."
        )
    matrix = image.affine[:3, :3]
    if not np.isfinite(image.affine).all() or abs(np.linalg.det(matrix)) < 1e-9:
        raise HKTError(
            f"{path} has no valid orientation: its affine is singular; repair its header (sform or qform)."
        )
    return image


def _codes(image) -> str:
    import nibabel as nib

    return "".join(nib.aff2axcodes(image.affine))


def _pair(case: Case):
    """Both images of a case, whose geometry agrees.  Raises HKTError naming the mask otherwise."""
    image, mask = _opened(case.image), _opened(case.mask)
    if image.shape != mask.shape:
        raise HKTError(
            f"{case.mask} has shape {mask.shape} and its image {case.image.name} has {image.shape}; they must be the same."
        )
    if _codes(image) != _codes(mask):
        raise HKTError(
            f"{case.mask} is oriented {_codes(mask)} and its image {case.image.name} {_codes(image)}: mixed orientations within "
            "a case; resample one of them onto the other."
        )
    if not np.allclose(image.affine, mask.affine, atol=SAME):
        worst = float(np.abs(image.affine - mask.affine).max())
        raise HKTError(
            f"{case.mask} has another affine than its image {case.image.name} (they differ by up to {worst:.3g} mm); resample one "
            "of them onto the other."
        )
    return image, mask


def _slabs(case: Case, image, mask) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """(first slice, HU (z, y, x), labels uint8 (z, y, x)) from one end of the patient to the other, in the order in which the file is stored.

    Axes are turned to left, posterior, superior whatever the file's are.  Raises HKTError naming the file.
    """
    import nibabel as nib
    from nibabel.orientations import apply_orientation, axcodes2ornt, ornt_transform

    turn = ornt_transform(nib.io_orientation(image.affine), axcodes2ornt("LPS"))
    axis = int(np.flatnonzero(turn[:, 0] == 2)[0])
    count = image.shape[axis]
    for first in range(0, count, THICK):
        last = min(first + THICK, count)
        cut = tuple(slice(first, last) if k == axis else slice(None) for k in range(3))
        hu, labels = _read(case.image, image, cut), _read(case.mask, mask, cut)
        if not np.isfinite(hu).all():
            raise HKTError(
                f"{case.image} has values that are not finite between slices {first} and {last - 1}."
            )
        if (strange := np.setdiff1d(np.unique(labels), LABELS)).size:
            raise HKTError(
                f"{case.mask} has the label {strange[0]:g}; only {', '.join(map(str, LABELS))} (background, liver, tumour) are known."
            )
        start = first if turn[axis, 1] > 0 else count - last
        yield (
            start,
            apply_orientation(hu, turn).T,
            apply_orientation(labels.astype(np.uint8), turn).T,
        )


def _read(path: Path, image, cut) -> np.ndarray:
    try:
        return np.asanyarray(image.dataobj[cut])
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise HKTError(
            f"{path} is truncated or damaged ({str(error).splitlines()[0][:80]}); copy it again."
        ) from None


def check(cases: Iterable[Case], voxels: bool = True) -> list[tuple[int, ...]]:
    """Shape of each case in the file's own order, after looking at all headers and, with `voxels`, at every slab.

    Raises HKTError, one sentence that names the first bad file.  Cases may be stored in different orientations: they are turned alike.
    """
    cases = list(cases)
    shapes = [_pair(case)[0].shape for case in cases]  # all headers first: they take no time
    for case in cases if voxels else ():
        for _ in _slabs(case, *_pair(case)):
            pass
    return shapes


# --- the slice cache --------------------------------------------------------------------------------------------------


def cache_home() -> Path:
    return runs_home() / "slices"


def _place(case: Case, size: int, home: Path) -> Path:
    """Where the slices of a case belong; another file, size or window has another place."""
    files = [
        [str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns]
        for path in (case.image, case.mask)
    ]
    digest = hashlib.sha256(canonical([MADE_AS, files, size, WINDOW, LABELS]).encode()).hexdigest()
    return home / f"{case.number:03d}-{size}-{digest[:12]}"


def build(case: Case, size: int, place: Path) -> Path:
    """The slices of one case in the folder `place`: x.npy, y.npy, about.json.  Written beside it and renamed when whole.

    Holds THICK slices in memory.  Raises HKTError naming the bad file, or when the disk refuses; nothing half-written is left then.
    """
    image, mask = _pair(case)
    part = place.with_name(f".{place.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        _fill(case, image, mask, size, part)
        os.replace(part, place)
    except OSError as error:
        if place.is_dir():  # another process was faster
            return place
        raise HKTError(
            f"Could not write the slices {place} ({error.strerror or error}); free some space or set HKT_RUNS to "
            "another folder."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return place


def _fill(case: Case, image, mask, size: int, part: Path) -> None:
    import nibabel as nib

    axes = nib.io_orientation(image.affine)[:, 0].astype(
        int
    )  # of each stored axis: 0 left-right, 1 front-back, 2 up
    side = {
        axis: (int(n), float(mm))
        for axis, n, mm in zip(axes, image.shape, nib.affines.voxel_sizes(image.affine))
    }
    shape = (side[2][0], size, size)
    x, y = (
        np.lib.format.open_memmap(part / name, "w+", np.uint8, shape) for name in ("x.npy", "y.npy")
    )
    top, digests = np.zeros(shape[0], np.uint8), []
    for first, hu, labels in _slabs(case, image, mask):
        last = first + len(hu)
        x[first:last] = resized(windowed(hu), size)
        y[first:last] = resized(labels, size, labels=True)
        top[first:last] = y[first:last].max((1, 2))
        digests.append(
            [first, hashlib.sha256(x[first:last].tobytes() + y[first:last].tobytes()).hexdigest()]
        )
    x.flush(), y.flush()
    about = {
        "name": f"LiTS {case.number}",
        "spacing": [side[2][1], side[1][1] * side[1][0] / size, side[0][1] * side[0][0] / size],
        "top": top.tolist(),
        "digest": hashlib.sha256(canonical(sorted(digests)).encode()).hexdigest(),
    }
    (part / "about.json").write_text(json.dumps(about), encoding="utf-8")


def _mapped(place: Path) -> Volume:
    """A volume of the cache; its voxels stay on disk until they are looked at."""
    from ...files import read_json

    about = read_json(place / "about.json", "slice cache")
    x, y = (np.load(place / name, mmap_mode="r") for name in ("x.npy", "y.npy"))
    return Volume(
        about["name"],
        x,
        y,
        tuple(about["spacing"]),
        np.array(about["top"], np.uint8),
        about["digest"],
    )


def prepare(cases: Iterable[Case], size: int, home: Path | None = None) -> list[Volume]:
    """The cases as memory-mapped 8-bit slices (Z, size, size), building what the cache lacks, with a bar where somebody watches.

    Raises HKTError naming the bad file; all headers are looked at before the first volume is built.
    """
    from tqdm import tqdm

    cases, home = list(cases), home or cache_home()
    places = [_place(case, size, home) for case in cases]
    missing = [(case, place) for case, place in zip(cases, places) if not place.is_dir()]
    check((case for case, _ in missing), voxels=False)
    for case, place in tqdm(missing, "slices", unit="volume", disable=None if missing else True):
        build(case, size, place)
        for leftover in home.glob(f".{place.name}.*.part"):  # of a build that was killed
            shutil.rmtree(leftover, ignore_errors=True)
    return [_mapped(place) for place in places]


def load(root: Path, size: int, home: Path | None = None) -> dict[str, list[Volume]]:
    """{'train', 'val', 'test'} -> volumes under `root`, as the committed split says; part of the 131 is enough if no split is empty.

    Raises HKTError naming the file, the number that the split does not know, or the split that has no volume.
    """
    cases, lists = index(root), split_list(SPLIT)
    known = {number: name for name in SPLITS for number in lists[name]}
    if strange := [case for case in cases if case.number not in known]:
        raise HKTError(
            f"{strange[0].image} has a number that {SPLIT} does not list; its split is unknown."
        )
    for name in SPLITS:
        if not any(known[case.number] == name for case in cases):
            raise HKTError(
                f"{root} has no volume of the split {name!r} ({SPLIT.name} lists {', '.join(map(str, lists[name][:3]))}, …); add one."
            )
    found: dict[str, list[Volume]] = {name: [] for name in SPLITS}
    for case, mapped in zip(cases, prepare(cases, size, home)):
        found[known[case.number]].append(mapped)
    return found
