"""Layered textured scenes in motion, drawn from a seed: the embedded stand-in for flow corpora.

    samples = pairs_batch("train", 200, (96, 128))      # a list of data.Sample
    one, two = sequence(0, "train", 7, frames=3)        # neighbours of one scene

A scene is a background and three to six opaque textured figures.  A point p of a layer (its place
in frame 0) lies in frame t at p + t m(p); m is an affine motion plus two slow waves.  Frame t is
painted by solving that for p, so that flow is m(p) itself, and a pixel is occluded where its point
leaves the frame or lies under a higher layer in the next one.

Arrays are (L, …) for the L layers of a scene, points (2, N) as x and y; layer 0 is the background.
"""

from functools import lru_cache

import numpy as np
import torch

from ...config import HKTError, stream
from ..drawing import Draw, blend, wave
from ..task import choose
from .data import Sample
from .leaves import Leaves

Size = tuple[int, int]  # (H, W)
SPLITS = ("train", "val", "test")
FLAVOURS = ("layers", "kitti", "leaves", "leaves-kitti")  # noise, or dead leaves, on the layers
TABLE = 64  # side of the table of noise; a power of two
OCTAVES = (2.5, 5.0, 11.0, 24.0)  # pixels from one noise value to the next
STRENGTH = (0.5, 0.7, 0.8, 0.6)  # of each of them
BEND = 0.12  # most a wave changes the motion from one pixel to the next, in pixels
NOISE = 1.2  # of the camera: standard deviation, in grey values
SEEN = 0.25  # share of pixels the kitti flavour knows the flow of
SOLVED = 2e-3  # pixels a solution may be off


def _directions(angle: np.ndarray, axis: int) -> np.ndarray:
    """Unit vectors of these angles, their components along a new axis."""
    return np.stack([np.cos(angle), np.sin(angle)], axis)


class _Figures:
    """Which points belong to a layer: the union of two convex polygons or of two ellipses."""

    def __init__(self, draw: Draw, size: Size):
        height, width = size
        self.centre = draw(0.05, 0.95, 2) * (width, height)
        self.radius = draw(0.1, 0.32) * min(size)  # the unit of what follows
        self.half = np.stack([2 * self.radius] * 2, 1)  # of a box that holds the layer
        self.centre[0] = self.half[0] = (width / 2, height / 2)
        sides, turn = 6, draw(0, 2 * np.pi, 2, 1)
        angle = turn + 2 * np.pi * (np.arange(sides) + draw(-0.3, 0.3, 2, sides)) / sides
        self.normal = np.float32(_directions(angle, 2))  # (L, 2, 2, sides)
        self.reach = np.float32(draw(0.5, 1.0, 2, sides))
        self.offset = np.float32(draw(-0.45, 0.45, 2, 2))
        self.axes = np.float32(draw(0.9, 2.2, 2, 2))  # inverse half axes
        self.round = draw(0, 1) < 0.5

    def inside(self, layer: int, p: np.ndarray) -> np.ndarray:
        """bool (N,): which points belong to the layer."""
        if layer == 0:
            return np.ones(p.shape[1], bool)
        q = (p - np.float32(self.centre[layer, :, None])) / np.float32(self.radius[layer])
        found = np.zeros(p.shape[1], bool)
        for part in range(2):
            u, v = q - self.offset[layer, part, :, None]
            if self.round[layer]:
                a, b = self.axes[layer, part]
                found |= (a * u) ** 2 + (b * v) ** 2 < 1
            else:
                a, b = self.normal[layer, part, :, :, None]
                found |= (a * u + b * v < self.reach[layer, part, :, None]).all(0)
        return found & (np.abs(q) < 2.0).all(0)


class _Noise:
    """A texture, as any class with this constructor and `colour`: noise of several scales."""

    def __init__(self, draw: Draw):
        random, count = draw.random, len(OCTAVES)
        self.table = random.random((TABLE * TABLE, 3), np.float32) - 0.5
        self.shift = random.random((*draw.rows, count, 2), np.float32) * TABLE
        self.base = np.float32(draw(0.2, 0.8, 3))
        self.grey = np.float32(draw(0.3, 0.9, 1))  # share of the noise that all colours have
        self.contrast = np.float32(draw(0.4, 0.9, count)) * np.float32(STRENGTH)

    def colour(self, layer: np.ndarray, p: np.ndarray) -> np.ndarray:
        """float32 (N, 3) in about [0, 1] of points p of the layers (N,)."""
        noise = np.zeros((p.shape[1], 3), np.float32)
        for octave, step in enumerate(OCTAVES):
            values = self._smooth(p / np.float32(step) + self.shift[layer, octave].T)
            noise += values * self.contrast[layer, octave, None]
        mean = (noise[:, :1] + noise[:, 1:2] + noise[:, 2:]) / 3
        return self.base[layer] + noise + (mean - noise) * self.grey[layer]

    def _smooth(self, p: np.ndarray) -> np.ndarray:
        """The table's values (N, 3) at points p, smoothly between the whole ones; it repeats."""
        corner = np.floor(p)
        x, y = p - corner
        x, y = (x * x * (3 - 2 * x))[:, None], (y * y * (3 - 2 * y))[:, None]
        left, top = corner.astype(np.int32) & (TABLE - 1)
        right, below = (left + 1) & (TABLE - 1), ((top + 1) & (TABLE - 1)) * TABLE
        top = top * TABLE
        above = blend(self.table[top + left], self.table[top + right], x)
        return blend(above, blend(self.table[below + left], self.table[below + right], x), y)


