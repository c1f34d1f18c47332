"""The `hkt` command.   hkt --help   (heavy imports happen inside the commands, so that help is instant)"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from .config import Config, HKTError, nearest, results_home, runs_home

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Understand, rerun, question and extend Hereditary Knowledge Transfer.",
)
runs_app = typer.Typer(no_args_is_help=True, help="Records: list, show, diff, publish.")
data_app = typer.Typer(no_args_is_help=True, help="Data sets: status, fetch, verify.")
app.add_typer(runs_app, name="runs")
app.add_typer(data_app, name="data")

Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, do nothing.")]


def main() -> None:
    """Entry point: a user's mistake is one sentence and exit code 2, Ctrl-C is exit code 130."""
    try:
        code = app(standalone_mode=False)  # typer hands an Exit's code back instead of raising it
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except HKTError as error:
        print(f"hkt: {error}", file=sys.stderr)
        code = 2
    except Exception as error:
        if not hasattr(error, "format_message"):  # typer's own usage errors have it
            raise
        print(f"hkt: {' '.join(error.format_message().split())}", file=sys.stderr)
        code = 2
    if code == 130:
        print(
            "\nInterrupted; what was done is kept, the same command goes on from there.",
            file=sys.stderr,
        )
    sys.exit(code if isinstance(code, int) else 0)


def _values(pairs: list[str]) -> dict:
    """KEY=VALUE words as typed values (YAML scalars and lists)."""
    import yaml

    values = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise HKTError(f"{pair!r} is not KEY=VALUE.")
        values[key] = yaml.safe_load(text)
    return values


def _config(
    task: str,
    method: str,
    scale: str,
    source: str,
    seed: int,
    options: list[str],
    settings: list[str],
) -> Config:
    from .benchmarks import resolve

    fields = _values(settings)
    for key, value in fields.items():  # YAML reads 1 as an int where a rate is meant
        if (
            key in ("lr", "momentum", "weight_decay")
            and isinstance(value, int)
            and not isinstance(value, bool)
        ):
            fields[key] = float(value)
    return resolve(
        Config(
            **{
                "task": task,
                "method": method,
                "scale": scale,
                "source": source,
                "seed": seed,
                "options": _values(options),
                **fields,
            }
        )
    )


def _progress():
    """A bar in a terminal, one line an epoch otherwise."""
    if not sys.stderr.isatty():

        def lines(step, steps, epoch):
            if epoch:
                terms = " ".join(f"{name} {value:.4f}" for name, value in epoch.train.items())
                val = " ".join(f"{name} {value:.4g}" for name, value in epoch.val.items())
                print(f"epoch {epoch.epoch}  {terms}  val {val}", file=sys.stderr, flush=True)

        return lines
    from tqdm import tqdm

    bar = tqdm(unit="step", leave=False)

    def draw(step, steps, epoch):
        bar.total = steps
        bar.update(step - bar.n)
        if epoch:
            bar.set_postfix({name: f"{value:.4g}" for name, value in epoch.val.items()})
        if step == steps:
            bar.close()

    return draw


def _summary(record) -> str:
    if record.kind == "again":
        return f"{record.id}  again {record.run}  {record.verdict}"
    if record.kind == "eval":
        return f"{record.id}  eval  {record.checkpoint}  {' '.join(map(str, record.protocol.values()))}  {_scores(record.metrics)}"
    options = " ".join(f"{key}={value}" for key, value in record.config.options.items())
    return (
        f"{record.id}  {record.purpose:7} {record.config.task} {record.config.scale} {record.config.source} {record.config.method:5} {options} "
        f"lr={record.config.lr} seed={record.config.seed}  val {_scores(record.selected.val)}  test {_scores(record.selected.test)} (epoch {record.selected.epoch})"
    )


def _scores(metrics: dict) -> str:
    return " ".join(f"{name} {value:.4g}" for name, value in metrics.items())


