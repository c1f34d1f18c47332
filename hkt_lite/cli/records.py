"""hkt runs …, hkt data …: the records and the data sets that are here, and how they are told of."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from ..config import results_home, runs_home
from ..runs import store
from ..runs.records import flat

app = typer.Typer(no_args_is_help=True, help="Records: list, show, diff, publish, collect, export.")
data = typer.Typer(no_args_is_help=True, help="Data sets: status, fetch, verify.")

Json = Annotated[bool, Option("--json", help="Print JSON for a program to read.")]


def show(record, as_json: bool = False) -> None:
    print(record.model_dump_json(indent=1) if as_json else summary(record))


def summary(record) -> str:
    if record.kind == "again":
        return f"{record.id}  again {record.run}  {record.verdict}"
    if record.kind == "eval":
        protocol = " ".join(map(str, record.protocol.values()))
        return f"{record.id}  eval  {record.checkpoint}  {protocol}  {scores(record.metrics)}"
    config, chosen = record.config, record.selected
    options = " ".join(f"{key}={value}" for key, value in config.options.items())
    what = f"{config.task} {config.scale} {config.source} {config.method:5} {options}"
    return (
        f"{record.id}  {record.purpose:7} {what} lr={config.lr} seed={config.seed}  "
        f"val {scores(chosen.val)}  test {scores(chosen.test)} (epoch {chosen.epoch})"
    )


def scores(metrics: dict) -> str:
    return " ".join(f"{name} {value:.4g}" for name, value in metrics.items())


@app.command("list")
def runs_list(published: bool = False, as_json: Json = False) -> None:
    """Finished runs of this machine, or the published ones."""
    own = store.Store.default()
    if as_json:
        records = store.published() if published else own.records()
        print(json.dumps([json.loads(record.model_dump_json()) for record in records]))
        return
    said = list(map(summary, store.published())) if published else own.lines(summary)
    print("".join(f"{line}\n" for line in said), end="")
    home = results_home() if published else runs_home()
    print(f"{len(said)} records in {home}", file=sys.stderr)


@app.command("show")
def runs_show(run_id: str) -> None:
    """One record, whole."""
    show(store.find(run_id), as_json=True)


@app.command("diff")
def runs_diff(first: str, second: str) -> None:
    """Where two runs differ: configuration, scores, provenance."""
    found = [store.find(name) for name in (first, second)]
    one, other = [flat(record.model_dump(exclude={"epochs"})) for record in found]
    for key in sorted(one.keys() | other.keys()):
        if one.get(key) != other.get(key):
            print(f"{key}: {one.get(key)} | {other.get(key)}")


@app.command("publish")
def runs_publish(ids: list[str]) -> None:
    """Copy finished records to data/results and enter them in the manifest."""
    for path in store.publish(ids):
        print(path)


@app.command("collect")
def runs_collect(source: Path) -> None:
    """Bring the records of another store, as of a cluster, home (exit 1 if one is damaged)."""
    brought, flaws = store.collect(source)
    for record in brought:
        show(record)
    store.Store.default().lines(summary)  # the next list finds its index made
    print("\n".join([*flaws, f"{len(brought)} records brought from {source}"]), file=sys.stderr)
    raise typer.Exit(bool(flaws))


@app.command("export")
def runs_export(out: Annotated[Path, Argument(help="FILE.csv or FILE.json")]) -> None:
    """Write one table of all published records: configuration, scores, cost, provenance."""
    from ..evidence.release import export as write

    records = store.published()
    write(records, out)
    print(f"{len(records)} records in {out}")


@data.command("status")
def data_status(as_json: Json = False) -> None:
    """What is here, what is missing, and under which licence."""
    from ..benchmarks import registry

    rows = registry.status()
    if as_json:
        print(json.dumps(rows, default=str))
        return
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))


@data.command("fetch")
def data_fetch(name: str) -> None:
    """Download a data set or checkpoint from its official address, checked."""
    from ..benchmarks.registry import fetch

    print(fetch(name, progress=True))


@data.command("verify")
def data_verify(name: str) -> None:
    """Check an archive or its extracted files against the registry (exit 1 if one is wrong)."""
    from ..benchmarks.registry import verify

    results = verify(name)
    for file, verdict in results.items():
        print(f"{verdict}  {file}")
    raise typer.Exit(set(results.values()) != {"ok"})
