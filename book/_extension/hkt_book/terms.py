"""The first use of each glossary term on a page is a link to the glossary."""

import re
from collections.abc import Iterator

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.nodes import make_refnode

# No running text, or a link or a name already: there a word stays as it is.
SKIPPED = (
    nodes.title,
    nodes.rubric,
    nodes.term,
    nodes.caption,
    nodes.table,
    nodes.citation,
    nodes.literal,
    nodes.literal_block,
    nodes.doctest_block,
    nodes.math,
    nodes.math_block,
    nodes.raw,
    nodes.reference,
    nodes.comment,
)
# A card is one link as a whole; docstrings and what a build notes of itself are no prose.
SKIPPED_CLASSES = {"sd-card", "sidebar-title", "provenance", "hkt-api"}
# Words of everyday language, too: the term is meant where the text *stresses* it.
EVERYDAY = {"scale", "share", "similarity", "update"}
# Verbs, too, or with another meaning: the term is meant after an article or the like.
NOUNS = {"record", "site", "view"}
ARTICLE = re.compile(r"\b(an?|the|each|every|its|their|one|no|of|published)\s+$", re.IGNORECASE)


def link(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Sphinx's event doctree-resolved."""
    places = terms(app.env)
    if not places or docname in {page for page, _ in places.values()}:
        return
    pattern, names, used = _pattern(places), list(places), set()
    for text in _texts(doctree):
        made, said, end = [], text.astext(), 0
        for found in pattern.finditer(said):
            name = names[int(found.lastgroup[1:])]
            if name in used or not _meant(name, found, text):
                continue
            used.add(name)
            inside = nodes.inline("", found[0], classes=["xref", "std", "std-term"])
            reference = make_refnode(app.builder, docname, *places[name], inside)
            reference["classes"].append("hkt-term")
            made += [nodes.Text(said[end : found.start()]), reference]
            end = found.end()
        if made:
            text.parent.replace(text, [*made, nodes.Text(said[end:])])


def changed(app: Sphinx, env) -> list[str]:
    """Sphinx's event env-updated: every page, where terms came, went or moved."""
    before, env.hkt_terms = getattr(env, "hkt_terms", None), terms(env)
    return [] if before in (None, env.hkt_terms) else sorted(env.found_docs)


def terms(env) -> dict[str, tuple[str, str]]:
    """Term -> (page, place) of its definition."""
    known = env.get_domain("std").objects
    return {name: place for (kind, name), place in known.items() if kind == "term"}


def _pattern(names) -> re.Pattern:
    """Any of the terms as whole words, in the plural, too: group t0 for the first, …; where one
    holds another, the longer."""
    either = []
    for number, name in sorted(enumerate(names), key=lambda one: -len(one[1])):
        rest = r"\s+".join(map(re.escape, name[1:].split(" ")))
        either.append(f"(?P<t{number}>[{name[0].upper()}{name[0]}]{rest}s?)")
    return re.compile(rf"(?<![\w-])(?:{'|'.join(either)})(?![\w-]|\.\w)")


def _meant(name: str, found: re.Match, text: nodes.Text) -> bool:
    """Is it the term, and not a word that looks like it?"""
    stressed = isinstance(text.parent, nodes.emphasis) and found[0] == text.astext()
    if name in EVERYDAY:
        return stressed
    return stressed or name not in NOUNS or bool(ARTICLE.search(found.string[: found.start()]))


def _texts(node: nodes.Element) -> Iterator[nodes.Text]:
    """The running text below `node`, in one piece where only the end of a line, a node of its own,
    divides it."""
    if isinstance(node, SKIPPED) or SKIPPED_CLASSES & set(node.get("classes", ())):
        return
    joined: list[nodes.Node] = []
    for child in node.children:
        if joined and isinstance(child, nodes.Text) and isinstance(joined[-1], nodes.Text):
            joined[-1] = nodes.Text(joined[-1] + child)
        else:
            joined.append(child)
    node[:] = joined  # and each knows its parent, which is not always so
    for child in joined:
        if isinstance(child, nodes.Text):
            yield child
        elif isinstance(child, nodes.Element):
            yield from _texts(child)
