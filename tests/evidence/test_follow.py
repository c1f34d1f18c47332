"""From a verdict down to its files, and the lamp of a replayed training."""

import re
from html import unescape

import pytest

from hkt_lite.evidence import figures, show, stats
from hkt_lite.evidence.outputs import number
from tests.fabricated import evaluation, family

PLAIN, GATE = [74.0, 74.6, 74.2], [75.1, 75.9, 75.6]
STEPS = ["Dots", "Interval", "Rule", "Configuration", "Record files", "Command"]


def text(html: str) -> str:
    return " ".join(re.sub("<[^>]*>", " ", html).split())


def followed(records, name: str) -> list[str]:
    """The steps of one claim as texts."""
    html = show.render("claims", {"only": [name], "follow": True}, records)["text/html"]
    listed = re.search(r'<ol class="hkt-still">(.*?)</ol>', html, re.DOTALL)[1]
    return [text(item) for item in re.findall(r"<li>(.*?)</li>", listed, re.DOTALL)]


def test_a_difference_is_followed_from_its_dots_to_the_commands():
    plain, gate = family("plain", PLAIN), family("hkt", GATE, lr=0.3)
    beside = family("hkt", [80.0, 80.1, 80.2], options={"kind": "forward_gate"})
    steps = followed([*plain, *gate, *beside], "C2")
    assert [step.split(".")[0] for step in steps] == STEPS
    for seed, (a, b) in enumerate(zip(GATE, PLAIN)):
        assert f"{seed} {a:.2f} {b:.2f} {a - b:.2f}" in steps[0]
    d = stats.paired(GATE, PLAIN)
    low, high = (number(end, 2, True) for end in (d.low, d.high))
    assert f"[{low}, {high}]" in steps[1] and f"4.30 × {number(d.sd)} / √3" in steps[1]
    assert "So: reproduced." in steps[2]
    assert "lr 0.3 0.1" in steps[3] and "method hkt plain" in steps[3]
    for run in (*plain, *gate):
        assert f"data/results/run-{run.id}.json" in steps[4]
        assert f"hkt reproduce {run.id}" in steps[5]
    assert all(run.id not in " ".join(steps) for run in beside)


def test_a_claim_without_records_says_what_it_waits_for():
    (step,) = followed(family("plain", PLAIN), "C2")
    assert step.startswith("Rule.") and "there are not yet 3 published seeds" in step


def test_claims_that_are_not_about_a_difference_are_followed_too():
    records = [*family("plain", PLAIN), *family("hkt", GATE)]
    same, share = followed(records, "C4"), followed(records, "C7")
    assert "269,722" in same[0] and "each record is judged by itself" in same[1]
    assert "median share" in share[0] and "0.08" in share[0]
    command = 'hkt eval cifar10 "$HKT_DATA/weights/HKT-RestNet20.pth" --arch resnet20'
    assert f"{command} --protocol imagenet" in unescape(followed([evaluation()], "C8")[-1])


@pytest.mark.parametrize(
    "own, mixed, expected",
    [(1.0, 0.5, True), (0.5, 1.0, False), (0.5, 0.5, False), (0.1, 0.0, False), (5.0, 2.0, True)],
)
def test_the_parent_answers_where_the_mixture_is_right_more_often(own, mixed, expected):
    assert figures.parent_answers(own, mixed) is expected


def test_a_replay_has_the_three_losses_and_the_plain_child():
    losses = [{"L_c": 2.0 / i, "L_c*": 2.0 / i**3, "L_p*": 0.5} for i in (1, 2, 3)]
    gate = [
        run.model_copy(
            update={
                "epochs": [
                    epoch.model_copy(update={"train": train})
                    for epoch, train in zip(run.epochs, losses)
                ]
            }
        )
        for run in family("hkt", GATE)
    ]
    made = show.render("replay", {}, [*family("plain", PLAIN), *gate])
    rows = made[show.MIME]["values"]
    assert [row["L_c*"] for row in rows] == pytest.approx([2.0, 0.25, 2 / 27], rel=1e-4)
    assert [row["parent answers"] for row in rows] == ["no", "yes", "yes"]
    assert len(made[show.MIME]["records"]) == 2 and "in 2 of 3 epochs" in made["text/plain"]
    assert "No" in show.render("replay", {}, family("plain", PLAIN))["text/plain"]
