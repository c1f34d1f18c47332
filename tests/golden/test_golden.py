"""Today's code against the committed goldens, and whether a golden would notice.   hkt golden [NAMES] [--accept "why"]"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from hkt_lite.benchmarks.cifar10 import augment
from hkt_lite.benchmarks.cifar10 import task as cifar10_task
from hkt_lite.benchmarks.flow import augment as flow_augment
from hkt_lite.benchmarks.flow import data as flow_data
from hkt_lite.benchmarks.flow import files as flow_files
from hkt_lite.benchmarks.flow import task as flow_task
from hkt_lite.benchmarks.lits import data as lits_data
from hkt_lite.benchmarks.lits import metrics as segmentation
from hkt_lite.benchmarks.lits import slices
from hkt_lite.config import PROJECT, HKTError
from hkt_lite.methods import at, attention, etm, fitnet, hkt, method
from hkt_lite.runs import golden, schedule

from . import compare, corpora
from .cases import GOLDENS
from .measure import measure

WHY = os.environ.get(golden.REASON, "")


@pytest.fixture(scope="session")
def homes(tmp_path_factory) -> dict[str, Path]:
    return corpora.write(tmp_path_factory.mktemp("corpora"))


def measured(name: str, homes: dict, folder: Path, cases=None) -> dict:
    chosen = {
        case: fields for case, fields in GOLDENS[name].items() if case in (cases or GOLDENS[name])
    }
    return {
        case: measure(fields, homes[fields.get("home", "all")], folder / f"store {number}")
        for number, (case, fields) in enumerate(chosen.items())
    }


@pytest.mark.parametrize("name", GOLDENS)
def test_golden(name, homes, tmp_path):
    """What today's code computes is what is committed; with a reason in the environment it becomes what is committed."""
    values = measured(name, homes, tmp_path)
    if WHY:
        compare.accept(name, values, WHY)
    found = compare.differences(name, values)
    if found:
        more = f"\n… and {len(found) - 12} more" if len(found) > 12 else ""
        pytest.fail("\n".join(found[:12]) + more, pytrace=False)


def test_each_golden_has_cases_and_a_history():
    assert golden.names() == sorted(GOLDENS)
    for name in golden.names():
        history = golden.read(name)["history"]
        assert [entry["version"] for entry in history] == list(
            range(1, golden.read(name)["version"] + 1)
        )
        assert all(entry["why"] and entry["date"] for entry in history)


# -- accepting ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def empty(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(golden, "home", lambda: tmp_path)
    return tmp_path


VALUES = {
    "a": {
        "batches": {"x": ["float32 [2]", 0.5]},
        "epochs": [{"val": {"accuracy": 50.0, "loss": 2.0}}],
    }
}


def test_a_version_rises_only_where_something_differs(empty):
    assert compare.accept("toy-plain-real", VALUES, "first")
    assert not compare.accept("toy-plain-real", VALUES, "nothing new")
    assert golden.version("toy-plain-real") == 1
    near = json.loads(json.dumps(VALUES).replace("2.0", "2.000001"))
    assert not compare.accept("toy-plain-real", near, "rounding")
    far = json.loads(json.dumps(VALUES).replace("2.0", "2.1"))
    assert compare.differences("toy-plain-real", far) == [
        "toy-plain-real: a / epochs / 0 / val / loss is 2.1, the golden says 2.0."
    ]
    assert compare.accept("toy-plain-real", far, "another loss")
    read = golden.read("toy-plain-real")
    assert (read["version"], [entry["why"] for entry in read["history"]]) == (
        2,
        ["first", "another loss"],
    )
    assert compare.accept("toy-plain-real", {**far, "b": far["a"]}, "a case more is no change")
    assert golden.version("toy-plain-real") == 2
    assert golden.read("toy-plain-real")["cases"].keys() == {"a", "b"}
    assert compare.accept("toy-plain-real", far, "a case less is one")
    assert golden.version("toy-plain-real") == 3
    assert [path.name for path in empty.iterdir()] == ["toy-plain-real.json"]


@pytest.mark.parametrize("said, same", [(51.25, True), (48.75, True), (52.5, False), (47.5, False)])
def test_one_image_may_tip_over_after_training_and_not_two(empty, said, same):
    """On another processor; before training, and in another number, nothing of the kind."""
    labels = {"y": ["int64 [80]", 270, 9]}
    values = {"a": {"batches": {"test": labels}, "test": {"last": {"accuracy": 50.0}}}}
    compare.accept("toy-plain-real", values, "first")
    moved = {"a": {**values["a"], "test": {"last": {"accuracy": said}}}}
    assert (compare.differences("toy-plain-real", moved) == []) == same
    before = {"a": {**values["a"], "untrained": {"test": {"accuracy": 50.0}}}}
    compare.accept("toy-plain-synthetic", before, "first")
    moved = {"a": {**before["a"], "untrained": {"test": {"accuracy": said}}}}
    assert compare.differences("toy-plain-synthetic", moved)


