"""Variants against each other: the right runs are found, paired, and corrected for their number."""

from base64 import b64encode

import numpy as np
import pytest

from hkt_lite.config import HKTError
from hkt_lite.evidence import show
from hkt_lite.evidence.groups import group
from hkt_lite.evidence.stats import holm
from tests.fabricated import family

PLAIN, TRIPLE, GATE = [74.0, 74.6, 74.2], [73.9, 74.8, 74.3], [64.0, 64.9, 64.1]
ASKED = {
    "task": "cifar10",
    "pairs": [
        [{"method": "hkt"}, {"method": "plain"}],
        [{"method": "hkt"}, {"method": "plain", "options": {"weight": 3}}],
        [{"method": "plain", "recipe": {"sam": 0.05}}, {"method": "plain"}],
    ],
}


def records():
    triple = family("plain", TRIPLE, options={"weight": 3.0}, purpose="control")
    return [*family("plain", PLAIN), *triple, *family("hkt", GATE)]


def shown(records, asked=ASKED):
    made = show.render("contrasts", asked, records)
    return made[show.MIME]["values"], made["text/plain"]


def test_each_pair_is_a_paired_difference_of_its_own_runs():
    rows, text = shown(records())
    assert [row["better by"] for row in rows] == [
        "HKT gate over plain",
        "HKT gate over plain ×3 loss",
    ]
    means = [row["accuracy (%) [95 %]"]["mean"] for row in rows]
    assert means == pytest.approx([-9.93333, -10.0], abs=1e-4)
    assert "1 more of these comparisons waits for runs." in text


def test_where_the_learning_rate_differs_too_and_who_learnt_nothing_is_said():
    made = records()
    faster = family("hkt", [10.0, 9.9, 10.1], lr=1.0)
    text = shown([*records()[:6], *faster])[1]
    said = "differs, too, where each has its own: HKT gate at 1, plain at 0.1; HKT gate at 1"
    assert (
        said in text
        and "Not learnt, not clearly better" in text
        and "HKT gate, seed 0, 1, 2." in text
    )
    assert "learning rate" not in shown(made)[1] and "Not learnt" not in shown(made)[1]


def test_a_recipe_is_a_variant_of_its_own_and_is_said():
    sharp = family("plain", [75.0, 75.6, 75.2], sam=0.05, purpose="control")
    rows, text = shown([*records(), *sharp])
    assert rows[2]["better by"] == "plain, SAM 0.05 over plain"
    assert rows[2]["accuracy (%) [95 %]"]["mean"] == pytest.approx(1)
    assert "wait for runs" not in text
    decayed = family("plain", PLAIN, weight_decay=5e-4, schedule="cosine", purpose="control")
    (one,) = group(decayed, ("control",))
    assert one.label == "plain, cosine, weight decay 0.0005"


def test_children_of_several_parents_are_compared_where_the_parent_is_asked_about():
    blind = family("kd", [73.0, 73.5, 73.1], parent_weights="random", purpose="control")
    sides = [{"method": "kd", "parent": "public"}, {"method": "kd", "parent": "random"}]
    asked = {"task": "cifar10", "pairs": [sides, [sides[1], {"method": "plain"}]]}
    rows, text = shown([*records(), *family("kd", [75.0, 75.6, 75.2]), *blind], asked)
    assert "random resnet56 or resnet56 to resnet20" in text
    assert [row["better by"] for row in rows] == [
        "KD over KD, random parent",
        "KD, random parent over plain",
    ]
    means = [row["accuracy (%) [95 %]"]["mean"] for row in rows]
    assert means == pytest.approx([2.06667, -1.06667], abs=1e-4)


def test_children_of_several_parents_stand_in_one_table_under_names_of_their_own():
    random = {"parent_weights": "random", "purpose": "control"}
    made = [*records(), *family("hkt", GATE, **random)]
    made += [*family("hkt", GATE, parent_weights="committed"), *family("kd", GATE, **random)]
    shown = show.render("scores", {}, made)
    names = [row["method"] for row in shown[show.MIME]["values"]]
    assert len(names) == len(set(names)) == len(made) / 3
    assert {"HKT gate, random parent (control)", "HKT gate, lr 0.1, committed"} <= set(names)
    assert shown["text/plain"].count("Mean ± sd") == 1


