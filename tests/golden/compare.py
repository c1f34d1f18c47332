"""Measured values against a golden, and the only way to change one.   hkt golden [--accept "why"]"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime

from hkt_lite.config import HKTError
from hkt_lite.files import write_bytes
from hkt_lite.runs import golden as goldens

# Largest relative deviations; data/golden/README.md says what other processors were measured to give.
TOLERANCE = {
    "batches": 1e-4,
    "untrained": 3e-4,
    "evaluated": 3e-4,
    "parent": 1e-3,
    "weights": 2e-4,
    "trained": 5e-3,
    "counts": 0.02,
}
COUNTED = (
    "accuracy",
    "fl_all",
    "px",
    "dice",
    "hd95",
    "assd",
    "lesion_recall",
    "false_alarms",
)  # after training a pixel may tip over, and of an accuracy one image
SMALL = 0.05  # below this a number is compared absolutely: a sum of waves may be next to nothing


def differences(golden: str, measured: dict) -> list[str]:
    """Where measured cases {case: values} leave the golden, a sentence each; empty where they are the same within its tolerance."""
    known = goldens.read(golden)
    tolerance, cases = known["tolerance"], known["cases"]
    lost = [f"{golden}: case {case!r} was not measured." for case in cases.keys() - measured.keys()]
    new = [f"{golden}: case {case!r} is new." for case in measured.keys() - cases.keys()]
    both = [case for case in cases if case in measured]
    changed = []
    for case in both:
        one = _one_image(cases[case].get("batches", {}))
        changed += _changed(cases[case], measured[case], (case,), tolerance, one)
    return sorted(lost) + sorted(new) + [f"{golden}: {line}" for line in changed]


def _one_image(batches: dict) -> dict[str, float]:
    """What one image of a set counts in its accuracy, in per cent, where there are labels of
    images: 'int64 [80]'."""
    found = {}
    for split in ("val", "test"):
        said = batches.get(split, {}).get("y", [""])[0]
        labels = re.fullmatch(r"int64 \[(\d+)\]", said) if isinstance(said, str) else None
        if labels:
            found[split] = 100 / int(labels[1])
    return found


def _changed(old, new, path: tuple, tolerance: dict, one: dict) -> Iterator[str]:
    """A sentence for each value below `path` that differs."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if key in old and key in new:
                yield from _changed(old[key], new[key], (*path, key), tolerance, one)
            else:
                yield f"{' / '.join((*path, key))} is {'new' if key in new else 'missing'}."
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for place, pair in enumerate(zip(old, new)):
            yield from _changed(*pair, (*path, str(place)), tolerance, one)
    elif not _same(old, new, tolerance[_kind(path)]):
        split = next((part for part in path if part in one), "")
        tipped = _kind(path) == "counts" and path[-1] == "accuracy" and split
        if not tipped or abs(new - old) > one[split] + 1e-4:
            yield f"{' / '.join(path)} is {new!r}, the golden says {old!r}."


def _kind(path: tuple) -> str:
    """Which tolerance holds at (case, part, …, key)."""
    if path[1] in TOLERANCE:
        return path[1]
    return "counts" if any(word in path[-1] for word in COUNTED) else "trained"


def _same(old, new, tolerance: float) -> bool:
    """Texts and whole numbers exactly, other numbers relatively."""
    if not isinstance(old, float) or not isinstance(new, float):
        return type(old) is type(new) and old == new
    return abs(new - old) <= tolerance * max(abs(old), abs(new), SMALL)


def accept(golden: str, measured: dict, why: str) -> bool:
    """Make `measured` the golden: a new one has version 1, one that differs gets the next; False where nothing differs.

    A case more is no change: it says more of the same behaviour, and the version stays.  Raises HKTError without a reason:
    the history is what tells a reader which records are stale, and why.
    """
    if not why.strip():
        raise HKTError(
            'A golden is accepted with a reason: hkt golden NAME --accept "why its values change".'
        )
    old = (
        goldens.read(golden)
        if golden in goldens.names()
        else {"version": 0, "history": [], "tolerance": TOLERANCE}
    )
    found = differences(golden, measured) if old["version"] else []
    if old["version"] and not found:
        return False
    more = f"{golden}: case "
    if found and all(line.startswith(more) and line.endswith("is new.") for line in found):
        cases = {**old["cases"], **{k: v for k, v in measured.items() if k not in old["cases"]}}
        write_bytes(goldens.home() / f"{golden}.json", _text({**old, "cases": cases}).encode())
        return True
    entry = {
        "version": old["version"] + 1,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "why": why.strip(),
    }
    new = {
        **old,
        "version": entry["version"],
        "history": [*old["history"], entry],
        "cases": measured,
    }
    write_bytes(goldens.home() / f"{golden}.json", _text(new).encode())
    return True


def _text(golden: dict) -> str:
    """JSON with a line for each kind of values of a case, so that a change shows as a short diff."""
    head = {key: value for key, value in golden.items() if key != "cases"}
    cases = []
    for case, values in golden["cases"].items():
        lines = ",\n".join(f"   {_json(key)}: {_json(value)}" for key, value in values.items())
        cases.append(f"  {_json(case)}: {{\n{lines}\n  }}")
    top = "".join(f" {_json(key)}: {_json(value)},\n" for key, value in head.items())
    return f'{{\n{top} "cases": {{\n' + ",\n".join(cases) + "\n }\n}\n"


def _json(value) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
