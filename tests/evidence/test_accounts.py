"""What is said of fidelity and of costs is what the records say, and each cache is paid for once."""

from hkt_lite.evidence import accounts, show
from tests.fabricated import family, run


def faithful(record, agreement, kl):
    """The record with the fidelity that a run writes; on training images ten points more."""
    test = {"agreement": agreement, "kl": kl}
    train = {"agreement": agreement + 10, "kl": kl / 2}
    return record.model_copy(update={"fidelity": {"train": train, "test": test}})


def costing(record, seconds, parent_seconds=0.0):
    cost = {"seconds": seconds, "parent_seconds": parent_seconds}
    return record.model_copy(update={"cost": record.cost.model_copy(update=cost)})


def values(call, records, **args):
    return show.render(call, args, records)[show.MIME]["values"]


def test_fidelity_is_the_mean_over_seeds_split_by_split():
    known = [faithful(one, 80.0 + i, 0.2 * i) for i, one in enumerate(family("kd", [79.0] * 3))]
    (row,) = values("fidelity", known)
    assert (row["method"], row["seeds"]) == ("KD", 3)
    assert row["agreement on test images (%)"]["mean"] == 81
    assert row["agreement on train images (%)"]["mean"] == 91
    assert abs(row["KL on test images (nats)"]["mean"] - 0.2) < 1e-9
    assert abs(row["KL on train images (nats)"]["mean"] - 0.1) < 1e-9


def test_one_run_of_a_page_has_no_spread():
    one = faithful(run("kd", purpose="live"), 75.0, 0.5)
    (row,) = show.render("fidelity", {"runs": []}, [one])[show.MIME]["values"]
    assert row["agreement on test images (%)"] == 75 and row["KL on train images (nats)"] == 0.25


def test_records_without_fidelity_get_no_row_and_one_sentence_where_none_has_it():
    plain, kd = family("plain", [74.0] * 3), family("kd", [79.0] * 3)
    with_it = [faithful(one, 80.0, 0.1) for one in kd]
    assert [row["method"] for row in values("fidelity", [*plain, *with_it])] == ["KD"]
    assert "No " in show.render("fidelity", {}, [*plain, *kd])["text/plain"]


def test_costs_count_passes_by_the_design_and_time_by_the_clock():
    plain = [costing(one, 100.0 * (i + 1)) for i, one in enumerate(family("plain", [74.0] * 3))]
    kd = [costing(one, 50.0, 7.0) for one in family("kd", [79.0] * 3)]
    live = run("hkt", 0, 64.0, parent_source="live")
    rows = {row["method"]: row for row in values("costs", [*plain, *kd, live])}
    config = kd[0].config
    assert rows["plain"]["seconds"] == {"median": 200, "low": 100, "high": 300}
    assert rows["plain"]["examples through the child"] == config.train_size * config.epochs
    assert rows["plain"]["examples through the parent"] == 0
    assert rows["KD"]["examples through the parent"] == config.train_size * config.views
    assert accounts.parent_passes(live) == config.train_size * config.epochs
    assert config.views != config.epochs


def test_tuning_is_on_the_bill_and_audits_are_not():
    tuning = run("plain", 100, 70.0, purpose="tuning")
    audit = run("plain", 9, 99.0, purpose="audit", audit=True)
    rows = values("costs", [*family("plain", [74.0] * 3), tuning, audit])
    assert [(row["for"], row["runs"]) for row in rows] == [("score", 3), ("tuning", 1)]


def test_runs_of_one_seed_pay_for_one_cache():
    """Two methods, two seeds, each seed's cache filled once: 4 runs of 900 s and 2 caches of 1,800 s."""
    known = [
        costing(one, 900.0, 1800.0)
        for method in ("kd", "hkt")
        for one in family(method, [74.0, 75.0])
    ]
    text = show.render("costs", {}, known)["text/plain"]
    assert "All 4 runs together: 2.0 hours, 2 fillings of a cache among them." in text
    alone = show.render("costs", {}, [costing(one, 1800.0) for one in family("plain", [74.0] * 2)])
    assert alone["text/plain"].endswith("All 2 runs together: 1.0 hours.")


def test_a_run_without_parent_is_on_the_bill_once_and_a_bill_of_some_is_theirs():
    plain, kd = family("plain", [74.0] * 3), family("kd", [79.0] * 3)
    blind = family("kd", [73.0] * 3, parent_weights="random", purpose="control")
    half = family("plain", [74.0] * 2, precision="bf16")
    known = [*plain, *kd, *blind, *half]
    assert sum(row["runs"] for row in values("costs", known)) == len(known)
    (row,) = values("costs", known, only={"precision": "bf16"})
    assert (row["method"], row["runs"]) == ("plain", 2)
