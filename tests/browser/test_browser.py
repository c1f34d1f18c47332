"""Every page of a built book in headless Chromium: nothing fails, nothing comes from outside, everybody can read it.

HKT_TEST_BOOK=FOLDER checks the book rendered in that folder instead of building one at smoke scale.
"""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from statistics import median
from urllib.parse import unquote, urlsplit

import axe_playwright_python
import pytest
from bs4 import BeautifulSoup
from matplotlib.image import imread

from tests.browser.pages import PAGES, PAPER, PHONE, WIDE, opened, served, settled

pytestmark = pytest.mark.browser

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
RULES = """async ([rules, but]) => {
  const options = {resultTypes: ['violations']};
  if (rules.length) options.runOnly = {type: 'rule', values: rules};
  if (but) options.rules = {[but]: {enabled: false}};
  const where = rules.includes('color-contrast') ? {include: hkt.kinds()} : document;
  return (await axe.run(where, options)).violations.map(v =>
    `${v.impact} ${v.id} (${v.nodes.length}): ${v.nodes[0].html.slice(0, 120)}`);
}"""
NARROW = ["scrollable-region-focusable", "landmark-unique", "target-size"]
MOST = 1_000_000  # bytes of a page when it opens
BESIDES = ["search", "genindex", "404"]  # pages of the book that no table of contents lists
# Each kind of part stands on one of these.  Of the other pages axe looks at the contrast by day only,
# which takes it half of a page's time: layers that hide each other are the same in the dark, and the
# colours there are asked of every text by `hkt.contrast`.
AXE_IN_THE_DARK = ["index", "_generated/04_genetic_attention", "_generated/30_scoreboard", "api"]


def axe(page, *rules: str, but: str = "") -> list[str]:
    """What axe finds in the page as it is, by all of its rules (but one) or by some.

    Its contrast is asked of one text of each kind, and of none in code: `hkt.contrast` says the
    same of every text and of thousands of coloured words in a hundredth of the time.
    """
    if not page.evaluate("() => !!window.axe"):
        page.evaluate(AXE)
    return [f"axe: {found}" for found in page.evaluate(RULES, [list(rules), but])]


def faults(page, theme: str = "light", axe_contrast: bool = True) -> list[str]:
    """What a reader would stumble over on a wide screen, on a phone, with a keyboard, on paper."""
    weight = page.evaluate("() => hkt.weight()")
    wrong = [f"{weight:,} bytes when it opens, at most {MOST:,}"] * (weight > MOST)
    settled(page)
    if theme == "light":  # the markup is the same in the dark
        wrong += page.evaluate("() => hkt.readable()")
    page.keyboard.press("Tab")
    for check in ("fitting", "focused", "contrast"):
        wrong += page.evaluate(f"() => hkt.{check}()")
    if axe_contrast:
        wrong += axe(page, "color-contrast")
    if theme == "light":
        wrong += axe(page, but="color-contrast")
    page.set_viewport_size(PHONE)
    page.wait_for_timeout(100)
    wrong += [f"phone: {said}" for said in page.evaluate("() => hkt.fitting()")]
    if theme == "light":
        wrong += [f"phone: {said}" for said in axe(page, *NARROW)]
        page.set_viewport_size(PAPER)
        page.emulate_media(media="print")
        wrong += [f"print: {said}" for said in page.evaluate("() => hkt.printed()")]
    return wrong


# -- the pages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES + BESIDES)
def test_page_opens_without_a_fault(browser, site, name, theme):
    with opened(browser, site, f"{name}.html", color_scheme=theme) as (page, wrong):
        found = faults(page, theme, theme == "light" or name in AXE_IN_THE_DARK)
        assert not (wrong + found), f"{name}:\n  " + "\n  ".join(wrong + found)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["run", "eval", "again"])
def test_page_of_a_record_opens_without_a_fault(browser, site, html, kind, theme):
    """One of each kind; all of them are made by one template."""
    records = [json.loads(path.read_text()) for path in sorted((html / "records").glob("*.json"))]
    name = next(record["id"] for record in records if record["kind"] == kind)
    with opened(browser, site, f"records/{name}.html", color_scheme=theme) as (page, wrong):
        found = faults(page, theme)
        assert not (wrong + found), f"{name}:\n  " + "\n  ".join(wrong + found)


