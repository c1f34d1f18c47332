"""What reaches a page: right numbers, the right runs, and bundles that betray every altered number."""

import base64
import json
import re
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import RichOutput

from hkt_lite import files
from hkt_lite.config import HKTError
from hkt_lite.evidence import outputs, plots, show, stats, style
from hkt_lite.evidence.groups import at
from hkt_lite.methods import METHODS
from hkt_lite.runs import records, store
from tests.fabricated import evaluation, family, run

PLAIN, GATE, KD = [74.0, 74.6, 74.2], [64.0, 64.9, 64.1], [79.0, 79.9, 79.3]
RUNS = [
    *family("plain", PLAIN),
    *family("kd", KD),
    *family("hkt", GATE),
    *family("hkt", [76.0, 76.1, 76.9], options={"kind": "forward_gate"}),
    *family("plain", [77.0, 77.2, 77.4], options={"weight": 3.0}, purpose="control"),
]
TABLES = [
    ("scores", {}),
    ("scores", {"selection": "last"}),
    ("claims", {}),
    ("claims", {"follow": True}),
    ("evals", {}),
    ("tuning", {}),
    ("dots", {}),
    ("dots", {"difference": True}),
    ("curves", {}),
    ("inherited", {}),
    ("shares", {}),
    ("replay", {}),
    ("literature", {}),
    ("criteria", {}),
]


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Published records in a folder of their own."""
    monkeypatch.setenv("HKT_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("HKT_RUNS", str(tmp_path / "runs"))

    def publish(made):
        listed = {}
        for record in made:
            path = tmp_path / "results" / records.filename(record)
            files.write_json(path, record)
            listed[path.name] = files.sha256(path)
        files.write_json(tmp_path / "results" / store.MANIFEST, listed)
        return tmp_path / "results"

    return publish


def rows(made: dict, text: str) -> list[list[str]]:
    """Cells of the HTML rows that contain `text`."""
    parts = re.findall(r"<tr>(.*?)</tr>", made["text/html"], re.S)
    return [
        [re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", part, re.S)]
        for part in parts
        if text in part
    ]


def card(made: dict, name: str) -> dict[str, str]:
    """Column -> text of the card with this anchor; its head under ''."""
    (found,) = re.findall(
        rf'<div class="hkt-card" id="{name}">(.*?)</dl></div>', made["text/html"], re.S
    )
    lines = {"": re.findall(r'<p class="hkt-head">(.*?)</p>', found, re.S)[0]}
    lines |= dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", found, re.S))
    return {column: re.sub(r"<[^>]*>", "", text) for column, text in lines.items()}


# -- which runs -----------------------------------------------------------------------------------


def test_only_score_runs_enter_a_score_table():
    others = [
        run("hkt", 9, 99.9, audit=True),
        run("hkt", 8, 99.9, purpose="tuning"),
        run("hkt", 7, 99.9, purpose="live"),
        run("hkt", 6, 99.9, purpose="audit"),
        run("plain", 5, 99.9, purpose="parent"),
    ]
    assert show.render("scores", {}, RUNS + others) == show.render("scores", {}, RUNS)
    assert "99.9" not in show.render("scores", {}, RUNS + others)["text/plain"]


def test_unlike_budgets_stand_in_tables_of_their_own():
    made = show.render("scores", {}, family("plain", PLAIN) + family("hkt", GATE, epochs=32))
    assert made["text/html"].count("<table") == 2 and rows(made, "HKT gate")[0][5] == "–"


# -- numbers -------------------------------------------------------------------------------------------------------------------


def test_score_table_shows_the_statistics_of_the_records():
    made = show.render("scores", {}, RUNS)
    d, s = stats.paired(GATE, PLAIN), stats.summary(GATE)
    minus = lambda text: text.replace("-", "−")  # noqa: E731
    assert rows(made, "HKT gate")[0] == [
        "HKT gate",
        "0.1",
        "3",
        f"{s.mean:.2f} ± {s.sd:.2f}",
        f"{s.mean - 0.5:.2f} ± {s.sd:.2f}",
        minus(f"{d.mean:+.2f} [{d.low:+.2f}, {d.high:+.2f}]"),
        f"{d.detectable:.2f}",
        "all 3" + " ".join(r.id[:8] for r in RUNS[6:9]),  # behind a toggle
    ]
    assert rows(made, ">plain<")[0][5] == "–" and rows(made, "plain ×3 loss (control)")
    assert [row["method"] for row in made[show.MIME]["values"]] == [
        "plain",
        "plain ×3 loss (control)",
        "KD",
        "HKT gate",
        "HKT forward_gate",
    ]
    assert set(made[show.MIME]["records"]) == {r.id for r in RUNS}
    assert (
        "10,000 training examples, 16 epochs, float32, resnet56 to resnet20" in made["text/plain"]
        and "97.00 on validation data, 98.50 on training data" in made["text/plain"]
    )
    assert "No clear lead" not in made["text/plain"]


def test_a_parent_that_is_no_better_than_the_plain_child_is_said():
    """Its validation accuracy against the interval of the plain child's, not against one seed."""
    poor = family("kd", PLAIN)
    known = poor[0].parent.model_copy(update={"val": {"accuracy": 75.9}})  # plain: 75.3
    poor = [run.model_copy(update={"parent": known}) for run in poor]
    text = show.render("scores", {}, [*family("plain", PLAIN), *poor])["text/plain"]
    assert "No clear lead over the plain child" in text and "hardly ask what a better" in text


