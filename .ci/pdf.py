"""The whole book as one PDF, printed by Chromium from the rendered pages.   python .ci/pdf.py [OUT]

Needs a built book (`hkt book`) and the extra `test`.  paper.py makes one document of the pages; it
is printed twice, since its contents need the numbers of pages.
"""

import os
import sys
import tempfile
from pathlib import Path
from urllib.parse import unquote

PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT), str(Path(__file__).parent)]

from address import addresses  # noqa: E402
from paper import LINE, PAPER, TITLE, Chapter, chapter, contents, document, facts_of  # noqa: E402

from hkt_lite.config import HKTError  # noqa: E402

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu"]


def printed(text: str, out: Path) -> None:
    """Print an HTML document on A4 by the Chromium of the browser tests."""
    from playwright.sync_api import sync_playwright

    from tests.browser import browser

    found = browser.find()
    if found is None:
        raise HKTError("No browser found; install Chromium or Chrome to print the book.")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        source = Path(folder) / "book.html"
        source.write_text(text, encoding="utf-8")
        chromium = playwright.chromium.launch(executable_path=found, args=FLAGS)
        window = chromium.new_context(java_script_enabled=False, color_scheme="light")
        page = window.new_page()
        page.set_default_timeout(600_000)
        page.goto(source.as_uri(), wait_until="load")
        page.pdf(path=out, prefer_css_page_size=True, print_background=True, tagged=True)
        chromium.close()


def pages_of(path: Path) -> dict[str, int]:
    """Place -> number of its page, counted from 1."""
    from pypdf import PdfReader

    reader = PdfReader(path)
    return {
        unquote(name.lstrip("/")): reader.get_destination_page_number(target) + 1
        for name, target in reader.named_destinations.items()
    }


def finish(path: Path, made: list[Chapter], facts: dict, numbers: dict[str, int]) -> None:
    """Bookmarks by part, chapter and section; title, author and the date of the pages."""
    from pypdf import PdfWriter
    from pypdf.generic import ArrayObject, ByteStringObject

    writer = PdfWriter(clone_from=path)
    stamp = f"D:{facts['date'].replace('-', '')}000000Z"
    writer.metadata = {
        "/Title": f"{TITLE}: {LINE[0].lower()}{LINE[1:]}",
        "/Author": "The HKT companion authors",
        "/Subject": f"A companion to {PAPER}. Text CC BY 4.0, code BSD 3-Clause.",
        "/CreationDate": stamp,
        "/ModDate": stamp,
    }
    writer.page_mode = "/UseOutlines"
    mark, parts = writer.add_outline_item, {"Front page": None}
    for one in made:
        page = numbers[one.place] - 1
        if one.part not in parts:
            parts[one.part] = mark(title=one.part, page_number=page - 1, is_open=False)
        above = mark(title=one.title, page_number=page, parent=parts[one.part], is_open=False)
        for place, heading in one.sections:
            mark(title=heading, page_number=numbers[place] - 1, parent=above)
    digest = facts["digest"]
    writer._ID = ArrayObject([ByteStringObject(digest), ByteStringObject(digest)])
    with open(path, "wb") as file:
        writer.write(file)


def make(folder: Path, out: Path, site: str = "") -> Path:
    """Print the book rendered in `folder` to `out`; raises HKTError with what is missing."""
    if not (folder / "index.html").is_file():
        raise HKTError(f"There is no rendered book in {folder}; build it with `hkt book`.")
    chapters, facts = contents(), facts_of(folder)
    made = [chapter(folder, name, chapters, site) for name in chapters]
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.part")
    numbers: dict[str, int] = {}
    for _ in range(3):  # the second printing has the numbers of the first
        printed(document(folder, made, facts, numbers), part)
        found = pages_of(part)
        if found == numbers:
            break
        numbers = found
    finish(part, made, facts, numbers)
    os.replace(part, out)
    return out


if __name__ == "__main__":
    rendered = PROJECT / "book" / "_build" / "html"
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PROJECT / "build" / "hkt-companion.pdf"
    try:
        print(make(rendered, target, addresses()[1]))
    except HKTError as error:
        sys.exit(str(error))
