"""Whether an executed page still says what its notebook says, cell by cell.

Digests that stand in the page itself can be made anew by who alters it; the notebook is elsewhere.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from .. import __version__
from . import notebook as notebooks
from .notebook import NONE_SHOWN, footer, light_and_dark, measured

SHOWN = re.compile(r"- (recorded|live, made by this page|unknown): [^`]+: (`\w+`, )*`\w+`")


def unfaithful(page, source: Path) -> Iterator[str]:
    """'cell 3 (text)' of every cell that the notebook does not have so, nor the making of a page
    adds; and of those that are missing."""
    wanted = [(cell.cell_type, _text(cell)) for cell in notebooks.read(source).cells]
    given = page.metadata["hkt"].get("parameters", {})
    own, texts = iter(wanted), []
    left, settings, last = len(wanted), 0, len(page.cells)
    for position, cell in enumerate(page.cells, 1):
        tags = cell.metadata.get("tags", [])
        where = f"cell {position} ({'code' if cell.cell_type == 'code' else 'text'})"
        if "injected-parameters" in tags:
            settings += 1
            right = _assigned(cell.source) == given
        elif "provenance" in tags:
            right = position == last and _closes(cell.source, source, page.metadata["hkt"])
        elif cell.source in texts and cell.cell_type == "markdown":
            texts.remove(cell.source)
            right = True
        else:
            right = (cell.cell_type, cell.source) == next(own, None)
            left -= 1
        if not right:
            yield where
        if cell.cell_type == "code":
            texts = measured(cell)
    if left > 0:
        yield f"{left} cells that are missing"
    if settings != bool(given):
        yield "the cell of its settings"


def _text(cell) -> str:
    return light_and_dark(cell.source) if cell.cell_type == "markdown" else cell.source


def _assigned(source: str) -> dict | None:
    """Name -> value where a cell does nothing but assign literals."""
    found = {}
    try:
        for line in ast.parse(source).body:
            if not isinstance(line, ast.Assign):
                return None
            (target,) = line.targets
            found[ast.unparse(target)] = ast.literal_eval(line.value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return found


def _closes(text: str, source: Path, facts: dict) -> bool:
    """Whether a footer says what the page's facts say; versions and machine only it knows."""
    lines = text.splitlines()
    shown, made = lines[4:-4], "".join(lines[-4:-3])
    ids = re.findall(r"`(\w+)`", " ".join(shown))
    commit = f"commit `{facts.get('commit') or 'none'}`"
    return (
        lines == footer(source, facts, shown, made)
        and all(line == NONE_SHOWN or SHOWN.fullmatch(line) for line in shown)
        and sorted(set(ids)) == sorted(facts.get("records", []))  # a live run may be published, too
        and made.startswith(f"- hkt_lite {__version__}, {commit}")
    )
