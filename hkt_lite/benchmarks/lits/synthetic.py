"""CT phantoms of the upper abdomen, drawn from a seed: the embedded stand-in for LiTS.

    hu, labels, spacing = phantom("train", 0)         # int16 and uint8 {0, 1, 2}, (24, 64, 64); mm
    train = volumes("train", 40)                      # the same as 8-bit slices.Volume

A liver of two lobes with vessels and 0 to 6 lesions (none in one volume of ten, as in LiTS), most
of them darker than it, some with a bright rim or brighter, among the other organs.  HU are those of
the portal-venous phase in textbooks.  Voxels at a border hold both tissues.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from ...config import HKTError
from .. import drawing
from ..task import choose
from .slices import SPLITS, Volume, volume, windowed

FIELD, HEIGHT = 370.0, 190.0  # mm: the slice's side, and from the lowest to the highest slice
LONG = 1e4  # mm: half the length of what runs through all slices
AIR, FAT, MUSCLE, LUNG = -1000, -100, 55, -860  # HU
TISSUES = {
    "liver": (70, 125),
    "spleen": (100, 135),
    "kidney": (140, 200),
    "blood": (140, 190),
    "stomach": (0, 60),
    "bile": (0, 20),
    "bone": (400, 800),
    "marrow": (120, 250),
}
LESION_RADIUS = (9.0, 36.0)  # mm
LESION_CONTRAST = (25.0, 70.0)  # HU below the liver
NOISE = (8.0, 20.0)  # standard deviation in HU


def _anatomy(draw: drawing.Draw) -> dict:
    """Every number of a patient, drawn once, so that a volume can be made slab by slab.

    Centres and half axes in mm from the volume's centre: z up, y to the back, x to the left.
    """
    width, depth = draw(140, 172), draw(98, 122)
    a = {
        "body": (depth, width),
        "fat": draw(6, 26),
        "tilt": (draw(4, 10), draw(90, 160), draw(0, 1), draw(0, 1)),  # mm, period, two phases
        "shift": draw(-12, 12),
        "right": (
            np.array([draw(-5, 20), draw(-15, 5), -width * draw(0.42, 0.5)]),
            np.array([draw(62, 85), depth * draw(0.5, 0.62), width * draw(0.36, 0.46)]),
        ),
        "left": (
            np.array([draw(5, 30), -depth * draw(0.28, 0.42), -width * draw(0.0, 0.15)]),
            np.array([draw(35, 55), depth * draw(0.28, 0.38), width * draw(0.3, 0.45)]),
        ),
        "hu": {name: draw(*bounds) for name, bounds in TISSUES.items()},
        "vessels": [],  # start, end, radius
        "bowel": [],  # centre, half axes, HU of the content
    }
    a["hu"]["blood"] = max(a["hu"]["blood"], a["hu"]["liver"] + 15)
    porta = a["right"][0] + np.array([-10, 5, 0.62 * a["right"][1][2]])
    a["bile"] = porta + np.array([-25, -30, -10.0])
    for _ in range(5):
        centre, half = a["left" if draw(0, 1) < 0.3 else "right"]
        a["vessels"].append((porta, centre + 0.85 * half * draw(-0.7, 0.7, 3), draw(2.0, 5.5)))
    for _ in range(7):
        centre = (draw(-90, -25), depth * draw(-0.5, 0.1), width * draw(-0.1, 0.6))
        half = 15 + 10 * draw(0, 1, 3)
        a["bowel"].append((centre, half, -600 if draw(0, 1) < 0.3 else draw(0, 150)))
    count = 0 if draw(0, 1) < 0.1 else 1 + int(draw(0, 6))
    a["lesions"] = [_lesion(draw, a) for _ in range(count)]
    return a | {"noise": draw(*NOISE), "spread": draw(-8, 8, 3)}


def _lesion(draw: drawing.Draw, a: dict) -> tuple:
    """Centre, half axes, HU, HU of the rim or None; small ones are the most frequent."""
    liver = a["hu"]["liver"]
    centre, half = a["left" if draw(0, 1) < 0.2 else "right"]
    share = draw(0, 1)
    radius = LESION_RADIUS[0] + (LESION_RADIUS[1] - LESION_RADIUS[0]) * share * share
    place = centre + 0.78 * half * draw(-0.6, 0.6, 3)
    hu = liver + (draw(25, 55) if draw(0, 1) < 0.05 else -draw(*LESION_CONTRAST))
    rim = liver + draw(20, 50) if draw(0, 1) < 0.25 and radius > 12 else None
    return place, radius * (1 + 0.25 * draw(-1, 1, 3)), hu, rim


class _Canvas:
    """HU of some levels of a volume; a shape is a box and the coverage in it."""

    def __init__(self, anatomy: dict, size: int, slices: int, levels: range):
        self.pixel, self.thick = FIELD / size, HEIGHT / (slices - 1)
        z = ((np.array(levels) - (slices - 1) / 2) * self.thick).astype(np.float32)
        x = ((np.arange(size) - (size - 1) / 2) * self.pixel).astype(np.float32)
        self.axes = z, x - np.float32(anatomy["shift"]), x
        self.tilt = anatomy["tilt"]
        self.hu = np.full((len(z), size, size), AIR, np.float32)

    def _around(self, centre, reach, warp: bool):
        """Index ranges of a box, and z, y, x of its voxels; warped, organs bulge and lean."""
        sides = zip(self.axes, centre, reach)
        box = tuple(slice(*np.searchsorted(axis, [c - r, c + r])) for axis, c, r in sides)
        parts = [axis[part] for axis, part in zip(self.axes, box)]
        z, y, x = np.meshgrid(*parts, indexing="ij", sparse=True)
        if warp:
            size, period, one, two = self.tilt
            back, left = drawing.wave((x + z) / period + one), drawing.wave((y - z) / period + two)
            y, x = y + size * back, x + size * left
        return box, (z, y, x)

    def ellipsoid(self, centre, half, warp: bool = True):
        reach = np.array(half, float) + self.tilt[0] + self.pixel
        reach[0] += self.thick
        box, point = self._around(centre, reach, warp)
        parts = zip(point, centre, half)
        distance = (drawing.norm(*((p - c) / h for p, c, h in parts)) - 1) * min(half)
        return box, drawing.cover(distance, self.pixel).astype(np.float32)

    def tube(self, start, end, radius: float):
        """A vessel; a thin one never fills a voxel."""
        reach = np.abs(end - start) / 2 + radius + self.pixel + self.thick
        box, point = self._around((start + end) / 2, reach, warp=True)
        distance = drawing.segment(point, start, end) - radius
        most = min(1, 2 * radius / self.pixel)
        return box, drawing.cover(distance, self.pixel, most).astype(np.float32)

    def paint(self, shape, hu: float, within=None) -> np.ndarray:
        """Blend a tissue over what is there, as far as `within` allows; the coverage."""
        box, share = shape
        if within is not None:
            share = np.minimum(share, within[box])
        self.hu[box] = drawing.blend(self.hu[box], np.float32(hu), share)
        return share


def _organs(a: dict) -> Iterator[tuple]:
    """Centre, half axes, HU, warp of everything but the liver, from the skin inwards."""
    (depth, width), hu, wall, spread = a["body"], a["hu"], a["fat"], a["spread"]
    yield (0, 0, 0), (LONG, depth, width), FAT, False
    yield (0, 0, 0), (LONG, depth - wall, width - wall), MUSCLE, False
    yield (0, -4, 0), (LONG, depth - wall - 16, width - wall - 16), FAT + 10, False
    for side in (-1, 1):  # lungs above, flank muscles, kidneys below, ribs
        yield (120, 20, side * width * 0.48), (72, depth * 0.68, width * 0.38), LUNG, True
        flank = (-40, depth * 0.62, side * width * 0.28), (150, depth * 0.2, width * 0.18)
        yield *flank, MUSCLE, True
        kidney = (-62 + spread[0] * side, depth * 0.38, side * width * 0.46)
        yield kidney, (48, 26, 23), hu["kidney"], True
        yield kidney, (24, 9, 9), FAT + 60, True
        for k in range(-4, 5):
            rib = (k * 30 + spread[1], k * 9, side * (width - wall - 8))
            yield rib, (6, 22, 5), hu["bone"], False
    spine = depth * 0.62
    yield (0, spine, 0), (LONG, 21, 25), hu["bone"], False
    yield (0, spine, 0), (LONG, 18, 22), hu["marrow"], False
    yield (0, spine + 26, 0), (LONG, 9, 11), 30, False
    yield (0, spine - 34, 12), (LONG, 11, 11), hu["blood"], True
    yield (0, spine - 32, -18), (LONG, 10, 12), hu["blood"] - 15, True
    for centre, half, content in a["bowel"]:
        yield centre, half, 50, True
        yield centre, 0.75 * half, content, True
    yield (20 + spread[2], 18, width * 0.6), (46, 34, 24), hu["spleen"], True
    yield (5, -depth * 0.3, width * 0.42), (48, 32, 36), hu["stomach"], True
    yield (5, -depth * 0.3 - 20, width * 0.42), (30, 10, 22), -700, True


def _liver(canvas: _Canvas, a: dict) -> np.ndarray:
    """Paint liver, gall bladder, vessels and lesions; labels uint8 of the slab."""
    (depth, width), hu, wall = a["body"], a["hu"], a["fat"] + 14
    liver, inside, lesion = np.zeros((3, *canvas.hu.shape), np.float32)
    for name in ("right", "left"):
        box, lobe = canvas.ellipsoid(*a[name])
        liver[box] = np.maximum(liver[box], lobe)
    box, room = canvas.ellipsoid((0, -4, 0), (LONG, depth - wall, width - wall), warp=False)
    inside[box] = room
    liver = np.minimum(liver, inside)
    vein = canvas.ellipsoid((0, depth * 0.62 - 32, -18), (LONG, 13, 15))
    bladder = canvas.ellipsoid(a["bile"], (20, 15, 11))
    for box, other in (vein, bladder):
        liver[box] = np.minimum(liver[box], 1 - other)
    canvas.paint((..., liver), hu["liver"])
    canvas.paint(bladder, hu["bile"])
    for vessel in a["vessels"]:
        canvas.paint(canvas.tube(*vessel), hu["blood"], within=liver)
    for centre, half, value, rim in a["lesions"]:
        box, part = canvas.ellipsoid(centre, half)
        part = canvas.paint((box, part), value if rim is None else rim, within=liver)
        lesion[box] = np.maximum(lesion[box], part)
        if rim is not None:
            canvas.paint(canvas.ellipsoid(centre, half * 0.72), value, within=liver)
    return (liver > 0.5).astype(np.uint8) + ((lesion > 0.5) & (liver > 0.5))


def phantom(
    split: str,
    number: int,
    size: int = 64,
    slices: int = 24,
    seed: int = 0,
    part: range | None = None,
) -> tuple[np.ndarray, np.ndarray, tuple[float, float, float]]:
    """(HU int16, labels uint8, spacing in mm) of a volume of 'train', 'val' or 'test'.

    Arrays are (slices, size, size), or those slices of them that are in `part`.  Raises HKTError
    for an unknown split and a size below 32 pixels or 2 slices.
    """
    choose("split", split, SPLITS)
    if size < 32 or slices < 2:
        raise HKTError(f"A phantom needs at least 32 pixels and 2 slices, got {size} and {slices}.")
    levels = part or range(slices)
    anatomy = _anatomy(drawing.Draw(drawing.generator("phantom", seed, split, number)))
    canvas = _Canvas(anatomy, size, slices, levels)
    for centre, half, hu, warp in _organs(anatomy):
        canvas.paint(canvas.ellipsoid(centre, half, warp), hu)
    labels = _liver(canvas, anatomy)
    for level, plane in zip(levels, canvas.hu):  # slightly smooth, as reconstructed CT is
        random = drawing.generator("noise", seed, split, number, level)
        noise = drawing.triangular(random, (size + 2, size + 2)) * drawing.SQRT6
        plane += np.float32(anatomy["noise"]) * (drawing.binomial(noise) / np.float32(6))
    hu = np.clip(np.floor(canvas.hu + np.float32(0.5)), -1024, 3071).astype(np.int16)
    return hu, labels, (canvas.thick, canvas.pixel, canvas.pixel)


@lru_cache(maxsize=8)
def volumes(split: str, count: int, size: int = 64) -> list[Volume]:
    """The first `count` phantoms of a split; a smaller count is a prefix of a larger one."""
    drawn = [phantom(split, number, size) for number in range(count)]
    return [
        volume(f"phantom {split} {number}", windowed(hu), labels, spacing)
        for number, (hu, labels, spacing) in enumerate(drawn)
    ]
