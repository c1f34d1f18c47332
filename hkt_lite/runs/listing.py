"""A line for each record of a store, out of an index where nothing changed since.   hkt runs list

Reading ten thousand records takes seconds, asking whether ten thousand files are still the same a
tenth of one.  The index is only a cache: an entry counts as long as its file and this package's
source are those it was made from, so that it can be deleted at any time and is never older than
what it speaks of.  Nothing that is judged, published or shown on a page is read from it.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..config import HKTError
from ..files import read_json, settled, state_of, tree_digest, write_json
from .records import Record, load
from .store import Store

INDEX = ".index.json"
FEWEST = 200  # records; fewer are read at once


def lines(store: Store, line: Callable[[Record], str]) -> list[str]:
    """`line(record)` of each record, in the order of `Store.paths`.  Raises HKTError as `load`."""
    source, path = tree_digest(Path(__file__).parents[1]), store.home / INDEX
    known, found = _known(path, source), {}
    for record in store.paths():
        name, state = record.relative_to(store.home).as_posix(), state_of(record)
        entry = known.get(name)
        if not entry or entry[0] != state:
            entry = [state, line(load(record))]
        found[name] = entry
    kept = {name: entry for name, entry in found.items() if settled(entry[0])}
    if len(kept) >= FEWEST and kept != known:
        with suppress(HKTError):  # a store that cannot be written to needs none
            write_json(path, {"source": source, "records": kept})
    return [entry[1] for entry in found.values()]


def _known(path: Path, source: str) -> dict[str, list]:
    """{name: [state, line]} of an index that today's code made; of another or damaged one {}."""
    try:
        index = read_json(path, "index")
        return index["records"] if index["source"] == source else {}
    except (HKTError, KeyError, TypeError):
        return {}
