"""hkt run, trace, eval, grid, export, submit, reproduce, golden, bench: what computes."""

import json
import re
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option
from yaml import YAMLError

from ..config import Config, HKTError
from ..files import from_yaml
from ..runs import golden as goldens
from ..runs import store
from ..runs.records import flat
from .records import Json, scores, show, summary

DryRun = Annotated[bool, Option("--dry-run", help="Show what would be done, do nothing.")]
Options = Annotated[list[str], Option("--option", "-o", help="A method's: -o kind=forward_gate")]
Settings = Annotated[list[str], Option("--set", "-s", help="Any field of Config: -s lr=0.03")]


def values(pairs: list[str]) -> dict:
    """KEY=VALUE words as typed values (YAML scalars and lists)."""
    found = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise HKTError(f"{pair!r} is not KEY=VALUE.")
        try:
            found[key] = from_yaml(text)
        except (YAMLError, ValueError) as error:
            what = str(error).splitlines()[0]
            raise HKTError(f"The value of {pair!r} cannot be read ({what}).") from None
    return found


def resolved(task, method, scale, source, seed, options, settings) -> Config:
    from ..benchmarks import resolve

    given = {"task": task, "method": method, "scale": scale, "source": source, "seed": seed}
    chosen = values(settings)
    for name in ("task", "method"):
        if name in chosen:
            raise HKTError(
                f"-s {name}=… is said by the command's own {given[name]!r}; leave it out."
            )
    return resolve(Config(**{**given, "options": values(options), **chosen}))


def progress():
    """A bar in a terminal, one line an epoch otherwise."""
    from tqdm import tqdm

    bar = tqdm(unit="step", leave=False, disable=None)  # None: unless this is a terminal

    def told(step, steps, epoch):
        bar.total = steps
        bar.update(step - bar.n)
        if epoch:
            bar.set_postfix_str(scores(epoch.val))
        if epoch and bar.disable:
            said = f"epoch {epoch.epoch}  {scores(epoch.train)}  val {scores(epoch.val)}"
            print(said, file=sys.stderr, flush=True)
        if step == steps:
            bar.clear()

    return told


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
    """Train one child: hkt run cifar10 hkt.  A finished twin is shown, a cut-off one goes on; a
    wrong name of task or method lists those that there are."""
    config = resolved(task, method, scale, source, seed, option, set_)
    if dry_run:
        from ..runs.loop import check
        from ..runs.measure import estimate

        check(config, purpose, checkpoint_steps)
        facts = {"id": config.id, "config": config.model_dump(), **estimate(config)}
        print(json.dumps(facts, indent=1))
        return
    from ..benchmarks import get
    from ..runs.loop import run as train

    made = train(config, purpose, progress=progress(), checkpoint_steps=checkpoint_steps)
    show(made.record, as_json)
    if not (as_json or get(config.task).learnt(made.record.selected.test)):
        print("not learnt: no better, or hardly, than an answer without looking")


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
    from ..runs.trace import trace as look

    seen = look(resolved(task, method, scale, source, seed, option, set_))
    if as_json:
        print(json.dumps(seen, indent=1))
        return
    for key, value in flat(seen).items():
        print(f"{key:<32} {f'{value:.4g}' if isinstance(value, float) else value}")


def evaluate(
    task: str,
    checkpoint: Path,
    arch: Annotated[str | None, Option(help="The child of the scale if left out.")] = None,
    protocol: Annotated[str | None, Option(help="One of the task's; else its first.")] = None,
    source: Annotated[str | None, Option(help="Else the run's, or real.")] = None,
    scale: str = "cpu",
    as_json: Json = False,
) -> None:
    """Evaluate a checkpoint (a file, or the child of run ID) under a stated protocol.  Images are
    those of the run's source, or real ones: of a file, and where a protocol is named.
    """
    from ..benchmarks import get
    from ..runs.export import evaluate as evaluate_checkpoint

    if not checkpoint.exists() and re.fullmatch(r"[0-9a-f]{1,12}", str(checkpoint)):
        made = store.find(str(checkpoint))
        if made.kind != "run" or get(task) is not get(made.config.task):
            what = f"a run of {made.config.task}" if made.kind == "run" else "no run"
            raise HKTError(f"{made.id} is {what}; name a run of {task}, or a file.")
        checkpoint, scale = store.Store.default().weights(made.id), made.config.scale
        arch = arch or made.config.child
        source = source or (made.config.source if protocol is None else None)
    made_of = source or "real"
    show(evaluate_checkpoint(task, checkpoint, arch, protocol, made_of, scale), as_json)