def test_p_is_adjusted_for_the_number_of_comparisons():
    pairs, alone = ASKED["pairs"][:2], []
    for pair in pairs:
        rows, _ = shown(records(), {**ASKED, "pairs": [pair]})
        alone.append(rows[0]["p, Holm"])
    both, _ = shown(records())
    assert [row["p, Holm"] for row in both] == pytest.approx(holm(alone), rel=1e-4)
    assert both[1]["p, Holm"] > 1.9 * alone[1]


def test_images_are_resampled_where_the_records_have_them():
    def answering(run, share):
        right = np.random.default_rng(run.config.seed).random(800) < share
        bits = b64encode(np.packbits(right).tobytes()).decode()
        score = run.selected.model_copy(update={"right": bits})
        return run.model_copy(update={"selected": score})

    plain = [answering(run, 0.7) for run in family("plain", PLAIN)]
    hkt = [answering(run, 0.6) for run in family("hkt", GATE)]
    rows, text = shown([*plain, *hkt])
    ends = rows[0]["over seeds and images"]
    assert ends["low"] < ends["high"] < 0
    shown_ends = text.splitlines()[2].replace("−", "-").split("[")[2].split("]")[0].split(", ")
    assert list(map(float, shown_ends)) == pytest.approx(list(ends.values()), abs=0.0051)
    rows, text = shown([*family("plain", PLAIN), *hkt])
    assert text.splitlines()[2].count("[") == 1


def test_nothing_to_compare_says_so_and_a_misspelt_variant_is_named():
    _, text = shown(family("plain", PLAIN))
    assert text.startswith("No cifar10 pair of runs")
    with pytest.raises(HKTError, match="Did you mean 'plain'"):
        shown(records(), {"task": "cifar10", "pairs": [[{"method": "plian"}, {"method": "hkt"}]]})


def test_a_row_is_told_by_where_its_interval_lies():
    def told(mean, low, high, p=0.01):
        d = {"mean": mean, "low": low, "high": high}
        return show.told({"better by": "A over B", "Dice [95 %]": d, "p, Holm": p}, 2)

    assert told(0.1, -0.05, 0.25) == "whether A differs from B is open [−0.05, +0.25]"
    assert told(0.1, 0.05, 0.15) == "A is better than B [+0.05, +0.15]"
    assert told(-0.1, -0.15, -0.05) == "A is worse than B [−0.15, −0.05]"
    assert told(0.1, 0.05, 0.15, p=0.2).endswith(
        "[+0.05, +0.15], though not after Holm's correction"
    )


def test_what_is_told_is_listed_as_sentences():
    told = ["whether A differs is open", "", "B is better [+0.1, +0.2]"]
    assert show.bullets(told) == "- Whether A differs is open.\n- B is better [+0.1, +0.2]."
    assert show.bullets([]) == ""


def test_a_row_of_scores_is_told_beside_plain_and_plain_itself_is_not():
    def told(d):
        row = {"method": "KD", "better than plain by [95 %]": d, "detectable": 0.125}
        return show.beside_plain(row, "px", 2)

    assert told(None) == ""
    for mean, low, high, words in (
        (0.1, 0.05, 0.15, "KD: +0.10 [+0.05, +0.15] px over plain, above 0"),
        (-0.1, -0.15, -0.05, "KD: −0.10 [−0.15, −0.05] px over plain, below 0"),
        (0.1, -0.05, 0.25, "over plain, open: 0.12 px would have been detectable"),
        (0.1, 0.0, 0.2, "over plain, open: 0.12 px would have been detectable"),
    ):
        assert told({"mean": mean, "low": low, "high": high}).endswith(words)


def test_runs_on_swapped_sets_are_compared_where_they_are_asked_for_and_nowhere_else():
    swapped = {"purpose": "audit", "audit": True, "images": "swap", "train_size": 8000}
    made = [*family("plain", PLAIN, **swapped), *family("hkt", [53.0, 53.9, 53.1], **swapped)]
    asked = {**ASKED, "pairs": ASKED["pairs"][:1]}
    rows, text = shown([*made, *records()], {**asked, "audit": True})
    assert [row["better by"] for row in rows] == ["HKT gate over plain"]
    assert rows[0]["accuracy (%) [95 %]"]["mean"] == pytest.approx(-20.9333, abs=1e-4)
    assert "An audit, no score: the children learnt from test images" in text
    rows, text = shown([*made, *records()], asked)
    assert rows[0]["accuracy (%) [95 %]"]["mean"] == pytest.approx(-9.93333, abs=1e-4)
    assert "audit" not in text
    _, text = shown(made, asked)
    assert "No " in text and "3 common seeds" in text
