"""CT phantoms of the upper abdomen, drawn from a seed: the embedded stand-in for LiTS where there are no real scans.

    volume, labels, spacing = phantom("train", 0)               # int16 HU and uint8 {0, 1, 2}, (24, 64, 64); mm between slices, rows, columns
    train = volumes("train", 40)                                # the same as 8-bit slices, a list of slices.Volume
    write_lits(root, [0, 1, 2], size=128, slices=40)            # volume-N.nii, segmentation-N.nii, for the reader of the official layout

Body, fat, ribs, spine, aorta, lungs, spleen, kidneys, stomach, gall bladder; a liver of two lobes with vessels and 0 to 6 lesions (one volume
in ten has none, as in LiTS), most of them darker than the liver, some with a bright rim or brighter.  HU are those of the portal-venous
phase in textbooks.  Voxels at a border hold both tissues (partial volume), noise is that of a thin reconstruction.  As in synthetic.py only
+ - * / and roots are used on the grid, so that a seed gives the same bytes on every machine.
"""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path

import numpy as np

from ...config import HKTError, nearest
from .slices import SPLITS, Volume, volume, windowed

FIELD, HEIGHT = 370.0, 190.0  # mm: the slice's side, and from the lowest to the highest slice
AIR, FAT, MUSCLE, LUNG = -1000, -100, 55, -860  # HU
LIVER, SPLEEN, KIDNEY, BLOOD = (70, 125), (100, 135), (140, 200), (140, 190)
STOMACH, BILE, BONE, MARROW = (0, 60), (0, 20), (400, 800), (120, 250)
LESION_RADIUS = (9.0, 36.0)  # mm
LESION_CONTRAST = (25.0, 70.0)  # HU below the liver
NOISE = (8.0, 20.0)  # standard deviation in HU


class _Draw:
    """Uniform numbers of one volume; only Generator.random is called, the least likely of NumPy's draws to change."""

    def __init__(self, *names):
        digest = hashlib.sha256(repr(names).encode()).digest()
        self.generator = np.random.Generator(
            np.random.Philox(key=int.from_bytes(digest[:16], "little"))
        )

    def __call__(self, low: float, high: float) -> float:
        return float(low + (high - low) * self.generator.random())

    def point(self, low: float, high: float) -> np.ndarray:
        """(z, y, x), each uniform in [low, high)."""
        return low + (high - low) * self.generator.random(3)

    def chance(self, p: float) -> bool:
        return bool(self.generator.random() < p)


def _wave(t):
    """A smooth wave of period 1 between -1 and 1, of parabolas: the sine without its library."""
    t = 2 * (t - np.floor(t)) - 1
    return 4 * t * (1 - np.abs(t))


