"""Golden runs: what the code computes on tiny configurations, committed.

    hkt golden [NAMES] [--accept "why"]
    version("flow-hkt-synthetic")  # 3: twice changed on purpose since the first record

A golden is data/golden/TASK-METHOD-SOURCE.json: a version, the history of its versions and the
values of each case.  Behaviour is judged by it, not by source text: refactoring changes no value,
another augmentation, default or sign does.  tests/golden measures and compares; accepting what
differs is the only way to change a golden, and raises its version.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from ..config import PROJECT, Config, HKTError, nearest
from ..files import read_json, write_bytes
from .records import Provenance

# Largest relative deviation; data/golden/README.md says what other processors and threads were measured to give.
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
)  # after training a pixel may tip over
REASON = "HKT_GOLDEN_ACCEPT"  # environment variable: why the suite may change goldens
SUITE = "tests/golden/test_golden.py"
SMALL = 0.05  # below this a number is compared absolutely: a mean or a sum of waves may be next to nothing


def home() -> Path:
    return PROJECT / "data" / "golden"


def name(task: str, method: str, source: str) -> str:
    """The golden of a run; `method` is 'eval' for evaluations of checkpoints."""
    return f"{task}-{method}-{source}"


def names() -> list[str]:
    return sorted(path.stem for path in home().glob("*.json"))


def read(golden: str) -> dict:
    """{'version', 'history', 'tolerance', 'cases'}.  Raises HKTError for an unknown name or a damaged file."""
    if golden not in names():
        raise HKTError(f"There is no golden {golden!r}.{nearest(golden, names())}")
    return read_json(home() / f"{golden}.json", "golden")


def version(golden: str) -> int:
    """The version that a record made today carries; 0 where nothing vouches for it yet."""
    return read(golden)["version"] if golden in names() else 0


def versions(config: Config) -> dict[str, int]:
    """The golden of a run's task, method and source, with its version."""
    golden = name(config.task, config.method, config.source)
    return {golden: version(golden)}


def older(made: Provenance) -> str:
    """'' for a record of today's goldens, else the golden that has changed since and why."""
    if not made.golden:
        return "the golden runs, and nothing shows that today's code would make them"
    for golden, then in made.golden.items():
        now = read(golden) if golden in names() else {"version": 0, "history": []}
        if now["version"] > then:
            why = "; ".join(one["why"] for one in now["history"] if one["version"] > then)
            return f"version {now['version']} of golden {golden} ({why})"
    return ""


def differences(golden: str, measured: dict) -> list[str]:
    """Where measured cases {case: values} leave the golden, a sentence each; empty where they are the same within its tolerance."""
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
    """Make `measured` the golden: a new one has version 1, one that differs gets the next; False where nothing differs.

    Raises HKTError without a reason: the history is what tells a reader which records are stale, and why.
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
    """Measure and compare the chosen goldens, or all; with `why`, accept what differs.  0 where nothing differs in the end, else 1."""
    if why is not None and not why.strip():
        raise HKTError("A golden is accepted with a reason, not an empty one.")
    if not (PROJECT / SUITE).is_file():
        raise HKTError(
            f"The golden runs are part of the tests: there is no {PROJECT / SUITE}; run this in a clone of the project."
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
