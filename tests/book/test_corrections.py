"""The page of corrections: the changelog's list, and every erratum of data/claims.yaml, word for
word."""

import re

import pytest

from hkt_lite.config import PROJECT
from hkt_lite.evidence.literature import Claim, read_claims

PAGE = PROJECT / "book" / "corrections.md"
ENTRY = re.compile(r"\*\*\d{4}-\d\d-\d\d · [^*]+\.\*\* \S")


def told(claim: Claim) -> list[str]:
    """The errata of a claim as the page has them."""
    return [f"**{claim.id} · {one.date} · {claim.title}.** {one.text}" for one in claim.errata]


def spaced(text: str) -> str:
    return " ".join(text.split())


def listed() -> str:
    """What the page includes of the changelog: all that follows its last heading."""
    changelog = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    (start,) = re.findall(r'^:start-after: "(.+)"$', page, re.MULTILINE)
    assert changelog.count(start) == 1
    text = changelog.partition(start)[2]
    assert not re.search(r"^#", text, re.MULTILINE), "corrections are the changelog's last section"
    return text


@pytest.mark.parametrize("claim", read_claims(), ids=lambda claim: claim.id)
def test_the_page_has_every_erratum_word_for_word_and_no_other(claim):
    page = spaced(PAGE.read_text(encoding="utf-8"))
    assert all(spaced(one) in page for one in told(claim))
    assert page.count(f"**{claim.id} · ") == len(claim.errata)


def test_every_correction_names_its_date_and_page():
    entries = re.split(r"^- ", listed(), flags=re.MULTILINE)[1:]
    assert entries
    for entry in entries:
        assert ENTRY.match(entry), entry


def test_the_page_is_in_the_book():
    assert "file: corrections" in (PROJECT / "book" / "_toc.yml").read_text(encoding="utf-8")
