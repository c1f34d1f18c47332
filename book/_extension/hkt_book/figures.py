"""Figures that notebooks draw have numbers, page by page, and may be spoken of from anywhere.

    {fig}`22_what_is_inherited:inherit-cka`    Figure 22.8, a link; page and the cell that draws it

Sphinx numbers what its own directives make; a cell's output is HTML that it does not look into.
"""

import json
import re
from pathlib import Path, PurePosixPath

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole
from sphinx.util.logging import getLogger

OPEN = '<figure class="hkt-figure">'
NUMBERED = (
    '<figure class="hkt-figure" id="figure-{count}">'
    '<a class="hkt-number" href="#figure-{count}">Figure {number}</a>'
)


class figure_mention(nodes.Inline, nodes.Element):
    """A mention of a figure, until all pages are read."""


class Mention(SphinxRole):
    """The role {fig}."""

    def run(self):
        page, _, cell = self.text.partition(":")
        return [figure_mention("", page=page, cell=cell)], []


def number(app: Sphinx, doctree: nodes.document) -> None:
    """Sphinx's event doctree-read."""
    docname, cells, count = app.env.docname, None, 0
    known = _all(app.env)
    known[docname] = {}
    for raw in list(doctree.findall(nodes.raw)):
        if OPEN not in raw.astext():
            continue
        cells = cells if cells is not None else _cells(Path(app.env.doc2path(docname)))
        text, cell = raw.astext(), _cell(raw, cells)
        while OPEN in text:
            count += 1
            said = _number(docname, count)
            text = text.replace(OPEN, NUMBERED.format(count=count, number=said), 1)
            known[docname].setdefault(cell, (f"figure-{count}", f"Figure {said}"))
        raw[:] = [nodes.Text(text)]
        raw.rawsource = text


def resolve(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Sphinx's event doctree-resolved: mentions become links, or warnings."""
    pages = {PurePosixPath(page).name: page for page in _all(app.env)}
    for mention in list(doctree.findall(figure_mention)):
        page, cell = pages.get(mention["page"]), mention["cell"]
        place = _all(app.env).get(page, {}).get(cell)
        if place is None:  # the cell's runs are not there, or there is no such cell
            if page is None or cell not in _cells(Path(app.env.doc2path(page))):
                where = f"{mention['page']}:{cell}"
                getLogger(__name__).warning("no figure %s", where, location=docname)
            mention.replace_self(nodes.inline("", "a figure"))
            continue
        anchor, said = place
        target = app.builder.get_relative_uri(docname, page) + f"#{anchor}"
        mention.replace_self(nodes.reference("", said, internal=True, refuri=target))


def forget(app: Sphinx, env, docname: str) -> None:
    """Sphinx's event env-purge-doc."""
    _all(env).pop(docname, None)


def merge(app: Sphinx, env, docnames, other) -> None:
    """Sphinx's event env-merge-info."""
    _all(env).update({name: _all(other)[name] for name in docnames if name in _all(other)})


def changed(app: Sphinx, env) -> list[str]:
    """Sphinx's event env-updated: every page, where figures came, went or moved."""
    before, env.hkt_figures_shown = getattr(env, "hkt_figures_shown", None), dict(_all(env))
    return [] if before in (None, env.hkt_figures_shown) else sorted(env.found_docs)


def _all(env) -> dict[str, dict]:
    """Page -> cell -> (anchor, what it is called)."""
    if not hasattr(env, "hkt_figures"):
        env.hkt_figures = {}
    return env.hkt_figures


def _number(docname: str, count: int) -> str:
    """22.3 for the third figure of page 22; 3 on a page without a number."""
    found = re.match(r"\d+", PurePosixPath(docname).name)
    return f"{int(found[0])}.{count}" if found else str(count)


def _cells(path: Path) -> list[str]:
    """The ids of a notebook's cells; none for another page."""
    if path.suffix != ".ipynb":
        return []
    return [cell.get("id", "") for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]


def _cell(node: nodes.Node, cells: list[str]) -> str:
    """The id of the cell that a node is an output of."""
    while node is not None:
        index = node.get("cell_index") if isinstance(node, nodes.Element) else None
        if index is not None and index < len(cells):
            return cells[index]
        node = node.parent
    return ""
