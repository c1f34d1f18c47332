"""The page 'Add a benchmark' is a recipe: its blocks are carried out in a copy of the project."""

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

PAGE = "add_a_benchmark"


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """The package with the page's folder in it, its data beside it."""
    root = tmp_path_factory.mktemp("copy")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PROJECT / "hkt_lite", root / "hkt_lite", ignore=ignored)
    (root / "data").mkdir()
    for path in (PROJECT / "data").iterdir():
        if path.name not in ("runs", "cache"):
            (root / "data" / path.name).symlink_to(path)
    folder = root / "hkt_lite" / "benchmarks" / "spirals"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "task.py").write_text(block(PAGE, "spirals-task"), encoding="utf-8")
    (folder / "scales.yaml").write_text(block(PAGE, "spirals-scales"), encoding="utf-8")
    return root


def hkt(copy: Path, line: str, *more: str, code: int = 0) -> subprocess.CompletedProcess:
    environment = child_environment(copy / "runs", PYTHONPATH=str(copy))
    command = [sys.executable, "-m", "hkt_lite", *shlex.split(line)[1:], *more]
    done = subprocess.run(
        command, cwd=copy, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def parent(copy) -> dict:
    return json.loads(hkt(copy, block(PAGE, "spirals-parent"), "--json").stdout)


def test_the_parent_learns_more_than_chance(parent):
    assert parent["purpose"] == "parent" and parent["config"]["child"] == "mlp64"
    assert parent["selected"]["test"]["accuracy"] > 100 / 3 + 20


def test_a_child_inherits_from_it(copy, parent):
    line = block(PAGE, "spirals-hkt").replace("run:ID", f"run:{parent['id']}")
    record = json.loads(hkt(copy, line, "--json").stdout)
    assert record["parent"]["arch"] == "mlp64" and record["config"]["child"] == "mlp4"
    for epoch in record["epochs"]:
        assert list(epoch["train"]) == ["L_c", "L_c*", "L_p*"]
        assert {"gate", "share", "displacement"} <= set(epoch["inherited"])
    assert record["fidelity"].keys() == {"train", "test"}


def test_a_batch_can_be_looked_into(copy, parent):
    line = block(PAGE, "spirals-trace").replace("run:ID", f"run:{parent['id']}")
    said = hkt(copy, line).stdout
    assert "L_c*" in said and "gate" in said


def test_what_it_cannot_do_is_one_sentence(copy):
    line = "hkt run spirals plain --scale smoke --source real"
    said = hkt(copy, line, code=2).stderr
    assert said == "hkt: Spirals are drawn, and their parent is consulted live.\n"
