"""One deck from the rendered book: its questions, figures and conclusions.   hkt course slides

A self-contained HTML file (arrow keys, no network) and, where Chromium is found, a PDF of it.
Nothing is written by hand, so no slide can say what its page does not.
"""

import base64
import html
import mimetypes
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from hkt_lite.config import HKTError, nearest
from hkt_lite.files import write_bytes

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
POINTS = 4  # of a list on one slide
STYLE = """
@page { size: 320mm 180mm; margin: 0 }
body { margin: 0; font: 22px/1.45 system-ui, sans-serif; color: #222; background: #fff }
section { box-sizing: border-box; width: 100%; height: 100vh; padding: 5vh 7vw; overflow: hidden;
  display: flex; flex-direction: column; justify-content: center; page-break-after: always }
h1 { color: #0072B2; margin: 0 0 .4em } h2 { margin: 0 0 .5em; font-size: 1.15em }
img { display: block; max-width: 100%; max-height: 62vh; margin: 0 auto }
p.caption { font-size: .65em; color: #555; max-height: 15vh; overflow: hidden }
.page { font-size: .6em; color: #777 } ul { font-size: .85em }
@media print { section { height: 180mm } img { max-height: 105mm } }
"""
KEYS = """
const all = [...document.querySelectorAll('section')];
addEventListener('keydown', event => {
  const step = {ArrowRight: 1, PageDown: 1, ' ': 1, ArrowLeft: -1, PageUp: -1}[event.key];
  if (!step) return;
  event.preventDefault();
  const here = Math.round(scrollY / innerHeight);
  all[Math.min(all.length - 1, Math.max(0, here + step))].scrollIntoView();
});
"""


def deck(book: Path, out: Path, names: Sequence[str] = ()) -> list[Path]:
    """Write slides.html, and slides.pdf where there is a browser, from the rendered `book`: of all
    pages, or of those named, in their order.

    Raises HKTError where the book has not been built, and for a page that it does not have.
    """
    from bs4 import BeautifulSoup

    pages = sorted((book / "_generated").glob("*.html"))
    if not pages:
        raise HKTError(f"There is no rendered book in {book}; make it with `hkt book`.")
    known = {path.stem: path for path in pages}
    for name in names:
        if name not in known:
            raise HKTError(f"The book has no page {name!r}.{nearest(name, known)}")
    slides = [
        slide
        for path in ([known[name] for name in names] or pages)
        for slide in _slides(path, BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser"))
    ]
    body = "\n".join(f"<section>{slide}</section>" for slide in slides)
    text = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>The HKT companion</title>'
        f"<style>{STYLE}</style><body>{body}<script>{KEYS}</script></body></html>"
    )
    write_bytes(out / "slides.html", text.encode())
    return [out / "slides.html", *_pdf(out / "slides.html")]


def _slides(path: Path, page) -> Iterator[str]:
    """The title with its question, a slide a figure, and what was seen."""
    article = page.find("article") or page
    title = _words(article.find("h1"))
    question = article.select_one(".hkt-question .admonition-title")
    shown = [li for li in article.select(".hkt-question li") if "data shown" in li.get_text()]
    scale = f'<p class="page">{shown[0].decode_contents()}</p>' if shown else ""
    yield f"<h1>{title}</h1><h2>{_words(question)}</h2>{scale}"
    for image in article.find_all("img"):
        if image.get("alt") and "only-dark" not in image.get("class", []):
            section = image.find_parent("section")
            heading = _words(section.find(["h2", "h3", "h1"]) if section else None) or title
            caption = html.escape(image["alt"])
            source = _inline(path, image["src"])
            yield (
                f'<h2>{heading}</h2><img src="{source}" alt="{caption}">'
                f'<p class="caption">{caption}</p><p class="page">{title}</p>'
            )
    saw = article.find(id="what-we-saw")
    points = saw.find("ul").find_all("li", recursive=False) if saw and saw.find("ul") else []
    for first in range(0, len(points), POINTS):
        shown = "".join(map(str, points[first : first + POINTS]))
        yield f"<h2>{title}: what we saw</h2><ul>{shown}</ul>"


def _words(tag) -> str:
    """A heading's inner HTML without the sign that links to it."""
    if tag is None:
        return ""
    for link in tag.select("a.headerlink"):
        link.decompose()
    return tag.decode_contents().strip()


def _inline(page: Path, source: str) -> str:
    """An image as a data address, so that the deck is one file."""
    if source.startswith("data:"):
        return source
    path = (page.parent / source.partition("?")[0]).resolve()
    kind = mimetypes.guess_type(path.name)[0] or "image/png"
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _pdf(deck: Path) -> list[Path]:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        return []
    made = deck.with_suffix(".pdf")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"]
    command = [browser, *flags, f"--print-to-pdf={made}", deck.resolve().as_uri()]
    subprocess.run(command, capture_output=True, check=False, timeout=300)
    return [made] if made.exists() else []
