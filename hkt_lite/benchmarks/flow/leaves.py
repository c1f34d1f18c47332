"""Dead leaves: a texture with the statistics of photographs, for the embedded scenes.

    texture = Leaves(Draw(random, layers), key=("train", 0))
    texture.colour(layer, p)                      # float32 (N, 3) at points p of the layers

Opaque shapes of all sizes lie on one another, as things before a camera do; with sizes r drawn from
r^-3 the picture looks the same at every distance, and its spectrum falls as that of photographs
does (Ruderman, 1997; Lee, Mumford and Huang, 2001).  Each leaf has a colour, a shade that runs over
it, and more or less fine grain; light changes slowly over a layer.
"""

from functools import lru_cache

import numpy as np

from ..drawing import Draw, blend, generator, wave

SIDE = 256  # pixels of a picture of leaves, which repeats; a power of two
RADII = 1.5, 60.0  # pixels
BANK = 8  # pictures that the scenes of a split share
LEAVES = 6000  # the picture is full long before


class Leaves:
    """A texture, to stand where `synthetic` has its noise; `key` names the pictures of a split."""

    def __init__(self, draw: Draw, key: tuple):
        random = draw.random
        chosen = random.integers(0, BANK, draw.rows)
        self.picture = np.stack([picture(*key, int(number)) for number in chosen])
        turn, size = 2 * np.pi * draw(0, 1), draw(0.6, 1.6)
        self.across = np.float32(np.stack([np.cos(turn), np.sin(turn)], 1) / size[:, None])
        self.shift = np.float32(draw(0, SIDE, 2))
        self.gain = np.float32(draw(0.35, 0.85, 1) * draw(0.85, 1.15, 3))
        self.base = np.float32(draw(0.2, 0.6, 1) + draw(-0.08, 0.08, 3))
        self.light = tuple(
            np.float32(part) for part in (draw(-0.012, 0.012, 2), draw(0, 1), draw(0, 0.35))
        )

    def colour(self, layer: np.ndarray, p: np.ndarray) -> np.ndarray:
        """float32 (N, 3) in about [0, 1] of points p (2, N) of the layers (N,)."""
        (x, y), (a, b) = p, self.across[layer].T
        place = np.stack([a * x - b * y, b * x + a * y]) + self.shift[layer].T
        corner = np.floor(place)
        u, v = (place - corner)[:, :, None]
        left, top = corner.astype(np.int64) & (SIDE - 1)
        right, below = (left + 1) & (SIDE - 1), (top + 1) & (SIDE - 1)
        here = self.picture
        above = blend(here[layer, top, left], here[layer, top, right], u)
        value = blend(above, blend(here[layer, below, left], here[layer, below, right], u), v)
        slope, phase, depth = (part[layer] for part in self.light)
        light = 1 + depth * wave(slope[:, 0] * x + slope[:, 1] * y + phase)
        return (self.base[layer] + self.gain[layer] * (value - 0.4)) * light[:, None]


@lru_cache(maxsize=4 * BANK)
def picture(*key) -> np.ndarray:
    """float32 (SIDE, SIDE, 3) in about [0, 1], painted from the front to the back."""
    random = generator("leaves", *key)
    draw = Draw(random, LEAVES)
    small, large = (radius**-2 for radius in RADII)
    radius = 1 / np.sqrt(small - draw(0, 1) * (small - large))
    centre, turn = draw(0, SIDE, 2), 2 * np.pi * draw(0, 1)
    along = np.stack([np.cos(turn), np.sin(turn)], 1)
    longer, square = draw(1, 2.5), draw(0, 1) < 0.5
    grey, tint = draw(0, 1), draw(-0.12, 0.12, 3)
    slope, grain = draw(-0.15, 0.15, 2), draw(0, 1) ** 3 * 0.4
    noise = _grain(random)
    image, free = np.full((SIDE, SIDE, 3), 0.4, np.float32), np.ones((SIDE, SIDE), bool)
    for leaf in range(LEAVES):
        reach = int(radius[leaf] * longer[leaf] * 1.5) + 1
        (cx, cy), (a, b) = centre[leaf], along[leaf]
        columns, rows = (np.arange(int(c) - reach, int(c) + reach + 1)[:SIDE] for c in (cx, cy))
        bare = np.nonzero(free[(rows & (SIDE - 1))[:, None], columns & (SIDE - 1)])
        if not len(bare[0]):
            continue  # leaves in front cover all of it
        rows, columns = rows[bare[0]], columns[bare[1]]
        x, y = columns - cx, rows - cy
        u = (a * x + b * y) / (radius[leaf] * longer[leaf])
        v = (a * y - b * x) / radius[leaf]
        if square[leaf]:
            inside = (np.abs(u) < 0.8) & (np.abs(v) < 0.8)
        else:
            inside = u * u + v * v < 1
        u, v = u[inside], v[inside]
        place = rows[inside] & (SIDE - 1), columns[inside] & (SIDE - 1)
        shade = grey[leaf] + slope[leaf, 0] * u + slope[leaf, 1] * v + grain[leaf] * noise[place]
        image[place] = shade[:, None] + tint[leaf]
        free[place] = False
    return image


def _grain(random: np.random.Generator) -> np.ndarray:
    """(SIDE, SIDE) noise of several scales, each as strong as the other, which repeats."""
    noise = np.zeros((SIDE, SIDE))
    for step in (1, 2, 4, 8):
        coarse = random.random((SIDE // step, SIDE // step)) - 0.5
        noise += np.kron(coarse, np.ones((step, step)))
    return noise
