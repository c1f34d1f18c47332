"""How the zoo's hand-ins are made: the student's notebook, filled with solutions and then changed."""

from collections.abc import Callable
from dataclasses import dataclass, field

from nbformat import v4

from hkt_course import grader, source

Edits = dict[str, list[tuple[str, str]] | str]  # cell -> [(old, new)], or its whole new text


@dataclass(frozen=True)
class HandIn:
    """One submission of the zoo.

    loses    the tests it must lose, and no other; 'all' for every one of them
    trick    changes the notebook at last
    seconds  of the clock for a cell; many, for those that come to an end are not judged by time
    """

    name: str
    edits: Edits = field(default_factory=dict)
    loses: str = ""
    from_stub: bool = False
    trick: Callable | None = None
    kind: str = "wrong"  # reference, stub, wrong, mutant or cheat
    seconds: float = 100


def solution_of(cell) -> str:
    """A solution cell's text as a student would have it, without nbgrader's marks."""
    return "\n".join(
        line for line in cell.source.split("\n") if line.strip() not in source.SOLUTION
    )


def cell_of(notebook, name: str):
    (found,) = [cell for cell in notebook.cells if grader.name(cell) == name]
    return found


def make(assignment, hand_in: HandIn):
    """The notebook that is handed in, for a class's version of the assignment."""
    made = source.stub(assignment)
    if not hand_in.from_stub:
        for cell, right in zip(made.cells, assignment.cells):
            if grader.role(cell) in ("solution", "essay"):
                cell.source = solution_of(right)
    for name, edit in hand_in.edits.items():
        cell = cell_of(made, name)
        if isinstance(edit, str):
            cell.source = edit
            continue
        for old, new in edit:
            assert old in cell.source, f"{hand_in.name}: {old!r} is not in {name}:\n{cell.source}"
            cell.source = cell.source.replace(old, new)
    if hand_in.trick:
        hand_in.trick(made)
    return made


def last_cell(code: str) -> Callable:
    """A trick: one more cell at the end."""
    return lambda notebook: notebook.cells.append(v4.new_code_cell(code))


def first_cell(code: str) -> Callable:
    """A trick: one more cell before all others."""
    return lambda notebook: notebook.cells.insert(0, v4.new_code_cell(code))
