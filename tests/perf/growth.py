"""What grows, and how fast: time and memory against sizes, in one run.

    python -m tests.perf.growth                 # minutes; --small tries it with toy sizes
    python -m tests.perf.growth --write         # also into data/measured/growth.json

Each series is one thing at several sizes: {"what", "unit", "sizes", "seconds", "mib"}; what is told
of it are ratios of neighbours, which say more about another machine than its seconds.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import torch

from hkt_lite.benchmarks import get, resolve
from hkt_lite.benchmarks.cifar10.augment import Augment
from hkt_lite.benchmarks.cifar10.task import MEAN, STD
from hkt_lite.book.build import times
from hkt_lite.config import Config, HKTError
from hkt_lite.evidence import show
from hkt_lite.files import write_bytes, write_json
from hkt_lite.methods import HKT
from hkt_lite.methods.parent import Cached
from hkt_lite.runs.bench import kept
from hkt_lite.runs.records import RunRecord, sealed
from hkt_lite.runs.store import Store, published
from tests.perf import tables

SIZES = {
    "images": (1000, 4000, 16_000, 45_000),
    "views": (1, 2, 4, 8),
    "records": (10, 100, 1000, 10_000),
    "workers": (1, 2, 100),
    "tasks": (1000,),
}
SMALL = {
    "images": (64, 128),
    "views": (1, 2),
    "records": (4, 8),
    "workers": (1, 2),
    "tasks": (8,),
}


def measure(sizes: dict | None = None, pages: list[dict] | None = None) -> dict:
    """All series; `pages` are those of the built book, with their seconds, in its order."""
    sizes = sizes or SIZES
    series = [
        _series("training images, an epoch augmented", "image", sizes["images"], _epoch),
        _series("views an image in the parent's cache", "view", sizes["views"], _cache),
        _series("sites of HKT, a step", "site", (1, 2, 3), _sites),
        *_records(sizes["records"]),
        *_workers(sizes["workers"], sizes["tasks"][0]),
    ]
    if pages:
        seconds = [sum(page["seconds"] for page in pages[:n]) for n in range(1, len(pages) + 1)]
        series.append(
            {
                "what": "notebooks of the book",
                "unit": "notebook",
                "sizes": list(range(1, len(pages) + 1)),
                "seconds": seconds,
                "mib": [None] * len(pages),
            }
        )
    return {"made": tables.made(), "series": series}


def _series(what: str, unit: str, sizes, prepare: Callable) -> dict:
    """The fastest of three goes at each size; `prepare(size)` returns what is timed, and MiB."""
    found: dict = {"what": what, "unit": unit, "sizes": list(sizes), "seconds": [], "mib": []}
    for size in sizes:
        act, mib = prepare(size)
        act()
        found["seconds"].append(min(_timed(act) for _ in range(3)))
        found["mib"].append(mib)
    return found


def _timed(act: Callable[[], object]) -> float:
    begin = time.perf_counter()
    act()
    return time.perf_counter() - begin


def _epoch(images: int) -> tuple[Callable, float]:
    x = torch.randint(256, (images, 3, 32, 32), dtype=torch.uint8)
    ours = Augment(SimpleNamespace(x=x), 0, MEAN, STD)
    parts = torch.randperm(images).split(128)
    return lambda: [ours.batch(part, 0) for part in parts], x.nbytes / 2**20


def _task(**fields):
    given = {"task": "cifar10", "method": "hkt", "scale": "smoke", "source": "synthetic"}
    return get("cifar10")(resolve(Config(**{**given, "train_size": 256, **fields}))).load()


def _cache(views: int) -> tuple[Callable, float]:
    task = _task(views=views)
    cache = Cached(task.placed(task.network(task.config.parent)), task.predict, task.sites)

    def fill() -> None:
        cache.fill(task.cache_batches(), views * task.train_size)

    fill()
    return fill, sum(rows.nbytes for rows in cache.rows.values()) / 2**20


def _sites(number: int) -> tuple[Callable, float]:
    """A step of HKT at the first `number` of the three layers, the whole step with its graph."""
    task = _task(sites="layers", batch_size=64)
    parent, child = (task.placed(task.network(name)) for name in ("resnet20", "resnet8"))
    parts = {"predict": task.predict, "loss": task.loss, "imitate": task.imitate}
    method = HKT(child, parent, sites=task.sites[:number], **parts)
    batch = task.batch(torch.arange(64), 0)
    method.setup(batch)

    def objective():
        return sum(method(batch).values())

    return lambda: objective().backward(), kept(objective)


def _records(sizes) -> Iterator[dict]:
    """A list made anew, made again, and a table of scores, of so many runs that differ in seed."""
    runs = [one for one in published() if one.kind == "run" and one.purpose == "score"]
    if not runs:
        raise HKTError("Growth with records is measured on copies of published runs; none is here.")
    names = ("records listed anew", "records listed again", "records in a table of scores")
    found: list[dict] = [
        {"what": name, "unit": "record", "sizes": list(sizes), "seconds": [], "mib": []}
        for name in names
    ]
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            store = Store(Path(folder))
            written = sum(_copy(store, runs[n % len(runs)], 1000 + n) for n in range(size))
            time.sleep(2.1)  # until nothing counts as just changed
            goes = [_timed(lambda store=store: store.lines(_name)) for _ in range(2)]
            records = store.records()
            goes.append(_timed(lambda records=records: show.render("scores", {}, records)))
        for one, seconds in zip(found, goes):
            one["seconds"].append(seconds)
            one["mib"].append(written / 2**20)
    yield from found


def _name(record) -> str:
    return record.id


def _copy(store: Store, record: RunRecord, seed: int) -> int:
    """The record as if it had another seed; its bytes."""
    value = json.loads(record.model_dump_json())
    config = record.config.but(seed=seed)
    value |= {"id": config.id, "config": {**value["config"], "seed": seed}}
    data = sealed(RunRecord.model_validate(value))
    write_bytes(store.folder(config.id) / "record.json", data)
    return len(data)


def _workers(sizes, tasks: int) -> Iterator[dict]:
    """Tasks that do nothing through the real scheduler on loopback: what the grid's executor adds.

    The workers are threads of this process, so that a hundred of them fit on a small machine.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise HKTError("Growth with workers needs Dask: pip install 'hkt-lite[cluster]'.") from None
    found: dict = {
        "what": f"workers of Dask, {tasks:,} tasks that do nothing",
        "unit": "worker",
        "sizes": list(sizes),
        "seconds": [],
        "mib": [],
    }
    local = {"processes": False, "threads_per_worker": 1, "dashboard_address": None}
    for size in sizes:
        with LocalCluster(size, host="127.0.0.1", protocol="tcp", **local) as cluster:
            with Client(cluster) as client:

                def go(client=client) -> None:
                    client.gather(client.map(abs, range(-tasks, 0), pure=False))

                go()
                found["seconds"].append(_timed(go))
                found["mib"].append(None)
    yield found


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m tests.perf.growth", description=__doc__)
    options.add_argument("--small", action="store_true", help="toy sizes, to try it")
    options.add_argument("--write", action="store_true", help="keep it for `tests.perf.tables`")
    given = options.parse_args()
    found = measure(SMALL) if given.small else measure(SIZES, list(times()))
    if given.write:
        write_json(tables.FOLDER / "growth.json", found)
    print(tables.growth(found))


if __name__ == "__main__":
    main()
