"""Ten figures in 32 x 32 pixels, drawn from a seed: the embedded stand-in for CIFAR-10 where there are no real images.

A class is a figure's shape and nothing else.  Position, size, rotation, colour, texture of figure and ground, lighting,
noise and distracting fragments are drawn at random for every image.  On the pixel grid only + - * / and roots are used,
which IEEE 754 rounds the same way everywhere, so that a seed gives the same bytes on every machine.
"""

from __future__ import annotations

import hashlib
import pickle
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from ...config import HKTError, nearest
from .data import FOLDER, Images

CLASSES = [
    "disc",
    "ring",
    "arc",
    "crescent",
    "square",
    "triangle",
    "star",
    "cross",
    "chevron",
    "pair",
]
SPLITS = ("train", "val", "test")
SIDE, CHUNK = 32, 250  # pixels; images drawn from one random stream
RADIUS = (6.0, 13.0)  # of the figure, in pixels
FRAGMENTS = 5  # distractors, half of them in front of the figure
TURN = 40  # degrees the figure is rotated by at most, either way
INVERTED = 0.15  # share of images with a dark figure on light ground
CONTRAST = (0.20, 0.9)  # between figure and ground, of a channel's range
GROUND_TEXTURE, FIGURE_TEXTURE = 0.5, 0.5  # most a texture changes a channel
NOISE = (0.01, 0.10)  # standard deviation, of a channel's range


# -- figures: signed distance (negative inside) of points u, v in units of the figure's radius ------------------------


def _radius(u, v):
    return np.sqrt(u * u + v * v)


def _box(u, v, width, height):
    return np.maximum(np.abs(u) - width, np.abs(v) - height)


def _segment(u, v, a, b, thickness):
    """Distance to the segment from point a to point b, less its half thickness."""
    (x, y), (dx, dy) = a, (b[0] - a[0], b[1] - a[1])
    along = np.clip(((u - x) * dx + (v - y) * dy) / (dx * dx + dy * dy), 0, 1)
    return _radius(u - x - along * dx, v - y - along * dy) - thickness


def _ring(u, v):
    return np.abs(_radius(u, v) - 0.7) - 0.22


def _star(u, v):
    """Five points: two mirrors fold the plane onto half of one point, whose edge is a straight line."""
    cos, sin = 0.80901699, 0.58778525  # of 36 degrees
    u = np.abs(u)
    for x in (cos, -cos):  # mirrors with the normals (cos, -sin) and (-cos, -sin)
        beyond = 2 * np.maximum(x * u - sin * v, 0)
        u, v = u - x * beyond, v + sin * beyond
    return 0.89 * np.abs(u) + 0.455 * (v - 1.0)  # the edge falls from the tip at (0, 1) inwards


FIGURES = {
    "disc": lambda u, v: _radius(u, v) - 0.85,
    "ring": _ring,
    "arc": lambda u, v: np.maximum(_ring(u, v), (v - 1.0 * np.abs(u)) * 0.7),
    "crescent": lambda u, v: np.maximum(_radius(u, v) - 0.9, 0.68 - _radius(u, v + 0.45)),
    "square": lambda u, v: _box(u, v, 0.74, 0.74),
    "triangle": lambda u, v: np.maximum(-v - 0.5, 0.5 * v + 0.8660254 * np.abs(u) - 0.5),
    "star": _star,
    "cross": lambda u, v: np.minimum(_box(u, v, 0.92, 0.28), _box(u, v, 0.28, 0.92)),
    "chevron": lambda u, v: _segment(np.abs(u), v, (0.0, 0.6), (0.7, -0.5), 0.25),
    "pair": lambda u, v: _radius(np.abs(u) - 0.52, v) - 0.4,
}


# -- one chunk of images -----------------------------------------------------------------------------------------------


class _Draw:
    """Uniform numbers of one chunk.

    Only Generator.random is called, the simplest of NumPy's draws and the least likely to change; an angle is turned
    into float32 sine and cosine before it meets the grid.
    """

    def __init__(self, *names):
        digest = hashlib.sha256(repr(names).encode()).digest()
        self.random = np.random.Generator(
            np.random.Philox(key=int.from_bytes(digest[:16], "little"))
        )

    def __call__(self, low, high, *shape):
        """Uniform in [low, high), float32 (CHUNK, *shape)."""
        return (low + (high - low) * self.random.random((CHUNK, *shape))).astype(np.float32)

    def maps(self, low, high):
        return self(low, high, 1, 1)

    def turn(self, most=180.0):
        """Cosine and sine of a random angle between -most and most degrees."""
        angle = np.pi / 180 * most * (2 * self.random.random((CHUNK, 1, 1)) - 1)
        return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)


def _wave(t):
    """Triangle wave of period 1 between 0 and 1."""
    return np.abs(2 * (t - np.floor(t)) - 1)


def _texture(draw, x, y):
    """Stripes or checks of random direction, width and phase, (N, SIDE, SIDE) in [0, 1]."""
    cos, sin = draw.turn()
    frequency, hard = draw.maps(0.02, 0.22), draw.maps(1, 4)
    one = _wave(frequency * (cos * x + sin * y) + draw.maps(0, 1))
    two = _wave(frequency * (cos * y - sin * x) + draw.maps(0, 1))
    checks = draw.maps(0, 1) < 0.5
    return np.clip(hard * (np.where(checks, np.abs(one - two), one) - 0.5) + 0.5, 0, 1)


def _lighter(draw, colour, low, high):
    """A colour (N, 3) that is lighter than `colour` by low … high in one channel, by a share of it in the others."""
    share = draw(0.3, 1.0, 3)
    return np.clip(colour + draw(low, high, 1) * share / share.max(1, keepdims=True), 0, 1)


