"""Every altered record, manifest, number, page and file is named by `hkt check`; an unaltered project is fine."""

import hashlib
import json
from pathlib import Path

import nbformat
import pytest

from hkt_lite import __version__, files
from hkt_lite.book import faithful
from hkt_lite.book import notebook as provenance
from hkt_lite.book.build import build
from hkt_lite.book.check import check
from hkt_lite.book.pages import difference, page_problems
from tests import toy


def problems(*kinds: str) -> list[str]:
    found = check()
    assert not kinds or {problem.what for problem in found} == set(kinds), list(map(str, found))
    return [f"[{problem.where}] {problem}" for problem in found]


def says(found: list[str], *words: str) -> bool:
    return any(all(word in sentence for word in words) for sentence in found)


def rewrite(project, *sources: str):
    """Another toy notebook, executed."""
    toy.write(toy.source_of(project), *sources)
    build(scale="smoke", html=False)


def test_an_unaltered_project_has_no_problem(toy_project):
    assert problems() == []


# -- records ---------------------------------------------------------------------------------------------------------


def test_a_record_whose_number_was_altered_is_named(toy_project):
    toy.change(toy_project / "results" / "eval-toy000000000.json", "91.5", "92.5")
    assert says(
        problems("manifest"), "eval-toy000000000.json differs from its sha256 in MANIFEST.json"
    )


def test_a_record_altered_together_with_its_manifest_contradicts_the_page(toy_project):
    toy.publish(toy_project / "results", toy.evaluation(accuracy=92.5))
    found = problems("number", "page", "html")
    assert says(
        found,
        "01_toy, code cell 4, toy(), text/html: row 1 (toy000000000), cell 2, shows '91.50' where the records give '92.50'",
    )
    assert says(found, "page of 01_toy is stale")


def test_an_altered_manifest_names_the_record(toy_project):
    path = toy_project / "results" / "MANIFEST.json"
    right = json.loads(path.read_text())["eval-toy000000000.json"]
    toy.change(path, right, right[::-1])
    assert says(
        problems("manifest", "page", "html"),
        "eval-toy000000000.json differs from its sha256 in MANIFEST.json",
    )
    path.write_text("{")
    assert says(
        problems("manifest", "page", "html"), "manifest", "MANIFEST.json is corrupt or truncated"
    )


def test_missing_unlisted_renamed_and_corrupt_records_are_all_named(toy_project):
    results = toy_project / "results"
    toy.publish(results, toy.evaluation("gone"), toy.evaluation("whole"), toy.evaluation("other"))
    (results / "eval-gone00000000.json").unlink()
    (results / "eval-new.json").write_text("{}")
    whole = results / "eval-whole0000000.json"
    whole.write_text(whole.read_text()[:100])
    (results / "eval-other0000000.json").rename(results / "eval-renamed.json")
    found = problems("manifest", "record", "page", "html")
    for words in (
        ("eval-gone00000000.json is missing",),
        ("eval-new.json is not listed in MANIFEST.json",),
        ("eval-new.json is not a record of this project: its kind is none of",),
        ("eval-whole0000000.json is corrupt or truncated",),
        ("eval-renamed.json calls itself eval-other0000000.json",),
    ):
        assert says(found, *words), (words, found)


def test_claims_and_literature_that_do_not_fit_are_named(toy_project):
    (toy_project / "data").mkdir()
    (toy_project / "data" / "claims.yaml").write_text("- id: C1\n  titel: x\n")
    (toy_project / "data" / "literature.yaml").write_text("- [\n")
    found = problems("data", "page", "html")
    assert says(found, "[claims.yaml]", "claims.yaml") and says(
        found, "[literature.yaml]", "literature.yaml"
    )


# -- source notebooks ------------------------------------------------------------------------------------------------


