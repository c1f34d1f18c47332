"""Makes each change of details.yaml in a copy of the project, and runs the test that has to fail under it.

    python -m tests.methods.mutate [METHOD ...]

A line a change; exit code 1 where a test did not fail, or fails without any change.  Each test runs in a fork of one process that has imported what is
slow to import and is not ours.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
METHODS = Path("hkt_lite") / "methods"
FAILED = pytest.ExitCode.TESTS_FAILED


def details(*chosen: str) -> Iterator[tuple[str, dict]]:
    """(method, detail) in the order of the page; of the chosen methods, or of all."""
    known = yaml.safe_load((ROOT / "tests/methods/details.yaml").read_text(encoding="utf-8"))
    for method, listed in known.items():
        if not chosen or method in chosen:
            yield from ((method, detail) for detail in listed)


def changed(detail: dict, root: Path = ROOT) -> str:
    """The text of the detail's file with its change; ValueError where it does not fit any more."""
    text = (root / METHODS / detail["in"]).read_text(encoding="utf-8")
    was, becomes = detail["was"], detail["becomes"]
    if text.count(was) != 1 or was == becomes:
        raise ValueError(f"{detail['in']} has {text.count(was)} times {was!r}")
    return text.replace(was, becomes)


def prepare() -> None:
    """Import all, and forget what is ours: a fork imports the copy."""
    from importlib import import_module

    import hkt_lite

    import_module("torchdistill.losses.mid_level")
    hkt_lite.torchvision()
    for name in ("torchdistill.models.wrapper", "tests.conftest", "hypothesis"):
        import_module(name)
    for name in list(sys.modules):
        if name.split(".")[0] in ("hkt_lite", "tests"):
            del sys.modules[name]


def outcome(test: str, copy: Path, log: Path) -> int:
    """pytest's exit code for one test of the copy, run in a fork."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.chdir(copy)
    sys.path[:] = [str(copy), *(p for p in sys.path if p not in ("", str(ROOT)))]
    with open(log, "w", encoding="utf-8") as out, contextlib.redirect_stdout(out):
        code = pytest.main([f"tests/methods/{test}", "-x", "-q", "-p", "no:cacheprovider"])
    os._exit(int(code))


def main(*chosen: str) -> int:
    survived = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("hkt_lite", "tests"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, copy / name, ignore=ignored)
        for name in ("pyproject.toml", "data", "book"):
            (copy / name).symlink_to(ROOT / name)
        found = list(details(*chosen))
        prepare()
        sys.dont_write_bytecode = True  # sources change within a second
        for test in dict.fromkeys(detail["test"] for _, detail in found):
            code = outcome(test, copy, copy / "log")
            if code:
                raise SystemExit(f"{test} fails without any change (exit code {code}).")
        for method, detail in found:
            path = copy / METHODS / detail["in"]
            path.write_text(changed(detail), encoding="utf-8")
            code = outcome(detail["test"], copy, copy / "log")
            shutil.copy(ROOT / METHODS / detail["in"], path)
            said = "seen" if code == FAILED else f"NOT SEEN (exit code {code})"
            survived += code != FAILED
            print(
                f"{said:9} {method:9} {detail['was']!r} -> {detail['becomes']!r}  {detail['test']}"
            )
            if code != FAILED:
                print((copy / "log").read_text(encoding="utf-8")[-1500:])
            sys.stdout.flush()
    return int(survived > 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
