"""One browser and one served book for all tests of a worker."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import browser as set_up
from tests.browser.pages import PROJECT, opened, served, settled

STATIC = PROJECT / "book" / "_static"
PAGE = """<!doctype html><html lang="en" data-theme="light"><meta charset="utf-8"><title>One figure</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="_static/favicon.svg"><link rel="stylesheet" href="_static/hkt.css">
<main><article class="bd-article"><h1>One figure</h1><figure class="hkt-figure">
<div class="hkt-live" data-live="{name}"><script type="application/json">{data}</script></div>
{still}</figure></article></main>
<script src="_static/book.js"></script></html>"""
STILL = '<img class="hkt-still" alt="The still." src="_static/favicon.svg">'
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


@pytest.fixture(scope="session")
def site(html) -> Iterator[str]:
    with served(html) as address:
        yield address


@pytest.fixture(scope="module")
def stage(browser, tmp_path_factory) -> Iterator:
    """name, data, what stands in its place without scripts -> (page with that figure in motion, list of what went
    wrong)."""
    folder: Path = tmp_path_factory.mktemp("live")
    shutil.copytree(STATIC, folder / "_static")
    open_windows = []
    with served(folder) as site:

        def show(name: str, data, still: str = STILL, **context) -> tuple:
            text = PAGE.format(name=name, data=json.dumps(data), still=still)
            (folder / f"{name}.html").write_text(text, encoding="utf-8")
            window = opened(browser, site, f"{name}.html", **context)
            open_windows.append(window)
            page, wrong = window.__enter__()
            settled(page)
            assert page.locator(".hkt-live").get_attribute("data-ready") == "yes", wrong
            return page, wrong

        yield show
        for window in open_windows:
            window.__exit__(None, None, None)
