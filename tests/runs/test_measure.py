"""What a run is said to have held in memory is what it held itself."""

import subprocess
import sys

import numpy as np
import pytest

from hkt_lite.config import PROJECT
from hkt_lite.runs.loop import run
from hkt_lite.runs.measure import forget_peak, peak_memory_mb
from tests.helpers import tiny

ASK = "from hkt_lite.runs.measure import peak_memory_mb; print(peak_memory_mb())"


@pytest.mark.skipif(peak_memory_mb() is None, reason="this system does not tell")
def test_the_peak_is_the_most_that_was_held_though_it_was_given_back():
    before = peak_memory_mb()
    held = np.ones(2**27)  # 1 GiB
    del held
    assert peak_memory_mb() >= max(before, 2**10)


@pytest.mark.skipif(sys.platform != "linux", reason="no other system forgets")
def test_a_run_is_not_charged_with_what_one_before_it_held_in_this_process(tmp_path, monkeypatch):
    held = np.ones(2**28)  # 2 GiB
    del held
    assert peak_memory_mb() >= 2**11
    monkeypatch.setenv("HKT_RUNS", str(tmp_path))
    assert 10 < run(tiny("plain")).record.cost.peak_memory_mb < 2**11
    forget_peak()
    assert peak_memory_mb() < 2**11


@pytest.mark.skipif(sys.platform != "linux", reason="getrusage is Linux's trap")
def test_a_run_is_not_charged_with_what_the_process_that_started_it_has_held():
    held = np.ones(2**28)  # 2 GiB: more than importing everything takes
    done = subprocess.run(
        [sys.executable, "-c", ASK], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert 10 < float(done.stdout) < held.nbytes / 2**20


def test_where_neither_proc_nor_resource_is_there_nobody_tells(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows
    monkeypatch.setattr("hkt_lite.runs.measure.Path.read_text", lambda *a, **k: "")
    assert peak_memory_mb() is None
