"""The `hkt` command.   hkt --help   (heavy imports happen inside the commands: help is instant)"""

import io
import json
import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from hkt_course.commands import app as course_app

from .config import PROJECT, Config, HKTError, nearest, results_home, runs_home
from .runs import golden as goldens
from .runs import store
from .runs.records import flat

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Understand, rerun, question and extend Hereditary Knowledge Transfer. "
    "With --debug anywhere, a mistake shows where it was noticed.",
)
runs_app = typer.Typer(no_args_is_help=True, help="Records: list, show, diff, publish, collect.")
data_app = typer.Typer(no_args_is_help=True, help="Data sets: status, fetch, verify.")
app.add_typer(runs_app, name="runs")
app.add_typer(data_app, name="data")
app.add_typer(course_app, name="course")

Json = Annotated[bool, Option("--json", help="Print JSON for a program to read.")]
DryRun = Annotated[bool, Option("--dry-run", help="Show what would be done, do nothing.")]
Options = Annotated[list[str], Option("--option", "-o", help="A method's: -o kind=forward_gate")]
Settings = Annotated[list[str], Option("--set", "-s", help="Any field of Config: -s lr=0.03")]


def main() -> None:
    """Entry point: a user's mistake, or what the system refuses, is one sentence and exit code 2;
    Ctrl-C is exit code 130, a reader that went away 1 (click's)."""
    _streams()
    debug = "--debug" in sys.argv
    logging.basicConfig(format="%(message)s")
    logging.getLogger("hkt_lite").setLevel("INFO")  # such as: who is waited for
    sys.argv = [word for word in sys.argv if word != "--debug"]
    said = ""
    stopped = "\nInterrupted; all is kept, the same command goes on from there."
    try:
        code = app(standalone_mode=False)  # typer hands an Exit's code back instead of raising it
        sys.stdout.flush()  # here, where a full disk still gets its sentence
        said = stopped if code == 130 else ""  # typer's own answer to Ctrl-C
    except (KeyboardInterrupt, typer.Abort):
        code, said = 130, stopped
    except BrokenPipeError:  # `hkt runs list | head -1`: nobody reads on, and nobody need be told
        code = 1
    except Exception as error:
        sentence = _sentence(error)
        if debug or not sentence:
            raise
        code, said = 2, f"hkt: {' '.join(sentence.split())}"
    _end(code if isinstance(code, int) else 0, said)


