"""The rendered pages as one document for paper, in the order of _toc.yml; pdf.py prints it.

Left out, and said on the page after the title: folded code, the tables of numbers behind figures,
the configuration, files and pages of records.  What moves in a browser stands as its still.
"""

import hashlib
import html
import posixpath
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import yaml

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from hkt_lite.config import HKTError  # noqa: E402

STYLE = Path(__file__).with_suffix(".css")
GONE = (
    "a.headerlink, a.hkt-enlarge, script, style.hkt-screen, button, .only-dark, details.hide, "
    ".hkt-figure details, .cell_output > details, input[type=checkbox]"
)
STEPS_GONE = ("Configuration.", "Record files.")  # of a claim's card, which so fits on a page
WHOLE = 25  # lines of code or rows of a table that no page is turned within
PLAIN = "span.pre, .highlight :is(span.n, span.p, span.w, span.nn)"  # without a colour
FONTS = {  # of matplotlib, so alike on every machine: family -> weight, style, file
    "Book": [
        ("400", "normal", "STIXGeneral"),
        ("700", "normal", "STIXGeneralBol"),
        ("400", "italic", "STIXGeneralItalic"),
        ("700", "italic", "STIXGeneralBolIta"),
    ],
    "Book Code": [("400", "normal", "DejaVuSansMono"), ("700", "normal", "DejaVuSansMono-Bold")],
    "Book Signs": [("400", "normal", "DejaVuSans"), ("700", "normal", "DejaVuSans-Bold")],
}
TITLE = "The HKT companion"
LINE = "Hereditary knowledge transfer, explained and checked"
PAPER = (
    "HKT: A Biologically Inspired Framework for Modular Hereditary Knowledge Transfer in Neural "
    "Networks (arXiv 2508.09743)"
)
COLOPHON = """
<h2>About this printing</h2>
<p>A companion to one paper, <em>{paper}</em>. Independent of the paper's authors, and not reviewed
by them.</p>
<p>Edition {version}, made on {date}, from the same pages as the book for the screen. Left out here:
the code of cells that only set up or draw (the notebooks have it), the tables of numbers behind the
figures, and the configuration, files and page of each record (its id stands beside each number;
<code>hkt runs show ID</code> prints it). What moves on the screen is printed as its still. Links
inside the book lead to their pages.</p>
<h2>Licence</h2>
<p>Text and figures: Creative Commons Attribution 4.0 International (CC BY 4.0). Code: BSD 3-Clause.
Copyright 2026, the HKT companion authors. Data sets and the fonts STIX and DejaVu keep their own
terms.</p>
<h2>How to cite</h2>
<p>The HKT companion authors. <em>{title}: hereditary knowledge transfer, explained and
checked.</em> Version {version}, {year}. Cite the paper for the method, and this companion for
measurements taken from it.</p>
"""
FRONT = """
<section class="pdf-title"><img src="{logo}" alt=""><h1>{title}</h1><p class="line">{line}</p>
<p>A companion to<br><em>{paper}</em></p>
<p class="foot">The HKT companion authors<br>Edition {version}, {date}<br>
Text CC BY 4.0 · code BSD 3-Clause</p></section>
<section class="pdf-colophon">{colophon}</section>
"""
CHAPTER = '<section class="pdf-chapter" id="{}" style="page: {}">{}</section>'
ENTRY = """
<p class="entry"><a href="#{}"><span>{}</span><span class="dots"></span>
<span class="number">{}</span></a></p>
"""
WHOLE_BOOK = """<!doctype html>
<html lang="en" data-theme="light"><head><meta charset="utf-8"><title>{title}</title>
{links}<style>{style}</style></head><body class="pdf"><main class="bd-article bd-content">
{body}</main><nav hidden>{aims}</nav></body></html>
"""


@dataclass
class Chapter:
    """A page of the book: where it lies, its part, its title and its second-level headings."""

    name: str
    part: str
    title: str
    body: str
    sections: list[tuple[str, str]]  # (place in the document, heading)

    @property
    def place(self) -> str:
        return place_of(self.name)


def place_of(name: str, fragment: str = "") -> str:
    """The id that a page, or a place on it, has in the one document."""
    page = name.replace("_generated/", "").replace("/", "-")
    return f"{page}--{fragment}" if fragment else page


def contents(project: Path = PROJECT) -> dict[str, str]:
    """Page -> the part that it belongs to, in the order of the book."""
    toc = yaml.safe_load((project / "book" / "_toc.yml").read_text(encoding="utf-8"))
    chapters = {toc["root"]: "Front page"}
    for part in toc["parts"]:
        for chapter in part["chapters"]:
            chapters[chapter["file"]] = part["caption"]
    return chapters


