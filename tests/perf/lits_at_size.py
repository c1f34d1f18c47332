"""LiTS at its real size: a generated look-alike, its slice cache interrupted and resumed, one epoch.

    python -m tests.perf.lits_at_size              # 131 volumes, three of 512 x 512 x 600; minutes

Each step runs in a process of its own, so that its peak memory is its own; where the system does
not tell it (Windows), only seconds are measured.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from hkt_lite.benchmarks import get, resolve
from hkt_lite.benchmarks.lits import data as reader
from hkt_lite.config import PROJECT, Config
from hkt_lite.runs.measure import peak_memory_mb
from tests import writers

SETTING = {
    "task": "lits",
    "method": "plain",
    "scale": "paper",
    "source": "real",
    "epochs": 1,
    "batch_size": 8,
    "device": "cpu",
    "threads": 1,
}
KILLED = 9


def measure(
    volumes: int = 131, large: int = 3, size: int = 128, slices: int = 60, examples: int = 160
) -> dict[str, float]:
    """What was measured, by name: megabytes, seconds and, of each step, peak memory (MB).

    `large` volumes are 512 x 512 x 600, the others `size` x `size` x `slices`.
    """
    with tempfile.TemporaryDirectory(prefix="hkt-lits-") as folder:
        home = Path(folder)
        began = time.perf_counter()
        writers.lookalike(home / "LiTS", range(volumes), large, size, slices)
        found = {
            "volumes": volumes,
            "large": large,
            "made in s": time.perf_counter() - began,
            "official MB": _megabytes(home / "LiTS"),
        }
        # killed behind the first volume, so that large ones are left for what is measured
        _step(home, "interrupt", 1, returns=KILLED)
        cache = home / "runs" / "slices"
        found["interrupted after"] = sum(not path.name.startswith(".") for path in cache.iterdir())
        for name in ("build", "batches", "epoch"):
            measured = json.loads(_step(home, name, examples).splitlines()[-1])
            found |= {f"{name}, {key}": value for key, value in measured.items()}
        found["cache MB"] = _megabytes(cache)
    return found


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def _step(home: Path, name: str, number: int, returns: int = 0) -> str:
    """What the step printed."""
    environment = {**os.environ, "HKT_DATA": str(home), "HKT_RUNS": str(home / "runs")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.perf.lits_at_size", name, str(number)],
        cwd=PROJECT,
        env={**environment, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if done.returncode != returns:
        raise RuntimeError(f"Step {name!r} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def _worker(name: str, number: int) -> None:
    """One step, in a process of its own; the last line it prints is what it measured."""
    import torch

    if name == "interrupt":
        _die_behind(number)
    config = resolve(Config(**SETTING, train_size=max(number, SETTING["batch_size"])))
    began = time.perf_counter()
    task = get("lits")(config).load()
    batches = (task.batch(i, 0) for i in torch.arange(task.train_size).split(config.batch_size))
    if name == "batches":
        for _ in batches:
            pass
    if name == "epoch":
        child = task.child().train()
        for batch in batches:
            task.loss(task.predict(child, batch), batch).backward()
    measured = {"s": round(time.perf_counter() - began, 1)}
    peak = peak_memory_mb()
    if peak is not None:
        measured["peak MB"] = round(peak * 2**20 / 1e6)
    print(json.dumps(measured))


def _die_behind(number: int) -> None:
    """Let the process end, nothing tidied up, when it begins to build one volume more."""
    build, built = reader.build, []

    def some(*arguments):
        if len(built) == number:
            os._exit(KILLED)
        build(*arguments)
        built.append(arguments)

    reader.build = some


if __name__ == "__main__":
    if len(sys.argv) == 3:
        _worker(sys.argv[1], int(sys.argv[2]))
    else:
        for key, value in measure().items():
            print(f"{key:<22}{value:10.1f}")
