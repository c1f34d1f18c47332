"""What the embedded images, scenes and phantoms are drawn with.

On pixel grids only + - * / and roots are used, and of NumPy's draws `Generator.random` alone, so
that a seed gives the same bytes on every machine.
"""

import hashlib

import numpy as np

SQRT6 = np.float32(6**0.5)  # the difference of two uniform numbers has the deviation 1 / SQRT6


def generator(*names) -> np.random.Generator:
    """An independent random stream for each list of names and numbers."""
    digest = hashlib.sha256(repr(names).encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))


class Draw:
    """Uniform numbers of a random stream: `draw(low, high, *shape)` is float64 (*rows, *shape)."""

    def __init__(self, random: np.random.Generator, *rows: int):
        self.random, self.rows = random, rows

    def __call__(self, low: float, high: float, *shape: int):
        """Uniform in [low, high); a plain float where there are neither rows nor a shape."""
        values = low + (high - low) * self.random.random((*self.rows, *shape))
        return values if self.rows or shape else float(values)


def held_out(number: int, scale: str) -> int:
    """How many of an embedded split choose or test: at smoke scale a quarter of its `number`."""
    return number // 4 if scale == "smoke" else number


def triangular(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Noise float32 between -1 and 1 with the standard deviation 1 / SQRT6."""
    return random.random(shape, np.float32) - random.random(shape, np.float32)


def sawtooth(t: np.ndarray) -> np.ndarray:
    """Rises from -1 to 1 in each period of 1; its absolute value is a triangle wave."""
    return 2 * (t - np.floor(t)) - 1


def wave(t: np.ndarray) -> np.ndarray:
    """A smooth wave of period 1 between -1 and 1, of two parabolas: a sine without its library."""
    t = sawtooth(t)
    return 4 * t * (1 - np.abs(t))


def norm(*parts: np.ndarray) -> np.ndarray:
    """Length of a vector with these components."""
    return np.sqrt(sum(part * part for part in parts))


def segment(point, start, end) -> np.ndarray:
    """Distance of a point from the straight line between two others, each given by coordinates."""
    step = [b - a for a, b in zip(start, end)]
    offset = [p - a for p, a in zip(point, start)]
    along = sum(d * s for d, s in zip(offset, step)) / sum(s * s for s in step)
    along = np.clip(along, 0, 1)
    return norm(*(d - along * s for d, s in zip(offset, step)))


def cover(distance: np.ndarray, pixel: float = 1, most: float = 1) -> np.ndarray:
    """How much of a pixel lies inside a shape, 0 … `most`, from its signed distance (inside: < 0):
    anti-aliasing in an image, partial volume in CT."""
    return np.clip(0.5 - distance / pixel, 0, most)


def blend(under, over, share) -> np.ndarray:
    """`share` of the way from `under` to `over`."""
    return under + (over - under) * share


def binomial(image):
    """Sums under the 3 x 3 mask of 1-2-1 times 1-2-1, (…, H, W) -> (…, H - 2, W - 2)."""
    rows = image[..., :-2, :] + 2 * image[..., 1:-1, :] + image[..., 2:, :]
    return rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]