def test_a_table_is_one_family_of_comparisons():
    single = [*family("plain", PLAIN), *family("kd", [75.0, 76.0, 75.0])]
    clear = show.render("scores", {}, single)["text/plain"]
    assert "+1.07 [+0.31, +1.83]" in clear and "Holm" not in clear
    noise = [family("hkt", [70.0, 74.0, 79.0 + i], options={"lam": lam}) for i, lam in LAMS]
    told = show.render("scores", {}, [*single, *sum(noise, [])])["text/plain"]
    assert "Of these 5 differences to plain, clear at 5 % after Holm's correction" in told
    assert "for their number: none." in told
    alone = show.render("scores", {"methods": ["kd"]}, [*single, *sum(noise, [])])["text/plain"]
    assert "Of the 5 differences to plain that there are (1 here), clear at 5 % after" in alone
    assert "for their number: none." in alone  # as in the whole table, whatever is shown of it


def test_a_picture_has_a_dot_for_each_row_of_its_table_whatever_the_parent():
    blind = family("kd", [73.0, 73.5, 73.1], parent_weights="random", purpose="control")
    known = [*family("plain", PLAIN), *family("kd", [75.0, 76.0, 75.0]), *blind]
    table, picture = (show.render(call, {}, known) for call in ("scores", "dots"))
    drawn = [row[""] for row in picture[show.MIME]["values"]]
    assert drawn == [row["method"] for row in table[show.MIME]["values"]]
    assert drawn == ["plain", "KD", "KD, random parent (control)"]


LAMS = list(enumerate([0.2, 0.4, 0.8, 1.0]))


def test_two_seeds_get_no_number():
    made = show.render("scores", {}, family("plain", PLAIN) + family("kd", [79.11, 79.22]))
    assert (
        "79.1" not in made["text/plain"]
        and "Without a number for want of 3 seeds: KD, lr 0.1 (2)" in made["text/plain"]
    )


def test_one_method_alone_is_compared_with_all_and_speaks_of_itself():
    """The same row and curve as among the others; no word of others' missing seeds."""
    few = [*RUNS, *family("sp", [79.11, 79.22])]
    whole, alone = (show.render("scores", {"methods": only}, few) for only in (None, ["kd"]))
    assert rows(alone, "KD") == rows(whole, "KD") and "HKT" not in alone["text/plain"]
    assert "for want of" in whole["text/plain"] and "for want of" not in alone["text/plain"]
    missing = show.render("scores", {"methods": ["sp"]}, few)["text/plain"]
    assert missing.startswith("No cifar10 run of sp with 3 seeds is published yet")
    drawn = show.render("curves", {"methods": ["kd"]}, few)
    assert drawn[show.MIME]["records"] == sorted(r.id for r in RUNS if r.config.method == "kd")
    assert "run of sp" in show.render("curves", {"methods": ["sp"]}, few)["text/plain"]


def test_tuning_marks_the_best_on_validation_and_counts_the_effort():
    grid = [
        run("plain", 0, test, val=val, lr=lr, purpose=purpose)
        for lr, test, val, purpose in [
            (0.03, 90.0, 70.0, "tuning"),
            (0.1, 10.0, 75.0, "score"),
            (0.3, 50.0, 72.0, "tuning"),
        ]
    ]
    made = show.render(
        "tuning",
        {},
        [*grid, run("plain", 1, 33.0, val=34.0), run("kd", 0, 1.0, val=60.0, purpose="tuning")],
    )
    assert rows(made, ">plain<") == [["plain", "70.00", "75.00 ★", "72.00", "inside the grid"]]
    assert (
        "tuning effort was not equal" in made["text/plain"]
        and "34.0" not in made["text/plain"]
        and "90.0" not in made["text/plain"]
    )
    assert rows(made, "KD")[0][-1] == "the only one tried"
    half = run("kd", 0, 1.0, val=61.0, purpose="tuning", precision="bf16")
    (row,) = show.render("tuning", {"only": {"precision": "bf16"}}, [*grid, half])[show.MIME][
        "values"
    ]
    assert row["method"] == "KD" and row["lr 0.1"] == 61.0


