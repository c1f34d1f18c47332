"""A page for each record that the book shows: configuration, curves, provenance, its command.

Published records have theirs, and so have the runs that the pages made themselves.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from hkt_lite.book.notebook import known_records, read
from hkt_lite.evidence import release
from hkt_lite.evidence.outputs import number
from hkt_lite.evidence.words import label, metric_name
from hkt_lite.files import write_json
from hkt_lite.runs import reproduce

NAMES = {
    "config": "Configuration",
    "protocol": "Protocol",
    "metrics": "Measured",
    "selected": "The epoch chosen on validation data",
    "last": "The last epoch",
    "parent": "The parent",
    "cost": "Cost",
    "weights": "Weights (SHA-256 of the tensors)",
    "provenance": "Provenance",
}
APART = ("kind", "id", "epochs")


def pages(app) -> Iterator[tuple[str, dict, str]]:
    """(name, context, template) of the records' pages and of the page for what is not found; the
    records themselves and tables of them are written beside."""
    address = app.config.html_baseurl
    yield "404", {"site_address": address and address.rstrip("/") + "/"}, "404.html"
    where_shown = shown(Path(app.srcdir))
    found = known(where_shown)
    tables([record for record, public in found.values() if public], Path(app.outdir))
    for name, (record, public) in found.items():
        where = [
            {"name": page, "title": app.env.titles[page].astext()}
            for page, live in where_shown.get(name, {}).items()
            if page in app.env.titles and not (public and live)
        ]
        path = Path(app.outdir) / "records" / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(record.model_dump_json(indent=1), encoding="utf-8")
        context = facts(record) | {"published": public, "shown_on": where}
        context["run"] = context["run"] if context["run"] in found else ""
        yield f"records/{name}", context, "record.html"


def tables(published: list, out: Path) -> None:
    """All published records as results.csv and results.json, the verdicts as claims.json."""
    for name in ("results.csv", "results.json"):
        release.export(published, out / name)
    write_json(out / "claims.json", release.claims(published))


def known(shown: dict) -> dict[str, tuple]:
    """id -> (record, is it published?) of all published records and of those of this machine that
    a page shows."""
    published, local = known_records()
    found = {name: (local[name], False) for name in shown if name in local}
    return found | {name: (record, True) for name, record in published.items()}


def shown(book: Path) -> dict[str, dict[str, bool]]:
    """Record id -> {a page that shows it: only as a run of its own?}, which may have the id of a
    published run and other last digits."""
    found: dict[str, dict[str, bool]] = {}
    for path in sorted((book / "_generated").glob("*.ipynb")):
        if not path.name.endswith(".failed.ipynb"):
            facts = read(path).metadata.get("hkt", {})
            for name in facts.get("records", []):
                live = name in facts.get("live", [])
                found.setdefault(name, {})[f"_generated/{path.stem}"] = live
    return found


def facts(record) -> dict:
    """What the template of a record's page needs."""
    values = record.model_dump(mode="json")
    single = [(key, _text(v)) for key, v in values.items() if key not in APART and not _nested(v)]
    sections = [("What it is", single)]
    for key, name in NAMES.items():
        if values.get(key):
            sections.append((name, list(_rows(values[key]))))
    title, description, command = _words(record)
    about = {"again": "run", "eval": "checkpoint"}.get(record.kind)
    curves = _curves(record) if record.kind == "run" else []
    return {
        "record_id": record.id,
        "title": title,
        "description": description,
        "command": command,
        "run": values[about].removeprefix("run ") if about else "",
        "sections": sections,
        "curves": curves,
        "epochs": list(zip(*(curve["shown"] for curve in curves))),
    }


def _words(record) -> tuple[str, str, str]:
    """Title, one sentence, and the command that makes it again."""
    if record.kind == "again":
        said = f"What came of running {record.run} once more: {record.sentence}"
        return f"Record {record.id}: run again", said, f"hkt reproduce {record.run}"
    if record.kind == "eval":
        said = f"{record.checkpoint}, a {record.arch}, evaluated on {record.task} test data."
        title = f"Record {record.id}: evaluation of {record.checkpoint}"
        return title, said, reproduce.evaluation(record)
    config = record.config
    said = (
        f"A {config.child} trained on {config.task} ({config.source} data, {config.scale} scale) "
        f"by {label(config)} with seed {config.seed}: {config.train_size:,} training examples, "
        f"{config.epochs} epochs; purpose: {record.purpose}."
    )
    title = f"Record {record.id}: {label(config)} on {config.task}, seed {config.seed}"
    return title, said, f"hkt reproduce {record.id}"


def _nested(value) -> bool:
    return isinstance(value, (dict, list))


def _rows(values: dict, place: str = "") -> Iterator[tuple[str, str]]:
    """(name, text) of a nested dictionary's entries, without those that are not set."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _rows(value, f"{place}{key}: ")
        elif value not in (None, {}, []):
            yield f"{place}{key}", _text(value)


def _text(value) -> str:
    if isinstance(value, float):
        return f"{value:.6g}".replace("-", "−")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _curves(record) -> list[dict]:
    """Each quantity over epochs: its numbers, and points of a line in a box of 200 by 60."""
    series = {}
    for part, what in (("val", "validation"), ("train", "training")):
        for name in getattr(record.epochs[0], part):
            title = f"{what} {metric_name(record.config.task, name)[0]}"
            series[title] = [getattr(epoch, part)[name] for epoch in record.epochs]
    for name in ("share", "displacement"):
        if name in record.epochs[0].inherited:
            values = [epoch.inherited[name]["q50"] for epoch in record.epochs]
            series[f"median {name}"] = values
    return [_curve(name, values) for name, values in series.items()]


def _curve(name: str, values: list[float]) -> dict:
    low, span = min(values), (max(values) - min(values)) or 1.0
    step = 200 / max(1, len(values) - 1)
    points = [
        f"{n * step:.1f},{60 - 60 * (value - low) / span:.1f}" for n, value in enumerate(values)
    ]
    shown = [number(value, 3) for value in values]
    line = {"points": " ".join(points), "first": shown[0], "last": shown[-1], "n": len(values)}
    return {"name": name, "shown": shown, **line}
