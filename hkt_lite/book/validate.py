"""Pages executed again by strict nbval with an empty run store.   hkt check --nbval

Text, HTML, JSON and SVG are compared exactly; raster images are not, so figures are SVG with a
fixed `svg.hashsalt`.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from ..config import HKTError
from .execute import environment
from .notebook import code_cells, read
from .problem import Problem

NBVAL = ["--nbval", "--nbval-current-env", "-p", "no:cacheprovider", "--color=no", "-q"]
NBVAL += ["--nbval-cell-timeout=600"]  # seconds


def validate(paths: list[Path]) -> list[Problem]:
    """Each cell of these pages that shows something else when it is executed again.

    Raises HKTError for a stripped page, or when a code cell was not looked at.
    """
    expected = sum(_refuse_stripped(path) for path in paths)
    top = os.path.commonpath([path.resolve().parent for path in paths])
    with tempfile.TemporaryDirectory() as folder:
        settings, report = Path(folder) / "pytest.ini", Path(folder) / "report.xml"
        settings.write_text("[pytest]\n")
        options = ["-c", str(settings), "--rootdir", top]
        pages = [str(path.resolve()) for path in paths]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *NBVAL, *options, f"--junitxml={report}", *pages],
            check=False,
            cwd=folder,
            capture_output=True,
            text=True,
            env=environment(HKT_RUNS=str(Path(folder) / "runs")),
        )
        cases = list(ElementTree.parse(report).iter("testcase")) if report.is_file() else []
    if len(cases) != expected or done.returncode not in (0, 1):
        said = (done.stdout.strip() or done.stderr.strip()).splitlines()[-1:]
        raise HKTError(f"nbval looked at {len(cases)} code cells of {expected}: {' '.join(said)}")
    return [problem for problem in map(_failure, cases) if problem]


def _refuse_stripped(path: Path) -> int:
    """The number of code cells.  Raises HKTError for a page on which nbval would pass without
    comparing anything."""
    cells = list(code_cells(read(path)))
    filled = [(number, cell) for number, cell in cells if cell.source.strip()]
    if not any(cell.outputs for _, cell in filled):
        raise HKTError(f"{path.name} has no outputs, nothing to validate; execute it first.")
    for number, cell in filled:
        if cell.execution_count is None:
            raise HKTError(
                f"{path.name}, code cell {number} has no outputs, nothing to validate: it was "
                "never executed; execute the whole page again."
            )
    return len(cells)


def _failure(case: ElementTree.Element) -> Problem | None:
    """A failed, erroneous or skipped cell of nbval's report."""
    said = [child for child in case if child.tag != "properties"]
    if not said:
        return None
    text = (said[0].text or said[0].get("message", "")).strip()
    stem = case.get("classname", "").removesuffix(".ipynb").split(".")[-1]
    number = int(case.get("name", "").split()[-1]) + 1
    where = f"{stem}, code cell {number}"
    return Problem("nbval", where, f"nbval: {where} no longer shows what it showed:\n{text}")