def test_what_we_measured_ourselves_is_not_called_published():
    evals = [
        evaluation(92.38),
        evaluation(91.73, "cifar10"),
        evaluation(50.0, sha256="0" * 64, name="other"),
    ]
    made = show.render("evals", {}, evals)
    assert "known value" not in made["text/html"]
    assert rows(made, "imagenet")[0][4:9] == ["92.38", "92.40", "−0.02", "read there", "92.40"]
    assert rows(made, ">cifar10<")[0][4:9] == ["91.73", "–", "–", "–", "91.73"]
    assert rows(made, "other")[0][5:9] == ["–"] * 4


def test_a_corrected_rule_is_said_under_the_criteria():
    made = show.render("criteria", {})
    assert (
        card(made, "rule-C7")["committed"]
        == "2026-11-22, corrected 2026-11-25, corrected 2026-11-29, corrected 2026-11-30"
    )
    assert "C7, corrected 2026-11-25: The rule was applied to the displ" in made["text/plain"]
    assert "C7, corrected 2026-11-29: Not only the rule" in made["text/plain"]
    assert "C7, corrected 2026-11-30: The scale `full` stands between" in made["text/plain"]


def test_a_source_that_many_numbers_share_stands_once_below_them():
    made = show.render("literature", {"task": "cifar10"})["text/html"]
    marks = [int(mark) for mark in re.findall(r"<td>\[(\d+)\]</td>", made)]
    (listed,) = re.findall(r'<ol class="hkt-marks">(.*?)</ol>', made, re.S)
    texts = re.findall(r"<li>(.*?)</li>", listed, re.S)
    assert len(texts) == len(set(texts)) == max(marks) < len(marks)
    assert sorted(set(marks)) == list(range(1, len(texts) + 1))


def test_a_published_count_is_written_in_full():
    made = show.render("literature", {"task": "cifar10"})["text/plain"]
    assert "24,879,330" in made and "e+07" not in made


def test_an_interval_is_drawn_where_there_is_one():
    drawn = outputs.interval("said", {"mean": 1.0, "low": -1.0, "high": 3.0}).html
    assert drawn.endswith("said") and 'd="M20.0 14H340.0"' in drawn  # from end to end
    assert 'cx="180.0"' in drawn and "M100.0 2V26" in drawn  # the mean; nothing, at 0
    assert outputs.interval("said", {"mean": 1.0, "low": float("nan"), "high": 2.0}).html == "said"


def test_claims_show_verdict_interval_and_records():
    made = show.render("claims", {"only": ["C2", "C8"]}, [*RUNS, evaluation(92.40)])
    c2, c8 = card(made, "C2"), card(made, "C8")
    d = stats.paired(GATE, PLAIN)
    measured = c2["what was measured"]
    assert c2[""].endswith("not reproduced") and "cpu scale" in measured
    assert f"{d.mean:+.2f}".replace("-", "−") in measured
    assert RUNS[0].id[:8] in c2["records"]
    assert made["text/html"].count('<svg class="hkt-interval"') == 1  # C8 has no interval
    assert (
        c8[""].endswith(" reproduced")
        and "hkt-chip not" in made["text/html"]
        and "hkt-chip reproduced" in made["text/html"]
    )


def test_the_rows_behind_dots_have_their_names():
    made = show.render("dots", {"difference": True}, RUNS)["text/html"]
    behind = made.partition("<details>")[2]
    assert "<td>HKT gate</td>" in behind and "[1]" not in behind


def test_an_interval_is_drawn_beside_no_difference_and_what_is_claimed():
    d = {"mean": -10.34, "low": -15.42, "high": -5.26, "claimed": 1.15}
    drawn = outputs.interval("It is so.", d).html
    assert re.findall(r">([^<>]+)</text>", drawn) == ["no difference", "claimed +1.15"]
    ends = [float(x) for x in re.findall(r'<path d="M([\d.]+) ', drawn)]
    assert ends[0] == 20 and ends[2] == 340 > ends[1]  # the lower end, 0, the claim at the right
    level = outputs.interval("It is so.", {"mean": 91.0, "low": 90.0, "high": 92.0, "target": 92.4})
    assert re.findall(r">([^<>]+)</text>", level.html) == ["claimed 92.40"]


