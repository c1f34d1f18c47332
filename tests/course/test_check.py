"""Instant checks: what they say, and that they cannot be read backwards by looking."""

import json

import numpy as np
import pytest
import torch

from hkt_course import grader
from hkt_course.check import Checks, entry, numbers, relative_error
from hkt_course.variant import Variant
from tests.course.hand_ins import cell_of

RIGHT = torch.linspace(-1, 2, 12).reshape(3, 4)
WRONG = {"The sign is turned.": -RIGHT, "This is a sum.": RIGHT.sum()}


@pytest.fixture
def check():
    return Checks({"salt": "s", "checks": {"m": entry("m", "s", RIGHT.numpy(), WRONG)}})


@pytest.mark.parametrize(
    "answer, said",
    [
        (RIGHT, ""),
        (RIGHT.numpy(), ""),
        (RIGHT * (1 + 1e-7), ""),
        (RIGHT.tolist(), "This is: list of list of"),
        (-RIGHT, "The sign is turned."),
        (RIGHT.sum(), "This is a sum."),
        (RIGHT.T, "This is: array (4, 3); asked for is: array (3, 4)."),
        (RIGHT * 1.01, "no mistake that is known"),
        (RIGHT / 0, "not finite"),
        (None, "something of type NoneType"),
    ],
)
def test_what_is_said(check, answer, said, capsys):
    check("m", answer)
    assert check.results["m"] == said if said == "" else said in check.results["m"]
    assert capsys.readouterr().out.startswith("m: right." if said == "" else "m: not yet. ")


def test_the_table_holds_no_answer(check):
    text = json.dumps(check.table)
    assert "array (3, 4)" in text
    for number in RIGHT.flatten().tolist():
        if number not in (-1, 2):
            assert f"{number:.4g}" not in text


def test_a_wrong_answer_that_is_the_right_one_is_refused():
    with pytest.raises(ValueError, match="'twin' gives an answer that is known already"):
        entry("m", "s", RIGHT.numpy(), {"twin": RIGHT + 1e-9})
    with pytest.raises(ValueError, match="'nothing' gives an answer that is not finite"):
        entry("m", "s", RIGHT.numpy(), {"nothing": RIGHT / 0})


def test_texts_lists_and_dicts_are_numbers_too():
    assert numbers("Gate ")[1].tolist() == numbers("gate")[1].tolist()
    assert numbers({"b": 1, "a": "x"})[0] == "list of text, text, text, number"
    assert numbers([])[0] == "list of "


def test_gradients_are_compared_with_differences(capsys):
    check = Checks({})
    x = torch.linspace(0.1, 1, 6, dtype=torch.float64).reshape(2, 3)
    check.gradient("right", lambda x: (x**3).sum(), [x], [3 * x**2])
    check.gradient("wrong", lambda x: (x**3).sum(), [x], [2 * x**2])
    check.gradient("shape", lambda x: (x**3).sum(), [x.numpy()], [np.zeros(2)])
    assert check.results["right"] == ""
    assert check.results["wrong"].startswith("Gradient 1 has relative error 2.0e-01 > 1e-06")
    assert check.results["shape"] == "Gradient 1 is: array (2,); its input is: array (2, 3)"
    assert torch.equal(x, torch.linspace(0.1, 1, 6, dtype=torch.float64).reshape(2, 3))


def test_relative_error_is_what_the_texts_say():
    a, b = np.array([1.0, -3.0]), np.array([1.0, -2.0])
    assert relative_error(a, b) == 1 / 5 and relative_error(a * 0, b * 0) == 0


def test_two_years_in_a_row_differ_in_every_choice():
    for options in ([1, 2], ["a", "b", "c"], list(range(7))):
        for seed in range(2020, 2040):
            picks = [Variant(year).pick("x", options) for year in (seed, seed + 1)]
            assert picks[0] != picks[1]
    assert Variant(3).random("a").random() != Variant(4).random("a").random()


def test_every_known_mistake_of_every_assignment_is_told_from_the_right_answer(judges):
    """The table says as many things as the source does, and a check in a test cell exists."""
    from hkt_course import source

    for name in source.names():
        made = judges(name).source
        code = cell_of(made, "checks").source
        table = json.loads(code.partition("Checks(")[2].rpartition(")")[0])["checks"]
        assert sum(len(line["known"]) - 1 for line in table.values()) >= 12, name
        told = "".join(cell.source for cell in made.cells if grader.role(cell) == "test")
        for check in table:
            assert f'check("{check}"' in told, (name, check)


def test_whether_an_answer_is_wrong_is_asked_without_a_word(check, capsys):
    """For tests that need an earlier function; one that raises is wrong, too."""
    assert not check.wrong("m", lambda: RIGHT) and check.wrong("m", lambda: -RIGHT)
    assert check.wrong("m", lambda: [][0]) and check.wrong("no such check", lambda: RIGHT)
    assert not Checks({}).wrong("m", lambda: -RIGHT)  # of a source, where all is right
    assert not check.results and not capsys.readouterr().out
