"""A hand-in against its source: what each test is worth, and why.

Both notebooks run, each in a process of its own (student.py); a test's last expression is computed
in both, sent here as plain values and compared here.  Nothing of a hand-in runs in this process.
"""

import base64
import copy
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field

from hkt_lite.config import HKTError

from . import compare
from .running import Limits, Running, Warm

PNG = b"\x89PNG\r\n\x1a\n"
HIDDEN = ("### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS")


@dataclass
class Mark:
    """Of one test: points of so many, and a sentence where they are not all."""

    points: float
    most: float
    said: str = ""


@dataclass
class Result:
    marks: dict[str, Mark]  # test -> its mark
    notebook: object  # what was run, with what its cells printed
    notes: list[str] = field(default_factory=list)  # what had to be put right before

    @property
    def points(self) -> float:
        return sum(mark.points for mark in self.marks.values())


def role(cell) -> str:
    """'test', 'essay', 'solution', 'given', or 'own' for a cell that the source does not have."""
    facts = cell.metadata.get("nbgrader")
    if not facts:
        return "own"
    if facts["grade"]:
        return "essay" if facts["solution"] else "test"
    return "solution" if facts["solution"] else "given"


def visible(cell) -> str:
    """A cell's code without the hidden part of a test."""
    return cell.source.partition(HIDDEN[0])[0]


def name(cell) -> str:
    return cell.metadata.get("nbgrader", {}).get("grade_id", "")


def hidden(cell) -> str:
    """The hidden part of a test cell."""
    begin, end = HIDDEN
    return cell.source.partition(begin)[2].partition(end)[0].strip("\n")


def graft(handed, source) -> tuple[object, list[str]]:
    """The source with the hand-in's solutions and own cells: (notebook, what was put right).

    So a test or given cell that was changed, moved or deleted is the source's again.
    """
    known = {name(cell): cell for cell in source.cells}
    theirs: dict[str, object] = {}
    own: dict[str, list] = {}  # after which cell of the source
    place = ""
    for cell in handed.cells:
        if name(cell) in known and name(cell) not in theirs:
            place = name(cell)
            theirs[place] = cell
        elif name(cell) not in known or role(known[name(cell)]) == "solution":
            own.setdefault(place, []).append(cell)
    made = source.copy()
    made.cells, notes = list(map(_plain, own.get("", []))), []
    for key, cell in known.items():
        if key not in theirs:
            emptied = ", empty" if role(cell) in ("solution", "essay") else ""
            notes.append(f"Cell {key!r} was missing and has been put back{emptied}.")
        cell = copy.deepcopy(cell)
        if role(cell) in ("solution", "essay"):
            cell.source = getattr(theirs.get(key), "source", "")
        made.cells += [cell, *map(_plain, own.get(key, []))]
    return made, notes


def _plain(cell):
    """A cell of the hand-in's own: nbgrader shall not take it for one of the source's."""
    cell = cell.copy()
    cell.metadata = type(cell.metadata)()
    return cell


def run(notebook, warm: Warm, private=(), limits: Limits = Limits(), tests=hidden, tell=False):
    """{test: {'value': …} or {'error': …}} of a grafted notebook; its cells get their outputs.

    `tests` says what is asked for a test cell.  All cells that are no tests run first, in order,
    so that nothing a test shows can be printed; each test sees the names as they were at its place.
    """
    facts, answers = notebook.metadata["hkt"], {}
    with tempfile.TemporaryDirectory(prefix="handin-") as folder:
        for path in facts.get("files", []):
            shutil.copy(path, folder)
        running = Running(warm, folder, facts["imports"], private, limits)
        try:
            for number, cell in enumerate(notebook.cells, 1):
                if role(cell) == "test":
                    running.ask(mark=name(cell))
                elif cell.cell_type == "code":
                    label = name(cell) or f"cell {number}"
                    _show(cell, running.ask(run=cell.source, name=label))
            for cell in notebook.cells:
                if role(cell) == "test" and tests(cell).strip():
                    answers[name(cell)] = running.ask(probe=tests(cell), tell=tell, at=name(cell))
        finally:
            running.kill()
    return answers