def test_a_record_is_one_click_from_its_number(browser, site):
    with opened(browser, site, "_generated/30_scoreboard.html") as (page, wrong):
        page.locator(".hkt-card a.hkt-record:visible").first.click()
        page.wait_for_load_state()
        said = page.locator("article").inner_text()
        for part in ("Make it again", "hkt reproduce", "Configuration", "Curves", "Provenance"):
            assert part in said
        assert not wrong


def test_the_first_paint_has_the_readers_colours(browser, site):
    """Before a single script file has come, and without scripts at all: one logo, no other theme's colours."""
    look = """() => [getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number),
        [...document.querySelectorAll('.logo__image')].filter(e => e.getClientRects().length).length,
        getComputedStyle(document.querySelector('.hkt-chip')).color]"""
    seen = {}
    for theme, scripts in (("dark", True), ("light", True), ("light", False)):
        window = browser.new_context(viewport=WIDE, color_scheme=theme, java_script_enabled=scripts)
        page = window.new_page()
        page.route("**/*.js*", lambda route: route.abort())
        page.goto(f"{site}index.html")
        ground, logos, ink = page.evaluate(look)
        assert logos == 1
        assert max(ground) < 60 if theme == "dark" else min(ground) > 200
        seen[theme, scripts] = ink
        window.close()
    assert seen["light", True] == seen["light", False] != seen["dark", True]


def test_what_is_drawn_takes_the_themes_colours_and_an_image_keeps_its_own(browser, site):
    """Pixels of two figures: paper is dark on a dark page unless the figure holds an image."""
    paper = {}
    for theme in ("light", "dark"):
        name = "_generated/10_cifar10.html"
        with opened(browser, site, name, color_scheme=theme) as (page, wrong):
            for kind, which in (("drawn", "img.hkt-drawn"), ("image", "img:not(.hkt-drawn)")):
                figure = page.locator(f".hkt-figure {which}").first
                figure.scroll_into_view_if_needed()
                page.wait_for_function("e => e.complete", arg=figure.element_handle())
                shot = imread(BytesIO(figure.screenshot()))
                paper[kind, theme] = float(median(shot[:, 4, :3].mean(1)))  # left margin
            assert not wrong
    assert paper["drawn", "light"] > 0.95 > 0.15 > paper["drawn", "dark"], paper
    assert min(paper["image", "light"], paper["image", "dark"]) > 0.95, paper


def test_theme_button_switches_and_is_remembered(browser, site):
    with opened(browser, site, "index.html", color_scheme="light") as (page, wrong):
        themes = set()
        for _ in range(3):
            page.locator("button.theme-switch-button:visible").first.click()
            themes.add(page.evaluate("() => document.documentElement.dataset.theme"))
        assert themes == {"light", "dark"}
        page.evaluate(
            "() => { localStorage.setItem('mode', 'dark'); localStorage.setItem('theme', 'dark') }"
        )
        page.reload()
        assert page.evaluate("() => document.documentElement.dataset.theme") == "dark" and not wrong


TERMS = "distillation gate Extraction Transfer Mixture Sintel Dice seeds scoreboard hkt".split()


@pytest.mark.parametrize("way", ["http", "file"])
def test_search_finds_what_the_book_is_about(browser, site, html, way):
    """From a folder no browser lets a page fetch the lines of text beside each hit; the hits are there."""
    root = site if way == "http" else f"{html.as_uri()}/"
    with opened(browser, root, "search.html") as (page, wrong):
        for term in TERMS:
            page.goto(f"{root}search.html?q={term}")
            page.wait_for_selector("ul.search li", timeout=60_000)
        bad = ("outside",) if way == "file" else ("outside", "script error")
        assert not [said for said in wrong if any(word in said for word in bad)]


LOOK = """() => [...document.querySelectorAll('a.hkt-term')].map(a => {
  const style = getComputedStyle(a), around = getComputedStyle(a.parentElement);
  return [style.textDecorationLine, style.textDecorationStyle, style.color === around.color];
})"""