def test_a_source_notebook_carries_no_outputs_defaults_to_smoke_and_hides_nothing(toy_project):
    notebook = toy.notebook(
        "print(1)", "# NBVAL_IGNORE_OUTPUT\nprint(2)", "print(3)", parameters='scale: str = "quick"'
    )
    notebook.cells[2].outputs = [nbformat.v4.new_output("stream", text="1\n")]
    notebook.cells[4].metadata["tags"] = ["nbval-skip"]
    nbformat.write(notebook, toy.source_of(toy_project))
    found = problems("notebook", "page")
    for words in (
        "code cell 2 carries outputs",
        "code cell 3 is marked 'nbval-ignore-output'",
        "code cell 4 is marked 'nbval-skip'",
        "defaults to scale 'quick'",
    ):
        assert says(found, "01_toy.ipynb", words), words
    toy.write(toy.source_of(toy_project), parameters="seed = 1")
    assert says(problems("notebook", "page"), "write 'seed = 1' as `name: type = literal`")


# -- pages -----------------------------------------------------------------------------------------------------------


def test_an_altered_printed_number_names_its_cell(toy_project):
    toy.change(toy.page_of(toy_project), "91.25", "99.25")
    assert says(
        problems("number", "html"),
        "01_toy was altered after it was built: code cell 3 is not what was executed",
    )


def test_altered_prose_and_code_of_a_page_are_named_too(toy_project):
    toy.change(toy.page_of(toy_project), "# Toy", "# Joy")
    toy.change(toy.page_of(toy_project), "toy.table()", "toy.stool()")
    found = problems("number", "html")
    assert says(found, "cell 1 (text)") and says(found, "code cell 4")


@pytest.mark.parametrize(
    "mime, old, new, words",
    [
        (
            "text/plain",
            "91.50",
            "99.50",
            "text/plain: row 1 (toy000000000), cell 2, shows '99.50' where the records give '91.50'",
        ),
        (
            "text/html",
            "91.50",
            "99.50",
            "text/html: row 1 (toy000000000), cell 2, shows '99.50' where the records give '91.50'",
        ),
        (
            provenance.MIME,
            91.5,
            99.5,
            "values: toy000000000: shows 99.5 where the records give 91.5",
        ),
    ],
)
def test_a_forged_table_cell_is_recomputed_and_named_even_when_the_digests_were_forged_too(
    toy_project, mime, old, new, words
):
    def edit(outputs):
        data = outputs[0].data
        data[mime] = (
            data[mime].replace(old, new)
            if isinstance(old, str)
            else json.loads(json.dumps(data[mime]).replace(str(old), str(new)))
        )

    toy.forge(toy.page_of(toy_project), 4, edit)
    found = problems("number", "html")
    assert says(found, "01_toy, code cell 4, toy()", words) and not says(
        found, "altered after it was built: code cell"
    )


def test_a_forged_output_that_was_removed_or_added_is_named(toy_project):
    toy.forge(toy.page_of(toy_project), 4, lambda outputs: outputs[0].data.pop("text/html"))
    assert says(problems("number", "html"), "01_toy, code cell 4, toy(), text/html")


def test_stale_missing_unreadable_and_orphaned_pages_are_named(toy_project):
    page = toy.page_of(toy_project)
    toy.change(toy_project / "constraints.txt", "2.13.0", "2.14.0")
    assert says(problems("page"), "The page of 01_toy is stale")
    page.rename(page.with_name("02_gone.ipynb"))
    found = problems("page", "html")
    assert says(found, "The page of 01_toy was never built") and says(
        found, "02_gone.ipynb has no notebook"
    )
    page.write_text("{")
    assert says(problems("page", "html"), "The page of 01_toy is unreadable")


def test_what_must_not_stand_on_a_page_is_named(toy_project):
    rewrite(
        toy_project,
        "import sys\nprint('careful', file=sys.stderr)",
        "print('10 %\\r20 %')",
        f"print({str(toy_project / 'x')!r})",
        "from IPython.display import SVG\nSVG('<svg xmlns=\"http://www.w3.org/2000/svg\"/>')",
        'from IPython.display import HTML\nHTML(\'<img src="a.svg" alt="">\')',
    )
    found = problems("page", "html")
    for words in (
        ("code cell 3 wrote to stderr (careful)",),
        ("code cell 4 printed a progress bar",),
        ("code cell 5 shows a path of this machine",),
        ("code cell 6 shows an image without alternative text",),
        ("code cell 7 shows an image without alternative text",),
    ):
        assert says(found, *words), (words, found)