def replay(notebook, warm: Warm, private=(), limits: Limits = Limits()) -> None:
    """Give own cells that failed the outputs that they have where tests show their visible part.

    `p` of a test above may stand in the cell that is evidence for an essay.  Run this after the
    tests and in another process: what a function does to one, none of its tests shall suffer.
    """
    with tempfile.TemporaryDirectory(prefix="handin-") as folder:
        running = Running(warm, folder, notebook.metadata["hkt"]["imports"], private, limits)
        try:
            for number, cell in enumerate(notebook.cells, 1):
                if cell.cell_type == "code":
                    answer = running.ask(run=visible(cell), name=name(cell) or f"cell {number}")
                    if role(cell) == "own" and _failed(cell) and not answer["error"]:
                        _show(cell, answer)
        finally:
            running.kill()


def _failed(cell) -> bool:
    return any(output.output_type == "error" for output in cell.get("outputs", []))


def _show(cell, answer: dict) -> None:
    """What a cell printed, drew and raised, as its outputs: text, and pictures encoded anew."""
    from nbformat import v4

    cell.outputs = []
    if answer.get("out"):
        cell.outputs.append(v4.new_output("stream", name="stdout", text=str(answer["out"])))
    with suppress(ValueError, TypeError):  # no text in base64
        for data in map(base64.b64decode, answer.get("figures", [])):
            if data.startswith(PNG):
                shown = {"image/png": base64.b64encode(data).decode()}
                cell.outputs.append(v4.new_output("display_data", data=shown))
    if answer.get("error"):
        cell.outputs.append(error_output(said(answer["error"])))


def error_output(sentence: str):
    from nbformat import v4

    return v4.new_output("error", ename="Error", evalue=sentence, traceback=[sentence])


def said(error) -> str:
    """What was raised, as a sentence; a hand-in's process may say anything in its place."""
    try:
        where = f" (in {', '.join(error['where'])})" if error["where"] else ""
        text = f": {error['text']}" if error["text"] else ""
        return f"{error['name']}{text}{where}"
    except (LookupError, TypeError):
        return "its process answered what nobody asked"


class Judge:
    """Grades hand-ins of one source; the reference runs once."""

    def __init__(self, source, warm: Warm, private=(), limits: Limits = Limits()):
        compare.canary()
        self.source, self.warm, self.private, self.limits = source, warm, private, limits
        self.wanted = run(graft(source, source)[0], warm, private, limits, tell=True)
        for test, answer in self.wanted.items():
            if "error" in answer:
                raise HKTError(f"The reference fails test {test!r}: {said(answer['error'])}.")

    def grade(self, handed, limits: Limits | None = None) -> Result:
        made, notes = graft(handed, self.source)
        answers = run(made, self.warm, self.private, limits or self.limits)
        if any(role(cell) == "own" and _failed(cell) for cell in made.cells):
            replay(made, self.warm, self.private, limits or self.limits)
        marks = {}
        for cell in made.cells:
            if role(cell) == "test":
                marks[name(cell)] = self._mark(cell, answers.get(name(cell), {}))
        return Result(marks, made, notes)

    def _mark(self, cell, answer: dict) -> Mark:
        most = float(cell.metadata.nbgrader["points"])
        if "value" in answer:
            first = hidden(cell).split("\n")[0]
            threshold = (
                float(first.split()[-1]) if "# relative error" in first else compare.THRESHOLD
            )
            try:
                why = compare.differs(answer["value"], self.wanted[name(cell)]["value"], threshold)
            except (LookupError, TypeError, ValueError):  # it was written by the code itself
                why = "not what is asked for"
        else:
            error = answer.get("error") or {"name": "Stopped", "text": "no answer", "where": []}
            why = said(error)
        mark = Mark(0.0 if why else most, most, why)
        cell.outputs = [error_output(why)] if why else []
        return mark
