"""Layered textured scenes in motion, drawn from a seed, with exact flow and occlusion: the embedded stand-in for flow corpora.

    samples = pairs_batch("train", 200, (96, 128))              # a list of datasets.flow.Sample
    write_sintel(root, scenes=5, frames=3)                      # the same in Sintel's layout, read by datasets.flow

A scene is a background and three to six opaque figures with hard edges, each covered by noise of several scales.  A point p of a layer
(its place in frame 0) lies in frame t at p + t m(p); m is an affine motion plus two slow waves.  Frame t is painted by solving that for p,
so that flow is m(p) itself, and a pixel is occluded where its point leaves the frame or lies under a higher layer in the next one.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from ...config import HKTError, nearest, stream
from .data import Sample

SPLITS, FLAVOURS = ("train", "val", "test"), ("layers", "kitti")
TABLE = 64  # side of the table of noise; a power of two
OCTAVES = (2.5, 5.0, 11.0, 24.0)  # pixels from one noise value to the next
STRENGTH = (0.5, 0.7, 0.8, 0.6)  # of each of them
BEND = 0.12  # most a wave changes the motion from one pixel to the next, in pixels
NOISE = 1.2  # of the camera: standard deviation, in grey values
SEEN = 0.25  # share of pixels the kitti flavour knows the flow of
SOLVED = 2e-3  # pixels a solution may be off


class _Layers:
    """The L layers of one scene; arrays are (L, …), points (L, 2, N) as x and y; layer 0 is the background."""

    def __init__(
        self,
        random: np.random.Generator,
        size: tuple[int, int],
        max_motion: float,
        flavour: str,
        frames: int = 2,
    ):
        self.size, self.random, self.flavour, self.most, self.frames = (
            size,
            random,
            flavour,
            max_motion,
            frames,
        )
        self.count = 1 + int(random.integers(3, 7))
        side = min(size)
        self.centre = self._between(0.05, 0.95, 2) * (size[1], size[0])
        self.radius = self._between(0.1, 0.32) * side
        self.centre[0] = (size[1] / 2, size[0] / 2)
        self._figures()
        self._paint()
        self._motion()

    def _between(self, low, high, *shape):
        return low + (high - low) * self.random.random((self.count, *shape))

    # -- what a layer looks like --

    def _figures(self):
        """Each figure is the union of two convex polygons or two ellipses, in units of its radius."""
        sides, turn = 6, 2 * np.pi * self.random.random((self.count, 2, 1))
        angle = turn + 2 * np.pi * (np.arange(sides) + self._between(-0.3, 0.3, 2, sides)) / sides
        self.normal = np.stack([np.cos(angle), np.sin(angle)], 2).astype(
            np.float32
        )  # (L, 2, 2, sides)
        self.reach = self._between(0.5, 1.0, 2, sides).astype(np.float32)
        self.offset = self._between(-0.45, 0.45, 2, 2).astype(np.float32)
        self.axes = self._between(0.9, 2.2, 2, 2).astype(np.float32)  # inverse half axes
        self.round = self.random.random(self.count) < 0.5

    def inside(self, layer: int, p: np.ndarray) -> np.ndarray:
        """bool (N,): which points p (2, N) belong to the layer."""
        if layer == 0:
            return np.ones(p.shape[1], bool)
        found = np.zeros(p.shape[1], bool)
        q = (p - self.centre[layer, :, None].astype(np.float32)) / np.float32(self.radius[layer])
        near = np.flatnonzero((np.abs(q) < 2.0).all(0))
        q = q[:, near]
        for part in range(2):
            u, v = q - self.offset[layer, part, :, None]
            if self.round[layer]:
                a, b = self.axes[layer, part]
                here = (a * u) ** 2 + (b * v) ** 2 < 1
            else:
                n, reach = self.normal[layer, part], self.reach[layer, part]
                here = np.ones(len(near), bool)
                for k in range(n.shape[1]):
                    here &= n[0, k] * u + n[1, k] * v < reach[k]
            found[near] |= here
        return found

    def _paint(self):
        self.table = self.random.random((TABLE * TABLE, 3), dtype=np.float32) - 0.5
        self.shift = self.random.random((self.count, len(OCTAVES), 2), dtype=np.float32) * TABLE
        self.base = self._between(0.2, 0.8, 3).astype(np.float32)
        self.grey = self._between(0.3, 0.9, 1).astype(
            np.float32
        )  # share of the noise that all colours have
        self.contrast = self._between(0.4, 0.9, len(OCTAVES)).astype(np.float32) * np.asarray(
            STRENGTH, np.float32
        )

    def colour(self, layer: np.ndarray, p: np.ndarray) -> np.ndarray:
        """float32 (N, 3) in about [0, 1] of points p (2, N) of the layers (N,)."""
        noise = np.zeros((p.shape[1], 3), np.float32)
        for octave, step in enumerate(OCTAVES):
            x, y = p / np.float32(step) + self.shift[layer, octave].T
            left, top = np.floor(x), np.floor(y)
            x, y = x - left, y - top
            x, y = (x * x * (3 - 2 * x))[:, None], (y * y * (3 - 2 * y))[:, None]
            left, top = left.astype(np.int32) & (TABLE - 1), top.astype(np.int32) & (TABLE - 1)
            right, below, top = (
                (left + 1) & (TABLE - 1),
                ((top + 1) & (TABLE - 1)) * TABLE,
                top * TABLE,
            )
            a, b, c, d = (
                self.table[place]
                for place in (top + left, top + right, below + left, below + right)
            )
            a += (b - a) * x
            c += (d - c) * x
            noise += (a + (c - a) * y) * self.contrast[layer, octave, None]
        mean = (noise[:, :1] + noise[:, 1:2] + noise[:, 2:]) / 3
        return self.base[layer] + noise + (mean - noise) * self.grey[layer]

    # -- how it moves --

    def _motion(self):
        """m(p) = shift + matrix (p - centre) + wave(p) [+ slope max(0, y - horizon) (p - focus)], at most `most` pixels long."""
        (height, width), most = self.size, self.most
        along = 2 * np.pi * self.random.random(self.count)
        length = (
            most * 0.9 * self.random.random(self.count) ** np.where(np.arange(self.count), 1.5, 2.5)
        )
        self.drift = np.stack([np.cos(along), np.sin(along)], 1) * length[:, None]
        self.matrix = 0.05 * self.random.standard_normal((self.count, 2, 2))
        self.slope, self.horizon = np.zeros(self.count), 0.0
        if self.flavour == "kitti":  # a camera that drives ahead
            self.horizon, focus = (
                0.4 * height,
                np.array([width * (0.5 + 0.1 * self.random.standard_normal()), 0.4 * height]),
            )
            speed = self._between(0.1, 0.5) * most / width
            self.matrix = self.matrix * 0.2 + speed[:, None, None] * np.eye(2)
            self.drift = 0.2 * self.drift + speed[:, None] * (self.centre - focus)
            self.focus = focus.astype(np.float32)
            self.slope[0] = self._between(1.5, 3.0)[0] * most / width / height
        self.wave = self.random.standard_normal((self.count, 2, 2))  # (L, wave, component)
        period = self._between(0.5, 1.5, 2) * max(height, width)
        turn = 2 * np.pi * self.random.random((self.count, 2))
        self.phase = self.random.random((self.count, 2)).astype(np.float32)
        self.frequency = (np.stack([np.cos(turn), np.sin(turn)], 2) / period[..., None]).astype(
            np.float32
        )
        self.wave *= (
            np.minimum(BEND * period / 8, 0.2 * most) * (0.2 if self.flavour == "kitti" else 1)
        )[..., None]
        for name in ("drift", "matrix", "wave", "slope"):
            setattr(self, name, getattr(self, name).astype(np.float32))
        for layer in range(self.count):
            self._limit(layer)

    def _limit(self, layer: int):
        """Scale the layer's motion down where it is longer than `most`, or bends so much that `origin` would not converge."""
        half = (
            np.array([self.size[1], self.size[0]]) / 2
            if layer == 0
            else np.full(2, 2 * self.radius[layer])
        )
        line = np.linspace(-1, 1, 17)
        grid = self.centre[layer] + half * np.stack(np.meshgrid(line, line), 2).reshape(-1, 2)
        moved = self.move(layer, grid.T.astype(np.float32)).reshape(2, 17, 17)
        longest = np.sqrt((moved**2).sum(0)).max() * 1.02
        bend = (
            max(
                np.abs(np.diff(moved, axis=1)).max() / half[1],
                np.abs(np.diff(moved, axis=2)).max() / half[0],
            )
            * 8
        )
        share = np.float32(
            min(1.0, self.most / max(longest, 1e-6), 0.35 / (self.frames - 1) / max(bend, 1e-6))
        )
        for name in ("drift", "matrix", "wave", "slope"):
            getattr(self, name)[layer] *= share

    def move(self, layer: int, p: np.ndarray) -> np.ndarray:
        """m(p), float32 (2, N)."""
        x, y = p
        q = p - self.centre[layer, :, None].astype(np.float32)
        (a, b), (c, d) = self.matrix[layer]
        moved = np.stack([a * q[0] + b * q[1], c * q[0] + d * q[1]]) + self.drift[layer, :, None]
        for k in range(2):
            t = (
                self.frequency[layer, k, 0] * x
                + self.frequency[layer, k, 1] * y
                + self.phase[layer, k]
            )
            t = t - np.floor(t) - np.float32(0.5)
            wave = t * (np.float32(1) - 2 * np.abs(t)) * 8  # two parabolas: a sine of + - * only
            moved += self.wave[layer, k, :, None] * wave
        if self.slope[layer]:
            moved += (
                self.slope[layer]
                * np.maximum(y - np.float32(self.horizon), 0)
                * (p - self.focus[:, None])
            )
        return moved

    def origin(self, layer: int, x: np.ndarray, t: float) -> np.ndarray:
        """The point p with p + t m(p) = x, by fixed-point iteration: m changes by less than a pixel a pixel."""
        if t == 0:
            return x
        p = x - np.float32(t) * self.move(layer, x)
        for _ in range(200):
            after = x - np.float32(t) * self.move(layer, p)
            off, p = np.abs(after - p).max(initial=0), after
            if off < SOLVED / 2:
                return p
        raise HKTError(
            f"A moving scene of {self.size[1]} x {self.size[0]} pixels cannot move by {self.most:g} pixels over {self.frames} frames; "
            "lower max_motion or frames."
        )

    # -- frames --

    def _covered(self, layer: int, x: np.ndarray, t: float) -> tuple[np.ndarray, np.ndarray]:
        """Which of the points x (2, N) of frame t show the figure where nothing is above it, and their origins."""
        far = 2 * self.radius[layer] + t * self.most + 1
        near = np.flatnonzero((np.abs(x - self.centre[layer, :, None]) < far).all(0))
        p = self.origin(layer, x[:, near], t)
        hit = self.inside(layer, p)
        return near[hit], p[:, hit]

    def view(self, t: float) -> tuple[np.ndarray, np.ndarray]:
        """Layer (N,) and origin (2, N) of each pixel of frame t."""
        y, x = np.indices(self.size, dtype=np.float32).reshape(2, -1)
        grid = np.stack([x, y])
        layer, p = np.zeros(len(x), np.int32), self.origin(0, grid, t).copy()
        for k in range(1, self.count):
            here, origin = self._covered(k, grid, t)
            layer[here], p[:, here] = k, origin
        return layer, p

    def paint(self, layer: np.ndarray, p: np.ndarray) -> np.ndarray:
        """uint8 (H, W, 3) of what `view` returned, with camera noise."""
        image = self.colour(layer, p) * 255 + np.float32(NOISE) * self.random.standard_normal(
            (len(layer), 3), dtype=np.float32
        )
        return np.clip(image + 0.5, 0, 255).astype(np.uint8).reshape(*self.size, 3)

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