class _Motion:
    """m(p) = drift + matrix (p - centre) + waves(p) [+ slope max(0, y - horizon) (p - focus)].

    At most `most` pixels long.  The last term is the ground before a camera that drives ahead.
    """

    def __init__(self, draw: Draw, figures: _Figures, size: Size, most: float, flavour: str):
        (height, width), (count,), random = size, draw.rows, draw.random
        self.centre = figures.centre
        along, share = 2 * np.pi * draw(0, 1), draw(0, 1)
        length = most * 0.9 * share ** np.where(np.arange(count), 1.5, 2.5)
        drift = _directions(along, 1) * length[:, None]
        matrix = 0.05 * random.standard_normal((count, 2, 2))
        slope, bend = np.zeros(count), 1
        self.horizon, self.focus = 0.4 * height, np.zeros(2, np.float32)
        if "kitti" in flavour:
            focus = np.array([width * (0.5 + 0.1 * random.standard_normal()), self.horizon])
            speed = draw(0.1, 0.5) * most / width
            matrix = matrix * 0.2 + speed[:, None, None] * np.eye(2)
            drift = 0.2 * drift + speed[:, None] * (self.centre - focus)
            slope[0] = draw(1.5, 3.0)[0] * most / width / height
            self.focus, bend = np.float32(focus), 0.2
        waves = random.standard_normal((count, 2, 2))  # (L, wave, component)
        period = draw(0.5, 1.5, 2) * max(height, width)
        turn = draw(0, 2 * np.pi, 2)
        self.phase = np.float32(draw(0, 1, 2))
        self.frequency = np.float32(_directions(turn, 2) / period[..., None])
        waves *= (np.minimum(BEND * period / 8, 0.2 * most) * bend)[..., None]
        self.drift, self.matrix = np.float32(drift), np.float32(matrix)
        self.waves, self.slope = np.float32(waves), np.float32(slope)

    def limit(self, layer: int, half: np.ndarray, most: float, steepest: float) -> None:
        """Scale motion down that is too long or, from one pixel to the next, changes too much."""
        line = np.linspace(-1, 1, 17)
        grid = self.centre[layer] + half * np.stack(np.meshgrid(line, line), 2).reshape(-1, 2)
        moved = self(layer, np.float32(grid.T)).reshape(2, 17, 17)
        longest = np.sqrt((moved**2).sum(0)).max() * 1.02
        down, right = (np.abs(np.diff(moved, axis=axis)).max() for axis in (1, 2))
        bend = max(down / half[1], right / half[0]) * 8
        share = np.float32(min(1.0, most / max(longest, 1e-6), steepest / max(bend, 1e-6)))
        for part in (self.drift, self.matrix, self.waves, self.slope):
            part[layer] *= share

    def __call__(self, layer: int, p: np.ndarray) -> np.ndarray:
        """m(p), float32 (2, N)."""
        x, y = p
        u, v = p - np.float32(self.centre[layer, :, None])
        (a, b), (c, d) = self.matrix[layer]
        moved = np.stack([a * u + b * v, c * u + d * v]) + self.drift[layer, :, None]
        for k, (right, down) in enumerate(self.frequency[layer]):
            place = right * x + down * y + self.phase[layer, k]
            moved += self.waves[layer, k, :, None] * wave(place)
        if self.slope[layer]:
            below = np.maximum(y - np.float32(self.horizon), 0)
            moved += self.slope[layer] * below * (p - self.focus[:, None])
        return moved


