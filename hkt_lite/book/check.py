"""The one judge of records, manifest, numbers and freshness.   hkt check   (one sentence a problem; exit 1 if any)

`check` recomputes what the pages show from the records; `validate` executes pages again by nbval with an empty store.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from textwrap import shorten
from xml.etree import ElementTree

from .. import config
from ..config import HKTError, results_home
from ..evidence import literature
from ..runs import golden
from ..runs.records import RepeatRecord, filename, load
from ..runs.store import MANIFEST, manifest_flaws, published
from . import notebook as provenance
from . import render as book
from .execute import environment, sources
from .notebook import MIME, bundles, code_cells
from .parameters import parameters

SHIRKING = {
    "nbval-ignore-output",
    "nbval-skip",
    "nbval-raises-exception",
    "pytest-validate-ignore-output",
}
TABLES = {"scores", "dots"}  # outputs of `show` in which audit runs have no place
BARE_IMAGE = re.compile(r'<img(?![^>]*\balt="[^"]+")')


@dataclass(frozen=True)
class Problem:
    """What is wrong (record, manifest, data, notebook, page, number, audit, html or nbval), where, and in words."""

    what: str
    where: str
    sentence: str

    def __str__(self) -> str:
        return self.sentence


def check(root: Path | None = None) -> list[Problem]:
    """All problems of the published records, the committed data, the source notebooks, and of the book built at `root`.

    `root` is the project, or a folder that the book was copied to.  A book that was never built is no problem; one that
    is incomplete, stale or altered is.
    """
    folder = (root or config.PROJECT) / "book"
    broken = list(record_problems())
    problems = [*broken, *data_problems(), *notebook_problems()]
    if (folder / "_generated").is_dir():
        problems += page_problems(folder / "_generated", recompute=not broken)
    if (folder / "_build").is_dir():
        problems += [
            Problem("html", where, sentence) for where, sentence in book.flaws(folder.parent)
        ]
    return problems


# -- records and data ------------------------------------------------------------------------------------------------


def record_problems() -> Iterator[Problem]:
    """Every published record is listed, unaltered, whole and of the schema."""
    home = results_home()
    try:
        flaws = list(manifest_flaws())
    except HKTError as error:
        yield Problem("manifest", str(home / MANIFEST), str(error))
        return
    for name, sentence in flaws:
        missing = "is missing although" in sentence
        yield Problem("record" if missing else "manifest", name, sentence)
    for path in sorted(home.glob("*-*.json")):
        try:
            record = load(path)
        except HKTError as error:
            yield Problem("record", path.name, str(error))
            continue
        if filename(record) != path.name:
            said = f"The record {path} calls itself {filename(record)}; restore it."
            yield Problem("record", path.name, said)


def notes() -> Iterator[str]:
    """What a reader of the published records should know: which are stale, which nobody can make again."""
    records = published()
    repeated = {one.run: one for one in records if isinstance(one, RepeatRecord)}
    stale: dict[str, list[str]] = {}
    for record in records:
        if isinstance(record, RepeatRecord):
            continue
        if reason := golden.older(record.provenance):
            again = repeated.get(record.id)
            if again and not golden.older(again.provenance):
                reason = f"{reason}, and run again since: {again.verdict}"
            stale.setdefault(reason, []).append(record.id)
    for reason, ids in stale.items():
        yield f"{len(ids)} published records are older than {reason}: {', '.join(ids)}."
    dirty = [record.id for record in records if record.provenance.dirty]
    if dirty:
        yield (
            f"{len(dirty)} published records come from a working tree with uncommitted changes and "
            f"wait to be run again: {', '.join(dirty)}."
        )


def data_problems() -> Iterator[Problem]:
    """Claims and literature load and fit their schema."""
    data = config.PROJECT / "data"
    for name, read in (
        ("literature.yaml", literature.read_values),
        ("claims.yaml", literature.read_claims),
    ):
        try:
            read(data / name) if (data / name).is_file() else None
        except HKTError as error:
            yield Problem("data", name, str(error))


# -- notebooks and pages ---------------------------------------------------------------------------------------------


def notebook_problems() -> Iterator[Problem]:
    """Source notebooks carry no outputs, have a typed parameters cell at smoke scale, and hide nothing from nbval."""
    for path in sources():
        try:
            known, notebook = parameters(path), provenance.read(path)
        except HKTError as error:
            yield Problem("notebook", path.stem, str(error))
            continue
        if (scale := known.get("scale", (str, "smoke"))[1]) != "smoke":
            yield Problem(
                "notebook",
                path.stem,
                f"{path.name} defaults to scale {scale!r}; its parameters cell must "
                "default to 'smoke'.",
            )
        for number, cell in code_cells(notebook):
            where = f"{path.name}, code cell {number}"
            if cell.outputs or cell.execution_count is not None:
                yield Problem(
                    "notebook", path.stem, f"{where} carries outputs; strip the source notebook."
                )
            comments = [
                line.strip() for line in cell.source.splitlines() if line.strip().startswith("#")
            ]
            marks = [
                line.lstrip("# ").lower().replace("_", "-") for line in comments
            ] + cell.metadata.get("tags", [])
            for mark in sorted(SHIRKING & set(marks)):
                yield Problem(
                    "notebook",
                    path.stem,
                    f"{where} is marked {mark!r}, so nothing would validate it; remove the mark.",
                )


def page_problems(generated: Path, recompute: bool = True) -> Iterator[Problem]:
    """Every notebook has a fresh, unaltered page in `generated` that shows what the records say.

    `recompute=False` leaves out the last part: from broken records nothing can be recomputed.
    """
    known = {path.name: path for path in sources()}
    published, local = provenance.known_records()
    for name in sorted({path.name for path in generated.glob("*.ipynb")} - set(known)):
        if not name.endswith(".failed.ipynb"):
            yield Problem(
                "page",
                name,
                f"The page {generated / name} has no notebook; remove it or run `hkt book`.",
            )
    for name, notebook in known.items():
        state = provenance.state(notebook, generated / name)
        if state != "fresh" and not state.startswith("was altered"):
            yield Problem(
                "page", notebook.stem, f"The page of {notebook.stem} {state}; run `hkt book`."
            )
        if state not in ("was never built", "is unreadable"):
            page = provenance.read(generated / name)
            yield from _altered(page, notebook.stem)
            yield from _outputs(page, notebook.stem)
            yield from _recomputed(page, notebook.stem, published, local) if recompute else ()


def _altered(page, stem: str) -> Iterator[Problem]:
    """Cells whose text or outputs are no longer those that were executed, by number."""
    digests = page.metadata.get("hkt", {}).get("cells", [])
    if len(digests) != len(page.cells):
        yield Problem(
            "page",
            stem,
            f"The page of {stem} has {len(page.cells)} cells, but {len(digests)} were built; "
            "run `hkt book`.",
        )
        return
    numbers = {id(cell): number for number, cell in code_cells(page)}
    for position, (cell, digest) in enumerate(zip(page.cells, digests), 1):
        if provenance.digest(cell) != digest:
            where = (
                f"code cell {numbers[id(cell)]}"
                if id(cell) in numbers
                else f"cell {position} (text)"
            )
            yield Problem(
                "number",
                f"{stem}, {where}",
                f"The page of {stem} was altered after it was built: {where} "
                "is not what was executed; run `hkt book`.",
            )


def _outputs(page, stem: str) -> Iterator[Problem]:
    """What must not stand on a page: messages on stderr, progress bars, paths of this machine, images without text."""
    for number, cell in code_cells(page):
        where = f"{stem}, code cell {number}"
        for output in cell.outputs:
            text = output.get("text", "") or json.dumps(output.get("data", {}))
            if output.output_type == "stream" and output.name == "stderr":
                first = next(iter(text.strip().splitlines()), "blank")
                yield Problem("page", where, f"{where} wrote to stderr ({first}); mend the cause.")
            if output.output_type == "stream" and "\r" in text:
                yield Problem(
                    "page", where, f"{where} printed a progress bar; use one line an epoch."
                )
            if str(config.PROJECT) in text:
                yield Problem(
                    "page",
                    where,
                    f"{where} shows a path of this machine ({config.PROJECT}); show it "
                    "relative to the project.",
                )
            bare = provenance.is_image(output) and not cell.metadata.get("mystnb", {}).get(
                "image", {}
            ).get("alt")
            if bare or BARE_IMAGE.search(output.get("data", {}).get("text/html", "")):
                yield Problem(
                    "page",
                    where,
                    f"{where} shows an image without alternative text; use show.figure.",
                )


def _recomputed(page, stem: str, published: dict, local: dict) -> Iterator[Problem]:
    """Every output of `show` compared as a whole with what `show` makes now of the same records."""
    from ..evidence import show

    for number, data in bundles(page):
        shown, where = data[MIME], f"{stem}, code cell {number}"
        for name in shown["records"]:
            if (
                getattr(published.get(name) or local.get(name), "audit", False)
                and shown["call"] in TABLES
            ):
                yield Problem(
                    "audit",
                    where,
                    f"{where} shows the audit run {name} among the scores; audit runs break "
                    "the rules on purpose and never count.",
                )
        if shown["call"] == "figure":  # of the page's own arrays: it carries a digest
            if (
                hashlib.sha256(data["text/html"].encode()).hexdigest()[:16]
                != shown["values"]["digest"]
            ):
                yield Problem(
                    "number",
                    where,
                    f"{where}: the figure or the table of its numbers was altered; run `hkt book`.",
                )
            continue
        if not all(name in published or name in local for name in shown["records"]):
            continue  # live runs of another machine: the digest was compared
        try:
            made = json.loads(json.dumps(show.render(shown["call"], shown["args"])))
        except HKTError as error:
            yield Problem("number", where, f"{where} cannot be recomputed: {error}")
            continue
        given = ", ".join(
            f"{name}={value!r}" for name, value in shown["args"].items() if value is not None
        )
        for mime in sorted({*data, *made}):
            if found := difference(data.get(mime), made.get(mime)):
                yield Problem(
                    "number",
                    where,
                    f"{where}, {shown['call']}({given}), {mime}: {found}; run `hkt book` or "
                    "restore the record.",
                )


def difference(shown, made) -> str:
    """'' when equal, else the first entry in which what a page shows and what the records give differ."""
    if shown == made:
        return ""
    if isinstance(shown, dict) and isinstance(made, dict):
        absent = object()
        name = next(
            name for name in [*made, *shown] if shown.get(name, absent) != made.get(name, absent)
        )
        return (
            f"{name}: {difference(shown.get(name), made.get(name)) or 'only one of the two has it'}"
        )
    if isinstance(shown, list) and isinstance(made, list) and len(shown) == len(made):
        place = next(place for place, pair in enumerate(zip(shown, made)) if pair[0] != pair[1])
        return f"[{place}] {difference(shown[place], made[place])}"
    if isinstance(shown, str) and isinstance(made, str):
        for row, other in zip_longest(_rows(shown), _rows(made), fillvalue=[]):
            for text, right in zip_longest(row, other, fillvalue="nothing"):
                if text != right:
                    name, text, right = (
                        shorten(part, 80) for part in ((other or row)[0], text, right)
                    )
                    return f"the row of {name!r} shows {text!r} where the records give {right!r}"
        return "the picture, markup or white space differs"
    return f"shows {shown!r} where the records give {made!r}"


def _rows(text: str) -> list[list[str]]:
    """The cells' texts of an HTML table's rows, or of the lines of a plain table (columns two blanks apart)."""
    parts = re.split(r"<tr[^>]*>", text) if "<tr" in text else text.splitlines()
    rows = [
        [cell.strip() for cell in re.split(r"<[^>]*>|\s{2,}|\n", part) if cell.strip()]
        for part in parts
    ]
    return [row for row in rows if row]


# -- nbval -----------------------------------------------------------------------------------------------------------


def refuse_stripped(path: Path) -> None:
    """HKTError for a page on which nbval would pass without comparing anything."""
    cells = [
        (number, cell) for number, cell in code_cells(provenance.read(path)) if cell.source.strip()
    ]
    if not any(cell.outputs for _, cell in cells):
        raise HKTError(f"{path.name} has no outputs, nothing to validate; execute it first.")
    for number, cell in cells:
        if cell.execution_count is None:
            raise HKTError(
                f"{path.name}, code cell {number} has no outputs, nothing to validate: it was never "
                "executed; "
                "execute the whole page again."
            )


def validate(paths: list[Path], timeout: int = 600) -> list[Problem]:
    """Execute pages again under strict nbval, with an empty run store, and name each cell that shows something else.

    Text, HTML, JSON and SVG are compared exactly; raster images are not: figures are SVG with a fixed `svg.hashsalt`.
    `timeout` is in seconds for each cell.  Raises HKTError for a stripped page, or when a code cell was not looked at.
    """
    for path in paths:
        refuse_stripped(path)
    expected = sum(1 for path in paths for _ in code_cells(provenance.read(path)))
    top = os.path.commonpath([path.resolve().parent for path in paths])
    with tempfile.TemporaryDirectory() as folder:
        settings, report = Path(folder) / "pytest.ini", Path(folder) / "report.xml"
        settings.write_text("[pytest]\n")
        command = [
            sys.executable,
            "-m",
            "pytest",
            "--nbval",
            "--nbval-current-env",
            f"--nbval-cell-timeout={timeout}",
            "-p",
            "no:cacheprovider",
            "-c",
            str(settings),
            "--rootdir",
            top,
            "--color=no",
            "-q",
            f"--junitxml={report}",
            *(str(path.resolve()) for path in paths),
        ]
        done = subprocess.run(
            command,
            check=False,
            cwd=folder,
            capture_output=True,
            text=True,
            env=environment(HKT_RUNS=str(Path(folder) / "runs")),
        )
        cases = list(ElementTree.parse(report).iter("testcase")) if report.is_file() else []
    if len(cases) != expected or done.returncode not in (0, 1):
        said = (done.stdout.strip() or done.stderr.strip()).splitlines()[-1:]
        raise HKTError(f"nbval looked at {len(cases)} code cells of {expected}: {' '.join(said)}")
    return [_failure(case) for case in cases if any(child.tag != "properties" for child in case)]


def _failure(case) -> Problem:
    """A failed, erroneous or skipped cell of nbval's report."""
    text = next(
        child.text or child.get("message", "") for child in case if child.tag != "properties"
    ).strip()
    stem, number = (
        case.get("classname").removesuffix(".ipynb").split(".")[-1],
        int(case.get("name").split()[-1]) + 1,
    )
    where = f"{stem}, code cell {number}"
    return Problem("nbval", where, f"nbval: {where} no longer shows what it showed:\n{text}")
