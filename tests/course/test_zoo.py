"""The whole zoo: which tests each hand-in loses."""

import nbformat
import pytest

from hkt_course import grader, source
from tests.course import zoo
from tests.course.hand_ins import HandIn, cell_of, make

CASES = [(name, hand_in) for name in source.names() for hand_in in zoo.hand_ins(name)]
WRITTEN = [
    (name, grader.name(cell))
    for name in source.names()
    for cell in nbformat.read(source.path_of(name), 4).cells
    if grader.role(cell) == "solution"
]
SHOWN = {  # cheats -> what a cell of theirs shows where the fence holds
    "answers imported from the package": "is what this assignment asks you to write",
    "file reader": "nothing seen",
    "looks for the reference in memory": "nothing found",
    "starts processes": str(["PermissionError"] * 6),
}


@pytest.mark.parametrize("name, hand_in", CASES, ids=[f"{name}-{one.name}" for name, one in CASES])
def test_a_hand_in_loses_exactly_what_it_should(name, hand_in, judges):
    judge = judges(name)
    limits = grader.Limits(cell=hand_in.seconds, megabytes=600)
    result = judge.grade(make(judge.source, hand_in), limits)
    lost = {test for test, mark in result.marks.items() if mark.points == 0}
    assert all(mark.points in (0, mark.most) for mark in result.marks.values())
    wanted = set(result.marks) if hand_in.loses == "all" else set(hand_in.loses.split())
    assert lost == wanted, {test: mark.said for test, mark in result.marks.items()}
    shown = [output for cell in result.notebook.cells for output in cell.get("outputs", [])]
    printed = "".join(output.get("text", output.get("evalue", "")) for output in shown)
    assert SHOWN.get(hand_in.name, "") in printed and "HIDDEN INPUT" not in printed, printed


@pytest.mark.parametrize("name, cell", WRITTEN, ids=["-".join(one) for one in WRITTEN])
def test_what_is_not_written_costs_the_points_below_it_and_no_others(name, cell, judges):
    """Whatever calls it, each part is tested for itself."""
    judge = judges(name)
    empty = {cell: cell_of(source.stub(judge.source), cell).source}
    marks = judge.grade(make(judge.source, HandIn("one cell is empty", empty))).marks
    lost = {test for test, mark in marks.items() if mark.points == 0}
    below, own = "", set()
    for one in judge.source.cells:
        if grader.role(one) == "solution":
            below = grader.name(one)
        elif grader.role(one) == "test" and below == cell:
            own.add(grader.name(one))
    assert lost == own and own


def test_the_zoo_is_as_large_as_was_asked_for():
    for name in source.names():
        kinds = [hand_in.kind for hand_in in zoo.hand_ins(name)]
        assert kinds.count("wrong") + kinds.count("mutant") >= 4, name
        assert kinds.count("reference") == kinds.count("stub") == 1


@pytest.mark.parametrize("name", source.names())
def test_last_years_full_marks_are_worth_little_this_year(name, judges):
    this, last = judges(name), judges(name, 2027)
    assert last.grade(make(last.source, zoo.REFERENCE)).points == 20
    assert this.grade(make(last.source, zoo.REFERENCE)).points < 10
    assert this.source.cells[0].source != "" and this.source != last.source


@pytest.mark.parametrize("seed", [2028, 2029, 2030])
@pytest.mark.parametrize("name", source.names())
def test_other_years_can_be_made(name, seed, warm):
    """No two known mistakes give one answer there, and every name is defined."""
    assert source.instance(source.path_of(name), seed, warm).metadata.hkt.variant == seed


@pytest.mark.parametrize("name", source.names())
def test_every_test_does_its_work(name, judges):
    assert source.weak_tests(judges(name)) == []
    points = [cell.metadata.nbgrader.get("points", 0) for cell in judges(name).source.cells]
    assert 24 <= sum(points) <= 26