def test_an_audit_run_in_a_score_table_is_named(toy_project, monkeypatch):
    toy.forge(
        toy.page_of(toy_project),
        4,
        lambda outputs: (
            outputs[0].data[provenance.MIME].update(call="scores", args={"task": "cifar10"})
        ),
    )
    audit = toy.types.SimpleNamespace(audit=True, id="toy000000000", metrics={"accuracy": 91.5})
    monkeypatch.setattr(provenance, "known_records", lambda: ({audit.id: audit}, {}))
    assert says(
        [problem for problem in problems() if "[01_toy" in problem],
        "code cell 4 shows the audit run toy000000000 among the scores",
    )


def test_an_altered_figure_of_the_page_s_own_arrays_is_named(toy_project):
    def edit(outputs, html="<img alt='x'>"):
        outputs[0].data.update({"text/html": html})
        outputs[0].data[provenance.MIME].update(
            call="figure",
            records=[],
            values={"digest": hashlib.sha256(b"<img alt='x'>").hexdigest()[:16]},
        )

    toy.forge(toy.page_of(toy_project), 4, lambda outputs: edit(outputs, "<img alt='y'>"))
    assert says(
        problems("page", "number", "html"),
        "01_toy, code cell 4: the figure or the table of its numbers was altered",
    )


def test_a_live_table_is_recomputed_from_the_local_store_and_skipped_without_it(toy_project):
    toy.forge(
        toy.page_of(toy_project),
        4,
        lambda outputs: outputs[0].data[provenance.MIME].update(records=["live00000000"]),
    )
    assert not says(problems("html"), "01_toy, code cell 4")
    files.write_json(toy_project / "runs" / "eval-live00000000.json", toy.evaluation("live"))
    assert says(problems("html", "number"), "code cell 4", "live00000000")


def test_a_page_s_own_run_is_judged_by_this_machine_s_record_not_by_a_published_twin(monkeypatch):
    """Another processor's run of the same configuration may differ in its last digits."""
    from hkt_lite.book import pages

    shown = {"call": "live", "args": {"runs": ["twin"]}, "records": ["twin"], "values": {}}
    monkeypatch.setattr(pages, "bundles", lambda page: [(1, {provenance.MIME: shown})])
    seen = []
    monkeypatch.setattr(
        pages, "_differences", lambda shown, data, records: seen.extend(records) or []
    )
    assert list(pages._recomputed(None, "01_toy", {"twin": "published"}, {})) == [] == seen
    assert list(pages._recomputed(None, "01_toy", {"twin": "published"}, {"twin": "own"})) == []
    assert seen == ["own"]


# -- the rendered book -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, old, new",
    [
        ("_generated/01_toy.html", "91.50", "99.50"),
        ("_sources/_generated/01_toy.ipynb", "91.50", "99.50"),
    ],
)
def test_an_edited_file_of_the_book_is_named(toy_project, name, old, new):
    toy.change(toy_project / "book" / "_build" / "html" / name, old, new)
    assert says(problems("html"), name, "was altered after the book was rendered")


def test_missing_added_and_outdated_files_of_the_book_are_named(toy_project):
    html = toy_project / "book" / "_build" / "html"
    (html / "intro.html").unlink()
    (html / "extra.html").write_text("x")
    toy.change(toy_project / "book" / "intro.md", "toy book", "small book")
    found = problems("html")
    assert (
        says(found, "intro.html went missing")
        and says(found, "extra.html was altered")
        and says(found, "is older than its pages or prose")
    )


@pytest.mark.parametrize(
    "shown, made, sentence",
    [
        ({"a": 1}, {"a": 1}, ""),
        (
            {"a": [1, {"b": 2.0}]},
            {"a": [1, {"b": 2.5}]},
            "a: [1] b: shows 2.0 where the records give 2.5",
        ),
        ({"a": 1}, {"a": 1, "b": 2}, "b: shows 'nothing' where the records give 2"),
        ([1], [1, 2], "[1] shows 'nothing' where the records give 2"),
        (
            "kd  90.0 ± 0.1\nhkt  91.0 ± 0.2",
            "kd  90.0 ± 0.1\nhkt  91.0 ± 0.3",
            "row 2 (hkt), cell 2, shows '91.0 ± 0.2' where the records give '91.0 ± 0.3'",
        ),
        (
            "kd  90.0",
            "kd  90.0\nhkt  91.0",
            "row 2, cell 1, shows 'nothing' where the records give 'hkt'",
        ),
        ("a  b", "a   b", "the picture, markup or white space differs"),
        (None, "x", "shows None where the records give 'x'"),
    ],
)
def test_the_first_difference_is_put_into_words(shown, made, sentence):
    assert difference(shown, made) == sentence


