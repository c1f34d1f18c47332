"""Every page of a built book in headless Chromium: nothing fails, nothing comes from outside, everybody can read it.

HKT_TEST_BOOK=FOLDER checks the book rendered in that folder instead of building one at smoke scale.
"""

from __future__ import annotations

import functools
import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from tests.browser import browser as set_up

pytestmark = pytest.mark.browser

PROJECT = Path(__file__).resolve().parents[2]
TOC = yaml.safe_load((PROJECT / "book" / "_toc.yml").read_text(encoding="utf-8"))
PAGES = [TOC["root"], *(chapter["file"] for part in TOC["parts"] for chapter in part["chapters"])]
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}

# All in the page: a sentence for each thing that is wrong with it.
READABLE = r"""() => {
  const wrong = [];
  const h1 = [...document.querySelectorAll('h1')].filter(e => e.getClientRects().length).length;  // not the print one
  if (h1 !== 1) wrong.push(`${h1} first-level headings instead of one`);
  if (!document.title.trim()) wrong.push('no title');
  for (const img of document.querySelectorAll('img')) {
    const name = img.currentSrc.slice(0, 80), alt = (img.getAttribute('alt') || '').trim();
    if (!(img.complete && img.naturalWidth > 0) && img.getClientRects().length) wrong.push(`image not loaded: ${name}`);
    if (alt.length < 4 || /\.(png|svg|jpe?g|gif|webp)$|_images\/|^[0-9a-f]{16,}/i.test(alt))
      wrong.push(`image without human alternative text (${alt || 'empty'}): ${name}`);
  }
  for (const svg of document.querySelectorAll('svg[role=img]:not([aria-hidden=true])'))
    if (!svg.querySelector('title') && !svg.getAttribute('aria-label')) wrong.push('an inline drawing without a title');
  for (const math of document.querySelectorAll('.math'))
    if (!math.querySelector('mjx-container')) wrong.push(`mathematics not typeset: ${math.textContent.slice(0, 60)}`);
  for (const error of document.querySelectorAll('mjx-merror, [data-mjx-error]'))
    wrong.push(`TeX error: ${error.textContent.slice(0, 60)}`);
  const tex = new RegExp(String.raw`\\\(|\\\[|\$\$|\\(frac|lambda|sigma|sqrt|langle|mathrm|begin|lVert)\b`
    + String.raw`|\{(ref|doc|cite|eq|numref)[:a-z]*\}` + '`');
  const walk = document.createTreeWalker(document.querySelector('article') || document.body, NodeFilter.SHOW_TEXT);
  for (let node; node = walk.nextNode();) {
    const found = node.textContent.match(tex);
    if (found && !node.parentElement.closest('pre, code, script, style, mjx-container, textarea'))
      wrong.push(`raw markup ${found[0]} in: ${node.textContent.trim().slice(0, 60)}`);
  }
  return wrong;
}"""

OVERFLOW = r"""() => {
  const width = document.documentElement.clientWidth, page = document.documentElement.scrollWidth;
  if (page <= width) return [];
  const scrolls = 'pre, .math, .hkt-scroll, .hkt-figure, .output, .pst-scrollable-table-container';
  const wide = [...document.querySelectorAll('article *')]
    .filter(e => e.getBoundingClientRect().right > width + 1 && !e.closest(scrolls))
    .slice(0, 3).map(e => `<${e.tagName.toLowerCase()} class="${e.getAttribute('class') || ''}">`);
  return [`the page is ${page} px wide on a ${width} px screen: ${wide.join(' ')}`];
}"""

# Contrast of text against what is painted behind it, by WCAG 2: 4.5, or 3 for large text.
CONTRAST = r"""() => {
  const parse = colour => {
    const v = (colour.match(/[\d.]+/g) || [0, 0, 0, 0]).map(Number), unit = colour.startsWith('color(') ? 255 : 1;
    return [v[0] * unit, v[1] * unit, v[2] * unit, v[3] ?? 1];
  };
  const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
  const light = colour => {
    const f = colour.slice(0, 3).map(x => x / 255).map(x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    return 0.2126 * f[0] + 0.7152 * f[1] + 0.0722 * f[2];
  };
  const grounds = new Map([[null, [255, 255, 255, 1]]]);
  const ground = e => {                                 // null behind a picture
    if (!grounds.has(e)) {
      const s = getComputedStyle(e), colour = parse(s.backgroundColor);
      const below = colour[3] === 1 ? [0, 0, 0, 1] : ground(e.parentElement);
      grounds.set(e, s.backgroundImage !== 'none' || !below ? null : over(colour, below));
    }
    return grounds.get(e);
  };
  const skip = 'script, style, noscript, mjx-assistive-mml, details:not([open]) table';
  const seen = new Map(), done = new Set(), walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; node = walk.nextNode();) {
    const e = node.parentElement, text = node.textContent.trim();
    if (!text || done.has(e) || e.closest(skip)) continue;
    done.add(e);
    if (!e.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
    const s = getComputedStyle(e), behind = ground(e);
    if (!behind || +s.opacity < 1) continue;
    const ink = over(parse(e instanceof SVGElement ? s.fill : s.color), behind);
    const [high, low] = [light(ink), light(behind)].sort((x, y) => y - x), ratio = (high + 0.05) / (low + 0.05);
    const size = parseFloat(s.fontSize), large = size >= 24 || (size >= 18.66 && +s.fontWeight >= 700);
    const key = `<${e.tagName.toLowerCase()} class="${e.getAttribute('class') || ''}"> ${s.color}`;
    if (ratio < (large ? 3 : 4.5) && !seen.has(key))
      seen.set(key, `contrast ${ratio.toFixed(2)} of ${key}: ${text.slice(0, 40)}`);
  }
  return [...seen.values()];
}"""


