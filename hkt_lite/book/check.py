"""The one judge of records, manifest, numbers and freshness.   hkt check   (exit 1 if one is wrong)

Here records and committed data; notebooks and pages are judged in pages.py, the rendered book in
render.py.
"""

from collections.abc import Iterator
from pathlib import Path

from .. import config
from ..config import HKTError, results_home
from ..evidence import literature
from ..runs import golden, possible
from ..runs.records import RepeatRecord, filename, load
from ..runs.store import MANIFEST, manifest_flaws, published
from . import render
from .pages import notebook_problems, page_problems
from .problem import Problem
from .seals import seal_problems, split_problems

DATA = {"literature.yaml": literature.read_values, "claims.yaml": literature.read_claims}


def check(root: Path | None = None, seen: dict[str, str] | None = None) -> list[Problem]:
    """All problems of the published records, the committed data, the source notebooks, and of the
    book built at `root` (the project, or a folder that the book was copied to).

    A book that was never built is no problem; one that is incomplete, stale or altered is.  `seen`
    are pages that need not be recomputed (see `page_problems`).
    """
    root = root or config.PROJECT
    broken = list(record_problems())
    problems = [*broken, *data_problems(), *notebook_problems()]
    generated = root / "book" / "_generated"
    if generated.is_dir():
        problems += page_problems(generated, recompute=not broken, seen=seen)
    if (root / "book" / "_build").is_dir():
        problems += render.flaws(root)
    return problems


def record_problems() -> Iterator[Problem]:
    """Every published record is listed, unaltered, whole, of the schema, and can be true."""
    home = results_home()
    if not (home / MANIFEST).is_file():
        said = f"There is no {home / MANIFEST}; restore the published records, or set HKT_RESULTS."
        yield Problem("manifest", str(home / MANIFEST), said)
        return
    try:
        flaws = list(manifest_flaws())
    except HKTError as error:
        yield Problem("manifest", str(home / MANIFEST), str(error))
        return
    for name, sentence in flaws:
        what = "manifest" if (home / name).exists() else "record"
        yield Problem(what, name, sentence)
    records = []
    for path in sorted(home.glob("*-*.json")):
        try:
            record = load(path)
        except HKTError as error:
            yield Problem("record", path.name, str(error))
            continue
        if filename(record) != path.name:
            said = f"The record {path} calls itself {filename(record)}; restore it."
            yield Problem("record", path.name, said)
        records.append(record)
        for clause in possible.flaws(record):
            yield Problem("record", path.name, f"The record {path} {clause}; restore it.")
    for record, clause in possible.unfounded(records):
        name = filename(record)
        yield Problem("record", name, f"The record {home / name} {clause}; restore that.")


def data_problems() -> Iterator[Problem]:
    """Claims and literature load and fit their schema; claims, splits and parents are those that
    were fixed, and no split mixes what it must keep apart."""
    for name, read in DATA.items():
        path = config.PROJECT / "data" / name
        if not path.is_file():
            continue
        try:
            read(path)
        except HKTError as error:
            yield Problem("data", name, str(error))
    yield from seal_problems()
    yield from split_problems()


def notes() -> Iterator[str]:
    """What a reader of the published records should know: which are stale, which nobody can make
    again."""
    records = published()
    repeated = {record.run: record for record in records if isinstance(record, RepeatRecord)}
    stale: dict[str, list[str]] = {}
    for record in records:
        reason = "" if record.kind == "again" else golden.older(record.provenance)
        if not reason:
            continue
        repeat = repeated.get(record.id)
        if repeat and not golden.older(repeat.provenance):
            reason = f"{reason}, and run again since: {repeat.verdict}"
        stale.setdefault(reason, []).append(record.id)
    for reason, ids in stale.items():
        yield f"{len(ids)} published records are older than {reason}: {', '.join(ids)}."
    dirty = [record.id for record in records if record.provenance.dirty]
    if dirty:
        yield (
            f"{len(dirty)} published records come from a working tree with uncommitted changes and "
            f"wait to be run again: {', '.join(dirty)}."
        )
