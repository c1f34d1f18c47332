"""Pages 01 to 05 keep the book's rules; executing them and their own asserts is `smoke_pages`' job."""

import ast
import re
from xml.etree import ElementTree

import pytest

from hkt_lite.book import notebook
from hkt_lite.config import PROJECT
from tests.helpers import PARTS

PAGES = sorted((PROJECT / "notebooks").glob("0[1-5]_*.ipynb"))
LIVE = sorted((PROJECT / "book" / "_static" / "live").glob("*.js"))
DIAGRAMS = PROJECT / "book" / "_static" / "diagrams"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(params=PAGES, ids=lambda path: path.stem)
def page(request):
    return notebook.read(request.param)


def code(page):
    return [cell for cell in page.cells if cell.cell_type == "code"]


def prose(page):
    return "\n".join(cell.source for cell in page.cells if cell.cell_type == "markdown")


def hidden(cell):
    return "hide-input" in cell.metadata.get("tags", [])


def test_code_is_short_narrow_and_less_than_prose(page):
    for cell in code(page):
        ast.parse(cell.source)
        lines = cell.source.splitlines()
        assert not cell.outputs and max(map(len, lines)) <= 80, cell["id"]
        assert len(lines) <= (32 if hidden(cell) else 18), cell["id"]
    shown = sum(len(cell.source) for cell in code(page) if not hidden(cell))
    assert len(prose(page)) > 1.9 * shown


def test_first_cell_has_the_parameters_and_says_how_to_install(page):
    first = code(page)[0]
    assert first.metadata["tags"] == ["parameters"]
    comment, *lines = first.source.splitlines()
    assert comment.startswith("#") and "pip install -e" in comment
    assert lines == ['scale: str = "smoke"', "seed: int = 0"]


def test_folded_cells_say_what_is_in_them(page):
    folded = [cell for cell in code(page) if hidden(cell)]
    assert folded
    for cell in folded:
        prompts = cell.metadata["mystnb"]
        show, hide = prompts["code_prompt_show"], prompts["code_prompt_hide"]
        assert show.removeprefix("Show ") == hide.removeprefix("Hide ") and len(show) > 10


def test_page_has_its_parts_and_unique_labels(page):
    text = prose(page)
    for part in PARTS:
        assert part in text
    labels = re.findall(r":label: (\S+)", text)
    assert len(labels) == len(set(labels))
    known = {name for name in labels if name.startswith("eq:")}
    assert set(re.findall(r"\{eq\}`([^`]+)`", text)) <= known
    exercises = [name for name in labels if name.startswith("ex-")]
    assert len(exercises) >= 3
    for name in exercises:
        assert f"```{{solution}} {name}\n:class: dropdown" in text


def test_what_a_run_did_is_computed_and_not_conditional(page):
    assert any("**In this run**" in cell.source for cell in code(page))
    assert not re.search(r"your (picture|curve)|which one your", prose(page))


def test_every_diagram_comes_in_two_themes_and_says_what_it_shows():
    pages = sorted((PROJECT / "notebooks").glob("*.ipynb"))
    used = [
        match for path in pages for match in notebook.DIAGRAM.findall(prose(notebook.read(path)))
    ]
    drawn = re.compile(r"!\[([^\]]+)\]\((_static/diagrams/\w+)-light\.svg\)\{\.only-light\}")
    for path in (PROJECT / "book").glob("*.md"):  # where both themes are written out
        text = path.read_text(encoding="utf-8")
        used += drawn.findall(text)
        for alt, name in drawn.findall(text):
            assert f"![{alt}]({name}-dark.svg){{.only-dark}}" in text
    assert {name for _, name in used} == {
        f"_static/diagrams/{path.stem.removesuffix('-light')}"
        for path in DIAGRAMS.glob("*-light.svg")
    }
    for alt, name in used:
        for theme in ("light", "dark"):
            root = ElementTree.parse(PROJECT / "book" / f"{name}-{theme}.svg").getroot()
            assert root.find(f"{SVG}title").text and root.find(f"{SVG}desc").text == alt


def test_a_page_shows_the_diagram_of_its_theme():
    source = "Before\n\n![What it shows.](../book/_static/diagrams/a-light.svg)\n\nafter"
    page = notebook.light_and_dark(source)
    assert page.splitlines()[2:4] == [
        "![What it shows.](../_static/diagrams/a-light.svg){.only-light}",
        "![What it shows.](../_static/diagrams/a-dark.svg){.only-dark}",
    ]
    assert notebook.light_and_dark("![a plot](plot.svg)") == "![a plot](plot.svg)"


@pytest.mark.parametrize("name", ["live.js", *(f"live/{path.name}" for path in LIVE)])
def test_moving_figures_load_nothing(name):
    script = (PROJECT / "book" / "_static" / name).read_text(encoding="utf-8")
    assert not re.search(
        r"https?://(?!www\.w3\.org/2000/svg)|\bimport\b|fetch\(|XMLHttpRequest|innerHTML", script
    )
