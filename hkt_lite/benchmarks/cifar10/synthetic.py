"""Ten figures in 32 x 32 pixels, drawn from a seed: the embedded stand-in for CIFAR-10.

    train = images("train", 2000)  # data.Images, ten balanced classes

A class is a figure's shape and nothing else; all else is drawn at random for every image.
"""

from functools import lru_cache

import numpy as np
import torch

from ...config import HKTError
from .. import drawing
from ..task import choose
from .data import SPLITS, Images

SIDE, CHUNK = 32, 250  # pixels; images drawn from one random stream
RADIUS = (6.0, 13.0)  # of the figure, in pixels
FRAGMENTS = 5  # distractors, half of them in front of the figure
TURN = 40  # degrees the figure is rotated by at most, either way
INVERTED = 0.15  # share of images with a dark figure on light ground
CONTRAST = (0.20, 0.9)  # between figure and ground, of a channel's range
TEXTURE = 0.5  # most a texture changes a channel of figure or ground
NOISE = (0.01, 0.10)  # standard deviation, of a channel's range


def _box(u, v, width, height):
    return np.maximum(np.abs(u) - width, np.abs(v) - height)


def _ring(u, v):
    return np.abs(drawing.norm(u, v) - 0.7) - 0.22


def _star(u, v):
    """Five points: two mirrors fold the plane onto half of one, whose edge is a straight line."""
    cos, sin = 0.80901699, 0.58778525  # of 36 degrees
    u = np.abs(u)
    for x in (cos, -cos):  # mirrors with the normals (cos, -sin) and (-cos, -sin)
        beyond = 2 * np.maximum(x * u - sin * v, 0)
        u, v = u - x * beyond, v + sin * beyond
    return 0.89 * np.abs(u) + 0.455 * (v - 1.0)  # the edge falls from the tip at (0, 1) inwards


# Signed distance (negative inside) of points u, v, in units of the figure's radius.
FIGURES = {
    "disc": lambda u, v: drawing.norm(u, v) - 0.85,
    "ring": _ring,
    "arc": lambda u, v: np.maximum(_ring(u, v), (v - 1.0 * np.abs(u)) * 0.7),
    "crescent": lambda u, v: np.maximum(drawing.norm(u, v) - 0.9, 0.68 - drawing.norm(u, v + 0.45)),
    "square": lambda u, v: _box(u, v, 0.74, 0.74),
    "triangle": lambda u, v: np.maximum(-v - 0.5, 0.5 * v + 0.8660254 * np.abs(u) - 0.5),
    "star": _star,
    "cross": lambda u, v: np.minimum(_box(u, v, 0.92, 0.28), _box(u, v, 0.28, 0.92)),
    "chevron": lambda u, v: drawing.segment((np.abs(u), v), (0.0, 0.6), (0.7, -0.5)) - 0.25,
    "pair": lambda u, v: drawing.norm(np.abs(u) - 0.52, v) - 0.4,
}
CLASSES = list(FIGURES)


class _Draw(drawing.Draw):
    """Numbers of N images, float32 (N, *shape)."""

    def __call__(self, low, high, *shape):
        return np.float32(super().__call__(low, high, *shape))

    def maps(self, low, high):
        return self(low, high, 1, 1)

    def colour(self, low, high):
        return self(low, high, 3, 1, 1)

    def turn(self, most=180.0):
        """Cosine and sine of a random angle between -most and most degrees."""
        angle = np.pi / 180 * most * (2 * self.random.random((*self.rows, 1, 1)) - 1)
        return np.float32(np.cos(angle)), np.float32(np.sin(angle))


def _turned(turn, x, y):
    cos, sin = turn
    return cos * x + sin * y, cos * y - sin * x


def _texture(draw, x, y):
    """Stripes or checks of random direction, width and phase, (N, 1, SIDE, SIDE) in [0, 1]."""
    x, y = _turned(draw.turn(), x, y)
    frequency, hard = draw.maps(0.02, 0.22), draw.maps(1, 4)
    one = np.abs(drawing.sawtooth(frequency * x + draw.maps(0, 1)))
    two = np.abs(drawing.sawtooth(frequency * y + draw.maps(0, 1)))
    pattern = np.where(draw.maps(0, 1) < 0.5, np.abs(one - two), one)
    return np.clip(hard * (pattern - 0.5) + 0.5, 0, 1)[:, None]


