"""The exercises of the book, checked while somebody does them.

from hkt_course.exercises import check
check("ex-gate-hand", s=None, g=None)       # ex-gate-hand: nothing to check yet.
check("ex-gate-hand", s=2, g=None)          # ex-gate-hand: not yet. s: This is the dot product; …

Answers lie open in exercises.yaml and formulas.py, for the solution stands on the same page.
"""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from .check import TOLERANCE, UNKNOWN, numbers, other_form, relative_error, verdict
from .formulas import FORMULAS, OF_THE_PAGE

BOOK = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
NOTHING = numbers(None)[0]
WITHIN = 0.006  # of a number's size: three digits are enough
CLOSE = "This is close, but not it; if it is only rounded, give three digits."


@dataclass(frozen=True)
class Part:
    """One answer that an exercise asks for; functions are compared on the arguments `on`."""

    right: Any
    wrong: dict[str, Any]  # what is said -> the answer that it is said of
    within: float = WITHIN
    on: tuple = ()


def parts_of(name: str, of=None) -> dict[str, Part]:
    """What an exercise asks for, by name.  Raises KeyError where there is no check."""
    listed = BOOK["checks"].get(name, {})
    made = OF_THE_PAGE[name](of) if name in OF_THE_PAGE else FORMULAS.get(name, {})
    if not listed and not made:
        raise KeyError(f"There is no check {name!r}.")
    parts = {
        part: Part(right, wrong, TOLERANCE if on else WITHIN, on)
        for part, (right, wrong, on) in made.items()
    }
    for part, line in listed.items():
        wrong = {said: answer for answer, said in line["wrong"]}
        parts[part] = Part(line["right"], wrong, line.get("within", WITHIN))
    return parts


def check(name: str, of=None, **given) -> None:
    """Print one line on the answers `given` to an exercise; None is an answer still to come.

    given  number, text, list, array, tensor, or a function, which is called
    of     what the page computed and the right answer depends on, where it does
    """
    print(judged(name, of, **given))


def judged(name: str, of=None, **given) -> str:
    """The line that `check` prints."""
    parts = parts_of(name, of)
    if set(given) != set(parts):
        return verdict(name, f"Asked for is: {', '.join(parts)}.")
    said = {asked: _judged(part, given[asked]) for asked, part in parts.items()}
    right, still = ([asked for asked in parts if said[asked] == kept] for kept in ("", None))
    if len(right) == len(parts):
        return verdict(name, "")
    if len(still) == len(parts):
        return f"{name}: nothing to check yet."
    mark = "{0}: {1}" if len(parts) > 1 else "{1}"
    lines = [mark.format(asked, text) for asked, text in said.items() if text]
    lines += [f"Right: {', '.join(right)}."] if right else []
    lines += [f"Still open: {', '.join(still)}."] if still else []
    return verdict(name, " ".join(lines))


def _judged(part: Part, answer) -> str | None:
    """'' for a right answer, None for one that is still to come, else what is wrong."""
    asked, right = _form(_value(part.right, part))
    if callable(answer) and not callable(part.right):
        return other_form("a function", asked)
    try:
        kind, row = _form(_value(answer, part))
    except Exception as error:  # whatever a reader's function may do, and return
        return f"This cannot be read: {type(error).__name__}, {error}."
    if kind == NOTHING:
        return None
    if callable(part.right) and not callable(answer):
        return other_form(kind, "a function")
    for text, known in {"": part.right, **part.wrong}.items():
        its_kind, its_row = _form(_value(known, part))
        if kind == its_kind and _same(row, its_row, part, known):
            return text
    if kind != asked:
        return other_form(kind, asked)
    if kind == "text":
        return _choices(part, answer) or UNKNOWN
    if not np.isfinite(row).all():
        return "There are values that are not finite."
    if not callable(answer):
        whole = np.asarray(part.right).dtype.kind in "iub"
        near = len(row) == len(right) and np.allclose(row, right, rtol=0.1, atol=0)
        return CLOSE if near and not whole else UNKNOWN
    error = relative_error(row, right)
    return f"{UNKNOWN} Its relative error is {error:.1e}; allowed is {part.within:.0e}."


def _value(answer, part: Part):
    """An answer, or what it returns where it is a function: it may do as it likes with `on`."""
    return answer(*copy.deepcopy(part.on)) if callable(answer) else answer


def _form(value) -> tuple[str, np.ndarray]:
    """(what it is, its numbers) as `check.numbers`; but numbers in a list are an array, texts are a
    set, and True is no number."""
    if hasattr(value, "detach") and value.ndim == 0:
        value = value.item()  # also of a comparison, such as (a == b).all()
    if isinstance(value, (bool, np.bool_)):
        return "True or False", np.array([float(value)])
    if isinstance(value, (str, list, tuple, set, frozenset)) and value:
        if all(isinstance(one, str) for one in value):
            return "text", numbers(sorted(_texts(value)))[1]
        kinds, rows = zip(*map(numbers, value))
        if set(kinds) == {"number"}:
            return f"array ({len(rows)},)", np.concatenate(rows)
    return numbers(value)


def _same(row: np.ndarray, known: np.ndarray, part: Part, answer) -> bool:
    """Functions agree in their relative error, whole numbers exactly, others one by one."""
    if len(row) != len(known):
        return False
    if callable(answer):
        return relative_error(row, known) <= part.within
    whole = np.asarray(answer).dtype.kind in "iub"
    return np.allclose(row, known, rtol=0 if whole else part.within, atol=1e-9, equal_nan=True)


def _choices(part: Part, answer) -> str:
    """What there is to choose from, where an answer is none of it."""
    answers = (part.right, *part.wrong.values())
    known = {one.lower(): one for text in answers for one in _listed(text)}
    listed = ", ".join(known[key] for key in sorted(known))  # else the right one would stand first
    return "" if _texts(answer) <= set(known) else f"Choose from: {listed}."


def _listed(answer) -> list[str]:
    return [answer] if isinstance(answer, str) else list(answer)


def _texts(answer) -> set[str]:
    return {one.strip().lower() for one in _listed(answer)}
