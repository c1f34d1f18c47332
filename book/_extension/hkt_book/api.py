"""The public functions and classes of a room, from their docstrings: read, not imported.

```{api} methods``` lists what hkt_lite/methods/ has, without names that begin with _;
```{api} hkt_course``` what that package has.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from docutils import nodes
from docutils.parsers.rst import Directive

from hkt_lite.book.notebook import COURSE, PACKAGE
from hkt_lite.config import nearest

CODE = re.compile(r"`([^`]+)`")
Definition = ast.FunctionDef | ast.ClassDef


class Entry(NamedTuple):
    """`name` is dotted within its module, `signature` what stands behind it."""

    name: str
    signature: str
    text: str


class Api(Directive):
    """A heading for each module and, below, its entries."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        room = self.arguments[0]
        rooms = {path.parent.name: path.parent for path in PACKAGE.glob("*/__init__.py")}
        rooms[COURSE.name] = COURSE
        if room not in rooms:
            raise self.error(f"There is no room {room!r}.{nearest(room, rooms)}")
        found = []
        for path in sorted(rooms[room].rglob("*.py")):
            self.state.document.settings.env.note_dependency(str(path))
            found += module(path)
        return found


def module(path: Path) -> list[nodes.Node]:
    """A module's name, what it is, and its public entries; nothing where it has none."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    listed = list(entries(tree))
    if not listed:
        return []
    name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    name = name.removesuffix(".__init__")
    title = nodes.paragraph(classes=["hkt-module"], ids=[f"api-{name.replace('.', '-')}"])
    title += nodes.strong("", "", nodes.literal(text=name))
    about = nodes.paragraph("", "", *_text(_paragraphs(ast.get_docstring(tree) or "")[0]))
    return [title, about, nodes.definition_list("", *map(_item, listed), classes=["hkt-api"])]


def entries(tree: ast.Module) -> Iterator[Entry]:
    """Functions, classes and methods with a docstring and a public name, in the file's order."""
    for node in _public(tree):
        yield _entry(node)
        if isinstance(node, ast.ClassDef):
            for inner in _public(node):
                yield _entry(inner, f"{node.name}.")


def _public(parent: ast.Module | ast.ClassDef) -> Iterator[Definition]:
    for node in parent.body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            if ast.get_docstring(node):
                yield node


def _entry(node: Definition, before: str = "") -> Entry:
    signature = ""
    if isinstance(node, ast.FunctionDef):
        signature = f"({ast.unparse(node.args)})"
        signature += f" → {ast.unparse(node.returns)}" if node.returns else ""
    return Entry(before + node.name, signature, ast.get_docstring(node) or "")


def _item(entry: Entry) -> nodes.Node:
    term = nodes.term("", "", nodes.strong("", "", nodes.literal(text=entry.name)))
    if entry.signature:
        term += nodes.literal(text=entry.signature)
    paragraphs = (nodes.paragraph("", "", *_text(one)) for one in _paragraphs(entry.text))
    return nodes.definition_list_item("", term, nodes.definition("", *paragraphs))


def _paragraphs(docstring: str) -> list[str]:
    return [" ".join(one.split()) for one in docstring.split("\n\n")]


def _text(line: str) -> Iterator[nodes.Node]:
    """Words, and what stands between backticks as code."""
    for number, part in enumerate(CODE.split(line)):
        if part:
            yield nodes.literal(text=part) if number % 2 else nodes.Text(part)
