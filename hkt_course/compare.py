"""Whether what a hand-in answered is what the reference answered: plain values, compared here.

This runs in the grader's process, which executes nothing of a hand-in.
"""

import base64

import numpy as np

from hkt_lite.config import HKTError

from .check import relative_error
from .student import encode

THRESHOLD = 1e-5  # of the relative error, where a test names no other: `# relative error 1e-3`


def canary() -> None:
    """A comparison that says yes to everything would give full marks to everybody."""
    wrong = [(0, 1), (1.0, 1.1), ("a", "b"), (0, None), (_array([1.0]), _array([1.0, 1.0]))]
    wrong += [(_array([np.nan]), _array([1.0])), ({"list": [1]}, {"list": [2]}), (True, False)]
    if any(not differs(a, b, THRESHOLD) for a, b in wrong) or differs(1.0, 1.0, THRESHOLD):
        raise HKTError("The comparison of answers is broken in this process; nothing is graded.")


def _array(values) -> dict:
    return encode(np.array(values))


def differs(got, wanted, threshold: float, where: str = "") -> str:
    """'' where two encoded values agree, else a sentence that tells no wanted value."""
    here = f"{where}: " if where else ""
    for kind in ("list", "dict"):
        if isinstance(wanted, dict) and kind in wanted:
            if not isinstance(got, dict) or len(got.get(kind, ())) != len(wanted[kind]):
                return f"{here}not the {kind} of {len(wanted[kind])} that is asked for"
            return _parts(got[kind], wanted[kind], kind, threshold, where)
    if isinstance(wanted, (str, type(None), bool)):
        return "" if type(got) is type(wanted) and got == wanted else f"{here}not what is asked for"
    if isinstance(wanted, int):  # an error would tell the number
        return "" if decoded(got) == wanted else f"{here}another number is asked for"
    return _arrays(got, wanted, threshold, here)


def _parts(got, wanted, kind: str, threshold: float, where: str) -> str:
    if kind == "dict":  # has no order
        got, wanted = (sorted(parts, key=lambda part: part[0]) for parts in (got, wanted))
    for number, (theirs, right) in enumerate(zip(got, wanted), 1):
        label = f"{where} {number}".strip()
        if kind == "dict":
            if theirs[0] != right[0]:
                return f"{where}: there is {theirs[0]!r} in the place of another name"
            label, theirs, right = f"{where} {right[0]}".strip(), theirs[1], right[1]
        if why := differs(theirs, right, threshold, label):
            return why
    return ""


def _arrays(got, wanted, threshold: float, here: str) -> str:
    try:
        a, b = decoded(got), decoded(wanted)
    except (ValueError, TypeError, KeyError) as problem:
        return f"{here}not numbers ({problem})"
    if a.shape != b.shape:
        return f"{here}the shape is {a.shape}, asked for is {b.shape}"
    if not np.isfinite(a).all():
        return f"{here}not finite"
    error = relative_error(a.astype(float), b.astype(float))
    return "" if error <= threshold else f"{here}relative error {error:.1e} > {threshold:.0e}"


def decoded(value) -> np.ndarray:
    """The numbers of an encoded value.  Raises ValueError or TypeError for anything else."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return np.array(float(value))
    if not isinstance(value, dict) or "array" not in value:
        kind = (
            value.get("other", "another kind") if isinstance(value, dict) else type(value).__name__
        )
        raise TypeError(f"{kind} instead")
    dtype, shape, data = value["array"]
    if np.dtype(dtype).kind not in "biuf":
        raise TypeError("of a strange kind")
    return np.frombuffer(base64.b64decode(data), dtype).reshape(shape)
