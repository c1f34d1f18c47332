"""Where records lie: this machine's runs, and the published results with their manifest.

A store is a folder with, for each run, ID/record.json, child.safetensors (the epoch chosen on
validation data), last.safetensors and method.safetensors, and while it runs state.safetensors and
claim-N; the parents' caches in parents/; eval-ID.json and again-ID.json.  Many processes may write
into one store.  Published records lie in data/results with their sha256 in MANIFEST.json; a page
shows nothing else as a recorded number.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..config import HKTError, results_home, runs_home
from ..files import (
    by_state,
    json_bytes,
    read_bytes,
    read_json,
    sha256,
    sha256_of,
    tree_digest,
    uncollected,
    write_all,
    write_bytes,
    write_json,
)
from . import golden
from .claim import claimed
from .records import Record, RunRecord, filename, load, sealed

MANIFEST = "MANIFEST.json"
INDEX = ".index.json"
FEWEST = 200  # records of which an index is kept; fewer are read at once


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
        """The chosen child of a finished run.  Raises HKTError where it is missing or altered."""
        for store in (self, Store(self.earlier or self.home)):
            path = store.folder(run_id) / "child.safetensors"
            if path.is_file():
                record = store.finished(run_id)
                if record and path.name in store.altered(record):
                    raise HKTError(f"{path} was altered since its record; delete its folder.")
                return path
        raise HKTError(
            f"Run {run_id} has no weights in {self.home}; only runs made on this machine have. If "
            f"it is published, `hkt reproduce {run_id}` makes them; else name other weights."
        )

    def finished(self, run_id: str) -> RunRecord | None:
        path = self.folder(run_id) / "record.json"
        try:
            record = load(path) if path.exists() else None
        except OSError as error:  # of a name too long, of no folder at all
            raise HKTError(f"The store {self.home} cannot be read ({error.strerror}).") from None
        if record is None or (isinstance(record, RunRecord) and record.id == run_id):
            return record
        raise HKTError(f"{path} is the record of another run, {record.id}; delete its folder.")

    def altered(self, record: RunRecord) -> list[str]:
        """Files of a finished run that are missing or have not the sha256 of its record."""
        present = self.folder(record.id).glob("*.safetensors")
        found = {path.name: path for path in present if path.is_file()}
        expected = record.weights.items()
        return [name for name, said in expected if name not in found or sha256(found[name]) != said]

    def paths(self) -> list[Path]:
        """The files of its records: finished runs, evaluations, repetitions."""
        kinds = ("*/record.json", "eval-*.json", "again-*.json")
        return [path for kind in kinds for path in sorted(self.home.glob(kind))]

    @uncollected()
    def records(self) -> list[Record]:
        return [load(path) for path in self.paths()]

    @uncollected()
    def lines(self, line: Callable[[Record], str]) -> list[str]:
        """`line(record)` of each record, out of an index where nothing changed since.

        Reading ten thousand records takes seconds, asking whether ten thousand files are still the
        same a tenth of one.  The index is only a cache: an entry counts as long as its file and
        this package's source are those it was made from.  Nothing that is judged, published or
        shown on a page is read from it.  Raises HKTError as `load`.
        """
        source, index = tree_digest(Path(__file__).parents[1]), self.home / INDEX
        before = _indexed(index, source)
        known = dict(before)
        read = by_state(lambda path: line(load(path)), known)
        found = {os.path.abspath(path): read(path) for path in self.paths()}
        kept = {name: entry for name, entry in known.items() if name in found}
        if len(kept) >= FEWEST and kept != before:
            with suppress(HKTError):  # a store that cannot be written to needs none
                write_json(index, {"source": source, "records": kept})
        return list(found.values())

    def add(self, record: Record) -> Path:
        """Write an evaluation or a repetition; runs are written by the loop."""
        path = self.home / filename(record)
        write_bytes(path, sealed(record))
        return path

    def collect(self, record: Record, other: Store) -> bool:
        """Whether a record of another store had to be brought into this one."""
        if record.kind != "run":
            return not (self.home / filename(record)).exists() and bool(self.add(record))
        with claimed(self.folder(record.id) / "claim"):
            known = self.finished(record.id)
            if known and (not golden.older(known.provenance) or golden.older(record.provenance)):
                return False
            files = {name: read_bytes(other.folder(record.id) / name) for name in record.weights}
            for name, data in files.items():
                if sha256_of(data) != record.weights[name]:
                    raise HKTError(f"{other.folder(record.id) / name} is not what its record says.")
            files["record.json"] = sealed(record)
            write_all({self.folder(record.id) / name: data for name, data in files.items()})
        return True


def _indexed(index: Path, source: str) -> dict[str, list]:
    """{path: [state, line]} of an index that today's code made; of another or damaged one {}."""
    try:
        found = read_json(index, "index")
        return found["records"] if found["source"] == source else {}
    except (HKTError, KeyError, TypeError):
        return {}


