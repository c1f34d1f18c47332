"""Where records lie: this machine's runs, and the published results with their manifest.

A store is a folder with, for each run, ID/record.json, child.safetensors (the epoch chosen on
validation data), last.safetensors and method.safetensors, and while it runs state.safetensors; the
parents' caches in parents/; eval-ID.json and again-ID.json.  Published records lie in data/results
with their sha256 in MANIFEST.json; a page shows nothing else as a recorded number.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..config import HKTError, nearest, results_home, runs_home
from ..files import read_json, sha256, write_json
from .records import Record, RunRecord, filename, load

MANIFEST = "MANIFEST.json"


@dataclass(frozen=True)
class Store:
    """The runs below `home`; parents' caches and weights of earlier runs may be another store's."""

    home: Path
    earlier: Path | None = None

    @classmethod
    def default(cls) -> Store:
        """The user's: $HKT_RUNS, else data/runs of the project."""
        return cls(runs_home())

    def folder(self, run_id: str) -> Path:
        return self.home / run_id

    @property
    def parents(self) -> Path:
        return (self.earlier or self.home) / "parents"

    def weights(self, run_id: str) -> Path:
        """The chosen child of a finished run.  Raises HKTError where this machine has none."""
        for home in filter(None, (self.home, self.earlier)):
            path = home / run_id / "child.safetensors"
            if path.is_file():
                return path
        raise HKTError(
            f"Run {run_id} has no weights in {self.home}; only runs made on this machine have: "
            f"`hkt reproduce {run_id}` makes them, or name other weights."
        )

    def finished(self, run_id: str) -> RunRecord | None:
        path = self.folder(run_id) / "record.json"
        return load(path) if path.exists() else None

    def records(self) -> list[Record]:
        """Finished runs, evaluations and repetitions."""
        kinds = ("*/record.json", "eval-*.json", "again-*.json")
        return [load(path) for kind in kinds for path in sorted(self.home.glob(kind))]

    def add(self, record: Record) -> Path:
        """Write an evaluation or a repetition; runs are written by the loop."""
        path = self.home / filename(record)
        write_json(path, record)
        return path


def by_prefix(records: Iterable[Record], wanted: str, where: str) -> Record:
    """The record whose id begins with `wanted`.  Raises HKTError unless it is exactly one."""
    known = {record.id: record for record in records}
    hits = [record for name, record in known.items() if name.startswith(wanted)]
    if len(hits) != 1:
        how_many = "More than one" if hits else "No"
        hint = "" if hits or not known else nearest(wanted, known)
        raise HKTError(f"{how_many} {where} record has an id beginning with {wanted!r}.{hint}")
    return hits[0]


def find(record_id: str) -> Record:
    """A record by its id or a unique beginning of it, published or of this machine."""
    records = [*published(), *Store.default().records()]
    return by_prefix(records, record_id, "published or local")


def manifest() -> dict[str, str]:
    """File name -> sha256 of every published record; empty where nothing is published."""
    path = results_home() / MANIFEST
    return read_json(path, "manifest") if path.exists() else {}


def manifest_flaws() -> Iterable[tuple[str, str]]:
    """(file name, sentence) for every published record that is missing, unlisted or altered."""
    home, listed = results_home(), manifest()
    present = {path.name for path in home.glob("*.json")} - {MANIFEST}
    for name in sorted(present | set(listed)):
        if name not in present:
            flaw = "is missing although MANIFEST.json lists it; restore it from version control."
        elif name not in listed:
            flaw = "is not listed in MANIFEST.json; `hkt runs publish` enters it, or remove it."
        elif sha256(home / name) != listed[name]:
            flaw = "differs from its sha256 in MANIFEST.json: one was altered; restore it."
        else:
            continue
        yield name, f"The record {home / name} {flaw}"


def published() -> list[Record]:
    """All published records.  Raises HKTError that names the first file the manifest disowns."""
    for _, sentence in manifest_flaws():
        raise HKTError(sentence)
    return [load(results_home() / name) for name in sorted(manifest())]


def publish(ids: list[str]) -> list[Path]:
    """Copy finished records into the published results and the manifest; all or none.

    Raises HKTError for an id that is not one finished record, and for a record that was made from
    a working tree with uncommitted changes.
    """
    local = Store.default().records()
    chosen = [by_prefix(local, wanted, "finished") for wanted in ids]
    for record in chosen:
        if record.provenance.dirty:
            raise HKTError(
                f"Record {record.id} was made from a working tree with uncommitted changes; "
                "commit, run it again and publish that."
            )
    listed, paths = manifest(), []
    for record in chosen:
        path = results_home() / filename(record)
        write_json(path, record)
        listed[path.name] = sha256(path)
        paths.append(path)
    write_json(results_home() / MANIFEST, dict(sorted(listed.items())))
    return paths
