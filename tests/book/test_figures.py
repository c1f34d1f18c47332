"""Figures have numbers, page by page, and other pages speak of them: a small book, built by Sphinx."""

import io

import nbformat
import pytest
from bs4 import BeautifulSoup
from hkt_book import figures
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

SETTINGS = {
    "extensions": ["myst_nb"],
    "root_doc": "07_page",
    "html_theme": "basic",
    "nb_execution_mode": "off",
}
ONE = '<figure class="hkt-figure"><img src="a.svg" alt="x"></figure>'
TABLE = "<table><tr><td>1</td></tr></table>"


def page(cells: dict[str, str]):
    """A notebook: title, then a code cell for each id with this HTML as what it shows."""
    made = [new_markdown_cell("# Seven", id="title")]
    for name, html in cells.items():
        shown = [new_output("display_data", {"text/html": html})] if html else []
        made.append(new_code_cell("1", id=name, outputs=shown))
    language = {"name": "python", "pygments_lexer": "ipython3"}
    return new_notebook(cells=made, metadata={"language_info": language})


@pytest.fixture
def built(tmp_path):
    """built(cells, text): the two pages, and what Sphinx had to say."""
    source = tmp_path / "book"
    source.mkdir()

    def build(cells, text: str):
        nbformat.write(page(cells), source / "07_page.ipynb")
        (source / "text.md").write_text(f"---\norphan: true\n---\n# Text\n\n{text}\n")
        said = io.StringIO()
        with docutils_namespace(), patch_docutils():
            app = Sphinx(
                str(source), None, str(tmp_path / "out"), str(tmp_path / "trees"), "html",
                SETTINGS, status=None, warning=said,
            )  # fmt: skip
            app.add_role("fig", figures.Mention())
            app.add_node(figures.figure_mention)
            app.connect("doctree-read", figures.number)
            app.connect("env-purge-doc", figures.forget)
            app.connect("env-updated", figures.changed)
            app.connect("doctree-resolved", figures.resolve)
            app.build()
        pages = ("07_page", "text")
        soups = ((tmp_path / "out" / f"{one}.html").read_text() for one in pages)
        return *(BeautifulSoup(soup, "html.parser") for soup in soups), said.getvalue()

    return build


def numbers(soup) -> list[tuple[str, str]]:
    return [(one["id"], one.select_one(".hkt-number").text) for one in soup.select(".hkt-figure")]


def test_figures_are_numbered_in_the_order_of_the_page(built):
    seven, text, said = built({"a": ONE, "table": TABLE, "b": ONE + ONE}, "{fig}`07_page:b`")
    assert numbers(seven) == [
        ("figure-1", "Figure 7.1"), ("figure-2", "Figure 7.2"), ("figure-3", "Figure 7.3"),
    ]  # fmt: skip
    mention = text.select_one("a[href='07_page.html#figure-2']")
    assert mention.text == "Figure 7.2" and not said


def test_a_figure_that_is_not_there_yet_is_no_link_and_a_wrong_name_a_warning(built):
    _, text, said = built({"a": ""}, "See {fig}`07_page:a`.")
    assert "See a figure." in text.text and not text.select("a[href*=figure]") and not said
    _, _, said = built({"a": ""}, "See {fig}`07_page:b` and {fig}`08_page:a`.")
    assert "no figure 07_page:b" in said and "no figure 08_page:a" in said


def test_a_mention_follows_a_figure_that_moves(built):
    built({"a": ONE, "b": ONE}, "{fig}`07_page:b`")
    _, text, said = built({"new": ONE, "a": ONE, "b": ONE}, "{fig}`07_page:b`")
    assert text.select_one("a[href='07_page.html#figure-3']").text == "Figure 7.3" and not said