def test_a_term_leads_to_the_glossary_and_does_not_shout(browser, site):
    """A dotted line on the screen, nothing on paper; by keyboard to the place of its definition."""
    with opened(browser, site, "index.html") as (page, wrong):
        seen = page.evaluate(LOOK)
        assert len(seen) > 2 and set(map(tuple, seen)) == {("underline", "dotted", True)}
        page.emulate_media(media="print")
        assert {line for line, _, _ in page.evaluate(LOOK)} == {"none"}
        page.emulate_media(media="screen")
        page.locator("a.hkt-term", has_text="parent").focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**/glossary.html#term-parent")
        assert page.locator("#term-parent").inner_text() == "parent" and not wrong


# -- the files ---------------------------------------------------------------------------------------------------------


LOADING = {"stylesheet", "preload", "icon", "preconnect", "modulepreload"}


class Links(HTMLParser):
    """Targets of links, what a page loads, and the places it can be linked at."""

    def __init__(self, text: str):
        super().__init__()
        self.links, self.loads, self.ids = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.ids.update(filter(None, (given.get("id"), given.get("name"))))
        if tag == "a":
            self.links.append(given.get("href") or "")
        elif tag == "link" and LOADING & set((given.get("rel") or "").split()):
            self.loads.append(given.get("href") or "")
        self.loads.extend(filter(None, (given.get("src"), given.get("poster"))))


def test_every_link_inside_the_book_leads_somewhere(html):
    pages = [path for path in html.rglob("*.html") if "_static" not in path.parts]
    parsed = {path: Links(path.read_text(encoding="utf-8")) for path in pages}
    dead = []
    for path, page in parsed.items():
        for link in page.links + page.loads:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or not (parts.path or parts.fragment):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            place = unquote(parts.fragment)
            if not target.exists() or (
                place and target in parsed and place not in parsed[target].ids
            ):
                dead.append(f"{path.relative_to(html)}: {link}")
    assert not dead, "\n".join(dead)


def test_each_term_is_linked_once_a_page_and_only_in_running_text(html):
    texts = {name: (html / f"{name}.html").read_text(encoding="utf-8") for name in PAGES}
    places = {
        name: re.findall(r'hkt-term[^>]*href="[^"]*#(term-[^"]+)"', texts[name]) for name in PAGES
    }
    assert (
        not places["glossary"] and len({place for found in places.values() for place in found}) > 15
    )
    for name, found in places.items():
        assert sorted(found) == sorted(set(found)), name
        for kept in re.findall(
            r"(?s)<h[1-6]\b.*?</h[1-6]>|<pre\b.*?</pre>|<table\b.*?</table>", texts[name]
        ):
            assert "hkt-term" not in kept, name
    assert sum(map(bool, places.values())) > 0.75 * len(PAGES)


def test_a_newcomers_questions_are_answered_two_clicks_from_the_front_page(html):
    """One leads from the text of the front page to the questions, one from each answer to a page of evidence."""
    front = BeautifulSoup((html / "index.html").read_text(encoding="utf-8"), "html.parser")
    assert front.select("article p a[href='faq.html']")
    faq = BeautifulSoup((html / "faq.html").read_text(encoding="utf-8"), "html.parser")
    asked = faq.select("article section section")
    assert len(asked) >= 20
    for section in asked:
        question = section.h2.find(string=True)
        answer = section.select("p:not(.sidebar-title)")
        assert question.endswith("?") and len("".join(map(str, answer))) > 100, question
        links = {
            urlsplit(link["href"]).path for link in section.select("p a.internal:not(.hkt-term)")
        }
        pages = {link.removesuffix(".html") for link in links} - {
            "",
            "faq",
            "index",
            "bibliography",
        }
        assert pages and pages <= set(PAGES), question


@pytest.mark.parametrize("name", PAGES)
def test_download_button_hands_out_the_source(html, name):
    path = html / f"{name}.html"
    buttons = re.findall(
        r'<a href="([^"]+)"[^>]*btn-download-source-button', path.read_text(encoding="utf-8")
    )
    assert len(buttons) == 1
    source = path.parent / unquote(buttons[0])
    assert source.suffix == (".ipynb" if name.startswith("_generated/") else ".md")
    text = source.read_text(encoding="utf-8")
    assert "cells" in json.loads(text) if source.suffix == ".ipynb" else text.strip()


