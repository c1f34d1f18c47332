"""The whole zoo: what each hand-in earns, by assignment and test."""

import pytest

from hkt_lite.course import grader, source
from tests.course import zoo
from tests.course.hand_ins import make

SEED = 2026
CASES = [(name, hand_in) for name in source.names() for hand_in in zoo.hand_ins(name)]


@pytest.fixture(scope="module")
def judges():
    """Assignment -> its judge, for the class's version of SEED; made when first asked for."""
    with grader.Warm() as warm:
        made = {}

        def judge(name: str) -> grader.Judge:
            if name not in made:
                assignment = source.instance(source.path_of(name), SEED, warm)
                made[name] = grader.Judge(assignment, warm, [source.home()])
            return made[name]

        yield judge


@pytest.mark.parametrize("name, hand_in", CASES, ids=[f"{name}-{one.name}" for name, one in CASES])
def test_a_hand_in_loses_exactly_what_it_should(name, hand_in, judges):
    judge = judges(name)
    limits = grader.Limits(cell=hand_in.seconds, megabytes=600)
    result = judge.grade(make(judge.source, hand_in), limits)
    lost = {test for test, mark in result.marks.items() if mark.points == 0}
    assert all(mark.points in (0, mark.most) for mark in result.marks.values())
    wanted = set(result.marks) if hand_in.loses == "all" else set(hand_in.loses.split())
    assert lost == wanted, {test: mark.said for test, mark in result.marks.items()}