class _Canvas:
    """Slices `first` to `last` of a volume; coordinates in mm around its centre, y to the back, x to the patient's left, z up."""

    def __init__(self, size: int, slices: int, first: int, last: int, tilt: tuple[float, ...]):
        self.pixel, self.thick = FIELD / size, HEIGHT / max(slices - 1, 1)
        self.z = ((np.arange(first, last) - (slices - 1) / 2) * self.thick).astype(np.float32)
        self.y = self.x = ((np.arange(size) - (size - 1) / 2) * self.pixel).astype(np.float32)
        self.tilt = tilt  # the warp's size in mm, period and phases
        self.shape = (len(self.z), size, size)
        self.hu = np.full(self.shape, AIR, np.float32)

    def _box(self, centre, reach):
        """Index ranges of the box around a shape: slices of z, y and x."""
        edges = [
            (np.searchsorted(axis, c - r), np.searchsorted(axis, c + r))
            for axis, c, r in zip((self.z, self.y, self.x), centre, reach)
        ]
        return tuple(slice(int(a), int(b)) for a, b in edges)

    def _coordinates(self, box):
        """Warped coordinates of a box's voxels, broadcastable: organs bulge and lean instead of being ellipsoids."""
        z, y, x = self.z[box[0], None, None], self.y[None, box[1], None], self.x[None, None, box[2]]
        size, period, one, two = self.tilt
        return z, y + size * _wave((x + z) / period + one), x + size * _wave((y - z) / period + two)

    def ellipsoid(self, centre, half, warp: bool = True):
        """(box, coverage 0 … 1 of its voxels) of an ellipsoid; the edge is one voxel wide, which is the partial volume."""
        box = self._box(
            centre,
            [
                h + self.tilt[0] + self.pixel + (self.thick if i == 0 else 0)
                for i, h in enumerate(half)
            ],
        )
        z, y, x = (
            self._coordinates(box)
            if warp
            else (
                self.z[box[0], None, None],
                self.y[None, box[1], None],
                self.x[None, None, box[2]],
            )
        )
        square = (
            ((z - centre[0]) / half[0]) ** 2
            + ((y - centre[1]) / half[1]) ** 2
            + ((x - centre[2]) / half[2]) ** 2
        )
        distance = (np.sqrt(square) - 1) * min(half)
        return box, np.clip(0.5 - distance / self.pixel, 0, 1).astype(np.float32)

    def tube(self, start, end, radius):
        """(box, coverage) of a vessel from one point to another, `radius` mm thick; a thin one never fills a voxel."""
        start, end = np.asarray(start), np.asarray(end)
        box = self._box(
            (start + end) / 2, np.abs(end - start) / 2 + radius + self.pixel + self.thick
        )
        z, y, x = self._coordinates(box)
        step = end - start
        along = np.clip(
            ((z - start[0]) * step[0] + (y - start[1]) * step[1] + (x - start[2]) * step[2])
            / (step * step).sum(),
            0,
            1,
        )
        square = (
            (z - start[0] - along * step[0]) ** 2
            + (y - start[1] - along * step[1]) ** 2
            + (x - start[2] - along * step[2]) ** 2
        )
        return box, np.clip(
            (radius - np.sqrt(square)) / self.pixel + 0.5, 0, min(1, 2 * radius / self.pixel)
        ).astype(np.float32)

    def paint(self, shape, hu: float, within=None):
        """Blend a tissue of `hu` over what is there, where (and as far as) `within` allows; returns the coverage."""
        box, cover = shape
        if within is not None:
            cover = np.minimum(cover, within[box])
        self.hu[box] += (np.float32(hu) - self.hu[box]) * cover
        return cover


def _anatomy(draw: _Draw) -> dict:
    """Every number that describes one patient, drawn once, so that a volume can be made slab by slab."""
    width, depth = draw(140, 172), draw(98, 122)
    sizes = {
        "body": (depth, width),
        "fat": draw(6, 26),
        "tilt": (draw(4, 10), draw(90, 160), draw(0, 1), draw(0, 1)),
        "shift": draw(-12, 12),
    }
    right = (
        np.array([draw(-5, 20), draw(-15, 5), -width * draw(0.42, 0.5)]),
        np.array([draw(62, 85), depth * draw(0.5, 0.62), width * draw(0.36, 0.46)]),
    )
    left = (
        np.array([draw(5, 30), -depth * draw(0.28, 0.42), -width * draw(0.0, 0.15)]),
        np.array([draw(35, 55), depth * draw(0.28, 0.38), width * draw(0.3, 0.45)]),
    )
    ranges = {
        "liver": LIVER,
        "spleen": SPLEEN,
        "kidney": KIDNEY,
        "blood": BLOOD,
        "stomach": STOMACH,
        "bile": BILE,
        "bone": BONE,
        "marrow": MARROW,
    }
    tissue = {name: draw(*bounds) for name, bounds in ranges.items()}
    tissue["blood"] = max(tissue["blood"], tissue["liver"] + 15)
    porta = right[0] + np.array([-10, 5, 0.62 * right[1][2]])
    vessels = []
    for _ in range(5):
        lobe = left if draw.chance(0.3) else right
        vessels.append((porta, lobe[0] + 0.85 * lobe[1] * draw.point(-0.7, 0.7), draw(2.0, 5.5)))
    bowel = [
        (
            (draw(-90, -25), depth * draw(-0.5, 0.1), width * draw(-0.1, 0.6)),
            15 + 10 * draw.point(0, 1),
            -600 if draw.chance(0.3) else draw(0, 150),
        )
        for _ in range(7)
    ]
    return {
        **sizes,
        "bowel": bowel,
        "right": right,
        "left": left,
        "hu": tissue,
        "vessels": vessels,
        "lesions": _lesions(draw, right, left, tissue["liver"]),
        "noise": draw(*NOISE),
        "bile": porta + np.array([-25, -30, -10.0]),
        "spread": draw.point(-8, 8),
    }


