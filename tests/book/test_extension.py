"""What the book adds to Sphinx: verdicts from records, formulas, a record's page, the last touch."""

import ast
import dataclasses
import inspect
import json
import re
import shlex
import shutil
from types import SimpleNamespace

import pytest
import yaml
from docutils import nodes
from hkt_book import address, answer, api, dress, formulas, records
from pygments.styles import get_style_by_name
from pygments.token import Token
from sphinx.errors import ConfigError

import hkt_lite
from hkt_lite.benchmarks import get
from hkt_lite.config import PROJECT, results_home
from hkt_lite.evidence.verdicts import CANNOT
from hkt_lite.files import sha256, write_json
from hkt_lite.methods import attention
from hkt_lite.runs.records import CHECKSUM
from hkt_lite.runs.store import MANIFEST, published
from tests.fabricated import family

SIDES = re.compile(r"<h3>(.*?)</h3>(.*?)</section>", re.DOTALL)


def sides() -> dict[str, set[str]]:
    """What stands where on the front page: heading -> ids of claims."""
    made = answer.strip(answer.judged(published()))
    return {name: set(re.findall(r"<b>(C\d)</b>", listed)) for name, listed in SIDES.findall(made)}


@pytest.fixture
def other_results(tmp_path, monkeypatch):
    """change(edit): the published records, each changed by `edit`, and a manifest that owns them."""

    def change(edit) -> None:
        home = shutil.copytree(results_home(), tmp_path / "results")
        for path in home.glob("*-*.json"):
            record = json.loads(path.read_text(encoding="utf-8"))
            record.pop(CHECKSUM, None)  # of what it said before
            edit(record)
            write_json(path, record)
        listed = {path.name: sha256(path) for path in sorted(home.glob("*-*.json"))}
        write_json(home / MANIFEST, listed)
        monkeypatch.setenv("HKT_RESULTS", str(home))

    return change


# -- the answer ------------------------------------------------------------------------------------


def test_every_claim_stands_on_one_side_and_leads_to_its_card():
    made = answer.judged(published())
    known = [claim.id for claim, _ in made]
    assert sorted(name for side in sides().values() for name in side) == sorted(known)
    shown = answer.strip(made, up="../")
    for claim, verdict in made:
        assert f'href="../_generated/30_scoreboard.html#{claim.id}"' in shown
        assert shown.count(verdict.verdict) >= 1
    assert answer.sentence(made).startswith(f"Of the paper’s {answer._word(len(known))} claims")


@pytest.mark.parametrize("word", ["reproduced", "partly", "not reproduced", "undecided", CANNOT])
def test_each_verdict_has_a_side_and_is_counted(word):
    claim, verdict = answer.judged(published())[0]
    made = [(claim, dataclasses.replace(verdict, verdict=word))]
    assert answer.strip(made).count("<section") == 1  # a side without a claim is left out
    expected = 4 if word == "reproduced" else 3  # claim, its verdict, and it is of a gain
    assert answer.sentence(made).count(" one ") == expected
    gain = "one is reproduced" if word == "reproduced" else "none are reproduced"
    assert answer.sentence(made).endswith(f"better by inheriting, {gain}.")


