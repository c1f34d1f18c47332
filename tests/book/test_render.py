"""The rendered book: warnings fail it, texts are rendered alone, all else makes it from scratch."""

import pytest

from hkt_lite.book import render as rendering
from hkt_lite.book.build import build
from hkt_lite.book.render import flaws, render
from hkt_lite.config import HKTError
from tests import toy


def html(project, name: str) -> str:
    return (project / "book" / "_build" / "html" / name).read_text(encoding="utf-8")


def test_the_alternative_text_reaches_the_rendered_page(toy_project):
    page = html(toy_project, "_generated/01_toy.html")
    assert 'alt="A line that rises."' in page and "How this page was made" in page
    assert "91.50" in page


def test_a_warning_of_the_renderer_fails_the_build_by_name(toy_project):
    toy.change(toy_project / "book" / "intro.md", "_generated/01_toy", "_generated/nowhere")
    said = "(?s)did not build .*build.log.*intro.md:3: WARNING: .*nowhere"
    with pytest.raises(HKTError, match=said):
        build(scale="smoke")
    assert any("not rendered completely" in flaw.sentence for flaw in flaws(toy_project))
    with pytest.raises(HKTError, match=said):  # nor does it pass when asked once more
        render(toy_project)


def test_only_the_text_that_changed_is_rendered_again(toy_project, capsys):
    render(toy_project, force=True)  # Sphinx begins anew in a folder that was moved
    capsys.readouterr()
    folder = toy_project / "book" / "_build" / "html"
    before = {path.name: path.stat().st_mtime_ns for path in folder.rglob("*.html")}
    toy.change(toy_project / "book" / "text.md", "a sentence", "another sentence")
    render(toy_project)
    assert capsys.readouterr().out == "rendering what changed ...\n"
    after = {path.name: path.stat().st_mtime_ns for path in folder.rglob("*.html")}
    changed = {name for name in after if after[name] != before[name]}
    assert "another sentence" in html(toy_project, "text.html")
    assert "text.html" in changed and "01_toy.html" not in changed
    assert list(flaws(toy_project)) == []
    render(toy_project)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "name, old, new",
    [
        ("book/text.md", "# A text", "# Another text"),
        ("book/text.md", "With a", "(label)=\n## A section\n\nWith a"),
        ("book/_toc.yml", "- file: text\n- file: _generated/01_toy", None),
        ("_config.yml", "title: Toy", "title: Book"),
    ],
)
def test_what_other_pages_show_makes_the_book_anew(toy_project, monkeypatch, name, old, new):
    """Titles, labels, contents and configuration."""
    calls = []
    monkeypatch.setattr(rendering, "_jupyter_book", lambda root, fresh: calls.append(fresh))
    toy.change(toy_project / name, old, new or "- file: _generated/01_toy\n- file: text")
    render(toy_project)
    assert calls == [True]


def test_an_added_text_or_a_forged_page_makes_the_book_anew(toy_project, capsys):
    """An incremental build would leave the forged page and seal it."""
    page = toy_project / "book" / "_build" / "html" / "_generated" / "01_toy.html"
    toy.change(page, "91.50", "99.50")
    toy.change(toy_project / "book" / "text.md", "a sentence", "another sentence")
    render(toy_project)
    assert capsys.readouterr().out == "rendering the book ...\n"
    assert "99.50" not in page.read_text() and list(flaws(toy_project)) == []
    (toy_project / "book" / "text2.md").write_text("A text without a title.\n")
    assert not rendering._only_texts_changed(toy_project)


def test_other_records_make_the_book_anew(toy_project):
    """Its front page judges them, and each of them has a page."""
    assert list(flaws(toy_project)) == []
    toy.publish(toy_project / "results", toy.evaluation(accuracy=90.0))
    assert [flaw.sentence for flaw in flaws(toy_project)] == [rendering.OLDER]
    assert not rendering._only_texts_changed(toy_project)


def test_a_book_is_older_than_a_file_that_a_text_includes(tmp_path):
    root = toy.project(tmp_path)
    toy.change(
        root / "book" / "text.md", "With a", "```{literalinclude} ../code/shown.py\n```\n\nWith a"
    )
    (root / "code").mkdir()
    seen = []
    for text in ("a = 1\n", "a = 2\n"):
        (root / "code" / "shown.py").write_text(text)
        seen.append(rendering._sources(root))
    assert [key for key in seen[0] if seen[0][key] != seen[1][key]] == ["code/shown.py"]