def _sequence(
    seed: int,
    split: str,
    number: int,
    size: tuple[int, int],
    frames: int,
    max_motion: float,
    flavour: str,
) -> list[Sample]:
    """frames - 1 samples of one scene; neighbours share a frame."""
    if split not in SPLITS or flavour not in FLAVOURS:
        name, known = (split, SPLITS) if split not in SPLITS else (flavour, FLAVOURS)
        raise HKTError(f"The moving scenes know no {name!r}.{nearest(name, known)}")
    if min(size) < 16 or max_motion <= 0 or frames < 2:
        raise HKTError(
            f"A moving scene needs 16 pixels a side, a motion above 0 and 2 frames, got {size}, {max_motion} and {frames}."
        )
    key = torch.randint(
        2**62, (2,), generator=stream(seed, "moving", flavour, split, number)
    ).tolist()
    layers = _Layers(
        np.random.Generator(np.random.Philox(key=key)), tuple(size), max_motion, flavour, frames
    )
    views = [layers.view(t) for t in range(frames)]
    images = [torch.from_numpy(layers.paint(*view).transpose(2, 0, 1).copy()) for view in views]
    samples = []
    for t, view in enumerate(views[:-1]):
        moved, occluded = (
            torch.from_numpy(value).reshape(-1, *size) for value in layers.flow(*view, t)
        )
        valid = torch.ones(size, dtype=torch.bool)
        if flavour == "kitti":  # a laser does not see the sky
            high = int(0.3 * size[0])
            valid = torch.from_numpy(layers.random.random(size) < SEEN * size[0] / (size[0] - high))
            valid[:high] = False
        samples.append(
            Sample(
                images[t], images[t + 1], torch.where(valid, moved, 0.0), valid, occluded[0] & valid
            )
        )
    return samples


