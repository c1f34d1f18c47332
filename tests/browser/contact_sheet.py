"""Every page as a reader sees it: light, dark, on a phone; one picture a page, to look at.

python -m tests.browser.contact_sheet [--html FOLDER] [--out FOLDER] [--look light|dark|phone] [NAME …]

NAME is a page such as faq or _generated/10_cifar10; all without one.  A page is cut into slices, side by side from left
to right.  The pictures go to build/contact-sheet, which git ignores.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from tests.browser import browser as set_up
from tests.browser.conftest import FLAGS
from tests.browser.pages import PAGES, PHONE, PROJECT, WIDE, opened, served, settled

LOOKS = {  # name -> size of the window, theme, scale of the picture, height of a slice on the page
    "light": (WIDE, "light", 0.5, 3000),
    "dark": (WIDE, "dark", 0.5, 3000),
    "phone": (PHONE, "light", 1.0, 1500),
}
GAP = 10


def slices(page, size: dict, height: int) -> Iterator[Image.Image]:
    """The page from top to bottom in pictures of at most `height`."""
    whole = page.evaluate("() => document.documentElement.scrollHeight")
    for top in range(0, whole, height):
        part = {"x": 0, "y": top, "width": size["width"], "height": min(height, whole - top)}
        yield Image.open(io.BytesIO(page.screenshot(full_page=True, clip=part))).convert("RGB")


def joined(parts: list[Image.Image], scale: float) -> Image.Image:
    """Pictures side by side."""
    small = [
        part.resize((round(part.width * scale), round(part.height * scale)), Image.LANCZOS)
        for part in parts
    ]
    width = sum(part.width + GAP for part in small) - GAP
    sheet = Image.new("RGB", (width, max(part.height for part in small)), "#d08020")
    left = 0
    for part in small:
        sheet.paste(part, (left, 0))
        left += part.width + GAP
    return sheet


def photograph(browser, site: str, name: str, looks: list[str], out: Path) -> None:
    """One file for each look at a page: NAME-light.png, NAME-dark.png, NAME-phone.png."""
    for look in looks:
        size, theme, scale, height = LOOKS[look]
        with opened(browser, site, f"{name}.html", viewport=size, color_scheme=theme) as (page, _):
            settled(page)
            sheet = joined(list(slices(page, size, height)), scale)
        path = out / f"{name.replace('_generated/', '').replace('/', '-')}-{look}.png"
        sheet.save(path)
        print(path, flush=True)


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", default=PAGES)
    parser.add_argument("--html", type=Path, default=PROJECT / "book" / "_build" / "html")
    parser.add_argument("--out", type=Path, default=PROJECT / "build" / "contact-sheet")
    parser.add_argument("--look", choices=LOOKS, action="append", help="else all three")
    given = parser.parse_args()
    found = set_up.find()
    if found is None or not (given.html / "index.html").is_file():
        raise SystemExit(f"Needed: Chromium, and a book built in {given.html} (`hkt book`).")
    given.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright, served(given.html) as site:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        for name in given.names:
            photograph(browser, site, name, given.look or list(LOOKS), given.out)
        browser.close()


if __name__ == "__main__":
    main()
