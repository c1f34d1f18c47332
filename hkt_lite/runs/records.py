"""Run and evaluation records: what was run, on what, by what code, with which result.   hkt runs list | show ID | publish ID …

A record is one JSON file, checked against its schema when written and when read.  Published records lie in data/results with their
sha256 in MANIFEST.json; a page shows nothing else as a recorded number.
"""

from __future__ import annotations

import ast
import hashlib
import io
import platform
import subprocess
import tokenize
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ..config import PROJECT, Config, HKTError, nearest, results_home, runs_home
from ..files import read_json, sha256, write_json

MANIFEST = "MANIFEST.json"


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Provenance(Part):
    """What made a record.  A difference to the present shows as *stale*."""

    code: str  # code_hash of the package when the run began
    data: str  # sha256 of the images and labels the run used, or of the archive's files
    versions: dict[str, str]
    commit: str = ""
    dirty: bool = False
    created: str = ""
    machine: str = ""


class Epoch(Part):
    """One line of the curves: means over the epoch's images; `inherited` holds quantiles over them."""

    epoch: int  # 1, 2, …
    lr: float  # at the epoch's last step
    seconds: float
    train: dict[str, float]  # loss term -> mean
    val: dict[str, float]  # metric -> value
    inherited: dict[str, dict[str, float]] = {}  # gate, inherited -> q05 … q95, mean


class Score(Part):
    """Metrics of one state of the child; test data was looked at once, after the choice."""

    epoch: int
    val: dict[str, float]
    test: dict[str, float]


class ParentInfo(Part):
    arch: str
    weights: str
    sha256: str
    parameters: int
    val: dict[str, float]
    train: dict[str, float] = {}  # on the run's own training images: has it memorised them?


class Cost(Part):
    seconds: float  # training and validation, without the cache's filling
    parent_seconds: float  # filling the parent cache
    device: str
    peak_memory_mb: float
    parameters: int  # of the child, before and after
    extra_parameters: int  # of the method, thrown away after training
    flops: int  # of one forward pass of the child on one example


class RunRecord(Part):
    kind: Literal["run"] = "run"
    id: str
    config: Config
    purpose: Literal["score", "tuning", "parent", "audit", "live", "control"] = "score"
    audit: bool = False  # breaks the rules on purpose; never in a score table
    epochs: list[Epoch]
    selected: Score  # the epoch with the best validation metric
    last: Score
    parent: ParentInfo | None = None
    cost: Cost
    provenance: Provenance


class EvalRecord(Part):
    kind: Literal["eval"] = "eval"
    id: str
    checkpoint: str
    sha256: str
    task: str
    arch: str
    protocol: dict[str, Any]
    metrics: dict[str, float]
    provenance: Provenance


class AgainRecord(Part):
    """What came of running a record's configuration again under other code: kept, so that a record outlives the code that made it."""

    kind: Literal["again"] = "again"
    id: str
    run: str  # id of the record that was run again
    verdict: Literal["same bits", "inside the interval", "different"]
    sentence: str
    provenance: Provenance  # of the second run


def load(path: Path) -> RunRecord | EvalRecord | AgainRecord:
    """One record.  Raises HKTError naming the file and the first field that is wrong."""
    path = Path(path)
    value = read_json(path)
    kinds = {"run": RunRecord, "eval": EvalRecord, "again": AgainRecord}
    if not isinstance(value, dict) or value.get("kind") not in kinds:
        raise HKTError(
            f"The record {path} has no kind 'run' or 'eval'; it is not a record of this project."
        )
    kind = kinds[value["kind"]]
    try:
        record = kind.model_validate(value)
    except (ValidationError, HKTError) as error:
        first = (
            error.errors()[0]
            if isinstance(error, ValidationError)
            else {"loc": ("config",), "msg": str(error)}
        )
        raise HKTError(
            f"The record {path} does not fit its schema at {'.'.join(map(str, first['loc']))!r}: {first['msg']}."
        ) from None
    if isinstance(record, RunRecord) and record.id != record.config.id:
        raise HKTError(
            f"The record {path} is named {record.id}, but its configuration hashes to {record.config.id}: it was altered."
        )
    return record


def filename(record) -> str:
    return f"{record.kind}-{record.id}.json"


def manifest() -> dict[str, str]:
    """File name -> sha256 of every published record; empty where nothing is published."""
    path = results_home() / MANIFEST
    return read_json(path, "manifest") if path.exists() else {}