def test_what_is_better_and_what_is_worse_is_said_from_the_records_alike():
    """Fabricated: a variant above the plain child, one with an interval that holds 0, and HKT."""
    plain, clear = family("plain", [74.0, 74.6, 74.2]), [75.0, 75.7, 75.2]
    sharp = {"sam": 0.05, "purpose": "control"}
    open_ = family("kd", [73.0, 75.6, 74.4])
    said = answer.both_ways([*plain, *open_, *family("plain", clear, **sharp)], "More.")
    size = plain[0].config.train_size
    at = f"<b>CIFAR-10</b>, {size:,} training examples, accuracy (%): "
    assert said.startswith(
        f"<p>Furthest ahead of the plain child, whatever was claimed: {at}"
        "plain, SAM 0.05 +1.03 [+0.89, +1.18], a control. More.</p>"
    )
    assert "Of 2 differences to the plain child on real data, 1 lie above 0" in said
    assert f"Above:</p><ul><li>{at}plain, SAM 0.05 +1.03 [+0.89, +1.18]</li>" in said
    assert "for all 2, 1 of these would stand: plain, SAM 0.05. Run with more" in said
    assert "KD" not in said and "Below" not in said and said.endswith("<p>More.</p></details>")
    worse = family("rkd", [73.0, 73.7, 73.2])
    better = family("sp", [score + 1 for score in clear])
    said = answer.both_ways([*plain, *family("hkt", clear), *better, *worse])
    assert f"claimed: {at}SP +" in said
    larger = [
        family(name, scores, train_size=2 * size)
        for name, scores in (("plain", [74.0, 74.6, 74.2]), ("kd", [74.1, 74.4, 74.5]))
    ]
    both = answer.both_ways([*plain, *better, *larger[0], *larger[1]])
    nobody = f"claimed: {at.replace(f'{size:,}', f'{2 * size:,}')}nobody by an interval above 0, "
    assert f"{nobody}the nearest KD +0.07 [" in both and f"]; {at}SP +2.03 [+1.89" in both
    folded = said.split("</summary>")[1]
    assert folded.index("SP +") < folded.index("HKT gate +")  # the farthest first
    assert f"Below:</p><ul><li>{at}RKD −0.97" in folded
    assert "2 lie above 0 by their interval and 1 below" in said
    said = answer.both_ways([*plain, *open_])
    assert "Furthest" not in said
    assert "none lie above 0 by their interval and none below" in said and "<ul>" not in said
    weak = family("sp", [74.5, 75.5, 74.9], purpose="control")  # +0.70 [+0.20, +1.20], p 0.026
    assert "for all 2, 0 of these would stand. Run" in answer.both_ways([*plain, *open_, *weak])
    assert answer.both_ways(plain) == ""
    embedded = [
        family(name, scores, source="synthetic")
        for name, scores in (("plain", [74.0, 74.6, 74.2]), ("hkt", clear))
    ]
    said = answer.both_ways([one for made in embedded for one in made])
    assert "on embedded data, painted for this book, 1 lie above" in said and "real" not in said


def test_what_was_run_with_more_examples_is_said_of_what_is_better():
    large = {"scale": "full", "train_size": 45_000, "epochs": 30}
    clear = [75.0, 75.7, 75.2]
    short = family("plain", [74.0, 74.6, 74.2]) + family("hkt", clear) + family("sp", clear)
    assert "Run with more examples, too: none of them." in answer.both_ways(short)
    long = family("plain", [74.1, 74.5, 74.3], **large) + family("hkt", [74.1, 74.4, 74.5], **large)
    assert "Run with more examples, too: HKT gate." in answer.both_ways(short + long)


def test_a_finding_is_the_chip_and_what_was_measured():
    seen = SimpleNamespace(note_dependency=str, docname="course/faq")
    errors = SimpleNamespace(error=lambda said, line: said)
    document = SimpleNamespace(settings=SimpleNamespace(env=seen))
    at = SimpleNamespace(document=document, reporter=errors)
    chip, said = answer.role("finding", "", "C4", 1, at)[0]
    (verdict,) = (made for claim, made in answer.judged(published()) if claim.id == "C4")
    assert 'href="../_generated/30_scoreboard.html#C4"' in chip.astext()
    assert said.astext() == f" {verdict.finding} ({verdict.scope})."
    none, (problem,) = answer.role("finding", "", "C44", 1, at)
    assert not none and problem == "There is no claim 'C44'. Did you mean 'C4'?"


def test_changed_rules_are_named_from_the_claims():
    made = answer.judged([])
    names = [claim.id for claim, _ in made if claim.errata]
    assert names and f"Those of {', '.join(names)} were" in answer.changed(made)
    assert answer.changed([one for one in made if not one[0].errata]).startswith("<p>No rule was")


