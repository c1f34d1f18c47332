"""A student's own look at a hand-in.   hkt course check a1_attention.ipynb"""

import tempfile
from pathlib import Path

from hkt_lite.book.notebook import read
from hkt_lite.config import HKTError

from . import grader
from .source import TEXT_STUB


def problems(path: Path) -> tuple[list[str], int]:
    """(a sentence for all that is not right yet, the number of checks that are).

    Raises HKTError for a file that is no notebook of an assignment.
    """
    notebook = read(path)
    facts = notebook.metadata.get("hkt", {})
    if "points" not in facts:
        raise HKTError(f"{path} is no notebook of an assignment; open the one from the zip again.")
    found = []
    if path.stem.split("__")[-1] != facts["assignment"]:
        found.append(f"The file should be called {facts['assignment']}.ipynb.")
    here = {grader.name(cell) for cell in notebook.cells}
    for test in facts["points"]:
        if test not in here:
            found.append(f"The cell {test!r} is missing; it will be put back when it is graded.")
    for cell in notebook.cells:
        if grader.role(cell) == "essay" and TEXT_STUB in cell.source:
            found.append(f"The answer {grader.name(cell)!r} is not written yet.")
    with grader.Warm() as warm:
        seen = rehearse(notebook, warm)
    found += seen["errors"]
    found += [f"{check}: not yet. {said}" for check, said in seen["results"].items() if said]
    return found, sum(not said for said in seen["results"].values())


def rehearse(notebook, warm: grader.Warm, limits: grader.Limits = grader.Limits()) -> dict:
    """{'results': {check: '' or what it said}, 'errors': [sentence]} of a student's notebook.

    All cells run in order, also the visible part of the tests; nothing is graded.
    """
    with tempfile.TemporaryDirectory(prefix="handin-") as folder:
        running = grader.Running(warm, folder, notebook.metadata["hkt"]["imports"], (), limits)
        errors = []
        try:
            for number, cell in enumerate(notebook.cells, 1):
                if cell.cell_type == "code":
                    label = grader.name(cell) or f"cell {number}"
                    answer = running.ask(run=cell.source, name=label)
                    if answer["error"]:
                        errors.append(f"{label}: {grader.said(answer['error'])}")
            answer = running.ask(probe="check.results", tell=True)
            if answer.get("error"):
                errors.append(f"No test can be asked: {grader.said(answer['error'])}.")
        finally:
            running.kill()
    return {"results": dict(answer.get("value", {}).get("dict", [])), "errors": errors}