def test_no_claim_in_particular_is_every_claim():
    one, other = (show.render("claims", {"only": only}, RUNS) for only in ([], None))
    assert one["text/plain"] == other["text/plain"]


def test_what_a_record_does_not_hold_is_named():
    assert at(RUNS[0], "selected.test.accuracy") == 74.0
    with pytest.raises(HKTError, match="nothing at 'selected.test.acuracy'.*'acuracy'"):
        at(RUNS[0], "selected.test.acuracy")


def test_live_runs_are_called_live_and_not_learnt_is_said(monkeypatch):
    monkeypatch.setattr("hkt_lite.benchmarks.cifar10.task.Cifar10.chance", 10.0, raising=False)
    made = show.render(
        "live",
        {"runs": []},
        [run("plain", 0, 11.0, purpose="live"), run("hkt", 0, 40.0, purpose="live")],
    )
    assert (
        rows(made, ">plain<")[0][5] == "11.00 (not learnt)"
        and rows(made, "HKT gate")[0][5] == "40.00"
    )
    assert (
        "no interval and no verdict" in made["text/plain"]
        and "Not learnt, not clearly better than an answer without looking: plain, seed 0."
        in made["text/plain"]
    )


def test_an_audit_on_a_page_hides_no_other_run_of_it(monkeypatch):
    monkeypatch.setattr("hkt_lite.evidence.tables.published", list)
    live = [
        run("plain", 0, 41.0, purpose="live"),
        run("kd", 0, 40.0, purpose="audit", audit=True),
    ]
    rows = show.render("live", {"runs": []}, live)[show.MIME]["values"]
    assert [row["method"] for row in rows] == ["plain", "KD"]


def test_curves_of_runs_that_only_their_setting_tells_apart_are_all_drawn():
    few = [run("plain", 0, 40.0, purpose="live", train_size=1000 * n) for n in (1, 2, 3)]
    made = show.render("curves", {"runs": []}, few)
    assert len(made[show.MIME]["values"][0]) == 1 + len(few)
    assert "None" not in made["text/plain"]


def test_a_live_run_says_what_its_published_twin_ended_with(monkeypatch):
    """Another machine's last digits differ, and with them, in time, the scores."""
    live = [run("plain", 0, 41.0, purpose="live"), run("kd", 0, 40.0, purpose="live")]
    twins = [run("plain", 0, 42.5), run("kd", 0, 40.001), run("kd", 1, 55.0)]
    monkeypatch.setattr("hkt_lite.evidence.tables.published", lambda: twins)
    said = show.render("live", {"runs": []}, live)["text/plain"]
    assert "Published records, to which the ids lead" in said
    assert said.endswith("Test accuracy (%) there: plain 42.50.")
    monkeypatch.setattr("hkt_lite.evidence.tables.published", lambda: twins[1:])
    assert "Published" not in show.render("live", {"runs": []}, live)["text/plain"]


def test_a_parent_that_a_run_made_is_named_by_it():
    made = family("kd", [74.0, 75.0, 73.0], parent_weights="run:0123456789ab")
    text = show.render("scores", {}, [*family("plain", [70.0, 71.0, 72.0]), *made])["text/plain"]
    assert "Parent resnet56 (of run 0123456789ab): accuracy" in text


def test_live_runs_without_the_metric_say_which_they_have():
    with pytest.raises(HKTError, match="no test metric 'dice'; it has accuracy, loss"):
        show.render("live", {"runs": [], "metric": "dice"}, [run("plain", 0, 40.0, purpose="live")])


@pytest.mark.parametrize("name", ["displacement", "share", "gate"])
def test_where_next_to_nothing_is_inherited_it_is_said(name):
    idle, active = family("hkt", GATE, share=(0.0, 0.004, 0.01)), family("hkt", GATE)
    assert "HKT gate is inactive" in show.render("inherited", {"name": name}, idle)["text/plain"]
    assert "inactive" not in show.render("inherited", {"name": name}, active)["text/plain"]


def test_share_displacement_and_gate_are_three_things():
    said, values = {}, {}
    for name in ("displacement", "share", "gate"):
        made = show.render("inherited", {"name": name}, family("hkt", GATE))
        said[name], values[name] = made["text/plain"], made[show.MIME]["values"][-1]["q50"]
    assert "displacement |m − c| / |c|" in said["displacement"]
    assert "share ρ" in said["share"] and "gate g" in said["gate"]
    assert values["share"] == 0.08 and values["displacement"] == 0.32
    assert values["gate"] == pytest.approx(1 - 0.08 / 0.6, rel=1e-5)
    with pytest.raises(HKTError, match="Did you mean 'share'"):
        show.render("inherited", {"name": "shares"}, family("hkt", GATE))