def test_other_records_give_another_answer(other_results):
    """A child of another size: C4 changes its side, its chip and the count in the sentence."""
    before, said = sides(), answer.sentence(answer.judged(published()))
    assert "C4" in before["Speaks for the claims"]

    def larger(record):
        if record["kind"] == "run" and record["config"]["method"] == "hkt":
            record["cost"]["parameters"] += 1

    other_results(larger)
    assert "C4" in sides()["Speaks against them"]
    assert answer.sentence(answer.judged(published())) != said


def test_better_children_change_the_central_claim(other_results):
    def better(record):
        if record["kind"] == "run" and record["config"]["method"] == "hkt":
            for state in ("selected", "last"):
                metrics = record[state]["test"]
                if "accuracy" in metrics:
                    metrics["accuracy"] = 95.0 + record["config"]["seed"] / 100

    other_results(better)
    assert {"C2", "C3"} <= sides()["Speaks for the claims"]
    said, measured, smaller, paper = answer.central(answer.judged(published()))
    assert "is reproduced: trained with HKT as released it is right on 95.01\u00a0%" in said
    assert measured.startswith("HKT gate minus plain: +")
    assert smaller.startswith("With less to learn from")
    assert paper.startswith("The paper’s own training, 200 epochs with resnet110")


def test_the_front_page_says_what_a_smaller_budget_found_beside_the_one_that_decides():
    large = {"scale": "full", "train_size": 45_000, "epochs": 30}
    short = family("plain", [74.1, 74.5, 74.3]) + family("hkt", [64.0, 64.9, 64.1])
    assert len(list(answer.central(answer.judged(short)))) == 3
    long = family("plain", [74.1, 74.5, 74.3], **large) + family("hkt", [76.1, 76.4, 76.4], **large)
    decides, measured, beside, _ = answer.central(answer.judged(short + long))
    assert "is reproduced" in decides and "full scale" in measured
    assert (
        beside.startswith("With less to learn from, not deciding: cpu scale") and "−9.97" in beside
    )


# -- formulas --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tex, groups, parts",
    [
        ("m = c", 1, 2),
        (r"m = c + \rho\,(p - c), \qquad \rho = \lambda\,(1 - g)", 2, 3 + 2),
        (r"\langle c, p \rangle + \lVert m - c \rVert", 1, 2),
        (r"W = \big( H + I \big)^{-1} Y", 1, 2),
    ],
)
def test_a_formula_is_broken_at_joints_outside_of_brackets(tex, groups, parts):
    made = formulas.formula(tex, display=True)
    assert made.count("<span>") == groups and made.count("<math") == parts
    assert "\\" not in made


def test_what_the_converter_does_not_know_is_written_otherwise():
    assert "\\" not in formulas.formula(r"\big\lVert f \big\rVert_1 + \arg\max_k x")
    assert 'stretchy="false"' in formulas.formula(r"\lVert c \rVert")


# -- records ---------------------------------------------------------------------------------------


def test_a_records_page_says_all_of_it():
    run = next(record for record in published() if record.kind == "run" and record.parent)
    facts = records.facts(run)
    sections = dict(facts["sections"])
    assert facts["command"] == f"hkt reproduce {run.id}"
    assert ("seed", str(run.config.seed)) in sections["Configuration"]
    assert ("commit", run.provenance.commit) in sections["Provenance"]
    names = {curve["name"] for curve in facts["curves"]}
    assert {f"training {term}" for term in run.epochs[0].train} <= names
    assert len(facts["epochs"]) == len(run.epochs)


def test_each_kind_of_record_has_a_page_and_a_command():
    for kind, begins in (
        ("run", "hkt reproduce"),
        ("eval", "hkt eval"),
        ("again", "hkt reproduce"),
    ):
        record = next(record for record in published() if record.kind == kind)
        assert records.facts(record)["command"].startswith(begins)


