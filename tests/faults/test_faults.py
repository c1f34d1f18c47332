"""Faults: no run is lost, no record corrupt.   pytest tests/faults -s; a thousand with `-m long`"""

import json
import os
import subprocess
import sys

import pytest

from hkt_lite.config import PROJECT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kill -9 and fork are not Windows'")


def report(module: str, *words) -> dict:
    """What a suite in a process of its own, which may be killed in parts, says in the end."""
    ended = subprocess.run(
        [sys.executable, "-m", f"tests.faults.{module}", *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        cwd=PROJECT,
        timeout=3 * 3600,
    )
    print(ended.stderr[-20_000:], ended.stdout, sep="\n")
    assert ended.stdout, ended.stderr[-5000:]
    return json.loads(ended.stdout)


def judged(found: dict, at_least: int) -> None:
    assert found["what"] == [], found
    assert found["runs lost"] == found["records corrupt"] == 0
    assert found["faults injected"] >= at_least, found["by kind"]


@pytest.mark.slow
def test_some_faults_of_every_kind():
    found = report("suite", 40)
    judged(found, 25)
    if not found["skipped"]:
        assert len(found["by kind"]) >= 18, found["by kind"]


@pytest.mark.slow
def test_one_grid_in_one_process_in_two_and_on_dask_is_the_same_bytes_though_workers_are_killed():
    found = report("cluster", 1)
    assert found["different"] == [] and found["runs lost"] == 0, found
    assert found["workers killed"] == found["processes killed"] == 1
    assert found["schedulers killed"] == 1
    assert all("scheduler" in reason for reason in found["said of the rest"])


@pytest.mark.long
def test_a_thousand_faults(request):
    if "long" not in request.config.getoption("-m"):
        pytest.skip("takes many minutes; `pytest -m long` asks for it")
    judged(report("suite", 1100), 1000)


@pytest.mark.long
def test_many_workers_of_a_cluster_are_killed(request):
    if "long" not in request.config.getoption("-m"):
        pytest.skip("takes many minutes; `pytest -m long` asks for it")
    found = report("cluster", 12)
    assert found["different"] == [] and found["runs lost"] == 0, found
    assert found["workers killed"] == 12
