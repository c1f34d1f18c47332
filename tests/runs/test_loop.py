"""The loop: same bits again, killed and resumed to the same bits, refuses what cannot work."""

import math
import os
import random
import shutil
import signal
import subprocess
import sys
from base64 import b64decode

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.utils import deterministic as fills

from hkt_lite.benchmarks import get, resolve
from hkt_lite.benchmarks.cifar10.task import Cifar10
from hkt_lite.book import check
from hkt_lite.config import PROJECT, Config, HKTError, runs_home
from hkt_lite.files import read_tensors, sha256, write_tensors
from hkt_lite.methods import Plain
from hkt_lite.runs import checkpoint, golden, loop
from hkt_lite.runs.claim import Busy
from hkt_lite.runs.records import load
from hkt_lite.runs.reproduce import compare, numbers, reproduce
from hkt_lite.runs.schedule import climbed, learning_rate
from hkt_lite.runs.store import Store, publish
from tests.fabricated import family
from tests.helpers import child_environment, run, tiny


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("HKT_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


def weights(config, store):
    return {
        name: load_file(store / config.id / f"{name}.safetensors") for name in ("child", "last")
    }


def equal(a, b):
    return a.keys() == b.keys() and all(
        torch.equal(a[name][key], b[name][key]) for name in a for key in a[name]
    )


@pytest.mark.parametrize("method", ["plain", "kd", "hkt"])
def test_the_same_config_gives_the_same_bits_whatever_happened_before(
    method, tmp_path, monkeypatch
):
    config = tiny(method)
    first, weights_first = run(config), weights(config, runs_home())
    monkeypatch.setenv("HKT_RUNS", str(tmp_path / "other"))
    torch.rand(17)  # the caller's random state must not matter
    torch.set_num_threads(2)
    again = run(config, checkpoint_steps=1)
    torch.set_num_threads(1)
    assert numbers(first) == numbers(again) and equal(weights_first, weights(config, runs_home()))


def test_no_number_depends_on_memory_that_nobody_wrote(tmp_path, monkeypatch):
    found = []

    def fill(*seen):
        found.append(fills.fill_uninitialized_memory)
        fills.fill_uninitialized_memory = True  # with what is not a number; `run` puts it back

    torch.use_deterministic_algorithms(True)
    try:
        first, weights_first = run(tiny("hkt")), weights(tiny("hkt"), runs_home())
        monkeypatch.setenv("HKT_RUNS", str(tmp_path / "other"))
        again = run(tiny("hkt"), inspect=fill)
        assert not found[0]
        assert numbers(first) == numbers(again)
        assert equal(weights_first, weights(tiny("hkt"), runs_home()))
        assert fills.fill_uninitialized_memory and torch.are_deterministic_algorithms_enabled()
        assert not torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


def test_methods_start_from_one_child_and_see_the_same_batches():
    seen = {}
    for method in ("plain", "hkt"):

        def look(method_, batch, step, name=method):
            if step == 0:
                seen[name] = (batch.x.clone(), batch.y.clone())

        run(tiny(method, epochs=1, lr=1e-12), inspect=look)
    assert torch.equal(seen["plain"][0], seen["hkt"][0]) and torch.equal(
        seen["plain"][1], seen["hkt"][1]
    )
    a, b = (
        load_file(runs_home() / tiny(m, epochs=1, lr=1e-12).id / "last.safetensors")
        for m in ("plain", "hkt")
    )
    assert torch.allclose(a["conv1.weight"], b["conv1.weight"], atol=1e-9)


def test_a_finished_run_is_not_repeated_but_a_stale_one_is(monkeypatch):
    config = tiny("plain")
    first = run(config)
    assert run(config).provenance.created == first.provenance.created
    monkeypatch.setattr("hkt_lite.runs.golden.version", lambda name: 99)
    assert run(config).cost.seconds != first.cost.seconds


def test_a_run_of_minutes_is_made_anew_where_the_package_has_changed(monkeypatch):
    """Whoever changes a method and runs it again sees what the changed one does; a long run stays."""
    config = tiny("plain")
    first = run(config)
    assert first.provenance.sources == golden.sources("quick") != golden.sources("cpu") == ""
    monkeypatch.setattr(golden, "sources", lambda scale: "0" * 16)
    again = run(config)
    assert again.provenance.sources == "0" * 16 and again.selected == first.selected


def test_a_checkpoint_of_a_changed_package_is_left_aside(monkeypatch):
    config, steps = tiny("plain"), []
    with pytest.raises(KeyboardInterrupt):
        loop.run(config, checkpoint_steps=1, inspect=interrupted_at(3))
    monkeypatch.setattr(golden, "sources", lambda scale: "0" * 16)
    loop.run(config, inspect=lambda method, batch, step: steps.append(step))
    assert steps[0] == 0


def test_a_finished_run_is_recognised_before_any_network_is_built(monkeypatch):
    first = run(tiny("hkt"))

    def build(*given):
        pytest.fail("a network was built")

    monkeypatch.setattr(loop, "Run", build)
    assert run(tiny("hkt")) == first


def interrupted_at(step):
    def stop(method, batch, now):
        if now == step:
            raise KeyboardInterrupt

    return stop


@pytest.mark.parametrize("method", ["kd", "hkt"])
def test_ctrl_c_leaves_something_that_goes_on_to_the_same_bits(method, tmp_path, monkeypatch):
    config = tiny(method)
    whole, weights_whole = run(config), weights(config, runs_home())
    monkeypatch.setenv("HKT_RUNS", str(tmp_path / "cut"))
    for step in (2, 5, 7):
        with pytest.raises(KeyboardInterrupt):
            run(config, inspect=interrupted_at(step), checkpoint_steps=2)
        assert (tmp_path / "cut" / config.id / "state.safetensors").exists()
        assert not (tmp_path / "cut" / config.id / "record.json").exists()
    assert numbers(run(config)) == numbers(whole) and equal(
        weights(config, tmp_path / "cut"), weights_whole
    )


KILLED = """
import os, signal, sys
import hkt_lite.benchmarks.cifar10.task as cifar10, hkt_lite.runs.loop as train
cifar10.SIZES = {'val': 200, 'test': 300}
from tests.helpers import tiny
where, number = sys.argv[1], int(sys.argv[2])
count = 0
def die_at_step(method, batch, step):
    if where == 'step' and step == number: os.kill(os.getpid(), signal.SIGKILL)
real = os.fsync
def die_in_write(descriptor):
    global count
    count += 1
    if where == 'write' and count == number:
        os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)
    real(descriptor)
os.fsync = die_in_write
train.run(tiny('hkt'), checkpoint_steps=1, inspect=die_at_step)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is not Windows'")
def test_killed_at_random_steps_and_inside_a_checkpoint_it_ends_with_the_same_bits(
    store, tmp_path, monkeypatch
):
    config = tiny("hkt")
    whole, weights_whole = run(config), weights(config, store)
    cut = tmp_path / "killed"
    monkeypatch.setenv("HKT_RUNS", str(cut))
    steps = [
        random.choice(range(1, 4)),
        random.choice(range(5, 8)),
    ]  # others each time; the write in between dies two steps after the first
    for where, number in [("step", steps[0]), ("write", 2), ("step", steps[1])]:
        ended = subprocess.run(
            [sys.executable, "-c", KILLED, where, str(number)],
            env=child_environment(cut),
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert ended.returncode == -signal.SIGKILL, f"{where} {number} of {steps}: {ended.stderr}"
        assert not (cut / config.id / "record.json").exists()
    assert numbers(run(config)) == numbers(whole), f"killed at steps {steps}"
    assert equal(weights(config, cut), weights_whole)
    assert numbers(load(cut / config.id / "record.json")) == numbers(whole)
    assert not list(cut.rglob("*.part"))


def test_a_corrupt_checkpoint_is_one_sentence(store):
    config = tiny("plain")
    with pytest.raises(KeyboardInterrupt):
        run(config, inspect=interrupted_at(3), checkpoint_steps=1)
    path = store / config.id / "state.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(HKTError, match="state.safetensors is corrupt or truncated.*delete it"):
        run(config)


def test_files_of_another_kind_are_neither_checkpoint_nor_cache(store):
    config = tiny("hkt")
    with pytest.raises(KeyboardInterrupt):
        run(config, inspect=interrupted_at(3), checkpoint_steps=1)
    path = store / config.id / "state.safetensors"
    caches = sorted((store / "parents").glob("*.safetensors"))  # its answers, and its views
    state, rows = path.read_bytes(), caches[0].read_bytes()
    for cache in caches:
        cache.write_bytes(state)
    path.write_bytes(rows)
    with pytest.raises(HKTError, match="is no checkpoint of this run; delete it"):
        run(config)
    assert len(caches) == 2 and all(cache.read_bytes() != state for cache in caches)  # made anew
    other = store / tiny("hkt", seed=9).id
    other.mkdir()
    (other / "state.safetensors").write_bytes(state)
    with pytest.raises(HKTError, match="is no checkpoint of this run; delete it"):
        run(tiny("hkt", seed=9))


def test_a_checkpoint_of_an_older_golden_is_not_continued(monkeypatch):
    config = tiny("plain")
    whole = numbers(run(config.but(seed=5)))
    with pytest.raises(KeyboardInterrupt):
        run(
            config.but(seed=5, epochs=2, weight_decay=0.0),
            inspect=interrupted_at(3),
            checkpoint_steps=1,
        )
    monkeypatch.setattr("hkt_lite.runs.golden.version", lambda name: 99)
    assert numbers(run(config.but(seed=5))) == whole


def test_a_disk_that_fills_up_leaves_the_last_checkpoint(monkeypatch, store):
    config = tiny("plain")
    whole = numbers(run(config))
    (store / config.id / "record.json").unlink()
    from hkt_lite import files

    real, written = files.write_bytes, []

    def filling(path, data):
        written.append(path)
        if len(written) == 3:
            raise HKTError(f"Could not write {path}: No space left on device; nothing was changed.")
        real(path, data)

    monkeypatch.setattr(files, "write_bytes", filling)
    with pytest.raises(HKTError, match="No space left"):
        run(config, checkpoint_steps=2)
    monkeypatch.setattr(files, "write_bytes", real)
    assert (store / config.id / "state.safetensors").exists()
    assert numbers(run(config)) == whole


def test_a_task_that_does_not_measure_what_it_chooses_by_is_told_so(monkeypatch):
    monkeypatch.setattr(Cifar10, "metric", "acuracy")
    with pytest.raises(HKTError, match="chooses its epoch by 'acuracy', but .* accuracy, loss"):
        run(tiny("plain"))


def test_the_schedules_at_their_corners():
    one, multi = tiny(lr=0.2), tiny(lr=0.2, schedule="multistep")
    assert learning_rate(one, 0, 100) == pytest.approx(0.2 / 25) and learning_rate(
        one, 30, 100
    ) == pytest.approx(0.2)
    assert learning_rate(one, 99, 100) < 0.001
    assert [learning_rate(multi, step, 100) for step in (0, 49, 50, 74, 75, 99)] == pytest.approx(
        [0.2, 0.2, 0.02, 0.02, 0.002, 0.002]
    )


def test_cosine_falls_from_the_rate_to_nothing_without_a_rise():
    cosine = tiny(lr=0.2, schedule="cosine")
    rates = [learning_rate(cosine, step, 100) for step in range(100)]
    assert rates[0] == 0.2 and rates == sorted(rates, reverse=True)
    assert rates[50] == pytest.approx(0.1) and 0 < rates[99] < 0.001


def test_sharpness_aware_steps_take_the_gradient_at_the_top_of_the_ball():
    """Two parameters, loss a * x^2 + b * y: by hand the gradient is taken at x + r * g_x / |g|."""
    x, y = (nn.Parameter(torch.tensor([value], dtype=torch.float64)) for value in (3.0, -1.0))
    unused = nn.Parameter(torch.zeros(1))
    (2 * x**2 + 5 * y).sum().backward()
    with climbed([x, unused, y], 0.1):
        assert x.grad is None and y.grad is None
        (2 * x**2 + 5 * y).sum().backward()
    assert (x.item(), y.item()) == (3.0, -1.0)
    assert x.grad.item() == pytest.approx(4 * (3 + 0.1 * 12 / 13), abs=1e-9)
    assert y.grad.item() == pytest.approx(5)


def test_sam_trains_otherwise_and_counts_its_statistics_once():
    config = tiny("plain", sam=0.05, epochs=1)
    outcome, usual = loop.run(config), loop.run(config.but(sam=None))
    assert outcome.record.epochs[0].train != usual.record.epochs[0].train
    tracked = outcome.child.state_dict()["bn1.num_batches_tracked"].item()
    assert tracked == config.train_size // config.batch_size


def test_a_swap_of_train_and_test_images_can_only_be_an_audit():
    with pytest.raises(HKTError, match="only be an audit"):
        run(Config(scale="cpu", source="real", images="swap", train_size=8000))


def test_selection_is_by_validation_and_test_is_looked_at_twice_only(monkeypatch):
    looks, real, answers = [], Cifar10.scored, iter([50.0, 70.0, 60.0])

    def scored(self, model, split):
        looks.append(split)
        found, rows = real(self, model, split)
        return ({"accuracy": next(answers), "loss": 1.0} if split == "val" else found), rows

    monkeypatch.setattr(Cifar10, "scored", scored)
    record = run(tiny("plain", epochs=3))
    assert record.selected.epoch == 2 and record.last.epoch == 3
    assert looks == ["val"] * 3 + ["test"] * 2


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"device": "cuda"}, "GPU"),
        ({"compile": True}, "compile"),
        ({"parent": "resnet21"}, "resnet21"),
        ({"parent_weights": "nowhere"}, "parent_weights"),
        ({"parent_weights": "run:0123"}, "Run 0123 has no weights"),
        ({"source": "real"}, "hkt data fetch cifar10"),
        ({"options": {"kind": "gat"}}, "'gat'"),
        ({"options": {"terms": ["L_x"]}}, "'L_x'"),
        ({"options": {"lam": 1.5}}, "1.5"),
    ],
)
def test_what_cannot_work_is_refused_and_leaves_nothing(
    fields, words, store, monkeypatch, tmp_path
):
    monkeypatch.setenv("HKT_DATA", str(tmp_path))
    if fields.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(HKTError) as error:
        run(tiny(**fields))
    assert words in str(error.value) and "\n" not in str(error.value)
    assert not list(store.rglob("record.json")) and not list(store.rglob("state.safetensors"))


def test_a_random_parent_is_a_newborn_of_its_own_seed_and_the_same_one_again(store):
    asked = {"parent_weights": "random", "epochs": 1}
    first, other = run(tiny(**asked)), run(tiny(**asked, seed=1))
    assert first.parent.sha256 != other.parent.sha256
    chance = [record.parent.val["accuracy"] for record in (first, other)]
    assert max(chance) < 30 < run(tiny(epochs=1)).parent.val["accuracy"]
    for path in (store / "parents").glob("random-*"):
        path.unlink()
    again = run(tiny(**asked))
    assert again.parent.sha256 == first.parent.sha256 and again.selected == first.selected


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_cached_and_a_live_parent_say_the_same_of_equal_views(precision):
    """So children of the two may be compared (`evidence.groups.VARIANT`)."""
    asked = {"epochs": 1, "views": 2, "precision": precision}
    cached, live = (run(tiny(**asked, parent_source=source)) for source in ("cached", "live"))
    rounding = 1e-3 if precision == "fp32" else 2e-2
    assert cached.epochs[0].train == pytest.approx(live.epochs[0].train, rel=rounding)


def test_a_loss_that_explodes_says_which_knob_to_turn():
    with pytest.raises(HKTError, match="smaller lr"):
        run(tiny("plain", lr=1e12, schedule="multistep", epochs=5))


def test_compiled_training_learns_what_uncompiled_does():
    import shutil

    if not shutil.which("g++"):
        pytest.skip("no C++ compiler for torch.compile here")
    plain = tiny("plain", epochs=1)
    a, b = run(plain), run(plain.but(compile=True))
    assert b.epochs[-1].train["L_c"] == pytest.approx(a.epochs[-1].train["L_c"], rel=1e-3)


def test_reproduce_says_how_close(monkeypatch, tmp_path):
    monkeypatch.setenv("HKT_RESULTS", str(tmp_path / "results"))
    record = run(tiny("plain"))
    assert reproduce(record)[0] == "same bits"
    bent = record.selected.model_copy(update={"test": {"accuracy": 12.3, "loss": 9.0}})
    shutil.rmtree(runs_home() / record.id)
    verdict, sentence = reproduce(record.model_copy(update={"selected": bent}))
    assert verdict == "different" and "12.30" in sentence
    made = Store.default().weights(record.id)  # what `hkt eval` of another machine's run asks for
    assert sha256(made) == record.weights["child.safetensors"]
    for seed in (1, 2, 3):
        run(tiny("plain", seed=seed))
    assert reproduce(record.model_copy(update={"selected": bent}))[0] in (
        "inside the interval",
        "different",
    )


def test_a_rerun_that_was_cut_off_goes_on(store, monkeypatch):
    """In its own store, which is gone when the rerun is done."""
    record = run(tiny("plain", epochs=3))

    def interrupt(step, steps, epoch):
        if epoch and epoch.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reproduce(record, progress=interrupt)
    (left,) = store.glob(".again-*")
    assert left.name == f".again-{record.id}" and len(Store.default().records()) == 1
    done = []

    def count(step, steps, epoch):
        if epoch:
            done.append(epoch.epoch)

    assert reproduce(record, progress=count)[0] == "same bits"
    assert done == [3] and not list(store.glob(".again-*"))


def test_what_cannot_be_published_says_which_folder_is_in_the_way(store, monkeypatch):
    monkeypatch.setattr(golden, "_git", lambda *words: "changed")
    record = run(tiny("plain"))
    with pytest.raises(HKTError, match=f"commit, move {store / record.id} away, run it again"):
        publish([record.id])


def test_a_rerun_does_not_widen_the_interval_that_it_is_judged_by():
    """The store has it by then, under the id of the record."""
    record, *others = family("plain", [50.0, 50.1, 50.2])
    (rerun,) = family("plain", [53.0])
    known = [record, *others, rerun]
    verdict, sentence = compare(record, rerun, known)
    assert verdict == "different" and "3 seeds is expected between 49.60 and 50.60" in sentence


@pytest.mark.parametrize("checkpoint_steps", [None, 1])
def test_a_loss_that_is_no_number_ends_the_run_with_its_step(checkpoint_steps, monkeypatch):
    """It is seen where losses are fetched: at a checkpoint, or at the end of the epoch."""
    forward, seen = Plain.forward, []

    def breaking(self, batch):
        seen.append(batch)
        worth = float("nan") if len(seen) == 4 else 1.0
        return {name: worth * term for name, term in forward(self, batch).items()}

    monkeypatch.setattr(Plain, "forward", breaking)
    config = resolve(tiny("plain"))
    with pytest.raises(HKTError, match="became nan at step 4; try a smaller lr"):
        run(config, checkpoint_steps=checkpoint_steps)
    assert not (runs_home() / config.id / "record.json").exists()


def test_bf16_trains_close_to_fp32():
    a, b = run(tiny("hkt", epochs=1)), run(tiny("hkt", epochs=1, precision="bf16"))
    assert b.epochs[0].train["L_c"] == pytest.approx(a.epochs[0].train["L_c"], rel=0.05)
    assert b.epochs[0].train != a.epochs[0].train


@pytest.mark.parametrize(
    "room, words",
    [
        (20, "the largest that does here is about 16: use -s batch_size=16"),
        (0, "Not even one example"),
    ],
)
def test_a_batch_that_does_not_fit_is_a_sentence_with_one_that_does(room, words, monkeypatch):
    """Memory is pretended to end at `room` images: how a real device ends is not the same twice."""
    forward = Plain.forward

    def short(self, batch):
        if len(batch.y) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, batch)

    monkeypatch.setattr(Plain, "forward", short)
    with pytest.raises(HKTError, match=words):
        run(Config(task="cifar10", method="plain", scale="smoke", source="synthetic"))


def test_adamw_with_a_clipped_gradient_goes_on_to_the_same_bits(monkeypatch):
    """Moments and step counts are part of a checkpoint, whatever the optimizer keeps."""
    config = tiny(method="plain", optimizer="adamw", lr=0.001, clip=0.5)
    whole = run(config)
    weights = load_file(runs_home() / whole.id / "child.safetensors")
    (runs_home() / whole.id / "record.json").unlink()

    def stop(step, steps, epoch):
        if epoch is None and step == steps - 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(config, progress=stop, checkpoint_steps=1)
    again = run(config)
    assert numbers(again) == numbers(whole)
    assert all(
        torch.equal(weights[key], value)
        for key, value in load_file(runs_home() / whole.id / "child.safetensors").items()
    )
    assert whole.id != run(tiny(method="plain", optimizer="adamw", lr=0.001)).id


def test_what_came_of_a_repetition_is_kept_and_counts_for_todays_golden_only(monkeypatch, tmp_path):
    monkeypatch.setenv("HKT_RESULTS", str(tmp_path / "results"))
    record = run(tiny("plain", seed=7))
    name = "cifar10-plain-synthetic"
    assert record.provenance.golden == {name: golden.version(name)}
    publish([record.id])
    assert list(check.notes()) == []
    real = golden.read
    changed = {"version": 5, "date": "2026-12-01", "why": "a wider crop"}
    newer = {**real(name), "version": 5, "history": [*real(name)["history"], changed]}
    monkeypatch.setattr(golden, "read", lambda wanted: newer)
    (note,) = check.notes()
    assert (
        record.id in note and "version 5 of golden cifar10-plain-synthetic (a wider crop)" in note
    )
    assert reproduce(record)[0] == "same bits"
    (again,) = [one for one in Store.default().records() if one.kind == "again"]
    publish([again.id])
    (note,) = check.notes()
    assert "run again since: same bits" in note
    with pytest.raises(HKTError, match="what came of running"):
        reproduce(again)
    monkeypatch.setattr(golden, "read", real)
    monkeypatch.setattr(golden, "names", list)  # somebody took it away
    (note,) = check.notes()
    assert record.id in note and f"the removal of golden {name}, and nothing" in note


def test_an_outcome_holds_the_selected_child_and_the_method_of_the_last_epoch():
    config = tiny("hkt", epochs=3)
    first = loop.run(config)
    found = loop.run(config)  # a finished twin gives the same
    for outcome in (first, found):
        kept = load_file(runs_home() / config.id / "child.safetensors")
        assert all(
            torch.equal(kept[key], value) for key, value in outcome.child.state_dict().items()
        )
        last = load_file(runs_home() / config.id / "last.safetensors")
        state = outcome.method.child.state_dict()
        assert all(torch.equal(last[key], value) for key, value in state.items())
    assert first.record == found.record and not first.child.training


def test_a_flipped_byte_of_the_weights_or_the_cache_is_noticed(store):
    config = tiny("hkt")
    made = run(config)
    path = store / config.id / "child.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    assert run(config).cost.seconds != made.cost.seconds  # not handed out: trained anew
    for cache in (store / "parents").glob("*.safetensors"):  # its answers, and its views
        data = bytearray(cache.read_bytes())
        data[-5] ^= 64
        cache.write_bytes(data)
        (store / config.id / "record.json").unlink()
        assert numbers(run(config)) == numbers(made)


def test_a_validation_loss_that_is_not_a_number_can_be_recorded(monkeypatch):
    metrics = Cifar10.metrics
    calls = []

    def sometimes(self, model, split):
        found = metrics(self, model, split)
        calls.append(split)
        return {**found, "loss": float("nan")} if split == "val" else found

    monkeypatch.setattr(Cifar10, "metrics", sometimes)
    made = run(tiny("plain"))
    assert math.isnan(made.selected.val["loss"])
    assert math.isnan(load(runs_home() / made.id / "record.json").last.val["loss"])


def test_an_epoch_that_is_not_a_number_is_never_the_best(monkeypatch):
    values = iter([float("nan"), 20.0, float("nan"), 10.0])
    metrics = Cifar10.metrics

    def scripted(self, model, split):
        if split != "val":
            return metrics(self, model, split)
        return {"accuracy": next(values), "loss": 1.0}

    monkeypatch.setattr(Cifar10, "metrics", scripted)
    assert run(tiny("plain", epochs=4)).selected.epoch == 2


@pytest.mark.parametrize(
    "options, words",
    [
        ({"purpose": "scores"}, "no purpose 'scores'. Did you mean 'score'"),
        ({"checkpoint_steps": 0}, "checkpoint_steps must be at least 1"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_trained(options, words, store):
    with pytest.raises(HKTError, match=words):
        run(tiny("plain"), **options)
    assert not store.exists()


def test_a_last_epoch_that_is_the_best_is_tested_once(monkeypatch):
    seen, scored = [], Cifar10.scored

    def counted(self, model, split):
        seen.append(split)
        return scored(self, model, split)

    monkeypatch.setattr(Cifar10, "scored", counted)
    made = run(tiny("plain", epochs=1))
    assert seen.count("test") == 1 and made.last == made.selected


def test_a_record_says_which_test_images_were_right_and_how_alike_child_and_parent_answer():
    outcome = loop.run(tiny("kd", epochs=1))
    record, task = outcome.record, get("cifar10")(tiny("kd", epochs=1)).load()
    logits, classes = task.scored(outcome.child, "test")[1]
    right = np.unpackbits(np.frombuffer(b64decode(record.selected.right), np.uint8))[: len(classes)]
    assert right.tolist() == (logits.argmax(1) == classes).int().tolist()
    assert 100 * right.mean() == pytest.approx(record.selected.test["accuracy"])
    theirs, _ = task.scored(task.parent()[0], "train")[1]
    own, _ = task.scored(outcome.child, "train")[1]
    p, q = theirs.softmax(1), own.softmax(1)
    assert record.fidelity["train"]["kl"] == pytest.approx(
        (p * (p / q).log()).sum(1).mean().item(), rel=1e-4
    )
    assert record.fidelity["train"]["agreement"] == pytest.approx(
        100 * (theirs.argmax(1) == own.argmax(1)).double().mean().item()
    )
    assert set(record.fidelity) == {"train", "test"}
    assert run(tiny("plain", epochs=1)).fidelity == {}


def test_only_an_audit_looks_at_the_test_data_after_every_epoch():
    audit = run(tiny("plain", epochs=2, seed=77), "audit")
    assert audit.audit and [set(epoch.test) for epoch in audit.epochs] == [{"accuracy", "loss"}] * 2
    assert audit.last.test == audit.epochs[-1].test
    score = run(tiny("plain", epochs=2))
    assert [epoch.test for epoch in score.epochs] == [{}, {}]


def test_a_half_written_file_that_another_process_sweeps_is_written_again(store, monkeypatch):
    expected = run(tiny("plain", epochs=1))
    swept, replace = [], os.replace

    def sweeping(source, target):
        if target.name == checkpoint.FILE and not swept:
            swept.append(source)
            source.unlink()
        return replace(source, target)

    monkeypatch.setenv("HKT_RUNS", str(store.with_name("other")))
    monkeypatch.setattr("hkt_lite.files.os.replace", sweeping)
    assert numbers(run(tiny("plain", epochs=1))) == numbers(expected) and len(swept) == 1


@pytest.mark.parametrize("when", ["before its first step", "in a write"])
def test_who_was_taken_over_says_so_and_takes_nothing_from_the_other(store, monkeypatch, when):
    config = tiny("plain", epochs=1)
    other = store / config.id / f".{checkpoint.FILE}.0123abcd.part"

    def taken_over(*_):
        other.with_name("claim-2").write_text("0\n1\nanother machine\n")
        other.write_bytes(b"half of the other one's checkpoint")

    def taken_over_in_a_write(source, target):
        if target.name == checkpoint.FILE:
            taken_over()
            source.unlink()
        return replace(source, target)

    replace, build = os.replace, loop.build_method
    if when == "in a write":
        monkeypatch.setattr("hkt_lite.files.os.replace", taken_over_in_a_write)
    else:
        monkeypatch.setattr(loop, "build_method", lambda *given: taken_over() or build(*given))
    with pytest.raises(Busy, match="Another process took over"):
        run(config)
    assert other.exists()


def test_equal_tensors_and_facts_are_equal_files(tmp_path):
    facts = {"a fact": "with a “sign” and a \\", "another": [1, 2.5]}
    tensors = {"b": torch.ones(3), "a": torch.arange(4)}
    for number in range(20):  # the library's order changes from one call to the next
        write_tensors(tmp_path / f"{number}", tensors, facts)
    assert len({path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}) == 1
    found, said = read_tensors(tmp_path / "7")
    assert said == facts and all(torch.equal(found[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize(
    "terms, odd",
    [
        (torch.ones(()), "Tensor"),
        ({"L_c": torch.ones(4)}, "L_c"),
        ({"L_c": torch.ones(()), "L_x": 2.0}, "L_x"),
    ],
)
def test_a_method_whose_terms_are_no_scalars_is_told_so(terms, odd, monkeypatch):
    monkeypatch.setattr(Plain, "forward", lambda self, batch: terms)
    words = rf"forward\(\) of method 'plain' must return its terms as \{{name: scalar\}}; '{odd}' is none"
    with pytest.raises(HKTError, match=words):
        run(tiny("plain"))
