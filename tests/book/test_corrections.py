"""The page of corrections: the changelog's list, and every erratum of data/claims.yaml."""

import importlib.util
import re

from hkt_lite.config import PROJECT
from hkt_lite.evidence.literature import read_claims

PAGE = (PROJECT / "book" / "corrections.md").read_text(encoding="utf-8")
ENTRY = re.compile(r"\*\*\d{4}-\d\d-\d\d · [^*]+\.\*\* \S")
FILE = PROJECT / "book" / "_extension" / "hkt_book" / "errata.py"


def listed(claims) -> str:
    """What the directive makes, as text."""
    spec = importlib.util.spec_from_file_location("errata", FILE)
    errata = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(errata)
    return "\n".join(node.astext() for node in errata.listed(claims))


def test_every_erratum_is_told_with_claim_and_date_oldest_first():
    claims = read_claims()
    told, dates = listed(claims), []
    for claim in claims:
        for one in claim.errata:
            assert f"{claim.id} · {one.date} · {claim.title}. {one.text}" in told
            dates.append(str(one.date))
    assert re.findall(r"· (\d{4}-\d\d-\d\d) ·", told) == sorted(dates) and dates
    assert "```{errata}" in PAGE
    unchanged = [claim for claim in claims if not claim.errata]
    assert listed(unchanged) == "No rule was changed."


def test_the_page_takes_the_end_of_the_changelog_where_each_entry_has_date_and_page():
    changelog = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")
    (start,) = re.findall(r'^:start-after: "(.+)"$', PAGE, re.MULTILINE)
    assert changelog.count(start) == 1
    rest = changelog.partition(start)[2]
    assert not re.search(r"^#", rest, re.MULTILINE), "corrections are the changelog's last section"
    entries = re.split(r"^- ", rest, flags=re.MULTILINE)[1:]
    assert entries and all(map(ENTRY.match, entries))


def test_the_page_is_in_the_book():
    assert "file: corrections" in (PROJECT / "book" / "_toc.yml").read_text(encoding="utf-8")
