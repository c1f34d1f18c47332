"""One browser and one served book for all tests of a worker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import browser as set_up
from tests.browser.pages import served

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