def test_an_evaluation_is_repeated_under_its_own_protocol():
    for record in published():
        if record.kind != "eval":
            continue
        words = shlex.split(records.facts(record)["command"])
        assert words[:3] == ["hkt", "eval", record.task]
        of, named = words[3], dict(zip(words[4::2], words[5::2]))
        if of.startswith("data/parents/"):
            assert (PROJECT / of).is_file() and named["--arch"] == record.arch
        else:
            assert f"run {of}" == record.checkpoint or of.startswith("$HKT_DATA/weights/")
        said = get(record.task).protocols[named["--protocol"]]
        assert said.items() <= record.protocol.items()


def test_ids_become_links_only_where_there_is_a_page():
    known = {"0123456789ab"[:8]: "0123456789ab"}
    shown = (
        '<code title="0123456789ab">01234567</code> <code>0123456789ab</code> <code>89abcdef</code>'
    )
    linked = dress.ID.sub(lambda found: dress._linked(found, known, "../"), shown)
    assert linked.count('href="../records/0123456789ab.html"') == 2
    assert "<code>89abcdef</code>" in linked and "89abcdef.html" not in linked
    assert dress._linked(dress.ID.match("<code>012345670000</code>"), known, "") == (
        "<code>012345670000</code>"
    )


# -- the last touch --------------------------------------------------------------------------------


def test_a_page_is_described_by_its_question_and_first_sentences():
    box = nodes.admonition("", nodes.title("", "Why?"), classes=["hkt-question"])
    box += nodes.paragraph("", "You need: nothing")
    text = nodes.paragraph("", "Because " + "it is so. " * 60)
    document = nodes.section("", box, text)
    said = dress.describe(document)
    assert said.startswith("Why? Because it is so.") and len(said) <= 202 and said.endswith("…")


def test_a_picture_becomes_a_file_with_its_size(tmp_path):
    svg = b'<svg xmlns:xlink="x" width="72pt" height="36pt" viewBox="0 0 72 36"></svg>'
    import base64

    shown = f'<img src="data:image/svg+xml;base64,{base64.b64encode(svg).decode()}" alt="A">'
    made = dress.PICTURE.sub(lambda found: dress._file(tmp_path, "../", *found.groups()), shown)
    (path,) = (tmp_path / "_images").glob("*.svg")
    assert path.read_bytes() == svg
    assert f'src="../_images/{path.name}"' in made and 'width="96" height="48"' in made
    assert 'class="hkt-drawn"' in made

    svg = svg.replace(b"></svg>", b'><image href="data:image/png;base64,"/></svg>')
    held = shown.replace(shown.split("base64,")[1].split('"')[0], base64.b64encode(svg).decode())
    made = dress.PICTURE.sub(lambda found: dress._file(tmp_path, "../", *found.groups()), held)
    assert "hkt-drawn" not in made  # an image on a dark page is the image that was computed


def test_code_that_has_the_colour_of_the_text_needs_no_mark():
    code = '<span class="k">if</span><span class="w"> </span><span class="n">a</span><span class="p">:</span>'
    assert dress.PLAIN.sub(r"\1", code) == '<span class="k">if</span> a:'
    config = yaml.safe_load((PROJECT / "_config.yml").read_text(encoding="utf-8"))
    options = config["sphinx"]["config"]["html_theme_options"]
    for theme in ("light", "dark"):
        style = get_style_by_name(options[f"pygments_{theme}_style"])
        plain = (Token.Text, Token.Text.Whitespace, Token.Name, Token.Punctuation)
        assert len({style.style_for_token(kind)["color"] for kind in plain}) == 1


def test_styles_of_what_no_page_has_are_left_out():
    used = (
        "@charset 'x';.card{color:red}.gone,p{x:y}a:not(.gone){x:y}:is(.gone,.card){x:y}"
        ".hkt-7:before{x:y}.w-1\\/2{x:y}@font-face{src:url(a.gone)}@keyframes k{0%{x:y}}"
    )
    unused = "/*! MIT, by.gone */.gone.card:hover,.card>.gone:not(p){x:y}.gone{x:y}"
    made = dress.purged(f"{used}{unused}@media print{{.gone{{x:y}}p{{x:y}}}}", {"card"}, ("hkt-",))
    assert made == f"{used}/*! MIT, by.gone */@media print{{p{{x:y}}}}"