def test_nothing_is_loaded_from_another_host(html):
    outside = [
        f"{path.relative_to(html)}: {load}"
        for path in html.rglob("*.html")
        for load in Links(path.read_text(encoding="utf-8")).loads
        if urlsplit(load).scheme in ("http", "https") or load.startswith("//")
    ]
    foreign = re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s]+)""")
    for path in html.rglob("*.css"):
        text = path.read_text(encoding="utf-8", errors="replace")
        outside += [f"{path.relative_to(html)}: {hit}" for hit in foreign.findall(text)]
    assert not outside, "\n".join(outside)


# -- do the checks bite? -----------------------------------------------------------------------------------------------

DOT = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="
SOUND = (
    '<!doctype html><html lang="en" data-theme="light"><head><meta charset="utf-8"><title>Sound</title><style>:focus-visible {{ outline: 3px solid }}'
    '</style><link rel="icon" href="data:,"><meta name="viewport" content="width=device-width, initial-scale=1"></head>'
    '<body style="background:#fff;color:#000"><main><article><h1>Sound</h1>{}</article></main></body></html>'
)


@pytest.mark.parametrize(
    "fault, sentence",
    [
        ("", ""),
        ("<h1>Another</h1>", "2 first-level headings"),
        ('<img src="missing.png" alt="A picture of something">', "missing.png"),
        (
            '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=" alt="_images/0a1b2c.png">',
            "alternative text",
        ),
        ('<div class="math">\\[x\\]</div>', "not typeset"),
        ("<p>where \\lambda is a number</p>", "raw markup"),
        ('<p style="color:#bbb">pale</p>', "contrast"),
        ('<div style="width:800px">wide</div>', "px wide"),
        ("<pre style='overflow:auto'>" + "x" * 300 + "</pre>", "cut at its right edge"),
        (
            "<div class='hkt-scroll' style='overflow:auto'><p style='width:900px'>x</p></div>",
            "without a hint",
        ),
        (
            f"<div style='overflow:hidden'><img style='margin-left:350px' width=99 alt='A dot' src='{DOT}'></div>",
            "outside the screen",
        ),
        (
            "<table style='table-layout:fixed;width:900px'><tr><td>x</td></tr></table>",
            "beyond the paper",
        ),
        ("<p style='font:10px/15px serif'>" + "long lines " * 90 + "</p>", "lines of"),
        ('<a href="#a" style="outline:none">nowhere</a>', "focus is invisible"),
        ("<button></button>", "axe: critical button-name"),
        (
            "<details><summary>Show code cell source</summary>x</details>",
            "of what opens are called",
        ),
        ('<code title="0123456789ab">01234567</code>', "is no link"),
        ('<div class="math"><math><mi>\\big</mi></math></div>', "TeX error"),
        ("<!--" + "x" * 1_100_000 + "-->", "bytes when it opens"),
        ('<meta name="viewport" content="width=device-width">', "2 viewport tags"),
        ('<script>throw new Error("broken")</script>', "script error"),
        ('<script>console.error("oh no")</script>', "console error"),
        ('<script src="http://127.0.0.1:9/outside.js"></script>', "request to the outside"),
    ],
)
def test_the_checks_find_planted_faults(browser, tmp_path, fault, sentence):
    (tmp_path / "page.html").write_text(SOUND.format(fault), encoding="utf-8")
    with served(tmp_path) as address, opened(browser, address, "page.html") as (page, wrong):
        found = "\n".join(wrong + faults(page))
    assert sentence in found if sentence else found == "", found


PARTS = """<style>:root {{ --ground: #121212 }}
body {{ background: var(--ground) !important }} h1 {{ color: #eee }}
.x {{ color: INK; fill: INK; background: #181818 }} .x a {{ color: inherit }}</style>
<p class=x>pale</p> <table class=x><tr><td>pale</td></tr></table> <button class=x>pale</button>
<pre><span class=x>pale</span></pre> <div class=x><p><a href="#a">pale</a></p></div>
<svg viewBox="0 0 9 9" width=90 height=90><text class=x y=9>pale</text></svg>"""


def test_pale_text_is_found_in_the_dark_without_axe(browser, tmp_path):
    """And text that can be read is not."""
    found = {}
    for ink in ("#444", "#ddd"):
        text = SOUND.format(PARTS.format().replace("INK", ink))
        (tmp_path / "page.html").write_text(text, encoding="utf-8")
        with served(tmp_path) as address, opened(browser, address, "page.html") as (page, _):
            found[ink] = page.evaluate("() => hkt.contrast()")
    assert len(found["#444"]) == 6 and found["#ddd"] == [], found
