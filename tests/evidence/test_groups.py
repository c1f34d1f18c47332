"""Which runs are pooled as seeds, which are compared, and how variants are called."""

import pytest

from hkt_lite.benchmarks import get, names
from hkt_lite.config import Config, HKTError
from hkt_lite.evidence.groups import PARENT, VARIANT, difference, group, observed, panels, unlike
from hkt_lite.evidence.literature import Variant
from hkt_lite.evidence.words import label, metric_name
from hkt_lite.runs.store import published
from tests.fabricated import family, run

# a different value for every field of Config, so that a new field has to be thought about here
OTHERS = {
    "task": "lits",
    "method": "fitnet",
    "scale": "paper",
    "source": "synthetic",
    "seed": 7,
    "options": {"temperature": 2.0},
    "parent": "resnet110",
    "child": "resnet8",
    "parent_weights": "run:0123456789ab",
    "parent_source": "live",
    "views": 3,
    "train_size": 123,
    "epochs": 99,
    "batch_size": 17,
    "lr": 0.77,
    "optimizer": "adamw",
    "clip": 0.5,
    "sam": 0.05,
    "images": "rest",
    "schedule": "multistep",
    "momentum": 0.5,
    "weight_decay": 5e-4,
    "precision": "bf16",
    "channels_last": False,
    "threads": 2,
    "device": "cuda",
    "compile": True,
    "sites": "layers",
    "stages": [{"corpus": "chairs", "epochs": 2, "lr": 1.0, "crop": [64, 64]}],
    "crop": [64, 64],
    "updates": 12,
    "parent_updates": 3,
}


def changed(record, **fields):
    """The record under another configuration, whether or not the task could run it."""
    if "method" in fields:
        fields["options"] = {}
    given = Config(**fields)
    update = {name: getattr(given, name) for name in fields}
    config = record.config.model_copy(update=update)
    return record.model_copy(update={"config": config})


def test_every_field_of_a_configuration_has_been_thought_about():
    assert set(OTHERS) == set(Config.model_fields)
    assert {*VARIANT, *PARENT} <= set(Config.model_fields)


@pytest.mark.parametrize("field", Config.model_fields)
def test_only_the_seed_may_differ_between_runs_pooled_as_seeds(field):
    other = changed(run("kd", 1), **{field: OTHERS[field]})
    together = len(group([run("kd", 0), other])) == 1
    assert together == (field == "seed")


@pytest.mark.parametrize("field", Config.model_fields)
def test_only_what_makes_a_variant_may_differ_between_groups_compared(field):
    both = [run("kd", 0), changed(run("kd", 0), **{field: OTHERS[field]})]
    if field == "seed":
        assert len(group(both)) == 1
        return
    a, b = group(both)
    assert (len(panels([a, b])) == 1) == (field in VARIANT)
    if field in (*VARIANT, *PARENT):
        assert difference(a, b, "accuracy")[0].n == 1
    else:
        with pytest.raises(HKTError, match="same data, budget and parent"):
            difference(a, b, "accuracy")


def test_a_child_without_parent_is_compared_with_children_of_any():
    plain, kd = group([run("plain", 0), run("kd", 0)])
    assert plain.parent == "" and kd.parent and len(panels([plain, kd])) == 1
    assert difference(kd, plain, "accuracy")[0].n == 1


def test_runs_of_one_seed_on_other_processors_are_said():
    runs = [run(method, seed) for method in ("plain", "kd") for seed in (0, 1)]
    plain, kd = group(runs)
    assert list(unlike([(kd, plain)])) == []
    moved = runs[-1].provenance.model_copy(update={"machine": "Linux, x86_64, another"})
    plain, kd = group([*runs[:-1], runs[-1].model_copy(update={"provenance": moved})])
    (said,) = unlike([(kd, plain), (plain, plain)])
    assert "KD and plain, 1 of 2 seeds." in said


def test_a_parent_and_a_method_are_never_compared_at_once():
    kd, other = group([run("kd", 0), run("fitnet", 0, parent="b" * 64, sites="layers")])
    assert len(panels([kd, other])) == 2 and len(panels([kd, other], parents=True)) == 1
    with pytest.raises(HKTError, match="same data, budget and parent"):
        difference(kd, other, "accuracy")