def by_prefix(paths: Iterable[Path], wanted: str, where: str) -> Record:
    """The record whose id begins with `wanted`, of those in `paths`, whose names say it; of two
    with one id the last.  Raises HKTError unless it is exactly one."""
    known = {_id(path): path for path in paths}
    hits = [path for name, path in known.items() if name.startswith(wanted)]
    if len(hits) != 1:
        how_many = "More than one" if hits else "No"
        hint = f" `hkt runs list` (--published) has the {len(known):,} there are." if known else ""
        raise HKTError(f"{how_many} {where} record has an id beginning with {wanted!r}.{hint}")
    return load(hits[0])


def _id(path: Path) -> str:
    return path.parent.name if path.name == "record.json" else path.stem.partition("-")[2]


def find(record_id: str) -> Record:
    """A record by its id or a unique beginning of it, published, else of this machine."""
    paths = [*Store.default().paths(), *published_paths()]
    return by_prefix(paths, record_id, "published or local")


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
        elif _digest(home / name) != listed[name]:
            flaw = "differs from its sha256 in MANIFEST.json: one was altered; restore it."
        else:
            continue
        yield name, f"The record {home / name} {flaw}"


_digest = by_state(sha256)


def published_paths() -> list[Path]:
    """The files of all published records.  Raises HKTError for one that the manifest disowns."""
    for _, sentence in manifest_flaws():
        raise HKTError(sentence)
    return [results_home() / name for name in sorted(manifest())]


@uncollected()
def published() -> list[Record]:
    """All published records.  Raises HKTError as `published_paths`."""
    return [load(path) for path in published_paths()]


def publish(ids: list[str]) -> list[Path]:
    """Copy finished records into the published results and the manifest; all or none.

    Raises HKTError for an id that is not one finished record, and for a record that was made from
    a working tree with uncommitted changes.
    """
    local, home = Store.default().paths(), results_home()
    chosen = [by_prefix(local, wanted, "finished") for wanted in ids]
    for record in chosen:
        if record.provenance.dirty:
            raise HKTError(
                f"Record {record.id} was made from a working tree with uncommitted changes; "
                f"commit, move {Store.default().home / record.id} away, run it again and publish "
                "that."
            )
    files = {home / filename(record): sealed(record) for record in chosen}
    with claimed(home / "publishing"):
        listed = manifest() | {path.name: sha256_of(data) for path, data in files.items()}
        write_all({**files, home / MANIFEST: json_bytes(dict(sorted(listed.items())))})
    return list(files)


def collect(source: Path) -> tuple[list[Record], list[str]]:
    """Bring the records of another store home, each with its weights: (those brought, flaws).

    A record that is here stays, unless today's goldens have left it behind and not the other.
    Raises HKTError where `source` is no folder.
    """
    if not source.is_dir():
        raise HKTError(f"There is no folder {source}; mount or copy the other store first.")
    other, own, brought, flaws = Store(source), Store.default(), [], []
    for path in other.paths():
        try:
            record = load(path)
            if own.collect(record, other):
                brought.append(record)
        except (HKTError, OSError) as error:  # one that cannot be read keeps no other away
            flaws.append(str(error))
    return brought, flaws