def _painted(draw, colour, x, y, strength):
    """A textured surface around the given colour (N, 3), as (N, 3, SIDE, SIDE)."""
    change = draw(-1.0, 1.0, 3) * draw(0.0, strength, 1)
    return colour[:, :, None, None] + change[:, :, None, None] * (
        _texture(draw, x, y)[:, None] - 0.5
    )


def _fragment(draw, x, y):
    """Coverage (N, 1, SIDE, SIDE) of one distractor: a short straight or curved stroke."""
    cos, sin = draw.turn()
    u, v = x - draw.maps(-15, 15), y - draw.maps(-15, 15)
    u, v = cos * u + sin * v, cos * v - sin * u
    half, thick, bend = draw.maps(0.5, 4), draw.maps(0.5, 1.5), draw.maps(2.5, 6)
    straight = _radius(np.maximum(np.abs(u) - half, 0), v) - thick
    curved = np.maximum(np.abs(_radius(u, v) - bend) - thick, -v + draw.maps(0, 3))
    return np.clip(0.5 - np.where(draw.maps(0, 1) < 0.5, straight, curved), 0, 1)[:, None]


def _chunk(split: str, number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (CHUNK, 3, SIDE, SIDE) and classes int64 (CHUNK,): every ten in a row hold each class once."""
    draw = _Draw("shapes", seed, split, number)
    order = draw.random.random((CHUNK // len(CLASSES), len(CLASSES))).argsort(1).reshape(-1)
    grid = np.arange(SIDE, dtype=np.float32) - np.float32((SIDE - 1) / 2)
    x, y = (
        np.broadcast_to(grid, (CHUNK, SIDE, SIDE)),
        np.broadcast_to(grid[:, None], (CHUNK, SIDE, SIDE)),
    )

    cos, sin = draw.turn(TURN)
    radius = draw.maps(*RADIUS)
    room = np.maximum(15 - 0.8 * radius, 0)
    u, v = x - room * draw.maps(-1, 1), y - room * draw.maps(-1, 1)
    stretch = draw.maps(0.8, 1.0)  # the figure's height over its width
    u, v = (cos * u + sin * v) / radius, (cos * v - sin * u) / (radius * stretch)
    distance = np.empty_like(u)
    for label, figure in enumerate(FIGURES.values()):
        distance[order == label] = figure(u[order == label], v[order == label])
    figure = np.clip(0.5 - distance * radius * stretch, 0, 1)[:, None]

    ground = draw(0.0, 0.6, 3)
    ink = _lighter(draw, ground, *CONTRAST)
    image = _painted(draw, ground, x, y, GROUND_TEXTURE)
    for layer in range(FRAGMENTS):
        if layer == FRAGMENTS // 2:
            image = image + (_painted(draw, ink, x, y, FIGURE_TEXTURE) - image) * figure
        alike, other = np.clip(ink + draw(-0.1, 0.1, 3), 0, 1), draw(0, 1, 3)
        colour = np.where(draw(0, 1, 1) < 0.5, alike, other)
        image = image + (colour[:, :, None, None] - image) * _fragment(draw, x, y)
    cos, sin = draw.turn()
    light = 1 + draw.maps(0, 0.025) * (cos * x + sin * y)
    spread = draw(*NOISE, 1, 1, 1) * np.float32(6**0.5)  # of the difference of two uniform numbers
    noise = draw.random.random(image.shape, dtype=np.float32) - draw.random.random(
        image.shape, dtype=np.float32
    )
    image = image * light[:, None] + spread * noise
    image = np.where(draw.maps(0, 1)[:, None] < INVERTED, 1 - image, image)
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8), order


@lru_cache(maxsize=8)
def images(split: str, size: int, seed: int = 0) -> Images:
    """The first `size` images of 'train', 'val' or 'test': x uint8 (size, 3, 32, 32), y int64, ten balanced classes.

    Splits come from independent random streams; a smaller size is a prefix of a larger one.  Raises HKTError
    for an unknown split.
    """
    if split not in SPLITS:
        raise HKTError(f"The synthetic images have no split {split!r}.{nearest(split, SPLITS)}")
    if size < 1:
        raise HKTError(f"The synthetic images need a size of at least 1, got {size}.")
    parts = [_chunk(split, number, seed) for number in range(-(-size // CHUNK))]
    x, y = (torch.from_numpy(np.concatenate(part)[:size]) for part in zip(*parts))
    return Images(x, y, torch.arange(size), "synthetic figures", CLASSES)


def write_cifar10(root: Path, train: int = 50_000, test: int = 10_000, seed: int = 0) -> Path:
    """Write synthetic images under `root` in CIFAR-10's layout, for `cifar10.load(root, split, official=False)`.

    The five training batches share `train` images.  Returns the folder; refuses to touch one that is there already.
    """
    folder = Path(root) / FOLDER
    if folder.exists():
        raise HKTError(f"{folder} is there already; name another folder or remove it first.")
    folder.mkdir(parents=True)
    batches = {"test_batch": images("test", test, seed)}
    every, step = images("train", train, seed), -(-train // 5)
    for k in range(5):
        part = slice(k * step, (k + 1) * step)
        batches[f"data_batch_{k + 1}"] = every._replace(x=every.x[part], y=every.y[part])
    for name, part in batches.items():
        pixels = part.x.reshape(len(part.x), -1).numpy()
        value = {b"batch_label": name.encode(), b"labels": part.y.tolist(), b"data": pixels}
        (folder / name).write_bytes(pickle.dumps(value, protocol=2))
    meta = {b"label_names": [name.encode() for name in CLASSES], b"num_vis": 3 * SIDE * SIDE}
    (folder / "batches.meta").write_bytes(pickle.dumps(meta, protocol=2))
    return folder
