"""Typed parameters: one cell of literals, values checked against it before anything runs."""

import pytest

from hkt_lite.book.execute import execute
from hkt_lite.book.notebook import read
from hkt_lite.book.parameters import parameters, parse
from hkt_lite.config import HKTError
from tests import toy


@pytest.mark.parametrize(
    "values, sentence",
    [
        ({"sede": 1}, r"no parameter 'sede'. Did you mean 'seed'\?"),
        ({"seed": "1"}, "'seed' of a.ipynb must be int, got '1' "),
        ({"seed": True}, "'seed' of a.ipynb must be int, got True"),
        ({"lr": "0.1"}, "'lr' of a.ipynb must be float"),
        ({"scale": 1}, "'scale' of a.ipynb must be str"),
        ({"note": 1}, r"'note' of a.ipynb must be str \| None"),
    ],
)
def test_a_wrong_parameter_is_refused_before_anything_runs(tmp_path, values, sentence):
    with pytest.raises(HKTError, match=sentence):
        execute(toy.write(tmp_path / "a.ipynb"), values, tmp_path / "out" / "page.ipynb")
    assert not (tmp_path / "out").exists()


def test_words_of_a_command_line_become_typed_values(tmp_path):
    notebook = toy.write(tmp_path / "a.ipynb")
    given = ["lr=1e-3", "seed=7", "scale=007", "note=null"]
    wanted = {"lr": 1e-3, "seed": 7, "scale": "007", "note": None}
    assert parse(notebook, given) == wanted
    for word, sentence in {
        "seed=007": "must be int",
        "seed": "name=value",
        "sead=1": "Did you mean 'seed'",
    }.items():
        with pytest.raises(HKTError, match=sentence):
            parse(notebook, [word])


@pytest.mark.parametrize(
    "cell, sentence",
    [
        ("seed = 1", "`name: type = literal`"),
        ("seed: int = 1 + x", "`name: type = literal`"),
        ("seed: integer = 1", "`name: type = literal`"),
        ("import os", "`name: type = literal`"),
        ("seed: int = 'a'", "must be int"),
        ("seed: int = = 1", "cannot be read"),
    ],
)
def test_a_parameters_cell_holds_typed_literals_only(tmp_path, cell, sentence):
    with pytest.raises(HKTError, match=sentence):
        parameters(toy.write(tmp_path / "a.ipynb", parameters=cell))


def test_a_notebook_without_parameters_cell_or_that_is_none_is_refused(tmp_path):
    notebook = toy.write(tmp_path / "a.ipynb")
    toy.change(notebook, '"parameters"', '"paramters"')
    with pytest.raises(HKTError, match="no cell tagged 'parameters'"):
        parameters(notebook)
    (tmp_path / "b.ipynb").write_text('{"cells": [')
    with pytest.raises(HKTError, match="b.ipynb is not a readable notebook"):
        read(tmp_path / "b.ipynb")
    with pytest.raises(HKTError, match="no notebook .*Did you mean 'a'"):
        read(tmp_path / "aa.ipynb")