# -- nothing to show, wrong arguments ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["scores", "dots", "tuning", "evals", "curves", "inherited"])
def test_without_published_records_one_sentence_says_so(call, results):
    made = show.render(call, {})
    assert (
        "is published yet" in made["text/plain"]
        and "\n" not in made["text/plain"]
        and made[show.MIME]["records"] == []
    )


@pytest.mark.parametrize(
    "call, args, said",
    [
        ("score", {}, "Did you mean 'scores'"),
        ("scores", {"metrics": 1}, "Did you mean 'metric'"),
        ("scores", {"task": "cifar01"}, "Did you mean 'cifar10'"),
        ("scores", {"scale": "quik"}, "Did you mean 'quick'"),
        ("curves", {"source": "reel"}, "Did you mean 'real'"),
        ("scores", {"methods": ["hdk"]}, "There is no method 'hdk'"),
        ("claims", {"only": ["C22"]}, "no claim 'C22'"),
        ("scores", {"selection": "best"}, "'selected' or 'last'"),
        ("scores", {"metric": "acuracy"}, "no test metric 'acuracy'"),
        ("curves", {"path": "val.acuracy"}, None),
        ("curves", {"path": "seconds"}, "no curve 'seconds'"),
    ],
)
def test_wrong_arguments_are_one_sentence(call, args, said):
    if said is None:
        assert "is published yet" in show.render(call, args, RUNS)["text/plain"]
        return
    with pytest.raises(HKTError, match=said):
        show.render(call, args, RUNS)


# -- recomputing and falsifying ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call, args", TABLES)
def test_render_is_repeatable_and_valid_json(call, args, results):
    results([*RUNS, evaluation(92.40), run("plain", 0, 60.0, lr=0.03, purpose="tuning")])
    made = show.render(call, args)
    assert made == show.render(call, args) == json.loads(json.dumps(made, allow_nan=False))
    assert show.render(made[show.MIME]["call"], made[show.MIME]["args"]) == made


@pytest.mark.parametrize("call", ["scores", "claims", "dots", "curves"])
def test_another_record_another_bundle(call):
    other = [run("hkt", 0, 64.02) if r is RUNS[6] else r for r in RUNS]
    before, after = show.render(call, {}, RUNS), show.render(call, {}, other)
    assert (
        before[show.MIME]["values"] != after[show.MIME]["values"]
        and before["text/html"] != after["text/html"]
    )


def test_altered_record_is_refused(results):
    home = results(RUNS)
    path = next(home.glob("run-*.json"))
    path.write_text(path.read_text().replace('"accuracy": 7', '"accuracy": 8', 1))
    with pytest.raises(HKTError, match=path.name):
        show.render("scores", {})


def test_altered_manifest_is_refused(results):
    home = results(RUNS)
    listed = json.loads((home / store.MANIFEST).read_text())
    del listed[next(iter(listed))]
    (home / store.MANIFEST).write_text(json.dumps(listed))
    with pytest.raises(HKTError, match="not listed in MANIFEST.json"):
        show.render("scores", {})


def test_live_runs_are_found_again_in_the_store_which_is_read_once(results, monkeypatch):
    made = [run("plain", seed, 40.0, purpose="live") for seed in range(3)]
    for one in made:
        files.write_json(store.runs_home() / one.id / "record.json", one)
    args, reads = {"runs": [one.id for one in made]}, []
    real = store.Store.records
    monkeypatch.setattr(store.Store, "records", lambda self: reads.append(1) or real(self))
    assert show.render("live", args) == show.render("live", args, made) and len(reads) == 1
    with pytest.raises(HKTError, match="no record 'gone'"):
        show.render("live", {"runs": ["gone"]})


# -- display -------------------------------------------------------------------------------------------------------------------


def displayed(action) -> RichOutput:
    """What `action` displays in a notebook: data and metadata."""
    from IPython.utils.capture import capture_output

    InteractiveShell.instance()
    with capture_output() as said:
        action()
    return said.outputs[0]


def test_public_call_displays_what_render_recomputes(results):
    results(RUNS)
    shown = displayed(lambda: show.scores("cifar10", scale="cpu"))
    assert set(shown.data) == {"text/plain", "text/html", show.MIME}
    assert shown.data == show.render("scores", shown.data[show.MIME]["args"])
    assert "records" not in str(__import__("inspect").signature(show.scores))


