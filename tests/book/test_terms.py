"""The first use of a glossary term on a page leads to the glossary: a small book, built by Sphinx."""

import re

import pytest
from bs4 import BeautifulSoup
from hkt_book import terms
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

GLOSSARY = """# Glossary

:::{glossary}
child
  The small network, which learns from a parent.

parent
  The large network of a child.

plain child
  A child without a parent.

cost volume
  All similarities.

Dice
  Overlap.

Dice loss
  One minus that.

record
  What a run leaves.

share
  A part.

CT volume
CT slice
  Of a scan.
:::
"""
SETTINGS = {
    "extensions": ["myst_nb", "sphinx_design", "sphinx_exercise"],
    "root_doc": "glossary",
    "myst_enable_extensions": ["dollarmath", "colon_fence", "deflist"],
    "html_theme": "basic",
}


@pytest.fixture
def built(tmp_path):
    """built(text, glossary): the article of text.md in a book with this glossary."""
    source = tmp_path / "book"
    source.mkdir()

    def build(text: str, glossary: str = GLOSSARY) -> BeautifulSoup:
        for name, said in (("text", f"---\norphan: true\n---\n{text}"), ("glossary", glossary)):
            path = source / f"{name}.md"
            if not path.exists() or path.read_text() != said:
                path.write_text(said)
        folders = source, None, tmp_path / "html", tmp_path / "trees"
        with patch_docutils(), docutils_namespace():
            app = Sphinx(*folders, "html", SETTINGS, status=None, warningiserror=True)
            app.connect("env-updated", terms.changed)
            app.connect("doctree-resolved", terms.link)
            app.build()
        made = (tmp_path / "html" / "text.html").read_text()
        return BeautifulSoup(made, "html.parser").select_one("div.body")

    return build


def linked(body) -> list[str]:
    return [one.get_text() for one in body.select("a.hkt-term")]


def test_the_first_use_is_linked_and_no_later_one(built):
    body = built("# T\n\nA child, a parent, a child.\n\nA parent again, and Dice.\n")
    assert linked(body) == ["child", "parent", "Dice"]
    assert [one["href"] for one in body.select("a.hkt-term")] == [
        f"glossary.html#term-{name}" for name in ("child", "parent", "Dice")
    ]
    assert body.select_one("p").get_text() == "A child, a parent, a child."


def test_the_longest_term_is_meant_and_whole_words_only(built):
    body = built(
        "# T\n\nA plain\nchild; a plain child; childish, grandchild, child-like, child.pt, dice.\n\n"
        "Children’s parents. A cost volume. The child’s CT slices. Dice loss.\n"
    )
    assert linked(body) == [
        "plain\nchild",
        "parents",
        "cost volume",
        "child",
        "CT slices",
        "Dice loss",
    ]


def test_a_term_begins_a_sentence_but_is_not_spelt_otherwise(built):
    assert linked(built("# T\n\nParent and CHILD and DICE.\n")) == ["Parent"]


@pytest.mark.parametrize(
    "text",
    [
        "## A child",
        "`child`",
        "```python\nchild = 1\n```",
        "[the child](https://example.org)",
        "[](#child)\n\n(child)=\n## Of a child",
        "$child$",
        "$$\nchild\n$$",
        "![A child](child.png)",
        "| child |\n|---|\n| child |",
        "child\n: of none",
        "::::{grid}\n:::{grid-item-card} A child\n:link: glossary\n:link-type: doc\nA child.\n:::\n::::",
        ":::{exercise} A child\nWhat is it?\n:::",
        "<p>A child.</p>",
        "% a child",
    ],
)
def test_it_is_left_alone_where_it_is_no_running_text(built, tmp_path, text):
    (tmp_path / "book" / "child.png").write_bytes(b"")
    body = built(f"# The child\n\n{text}\n\nAt last a child.\n")
    assert linked(body) == ["child"]
    assert body.select_one("a.hkt-term").parent.get_text() == "At last a child."


def test_words_of_everyday_language_are_terms_where_the_text_says_so(built):
    body = built("# T\n\nThey share, and we record: a share.\n")
    assert not linked(body)
    body = built("# T\n\n*A share of it*: we share, we record the *share* of each record.\n")
    assert linked(body) == ["share", "record"]
    assert body.select_one("a.hkt-term").parent.get_text() == "share"
    assert {*terms.EVERYDAY, *terms.NOUNS} <= set(_of_the_book())


def _of_the_book() -> list[str]:
    from hkt_lite.config import PROJECT

    text = (PROJECT / "book" / "glossary.md").read_text(encoding="utf-8")
    return re.findall(r"^(\w[^\n]*)$", text, re.MULTILINE)


def test_the_glossary_does_not_lead_to_itself(built, tmp_path):
    built("# T\n\nA text.\n")
    assert "hkt-term" not in (tmp_path / "html" / "glossary.html").read_text()


def test_a_book_without_a_glossary_is_left_alone(built):
    assert not linked(built("# T\n\nA child.\n", "# None\n"))


def test_a_new_term_and_a_lost_one_reach_pages_that_did_not_change(built):
    text = "# T\n\nA child and a teacher.\n"
    assert linked(built(text)) == ["child"]
    new = GLOSSARY.replace("plain child\n", "teacher\n")
    assert linked(built(text, new)) == ["child", "teacher"]
    assert linked(built(text, new.replace("\nchild\n", "\npupil\n"))) == ["teacher"]