def grid(
    file: Path,
    index: Annotated[int | None, Option(help="Only this run, for array jobs.")] = None,
    jobs: Annotated[int | None, Option(min=1, help="So many processes of this machine.")] = None,
    dask: Annotated[str | None, Option(help="Address of a Dask scheduler.")] = None,
    gpu_gib: Annotated[float | None, Option(min=0.1, help="Of a GPU, a run may take.")] = None,
    dry_run: DryRun = False,
) -> None:
    """Run every configuration of a grid file, skipping what is finished (exit 1 if one fails)."""
    from ..runs import executors
    from ..runs.grid import label, read, sweep

    configs, purpose = read(file)
    if index is not None and not 0 <= index < len(configs):
        raise HKTError(f"The grid has runs 0 to {len(configs) - 1}; there is no run {index}.")
    if jobs and dask:
        raise HKTError("Either --jobs or --dask says where the runs are made, not both.")
    configs = configs if index is None else [configs[index]]
    if dry_run:
        for number, one in enumerate(configs):
            print(number, label(one))
        print(json.dumps(_bill(configs)))
        return
    executor = partial(executors.processes, jobs) if jobs else executors.here
    executor = partial(executors.dask, dask) if dask else executor
    answers = sweep(configs, purpose, executor, gpu_gib=gpu_gib)
    for config, (record, reason, _) in zip(configs, answers):
        print(summary(record) if record else f"{label(config)}  failed: {reason}")
    failed = sum(answer.record is None for answer in answers)
    if failed:
        print(f"{failed} of {len(answers)} runs failed; the same command tries them again.")
    raise typer.Exit(bool(failed))


def _bill(configs: list[Config]) -> dict:
    """What all runs of a grid will take; None where that of one is not known, and then why."""
    from ..runs.measure import estimate

    known: dict[str, dict] = {}  # seeds and rates cost the same
    asked = []
    for one in configs:
        alike = one.but(seed=0, lr=0.1).id
        if alike not in known:
            known[alike] = estimate(one)
        asked.append(known[alike])
    total = {key: value for facts in asked for key, value in facts.items()}
    for key in ("seconds", "disk_mb"):
        each = [facts[key] for facts in asked]
        total[key] = None if None in each else round(sum(each), 1)
    return {**total, "runs": len(configs)}


def export(
    run_id: str, out: Path = Path("export"), formats: str = "safetensors,torch,onnx"
) -> None:
    """Write a run's child alone in several formats, each checked against the original."""
    from ..runs.export import export as export_child

    differences = export_child(store.find(run_id), out, tuple(formats.replace(" ", "").split(",")))
    for name, difference in differences.items():
        print(f"{out / name}  largest difference of an output {difference:.2g}")


def submit(
    run_id: str,
    corpus: str,
    out: Path,
    warm: Annotated[bool, Option(help="Start each frame from the flow before (Sintel).")] = False,
) -> None:
    """Write a flow child's answers to a corpus' test part as the files its server takes."""
    from ..benchmarks.flow.submission import write
    from ..runs.export import load_child

    record = store.find(run_id)
    if record.kind != "run" or record.config.task != "flow":
        raise HKTError(f"{run_id} is no run of flow; only flow has servers that take files.")
    print(f"{write(load_child(record), record.config.child, corpus, out, warm)} flows in {out}")


def reproduce(run_id: str, dry_run: DryRun = False) -> None:
    """Run a record again: same bits, inside the interval of its seeds, or different (exit 1)."""
    from ..runs.reproduce import reproduce as run_again

    record = store.find(run_id)
    if dry_run and record.kind == "run":
        print(json.dumps(_bill([record.config])))
        return
    verdict, sentence = run_again(record, progress=progress())
    print(f"{verdict}: {sentence}")
    raise typer.Exit(verdict == "different")


def golden(
    names: Annotated[list[str], Argument(help="Golden runs; all without a name.")] = [],
    accept: Annotated[str | None, Option(help="Why what differs shall be the golden.")] = None,
) -> None:
    """Compare what the code computes on tiny runs with what is committed (exit 1 if it differs)."""
    raise typer.Exit(goldens.suite(names, accept))


def bench(
    name: Annotated[str, Argument(help="cifar10, flow, lits (a step each method); all; pages")],
    rounds: Annotated[int, Option(min=1, help="Of a benchmark's steps.")] = 7,
    as_json: Annotated[bool, Option("--json", help="Print a benchmark's steps as JSON.")] = False,
) -> None:
    """What a training step costs with each method, as ratios; `all`, in a clone, also against the
    released step and without our cache and pipeline; or how long the pages took.
    """
    from ..benchmarks import names
    from ..benchmarks.task import choose

    if name == "pages":
        from ..book.build import times

        print("\n".join(f"{page['name']:<40} {page['said']}" for page in times()))
        return
    from ..runs.bench import everything, step

    if name == "all":
        raise typer.Exit(everything())
    measured = step(choose("benchmark", name, ["all", "pages", *names()]), rounds)
    print(measured.to_json() if as_json else measured)