@app.command()
def run(
    task: str,
    method: str,
    scale: str = "quick",
    source: str = "auto",
    seed: int = 0,
    option: Annotated[
        list[str],
        typer.Option("--option", "-o", help="A method's option, KEY=VALUE: -o kind=forward_gate"),
    ] = [],
    set_: Annotated[
        list[str],
        typer.Option("--set", "-s", help="Any field of the configuration, KEY=VALUE: -s lr=0.03"),
    ] = [],
    purpose: str = "score",
    checkpoint_steps: Annotated[
        int, typer.Option(help="Also checkpoint every so many steps.")
    ] = 50,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Train one child; a finished twin is shown, a cut-off one goes on."""
    config = _config(task, method, scale, source, seed, option, set_)
    if dry_run:
        from .runs.estimate import estimate

        print(
            json.dumps(
                {"id": config.id, "config": config.model_dump(), **estimate(config)}, indent=1
            )
        )
        return
    from .runs.loop import run as train

    record = train(config, purpose, _progress(), checkpoint_steps)
    print(record.model_dump_json(indent=1) if as_json else _summary(record))


@app.command("eval")
def evaluate(
    task: str,
    checkpoint: Path,
    arch: Annotated[str | None, typer.Option(help="The child of the scale if left out.")] = None,
    protocol: Annotated[
        str | None,
        typer.Option(help="One of the task's evaluation protocols; the first if left out."),
    ] = None,
    source: str = "real",
    scale: str = "cpu",
    as_json: Json = False,
) -> None:
    """Evaluate a checkpoint (a file, or the child of run ID) under a stated protocol and keep the record."""
    from .runs.export import evaluate as evaluate_checkpoint

    if not checkpoint.exists() and (runs_home() / checkpoint / "child.safetensors").is_file():
        from .runs.records import load

        made = load(runs_home() / checkpoint / "record.json").config
        checkpoint, arch, scale = (
            runs_home() / checkpoint / "child.safetensors",
            arch or made.child,
            made.scale,
        )
    record = evaluate_checkpoint(task, checkpoint, arch, protocol, source, scale)
    print(record.model_dump_json(indent=1) if as_json else _summary(record))


@app.command()
def grid(
    file: Path,
    index: Annotated[
        int | None, typer.Option(help="Only this run of the grid, for array jobs.")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Run every configuration of a grid file, one after the other, skipping what is finished."""
    from .runs.grid import read, sweep

    configs, purpose = read(file)
    if dry_run:
        from .runs.estimate import estimate

        for number, config in enumerate(configs):
            print(
                number,
                config.id,
                config.method,
                config.options,
                f"lr {config.lr} seed {config.seed}",
            )
        print(json.dumps(estimate(configs[0]) | {"runs": len(configs)}))
        return
    for record in sweep(configs, purpose, index, progress=_progress()):
        print(_summary(record))


@app.command()
def export(
    run_id: str, out: Path = Path("export"), formats: str = "safetensors,torch,onnx"
) -> None:
    """Write a run's child alone as safetensors, torch.export and ONNX, each checked against the original."""
    from .runs.export import export as export_child
    from .runs.records import find

    for name, difference in export_child(find(run_id), out, tuple(formats.split(","))).items():
        print(f"{out / name}  largest difference of an output {difference:.2g}")


@app.command()
def submit(
    run_id: str,
    corpus: str,
    out: Path,
    warm: Annotated[
        bool, typer.Option(help="Start each frame of a scene from the flow before it (Sintel).")
    ] = False,
) -> None:
    """Write a flow child's answers to a corpus' test part as the files its server takes."""
    from .benchmarks.flow.submission import write
    from .runs.export import load_child
    from .runs.records import find

    record = find(run_id)
    if record.config.task != "flow":
        raise HKTError(
            f"Run {run_id} is of task {record.config.task!r}; only flow has servers that take files."
        )
    print(f"{write(load_child(record), record.config.child, corpus, out, warm)} flows in {out}")


@app.command()
def reproduce(run_id: str) -> None:
    """Run a record's configuration again: same bits, inside the interval of its seeds, or different (exit code 1)."""
    from .runs.records import find
    from .runs.reproduce import reproduce as again

    verdict, sentence = again(find(run_id), _progress())
    print(f"{verdict}: {sentence}")
    raise typer.Exit(0 if verdict != "different" else 1)


@app.command()
def pages(
    names: Annotated[
        list[str] | None, typer.Argument(help="Notebooks, such as 10_cifar10; all without a name.")
    ] = None,
    scale: str = "quick",
    set_: Annotated[
        list[str], typer.Option("--set", "-s", help="A notebook's parameter, NAME=VALUE.")
    ] = [],
    out: Path | None = None,
    force: bool = False,
) -> None:
    """Execute the notebooks that are not fresh."""
    from .book.execute import build

    print(build(scale, out, html=False, force=force, names=names, settings=set_))


@app.command()
def book(scale: str = "quick", out: Path | None = None, force: bool = False) -> None:
    """Execute the notebooks, render the book, check every number."""
    from .book.execute import build

    print(build(scale, out, force=force))


@app.command()
def check(
    nbval: Annotated[
        bool, typer.Option(help="Also execute the built pages again and compare every output.")
    ] = False,
) -> None:
    """Judge records, manifest, numbers and freshness; every problem is one sentence (exit code 1)."""
    from .book.check import check as judge
    from .book.check import validate
    from .config import PROJECT
    from .runs.records import stale

    problems = judge()
    if nbval:
        problems += validate(sorted((PROJECT / "book" / "_generated").glob("*.ipynb")))
    for problem in problems:
        print(problem)
    old, again = stale() if not problems else ([], {})
    for task in sorted({record.config.task for record in old}):
        mine = [record for record in old if record.config.task == task]
        known = [again[record.id] for record in mine if record.id in again]
        said = "; ".join(f"{record.run}: {record.verdict}" for record in known)
        print(
            f"Note: {len(mine)} {task} records were made by earlier code; {len(known)} of them were run again by today's{f' ({said})' if said else ''}. "
            f"`hkt reproduce ID` does it for another, such as {next((r.id for r in mine if r.id not in again), mine[0].id)}."
        )
    print(f"{len(problems)} problem{'s' * (len(problems) != 1)} found.")
    raise typer.Exit(1 if problems else 0)


@app.command()
def bench(
    name: Annotated[str, typer.Argument(help="step, flow or data")],
    rounds: int = 7,
    as_json: Json = False,
) -> None:
    """Measure ratios in one run: the training step of each method (CIFAR-10, optical flow), the data pipeline."""
    from .runs import bench as benches

    known = {
        one.__name__: partial(one, rounds=rounds)
        for one in (benches.step, benches.flow, benches.data)
    }
    if name not in known:
        raise HKTError(f"There is no benchmark {name!r}.{nearest(name, known)}")
    result = known[name]()
    print(result.to_json() if as_json else result)


@runs_app.command("list")
def runs_list(published: bool = False, as_json: Json = False) -> None:
    """Finished runs of this machine, or the published ones."""
    from .runs.records import local
    from .runs.records import published as all_published

    records = all_published() if published else local()
    if as_json:
        print(json.dumps([record.model_dump(mode="json") for record in records]))
        return
    for record in records:
        print(_summary(record))
    print(
        f"{len(records)} records in {results_home() if published else runs_home()}", file=sys.stderr
    )


@runs_app.command("show")
def runs_show(run_id: str) -> None:
    """One record, whole."""
    from .runs.records import find

    print(find(run_id).model_dump_json(indent=1))


@runs_app.command("diff")
def runs_diff(first: str, second: str) -> None:
    """Where two runs differ: configuration, scores, provenance."""
    from .runs.records import find

    flat = [
        _flat(find(name).model_dump(mode="json", exclude={"epochs"})) for name in (first, second)
    ]
    for key in sorted(flat[0].keys() | flat[1].keys()):
        if flat[0].get(key) != flat[1].get(key):
            print(f"{key}: {flat[0].get(key)} | {flat[1].get(key)}")


def _flat(value, prefix: str = "") -> dict:
    if not isinstance(value, dict):
        return {prefix: value}
    return {
        key: leaf
        for name, inner in value.items()
        for key, leaf in _flat(inner, f"{prefix}.{name}".lstrip(".")).items()
    }


@runs_app.command("publish")
def runs_publish(ids: list[str]) -> None:
    """Copy finished records to data/results and enter them in the manifest."""
    from .runs.records import publish

    for path in publish(ids):
        print(path)


@data_app.command("status")
def data_status(as_json: Json = False) -> None:
    """What is here, what is missing, and under which licence."""
    from .benchmarks.registry import status

    rows = status()
    if as_json:
        print(json.dumps(rows, default=str))
        return
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))


@data_app.command("fetch")
def data_fetch(name: str) -> None:
    """Download a data set or checkpoint from its official address, checked."""
    from .benchmarks.registry import fetch

    print(fetch(name, progress=True))


@data_app.command("verify")
def data_verify(name: str) -> None:
    """Check an archive or its extracted files against the registry (exit code 1 if one is wrong)."""
    from .benchmarks.registry import verify

    results = verify(name)
    for file, verdict in results.items():
        print(f"{verdict}  {file}")
    raise typer.Exit(0 if all(verdict == "ok" for verdict in results.values()) else 1)