# -- what the tests stand on -------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def html(request) -> Path:
    """The folder of a rendered book: the session's smoke build, or the one that HKT_TEST_BOOK names."""
    named = os.environ.get("HKT_TEST_BOOK")
    return Path(named).resolve() if named else request.getfixturevalue("smoke_book")


@pytest.fixture(scope="session")
def browser() -> Iterator:
    from playwright.sync_api import sync_playwright

    found = set_up.find()
    if found is None:
        say = pytest.fail if set_up.required() else pytest.skip
        say("No browser found; `make test` installs one where it may, or install Chromium.")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield chromium
        chromium.close()


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address under which `folder` is served on this machine."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def site(html) -> Iterator[str]:
    with served(html) as address:
        yield address


@contextmanager
def opened(browser, site: str, path: str, **context) -> Iterator:
    """(page, list of what went wrong while loading and later): console, failed and outside requests."""
    with browser.new_context(viewport=WIDE, **context) as window:
        window.set_default_timeout(120_000)  # a busy machine is no fault of the page
        page, wrong = window.new_page(), []
        inside = (site, "data:", "blob:", "about:")
        for event, bad, say in [
            (
                "console",
                lambda said: said.type == "error",
                lambda said: f"console error: {said.text}",
            ),
            ("pageerror", lambda error: True, lambda error: f"script error: {error}"),
            (
                "requestfailed",
                lambda request: True,
                lambda request: f"request failed: {request.url}",
            ),
            (
                "response",
                lambda answer: answer.status >= 400,
                lambda answer: f"{answer.status}: {answer.url}",
            ),
            (
                "request",
                lambda request: not request.url.startswith(inside),
                lambda request: f"request to the outside: {request.url}",
            ),
        ]:
            page.on(
                event, lambda told, bad=bad, say=say: wrong.append(say(told)) if bad(told) else None
            )
        page.goto(site + path, wait_until="load")
        page.add_style_tag(
            content="* { transition: none !important; animation: none !important }"
        )  # no colour is half-way when it is measured
        for image in page.locator("img[loading=lazy]").all():
            image.evaluate("image => { image.loading = 'eager' }")
        page.wait_for_load_state("networkidle")
        page.evaluate("() => window.MathJax && MathJax.startup ? MathJax.startup.promise : null")
        yield page, wrong


def faults(page) -> list[str]:
    """What a reader would stumble over, in both themes and on a phone."""
    wrong = page.evaluate(READABLE)
    for theme in ("light", "dark"):
        page.evaluate(
            "theme => Object.assign(document.documentElement.dataset, {theme, mode: theme})", theme
        )
        page.wait_for_timeout(400)  # colours fade over
        wrong += [f"{theme}: {sentence}" for sentence in page.evaluate(CONTRAST)]
    page.set_viewport_size(PHONE)
    page.wait_for_timeout(100)
    return wrong + [f"phone: {sentence}" for sentence in page.evaluate(OVERFLOW)]


# -- the pages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_page_opens_without_a_fault(browser, site, name):
    with opened(browser, site, f"{name}.html") as (page, wrong):
        found = faults(page)
        assert not (wrong + found), f"{name}:\n  " + "\n  ".join(wrong + found)


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


def test_search_works_without_a_server(browser, site):
    with opened(browser, site, "search.html?q=distillation") as (page, wrong):
        page.wait_for_selector("ul.search li", timeout=20_000)
        assert not wrong


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

SOUND = (
    '<!doctype html><html lang="en" data-theme="light"><head><meta charset="utf-8"><title>Sound</title>'
    '<link rel="icon" href="data:,"><meta name="viewport" content="width=device-width"></head>'
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
