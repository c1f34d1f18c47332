"""What `hkt check` says of source notebooks and of the pages made from them.

A page is compared with its notebook and with the digests of what was executed, and each output of
`show` with what `show` makes now of the same records.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import shorten
from typing import Any

from .. import config
from ..config import HKTError
from ..files import sha256, sha256_of
from . import notebook as notebooks
from .execute import sources
from .faithful import unfaithful
from .notebook import MIME, bundles, code_cells
from .parameters import parameters
from .problem import Problem

SHIRKING = {
    "nbval-ignore-output",
    "nbval-skip",
    "nbval-raises-exception",
    "pytest-validate-ignore-output",
}
SCORE_TABLES = {"scores", "dots"}  # outputs of `show` in which audit runs have no place
BARE_IMAGE = re.compile(r'<img(?![^>]*\balt="[^"]+")')


# -- source notebooks ------------------------------------------------------------------------------


def notebook_problems() -> Iterator[Problem]:
    """Source notebooks carry no outputs, have a typed parameters cell at smoke scale, and hide
    nothing from nbval."""
    for path in sources():
        try:
            known, notebook = parameters(path), notebooks.read(path)
        except HKTError as error:
            yield Problem("notebook", path.stem, str(error))
            continue
        for sentence in _notebook_flaws(path.name, known, notebook):
            yield Problem("notebook", path.stem, sentence)


def _notebook_flaws(name: str, known: dict, notebook) -> Iterator[str]:
    _, scale = known.get("scale", (str, "smoke"))
    if scale != "smoke":
        yield f"{name} defaults to scale {scale!r}; its parameters cell must default to 'smoke'."
    for number, cell in code_cells(notebook):
        where = f"{name}, code cell {number}"
        if cell.outputs or cell.execution_count is not None:
            yield f"{where} carries outputs; strip the source notebook."
        for mark in sorted(SHIRKING & _marks(cell)):
            yield f"{where} is marked {mark!r}, so nothing would validate it; remove the mark."


def _marks(cell) -> set[str]:
    """A cell's tags, and its comments as nbval reads them."""
    lines = [line.strip() for line in cell.source.splitlines()]
    comments = [line.lstrip("# ") for line in lines if line.startswith("#")]
    marks = {mark.lower().replace("_", "-") for mark in comments}
    return marks.union(cell.metadata.get("tags", []))


# -- pages -----------------------------------------------------------------------------------------


def page_problems(
    generated: Path, recompute: bool = True, seen: dict[str, str] | None = None
) -> Iterator[Problem]:
    """Every notebook has a fresh, unaltered page in `generated` that shows what the records say.

    `recompute=False` leaves out the last part: from broken records nothing can be recomputed.  So
    do pages that are fresh and still have the sha256 with which a check has `seen` them.
    """
    known = {path.name: path for path in sources()}
    records = notebooks.known_records()
    for name in sorted({path.name for path in generated.glob("*.ipynb")} - set(known)):
        if not name.endswith(".failed.ipynb"):
            said = f"The page {generated / name} has no notebook; remove it or run `hkt book`."
            yield Problem("page", name, said)
    for name, notebook in known.items():
        stem, state = notebook.stem, notebooks.state(notebook, generated / name)
        if state != "fresh" and not state.startswith("was altered"):
            yield Problem("page", stem, f"The page of {stem} {state}; run `hkt book`.")
        if state in ("was never built", "is unreadable"):
            continue
        page = notebooks.read(generated / name)
        yield from _altered(page, stem)
        for where in unfaithful(page, notebook) if state == "fresh" else ():
            said = f"The page of {stem} differs from its notebook: {where}; run `hkt book`."
            yield Problem("page", f"{stem}, {where}", said)
        yield from _unfit(page, stem)
        as_seen = state == "fresh" and (seen or {}).get(name) == sha256(generated / name)
        if recompute and not as_seen:
            yield from _recomputed(page, stem, *records)


def _altered(page, stem: str) -> Iterator[Problem]:
    """Cells whose text or outputs are no longer those that were executed, by number."""
    digests = page.metadata.get("hkt", {}).get("cells", [])
    if len(digests) != len(page.cells):
        counts = f"{len(page.cells)} cells, but {len(digests)} were built"
        yield Problem("page", stem, f"The page of {stem} has {counts}; run `hkt book`.")
        return
    numbers = {id(cell): number for number, cell in code_cells(page)}
    for position, (cell, digest) in enumerate(zip(page.cells, digests), 1):
        if notebooks.digest(cell) == digest:
            continue
        where = f"cell {position} (text)"
        if id(cell) in numbers:
            where = f"code cell {numbers[id(cell)]}"
        said = (
            f"The page of {stem} was altered after it was built: {where} is not what was "
            "executed; run `hkt book`."
        )
        yield Problem("number", f"{stem}, {where}", said)