def _lesions(draw: _Draw, right, left, liver: float) -> list[tuple]:
    """(centre, half axes, HU, HU of the rim) of 0 to 6 lesions; small ones are the most frequent, as in patients."""
    count = 0 if draw.chance(0.1) else 1 + int(draw(0, 6))
    found = []
    for _ in range(count):
        centre, half = left if draw.chance(0.2) else right
        share = draw(0, 1)
        radius = LESION_RADIUS[0] + (LESION_RADIUS[1] - LESION_RADIUS[0]) * share * share
        place = centre + 0.78 * half * draw.point(-0.6, 0.6)
        hu = liver + (draw(25, 55) if draw.chance(0.05) else -draw(*LESION_CONTRAST))
        rim = liver + draw(20, 50) if draw.chance(0.25) and radius > 12 else None
        found.append((place, radius * (1 + 0.25 * draw.point(-1, 1)), hu, rim))
    return found


def _organs(canvas: _Canvas, a: dict) -> None:
    """Everything but the liver, from the skin inwards."""
    (depth, width), hu, inner = a["body"], a["hu"], a["fat"]
    canvas.paint(canvas.ellipsoid((0, 0, 0), (1e4, depth, width), warp=False), FAT)
    canvas.paint(
        canvas.ellipsoid((0, 0, 0), (1e4, depth - inner, width - inner), warp=False), MUSCLE
    )
    cavity = (1e4, depth - inner - 16, width - inner - 16)
    canvas.paint(canvas.ellipsoid((0, -4, 0), cavity, warp=False), FAT + 10)
    for side in (-1, 1):  # lungs above, flank muscles, kidneys below
        canvas.paint(
            canvas.ellipsoid((120, 20, side * width * 0.48), (72, depth * 0.68, width * 0.38)), LUNG
        )
        canvas.paint(
            canvas.ellipsoid(
                (-40, depth * 0.62, side * width * 0.28), (150, depth * 0.2, width * 0.18)
            ),
            MUSCLE,
        )
        kidney = (-62 + a["spread"][0] * side, depth * 0.38, side * width * 0.46)
        canvas.paint(canvas.ellipsoid(kidney, (48, 26, 23)), hu["kidney"])
        canvas.paint(canvas.ellipsoid(kidney, (24, 9, 9)), FAT + 60)
        for k in range(-4, 5):  # ribs: short bright strokes in the wall
            height = k * 30 + a["spread"][1]
            canvas.paint(
                canvas.ellipsoid(
                    (height, k * 9, side * (width - inner - 8)), (6, 22, 5), warp=False
                ),
                hu["bone"],
            )
    spine = depth * 0.62
    canvas.paint(canvas.ellipsoid((0, spine, 0), (1e4, 21, 25), warp=False), hu["bone"])
    canvas.paint(canvas.ellipsoid((0, spine, 0), (1e4, 18, 22), warp=False), hu["marrow"])
    canvas.paint(canvas.ellipsoid((0, spine + 26, 0), (1e4, 9, 11), warp=False), 30)
    canvas.paint(canvas.ellipsoid((0, spine - 34, 12), (1e4, 11, 11)), hu["blood"])
    canvas.paint(canvas.ellipsoid((0, spine - 32, -18), (1e4, 10, 12)), hu["blood"] - 15)
    for centre, half, content in a["bowel"]:
        canvas.paint(canvas.ellipsoid(centre, half), 50)
        canvas.paint(canvas.ellipsoid(centre, 0.75 * half), content)
    canvas.paint(
        canvas.ellipsoid((20 + a["spread"][2], 18, width * 0.6), (46, 34, 24)), hu["spleen"]
    )
    canvas.paint(canvas.ellipsoid((5, -depth * 0.3, width * 0.42), (48, 32, 36)), hu["stomach"])
    canvas.paint(canvas.ellipsoid((5, -depth * 0.3 - 20, width * 0.42), (30, 10, 22)), -700)


