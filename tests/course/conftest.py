"""One warm process for all hand-ins of a worker, and each assignment's judge, made when asked for."""

import pytest

from hkt_course import grader, source

SEED = 2026


@pytest.fixture(scope="session")
def warm():
    with grader.Warm() as process:
        yield process


@pytest.fixture(scope="session")
def judges(warm):
    """judges(assignment) or judges(assignment, seed): the judge of that version."""
    made: dict = {}

    def judge(name: str, seed: int = SEED) -> grader.Judge:
        if (name, seed) not in made:
            assignment = source.instance(source.path_of(name), seed, warm)
            made[name, seed] = grader.Judge(assignment, warm, [source.home()])
        return made[name, seed]

    return judge