def test_no_acceptance_without_a_reason(empty):
    with pytest.raises(HKTError, match="reason"):
        compare.accept("toy-plain-real", VALUES, "  ")
    assert not list(empty.iterdir())
    with pytest.raises(HKTError, match="no golden"):
        golden.read("toy-plain-real")


@pytest.mark.parametrize(
    "old, new",
    [
        ("float32 [2]", "float64 [2]"),
        ("50.0", "55.0"),
        ("2.0", "-2.0"),
        ("0.5", "0.5002"),
        ('"loss"', '"lost"'),
        ("[0.5", "[0.5, 0.5"),
        ("2.0", "2"),
    ],
)
def test_what_counts_as_a_difference(empty, old, new):
    compare.accept("toy-plain-real", VALUES, "first")
    text = (
        json.dumps(VALUES)
        .replace(old, new)
        .replace('"float32 [2]", 0.5]', '"float32 [2]", 0.5' + (", 0.5]" if old == "[0.5" else "]"))
    )
    assert compare.differences("toy-plain-real", json.loads(text))


def test_the_command_compares_and_names_unknown_goldens():
    with pytest.raises(HKTError, match="Did you mean 'flow-hkt-real'"):
        golden.suite(["flow-hkt-rael"])
    assert golden.suite(["cifar10-eval-synthetic"]) == 0


# -- mutations: each must turn its golden red --------------------------------------------------------------------------


def wrong_flips(patch):
    def flipped(self, draw, images, flow, valid):
        for axis, probability in ((-1, self.flips[0]), (-2, self.flips[1])):
            if draw.chance(probability):
                images, flow, valid = (
                    x.flip(axis) for x in (images, flow, valid)
                )  # the vectors keep their signs
        return images, flow, valid

    patch(flow_augment.FlowAugment, "_flipped", flipped)


def always_sintel_padding(patch):
    pad = flow_data.pad
    patch(flow_data, "pad", lambda x, mode="sintel", **named: pad(x, mode="sintel", **named))


def wider_batchnorm(patch):
    build = cifar10_task.resnet

    def resnet(name):
        network = build(name)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 0.2
        return network

    patch(cifar10_task, "resnet", resnet)


def dropped_term(patch):
    forward = hkt.HKT.forward
    patch(
        hkt.HKT,
        "forward",
        lambda self, batch: {k: v for k, v in forward(self, batch).items() if k != "L_p*"},
    )


def no_decay(optimizer):
    def mutate(patch):
        real = getattr(torch.optim, optimizer)
        patch(torch.optim, optimizer, lambda *given, weight_decay: real(*given, weight_decay=0.0))

    return mutate


def all_valid(patch):
    read = flow_files.read_kitti
    patch(flow_files, "read_kitti", lambda path: (read(path)[0], torch.ones_like(read(path)[1])))


def nothing_invalid(patch):
    read = flow_files.read_mask
    patch(flow_files, "read_mask", lambda path: read(path) & ("invalid" not in Path(path).parts))


def weaker(patch):
    mix = attention.mix
    patch(etm, "mix", lambda c, p, kind, lam: mix(c, p, kind, 0.9 * lam))


def without_square_of_temperature(patch):
    full = cifar10_task.soft_divergence
    patch(cifar10_task, "soft_divergence", lambda child, parent, t: full(child, parent, t) / t**2)


