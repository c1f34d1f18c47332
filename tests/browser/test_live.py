"""The figures that can be moved, each alone on a page: their numbers equal Python's, keys move them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.pages import PROJECT, opened, served, settled

pytestmark = pytest.mark.browser
STATIC = PROJECT / "book" / "_static"
PAGE = """<!doctype html><html lang="en" data-theme="light"><meta charset="utf-8"><title>One figure</title>
<link rel="icon" href="_static/favicon.svg"><link rel="stylesheet" href="_static/hkt.css">
<main class="bd-article"><h1>One figure</h1><figure class="hkt-figure">
<div class="hkt-live" data-live="{name}"><script type="application/json">{data}</script></div>
<img class="hkt-still" alt="The still." src="_static/favicon.svg"></figure></main>
<script src="_static/book.js"></script></html>"""


@pytest.fixture(scope="module")
def stage(browser, tmp_path_factory) -> Iterator:
    """name, data -> (page with that figure in motion, list of what went wrong)."""
    folder: Path = tmp_path_factory.mktemp("live")
    shutil.copytree(STATIC, folder / "_static")
    open_windows = []
    with served(folder) as site:

        def show(name: str, data) -> tuple:
            (folder / f"{name}.html").write_text(PAGE.format(name=name, data=json.dumps(data)))
            window = opened(browser, site, f"{name}.html")
            open_windows.append(window)
            page, wrong = window.__enter__()
            settled(page)
            assert page.locator(".hkt-live").get_attribute("data-ready") == "yes", wrong
            return page, wrong

        yield show
        for window in open_windows:
            window.__exit__(None, None, None)