def _liver(canvas: _Canvas, a: dict) -> np.ndarray:
    """Liver, vessels, gall bladder and lesions; returns labels uint8 of the slab."""
    hu, cover, lesion = (
        a["hu"],
        np.zeros(canvas.shape, np.float32),
        np.zeros(canvas.shape, np.float32),
    )
    for name in ("right", "left"):
        box, part = canvas.ellipsoid(*a[name])
        cover[box] = np.maximum(cover[box], part)
    (depth, width), wall = a["body"], a["fat"] + 14
    box, room = canvas.ellipsoid((0, -4, 0), (1e4, depth - wall, width - wall), warp=False)
    inside = np.zeros(canvas.shape, np.float32)
    inside[box] = room
    cover = np.minimum(cover, inside)
    box, vein = canvas.ellipsoid(
        (0, depth * 0.62 - 32, -18), (1e4, 13, 15)
    )  # the spine and the great vessels stay free
    cover[box] = np.minimum(cover[box], 1 - vein)
    box, bladder = canvas.ellipsoid(a["bile"], (20, 15, 11))
    cover[box] = np.minimum(cover[box], 1 - bladder)
    canvas.paint(((slice(None),) * 3, cover), hu["liver"])
    canvas.paint((box, bladder), hu["bile"])
    for start, end, radius in a["vessels"]:
        canvas.paint(canvas.tube(start, end, radius), hu["blood"], within=cover)
    for centre, half, value, rim in a["lesions"]:
        shape = canvas.ellipsoid(centre, half)
        lesion[shape[0]] = np.maximum(
            lesion[shape[0]], canvas.paint(shape, value if rim is None else rim, within=cover)
        )
        if rim is not None:
            canvas.paint(canvas.ellipsoid(centre, half * 0.72), value, within=cover)
    return (cover > 0.5).astype(np.uint8) + ((lesion > 0.5) & (cover > 0.5)).astype(np.uint8)