def _streams() -> None:
    """Standard streams that can be written to: what was closed (`2>&-`) leads nowhere.

    Otherwise the next file to be opened would get the number of the closed one, and what a library
    prints would go into it.  A name that cannot be printed is printed escaped.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r+"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _sentence(error: Exception) -> str:
    """What a user is told of an error, or '' for one that only a programmer can mend."""
    if hasattr(error, "format_message"):  # of typer
        return error.format_message()
    if isinstance(error, OSError):
        where = f" {error.filename!r}" if error.filename else ""
        return (
            f"The system refused{where} ({error.strerror or error}); mend that or name another "
            "place, then give the same command again: what was written before is whole."
        )
    return str(error) if isinstance(error, HKTError) else ""


def _end(code: int, said: str) -> None:
    """Say the last sentence and leave; a stream that takes nothing more changes no exit code."""
    for stream, text in ((sys.stdout, ""), (sys.stderr, said and f"{said}\n")):
        try:
            stream.write(text)
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)


def _values(pairs: list[str]) -> dict:
    """KEY=VALUE words as typed values (YAML scalars and lists)."""
    import yaml

    values = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise HKTError(f"{pair!r} is not KEY=VALUE.")
        try:
            values[key] = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError) as error:
            what = str(error).splitlines()[0]
            raise HKTError(f"The value of {pair!r} cannot be read ({what}).") from None
    return values


def _config(task, method, scale, source, seed, options, settings) -> Config:
    from .benchmarks import resolve

    given = {"task": task, "method": method, "scale": scale, "source": source, "seed": seed}
    return resolve(Config(**{**given, "options": _values(options), **_values(settings)}))


def _progress():
    """A bar in a terminal, one line an epoch otherwise."""
    from tqdm import tqdm

    bar = tqdm(unit="step", leave=False, disable=None)  # None: unless this is a terminal

    def told(step, steps, epoch):
        bar.total = steps
        bar.update(step - bar.n)
        if epoch:
            bar.set_postfix_str(_scores(epoch.val))
        if epoch and bar.disable:
            said = f"epoch {epoch.epoch}  {_scores(epoch.train)}  val {_scores(epoch.val)}"
            print(said, file=sys.stderr, flush=True)
        if step == steps:
            bar.clear()

    return told


def _show(record, as_json: bool = False) -> None:
    print(record.model_dump_json(indent=1) if as_json else _summary(record))


def _summary(record) -> str:
    if record.kind == "again":
        return f"{record.id}  again {record.run}  {record.verdict}"
    if record.kind == "eval":
        protocol = " ".join(map(str, record.protocol.values()))
        return f"{record.id}  eval  {record.checkpoint}  {protocol}  {_scores(record.metrics)}"
    config, chosen = record.config, record.selected
    options = " ".join(f"{key}={value}" for key, value in config.options.items())
    what = f"{config.task} {config.scale} {config.source} {config.method:5} {options}"
    return (
        f"{record.id}  {record.purpose:7} {what} lr={config.lr} seed={config.seed}  "
        f"val {_scores(chosen.val)}  test {_scores(chosen.test)} (epoch {chosen.epoch})"
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
    option: Options = [],
    set_: Settings = [],
    purpose: str = "score",
    checkpoint_steps: Annotated[int, Option(min=1, help="Checkpoint every so many steps.")] = 50,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Train one child; a finished twin is shown, a cut-off one goes on."""
    config = _config(task, method, scale, source, seed, option, set_)
    if dry_run:
        from .runs.measure import estimate

        facts = {"id": config.id, "config": config.model_dump(), **estimate(config)}
        print(json.dumps(facts, indent=1))
        return
    from .runs.loop import run as train

    made = train(config, purpose, progress=_progress(), checkpoint_steps=checkpoint_steps)
    _show(made.record, as_json)


@app.command()
def trace(
    task: str,
    method: str,
    scale: str = "smoke",
    source: str = "auto",
    seed: int = 0,
    option: Options = [],
    set_: Settings = [],
    as_json: Json = False,
) -> None:
    """One training batch, looked into: shapes at every site, loss terms, gate, gradient norms."""
    from .runs.trace import trace as look

    seen = look(_config(task, method, scale, source, seed, option, set_))
    if as_json:
        print(json.dumps(seen, indent=1))
        return
    for key, value in flat(seen).items():
        print(f"{key:<32} {f'{value:.4g}' if isinstance(value, float) else value}")


@app.command("eval")
def evaluate(
    task: str,
    checkpoint: Path,
    arch: Annotated[str | None, Option(help="The child of the scale if left out.")] = None,
    protocol: Annotated[str | None, Option(help="One of the task's; else its first.")] = None,
    source: str = "real",
    scale: str = "cpu",
    as_json: Json = False,
) -> None:
    """Evaluate a checkpoint (a file, or the child of run ID) under a stated protocol."""
    from .runs.export import evaluate as evaluate_checkpoint

    local = store.Store.default()
    made = None if checkpoint.exists() else local.finished(str(checkpoint))
    if made:
        checkpoint, scale = local.weights(made.id), made.config.scale
        arch = arch or made.config.child
    _show(evaluate_checkpoint(task, checkpoint, arch, protocol, source, scale), as_json)


