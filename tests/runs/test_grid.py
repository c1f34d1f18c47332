"""Grids: expanded as written, resumable, one failure does not stop the others."""

import pytest
import yaml

from hkt_lite.config import PROJECT, HKTError
from hkt_lite.runs import grid
from hkt_lite.runs.executors import Answer
from hkt_lite.runs.loop import run as train
from tests.helpers import TINY, tiny

BASE = "{" + ", ".join(f"{key}: {value}" for key, value in TINY.items()) + "}"


def written(tmp_path, text):
    (path := tmp_path / "grid.yaml").write_text(text)
    return path


def test_each_expands_and_repetitions_vanish(tmp_path):
    configs, purpose = grid.read(
        written(
            tmp_path,
            f"base: {BASE}\npurpose: tuning\nruns:\n"
            "- {method: plain, lr: {each: [0.1, 0.2]}, seed: {each: [0, 1]}}\n- {method: plain, lr: 0.1}\n",
        )
    )
    assert purpose == "tuning" and [(c.lr, c.seed) for c in configs] == [
        (0.1, 0),
        (0.1, 1),
        (0.2, 0),
        (0.2, 1),
    ]


@pytest.mark.parametrize(
    "text, words",
    [
        ("runs: [", "not valid YAML"),
        ("base: {}", "needs a list `runs`"),
        ("runs: []\nbsae: {}", "'bsae'. Did you mean 'base'"),
        ("runs:\n- {metod: plain}", "Run 1 of grid file"),
        ("runs:\n- {metod: plain}", "'method'"),
    ],
)
def test_a_wrong_grid_is_one_sentence(tmp_path, text, words):
    with pytest.raises(HKTError) as error:
        grid.read(written(tmp_path, text))
    assert words in str(error.value)


@pytest.mark.parametrize("seeds", [["[0, 1]", "[2, 3]"], ["[0, 1, 2, 3]"]])
def test_the_limit_is_of_the_whole_grid(tmp_path, monkeypatch, seeds):
    runs = "".join(f"- {{method: plain, seed: {{each: {some}}}}}\n" for some in seeds)
    path = written(tmp_path, f"base: {BASE}\nruns:\n{runs}")
    monkeypatch.setattr(grid, "MOST", 4)
    assert len(grid.read(path)[0]) == 4
    monkeypatch.setattr(grid, "MOST", 3)
    with pytest.raises(HKTError, match=f"Run {len(seeds)} of grid file .* stands for more than"):
        grid.read(path)


