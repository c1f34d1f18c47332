"""data/cluster: what the book tells users of SLURM and Kubernetes, read by the tools that will read it."""

import re
import shlex

import dask
import pytest
import typer
import yaml
from dask_jobqueue import SLURMCluster

from hkt_lite.cli import app
from hkt_lite.config import PROJECT
from hkt_lite.runs import grid

HOME = PROJECT / "data" / "cluster"
OPTIONS = {
    option: parameter
    for parameter in typer.main.get_command(app).commands["grid"].params
    for option in parameter.opts
}


def read(name: str) -> dict:
    return yaml.safe_load((HOME / name).read_text(encoding="utf-8"))


def runs_of(command: str) -> int:
    """How many runs the grid has whose command this is; its words must be those of `hkt grid`."""
    words = shlex.split(command)
    words = words[words.index("hkt") :]
    assert words[1] == "grid" and all(w in OPTIONS for w in words[3:] if w.startswith("--")), words
    configs, _ = grid.read(PROJECT / words[2])
    return len(configs)


def test_slurm_workers_have_one_thread_and_one_shared_store():
    with dask.config.set(dask.config.merge(dask.config.config, read("slurm.yaml"))):
        cluster = SLURMCluster(n_workers=0, scheduler_options={"dashboard_address": None})
        script = cluster.job_script()
        cluster.close()
    assert "--nthreads 1 " in script and "--nworkers" not in script
    assert "#SBATCH -t 04:00:00" in script and "#SBATCH --cpus-per-task=1" in script
    assert "export HKT_RUNS=/shared/hkt/runs" in script
    assert script.index("export HKT_RUNS") < script.index("distributed.cli.dask_worker")


def test_the_slurm_array_has_a_task_for_each_run():
    text = (HOME / "slurm-array.sh").read_text()
    first, last = map(int, re.search(r"--array=(\d+)-(\d+)", text).groups())
    assert (first, last + 1) == (0, runs_of(text.splitlines()[-1]))


def test_the_indexed_job_has_a_pod_for_each_run():
    job = read("kubernetes-job.yaml")
    assert job["kind"] == "Job" and job["spec"]["completionMode"] == "Indexed"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert job["spec"]["completions"] == runs_of(container["command"][-1])
    assert "$JOB_COMPLETION_INDEX" in container["command"][-1]


def test_the_dask_operator_gets_workers_with_one_thread_and_the_schedulers_port():
    spec = read("kubernetes.yaml")["spec"]
    (scheduler,) = spec["scheduler"]["spec"]["containers"]
    (worker,) = spec["worker"]["spec"]["containers"]
    dask_command = dask_words()
    for container in (scheduler, worker):
        name, kind, *words = container["args"]
        assert name == "dask"
        assert {word for word in words if word.startswith("--")} <= dask_command[kind]
    assert worker["args"][worker["args"].index("--nthreads") + 1] == "1"
    ports = [port["containerPort"] for port in scheduler["ports"]]
    assert ports == [port["port"] for port in spec["scheduler"]["service"]["ports"]] == [8786]


def dask_words() -> dict[str, set[str]]:
    """The options that `dask scheduler` and `dask worker` have."""
    from distributed.cli import dask_scheduler, dask_worker

    commands = {"scheduler": dask_scheduler.main, "worker": dask_worker.main}
    return {
        kind: {option for parameter in command.params for option in parameter.opts}
        for kind, command in commands.items()
    }


@pytest.mark.parametrize("name", ["kubernetes.yaml", "kubernetes-job.yaml"])
def test_pods_share_one_store_on_a_volume_that_is_mounted(name):
    spec = read(name)["spec"]
    pod = spec["worker"]["spec"] if "worker" in spec else spec["template"]["spec"]
    (container,) = pod["containers"]
    values = {one["name"]: one["value"] for one in container["env"]}
    (mounted,) = container["volumeMounts"]
    assert values["HKT_RUNS"].startswith(mounted["mountPath"])
    assert [volume["name"] for volume in pod["volumes"]] == [mounted["name"]]


def test_the_book_names_every_file():
    text = (PROJECT / "book" / "full_grid.md").read_text(encoding="utf-8")
    assert [path.name for path in HOME.iterdir() if f"data/cluster/{path.name}" not in text] == []