def _painted(draw, colour, x, y):
    """A textured surface (N, 3, SIDE, SIDE) around the colours (N, 3, 1, 1)."""
    change = draw.colour(-1.0, 1.0) * draw(0.0, TEXTURE, 1, 1, 1)
    return colour + change * (_texture(draw, x, y) - 0.5)


def _lighter(draw, colour):
    """Colours lighter by CONTRAST in one channel, by a share of it in the others."""
    share = draw.colour(0.3, 1.0)
    change = draw(*CONTRAST, 1, 1, 1) * share / share.max(1, keepdims=True)
    return np.clip(colour + change, 0, 1)


def _figure(draw, classes, x, y):
    """Coverage (N, 1, SIDE, SIDE) of the figures of the classes (N,), placed and turned."""
    turn, radius = draw.turn(TURN), draw.maps(*RADIUS)
    room = np.maximum(15 - 0.8 * radius, 0)
    u, v = _turned(turn, x - room * draw.maps(-1, 1), y - room * draw.maps(-1, 1))
    stretch = draw.maps(0.8, 1.0)  # the figure's height over its width
    u, v = u / radius, v / (radius * stretch)
    distance = np.empty_like(u)
    for label, figure in enumerate(FIGURES.values()):
        here = classes == label
        distance[here] = figure(u[here], v[here])
    return drawing.cover(distance * radius * stretch)[:, None]


def _fragment(draw, x, y):
    """Coverage (N, 1, SIDE, SIDE) of one distractor: a short straight or curved stroke."""
    turn = draw.turn()
    u, v = _turned(turn, x - draw.maps(-15, 15), y - draw.maps(-15, 15))
    half, thick, bend = draw.maps(0.5, 4), draw.maps(0.5, 1.5), draw.maps(2.5, 6)
    straight = drawing.norm(np.maximum(np.abs(u) - half, 0), v) - thick
    curved = np.maximum(np.abs(drawing.norm(u, v) - bend) - thick, -v + draw.maps(0, 3))
    return drawing.cover(np.where(draw.maps(0, 1) < 0.5, straight, curved))[:, None]


def _finished(draw, image, x, y):
    """The image lit from one side, with a camera's noise and sometimes inverted, as uint8."""
    across, _ = _turned(draw.turn(), x, y)
    light = 1 + draw.maps(0, 0.025) * across
    spread = draw(*NOISE, 1, 1, 1) * drawing.SQRT6
    image = image * light[:, None] + spread * drawing.triangular(draw.random, image.shape)
    image = np.where(draw.maps(0, 1)[:, None] < INVERTED, 1 - image, image)
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def _chunk(split: str, number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (CHUNK, 3, SIDE, SIDE), classes int64 (CHUNK,): each class once in every ten."""
    draw = _Draw(drawing.generator("shapes", seed, split, number), CHUNK)
    classes = draw.random.random((CHUNK // len(CLASSES), len(CLASSES))).argsort(1).reshape(-1)
    x = np.arange(SIDE, dtype=np.float32) - np.float32((SIDE - 1) / 2)
    y = x[:, None]
    figure = _figure(draw, classes, x, y)
    ground = draw.colour(0.0, 0.6)
    ink = _lighter(draw, ground)
    image = _painted(draw, ground, x, y)
    for layer in range(FRAGMENTS):
        if layer == FRAGMENTS // 2:
            image = drawing.blend(image, _painted(draw, ink, x, y), figure)
        alike, other = np.clip(ink + draw.colour(-0.1, 0.1), 0, 1), draw.colour(0, 1)
        colour = np.where(draw(0, 1, 1, 1, 1) < 0.5, alike, other)
        image = drawing.blend(image, colour, _fragment(draw, x, y))
    return _finished(draw, image, x, y), classes


@lru_cache(maxsize=8)
def images(split: str, size: int, seed: int = 0) -> Images:
    """The first `size` images of 'train', 'val' or 'test': x uint8 (size, 3, 32, 32), y int64.

    Raises HKTError for an unknown split or a size below 1.
    """
    choose("split", split, SPLITS)
    if size < 1:
        raise HKTError(f"The synthetic images need a size of at least 1, got {size}.")
    parts = [_chunk(split, number, seed) for number in range(-(-size // CHUNK))]
    x, y = (torch.from_numpy(np.concatenate(part)[:size]) for part in zip(*parts))
    return Images(x, y, torch.arange(size), CLASSES)
