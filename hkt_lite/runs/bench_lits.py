"""LiTS at its real size: a generated look-alike, its slice cache built, interrupted and resumed, one epoch.   hkt bench lits

Each step runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ..config import Config, HKTError

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


class Measured(dict):
    """What was measured, by its name; shown and handed over as a `bench.Bench` is."""

    def to_json(self) -> str:
        return json.dumps(self, indent=2)

    def __str__(self) -> str:
        return "\n".join(f"{key:<22}{value:10.1f}" for key, value in self.items())


def lits(
    volumes: int = 131, large: int = 3, size: int = 128, slices: int = 60, examples: int = 160
) -> Measured:
    """{'volumes', 'official MB', 'cache MB', 'interrupted after', seconds and peak memory (MB) of: build, load and one epoch's batches, that epoch trained}.

    `large` volumes are 512 x 512 x 600, the others `size` x `size` x `slices`.  Raises HKTError when a step fails.
    """
    from ..benchmarks.lits import synthetic as phantom

    with tempfile.TemporaryDirectory(prefix="hkt-lits-") as folder:
        home = Path(folder)
        began = time.perf_counter()
        phantom.lookalike(home / "LiTS", range(volumes), large, size, slices)
        found = {
            "volumes": volumes,
            "large": large,
            "made in s": time.perf_counter() - began,
            "official MB": _megabytes(home / "LiTS"),
        }
        found["interrupted after"] = _step(home, "interrupt", "1")[
            "built"
        ]  # so that large volumes are left for what is measured
        for step in ("build", "batches", "epoch"):
            found |= {
                f"{step}, {key}": value for key, value in _step(home, step, str(examples)).items()
            }
        found["cache MB"] = _megabytes(home / "cache")
    return Measured(found)


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def _step(home: Path, name: str, number: str) -> dict:
    environment = {
        **os.environ,
        "HKT_DATA": str(home),
        "HKT_RUNS": str(home / "runs"),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(
            [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
        ),
    }
    code = f"from hkt_lite.runs.bench_lits import _worker; _worker({name!r}, {number})"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    if done.returncode != (-signal.SIGKILL if name == "interrupt" else 0):
        raise HKTError(
            f"Step {name!r} of the benchmark ended with {done.returncode}: {(done.stderr.strip().splitlines() or ['no word'])[-1]}"
        )
    if name == "interrupt":
        return {
            "built": sum(1 for path in (home / "cache").iterdir() if not path.name.startswith("."))
        }
    return json.loads(done.stdout.strip().splitlines()[-1])


def _worker(name: str, number: int) -> None:
    """One step, in a process of its own; the last line it prints is what it measured."""
    import torch

    from ..benchmarks import get, resolve
    from ..benchmarks.lits import data as reader

    reader.cache_home = lambda: Path(os.environ["HKT_DATA"]) / "cache"
    config = resolve(Config(**SETTING, train_size=number if name != "interrupt" else 8))
    if name == "interrupt":
        build, built = reader.build, []

        def some(*parts):
            if len(built) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            built.append(build(*parts))
            return built[-1]

        reader.build = some
    began = time.perf_counter()
    task = get("lits")(config).load()
    if name == "batches":
        for index in torch.arange(task.train_size).split(config.batch_size):
            task.batch(index, 0)
    if name == "epoch":
        method = task.child().train()
        for index in torch.arange(task.train_size).split(config.batch_size):
            batch = task.batch(index, 0)
            task.loss(task.predict(method, batch), batch).backward()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )
    print(json.dumps({"s": round(time.perf_counter() - began, 1), "peak MB": round(peak / 1e6)}))