def test_figure_has_alternative_text_a_table_and_the_same_bits():
    def draw(value=2.0):
        fig, ax = style.axes()
        _ = ax.plot([1, value])
        return displayed(
            lambda: show.figure(fig, "A line & more", pd.DataFrame({"x": [1.0, value]}))
        )

    once, again, other = draw(), draw(), draw(2.5)
    assert (
        once.data == again.data
        and once.data[show.MIME]["values"]["digest"] != other.data[show.MIME]["values"]["digest"]
    )
    assert (
        once.metadata["alt"] == "A line & more"
        and 'alt="A line &amp; more"' in once.data["text/html"]
        and "<details>" in once.data["text/html"]
    )
    svg = base64.b64decode(re.search(r"base64,([^\"]+)", once.data["text/html"])[1])
    assert ElementTree.fromstring(svg).tag.endswith("svg") and b"<dc:date>" not in svg
    with pytest.raises(HKTError, match="alternative text"):
        show.figure(style.axes()[0], " ")


def test_text_from_elsewhere_is_escaped():
    escaped = outputs.Table()
    escaped.row({"<u>": "<b>"})
    html = escaped.block("<i>").html
    assert not {"<b>", "<u>", "<i>"} & set(re.findall("<.>", html)) and "&lt;b&gt;" in html


def test_numbers_are_written_with_a_real_minus_and_a_dash_for_none():
    assert (
        outputs.number(-1.005, 1),
        outputs.number(None),
        outputs.number(float("nan")),
        outputs.number(1234.5),
    ) == ("−1.0", "–", "–", "1,234.50")
    assert outputs.plain({"a": (np.float64(1 / 3), float("nan"), 2)}) == {"a": [0.333333, None, 2]}


# -- figures -------------------------------------------------------------------------------------------------------------------


def test_figures_hand_over_their_numbers():
    dots = [
        {"label": "plain", "mean": 1.0, "low": 0.5, "high": 1.5},
        {"label": "KD", "mean": 2.0, "low": None, "high": None},
    ]
    _, alt, table = plots.dots(dots, "points", zero="plain")
    assert "plain 1.00 [0.50, 1.50]" in alt and list(table["points"]) == [1.0, 2.0]
    _, alt, table = plots.curves({"KD": [[1, 2], [3, 4]]}, "points")
    assert list(table["KD"]) == [2, 3] and list(table["epoch"]) == [1, 2]
    quantiles = [{"q05": 0.1, "q25": 0.2, "q50": 0.3, "q75": 0.4, "q95": 0.5}]
    _, alt, table = plots.inherited({"HKT gate": quantiles}, "share ρ")
    assert "median 0.3" in alt and table.loc[0, "q95"] == 0.5


def test_long_names_leave_dots_their_place():
    name = "HKT gate, at bottleneck+decoder1, parent of run 127d956f3ea9 (control)"
    rows = [{"label": name, "mean": 0.1, "low": -0.1, "high": 0.3}] * 14
    fig, _, table = plots.dots(rows, "test Dice: better than plain by", zero="plain")
    fig.canvas.draw()
    ax = fig.axes[0]
    assert table[""][0] == name  # whole where there is room
    assert ax.get_position().width > 0.45
    boxes = [one.get_window_extent() for one in ax.get_yticklabels()]
    assert all(upper.y0 > lower.y1 for upper, lower in zip(boxes, boxes[1:]))
    assert ax.xaxis.label.get_window_extent().x1 <= fig.bbox.x1


@pytest.mark.parametrize(
    "axis, values, scale",
    [
        ("training L_c*", [2.0, 0.01], "log"),
        ("training L_c", [2.0, 1.0], "linear"),
        ("training L_c", [2.0, 0.0], "linear"),
        ("validation accuracy (%)", [10.0, 0.5], "linear"),
    ],
)
def test_losses_that_fall_far_are_drawn_on_a_logarithmic_axis(axis, values, scale):
    fig, _, _ = plots.curves({"plain": [values]}, axis)
    assert fig.axes[0].get_yscale() == scale


def test_methods_look_different_without_colour():
    names = [method.title for name, method in METHODS.items() if name != "hkt"]
    names += ["plain ×3 loss", "HKT gate", "HKT forward_gate", "parent"]
    looks = [(style.of(name)["marker"], style.of(name)["linestyle"]) for name in names]
    assert len(set(looks)) == len(looks) and style.of("HKT gate")["color"] == style.INHERITED


