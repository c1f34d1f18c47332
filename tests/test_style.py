"""What CI asks of every commit, each by the tool that a contributor runs: `ruff check`, and so on."""

import ast
import subprocess
import sysconfig
from pathlib import Path

import pytest

from hkt_lite.config import PROJECT

TOOLS = {
    "imports run downwards": ["lint-imports", "--no-cache"],
    "lint": ["ruff", "check", "."],
    "format": ["ruff", "format", "--check", "."],
    "types": ["mypy", "--cache-dir", "{cache}"],
}


# Lines that a room may have.  The helper is to stay one that a person can read: whoever needs more
# takes something out, or raises a number here and says in the commit what it buys.
ROOMS = {
    "methods": 1877,
    "benchmarks": 4400,
    "runs": 2757,
    "evidence": 2972,
    "book": 1414,
    "cli": 585,
    "": 493,
}
FILE, FUNCTION = 310, 40


@pytest.mark.parametrize("name", TOOLS)
def test_the_tools_find_nothing(name, tmp_path):
    tool, *words = TOOLS[name]
    command = [str(Path(sysconfig.get_path("scripts")) / tool), *words]
    command = [word.format(cache=tmp_path) for word in command]
    ended = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_a_room_that_imports_from_above_is_named(tmp_path):
    """`runs` must not know `evidence`: the same contracts on a package that breaks them."""
    for room in ("config", "files", "cli", "__main__"):
        (tmp_path / "hkt_lite").mkdir(exist_ok=True)
        (tmp_path / "hkt_lite" / f"{room}.py").write_text("")
    for room in ("book", "evidence", "runs", "benchmarks", "methods"):
        (tmp_path / "hkt_lite" / room).mkdir()
        (tmp_path / "hkt_lite" / room / "__init__.py").write_text("")
    for package in ("hkt_lite", "hkt_course"):
        (tmp_path / package).mkdir(exist_ok=True)
        (tmp_path / package / "__init__.py").write_text("")
    (tmp_path / "hkt_lite" / "runs" / "store.py").write_text("from ..evidence import stats\n")
    (tmp_path / "hkt_lite" / "evidence" / "stats.py").write_text("")
    text = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    street = text[text.index("[tool.importlinter]") : text.index('name = "methods/ is torch')]
    street = street.rpartition("[[tool.importlinter.contracts]]")[0]
    (tmp_path / "pyproject.toml").write_text(street)
    command = [str(Path(sysconfig.get_path("scripts")) / "lint-imports"), "--no-cache"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "hkt_lite.runs is not allowed to import hkt_lite.evidence" in ended.stdout


def lines(path: Path) -> int:
    return path.read_text(encoding="utf-8").count("\n")


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_stays_small(room):
    folder = PROJECT / "hkt_lite" / room
    files = folder.rglob("*.py") if room else folder.glob("*.py")
    assert 0 < sum(map(lines, files)) <= ROOMS[room]


def test_every_room_has_its_measure():
    assert {path.parent.name for path in (PROJECT / "hkt_lite").glob("*/*.py")} == {*ROOMS} - {""}


def test_files_and_functions_stay_short():
    long = []
    for package in ("hkt_lite", "hkt_course", "book/_extension"):
        for path in sorted((PROJECT / package).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            functions = [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)]
            long += [path.name] * (lines(path) > FILE)
            long += [
                f"{path.name}: {one.name}"
                for one in functions
                if one.end_lineno - one.lineno >= FUNCTION
            ]
    assert long == []