# -- pages whose digests were made anew ----------------------------------------------------------------------------------


def retold(page, edit) -> list[str]:
    """What `page_problems` says once `edit(cells)` has changed a page and its digests were made anew."""
    made = provenance.read(page)
    edit(made.cells)
    made.metadata["hkt"]["cells"] = [provenance.digest(cell) for cell in made.cells]
    nbformat.write(made, page)
    return [str(problem) for problem in page_problems(page.parent, recompute=False)]


def tagged(cells, tag: str):
    return next(cell for cell in cells if tag in cell.metadata.get("tags", []))


def add_text(cells):
    cells.insert(4, nbformat.v4.new_markdown_cell("HKT wins.", id="toy-measured"))


def replace(number: int, old: str, new: str):
    def edit(cells):
        assert old in cells[number].source
        cells[number].source = cells[number].source.replace(old, new)

    return edit


FORGERIES = {
    "prose": (replace(0, "# Toy", "# Joy"), "cell 1 (text)"),
    "code": (replace(3, "90.25", "90.50"), "cell 4 (code)"),
    "settings": (replace(2, "smoke", "paper"), "cell 3 (code)"),
    "more in the settings": (replace(2, "# set", "import os  # set"), "cell 3 (code)"),
    "text added": (add_text, "cell 5 (text)"),
    "cell removed": (lambda cells: cells.pop(5), "cells that are missing"),
    "settings removed": (lambda cells: cells.pop(2), "the cell of its settings"),
    "footer": (replace(-1, "executed in", "verified in"), "(text)"),
    "footer's records": (replace(-1, "`toy000000000`", "`toy000000001`"), "(text)"),
    "footer's lines": (replace(-1, "- executed", "- HKT wins.\n- executed"), "(text)"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_altered_text_whose_digests_were_made_anew_is_compared_with_the_notebook(toy_project, name):
    edit, where = FORGERIES[name]
    found = retold(toy.page_of(toy_project), edit)
    assert found and all("The page of 01_toy differs from its notebook: " in one for one in found)
    assert says(found, where)


def test_a_page_with_new_digests_and_nothing_else_is_faithful(toy_project):
    assert retold(toy.page_of(toy_project), lambda cells: None) == []


def test_measured_times_and_theme_pairs_belong_to_a_page(toy_project):
    from hkt_lite.evidence import MEASURED

    told = f'display({{"text/plain": "x"}}, metadata={{"{MEASURED}": "It took 3 s."}}, raw=True)'
    rewrite(toy_project, f"from IPython.display import display\n{told}")
    page = toy.page_of(toy_project)
    assert "It took 3 s." in provenance.read(page).cells[4].source
    assert [str(problem) for problem in page_problems(page.parent)] == []
    assert says(retold(page, replace(4, "3 s", "2 s")), "cell 5 (text)")


def test_a_run_of_the_page_that_is_published_too_may_stand_in_the_footer_twice():
    source, made = Path("00_toy.ipynb"), f"- hkt_lite {__version__}, commit `abc`; python 3"
    facts = {"scale": "quick", "parameters": {}, "duration": 1.0, "date": "today", "commit": "abc"}
    facts["records"] = ["one", "two"]
    kind = "toy, scale quick, synthetic data, seed 0"
    shown = [f"- live, made by this page: {kind}: `two`", f"- recorded: {kind}: `one`, `two`"]
    text = "\n".join(provenance.footer(source, facts, shown, made))
    assert faithful._closes(text, source, facts)
    for wrong in (text.replace("`one`", "`six`"), text.replace("`one`, ", "")):
        assert not faithful._closes(wrong, source, facts)