def published() -> list[RunRecord | EvalRecord]:
    """All published records, each checked against the manifest.  Raises HKTError that names the first file that differs."""
    home, listed = results_home(), manifest()
    present = {path.name for path in home.glob("*.json")} - {MANIFEST}
    for name in sorted(present ^ set(listed)):
        raise HKTError(
            f"The record {home / name} is "
            + (
                "missing although MANIFEST.json lists it."
                if name in listed
                else "not listed in MANIFEST.json; enter it with `hkt runs publish` or remove it."
            )
        )
    for name in sorted(listed):
        if sha256(home / name) != listed[name]:
            raise HKTError(
                f"The record {home / name} differs from its sha256 in MANIFEST.json: it was altered after publication."
            )
    return [load(home / name) for name in sorted(listed)]


def stale() -> tuple[list[RunRecord], dict[str, AgainRecord]]:
    """Published runs that today's code did not make, and by run id what came of those that it made again."""
    everything = published()
    old = [
        record
        for record in everything
        if isinstance(record, RunRecord) and record.provenance.code != _today(record)
    ]
    again = {record.run: record for record in everything if isinstance(record, AgainRecord)}
    return old, {
        record.id: again[record.id]
        for record in old
        if record.id in again and again[record.id].provenance.code == _today(record)
    }


def _today(record: RunRecord) -> str:
    return code_hash(record.config.task, record.config.method)


def local() -> list[RunRecord | EvalRecord]:
    """Finished runs and evaluations of this machine's store."""
    home = runs_home()
    return [
        load(path)
        for path in sorted(
            [*home.glob("*/record.json"), *home.glob("eval-*.json"), *home.glob("again-*.json")]
        )
    ]


def find(record_id: str) -> RunRecord | EvalRecord:
    """A record by its id or a unique beginning of it, from the local store or the published ones."""
    known = {record.id: record for record in [*published(), *local()]}
    hits = [known[key] for key in known if key.startswith(record_id)]
    if len(hits) != 1:
        raise HKTError(
            f"{'No' if not hits else 'More than one'} record has an id beginning with {record_id!r}."
            + (nearest(record_id, known) if known and not hits else "")
        )
    return hits[0]


def publish(ids: list[str], purpose: str | None = None) -> list[Path]:
    """Copy finished records into the published results and enter their sha256 in the manifest; all or none."""
    known = {record.id: record for record in local()}
    chosen = [
        matches[0]
        if len(matches := [known[key] for key in known if key.startswith(wanted)]) == 1
        else wanted
        for wanted in ids
    ]
    for record in chosen:
        if isinstance(record, str):
            raise HKTError(
                f"No finished record (or more than one) in {runs_home()} begins with {record!r}; see `hkt runs list`."
            )
    listed, paths = manifest(), []
    for record in chosen:
        if purpose and isinstance(record, RunRecord):
            record = record.model_copy(update={"purpose": purpose})
        path = results_home() / filename(record)
        write_json(path, record)
        listed[path.name] = sha256(path)
        paths.append(path)
    write_json(results_home() / MANIFEST, dict(sorted(listed.items())))
    return paths


def _without_prose(source: str) -> str:
    """A module's lines without docstrings, comments and blank lines: rewording an explanation makes no number stale."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
            and isinstance(body[0].value.value, str)
        ):
            for number in range(body[0].lineno - 1, body[0].end_lineno):
                lines[number] = ""
    text = "\n".join(lines) + "\n"
    lines = text.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    return "\n".join(line.rstrip() for line in lines if line.strip())


@lru_cache
def code_hash(task: str | None = None, method: str | None = None) -> str:
    """16 hex digits over the sources a run of `task` with `method` passes through; over the whole package without arguments."""
    root = PROJECT / "hkt_lite"
    files = {path.relative_to(root).as_posix() for path in root.rglob("*.py")}
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(
            f"{name}\0{_without_prose((root / name).read_text(encoding='utf-8'))}\0".encode()
        )
    return digest.hexdigest()[:16]


def provenance(data: str, task: str, method: str) -> Provenance:
    """What this process would write into a record now."""
    from importlib.metadata import version

    def git(*words) -> str:
        try:
            return subprocess.run(
                ["git", *words], cwd=PROJECT, capture_output=True, text=True, timeout=20
            ).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            return ""

    return Provenance(
        code=code_hash(task, method),
        data=data,
        versions={
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "numpy")},
        },
        commit=git("rev-parse", "--short=12", "HEAD"),
        dirty=bool(git("status", "--porcelain", "--", "hkt_lite")),
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        machine=f"{platform.system()} {platform.machine()}",
    )