def test_lines_of_variants_in_one_figure_can_be_told_apart():
    names = ["plain", "AT", "AT, at layers", "AT, at blocks", "AT, at blocks, beta 333"]
    looks = style.together(names)
    assert all(looks[name] == style.of(name) for name in names[:3])
    assert len({(str(one["linestyle"]), one["color"]) for one in looks.values()}) == len(names)
    assert looks["AT, at blocks"]["markerfacecolor"] == "white"


def test_a_method_keeps_its_look_and_a_new_one_gets_its_own(monkeypatch):
    before = style.of("KD, alpha 0.5 (control)")
    assert before == {**style.of("KD"), "linestyle": ":"}
    assert style.of("plain ×2 loss")["color"] == style.CHILD
    new = {title.lower(): SimpleNamespace(title=title) for title in ("New", "Newer")}
    monkeypatch.setattr(style, "METHODS", {**METHODS, **new})
    assert style.of("KD, alpha 0.5") == before
    assert style.of("New")["color"] != style.of("Newer")["color"] != style.TRUTH
    assert style.of("no method")["color"] == style.TRUTH


# -- other tasks -------------------------------------------------------------------------------------------------------------


def flow_run(method, seed, epe, **fields):
    """A made-up run of the flow task: lower is better."""
    from hkt_lite.benchmarks import resolve
    from hkt_lite.config import Config
    from hkt_lite.runs.records import Epoch, Score

    config = resolve(
        Config(
            **{
                "task": "flow",
                "method": method,
                "scale": "cpu",
                "source": "synthetic",
                "seed": seed,
                **fields,
            }
        )
    )
    score = Score(
        epoch=1, val={"epe": epe, "epe_zero": 6.0}, test={"sintel_epe": epe, "sintel_epe_zero": 6.0}
    )
    base = run("hkt" if method != "plain" else "plain", 0)
    parent = base.parent and base.parent.model_copy(
        update={"val": {"epe": 2.5}, "train": {"epe": 2.25}}
    )
    return base.model_copy(
        update={
            "id": config.id,
            "config": config,
            "selected": score,
            "last": score,
            "parent": parent,
            "epochs": [Epoch(epoch=1, lr=0.1, seconds=1, train={"L_c": 1.0}, val={"epe": epe})],
        }
    )


FLOWS = [
    *(flow_run("plain", seed, 4.0 + seed / 10) for seed in range(3)),
    *(flow_run("hkt", seed, 3.5 + seed / 10, sites="2hkt") for seed in range(3)),
    *(flow_run("hkt", seed, 4.5 + seed / 10, sites="3hkt") for seed in range(3)),
]


def test_where_less_is_better_a_smaller_error_is_a_gain_and_sites_are_rows_of_their_own():
    made = show.render("scores", {"task": "flow", "metric": "sintel_epe"}, FLOWS)
    assert rows(made, "at 2hkt")[0][3] == "3.600 ± 0.100" and rows(made, "at 2hkt")[0][
        5
    ].startswith("+0.500")
    assert (
        rows(made, "at 3hkt")[0][5].startswith("−0.500")
        and "2.500 on validation data, 2.250 on training data" in made["text/plain"]
    )
    assert "Not learnt" not in made["text/plain"]
    lost = show.render(
        "scores",
        {"task": "flow", "metric": "sintel_epe"},
        [*FLOWS[:5], flow_run("hkt", 2, 5.9, sites="2hkt")],
    )
    assert (
        "Not learnt, not clearly better than an answer without looking: HKT gate, at 2hkt, seed 2."
        in lost["text/plain"]
    )
    live = show.render(
        "live", {"runs": [], "metric": "sintel_epe"}, [FLOWS[0], flow_run("plain", 5, 5.9)]
    )
    assert (
        "5.900 (not learnt)" in live["text/plain"]
        and "4.000 (not learnt)" not in live["text/plain"]
    )


def test_only_accuracies_can_be_replayed():
    losses = {"L_c": 1.0, "L_c*": 1.0, "L_p*": 1.0}
    epochs = [epoch.model_copy(update={"train": losses}) for epoch in FLOWS[3].epochs]
    made = FLOWS[3].model_copy(update={"epochs": epochs})
    with pytest.raises(HKTError, match=f"run {made.id} of 'flow' has no accuracy.*but epe"):
        show.render("replay", {"runs": []}, [made])


def test_claims_about_flow_want_real_data():
    made = show.render("claims", {"only": ["C5"]}, FLOWS)
    assert (
        "cannot be tested here" in made["text/plain"]
        and "HKT gate, at 2hkt and plain" in made["text/plain"]
    )


