"""The last touch on a page: pictures as files, record ids as links, a description, sound roles."""

import base64
import hashlib
import re
from pathlib import Path

from docutils import nodes

from . import address, records

PICTURE = re.compile(r'<img src="data:image/(svg\+xml|png);base64,([^"]+)"([^>]*)>')
SIZE = re.compile(rb'<svg [^>]*?width="([\d.]+)pt" height="([\d.]+)pt"', re.DOTALL)
# names, punctuation and blanks of code have the colour of the text around them
PLAIN = re.compile(r'<span class="[npw]">([^<]*)</span>')
ID = re.compile(r'<code[^>]*>(?:<span class="pre">)?([0-9a-f]{8,12})(?:</span>)?</code>')
DATA = re.compile(r'data-live="(\w+)"><script type="application/json">(.*?)</script>', re.DOTALL)
VIEWPORT = re.compile(r'<meta name="viewport"[^>]*>')
EVERYWHERE = "_static/book.js"
BETTER = {
    # the bibliography: a role that browsers gave up, in a list that allows no other than this
    'role="doc-biblioentry"': 'role="listitem"',
    # a folded cell has a name of its own
    '<summary aria-label="Toggle hidden content">': "<summary>",
}
# the blank before an exercise's name does not belong to the link, which is underlined
SOLUTION = re.compile(r"(Solution to)(<a [^>]*>) ")
# a note in the margin is no landmark of its own, which an aside would be
NOTE = re.compile(r'<aside class="(margin sidebar[^"]*)">(.*?)</aside>', re.DOTALL)
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
RULE = re.compile(r"((?:^|(?<=[{};]))[^{};@]+)\{[^{}]*\}")
COMMA = re.compile(r",(?![^()]*\))")
CHOICE = re.compile(r":(?:not|is|where|has)\((?:[^()]|\([^()]*\))*\)")
CLASS = re.compile(r"\.(-?[_a-zA-Z][\w-]*)(?![\w\\-])")
WORD = re.compile(r"[\w-]+")
START = re.compile(r"([a-zA-Z][\w-]*-)(?=[\"'`]|\$\{)")  # "hkt-" + name


def page(app, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Sphinx's event html-page-context."""
    context["script_files"] = [one for one in context["script_files"] if not _own(app, one)]
    context["metatags"] = VIEWPORT.sub("", context.get("metatags") or "")  # the layout has one
    if "body" not in context or doctree is None:
        return
    context["description"] = describe(doctree)
    context["elsewhere"] = address.links(app.config.hkt_repository, pagename)
    body, up = context["body"], "../" * pagename.count("/")
    body = PICTURE.sub(lambda found: _file(Path(app.outdir), up, *found.groups()), body)
    body = DATA.sub(lambda found: _numbers(Path(app.outdir), up, *found.groups()), body)
    known = _known(app)
    body = ID.sub(lambda found: _linked(found, known, up), body)
    for old, new in BETTER.items():
        body = body.replace(old, new)
    body = PLAIN.sub(r"\1", body)
    body = SOLUTION.sub(r"\1 \2", body)
    context["body"] = NOTE.sub(r'<div role="note" class="\1">\2</div>', body)


def lighter(app, failed: Exception | None) -> None:
    """Sphinx's event build-finished: all styles without the rules for what no page can have."""
    if failed is not None:
        return
    static = Path(app.outdir) / "_static"
    # the icons' script is loaded by no page; it would name every icon
    scripts = [path for path in static.rglob("*.js") if path.name != "fontawesome.js"]
    words, starts = set(), set()
    for path in (*Path(app.outdir).rglob("*.html"), *scripts):
        text = path.read_text(encoding="utf-8")
        words.update(WORD.findall(text))
        starts.update(START.findall(text) if path.suffix == ".js" else ())
    for path in static.rglob("*.css"):
        styles = path.read_text(encoding="utf-8")
        path.write_text(purged(styles, words, tuple(sorted(starts))), encoding="utf-8")


def purged(styles: str, words: set[str], starts: tuple[str, ...] = ()) -> str:
    """CSS without the rules that need a class which is none of `words` and begins with no `starts`.

    A class that a selector only excludes or offers for choice (:not, :is, …) is not needed.
    Comments stay: some are licences.
    """

    def possible(selector: str) -> bool:
        names = CLASS.findall(CHOICE.sub("", selector))
        return all(name in words or name.startswith(starts) for name in names)

    def kept(rule: re.Match) -> str:
        if any(possible(selector) for selector in COMMA.split(COMMENT.sub("", rule.group(1)))):
            return rule.group(0)
        return "".join(COMMENT.findall(rule.group(1)))

    return RULE.sub(kept, styles)


def _own(app, script) -> bool:
    """A script of a page or two, which these pages load themselves, not every page of the book."""
    name = getattr(script, "filename", None) or "."
    return name != EVERYWHERE and (Path(app.srcdir) / name).is_file()


def describe(doctree, most: int = 200) -> str:
    """The question in a page's box and its first sentences, as others show them."""
    boxes = [box for box in doctree.findall(nodes.admonition) if "hkt-question" in box["classes"]]
    question = boxes[0].next_node(nodes.title).astext() if boxes else ""
    for paragraph in doctree.findall(nodes.paragraph):
        if not isinstance(paragraph.parent, nodes.section):
            continue
        text = " ".join(f"{question} {paragraph.astext()}".split())
        return text if len(text) <= most else text[:most].rsplit(" ", 1)[0] + " …"
    return question


def _file(out: Path, up: str, kind: str, data: str, rest: str) -> str:
    """A picture that a page carries inside, as a file that loads when it comes into sight and can
    be opened alone."""
    picture = base64.b64decode(data)
    name = f"{hashlib.sha256(picture).hexdigest()[:16]}.{kind[:3]}"
    folder = out / "_images"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(picture)
    # lines and words can take a page's colours; what holds pixels (an image, a map) keeps its own
    look = ' class="hkt-drawn"' if kind.startswith("svg") and b"<image" not in picture else ""
    size = ""
    if found := SIZE.search(picture[:2000]):
        width, height = (round(float(points) * 4 / 3) for points in found.groups())
        size = f' width="{width}" height="{height}"'
    alone = f'<a class="hkt-enlarge" href="{up}_images/{name}">Enlarge</a>'
    return f'<img src="{up}_images/{name}" loading="lazy"{look}{size}{rest}>{alone}'


def _numbers(out: Path, up: str, name: str, data: str) -> str:
    """The data of a figure that can be moved, as a script that loads when it comes into sight; a
    page that is opened as a file may load no other kind."""
    key = hashlib.sha256(data.encode()).hexdigest()[:16]
    folder = out / "_live"
    folder.mkdir(exist_ok=True)
    (folder / f"{key}.js").write_text(f'hkt.data["{key}"]={data};\n', encoding="utf-8")
    return f'data-live="{name}" data-key="{key}" data-source="{up}_live/{key}.js">'


def _known(app) -> dict[str, str]:
    """The first 8 digits of each record's id -> the id of its page; read once a build."""
    if not hasattr(app, "hkt_records"):
        found = records.known(records.shown(Path(app.srcdir)))
        app.hkt_records = {name[:8]: name for name in found}
    return app.hkt_records


def _linked(found: re.Match, known: dict[str, str], up: str) -> str:
    name = known.get(found.group(1)[:8], "")
    if not name.startswith(found.group(1)):
        return found.group(0)
    return f'<a class="hkt-record" href="{up}records/{name}.html">{found.group(0)}</a>'
