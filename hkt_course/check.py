"""Instant checks: what is wrong with an answer, offline, without saying what is right.

check = Checks(TABLE)             # made for a class from the reference and from known wrong answers
check("share", share(G))          # share: not yet. This is the gate the other way round.
check.gradient("mix", f, [c, p], [dc, dp])      # against differences of f itself

The table holds salted hashes of the answers, no answer.  Needs numpy only, so that it also runs in
a browser; tensors of torch are taken as they are.
"""

import hashlib
import itertools
import json
import math

import numpy as np

TOLERANCE = 1e-4  # of an answer's size: rounding passes, a wrong formula does not
PROBES = 3  # numbers that stand for an array
UNKNOWN = "The form is right, the values are not, and this is no mistake that is known."


def numbers(value) -> tuple[str, np.ndarray]:
    """(what it is, its numbers in a row) of a number, text, array, tensor, or list or dict of them.

    What it is: 'number', 'text', 'array (4, 8)', or a list of these.
    """
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        half = value.is_floating_point() and value.element_size() < 4  # numpy lacks bfloat16
        value = (value.float() if half else value).numpy()
    if isinstance(value, str):
        letters = [float(byte) for byte in hashlib.sha256(value.strip().lower().encode()).digest()]
        return "text", np.array(letters)
    if isinstance(value, dict):
        value = [part for key in sorted(value, key=str) for part in (str(key), value[key])]
    if isinstance(value, (list, tuple)):
        kinds, parts = zip(*map(numbers, value)) if value else ((), ())
        return f"list of {', '.join(kinds)}", np.concatenate([[], *parts])
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        return f"something of type {type(value).__name__}", np.zeros(0)
    kind = f"array {array.shape}" if array.ndim else "number"
    return kind, array.astype(float).ravel()


def _probes(row: np.ndarray) -> np.ndarray:
    """A few sums of the numbers under fixed weights: the same on every machine."""
    place = np.arange(1, len(row) + 1)
    weights = [np.cos(place**2 * (0.37 + 0.29 * k) + k) for k in range(PROBES)]
    return np.array([float(w @ row) for w in weights]) / math.sqrt(max(len(row), 1))


def _digest(salt: str, name: str, kind: str, rounded) -> str:
    text = json.dumps([salt, name, kind, [int(number) for number in rounded]])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def entry(name: str, salt: str, right, wrong: dict) -> dict:
    """The line of the table for one check: `right` is the answer, `wrong` {what to say: answer}.

    Raises ValueError where a wrong answer cannot be told from the right one.
    """
    kind, row = numbers(right)
    step = float(f"{TOLERANCE * (math.sqrt(float(np.mean(row**2))) or 1):.1e}")
    known = {_digest(salt, name, kind, np.round(_probes(row) / step)): ""}
    made = {"kind": kind, "step": step, "known": known}
    for said, answer in wrong.items():
        its_kind, its_row = numbers(answer)
        if not np.isfinite(its_row).all():
            raise ValueError(f"check {name!r}: {said!r} gives an answer that is not finite.")
        if _said(made, name, salt, its_kind, its_row) is not None:
            raise ValueError(f"check {name!r}: {said!r} gives an answer that is known already.")
        known[_digest(salt, name, its_kind, np.round(_probes(its_row) / step))] = said
    return made


def _said(line: dict, name: str, salt: str, kind: str, row: np.ndarray) -> str | None:
    """'' for the right answer, what to say of a known wrong one, None for an unknown one."""
    centre = np.round(_probes(row) / line["step"])
    for shift in sorted(
        itertools.product((-1, 0, 1), repeat=PROBES), key=lambda s: np.abs(s).sum()
    ):
        found = line["known"].get(_digest(salt, name, kind, centre + shift))
        if found is not None:
            return found
    return None


class Checks:
    """Called with a check's name and an answer; prints one line and keeps it in `results`."""

    def __init__(self, table: dict):
        self.salt, self.table = table.get("salt", ""), table.get("checks", {})
        self.results: dict[str, str] = {}  # name -> '' where right, else what was said

    def __call__(self, name: str, value) -> None:
        if not self.table:  # of a source, before it is made for a class
            return
        if name not in self.table:
            raise KeyError(f"There is no check {name!r}; there are {', '.join(self.table)}.")
        self._tell(name, self._judge(name, self.table[name], value))

    def wrong(self, name: str, answer) -> bool:
        """Whether `answer()` is wrong or cannot be had; nothing is said.  For tests that need an
        earlier function, and put a right one in its place where the student's is not."""
        try:
            return bool(self.table and self._judge(name, self.table[name], answer()))
        except Exception:
            return True

    def _judge(self, name: str, line: dict, value) -> str:
        kind, row = numbers(value)
        if len(row) and not np.isfinite(row).all():
            return "There are values that are not finite."
        said = _said(line, name, self.salt, kind, row)
        if said is None and kind != line["kind"]:
            return other_form(kind, line["kind"])
        return UNKNOWN if said is None else said

    def gradient(self, name: str, function, inputs, gradients, threshold: float = 1e-6) -> None:
        """Compare gradients with central differences of `function`, which returns one number.

        inputs     arrays or tensors in double precision
        gradients  of the same shapes
        threshold  of the relative error max|a - b| / (max|a| + max|b|)
        """
        said = []
        for place, (x, given) in enumerate(zip(inputs, gradients), 1):
            measured = differences(function, list(inputs), place - 1)
            kind, row = numbers(given)
            if len(row) != len(measured):
                said.append(f"gradient {place} is: {kind}; its input is: {numbers(x)[0]}")
                continue
            error = relative_error(row, measured)
            if not error <= threshold:
                said.append(f"gradient {place} has relative error {error:.1e} > {threshold:.0e}")
        self._tell(name, "; ".join(said).capitalize())

    def _tell(self, name: str, said: str) -> None:
        self.results[name] = said
        print(verdict(name, said))


def verdict(name: str, said: str) -> str:
    """The line of one check; `said` is '' for a right answer."""
    return f"{name}: not yet. {said}" if said else f"{name}: right."


def other_form(given: str, asked: str) -> str:
    """What is said of an answer of another form than the right one."""
    return f"This is: {given}; asked for is: {asked}."


def relative_error(a, b) -> float:
    """max|a - b| / (max|a| + max|b|): 0 where equal, 1 for opposite signs, nan for nan."""
    size = np.abs(a).max(initial=0) + np.abs(b).max(initial=0)
    return float(np.abs(a - b).max(initial=0) / size) if size != 0 else 0.0


def differences(function, inputs: list, which: int = 0, step: float = 1e-5) -> np.ndarray:
    """Slopes of a function of arrays or tensors along each number of one of them, in a row."""
    x = inputs[which]
    moved = x.detach().clone() if hasattr(x, "detach") else np.array(x, dtype=float)
    inputs[which], flat = moved, moved.reshape(-1)
    slopes = []
    for place in range(len(flat)):
        kept = float(flat[place])
        ends = []
        for side in (step, -step):
            flat[place] = kept + side
            ends.append(float(function(*inputs)))
        flat[place] = kept
        slopes.append((ends[0] - ends[1]) / (2 * step))
    return np.array(slopes)
