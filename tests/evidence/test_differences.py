"""Both directions stand in one table: what is clearly better and what is clearly worse."""

from hkt_lite.evidence import MIME, show
from tests.fabricated import family

PLAIN = [74.0, 74.6, 74.2]
ASKED = {"metrics": {"cifar10": ["accuracy"]}}
COLUMN = "better than plain by [95 %]"


def shown(*records) -> dict:
    return show.render("differences", ASKED, [*family("plain", PLAIN), *records])


def test_gains_stand_first_and_what_contains_zero_is_counted():
    made = shown(
        *family("hkt", [64.0, 64.9, 64.1]),
        *family("kd", [79.0, 79.9, 79.3]),
        *family("hkt", [74.1, 74.2, 74.5], options={"kind": "forward_gate"}),
    )
    rows = made[MIME]["values"]
    assert [row["method"] for row in rows] == ["KD", "HKT gate"]
    assert [row["in its favour"] for row in rows] == ["yes", "no"]
    assert rows[0][COLUMN]["low"] > 0 > rows[1][COLUMN]["high"]
    assert "2 of 3 differences to the plain child, 1 above it and 1 below" in made["text/plain"]
    assert len(made[MIME]["records"]) == 6


def test_without_a_clear_difference_a_sentence_says_so():
    made = shown(*family("kd", [74.1, 74.2, 74.5]))
    assert "0 of 1 differences" in made["text/plain"] and "<table" not in made["text/html"]


def test_too_few_seeds_and_unknown_metrics_are_no_difference():
    few = family("kd", [79.0, 79.9])
    assert "No difference to a plain child over 3 seeds" in shown(*few)["text/plain"]
    other = show.render("differences", {"metrics": {"cifar10": ["epe"]}}, family("plain", PLAIN))
    assert "No difference" in other["text/plain"]
