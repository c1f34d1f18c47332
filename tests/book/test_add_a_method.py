"""The page 'Add a method' is a recipe: its blocks are carried out, one after the other, in a copy of the project."""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hkt_lite.config import PROJECT
from tests.book.recipes import block
from tests.helpers import child_environment

AFTER = '            "kd": {"cached": {}, "live": LIVE},\n'  # of the embedded images' cases


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """The project with the method, its test and its case as the page has them."""
    root = tmp_path_factory.mktemp("copy")
    for name in ("hkt_lite", "tests", "data/golden"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / name, root / name, ignore=ignored)
    for path in (PROJECT / "data").iterdir():
        if path.name not in ("golden", "runs", "cache"):
            (root / "data" / path.name).symlink_to(path)
    (root / "pyproject.toml").symlink_to(PROJECT / "pyproject.toml")
    (root / "hkt_lite/methods/matching.py").write_text(
        block("add_a_method", "matching-py"), encoding="utf-8"
    )
    (root / "tests/methods/test_matching.py").write_text(
        block("add_a_method", "matching-test"), encoding="utf-8"
    )
    cases = root / "tests/golden/cases.py"
    text = cases.read_text(encoding="utf-8")
    assert text.count(AFTER) == 1
    cases.write_text(
        text.replace(AFTER, AFTER + block("add_a_method", "matching-case")), encoding="utf-8"
    )
    return root


def python(copy: Path, *words: str) -> subprocess.CompletedProcess:
    environment = child_environment(copy / "runs", PYTHONPATH=str(copy))
    command = [sys.executable, "-m", *words]
    done = subprocess.run(
        command, cwd=copy, env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def hkt(copy: Path, line: str, *more: str) -> subprocess.CompletedProcess:
    return python(copy, "hkt_lite", *shlex.split(line)[1:], *more)


@pytest.mark.slow
def test_the_method_runs_and_logs_its_terms(copy):
    record = json.loads(hkt(copy, block("add_a_method", "matching-run"), "--json").stdout)
    assert record["config"]["method"] == "matching" and record["config"]["options"] == {"beta": 0.5}
    for epoch in record["epochs"]:
        assert list(epoch["train"]) == ["L_c", "L_match"] and epoch["train"]["L_match"] > 0


@pytest.mark.slow
def test_its_test_passes_and_sees_the_faults(copy):
    done = python(copy, "pytest", "tests/methods/test_matching.py", "-q", "-p", "no:cacheprovider")
    assert "4 passed" in done.stdout


@pytest.mark.slow
def test_its_golden_is_written_and_then_holds(copy):
    line = block("add_a_method", "matching-golden")
    hkt(copy, line)
    made = json.loads((copy / "data/golden/cifar10-matching-synthetic.json").read_text())
    assert made["version"] == 1 and set(made["cases"]) == {"cached", "live"}
    hkt(copy, line.split("--accept")[0])
    assert not (PROJECT / "data/golden/cifar10-matching-synthetic.json").exists()
