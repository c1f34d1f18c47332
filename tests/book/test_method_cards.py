"""Page 26: a card for every method, whose details lead to tests that exist, and whose lines for the shell work."""

import ast
import re
import shlex

import pytest
from typer.testing import CliRunner

from hkt_lite.book.notebook import code_cells, read
from hkt_lite.cli import app
from hkt_lite.config import PROJECT
from hkt_lite.methods import METHODS
from hkt_lite.runs import measure
from tests.methods.mutate import changed, details

PAGE = PROJECT / "notebooks" / "26_method_cards.ipynb"
SHOWN = PROJECT / "book" / "card_tests.md"
TESTS = PROJECT / "tests" / "methods"
NAMED = re.compile(r"\{ref\}`(\S+\.py)::(\w+) <(\w+)>`")


@pytest.fixture(scope="module")
def page():
    return read(PAGE)


def text(page, name: str) -> str:
    return next(cell.source for cell in page.cells if cell.id == f"cards-{name}")


def test_every_method_has_a_card_in_the_order_of_tables(page):
    ids = [cell.id for cell in page.cells]
    starts = [one.removeprefix("cards-").removesuffix("-what") for one in ids if "-what" in one]
    assert starts == list(METHODS)
    for name, method in METHODS.items():
        what = text(page, f"{name}-what")
        assert what.startswith(f"## {method.title}\n")
        parts = ("**Transfers**", f":label: eq:card-{name}\n", "**Source.**", "**Usage.**")
        places = [what.index(part) for part in parts]
        assert places == sorted(places)
        used = text(page, f"{name}-use")
        assert f'METHODS["{name}"]' in used and len(used.splitlines()) == 3
        assert text(page, f"{name}-options") == f'options("{name}")'
        assert text(page, f"{name}-card") == f'card("{name}")'


def test_the_details_are_those_that_are_changed_to_see_a_test_fail(page):
    """Card by card and in order: numbered, and each with the test of details.yaml."""
    known = list(details())
    for name in METHODS:
        lines = text(page, f"{name}-details").splitlines()[2:]
        assert [line.split(".")[0] for line in lines] == [str(n + 1) for n in range(len(lines))]
        named = [NAMED.search(line).groups() for line in lines]
        assert [f"{file}::{test}" for file, test, _ in named] == [
            detail["test"] for method, detail in known if method == name
        ]
        assert all(test == label for _, test, label in named)
        assert len(lines) >= 3


def names_of(file: str) -> set[str]:
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_test_that_the_page_names_exists_and_is_shown(page):
    found = {pair[:2] for cell in page.cells for pair in NAMED.findall(cell.source)}
    assert found
    for file, test in sorted(found):
        assert test in names_of(file), f"{file} has no {test}"
    shown = SHOWN.read_text(encoding="utf-8")
    for file, test in found:
        block = f"({test})=\n```{{literalinclude}} ../tests/methods/{file}\n:pyobject: {test}\n"
        assert shown.count(block) == 1, test
    assert shown.count("{literalinclude}") == len(found)


def test_every_change_fits_the_code_of_today():
    for _, detail in details():
        before = (PROJECT / "hkt_lite" / "methods" / detail["in"]).read_text(encoding="utf-8")
        assert changed(detail) != before
        ast.parse(changed(detail))


def test_a_change_that_does_not_fit_is_an_error():
    with pytest.raises(ValueError, match="kd.py has 0 times 'no such words'"):
        changed({"in": "kd.py", "was": "no such words", "becomes": ""})
    with pytest.raises(ValueError, match="kd.py has"):
        changed({"in": "kd.py", "was": "temperature", "becomes": ""})


def test_the_lines_for_the_shell_are_accepted(page, monkeypatch):
    """Parsed and resolved as they stand; what the run would cost is left out."""
    monkeypatch.setattr(measure, "estimate", lambda config: {"seconds": 1, "disk_mb": 1.0})
    lines = re.findall(r"`(hkt run [^`]+)`", "\n".join(cell.source for cell in page.cells))
    assert [line.split()[3] for line in lines] == list(METHODS)
    for line in lines:
        done = CliRunner().invoke(app, [*shlex.split(line)[1:], "--dry-run"])
        assert done.exit_code == 0, (line, done.exception)
        assert f'"method": "{line.split()[3]}"' in done.stdout


def grid_parts() -> dict:
    """What the page's own cell makes of the grid files."""
    cell = next(cell for _, cell in code_cells(read(PAGE)) if cell.id == "cards-records")
    tree = ast.parse(cell.source)
    tree.body = [node for node in tree.body if getattr(node, "name", "") in ("cut", "grid_parts")]
    import yaml

    space = {"yaml": yaml, "PROJECT": PROJECT}
    exec(compile(tree, "26", "exec"), space)
    return {name: list(space["grid_parts"](name)) for name in METHODS}


def test_the_grids_on_the_page_are_the_files_own_words():
    import yaml

    parts = grid_parts()
    assert {file for file, *_ in parts["kd"]} >= {"cifar10-cpu.yaml", "flow-synthetic.yaml"}
    assert not any("parent" in purpose for each in parts.values() for _, purpose, _ in each)
    for name, each in parts.items():
        for file, purpose, part in each:
            whole = (PROJECT / "data" / "grids" / file).read_text(encoding="utf-8")
            shown, given = yaml.safe_load(part), yaml.safe_load(whole)
            assert shown["base"] == given["base"] and purpose == given["purpose"]
            assert shown["runs"] == [
                run for run in given["runs"] if {**given["base"], **run}["method"] == name
            ]
            for line in part.splitlines()[2:]:
                assert line.strip() in whole