class _Layers:
    """One scene: what its frames show and how that moves."""

    def __init__(
        self,
        random: np.random.Generator,
        size: Size,
        most: float,
        flavour: str,
        frames: int = 2,
        bank: tuple = (),
    ):
        self.size, self.random, self.most, self.frames = size, random, most, frames
        self.count = 1 + int(random.integers(3, 7))
        draw = Draw(random, self.count)
        self.figures = _Figures(draw, size)
        self.texture = Leaves(draw, bank) if "leaves" in flavour else _Noise(draw)
        self.move = _Motion(draw, self.figures, size, most, flavour)
        for layer in range(self.count):
            self.move.limit(layer, self.figures.half[layer], most, 0.35 / (frames - 1))

    def origin(self, layer: int, x: np.ndarray, t: float) -> np.ndarray:
        """The point p with p + t m(p) = x, by fixed-point iteration."""
        if t == 0:
            return x
        p = x - np.float32(t) * self.move(layer, x)
        for _ in range(200):
            before, p = p, x - np.float32(t) * self.move(layer, p)
            if np.abs(p - before).max(initial=0) < SOLVED / 2:
                return p
        raise HKTError(
            f"A scene of {self.size} pixels cannot move by {self.most:g} pixels over {self.frames} "
            "frames; lower max_motion or frames."
        )

    def _covered(self, layer: int, x: np.ndarray, t: float) -> tuple[np.ndarray, np.ndarray]:
        """Which points x of frame t show the figure if nothing is above it, and their origins."""
        off = np.abs(x - self.figures.centre[layer, :, None])
        near = np.flatnonzero((off < self.figures.half[layer, 0] + t * self.most + 1).all(0))
        p = self.origin(layer, x[:, near], t)
        hit = self.figures.inside(layer, p)
        return near[hit], p[:, hit]

    def view(self, t: float) -> tuple[np.ndarray, np.ndarray]:
        """Layer (N,) and origin (2, N) of each pixel of frame t."""
        grid = np.indices(self.size, dtype=np.float32)[::-1].reshape(2, -1)
        layer, p = np.zeros(grid.shape[1], np.int32), self.origin(0, grid, t).copy()
        for k in range(1, self.count):
            here, origin = self._covered(k, grid, t)
            layer[here], p[:, here] = k, origin
        return layer, p

    def paint(self, layer: np.ndarray, p: np.ndarray) -> np.ndarray:
        """uint8 (3, H, W) of what `view` returned, with camera noise."""
        noise = np.float32(NOISE) * self.random.standard_normal((len(layer), 3), np.float32)
        image = np.clip(self.texture.colour(layer, p) * 255 + noise + 0.5, 0, 255)
        return image.astype(np.uint8).T.reshape(3, *self.size)

    def flow(self, layer: np.ndarray, p: np.ndarray, t: float) -> tuple[np.ndarray, np.ndarray]:
        """Flow (2, N) from frame t to t + 1 and occluded (N,), of what `view` returned for t."""
        moved = np.empty_like(p)
        for k in range(self.count):
            here = layer == k
            moved[:, here] = self.move(k, p[:, here])
        x = p + np.float32(t + 1) * moved
        last = np.array([[self.size[1] - 1], [self.size[0] - 1]])
        occluded = ((x < 0) | (x > last)).any(0)
        for k in range(1, self.count):
            below = np.flatnonzero((layer < k) & ~occluded)
            here, _ = self._covered(k, x[:, below], t + 1)
            occluded[below[here]] = True
        return moved, occluded


def sequence(
    seed: int,
    split: str,
    number: int,
    size: Size = (96, 128),
    max_motion: float = 10.0,
    flavour: str = "layers",
    frames: int = 2,
) -> list[Sample]:
    """frames - 1 samples of scene `number` of 'train', 'val' or 'test', of size (H, W).

    Flow is at most `max_motion` pixels long.  flavour 'kitti': a camera drives ahead, flow is known
    at a quarter of the pixels and nowhere in the sky.  Raises HKTError for an unknown split or
    flavour, or a motion too large for the size.
    """
    choose("split", split, SPLITS)
    choose("flavour of scenes", flavour, FLAVOURS)
    if min(size) < 16 or max_motion <= 0 or frames < 2:
        least = "16 pixels a side, a motion above 0 and 2 frames"
        raise HKTError(f"A scene needs {least}, got {size}, {max_motion} and {frames}.")
    names = stream(seed, "moving", flavour, split, number)
    key = torch.randint(2**62, (2,), generator=names).tolist()
    random = np.random.Generator(np.random.Philox(key=key))
    layers = _Layers(random, tuple(size), max_motion, flavour, frames, (seed, split))
    views = [layers.view(t) for t in range(frames)]
    images = [torch.tensor(layers.paint(*view)) for view in views]
    samples = []
    for t, view in enumerate(views[:-1]):
        moved, occluded = layers.flow(*view, t)
        valid = np.ones(size, bool)
        if "kitti" in flavour:  # a laser does not see the sky
            sky = int(0.3 * size[0])
            valid = random.random(size) < SEEN * size[0] / (size[0] - sky)
            valid[:sky] = False
        flow = np.where(valid, moved.reshape(2, *size), np.float32(0))
        rest = (torch.from_numpy(part) for part in (flow, valid, occluded.reshape(size) & valid))
        samples.append(Sample(images[t], images[t + 1], *rest))
    return samples


def scene(seed: int, split: str, number: int, *settings, **named) -> Sample:
    """The first two frames of a scene; settings: size, max_motion, flavour, as in `sequence`."""
    return sequence(seed, split, number, *settings, **named)[0]


@lru_cache(maxsize=12)
def pairs_batch(split: str, count: int, size: Size, seed: int = 0, **settings) -> list[Sample]:
    """The first `count` scenes of a split, kept in memory; settings: max_motion and flavour."""
    return [scene(seed, split, number, size, **settings) for number in range(count)]
