"""Every notebook executed at smoke scale and validated by strict nbval with an empty run store; proof that nbval bites.

SVG counts as text to nbval and is compared like every number (figures.style fixes salt and date); `show` embeds it in
HTML, which is compared too.  Raster images would not be, so no page has any.
"""

import json
import shutil

import nbformat
import pytest

from hkt_lite.book import notebook as provenance
from hkt_lite.book.execute import sources
from hkt_lite.book.pages import notebook_problems, page_problems
from hkt_lite.book.validate import validate
from hkt_lite.config import HKTError
from tests import toy

# Pages with live runs in common stand together: a group has one store, empty at its start.
GROUPS = {
    "ideas and what is inherited": "0 22",
    "benchmarks": "1",
    "answers": "20 21 23 24 25 26 3",
}


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_every_notebook_shows_the_same_again(smoke_pages, group):
    """`validate` raises when it looked at fewer cells than there are."""
    numbers = tuple(GROUPS[group].split())
    names = [path.name for path in sources() if path.name.startswith(numbers)]
    assert list(map(str, validate([smoke_pages / name for name in names]))) == []


def test_every_notebook_is_in_one_group():
    for path in sources():
        groups = [name for name in GROUPS if path.name.startswith(tuple(GROUPS[name].split()))]
        assert len(groups) == 1, f"{path.name} is in {groups}"


@pytest.mark.slow
def test_the_smoke_book_passes_the_check(smoke_book):
    assert (
        smoke_book / "index.html"
    ).is_file()  # build ends with the check and raises on any problem


def test_source_notebooks_are_stripped_and_typed():
    assert list(map(str, notebook_problems())) == []


def test_a_stripped_page_is_refused(toy_project):
    with pytest.raises(HKTError, match="01_toy.ipynb has no outputs, nothing to validate"):
        validate([toy_project / "notebooks" / "01_toy.ipynb"])
    page = provenance.read(toy.page_of(toy_project))
    cell = dict(provenance.code_cells(page))[3]
    cell.outputs, cell.execution_count = [], None
    nbformat.write(page, toy.page_of(toy_project))
    with pytest.raises(
        HKTError, match="01_toy.ipynb, code cell 3 has no outputs, nothing to validate"
    ):
        validate([toy.page_of(toy_project)])


def red(page) -> dict[str, str]:
    """Where nbval fails -> what it says."""
    return {problem.where: str(problem) for problem in validate([page])}


def test_every_kind_of_falsified_output_turns_red_by_name(toy_project):
    """One page with a falsified stream, HTML table, figure, plain table and values; cells 1 and 2 stay green."""

    def falsify(number, mime, old, new):
        def edit(outputs):
            outputs[0].data[mime] = json.loads(json.dumps(outputs[0].data[mime]).replace(old, new))

        toy.forge(toy.page_of(toy_project), number, edit)

    toy.forge(
        toy.page_of(toy_project),
        3,
        lambda outputs: outputs[0].update(text=outputs[0].text.replace("91.25", "99.25")),
    )
    falsify(4, "text/html", "91.50", "99.50")
    falsify(5, "image/svg+xml", "width", "widht")
    falsify(6, "text/plain", "91.50", "99.50")
    falsify(7, provenance.MIME, "91.5", "99.5")
    found = red(toy.page_of(toy_project))
    assert list(found) == [f"01_toy, code cell {number}" for number in (3, 4, 5, 6, 7)]
    for number, words in {
        3: "99.25",
        4: "99.50",
        5: "image/svg+xml",
        6: "99.50",
        7: "99.5",
    }.items():
        assert words in found[f"01_toy, code cell {number}"]


def test_a_falsified_record_turns_red_though_its_manifest_fits(toy_project):
    toy.publish(toy_project / "results", toy.evaluation(accuracy=92.5))
    found = red(toy.page_of(toy_project))
    assert (
        list(found) == [f"01_toy, code cell {number}" for number in (4, 6, 7)]
        and "92.5" in found["01_toy, code cell 4"]
    )


def test_a_falsified_manifest_turns_red(toy_project):
    path = toy_project / "results" / "MANIFEST.json"
    right = json.loads(path.read_text())["eval-toy000000000.json"]
    toy.change(path, right, right[::-1])
    assert (
        "differs from its sha256 in MANIFEST.json"
        in red(toy.page_of(toy_project))["01_toy, code cell 4"]
    )


@pytest.mark.slow
def test_falsified_numbers_of_a_real_page_turn_red(smoke_pages, smoke_store, tmp_path, monkeypatch):
    """The scoreboard: a table cell in plain text is recomputed by the check and compared by nbval."""
    monkeypatch.setenv("HKT_RUNS", str(smoke_store))
    page = shutil.copy(smoke_pages / "30_scoreboard.ipynb", tmp_path / "30_scoreboard.ipynb")
    number = next(
        number
        for number, data in provenance.bundles(provenance.read(page))
        if any(letter.isdigit() for letter in data["text/plain"])
    )

    def edit(outputs):
        data = next(output.data for output in outputs if provenance.MIME in output.get("data", {}))
        data["text/plain"] = data["text/plain"].translate(str.maketrans("0123456789", "1234567890"))

    toy.forge(page, number, edit)
    where = f"30_scoreboard, code cell {number}"
    assert where in {
        problem.where for problem in page_problems(tmp_path) if problem.what == "number"
    }
    assert list(red(page)) == [where]
