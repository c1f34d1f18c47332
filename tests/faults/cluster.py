"""One grid through one process, local processes and a real Dask cluster, some of which are killed.

    python -m tests.faults.cluster 2           # so many workers are killed, then the scheduler

Prints how many were killed and what came of the runs, compared byte for byte up to provenance and
timing with those of one undisturbed process.
"""

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from multiprocessing import forkserver
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import psutil

from hkt_lite.runs import executors, golden, grid
from hkt_lite.runs.records import load
from tests.faults import toybench


class Cluster:
    """A scheduler and two workers on loopback, whose runs go into the store `home`."""

    def __init__(self, root: Path, home: Path, seconds: float = 0.05):
        self.file = root / f"scheduler-{time.time_ns()}.json"
        environment = {
            **os.environ,
            "HKT_RUNS": str(home),
            "TOY_SECONDS": str(seconds),
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "50",
        }
        where = ["--scheduler-file", str(self.file)]
        local = ["--host", "127.0.0.1"]
        self.scheduler = self._start(
            ["scheduler", *where, *local, "--port", "0", "--no-dashboard"], environment
        )
        words = ["--nworkers", "2", "--nthreads", "1", "--no-dashboard", "--local-directory"]
        preload = ["--preload", "tests.faults.toybench"]
        self.workers = self._start(
            ["worker", *where, *local, *words, str(root / "dask"), *preload], environment
        )
        deadline = time.monotonic() + 120
        while not self.file.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        self.address = json.loads(self.file.read_text())["address"]

    def _start(self, words: list[str], environment: dict) -> subprocess.Popen:
        command = [sys.executable, "-m", "dask", *words]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(command, env=environment, start_new_session=True, **quiet)

    def kill_a_worker(self) -> None:
        from distributed import Client

        with Client(self.address, timeout=60) as client:
            client.wait_for_workers(1, timeout=120)
            pids = list(client.run(os.getpid, on_error="ignore").values())
            os.kill(random.choice(pids), signal.SIGKILL)

    def stop(self) -> None:
        for process in (self.workers, self.scheduler):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def said(home: Path) -> dict[str, str]:
    """Run -> its record without provenance and timing, as JSON."""
    found = {}
    for path in sorted(home.glob("*/record.json")):
        value = json.loads(load(path).model_dump_json(exclude={"provenance"}))
        for name in ("seconds", "parent_seconds", "peak_memory_mb"):
            del value["cost"][name]
        for epoch in value["epochs"]:
            del epoch["seconds"]
        found[value["id"]] = json.dumps(value)
    return found


def main(kills: int = 2) -> int:
    golden._git = lambda *words: ""
    multiprocessing.get_context("forkserver").set_forkserver_preload(
        ["tests.faults.toybench", "hkt_lite.runs.executors"]
    )
    with tempfile.TemporaryDirectory(prefix="cluster-") as folder:
        root = Path(folder)
        os.environ["TOY_PARENT"] = str(root / "parent.safetensors")
        toybench.write_parent(root / "parent.safetensors")
        os.environ["TOY_SECONDS"] = "0.05"  # of those that the local processes are forked from
        forkserver.ensure_running()
        del os.environ["TOY_SECONDS"]
        configs = [
            toybench.config(method, seed=seed, epochs=6 + 3 * kills)
            for seed in (0, 1)
            for method in ("plain", "kd", "hkt")
        ]
        report = {
            "workers killed": 0,
            "processes killed": 0,
            "schedulers killed": 0,
            "runs lost": 0,
            "different": [],
        }

        def swept(name: str, executor) -> list:
            os.environ["HKT_RUNS"] = str(root / name)
            began = time.monotonic()
            answers = grid.sweep(configs, "score", executor)
            print(f"{name}: {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
            return answers

        def compare(name: str, answers: list) -> None:
            lost = [answer.reason for answer in answers if not answer.record]
            report["runs lost"] += len(lost)
            if lost or said(root / name) != said(root / "one"):
                report["different"].append([name, *lost])

        sys.stdout, out = sys.stderr, sys.stdout
        compare("one", swept("one", executors.here))
        killing = threading.Thread(target=kill_a_process, args=(report,))
        killing.start()
        compare("two", swept("two", partial(executors.processes, 2)))
        killing.join()
        cluster = Cluster(root, root / "dask")
        try:
            killing = threading.Thread(target=kill_some, args=(cluster, kills, report))
            killing.start()
            compare("dask", swept("dask", partial(executors.dask, cluster.address)))
            killing.join()
        finally:
            cluster.stop()
        cluster = Cluster(root, root / "again", seconds=0.2)
        threading.Timer(8, lambda: os.killpg(cluster.scheduler.pid, signal.SIGKILL)).start()
        answers = swept("again", partial(executors.dask, cluster.address))
        report["schedulers killed"] += any(not answer.record for answer in answers)
        report["said of the rest"] = sorted({one.reason for one in answers if not one.record})
        cluster.stop()
        cluster = Cluster(root, root / "again")
        try:
            compare("again", swept("again", partial(executors.dask, cluster.address)))
        finally:
            cluster.stop()
    print(json.dumps(report, indent=1), file=out)
    return int(bool(report["different"]))


def kill_a_process(report: dict) -> None:
    """One of those that make runs, as soon as there is one, in the middle of its run."""
    server = psutil.Process(forkserver._forkserver._forkserver_pid)
    while not server.children():
        time.sleep(0.05)
    time.sleep(random.uniform(0, 1))
    for victim in server.children()[:1]:
        victim.kill()
        report["processes killed"] += 1


def kill_some(cluster: Cluster, kills: int, report: dict) -> None:
    for _ in range(kills):
        time.sleep(random.uniform(1, 3))
        cluster.kill_a_worker()
        report["workers killed"] += 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