def test_the_blank_before_an_exercise_is_outside_of_its_link():
    made = dress.SOLUTION.sub(r"\1 \2", 'Solution to<a href="#ex"> Exercise 1 (A)</a>')
    assert made == 'Solution to <a href="#ex">Exercise 1 (A)</a>'


def test_the_edition_to_cite_is_this_one():
    text = (PROJECT / "book" / "cite.md").read_text(encoding="utf-8")
    assert f"Version {hkt_lite.__version__}" in text


def test_the_book_carries_its_records_and_verdicts_as_tables(tmp_path):
    few = published()[::20]
    records.tables(few, tmp_path)
    rows = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert [row["id"] for row in rows] == [record.id for record in few]
    assert (tmp_path / "results.csv").read_text(encoding="utf-8").count("\n") == len(few) + 1
    claims = json.loads((tmp_path / "claims.json").read_text(encoding="utf-8"))
    judged = [(claim.id, verdict.verdict) for claim, verdict in answer.judged(few)]
    assert [(one["id"], one["verdict"]) for one in claims] == judged
    text = (PROJECT / "book" / "rerun_one_number.md").read_text(encoding="utf-8")
    assert {f'href="{path.name}"' in text for path in tmp_path.iterdir()} == {True}


# -- where the sources live ------------------------------------------------------------------------


def test_without_an_address_nothing_leads_anywhere():
    assert address.links("", "_generated/10_cifar10") == address.links("", "faq") == []


def test_with_an_address_a_page_leads_to_a_source_that_exists():
    for page in ("index", "course/instructor", "_generated/10_cifar10"):
        found = dict(address.links("https://github.com/Someone/hkt", page))
        head = "https://github.com/Someone/hkt/blob/main/"
        assert (PROJECT / found["source of this page"].removeprefix(head)).is_file()
        assert ("run on Colab" in found) == ("run on Binder" in found) == ("_generated" in page)
    assert not address.links("https://github.com/Someone/hkt", "records/0123")


def test_the_site_follows_from_the_repository():
    assert address.site("https://github.com/Someone/hkt") == "https://someone.github.io/hkt/"
    assert address.site("https://github.com/Me/me.github.io") == "https://me.github.io/"
    for wrong in ("github.com/Someone/hkt", "https://example.org/hkt", "https://github.com/hkt"):
        with pytest.raises(ConfigError, match="OWNER/NAME"):
            address.site(wrong)


# -- the API ---------------------------------------------------------------------------------------


def test_every_public_docstring_of_a_room_is_listed_and_no_private_one():
    import hkt_lite.methods as room

    listed = {}
    for path in (PROJECT / "hkt_lite" / "methods").glob("*.py"):
        for entry in api.entries(ast.parse(path.read_text(encoding="utf-8"))):
            listed[f"{path.stem}.{entry.name}"] = entry
    assert {"hkt.HKT", "attention.mix", "sites.replay"} <= set(listed)
    assert not [name for name in listed if "._" in name]
    for name in ("HKT", "Plain", "KD"):
        cls = getattr(room, name)
        if cls.__doc__:
            assert f"{cls.__module__.rsplit('.', 1)[1]}.{name}" in listed
    assert listed["attention.mix"].text == inspect.getdoc(attention.mix)
    assert "lam" in listed["attention.mix"].signature


def test_a_docstring_becomes_words_and_code():
    tree = ast.parse(
        'def f(a: int, *, b=1) -> str:\n    """Says `a` twice.\n\n    Raises nothing."""'
    )
    (entry,) = api.entries(tree)
    assert entry == ("f", "(a: int, *, b=1) → str", "Says `a` twice.\n\nRaises nothing.")
    item = api._item(entry)
    assert [one.astext() for one in item.findall(nodes.paragraph)] == [
        "Says a twice.",
        "Raises nothing.",
    ]
    assert "a" in [one.astext() for one in item.findall(nodes.literal)]