MUTATIONS = {
    "flips keep the vectors' signs": ("flow-plain-real", "curriculum", wrong_flips),
    "no jitter of colours": (
        "flow-plain-real",
        "zero-shot",
        lambda patch: patch(flow_augment.FlowAugment, "_colours", lambda self, draw, a, b: (a, b)),
    ),
    "KITTI padded as Sintel": ("flow-eval-real", "committed", always_sintel_padding),
    "KITTI's valid mask ignored": ("flow-eval-real", "committed", all_valid),
    "Sintel's invalid mask ignored": ("flow-eval-real", "committed", nothing_invalid),
    "sequence loss with gamma 0.9": (
        "flow-plain-synthetic",
        "two stages",
        lambda patch: patch(
            flow_task, "sequence_loss", partial(flow_task.sequence_loss, gamma=0.9)
        ),
    ),
    "validated with 8 updates": (
        "flow-hkt-synthetic",
        "2hkt",
        lambda patch: patch(flow_task, "VAL_UPDATES", 8),
    ),
    "the gate inverted": (
        "cifar10-hkt-synthetic",
        "gate",
        lambda patch: patch(
            attention, "gate", lambda c, p: torch.sigmoid(-attention.similarity(c, p))
        ),
    ),
    "lambda 0.54": ("cifar10-hkt-synthetic", "gate", weaker),
    "L_p* dropped": ("cifar10-hkt-real", "gate", dropped_term),
    "statistics updated by the set-up": (
        "cifar10-hkt-synthetic",
        "forward_gate",
        lambda patch: patch(method, "statistics_kept", lambda child: nullcontext()),
    ),
    "KD without T squared": ("cifar10-kd-synthetic", "cached", without_square_of_temperature),
    "FitNet's hint doubled": (
        "cifar10-fitnet-synthetic",
        "cached",
        lambda patch: patch(fitnet, "hint", lambda c, p: 2 * torch.nn.functional.mse_loss(c, p)),
    ),
    "AT of magnitudes, not squares": (
        "lits-at-synthetic",
        "defaults",
        lambda patch: patch(
            at,
            "attention_map",
            lambda x: torch.nn.functional.normalize(x.abs().mean(1).flatten(1), dim=1),
        ),
    ),
    "Transfer not fitted": (
        "lits-hkt-synthetic",
        "gate",
        lambda patch: patch(etm.Transfer, "fit", lambda self, p: self),
    ),
    "momentum of batch normalisation": ("cifar10-plain-synthetic", "fresh views", wider_batchnorm),
    "SGD without weight decay": ("cifar10-plain-synthetic", "fresh views", no_decay("SGD")),
    "AdamW without weight decay": ("lits-plain-synthetic", "crops", no_decay("AdamW")),
    "a constant learning rate": (
        "cifar10-plain-synthetic",
        "fresh views",
        lambda patch: patch(schedule, "_rate", lambda config, done: config.lr),
    ),
    "another normalisation": (
        "cifar10-plain-real",
        "fixed views",
        lambda patch: patch(cifar10_task, "STD", (0.2023, 0.1994, 0.2010)),
    ),
    "crops padded by 3 pixels": (
        "cifar10-plain-real",
        "fresh views",
        lambda patch: patch(augment, "PADDING", 3),
    ),
    "another CT window": (
        "lits-plain-real",
        "LiTS",
        lambda patch: patch(
            lits_data, "windowed", partial(slices.windowed, window=(-200.0, 200.0))
        ),
    ),
    "slices resized by nearest neighbours": (
        "lits-plain-real",
        "LiTS",
        lambda patch: patch(
            lits_data, "resized", lambda x, size, labels=False: slices.resized(x, size, True)
        ),
    ),
    "Dice: median instead of mean": (
        "lits-eval-real",
        "committed",
        lambda patch: patch(segmentation, "_mean", lambda values: float(np.nanmax(values))),
    ),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_mutation_turns_its_golden_red(mutation, homes, tmp_path, monkeypatch):
    name, case, mutate = MUTATIONS[mutation]
    mutate(monkeypatch.setattr)
    assert changed(name, measured(name, homes, tmp_path, [case]))


def changed(name: str, values: dict) -> list[str]:
    return [line for line in compare.differences(name, values) if "was not measured" not in line]


# -- and what must not ---------------------------------------------------------------------------------------------------

ELSEWHERE = """
import json, sys
from pathlib import Path
sys.path[:0] = sys.argv[1:3]
import hkt_lite, golden.measure, golden.cases
assert Path(hkt_lite.__file__).is_relative_to(sys.argv[1])
fields = golden.cases.GOLDENS[sys.argv[3]][sys.argv[4]]
print(json.dumps(golden.measure.measure(fields, Path(sys.argv[5]), Path(sys.argv[1]) / "store")))
"""


@pytest.mark.parametrize(
    "name, case", [("cifar10-hkt-synthetic", "gate"), ("flow-hkt-real", "3hkt, zero-shot")]
)
def test_rewriting_the_source_changes_nothing(name, case, homes, tmp_path):
    """Every file printed anew from its syntax tree, without comments, with other names for private things."""
    for path in (PROJECT / "hkt_lite").rglob("*.py"):
        text = ast.unparse(ast.parse(path.read_text(encoding="utf-8")))
        for old, new in (("_rate", "_rate_of"), ("_mixing", "_joining"), ("_Draw", "_Dice")):
            text = re.sub(rf"\b{old}\b", new, text)
        target = tmp_path / path.relative_to(PROJECT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    for path in (PROJECT / "hkt_lite").rglob("*.yaml"):
        shutil.copy(path, tmp_path / path.relative_to(PROJECT))
    (tmp_path / "data").symlink_to(PROJECT / "data")
    words = [str(tmp_path), str(PROJECT / "tests"), name, case, str(homes["all"])]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert not changed(name, {case: json.loads(done.stdout.splitlines()[-1])})
