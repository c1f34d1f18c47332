"""What several tests need: a run of seconds on the embedded images."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hkt_lite.benchmarks import resolve
from hkt_lite.config import PROJECT, Config
from hkt_lite.runs import loop

TINY = {"scale": "smoke", "train_size": 128, "epochs": 2, "batch_size": 32}


PARTS = (  # of every page that computes something
    ":class: hkt-question",
    "**You need:**",
    "## What we saw",
    "## Check yourself",
    "## Next",
    "*Doubt.*",
)


def tiny(method: str = "hkt", **fields) -> Config:
    """Four steps an epoch, two epochs: seconds."""
    return resolve(Config(method=method, **{**TINY, **fields}))


def python(code: str, store: Path, **environment: str) -> subprocess.CompletedProcess:
    """`code` in a process of its own with its own run store."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env=child_environment(store, **environment),
        capture_output=True,
        text=True,
        timeout=300,
        cwd=PROJECT,
    )


def child_environment(store: Path, **changes: str) -> dict[str, str]:
    return {
        **os.environ,
        "HKT_RUNS": str(store),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(PROJECT),
        **changes,
    }


def run(config, purpose="score", **options):
    """The record of a run; `loop.run` also returns the child and the method."""
    return loop.run(config, purpose, **options).record


def recorded(method: str, tmp_path_factory) -> Iterator:
    """For a fixture: the record of a tiny run, whose store is in use until the fixture ends."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HKT_RUNS", str(tmp_path_factory.mktemp("runs")))
        yield run(tiny(method))