@app.command()
def grid(
    file: Path,
    index: Annotated[int | None, Option(help="Only this run, for array jobs.")] = None,
    jobs: Annotated[int | None, Option(min=1, help="So many processes of this machine.")] = None,
    dask: Annotated[str | None, Option(help="Address of a Dask scheduler.")] = None,
    gpu_gib: Annotated[float | None, Option(min=0.1, help="Of a GPU, a run may take.")] = None,
    dry_run: DryRun = False,
) -> None:
    """Run every configuration of a grid file, skipping what is finished (exit 1 if one fails)."""
    from .runs import executors
    from .runs.grid import label, read, sweep
    from .runs.measure import estimate

    configs, purpose = read(file)
    if index is not None and not 0 <= index < len(configs):
        raise HKTError(f"The grid has runs 0 to {len(configs) - 1}; there is no run {index}.")
    if jobs and dask:
        raise HKTError("Either --jobs or --dask says where the runs are made, not both.")
    configs = configs if index is None else [configs[index]]
    if dry_run:
        for number, one in enumerate(configs):
            print(number, label(one))
        print(json.dumps(estimate(configs[0]) | {"runs": len(configs)}))
        return
    executor = executors.processes(jobs) if jobs else executors.here
    executor = executors.dask(dask) if dask else executor
    answers = sweep(configs, purpose, executor, gpu_gib=gpu_gib)
    for config, (record, reason, _) in zip(configs, answers):
        print(_summary(record) if record else f"{label(config)}  failed: {reason}")
    failed = sum(answer.record is None for answer in answers)
    if failed:
        print(f"{failed} of {len(answers)} runs failed; the same command tries them again.")
    raise typer.Exit(bool(failed))


@app.command()
def export(
    run_id: str, out: Path = Path("export"), formats: str = "safetensors,torch,onnx"
) -> None:
    """Write a run's child alone in several formats, each checked against the original."""
    from .runs.export import export as export_child

    differences = export_child(store.find(run_id), out, tuple(formats.split(",")))
    for name, difference in differences.items():
        print(f"{out / name}  largest difference of an output {difference:.2g}")


@app.command()
def submit(
    run_id: str,
    corpus: str,
    out: Path,
    warm: Annotated[bool, Option(help="Start each frame from the flow before (Sintel).")] = False,
) -> None:
    """Write a flow child's answers to a corpus' test part as the files its server takes."""
    from .benchmarks.flow.submission import write
    from .runs.export import load_child

    record = store.find(run_id)
    if record.kind != "run" or record.config.task != "flow":
        raise HKTError(f"{run_id} is no run of flow; only flow has servers that take files.")
    print(f"{write(load_child(record), record.config.child, corpus, out, warm)} flows in {out}")


@app.command()
def reproduce(run_id: str) -> None:
    """Run a record again: same bits, inside the interval of its seeds, or different (exit 1)."""
    from .runs.reproduce import reproduce as run_again

    verdict, sentence = run_again(store.find(run_id), progress=_progress())
    print(f"{verdict}: {sentence}")
    raise typer.Exit(verdict == "different")


@app.command()
def pages(
    names: Annotated[list[str], Argument(help="Notebooks, such as 10_cifar10; else all.")] = [],
    scale: str = "quick",
    set_: Annotated[list[str], Option("--set", "-s", help="A notebook's: NAME=VALUE.")] = [],
    out: Path | None = None,
    force: bool = False,
) -> None:
    """Execute the notebooks that are not fresh, side by side."""
    from .book.build import build

    print(build(scale, out, html=False, force=force, names=names, settings=set_))


@app.command()
def book(
    scale: str = "quick",
    out: Path | None = None,
    force: Annotated[bool, Option(help="From scratch, as a release is built.")] = False,
) -> None:
    """Execute the notebooks, render the book, check every number."""
    from .book.build import build

    print(build(scale, out, force=force))


@app.command()
def check(
    nbval: Annotated[bool, Option(help="Also execute the built pages again and compare.")] = False,
) -> None:
    """Judge records, manifest, numbers and freshness; every problem is one sentence (exit 1)."""
    from .book import check as judge
    from .book.validate import validate

    problems = judge.check()
    if nbval:
        problems += validate(sorted((PROJECT / "book" / "_generated").glob("*.ipynb")))
    for line in problems or [f"Note: {note}" for note in judge.notes()]:
        print(line)
    print(f"{len(problems)} problem{'s' * (len(problems) != 1)} found.")
    raise typer.Exit(bool(problems))


