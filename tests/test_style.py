"""What CI asks of every commit, each by the tool that a contributor runs: `ruff check`, and so on."""

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
