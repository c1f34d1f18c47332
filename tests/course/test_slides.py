"""The deck is made from the rendered pages and needs nothing but itself."""

import re
import shutil

import pytest

from hkt_course import slides
from hkt_lite.config import HKTError

PAGE = """<html><body><article><h1>Gate<a class="headerlink" href="#">#</a></h1>
<div class="hkt-question admonition"><p class="admonition-title">Who decides?</p>
<ul><li>Time</li><li>Scale and data shown: live</li></ul></div>
<section id="line"><h2>On the line<a class="headerlink">#</a></h2>
<img alt="An arrow &amp; a point" src="../_static/arrow-light.svg">
<img class="only-dark" alt="An arrow" src="../_static/arrow-light.svg"><img src="nothing.svg"></section>
<section id="what-we-saw"><h2>What we saw</h2><ul><li>a</li><li>b</li><li>c</li><li>d</li><li>e</li></ul>
</section></article></body></html>"""


@pytest.fixture
def book(tmp_path):
    (tmp_path / "_generated").mkdir()
    (tmp_path / "_static").mkdir()
    (tmp_path / "_static" / "arrow-light.svg").write_text(
        "<svg xmlns='http://www.w3.org/2000/svg'/>"
    )
    (tmp_path / "_generated" / "04_gate.html").write_text(PAGE, encoding="utf-8")
    return tmp_path


def test_a_deck_holds_question_figures_and_conclusions(book, tmp_path):
    made = slides.deck(book, tmp_path / "out")
    text = made[0].read_text(encoding="utf-8")
    found = re.findall(r"<section>(.*?)</section>", text, re.S)
    assert [re.sub(r"<[^>]+>", " ", one).split() for one in (found[0], found[3])] == [
        "Gate Who decides? Scale and data shown: live".split(),
        "Gate: what we saw e".split(),
    ]
    assert len(found) == 4 and 'alt="An arrow &amp; a point"' in found[1]
    assert not re.search(r'(src|href)="(?!data:)', text)


def test_a_lecture_takes_the_pages_that_it_names_in_their_order(book, tmp_path):
    other = PAGE.replace("Gate", "Losses")
    (book / "_generated" / "05_losses.html").write_text(other, encoding="utf-8")

    def titles(*names):
        text = slides.deck(book, tmp_path / "out", names)[0].read_text(encoding="utf-8")
        return re.findall(r"<h1>(\w+)", text)

    assert titles() == ["Gate", "Losses"] and titles("05_losses") == ["Losses"]
    assert titles("05_losses", "04_gate") == ["Losses", "Gate"]
    with pytest.raises(HKTError, match="no page '05_loses'.*05_losses"):
        titles("05_loses")


@pytest.mark.browser
def test_a_pdf_is_printed_where_there_is_a_browser(book, tmp_path):
    if not any(map(shutil.which, slides.BROWSERS)):
        pytest.skip("no Chromium on the PATH")
    made = slides.deck(book, tmp_path / "out")
    assert made[1].read_bytes().startswith(b"%PDF")
    assert made[1].read_bytes().count(b"/Type /Page\n") == 4


def test_without_a_book_the_command_that_makes_it_is_named(tmp_path):
    with pytest.raises(HKTError, match="hkt book"):
        slides.deck(tmp_path, tmp_path / "out")
