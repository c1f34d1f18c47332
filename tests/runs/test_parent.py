"""The parent's maps on disk: read by memory map, the bits of memory, whole or not there."""

import os
import resource
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from hkt_lite.benchmarks import get
from hkt_lite.config import HKTError
from hkt_lite.methods.parent import Cached
from hkt_lite.runs import measure
from hkt_lite.runs import parent as parents
from hkt_lite.runs.measure import estimate
from hkt_lite.runs.parent import build_parent
from hkt_lite.runs.store import Store
from tests.helpers import run, tiny

CONFIG = tiny("hkt", sites="layers", parent_source="cached", train_size=64)


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("HKT_RUNS", str(tmp_path))
    return Store(tmp_path)


@pytest.fixture(scope="module")
def task():
    return get("cifar10")(CONFIG).load()


def rows(store, task) -> dict:
    return build_parent(CONFIG, task, store).source.rows


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def filled(monkeypatch) -> list:
    calls, fill = [], Cached.fill
    monkeypatch.setattr(Cached, "fill", lambda *given: calls.append(1) or fill(*given))
    return calls


def test_maps_lie_on_disk_and_say_what_memory_would(store, task, monkeypatch):
    calls = filled(monkeypatch)
    first, again = rows(store, task), rows(store, task)
    assert len(calls) == 1
    memory = Cached(task.parent()[0], task.predict, task.sites)
    memory = memory.fill(task.cache_batches(), CONFIG.views * 64).rows
    assert list(memory) == ["", "layer1", "layer2", "layer3"] and memory["layer1"].ndim == 4
    assert same(first, memory) and same(again, memory)
    names = sorted(path.name for path in store.parents.iterdir())
    assert [name.split(".", 1)[1] for name in names if name.endswith(".half")] == [
        "layer1.half", "layer2.half", "layer3.half"]  # fmt: skip
    assert not [name for name in names if "part" in name]
    if Path("/proc/self/maps").exists():  # mapped, not read into memory
        mapped = Path("/proc/self/maps").read_text()
        assert all(name in mapped for name in names if name.endswith(".half"))


def test_a_run_with_cached_maps_is_the_same_from_a_new_cache_and_a_kept_one(store):
    made = run(CONFIG)
    (store.home / CONFIG.id / "record.json").unlink()
    again = run(CONFIG)
    assert made.epochs[-1].train == again.epochs[-1].train and made.selected == again.selected


@pytest.mark.parametrize("damage", ["flipped", "truncated", "gone"])
def test_damaged_maps_are_made_anew(store, task, monkeypatch, damage):
    before = {name: value.clone() for name, value in rows(store, task).items()}
    (path,) = store.parents.glob("*.layer2.half")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 64
    path.unlink()
    if damage != "gone":
        path.write_bytes(data if damage == "flipped" else data[:-2])
    calls = filled(monkeypatch)
    assert same(rows(store, task), before) and len(calls) == 1


def test_sites_do_not_share_a_cache(store, task):
    rows(store, task)
    more = CONFIG.but(sites="layers+pooled")
    found = build_parent(more, get("cifar10")(more).load(), store).source.rows
    assert "avgpool" in found


def test_the_time_of_a_run_is_told_of_its_own_precision(monkeypatch):
    asked = []
    real = measure.autocast
    monkeypatch.setattr(measure, "autocast", lambda *of: asked.append(of) or real(*of))
    estimate(CONFIG.but(method="plain", precision="bf16"))
    assert set(asked) == {("cpu", "bf16", False)}


@pytest.mark.parametrize("weights", ["random", "auto"])
def test_a_guess_writes_nothing(weights, store, tmp_path):
    said = estimate(CONFIG if weights == "auto" else CONFIG.but(parent_weights=weights))
    assert said["seconds"] is not None and not list(tmp_path.iterdir())


def test_too_little_room_is_said_before_the_parent_is_asked(store, task, monkeypatch):
    size = 2 * CONFIG.views * 64 * (10 + 16 * 32**2 + 32 * 16**2 + 64 * 8**2)
    assert parents.cache_bytes(Cached(*task_parts(task)), task) == size
    said = estimate(CONFIG)["disk_mb"] - estimate(CONFIG.but(sites=None))["disk_mb"]
    assert abs(said - size / 2**20) < 0.11  # it is told in tenths
    calls = filled(monkeypatch)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=size - 1))
    with pytest.raises(HKTError, match=f"takes {size:,} bytes, but only {size - 1:,} are free"):
        rows(store, task)
    assert not calls and not list(store.parents.glob("*.half"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=size))
    rows(store, task)


def task_parts(task) -> tuple:
    return task.parent()[0], task.predict, task.sites


@pytest.mark.skipif(os.name != "posix", reason="no limit on a file's size")
def test_a_disk_that_fills_meanwhile_is_a_sentence_and_leaves_nothing_behind(store, task):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 * 2**20, limits[1]))  # layer1 takes 4 MiB
    try:
        with pytest.raises(HKTError, match="could not be written to .*make room") as error:
            rows(store, task)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(error.value)
    left = [path.name for path in store.parents.iterdir()]
    assert not [name for name in left if "half" in name or "part" in name]


def test_who_was_taken_over_in_filling_waits_and_has_the_same_cache(store, task, monkeypatch):
    """The other process, of another machine, swept what was half-written, and then fell silent."""
    expected, moved = rows(store, task), []
    shutil.rmtree(store.parents)
    calls, replace = filled(monkeypatch), os.replace

    def taken_over(source, target):
        if target.suffix == ".safetensors" and not moved and calls:
            moved.append(target)
            target.with_suffix(".claim-2").write_text("0\n1\nanother machine\n")
            Path(source).unlink()
        return replace(source, target)

    monkeypatch.setattr("hkt_lite.files.os.replace", taken_over)
    monkeypatch.setattr("hkt_lite.runs.claim.PATIENCE", 0.2)
    assert same(rows(store, task), expected) and len(moved) == 1 and len(calls) == 2