@app.command()
def claims(
    as_json: Json = False,
    write: Annotated[Path | None, Option(help="Renew the table between a file's marks.")] = None,
) -> None:
    """The verdicts on the paper's claims, worked out from the published records."""
    from .evidence import release

    judged = release.claims(store.published())
    if as_json:
        print(json.dumps(judged, indent=1))
    elif write:
        release.renew(write, judged)
    else:
        for one in judged:
            print(f"{one['id']}  {one['verdict']:22}  {one['title']}: {one['finding']}")


@app.command()
def golden(
    names: Annotated[list[str], Argument(help="Golden runs; all without a name.")] = [],
    accept: Annotated[str | None, Option(help="Why what differs shall be the golden.")] = None,
) -> None:
    """Compare what the code computes on tiny runs with what is committed (exit 1 if it differs)."""
    raise typer.Exit(goldens.suite(names, accept))


@app.command()
def bench(
    name: Annotated[str, Argument(help="cifar10, flow, lits (a step of each method), or pages")],
    rounds: Annotated[int, Option(min=1)] = 7,
    as_json: Json = False,
) -> None:
    """What a training step costs with each method, as ratios; or how long the pages took."""
    from .benchmarks import names

    if name == "pages":
        from .book.build import times

        print("\n".join(f"{page['name']:<40} {page['said']}" for page in times()))
        return
    if name not in names():
        raise HKTError(f"There is no benchmark {name!r}.{nearest(name, ['pages', *names()])}")
    from .runs.bench import step

    measured = step(name, rounds)
    print(measured.to_json() if as_json else measured)


@runs_app.command("list")
def runs_list(published: bool = False, as_json: Json = False) -> None:
    """Finished runs of this machine, or the published ones."""
    own = store.Store.default()
    if as_json:
        records = store.published() if published else own.records()
        print(json.dumps([json.loads(record.model_dump_json()) for record in records]))
        return
    said = list(map(_summary, store.published())) if published else own.lines(_summary)
    print("".join(f"{line}\n" for line in said), end="")
    home = results_home() if published else runs_home()
    print(f"{len(said)} records in {home}", file=sys.stderr)


@runs_app.command("show")
def runs_show(run_id: str) -> None:
    """One record, whole."""
    _show(store.find(run_id), as_json=True)


@runs_app.command("diff")
def runs_diff(first: str, second: str) -> None:
    """Where two runs differ: configuration, scores, provenance."""
    found = [store.find(name) for name in (first, second)]
    one, other = [flat(record.model_dump(exclude={"epochs"})) for record in found]
    for key in sorted(one.keys() | other.keys()):
        if one.get(key) != other.get(key):
            print(f"{key}: {one.get(key)} | {other.get(key)}")


@runs_app.command("publish")
def runs_publish(ids: list[str]) -> None:
    """Copy finished records to data/results and enter them in the manifest."""
    for path in store.publish(ids):
        print(path)


@runs_app.command("collect")
def runs_collect(source: Path) -> None:
    """Bring the records of another store, as of a cluster, home (exit 1 if one is damaged)."""
    brought, flaws = store.collect(source)
    for record in brought:
        _show(record)
    print("\n".join([*flaws, f"{len(brought)} records brought from {source}"]), file=sys.stderr)
    raise typer.Exit(bool(flaws))


@runs_app.command("export")
def runs_export(out: Annotated[Path, Argument(help="FILE.csv or FILE.json")]) -> None:
    """Write one table of all published records: configuration, scores, cost, provenance."""
    from .evidence.release import export as write

    records = store.published()
    write(records, out)
    print(f"{len(records)} records in {out}")


@data_app.command("status")
def data_status(as_json: Json = False) -> None:
    """What is here, what is missing, and under which licence."""
    from .benchmarks import registry

    rows = registry.status()
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
    """Check an archive or its extracted files against the registry (exit 1 if one is wrong)."""
    from .benchmarks.registry import verify

    results = verify(name)
    for file, verdict in results.items():
        print(f"{verdict}  {file}")
    raise typer.Exit(set(results.values()) != {"ok"})
