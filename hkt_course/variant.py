"""What differs from class to class: constants, conventions, data, planted faults.

V = Variant(2026); V.tau = V.pick("tau", [0.5, 0.8, 1.25])     # in the first cell of a source

Where the other cells say V.tau, a class's version has the number; so has {{tau}} in a text.
"""

import random
from hashlib import sha256


class Variant:
    def __init__(self, seed: int):
        self.seed = seed

    def pick(self, name: str, options: list):
        """One of `options`; the next seed has the next one, so that two years in a row differ."""
        start = int(sha256(name.encode()).hexdigest(), 16)
        return options[(start + self.seed) % len(options)]

    def random(self, name: str) -> random.Random:
        """A stream of its own for each name: what has more possibilities than a list."""
        return random.Random(f"{name} {self.seed}")