def chapter(folder: Path, name: str, chapters: dict[str, str], site: str = "") -> Chapter:
    """A rendered page without what is for the screen, with ids and links of one document."""
    from bs4 import BeautifulSoup

    path = folder / f"{name}.html"
    if not path.is_file():
        raise HKTError(f"There is no page {path}; build the book with `hkt book`.")
    article = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser").select_one("article")
    for tag in article.select(GONE):
        tag.decompose()
    for tag in article.select(PLAIN):  # each would be an object of its own in the PDF
        tag.unwrap()
    for step in article.select(".hkt-drawer .hkt-still > li"):
        if step.strong.get_text() in STEPS_GONE:
            step.decompose()
    for tag in article.select("details"):
        tag["open"] = ""
    for tag in article.select(".admonition.dropdown, .toggle"):
        tag["class"] = [one for one in tag["class"] if one not in ("dropdown", "toggle")]
    for tag in article.find_all(src=True):
        tag["src"] = (path.parent / unquote(tag["src"].partition("?")[0])).resolve().as_uri()
        tag.attrs.pop("loading", None)
    for tag in article.find_all(id=True):
        if tag.find_parent("svg") is None:  # a drawing refers to its own parts
            tag["id"] = place_of(name, tag["id"])
    for tag in article.find_all("a", href=True):
        _lead(tag, name, chapters, site)
    for tag in article.select("pre, table"):
        if (tag.get_text().count("\n") if tag.name == "pre" else len(tag.select("tr"))) <= WHOLE:
            tag["class"] = [*tag.get("class", []), "whole"]
    title = article.find("h1")
    sections = [
        (tag.find_parent("section")["id"], tag.get_text(" ", strip=True))
        for tag in article.find_all("h2")
        if tag.find_parent("section", id=True)
    ]
    body = article.decode_contents()
    return Chapter(name, chapters[name], title.get_text(" ", strip=True), body, sections)


def _lead(link, name: str, chapters: dict[str, str], site: str) -> None:
    """Inside the book to a place of this document, to the book's other files on its site if it has
    one; else no link is left that leads nowhere."""
    parts = urlsplit(link["href"])
    if parts.scheme or parts.netloc:
        return
    path = posixpath.join(posixpath.dirname(name), unquote(parts.path)) if parts.path else name
    path = posixpath.normpath(path)
    page = path.removesuffix(".html")
    if page in chapters:
        link["href"] = f"#{quote(place_of(page, unquote(parts.fragment)))}"
    elif site:
        link["href"] = f"{site.rstrip('/')}/{quote(path)}"
    else:
        del link["href"]


def document(folder: Path, made: list[Chapter], facts: dict, numbers: dict[str, int]) -> str:
    """Title page, colophon, contents with the page `numbers`, then part by part the chapters."""
    from bs4 import BeautifulSoup

    first = BeautifulSoup((folder / "index.html").read_text(encoding="utf-8"), "html.parser")
    sheets = [
        (folder / tag["href"].partition("?")[0]).resolve().as_uri()
        for tag in first.select("link[rel=stylesheet]")
    ]
    links = "".join(f'<link rel="stylesheet" href="{sheet}">' for sheet in sheets)
    said = {"paper": PAPER, "title": TITLE, **facts}
    logo = (folder / "_static" / "logo-light.svg").resolve().as_uri()
    colophon = COLOPHON.format(**said)
    parts = list(dict.fromkeys(one.part for one in made))
    body = [
        FRONT.format(logo=logo, line=LINE, colophon=colophon, **said),
        _contents(made, parts, numbers),
    ]
    for part in parts:
        chapters = [one for one in made if one.part == part]
        if part != parts[0]:
            body.append(_opening(part, parts.index(part), chapters))
        body += [CHAPTER.format(one.place, _page(one), one.body) for one in chapters]
    aims = "".join(f'<a href="#{quote(place)}"></a>' for one in made for place, _ in one.sections)
    style = _fonts() + STYLE.read_text(encoding="utf-8") + _heads(made)
    body = "".join(body)
    return WHOLE_BOOK.format(title=TITLE, links=links, style=style, body=body, aims=aims)


def _contents(made: list[Chapter], parts: list[str], numbers: dict[str, int]) -> str:
    rows = []
    for part in parts:
        if part != parts[0]:
            rows.append(f'<p class="part">{html.escape(part)}</p>')
        rows += [
            ENTRY.format(one.place, html.escape(one.title), numbers.get(one.place, 0))
            for one in made
            if one.part == part
        ]
    return f'<section class="pdf-contents"><h1>Contents</h1>{"".join(rows)}</section>'


def _opening(part: str, number: int, chapters: list[Chapter]) -> str:
    inside = "".join(
        f'<li><a href="#{one.place}">{html.escape(one.title)}</a></li>' for one in chapters
    )
    return (
        f'<section class="pdf-part"><p class="count">Part {number}</p><h1>{html.escape(part)}</h1>'
        f"<ul>{inside}</ul></section>"
    )


def _page(one: Chapter) -> str:
    return f"c-{one.place.replace('_', '-')}"


def _heads(made: list[Chapter]) -> str:
    """Running heads: a kind of page for each chapter."""
    rule = '@page {} {{ @top-left {{ content: "{}" }} @top-right {{ content: "{}" }} }}\n'
    texts = [(_page(one), _css(one.part), _css(one.title)) for one in made]
    return "".join(rule.format(*text) for text in texts)


def _css(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _fonts() -> str:
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return "".join(
        f'@font-face {{ font-family: "{family}"; font-weight: {weight}; font-style: {style}; '
        f'src: url("{(folder / name).as_uri()}.ttf") }}\n'
        for family, faces in FONTS.items()
        for weight, style, name in faces
    )


def facts_of(folder: Path) -> dict:
    """{'version', 'date', 'year', 'digest'} as the rendered pages say them."""
    text = (folder / "index.html").read_text(encoding="utf-8")
    found = re.search(r"Edition ([^,<]+), made on (\d{4}-\d\d-\d\d)", text)
    if found is None:
        raise HKTError(f"{folder / 'index.html'} does not say its edition; run `hkt book`.")
    digest = hashlib.sha256(text.encode()).digest()[:16]
    return {"version": found[1], "date": found[2], "year": found[2][:4], "digest": digest}