def _noise(size: int, *names) -> np.ndarray:
    """One slice of unit noise (size, size) float32, slightly smooth as reconstructed CT is: triangular numbers under a 1-2-1 mask."""
    random = _Draw(*names).generator.random
    raw = (
        random((size + 2, size + 2), np.float32) - random((size + 2, size + 2), np.float32)
    ) * np.float32(6**0.5)
    rows = raw[:-2] + 2 * raw[1:-1] + raw[2:]
    return (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / np.float32(6.0)


def slab(
    split: str, number: int, size: int, slices: int, first: int, last: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Slices first … last - 1 of a phantom: (HU int16, labels uint8), each (last - first, size, size).  Independent of how a volume is cut."""
    anatomy = _anatomy(_Draw("phantom", seed, split, number))
    canvas = _Canvas(size, slices, first, last, anatomy["tilt"])
    canvas.y = canvas.y - np.float32(anatomy["shift"])
    _organs(canvas, anatomy)
    labels = _liver(canvas, anatomy)
    for k in range(last - first):
        canvas.hu[k] += np.float32(anatomy["noise"]) * _noise(
            size, "noise", seed, split, number, first + k
        )
    return np.clip(np.floor(canvas.hu + np.float32(0.5)), -1024, 3071).astype(np.int16), labels


def phantom(
    split: str, number: int, size: int = 64, slices: int = 24, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, tuple[float, float, float]]:
    """(HU int16, labels uint8, spacing mm) of volume `number` of 'train', 'val' or 'test'; arrays (slices, size, size).

    Splits come from independent random streams.  Raises HKTError for an unknown split and a size below 32 pixels or 2 slices.
    """
    if split not in SPLITS:
        raise HKTError(f"The phantoms have no split {split!r}.{nearest(split, SPLITS)}")
    if size < 32 or slices < 2:
        raise HKTError(f"A phantom needs at least 32 pixels and 2 slices, got {size} and {slices}.")
    hu, labels = slab(split, number, size, slices, 0, slices, seed)
    return hu, labels, (HEIGHT / (slices - 1), FIELD / size, FIELD / size)


@lru_cache(maxsize=8)
def volumes(
    split: str, count: int, size: int = 64, slices: int = 24, seed: int = 0
) -> list[Volume]:
    """The first `count` phantoms of a split as 8-bit slices; a smaller count is a prefix of a larger one."""
    found = []
    for number in range(count):
        hu, labels, spacing = phantom(split, number, size, slices, seed)
        found.append(volume(f"phantom {split} {number}", windowed(hu), labels, spacing))
    return found


def write_lits(
    root: Path, numbers, size: int = 64, slices: int = 24, seed: int = 0, suffix: str = ".nii"
) -> Path:
    """Write phantoms under `root` as volume-N.nii (int16) and segmentation-N.nii (uint8), N in `numbers`, slab by slab.

    They are stored as LiTS is, first axis to the patient's left, in mm.  Returns the folder; refuses a file that is there already.
    """
    root = Path(root)
    root.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        targets = [root / f"{name}-{number}{suffix}" for name in ("volume", "segmentation")]
        if there := [path for path in targets if path.exists()]:
            raise HKTError(f"{there[0]} is there already; name another folder or remove it first.")
        _write(targets, number, size, slices, seed)
    return root


def _write(
    targets: list[Path], number: int, size: int, slices: int, seed: int, thick: int = 16
) -> None:
    """Both files of one volume, whole or not at all; only `thick` slices are in memory at a time."""
    from contextlib import ExitStack

    import nibabel as nib
    from nibabel.openers import ImageOpener

    spacing = (FIELD / size, FIELD / size, HEIGHT / (slices - 1))
    affine = np.diag(
        [-spacing[0], -spacing[1], spacing[2], 1.0]
    )  # voxel (x, y, z) -> left, back, up are the axes' ends
    affine[:3, 3] = [spacing[0] * size / 2, spacing[1] * size / 2, 0]
    parts = [path.with_name(f".{os.getpid()}.part.{path.name}") for path in targets]
    try:
        with ExitStack() as stack:
            files = [stack.enter_context(ImageOpener(str(part), "wb")) for part in parts]
            for file, kind in zip(files, (np.int16, np.uint8)):
                header = nib.Nifti1Header()
                header.set_data_dtype(kind)
                header.set_data_shape((size, size, slices))
                header.set_sform(affine, 1)
                header.set_qform(affine, 1)
                header.set_xyzt_units("mm")
                header["vox_offset"], header["magic"], header["scl_slope"], header["scl_inter"] = (
                    352,
                    b"n+1",
                    1,
                    0,
                )
                file.write(header.binaryblock + b"\0" * 4)
            for first in range(0, slices, thick):
                for file, array in zip(
                    files,
                    slab("train", number, size, slices, first, min(first + thick, slices), seed),
                ):
                    file.write(array.tobytes())  # (z, y, x) with x fastest is NIfTI's order
        for part, path in zip(parts, targets):
            os.replace(part, path)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


def lookalike(
    root: Path, numbers=range(131), large: int = 3, size: int = 128, slices: int = 60, seed: int = 0
) -> Path:
    """131 volumes in LiTS's layout, the first `large` of them at its real size of 512 x 512 x 600 (315 MB and 157 MB each), the others small.

    For measuring the reader: it takes about a minute a large volume and never more than 16 slices of memory.
    """
    numbers = list(numbers)
    write_lits(root, numbers[:large], 512, 600, seed)
    return write_lits(root, numbers[large:], size, slices, seed)