def scene(
    seed: int,
    split: str,
    number: int,
    size: tuple[int, int] = (96, 128),
    max_motion: float = 10.0,
    flavour: str = "layers",
) -> Sample:
    """Scene `number` of 'train', 'val' or 'test' (independent streams): images uint8 (3, *size), flow in pixels of at most `max_motion`.

    occluded: the point is hidden or outside in the second frame.  flavour 'kitti': a camera driving ahead, flow known at a quarter of the
    pixels and nowhere in the sky.  Raises HKTError for an unknown split or flavour, or a motion too
    large for the size.
    """
    return _sequence(seed, split, number, size, 2, max_motion, flavour)[0]


@lru_cache(maxsize=12)
def pairs_batch(
    split: str,
    count: int,
    size: tuple[int, int],
    seed: int = 0,
    max_motion: float = 10.0,
    flavour: str = "layers",
) -> list[Sample]:
    """The first `count` scenes of a split: a smaller count is a prefix of a larger one.  About 16 bytes a pixel stay in memory; do not edit them."""
    return [scene(seed, split, number, size, max_motion, flavour) for number in range(count)]


# -- the official layouts ----------------------------------------------------------------------------------------------


def _hazy(image: torch.Tensor) -> torch.Tensor:
    """Sintel's final pass has fog and blur: less contrast and a 3 x 3 binomial blur."""
    padded = torch.nn.functional.pad(image[None].float(), (1, 1, 1, 1), mode="replicate")[0]
    rows = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    return ((rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]) / 16 * 0.75 + 40).to(torch.uint8)


