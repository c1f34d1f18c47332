"""Executors: a failure is an answer, processes are alone on their GPU, Ctrl-C ends all of them."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from distributed import LocalCluster

from hkt_lite.config import PROJECT, HKTError
from hkt_lite.runs import executors
from hkt_lite.runs.claim import Busy
from tests.helpers import TINY, child_environment, tiny


@pytest.mark.parametrize(
    "error, answer",
    [
        (HKTError("No such thing."), executors.Answer(None, "No such thing.")),
        (Busy("Another has it."), executors.Answer(None, "Another has it.", busy=True)),
        (RuntimeError("a\nb"), executors.Answer(None, "RuntimeError: a b")),
    ],
)
def test_whatever_goes_wrong_in_a_run_is_an_answer(error, answer, monkeypatch):
    def fail(*given, **options):
        raise error

    monkeypatch.setattr(executors, "run", fail)
    jobs = [executors.Job(tiny("plain")), executors.Job(tiny("kd"))]
    assert list(executors.here(jobs, lambda *said: None)) == [(0, answer), (1, answer)]


def test_gpus_are_dealt_out_in_turn(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-5")
    assert executors.cards(3) == ["2", "GPU-5", "2"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(executors.torch.cuda, "device_count", lambda: 0)
    assert executors.cards(2) == ["", ""]


def test_a_process_that_dies_each_time_is_an_answer(monkeypatch):
    """Its settings cannot be unpickled there: the child ends before it can answer."""
    monkeypatch.setattr(executors, "_settings", lambda: Bomb())
    (answer,) = executors.processes(1, [executors.Job(tiny("plain"))], lambda *said: None)
    assert answer == (0, executors.Answer(None, "its process ended with exit code 1, 3 times"))


def test_news_that_cannot_be_told_are_no_death_of_the_process_that_sent_them():
    def tell(*said):
        raise BrokenPipeError("whoever read the progress has gone")

    receiver, sender = multiprocessing.Pipe(duplex=False)
    sender.send((0.5, {}))
    with pytest.raises(BrokenPipeError, match="progress"):
        executors._heard(receiver, tell)


class Bomb:
    def __reduce__(self):
        return (os._exit, (1,))


def test_a_worker_that_would_mix_random_states_is_refused():
    kind = {"n_workers": 1, "processes": False, "dashboard_address": None}
    with LocalCluster(threads_per_worker=2, **kind) as cluster:
        with pytest.raises(HKTError, match="would make 2 runs in one process.*--nthreads 1"):
            list(executors.dask(cluster.scheduler_address, [], lambda *said: None))


def test_a_run_with_a_stated_memory_goes_to_a_worker_that_declares_it():
    job = executors.Job(tiny("kd", parent="resnet20", parent_weights="run:0000"), gpu_gib=8)
    kind = {"processes": False, "dashboard_address": None, "threads_per_worker": 1}
    with LocalCluster(n_workers=1, **kind) as cluster:
        with pytest.raises(HKTError, match="--resources gpu_gib=8"):
            list(executors.dask(cluster.scheduler_address, [job], lambda *said: None))
    with LocalCluster(n_workers=1, resources={"gpu_gib": 8}, **kind) as cluster:
        found = list(executors.dask(cluster.scheduler_address, [job], lambda *said: None))
    ((number, answer),) = found
    assert number == 0 and "Run 0000 has no weights" in answer.reason


def test_no_scheduler_is_one_sentence():
    for address in ("tcp://127.0.0.1:9", "no address", "nosuch://127.0.0.1:1"):
        with pytest.raises(HKTError, match="No Dask scheduler answers at"):
            list(executors.dask(address, [], lambda *said: None))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT reaches a process differently there")
def test_ctrl_c_ends_all_processes_and_the_grid_goes_on(tmp_path):
    file, store = tmp_path / "grid.yaml", tmp_path / "runs"
    base = json.dumps({**TINY, "epochs": 5000, "method": "plain", "source": "synthetic"})
    file.write_text(f"base: {base}\nruns: [{{seed: 0}}, {{seed: 1}}, {{seed: 2}}]\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "hkt_lite", "grid", str(file), "--jobs", "2"],
        env=child_environment(store),
        cwd=PROJECT,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.time() + 240
    while len(list(store.glob("*/state.safetensors"))) < 2 and time.time() < deadline:
        time.sleep(0.2)
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130 and "goes on from there" in said and "Traceback" not in said
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive and len(list(store.glob("*/state.safetensors"))) == 2