def test_children_elsewhere_stand_beside_an_answer_without_looking():
    def abroad(record, epe, corpus="sintel-clean"):
        return evaluation().model_copy(
            update={
                "id": f"{record.id[:8]}{corpus[:4]}",
                "checkpoint": f"run {record.id}",
                "task": "flow",
                "protocol": {"corpus": corpus, "pairs": 4},
                "metrics": {"epe": epe, "epe_zero": 10.0},
            }
        )

    found = [abroad(record, 8.0 + i) for i, record in enumerate(FLOWS[:3])] + [
        abroad(FLOWS[3], 9.5),
        evaluation(),
    ]
    made = show.render("elsewhere", {"task": "flow"}, [*FLOWS, *found])
    assert rows(made, ">plain<")[0][:7] == [
        "sintel-clean, 4 pairs",
        "plain",
        "layers",
        "3",
        "9.000 ± 1.000",
        "10.000",
        "no",
    ]
    assert rows(made, "at 2hkt")[0][3:7] == ["1", "9.500 ± –", "10.000", "no"]
    lender = next(run.parent for run in FLOWS if run.parent)
    parents = abroad(FLOWS[3], 2.0).model_copy(
        update={"id": "ba9876543210", "checkpoint": "any.safetensors", "sha256": lender.sha256}
    )
    with_it = show.render("elsewhere", {"task": "flow"}, [*FLOWS, *found, parents])
    assert rows(with_it, "sintel-clean")[0][1] == f"the parent, {parents.arch}"
    assert rows(with_it, "the parent")[0][3:7] == ["1", "2.000 ± –", "10.000", "yes"]
    other = FLOWS[0].config.but(seed=7, train_size=FLOWS[0].config.train_size // 2)
    smaller = FLOWS[0].model_copy(update={"id": other.id, "config": other})
    apart = show.render(
        "elsewhere", {"task": "flow"}, [*FLOWS, smaller, *found, abroad(smaller, 1)]
    )
    counts = [row[3] for row in rows(apart, ">plain<")]
    assert counts == ["3", "1"] or counts == ["1", "3"]  # another training is no further seed
    shrunk = found[0].model_copy(
        update={"protocol": {**found[0].protocol, "shrunk": 4}, "id": "0123456789ab"}
    )
    assert "sintel-clean, 4 pairs, shrunk 4 times" in str(
        show.render("elsewhere", {"task": "flow"}, [*FLOWS, shrunk])
    )
    assert (
        "no evaluation of a recorded lits child"
        in show.render("elsewhere", {"task": "lits"}, FLOWS)["text/plain"].lower()
    )
    assert "run " not in show.render("evals", {}, [*FLOWS, *found])["text/plain"]


def test_only_runs_with_the_fields_asked_for_are_shown():
    def more(run):
        config = run.config.but(updates=12)
        return run.model_copy(update={"id": config.id, "config": config})

    both, few, many = [*FLOWS, *map(more, FLOWS[:6])], {"updates": 4}, {"updates": 12}
    assert {run.config.updates for run in FLOWS} == {4}
    for name, args in {
        "scores": {"metric": "sintel_epe"},
        "dots": {"metric": "sintel_epe", "difference": True},
        "contrasts": {
            "metric": "sintel_epe",
            "pairs": [[{"method": "hkt", "sites": "2hkt"}, {"method": "plain"}]],
        },
        "curves": {"path": "val.epe"},
    }.items():
        asked = {"task": "flow", **args}
        for only, runs in ((few, FLOWS), (many, both[9:])):
            made = show.render(name, {**asked, "only": only}, both)
            assert made[show.MIME]["values"] == show.render(name, asked, runs)[show.MIME]["values"]
            assert set(made[show.MIME]["records"]) <= {run.id for run in runs}
    with pytest.raises(HKTError, match=r"no field 'update'.* 'updates'"):
        show.render("scores", {"task": "flow", "only": {"update": 4}}, FLOWS)


def test_the_embedded_datas_difficulty_is_the_gap_to_the_biggest_network():
    big = family(
        "plain",
        [94.0, 95.0, 94.5],
        purpose="parent",
        scale="quick",
        source="synthetic",
        child="resnet20",
        parameters=270_000,
    )
    small = family(
        "plain",
        [90.0, 90.5, 91.0],
        purpose="parent",
        scale="quick",
        source="synthetic",
        child="resnet8",
        parameters=75_000,
    )
    made = show.render("embedded", {}, [*small, *big])
    assert rows(made, ">resnet20<")[0][3] == "94.50 ± 0.50" and rows(made, ">resnet8<")[0][
        4
    ].startswith("+4.00")
    assert "is published yet" in show.render("embedded", {}, big[:2])["text/plain"].lower()