def _written(root: Path, name: str, write) -> Path:
    """root/name made by `write(folder)` under another name first, so that a folder of that name is whole."""
    import shutil

    folder, part = Path(root) / name, Path(root) / f".{name}.part"
    if folder.exists():
        raise HKTError(f"{folder} is there already; name another folder or remove it first.")
    shutil.rmtree(part, ignore_errors=True)
    try:
        write(part)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _save(path: Path, image: torch.Tensor) -> None:
    from ...files import write_bytes
    from .files import encode_png

    image = image.to(torch.uint8) * 255 if image.dtype == torch.bool else image
    write_bytes(path, encode_png((image if image.ndim == 2 else image.permute(1, 2, 0)).numpy()))


def write_sintel(
    root: Path,
    scenes: int = 5,
    frames: int = 3,
    size: tuple[int, int] = (96, 128),
    seed: int = 0,
    max_motion: float = 10.0,
) -> Path:
    """Write root/Sintel/training with scenes moving_1 … in Sintel's layout: clean, final, flow, occlusions, invalid.

    Every fifth scene is in the validation split of data/splits/flow.json.  Returns the folder; refuses one that is there already.
    """
    from .files import write_flo

    def write(folder: Path) -> None:
        for number in range(1, scenes + 1):
            samples = _sequence(seed, "train", number - 1, size, frames, max_motion, "layers")
            images = [one.first for one in samples] + [samples[-1].second]
            for frame, image in enumerate(images, 1):
                name = f"moving_{number}/frame_{frame:04d}"
                _save(folder / f"training/clean/{name}.png", image)
                _save(folder / f"training/final/{name}.png", _hazy(image))
                _save(folder / f"training/invalid/{name}.png", torch.zeros(size, dtype=torch.bool))
            for frame, one in enumerate(samples, 1):
                name = f"moving_{number}/frame_{frame:04d}"
                write_flo(folder / f"training/flow/{name}.flo", one.flow)
                _save(folder / f"training/occlusions/{name}.png", one.occluded)

    return _written(root, "Sintel", write)


def write_kitti(
    root: Path,
    count: int = 5,
    size: tuple[int, int] = (96, 320),
    seed: int = 0,
    max_motion: float = 20.0,
) -> Path:
    """Write root/KittiFlow/training with pairs 900000_10, 900001_10, … in KITTI 2015's layout: image_2, flow_occ, flow_noc.

    Pairs whose number ends in 4 or 9 are in the validation split.  Returns the folder; refuses one that is there already.
    """
    from . import files as flow_files

    def write(folder: Path) -> None:
        for number in range(count):
            one, name = (
                scene(seed, "train", number, size, max_motion, "kitti"),
                f"{900_000 + number}_10.png",
            )
            _save(folder / "training/image_2" / name, one.first)
            _save(folder / "training/image_2" / name.replace("_10", "_11"), one.second)
            flow_files.write_kitti(folder / "training/flow_occ" / name, one.flow, one.valid)
            flow_files.write_kitti(
                folder / "training/flow_noc" / name, one.flow, one.valid & ~one.occluded
            )

    return _written(root, "KittiFlow", write)
