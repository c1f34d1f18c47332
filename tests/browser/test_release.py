"""A release of the tests' book: printed in Chromium, packed, with checksums that agree."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

import hkt_lite
from hkt_lite.config import PROJECT
from hkt_lite.evidence.literature import read_claims
from tests.test_publishing import script

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(
        not os.environ.get("HKT_TEST_RELEASE"),
        reason="prints the whole book, minutes; set HKT_TEST_RELEASE=1, as the weekly job does",
    ),
]


@pytest.fixture(scope="module")
def made(html, browser, once) -> Path:
    """The folder of a release, by the command that publishes one: it prints the whole book."""

    def make(folder: Path) -> None:
        command = [
            sys.executable,
            str(PROJECT / ".ci" / "release.py"),
            str(folder / "out"),
            str(html),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    return once("release", make) / "out"


@pytest.fixture(scope="module")
def printed(made):
    from pypdf import PdfReader

    (path,) = made.glob("*.pdf")
    return PdfReader(path)


def words(text: str) -> str:
    """Letters and figures only: a PDF breaks and hyphenates lines."""
    return re.sub(r"\W+", "", text.replace("ﬁ", "fi").replace("ﬂ", "fl"))


def test_a_release_hands_out_all_formats_and_its_sums_agree(made, tmp_path):
    names = sorted(path.name for path in made.iterdir())
    kinds = ["-notebooks.zip", ".pdf", ".tar.gz"]
    assert all(any(name.endswith(kind) for name in names) for kind in kinds)
    assert {"SHA256SUMS", "claims.json", "results.csv", "results.json"} <= set(names)
    (archive,) = made.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    (whole,) = tmp_path.iterdir()
    assert (whole / "book" / "index.html").is_file()
    for folder in (made, whole):
        lines = (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
        listed = dict(line.split("  ", 1)[::-1] for line in lines)
        there = [path for path in folder.rglob("*") if path.is_file() and path.name != "SHA256SUMS"]
        assert set(listed) == {path.relative_to(folder).as_posix() for path in there}
        for path in there:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            assert listed[path.relative_to(folder).as_posix()] == digest


def test_the_title_page_says_edition_date_and_licence(printed):
    said = words(printed.pages[0].extract_text())
    for part in ("The HKT companion", f"Edition {hkt_lite.__version__}", "CC BY 4.0", "arXiv"):
        assert words(part) in said
    assert re.search(r"Edition[\d]{3,}20\d{6}", said)
    assert printed.metadata.title.startswith("The HKT companion")


def test_the_contents_lead_to_the_pages_that_they_name(printed):
    """Every chapter in the order of _toc.yml, in the bookmarks and with its number in the contents."""
    paper = script("paper")
    chapters, found = list(paper.contents()), []
    for mark in printed.outline:
        parts = mark if isinstance(mark, list) else [mark]
        found += [one for one in parts if not isinstance(one, list)]
    titles = {
        paper.place_of(name): printed.named_destinations[f"/{paper.place_of(name)}"]
        for name in chapters
    }
    pages = [printed.get_destination_page_number(titles[paper.place_of(name)]) for name in chapters]
    assert pages == sorted(pages) and len(set(pages)) == len(chapters)
    text = "".join(printed.pages[n].extract_text() + "\n" for n in range(2, pages[0]))
    numbers = [int(number) for number in re.findall(r"(\d+)\s*$", text, re.MULTILINE)]
    assert set(numbers) >= {page + 1 for page in pages}
    at = [printed.get_destination_page_number(one) for one in found]
    assert at == sorted(at) and set(pages) <= set(at)
    for mark in found:
        page = printed.pages[printed.get_destination_page_number(mark)]
        assert words(mark.title) in words(page.extract_text()), mark.title


def test_links_inside_the_printed_book_lead_somewhere(printed):
    known, inside = printed.named_destinations, 0
    for page in printed.pages:
        for entry in page.get("/Annots", []):
            link = entry.get_object()
            target = link.get("/Dest") or link.get("/A", {}).get("/D")
            address = str(link.get("/A", {}).get("/URI", ""))
            assert not address.startswith(("file:", "/")), address
            inside += target is not None
            assert target is None or not isinstance(target, str) or str(target) in known, target
    assert inside > 100


def test_pages_are_a4_numbered_and_none_is_empty(printed):
    bare = 0
    for number, page in enumerate(printed.pages, start=1):
        assert abs(page.mediabox.width - 595) < 2 and abs(page.mediabox.height - 842) < 2
        text = page.extract_text().strip()
        assert text, f"page {number} is empty"
        bare += not re.search(rf"^{number}$", text, re.MULTILINE)
    assert bare == 2 + 7  # the title, the page behind it, and the openings of the parts


def test_a_claims_card_is_whole_on_its_page(printed):
    """From its title to the records it rests on."""
    texts = [page.extract_text() for page in printed.pages]
    for claim in read_claims():
        (found,) = [text for text in texts if f"Follow the number of {claim.id}" in text]
        card = found[found.index(f"{claim.id} · ") :]
        assert re.search(r"what it says.*what was measured.*Rule\..*^records", card, re.S | re.M)


def test_nothing_is_wider_than_the_paper(html, tmp_path, browser):
    """What is wider than the text makes Chromium shrink the whole book."""
    paper = script("paper")
    chapters = paper.contents()
    made = [paper.chapter(html, name, chapters) for name in chapters]
    text = paper.document(html, made, paper.facts_of(html), {})
    (tmp_path / "book.html").write_text(text, encoding="utf-8")
    window = browser.new_context(viewport={"width": 635, "height": 940})  # 168 mm at 96 an inch
    page = window.new_page()
    page.set_default_timeout(600_000)
    page.goto((tmp_path / "book.html").as_uri())
    page.emulate_media(media="print")
    wide = page.evaluate(
        """() => [...document.querySelectorAll('main *')].filter(e => !e.closest('svg, math') &&
        e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 120))"""
    )
    window.close()
    assert not wide, "\n".join(wide[:20])
