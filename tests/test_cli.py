"""The command as a user meets it: in a process of its own."""

import json
import signal
import subprocess
import sys
import time

import pytest

from hkt_lite.config import PROJECT
from tests import writers
from tests.helpers import TINY, child_environment

SETTINGS = [
    word for key, value in TINY.items() if key != "scale" for word in ("-s", f"{key}={value}")
]


def hkt(*words, store, **environment):
    return subprocess.run(
        [sys.executable, "-m", "hkt_lite", *words],
        env=child_environment(store, **environment),
        capture_output=True,
        text=True,
        timeout=300,
        cwd=PROJECT,
    )


def test_help_needs_no_torch(tmp_path):
    code = "import sys; sys.argv = ['hkt', '--help']\ntry:\n    import hkt_lite.cli; hkt_lite.cli.main()\nfinally:\n    assert 'torch' not in sys.modules"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=child_environment(tmp_path),
        capture_output=True,
        text=True,
        cwd=PROJECT,
        timeout=120,
    )
    assert ended.returncode == 0 and "reproduce" in ended.stdout, ended.stderr


@pytest.mark.parametrize(
    "words, named",
    [
        (["run", "cifar10", "htk"], "Did you mean 'hkt'"),
        (["run", "cifar01", "hkt"], "Did you mean 'cifar10'"),
        (["run", "cifar10", "hkt", "-o", "lamb=0.3"], "Did you mean 'lam'"),
        (["run", "cifar10", "hkt", "-s", "epoch=3"], "Did you mean 'epochs'"),
        (["run", "cifar10", "hkt", "-s", "epochs"], "'epochs' is not KEY=VALUE"),
        (["run", "cifar10", "hkt", "--sede", "1"], "--sede"),
        (["run", "cifar10", "hkt", "--seed", "x"], "'--seed'"),
        (["run", "cifar10", "hkt", "--scale", "huge"], "'huge'"),
        (["run", "lits", "hkt", "--source", "real"], "-s parent_weights=committed, public"),
        (["pages", "10_cifar10", "--scale", "huge"], "no scale 'huge'"),
        (["runs", "show", "ffff"], "beginning with 'ffff'"),
        (["grid", "nowhere.yaml"], "nowhere.yaml cannot be read"),
        (["bench", "cifar01"], "Did you mean 'cifar10'"),
        (["eval", "cifar10", "nowhere.pth"], "nowhere.pth"),
        (["eval", "flow", "8c70a149"], "`hkt reproduce 8c70a1494141` makes them"),
        (
            ["eval", "kitti", "c693b86bd16f"],
            "c693b86bd16f is a run of cifar10; name a run of kitti",
        ),
        (["eval", "cifar10", "ffff"], "beginning with 'ffff'"),
        (["run", "cifar10", "hkt", "-s", "task=flow"], "-s task=… is said by the command's own"),
        (["runs", "export", "results.xlsx"], "results.xlsx should end in .csv or .json"),
        (["claims", "--write", "nowhere.md"], "nowhere.md has no place for the verdicts"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(words, named, tmp_path):
    ended = hkt(*words, store=tmp_path)
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert (
        named in ended.stderr
        and "Traceback" not in ended.stderr
        and len(ended.stderr.strip().splitlines()) == 1
    )
    assert not list(tmp_path.rglob("*.json"))


def test_run_show_list_and_diff(tmp_path):
    made = [
        hkt(
            "run",
            "cifar10",
            "plain",
            "--scale",
            "smoke",
            *SETTINGS,
            "--seed",
            seed,
            "--json",
            store=tmp_path,
        )
        for seed in "01"
    ]
    first, second = (json.loads(ended.stdout) for ended in made)
    assert "epoch 1" in made[0].stderr and first["id"] != second["id"]
    assert json.loads(hkt("runs", "show", first["id"][:6], store=tmp_path).stdout) == first
    assert first["id"] in hkt("runs", "list", store=tmp_path).stdout
    assert (
        "config.seed: 0 | 1"
        in hkt("runs", "diff", first["id"], second["id"], store=tmp_path).stdout
    )


def test_dry_run_trains_nothing(tmp_path):
    ended = hkt("run", "cifar10", "hkt", "--scale", "smoke", "--dry-run", store=tmp_path)
    plan = json.loads(ended.stdout)
    assert (
        plan["config"]["child"] == "resnet8"
        and plan["seconds"] >= 0
        and plan["disk_mb"] > 0
        and not list(tmp_path.iterdir())
    )


def test_a_dry_run_without_the_data_tells_what_is_known(tmp_path):
    """The configuration, with numbers as people write them; a grid lists all its runs."""
    words = ("run", "cifar10", "plain", "--scale", "cpu", "--source", "real", "-s", "lr=3e-1")
    ended = hkt(*words, "--dry-run", store=tmp_path / "runs", HKT_DATA=str(tmp_path))
    plan = json.loads(ended.stdout)
    assert plan["config"]["lr"] == 0.3 and plan["seconds"] is None
    assert "CIFAR-10 is not complete" in plan["unknown"]
    base = "base: {task: cifar10, scale: cpu, source: real, method: plain, seed: {each: [0, 1]}}"
    (tmp_path / "grid.yaml").write_text(f"{base}\nruns: [{{lr: 1e-1}}, {{lr: +3.E-2}}]\n")
    words = ("grid", str(tmp_path / "grid.yaml"), "--dry-run")
    ended = hkt(*words, store=tmp_path / "runs", HKT_DATA=str(tmp_path))
    *rows, total = ended.stdout.splitlines()
    assert [row.split("lr=")[1].split()[0] for row in rows] == ["0.1", "0.1", "0.03", "0.03"]
    assert json.loads(total)["runs"] == 4 and "not complete" in json.loads(total)["unknown"]


def test_the_dry_run_of_a_grid_is_of_all_its_runs(tmp_path):
    base = "base: {task: cifar10, scale: smoke, source: synthetic, seed: {each: [0, 1, 2]}}"
    (tmp_path / "grid.yaml").write_text(f"{base}\nruns: [{{method: plain}}, {{method: kd}}]\n")
    ended = hkt("grid", str(tmp_path / "grid.yaml"), "--dry-run", store=tmp_path / "runs")
    *rows, total = ended.stdout.splitlines()
    plan = json.loads(total)
    assert len(rows) == plan["runs"] == 6
    one = json.loads(
        hkt("run", "cifar10", "plain", "--scale", "smoke", "--dry-run", store=tmp_path).stdout
    )
    assert plan["disk_mb"] >= 6 * one["disk_mb"]


def _interruptible():
    """A suite started in the background ignores SIGINT, and hands that on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.skipif(
    sys.platform == "win32", reason="SIGINT reaches a child process differently there"
)
def test_ctrl_c_says_that_it_can_go_on(tmp_path):
    words = [
        "run",
        "cifar10",
        "plain",
        "--scale",
        "smoke",
        "-s",
        "epochs=2000",
        "-s",
        "train_size=128",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "hkt_lite", *words],
        env=child_environment(tmp_path),
        preexec_fn=_interruptible,
        stderr=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
    )
    deadline = time.time() + 120
    while not list(tmp_path.rglob("state.safetensors")) and time.time() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "goes on from there" in said and "Traceback" not in said
    assert list(tmp_path.rglob("state.safetensors")) and not list(tmp_path.rglob("record.json"))


def test_check_tells_a_script_that_something_is_wrong(tmp_path):
    results = tmp_path / "results"
    results.mkdir()
    (results / "run-000000000000.json").write_text("{}")
    (results / "MANIFEST.json").write_text("{}")
    ended = hkt("check", store=tmp_path, HKT_RESULTS=str(results))
    assert ended.returncode == 1 and "run-000000000000.json" in ended.stdout
    built = list((PROJECT / "book" / "_generated").glob("*.ipynb"))
    assert ("No page was looked at" in ended.stdout) == (not built)


def test_a_flow_child_from_run_to_evaluation_and_files(tmp_path):
    """By the benchmark's name, on embedded scenes; then evaluated and handed in on the same in Sintel's layout."""
    import shutil

    data = {"HKT_DATA": str(tmp_path / "data")}
    folder = writers.write_sintel(tmp_path / "data", scenes=1, frames=3, size=(66, 74))
    shutil.copytree(
        folder / "training",
        folder / "test",
        ignore=shutil.ignore_patterns("flow", "occlusions", "invalid"),
    )
    made = hkt("run", "kitti", "plain", "--scale", "smoke", "--json", store=tmp_path, **data)
    assert made.returncode == 0, made.stderr
    run = json.loads(made.stdout)
    assert run["config"]["task"] == "flow"
    judged = hkt(
        "eval", "sintel", run["id"], "--protocol", "sintel-clean", "--json", store=tmp_path, **data
    )
    assert judged.returncode == 0, judged.stderr
    record = json.loads(judged.stdout)
    assert (
        record["task"] == "flow"
        and record["checkpoint"] == f"run {run['id']}"
        and record["arch"] == "raft_tiny"
        and record["protocol"]["pairs"] == 2
    )
    handed = hkt(
        "submit", run["id"], "sintel-clean", str(tmp_path / "out"), "--warm", store=tmp_path, **data
    )
    assert handed.returncode == 0 and handed.stdout.startswith("2 flows in"), handed.stderr
    assert sorted(path.name for path in (tmp_path / "out" / "clean" / "moving_1").iterdir()) == [
        "frame_0001.flo",
        "frame_0002.flo",
    ]
    other = hkt("submit", run["id"], "chairs", str(tmp_path / "out2"), store=tmp_path, **data)
    assert other.returncode == 2 and "no server for flows of 'chairs'" in other.stderr