def test_random_parents_are_one_control_and_named():
    random = {"parent_weights": "random", "purpose": "control"}
    (one,) = group([run("kd", i, parent=f"{i}" * 64, **random) for i in (0, 1)], ("control",))
    assert len(one.runs) == 2 and one.label.endswith(", random parent")
    (own,) = group([run("kd", 0, parent_weights="run:0123456789ab")])
    assert own.label.endswith(", parent of run 0123456789ab")
    for levels, named in ((4, True), (5, False)):  # one of four levels lies in the project
        ct = {"task": "lits", "crop": [64, 64], "epochs": 1}
        ct["stages"] = [{"corpus": "liver_ct", "epochs": 1, "crop": [64, 64]}]
        pair = {"parent_arch": f"resunet2d-24x{levels}", "child": f"resunet2d-6x{levels}"}
        (own,) = group([run("kd", 0, parent_weights="run:0123456789ab", **ct, **pair)])
        assert own.label.endswith(", parent of run 0123456789ab") == named
    assert "parent" not in group([run("kd", 0)])[0].label


def test_another_parent_file_purpose_or_data_keeps_runs_apart():
    assert len(group([run("kd", 0), run("kd", 1, parent="b" * 64)])) == 2
    both = [run("kd", 0), run("kd", 1, purpose="control")]
    assert len(group(both, ("score", "control"))) == 2
    made = run("kd", 1)
    other = made.provenance.model_copy(update={"data": "e" * 64})
    assert len(panels(group([run("kd", 0), made.model_copy(update={"provenance": other})]))) == 2


def test_an_option_at_its_default_is_no_difference():
    short = run("hkt", 1)
    bare = short.config.model_copy(update={"options": {"kind": "gate"}})
    (one,) = group([run("hkt", 0), short.model_copy(update={"config": bare})])
    assert sorted(one.runs) == [0, 1]


def test_one_run_twice_is_refused():
    with pytest.raises(HKTError, match="both plain with seed 0"):
        group([run("plain", 0, 74.0), run("plain", 0, 75.0)])


def test_published_records_form_groups_of_equal_seeds():
    made = [one for one in published() if one.kind == "run" and one.purpose == "score"]
    scores = group(made)
    assert sum(len(one.runs) for one in scores) == len(made) > 66
    assert {3, 5} <= {len(one.runs) for one in scores}
    assert len(panels(scores)) == len({one.setting for one in scores}) == 9


@pytest.mark.parametrize(
    "method, options, expected",
    [
        ("plain", {}, "plain"),
        ("plain", {"weight": 3.0}, "plain ×3 loss"),
        ("kd", {}, "KD"),
        ("kd", {"temperature": 2.0}, "KD, temperature 2"),
        ("hkt", {}, "HKT gate"),
        ("hkt", {"kind": "forward_gate"}, "HKT forward_gate"),
        ("hkt", {"lam": 0.3}, "HKT gate, lam 0.3"),
        ("hkt", {"terms": ["L_c", "L_c*"]}, "HKT gate, terms L_c+L_c*"),
    ],
)
def test_labels(method, options, expected):
    assert label(Variant(method=method, options=options)) == expected


def test_sites_are_named_before_options():
    variant = Variant(method="fitnet", options={"beta": 0.5}, sites="2hkt")
    assert label(variant) == "FitNet, at 2hkt, beta 0.5"


def test_variants_stand_in_the_order_of_methods_and_of_their_kinds():
    made = [
        run("hkt", 0, options={"kind": "forward_gate"}),
        run("hkt", 0),
        run("at", 0, sites="layers"),
    ]
    made += [run("fitnet", 0), run("kd", 0), run("plain", 0)]
    found = [one.label for one in group(made)]
    assert found == ["plain", "KD", "FitNet", "AT, at layers", "HKT gate", "HKT forward_gate"]


@pytest.mark.parametrize("task", names())
def test_every_task_names_the_metric_that_selects(task):
    name, digits = metric_name(task, get(task).metric)
    assert name != get(task).metric and digits in (2, 3)
    assert metric_name(task, "something") == ("something", 3)


# -- how much is inherited -------------------------------------------------------------------------


def test_what_is_observed_is_what_the_record_says_and_nothing_else():
    made, said = run("hkt", 0), {"q50": 0.123}
    seen = {"gate": {"q50": 0.5}, "share at x": said}
    epoch = made.epochs[0].model_copy(update={"inherited": seen})
    made = made.model_copy(update={"epochs": [epoch]})
    assert observed(made, 0, "share at x") == said and observed(made, 0, "share") is None
    with pytest.raises(HKTError, match="do not say 'inherited'"):
        observed(made, 0, "inherited")


def test_a_method_that_inherits_nothing_has_no_share():
    assert observed(family("kd", [70.0])[0], -1, "share") is None
