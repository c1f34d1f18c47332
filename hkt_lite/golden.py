"""Golden runs: what the code computes on tiny configurations, committed.   hkt golden [NAMES]

    version("flow", "hkt", "synthetic")      # 3: twice changed on purpose

A golden is data/golden/TASK-METHOD-SOURCE.json: a version, its history and the values of each case.
Behaviour is judged by it, not by source text: refactoring changes no value, another augmentation,
default or sign does.  tests/golden measures and compares; accepting what differs is the only way to
change a golden, and raises its version.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from .config import PROJECT, HKTError, nearest
from .records import read_json, write_bytes

# Largest relative deviation; data/golden/README.md says what other processors were measured to give.
TOLERANCE = {
    "batches": 1e-4,
    "untrained": 3e-4,
    "evaluated": 3e-4,
    "parent": 1e-3,
    "weights": 2e-4,
    "trained": 5e-3,
    "counts": 0.02,
}
# Of a trained network; one pixel may tip over.
COUNTED = (
    "accuracy",
    "fl_all",
    "px",
    "dice",
    "hd95",
    "assd",
    "lesion_recall",
    "false_alarms",
)
REASON = "HKT_GOLDEN_ACCEPT"  # environment variable: why the suite may change goldens
SUITE = "tests/golden/test_golden.py"
SMALL = 0.05  # below this a number is compared absolutely


def home() -> Path:
    return PROJECT / "data" / "golden"


def name(task: str, method: str, source: str) -> str:
    """The golden of a run; `method` is 'eval' for evaluations of checkpoints."""
    return f"{task}-{method}-{source}"


def names() -> list[str]:
    return sorted(path.stem for path in home().glob("*.json"))


def read(golden: str) -> dict:
    """{'version', 'history', 'tolerance', 'cases'}.  HKTError for an unknown or damaged one."""
    if golden not in names():
        raise HKTError(f"There is no golden {golden!r}.{nearest(golden, names())}")
    return read_json(home() / f"{golden}.json", "golden")


def version(task: str, method: str, source: str) -> int:
    """The version that a record made today carries."""
    return read(name(task, method, source))["version"]


def differences(golden: str, measured: dict) -> list[str]:
    """Where measured cases {case: values} leave the golden beyond its tolerance, a sentence each."""
    known = read(golden)
    tolerance, cases = known["tolerance"], known["cases"]
    lost = [f"{golden}: case {case!r} was not measured." for case in cases.keys() - measured.keys()]
    new = [f"{golden}: case {case!r} is new." for case in measured.keys() - cases.keys()]
    both = [case for case in cases if case in measured]
    changed = (
        line for case in both for line in _changed(cases[case], measured[case], (case,), tolerance)
    )
    return sorted(lost) + sorted(new) + [f"{golden}: {line}" for line in changed]


def _changed(old, new, path: tuple, tolerance: dict) -> Iterator[str]:
    """A sentence for each value below `path` that differs."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if key in old and key in new:
                yield from _changed(old[key], new[key], (*path, key), tolerance)
            else:
                yield f"{' / '.join((*path, key))} is {'new' if key in new else 'missing'}."
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for place, pair in enumerate(zip(old, new)):
            yield from _changed(*pair, (*path, str(place)), tolerance)
    elif not _same(old, new, tolerance[_kind(path)]):
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
    """Make `measured` the golden, in the next version; False, and no change, where nothing differs.

    Raises HKTError without a reason: the history tells which records are stale, and why.
    """
    if not why.strip():
        raise HKTError(
            'A golden is accepted with a reason: hkt golden NAME --accept "why its values change".'
        )
    old = (
        read(golden) if golden in names() else {"version": 0, "history": [], "tolerance": TOLERANCE}
    )
    if old["version"] and not differences(golden, measured):
        return False
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
    write_bytes(home() / f"{golden}.json", _text(new).encode())
    return True


def suite(chosen: list[str], why: str | None = None) -> int:
    """Compare the chosen goldens, or all; accept what differs with `why`.  0 if nothing differs then."""
    if why is not None and not why.strip():
        raise HKTError("A golden is accepted with a reason, not an empty one.")
    if not (PROJECT / SUITE).is_file():
        raise HKTError(
            f"There is no {PROJECT / SUITE}; run this in a clone of the project, goldens need its tests."
        )
    if strange := [one for one in chosen if one not in names() and why is None]:
        raise HKTError(f"There is no golden {strange[0]!r}.{nearest(strange[0], names())}")
    tests = [f"{SUITE}::test_golden[{one}]" for one in chosen] or [f"{SUITE}::test_golden"]
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--no-header",
        "--durations=0",
        "-p",
        "no:cacheprovider",
        *tests,
    ]
    environment = {**os.environ, REASON: why or ""}
    return 1 if subprocess.run(words, cwd=PROJECT, env=environment).returncode else 0


def _text(golden: dict) -> str:
    """JSON with a line for each part of a case, so that a change shows as a short diff."""
    head = {key: value for key, value in golden.items() if key != "cases"}
    cases = []
    for case, values in golden["cases"].items():
        lines = ",\n".join(f"   {_json(key)}: {_json(value)}" for key, value in values.items())
        cases.append(f"  {_json(case)}: {{\n{lines}\n  }}")
    top = "".join(f" {_json(key)}: {_json(value)},\n" for key, value in head.items())
    return f'{{\n{top} "cases": {{\n' + ",\n".join(cases) + "\n }\n}\n"


def _json(value) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
