"""What may be set about a method: fields with a default and a range, checked when they are given.

class Options(Method.Options):          # Options(alpha=2): Option 'alpha' of KD must be a
    alpha: float = number(0.9, 0, 1)    #     number from 0 to 1, got 2.
"""

import difflib
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from typing import Any

LARGEST = sys.float_info.max


class MethodError(ValueError):
    """A method cannot do what is asked of it; one sentence that says what, where and what to do."""


def nearest(name: object, known: Iterable[str]) -> str:
    """' Did you mean …?' for a mistyped name; empty where no known one is near."""
    near = difflib.get_close_matches(str(name), list(known), 1, 0.5)
    return f" Did you mean {near[0]!r}?" if near else ""


def number(default: float, low: float = 0, high: float = LARGEST, above: bool = False) -> Any:
    """A field for a finite number from `low`, or `above` it, to `high`; a whole one where the
    default is an int.  Bools are no numbers."""
    whole = isinstance(default, int)

    def fits(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        if whole and value % 1:  # also of infinity and NaN
            return False
        return low <= value <= high and not (above and value == low)  # NaN fails every comparison

    upwards = f"{'above' if above else 'of at least'} {low:g}"
    words = f"finite number {upwards}" if high == LARGEST else f"number from {low:g} to {high:g}"
    return _field(default, fits, "whole " * whole + words)


def choice(*known: str) -> Any:
    """A field for one of the `known` names; the first is the default."""
    return _field(known[0], lambda value: value in known, f"name out of {', '.join(known)}", known)


def subset(*names: str, default: tuple[str, ...] = ()) -> Any:
    """A field for some of the names, at least one and in their order; or else all by default."""

    def fits(value: Any) -> bool:
        ordered = [name for name in names if isinstance(value, (list, tuple)) and name in value]
        return bool(ordered) and ordered == list(value)

    return _field(default or names, fits, f"list of some of {', '.join(names)}, in this order")


def _field(default: Any, fits: Callable[[Any], bool], words: str, known: tuple = ()) -> Any:
    return field(default=default, metadata={"fits": fits, "words": words, "known": known})


@dataclass(frozen=True, init=False)
class Options:
    """The options of one method; every subclass becomes a frozen dataclass with this `__init__`.

    Raises MethodError for a name that is not a field and for a value outside its field's range.
    """

    def __init_subclass__(cls):
        dataclass(frozen=True, init=False)(cls)
        for option in fields(cls):
            if "fits" not in option.metadata:
                said = f"Option {option.name!r} of {cls.__qualname__} has no range"
                raise MethodError(f"{said}; give it one, such as number(0.9, 0, 1).")

    def __init__(self, /, **given: Any):
        owner = type(self).__qualname__.removesuffix(".Options")
        known = {option.name: option for option in fields(self)}
        for name in given:
            if name not in known:
                has = f"it has {', '.join(known) or 'none'}"
                raise MethodError(f"{owner} has no option {name!r}; {has}.{nearest(name, known)}")
        for name, option in known.items():
            value, rule = given.get(name, option.default), option.metadata
            kind: Any = type(option.default)
            if not rule["fits"](value):
                said = f"Option {name!r} of {owner} must be a {rule['words']}, got {value!r}."
                raise MethodError(said + nearest(value, rule["known"]))
            object.__setattr__(self, name, kind(value))

    def plain(self) -> dict[str, Any]:
        """{name: value} as JSON has it: tuples are lists."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in vars(self).items()}

    @classmethod
    def choices(cls) -> dict[str, tuple[str, ...]]:
        """{name: what it may be} of the options that are a choice of names."""
        known = {option.name: option.metadata["known"] for option in fields(cls)}
        return {name: names for name, names in known.items() if names}