def _unfit(page, stem: str) -> Iterator[Problem]:
    """What must not stand on a page: messages on stderr, progress bars, paths of this machine,
    images without text."""
    for number, cell in code_cells(page):
        where = f"{stem}, code cell {number}"
        for output in cell.outputs:
            for sentence in _unfit_output(cell, output):
                yield Problem("page", where, f"{where} {sentence}")


def _unfit_output(cell, output) -> Iterator[str]:
    text = output.get("text", "") or json.dumps(output.get("data", {}))
    stream = output.name if output.output_type == "stream" else None
    if stream == "stderr":
        first = next(iter(text.strip().splitlines()), "blank")
        yield f"wrote to stderr ({first}); mend the cause."
    if stream and "\r" in text:
        yield "printed a progress bar; use one line an epoch."
    if str(config.PROJECT) in text:
        yield f"shows a path of this machine ({config.PROJECT}); show it relative to the project."
    alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt")
    html = output.get("data", {}).get("text/html", "")
    if (notebooks.is_image(output) and not alt) or BARE_IMAGE.search(html):
        yield "shows an image without alternative text; use show.figure."


# -- numbers ---------------------------------------------------------------------------------------


def _recomputed(page, stem: str, published: dict, local: dict) -> Iterator[Problem]:
    """Every output of `show` compared as a whole with what `show` makes of the same records.

    Runs that a page has made are this machine's: a published record of the same configuration may
    be another processor's, and differ in its last digits.
    """
    everything = local | published
    for number, data in bundles(page):
        shown, where = data[MIME], f"{stem}, code cell {number}"
        named = shown["args"].get("runs") or []
        needed = [name in local for name in named] or map(everything.get, shown["records"])
        if shown["call"] in SCORE_TABLES:
            yield from _audits(shown, where, everything)
        if shown["call"] == "figure":  # of the page's own arrays: it carries a digest
            drawn = sha256_of(data["text/html"].encode())[:16]
            if drawn != shown["values"]["digest"]:
                said = f"{where}: the figure or the table of its numbers was altered"
                yield Problem("number", where, f"{said}; run `hkt book`.")
        elif all(needed):
            records = [local[name] for name in named] or list(published.values())
            for sentence in _differences(shown, data, records):
                yield Problem("number", where, f"{where}{sentence}")
        # else live runs of another machine: the digest was compared


def _audits(shown: dict, where: str, known: dict) -> Iterator[Problem]:
    for name in shown["records"]:
        if getattr(known.get(name), "audit", False):
            said = (
                f"{where} shows the audit run {name} among the scores; audit runs break the rules "
                "on purpose and never count."
            )
            yield Problem("audit", where, said)


def _differences(shown: dict, data: dict, records: list) -> Iterator[str]:
    from ..evidence import show

    try:
        made = json.loads(json.dumps(show.render(shown["call"], shown["args"], records)))
    except HKTError as error:
        yield f" cannot be recomputed: {error}"
        return
    given = {name: value for name, value in shown["args"].items() if value is not None}
    call = f"{shown['call']}({', '.join(f'{name}={value!r}' for name, value in given.items())})"
    for mime in sorted({*data, *made}):
        if found := difference(data.get(mime), made.get(mime)):
            yield f", {call}, {mime}: {found}; run `hkt book` or restore the record."


def difference(shown, made) -> str:
    """'' when equal, else the first entry in which what a page shows and what the records give
    differ."""
    if shown == made:
        return ""
    before, now = dict(_entries(shown)), dict(_entries(made))
    for place in [*now, *before]:
        old, new = (repr(values.get(place, "nothing")) for values in (before, now))
        if old != new:
            return f"{place}shows {shorten(old, 80)} where the records give {shorten(new, 80)}"
    return "the picture, markup or white space differs"


def _entries(value, place: str = "") -> Iterator[tuple[str, Any]]:
    """(where, what) of every number and text; texts by the cells of their tables."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _entries(inner, f"{place}{name}: ")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _entries(inner, f"{place}[{number}] ")
    elif isinstance(value, str) and sum(map(len, _rows(value))) > 1:
        for number, row in enumerate(_rows(value), 1):
            for column, text in enumerate(row, 1):
                name = f" ({row[0]})" if column > 1 else ""
                yield f"{place}row {number}{name}, cell {column}, ", text
    else:
        yield place, " ".join(value.split()) if isinstance(value, str) else value


def _rows(text: str) -> list[list[str]]:
    """The cells' texts of an HTML table's rows, or of the lines of a plain table (columns two
    blanks apart)."""
    parts = re.split(r"<tr[^>]*>", text) if "<tr" in text else text.splitlines()
    cells = [[cell.strip() for cell in re.split(r"<[^>]*>|\s{2,}|\n", part)] for part in parts]
    return [[cell for cell in row if cell] for row in cells if any(row)]