def test_a_sweep_skips_finished_runs_and_reports_failures(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HKT_RUNS", str(tmp_path / "runs"))
    good, bad = (
        tiny("plain", epochs=1),
        tiny("kd", epochs=1, parent="resnet20", parent_weights="run:0000"),
    )
    failed, made = grid.sweep([bad, good])
    assert "Run 0000 has no weights" in failed.reason and failed.record is None
    assert train(good).record == made.record
    (again,) = grid.sweep([good])
    assert again == made
    said = capsys.readouterr().out
    assert f"{good.id} plain weight=1.0 lr=" in said and "failed: Run 0000 has no weights" in said
    assert f"best so far: val accuracy {made.record.selected.val['accuracy']:.4g}" in said


def test_the_committed_grids_can_be_read():
    paths = sorted((PROJECT / "data" / "grids").glob("*.yaml"))
    assert paths
    for path in paths:
        configs, purpose = grid.read(path)
        assert configs and purpose in ("score", "tuning", "control", "parent", "audit")
        swapped = {config.images == "swap" for config in configs}
        assert swapped == {purpose == "audit"}, path.name  # learns from test images: no score


@pytest.mark.parametrize(
    "task, tuning, scores",
    [
        ("cifar10", "cifar10-cpu-tuning", "cifar10-cpu"),
        ("flow", "flow-tuning", "flow-synthetic"),
        ("flow-leaves", "flow-leaves-tuning", "flow-leaves"),
        ("lits", "lits-few-tuning", "lits-few"),
    ],
)
def test_grids_keep_the_protocol(task, tuning, scores):
    protocol = yaml.safe_load((PROJECT / "data" / "protocol.yaml").read_text())[task]
    tried, purpose = grid.read(PROJECT / "data" / "grids" / f"{tuning}.yaml")
    assert purpose == "tuning" and {one.seed for one in tried} == {protocol["tuning_seed"]}
    assert sorted({one.lr for one in tried}) == protocol["tuned"]["lr"]
    scored, purpose = grid.read(PROJECT / "data" / "grids" / f"{scores}.yaml")
    assert purpose == "score" and sorted({one.seed for one in scored}) == protocol["seeds"]
    assert protocol["tuning_seed"] not in protocol["seeds"]
    named = [
        {(one.method, str(one.options), one.sites) for one in each} for each in (tried, scored)
    ]
    assert named[1] <= named[0] and {one.lr for one in scored} <= {one.lr for one in tried}


def test_the_larger_comparison_takes_methods_and_rates_from_the_smaller_one():
    protocol = yaml.safe_load((PROJECT / "data" / "protocol.yaml").read_text())["cifar10-full"]
    grids = {name: [] for name in ("cifar10-full", "cifar10-cpu", "cifar10-cpu-controls")}
    for name, found in grids.items():
        found += grid.read(PROJECT / "data" / "grids" / f"{name}.yaml")[0]
    large, *small = grids.values()
    assert sorted({one.seed for one in large}) == protocol["seeds"]
    named = [
        {(one.method, str(one.options), one.lr) for one in part} for part in (large, sum(small, []))
    ]
    assert named[0] < named[1]


@pytest.mark.parametrize("name", ["cifar10-cpu-tuning", "flow-leaves-tuning", "lits-few-tuning"])
def test_every_method_is_tuned_with_equal_effort(name):
    configs, _ = grid.read(PROJECT / "data" / "grids" / f"{name}.yaml")
    effort = {}
    for config in configs:
        effort.setdefault((config.method, str(config.options)), set()).add(
            (config.lr, config.seed, config.epochs, config.train_size)
        )
    assert len(effort) >= 4 and len({frozenset(tried) for tried in effort.values()}) == 1


def test_a_run_that_another_process_makes_comes_last_so_that_two_grids_share_the_work():
    """An executor is a function: this one finds the first run taken."""
    configs = [tiny("plain", seed=seed) for seed in range(3)]
    asked = []

    def executor(jobs, tell):
        asked.append([(job.config.seed, job.wait) for job in jobs])
        for number, job in enumerate(jobs):
            taken = job.config.seed == 0 and not job.wait
            yield number, Answer(None, "by another" if taken else f"{job.config.seed}", taken)

    answers = grid.sweep(configs, "score", executor)
    assert asked == [[(0, False), (1, False), (2, False)], [(0, True)]]
    assert [answer.reason for answer in answers] == ["0", "1", "2"]


def test_a_record_of_other_code_is_no_answer(tmp_path, monkeypatch):
    monkeypatch.setenv("HKT_RUNS", str(tmp_path))
    other = train(tiny("plain", epochs=1, seed=3)).record

    def executor(jobs, tell):
        yield 0, Answer(other)

    (answer,) = grid.sweep([tiny("plain", epochs=1)], "score", executor)
    assert answer.record is None and other.id in answer.reason


def test_what_is_left_is_reckoned_from_what_was_done_since_the_start(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(grid.time, "monotonic", lambda: now[0])
    watch = grid.Watch([tiny("plain", seed=seed) for seed in range(4)])
    watch.tell(0, 0.5, {})  # from a checkpoint of yesterday
    watch.ended(3, Answer(None, "no"))  # at once
    now[0] += 600
    watch.tell(0, 0.75, {})
    watch.tell(1, 0.0, {})
    watch.tell(3, 0.9, {})  # late news
    assert watch.summary() == "1 of 4 done, 2 running, about 90 min left"


def test_the_form_that_the_book_shows_is_a_grid(tmp_path):
    page = (PROJECT / "book" / "full_grid.md").read_text(encoding="utf-8")
    configs, purpose = grid.read(written(tmp_path, page.split("```yaml\n")[1].split("```")[0]))
    assert purpose == "control" and "# six runs" in page
    assert [c.method for c in configs] == ["plain"] * 3 + ["hkt"] * 6
