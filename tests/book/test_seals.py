"""What no manifest shows: numbers that cannot be, under a manifest made anew; claims, splits and
parents that were changed after they were fixed."""

import json
import shutil

import pytest

from hkt_lite import config
from hkt_lite.book import check, seals
from hkt_lite.config import results_home
from hkt_lite.files import sha256, write_json
from hkt_lite.runs.store import MANIFEST


def listed(home) -> None:
    """A manifest that owns whatever lies there."""
    write_json(home / MANIFEST, {path.name: sha256(path) for path in sorted(home.glob("*-*.json"))})


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A copy of some published records under a manifest of their own."""
    home = tmp_path / "results"
    home.mkdir()
    for kind in ("run", "eval"):
        for path in sorted(results_home().glob(f"{kind}-*.json")):
            shutil.copy(path, home)
    listed(home)
    monkeypatch.setenv("HKT_RESULTS", str(home))
    return home


def first(home, task: str, which=lambda record: True):
    """(path, contents) of the first run of a task."""
    for path in sorted(home.glob("run-*.json")):
        value = json.loads(path.read_text(encoding="utf-8"))
        if value["config"]["task"] == task and which(value):
            return path, value
    raise AssertionError(f"there is no published run of {task}")


def said() -> list[str]:
    return [f"{problem.where}: {problem}" for problem in check.record_problems()]


def falsified(home, task: str, edit, which=lambda record: True) -> str:
    """The one sentence on a record changed by `edit` whose manifest was made to fit."""
    path, value = first(home, task, which)
    edit(value)
    value.pop("checksum", None)
    write_json(path, value)
    listed(home)
    found = said()
    assert found and all(path.name in one for one in found), found
    return found[0]


def test_the_published_records_can_be_true(results):
    assert said() == []


def test_an_accuracy_of_250_percent_is_named(results):
    def edit(record):
        record["selected"]["test"]["accuracy"] = 250.0

    def late(record):
        return record["selected"]["epoch"] != record["last"]["epoch"]

    words = falsified(results, "cifar10", edit, late)
    assert "has accuracy 250 (selected, test), which must lie in 0 … 100" in words


@pytest.mark.parametrize(
    "task, metric, value, span",
    [
        ("flow", "px3", 101.0, "lie in 0 … 100"),
        ("flow", "epe_matched", -0.5, "not be negative"),
        ("lits", "dice_lesion", 1.5, "lie in 0 … 1"),
    ],
)
def test_each_benchmark_has_limits(results, task, metric, value, span):
    def edit(record):
        record["epochs"][0]["val"][metric] = value

    def later(record):
        return record["selected"]["epoch"] > 1

    words = falsified(results, task, edit, later)
    assert f"has {metric} {value:g} (epoch 1), which must {span}" in words


def test_a_selected_result_that_is_not_its_epoch_s_is_named(results):
    def edit(record):
        record["selected"]["val"]["accuracy"] -= 1

    words = falsified(results, "cifar10", edit)
    assert "has in selected another validation result than in its epoch" in words


def test_the_epoch_that_looks_better_on_test_data_cannot_be_selected(results):
    def edit(record):
        chosen = record["epochs"][0]
        record["selected"] |= {"epoch": 1, "val": chosen["val"]}

    words = falsified(results, "cifar10", edit, lambda record: record["selected"]["epoch"] > 2)
    assert "has as selected epoch 1, but its curves say" in words


def test_one_epoch_has_one_test_result(results):
    def edit(record):
        record["selected"]["test"]["accuracy"] += 0.5

    def alike(record):
        return record["selected"]["epoch"] == record["last"]["epoch"]

    assert "has two test results of one epoch" in falsified(results, "cifar10", edit, alike)


@pytest.mark.parametrize("which", [slice(0, 1), slice(1, 3), slice(-1, None), slice(None)])
def test_removed_epochs_are_named(results, which):
    def edit(record):
        del record["epochs"][which]

    words = falsified(results, "lits", edit)
    assert "but its configuration trains" in words and "has the curves of epochs" in words


def test_answers_that_do_not_make_the_accuracy_are_named(results):
    def edit(record):
        record["selected"]["test"]["accuracy"] = record["last"]["test"]["accuracy"] = 75.0
        record["selected"]["right"] = record["last"]["right"] = "//8="  # 16 of 9 … 16

    words = falsified(results, "cifar10", edit)
    assert "has in selected 16 right answers of about 16, but an accuracy of 75 %" in words


def test_a_record_taken_out_is_missed_by_those_made_of_it(results):
    gone = next(
        json.loads(path.read_text(encoding="utf-8"))["checkpoint"].removeprefix("run ")
        for path in sorted(results.glob("eval-*.json"))
        if '"run ' in path.read_text(encoding="utf-8")
    )
    (results / f"run-{gone}.json").unlink()
    listed(results)
    found = said()
    assert found and all(f"speaks of the run {gone}, whose record is not there" in x for x in found)


def test_an_evaluation_of_another_child_than_its_run_left_is_a_problem(results):
    """As after a run was made again, with other bits, and its evaluations were not."""
    evaluated = set()
    for path in results.glob("eval-*.json"):
        checkpoint = json.loads(path.read_text(encoding="utf-8"))["checkpoint"]
        evaluated.add(checkpoint.removeprefix("run "))
    path, run = first(results, "flow", lambda run: run.get("weights") and run["id"] in evaluated)
    run["weights"]["child.safetensors"] = "0" * 64
    run.pop("checksum", None)
    write_json(path, run)
    listed(results)
    found = said()
    assert found and all("eval-" in one for one in found)
    assert all(f"rests on another child of the run {run['id']}" in one for one in found)


def test_a_deleted_results_folder_is_a_problem(results):
    shutil.rmtree(results)
    assert said() and f"There is no {results / MANIFEST}" in said()[0]


# -- what was fixed --------------------------------------------------------------------------------


@pytest.fixture
def fixed(tmp_path, monkeypatch):
    """A project with a copy of the committed claims, splits, parents and their digests."""
    data = tmp_path / "project" / "data"
    for name in ("splits", "parents"):
        shutil.copytree(config.PROJECT / "data" / name, data / name)
    for name in ("claims.yaml", "literature.yaml", seals.SEALS):
        shutil.copy(config.PROJECT / "data" / name, data)
    monkeypatch.setattr(config, "PROJECT", data.parent)
    return data


def of_data() -> list[str]:
    return [f"{problem.where}: {problem}" for problem in check.data_problems()]


def test_what_is_committed_is_what_was_fixed(fixed):
    assert of_data() == []


def test_an_altered_claim_is_named(fixed):
    path = fixed / "claims.yaml"
    text = path.read_text(encoding="utf-8")
    assert text.count("seeds: 3") > 1
    path.write_text(text.replace("seeds: 3", "seeds: 2", 1), encoding="utf-8")
    (words,) = of_data()
    assert "claims.yaml, C" in words and "is not what" in words and "erratum" in words


def test_a_claim_taken_out_is_named(fixed):
    kept = (fixed / "claims.yaml").read_text(encoding="utf-8").partition("- id: C8")[0]
    (fixed / "claims.yaml").write_text(kept, encoding="utf-8")
    (words,) = of_data()
    assert words.startswith("claims.yaml, C8: claims.yaml, C8 is gone")


def test_a_replaced_parent_is_named(fixed):
    one, other = sorted((fixed / "parents").iterdir())[:2]
    shutil.copy(one, other)
    (words,) = of_data()
    assert words.startswith(f"parents/{other.name}") and sha256(one) in words


def test_digests_that_were_deleted_are_missed(fixed):
    (fixed / seals.SEALS).unlink()
    (words,) = of_data()
    assert f"There is no list of digests {fixed / seals.SEALS}" in words


@pytest.mark.parametrize("name", ["cifar10", "lits", "liver_ct"])
def test_a_validation_split_inside_train_is_named(fixed, name):
    """Even by one who enters its new digest."""
    path = fixed / "splits" / f"{name}.json"
    split = json.loads(path.read_text(encoding="utf-8"))
    split["train"][0] = split["val"][0]
    write_json(path, split)
    write_json(fixed / seals.SEALS, seals.seals())
    (words,) = of_data()
    assert f"1 examples, such as {split['val'][0]}, are in 'train' and 'val'" in words


def test_an_example_named_twice_is_found(fixed):
    path = fixed / "splits" / "lits.json"
    split = json.loads(path.read_text(encoding="utf-8"))
    split["test"].append(split["test"][0])
    write_json(path, split)
    found = of_data()
    assert any("names an example of 'test' twice" in words for words in found)
    assert any("splits/lits.json is not what" in words for words in found)
