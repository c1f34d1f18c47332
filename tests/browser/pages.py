"""What the tests of the rendered book stand on: its pages, a server for them, a page opened in Chromium."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

PROJECT = Path(__file__).resolve().parents[2]
TOC = yaml.safe_load((PROJECT / "book" / "_toc.yml").read_text(encoding="utf-8"))
PAGES = [TOC["root"], *(chapter["file"] for part in TOC["parts"] for chapter in part["chapters"])]
WIDE, PHONE, PAPER = (
    {"width": 1440, "height": 900},
    {"width": 390, "height": 844},
    {"width": 718, "height": 1000},  # A4 without its margins, at 96 dots an inch
)
CHECKS = (Path(__file__).parent / "checks.js").read_text(encoding="utf-8")

DRAWERS = """() => document.querySelectorAll('details').forEach(drawer => {
  if (drawer.querySelector('.hkt-live')) drawer.open = true })"""

WRONG = [  # event, when it is wrong, how it is called
    ("console", lambda said: said.type == "error", lambda said: f"console error: {said.text}"),
    ("pageerror", lambda error: True, lambda error: f"script error: {error}"),
    ("requestfailed", lambda request: True, lambda request: f"request failed: {request.url}"),
    ("response", lambda answer: answer.status >= 400, lambda a: f"{a.status}: {a.url}"),
]


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


@contextmanager
def opened(browser, site: str, path: str, **context) -> Iterator:
    """(page, list of what went wrong while loading and later): console, failed and outside requests."""
    with browser.new_context(**{"viewport": WIDE, "reduced_motion": "reduce", **context}) as window:
        window.set_default_timeout(120_000)  # a busy machine is no fault of the page
        page, wrong = window.new_page(), []
        inside = (site, "data:", "blob:", "about:")
        outside = (
            "request",
            lambda request: not request.url.startswith(inside),
            lambda request: f"request to the outside: {request.url}",
        )
        for event, bad, say in [*WRONG, outside]:
            page.on(
                event, lambda told, bad=bad, say=say: wrong.append(say(told)) if bad(told) else None
            )
        page.goto(site + path, wait_until="load")
        page.wait_for_load_state("networkidle")
        page.evaluate(CHECKS)
        yield page, wrong


def settled(page) -> None:
    """All pictures loaded, all figures that move in motion, no colour half-way."""
    page.add_style_tag(content="* { transition: none !important; animation: none !important }")
    page.evaluate("() => document.querySelectorAll('img').forEach(i => { i.loading = 'eager' })")
    moving = page.locator(".hkt-live[data-live]")
    page.evaluate(DRAWERS)
    for number in range(moving.count()):
        moving.nth(number).evaluate("figure => figure.scrollIntoView()")
        moving.nth(number).locator(":scope[data-ready]").wait_for(state="attached")
    page.evaluate("() => scrollTo(0, 0)")
    page.wait_for_function("() => [...document.images].every(i => i.complete)")
