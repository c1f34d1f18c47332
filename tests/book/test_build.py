"""Freshness: what makes a page stale, what is executed again, and what a build leaves alone."""

import nbformat
import pytest

from hkt_lite.book import notebook as notebooks
from hkt_lite.book import pages
from hkt_lite.book.build import _jobs, build, times
from hkt_lite.book.check import check
from hkt_lite.book.notebook import state
from hkt_lite.config import HKTError
from tests import toy


@pytest.mark.parametrize(
    "name",
    [
        "notebooks/01_toy.ipynb",
        "constraints.txt",
        "results/MANIFEST.json",
        "data/claims.yaml",
        "data/splits/x.json",
    ],
)
def test_a_page_is_stale_when_what_it_is_made_from_changes(toy_project, name):
    assert state(toy.source_of(toy_project), toy.page_of(toy_project)) == "fresh"
    (toy_project / name).parent.mkdir(parents=True, exist_ok=True)
    with open(toy_project / name, "a") as file:
        file.write("\n")
    found = state(toy.source_of(toy_project), toy.page_of(toy_project))
    assert found.startswith("is stale")


def test_a_page_is_stale_when_the_package_or_its_parameters_change(
    toy_project, tmp_path, monkeypatch
):
    made = toy.source_of(toy_project), toy.page_of(toy_project)
    assert state(*made, {"scale": "quick"}) == "was built with other parameters"
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "a.py").write_text("")
    monkeypatch.setattr(notebooks, "PACKAGE", tmp_path / "package")
    assert state(*made).startswith("is stale")


def test_only_what_is_not_fresh_is_executed_again(toy_project, capsys):
    folder = build(scale="smoke")
    assert capsys.readouterr().out == "01_toy: unchanged\n" and (folder / "index.html").is_file()
    toy.change(toy.page_of(toy_project), "91.25", "99.25")
    build(scale="smoke", html=False)
    assert "01_toy: executed at scale smoke in " in capsys.readouterr().out
    assert "99.25" not in toy.page_of(toy_project).read_text()
    with pytest.raises(HKTError, match="no notebook '01_toi'. Did you mean '01_toy'"):
        build(names=["01_toi"])


def test_a_build_recomputes_only_pages_that_no_check_has_seen(toy_project, monkeypatch):
    seen, recomputed = [], pages._recomputed

    def noted(page, stem, *records):
        seen.append(stem)
        return recomputed(page, stem, *records)

    monkeypatch.setattr(pages, "_recomputed", noted)
    toy.second_page(toy_project, "print(2)")
    build(scale="smoke")
    assert sorted(seen) == ["01_toy", "02_toy"]
    build(scale="smoke")
    assert len(seen) == 2
    check()  # by itself it takes nobody's word
    assert len(seen) == 4
    page = toy.page_of(toy_project)
    made = notebooks.read(page)
    for _, cell in notebooks.code_cells(made):
        for output in cell.outputs:
            if notebooks.MIME in output.get("data", {}):
                data = output["data"]
                data["text/html"] = data["text/html"].replace("91.50", "99.50")
    made.metadata["hkt"]["cells"] = [notebooks.digest(cell) for cell in made.cells]
    nbformat.write(made, page)  # altered, and its digests with it
    with pytest.raises(HKTError, match="shows '99.50' where the records give '91.50'"):
        build(scale="smoke")
    assert seen[4:] == ["01_toy"]


def test_the_page_that_took_longest_goes_first_and_times_are_told(toy_project, capsys):
    toy.second_page(toy_project, "import time\ntime.sleep(3)")
    build(scale="smoke", html=False)
    (first, second) = times()
    assert first["name"] == "01_toy" and "scale smoke" in first["said"]
    assert second["seconds"] >= 3 and " s" in second["said"]
    capsys.readouterr()
    pages = build(scale="smoke", html=False, force=True, settings=["seed=2"])
    told = capsys.readouterr().out
    assert told.count("executed at scale smoke") == 2
    assert all("seed = 2" in page.read_text() for page in pages.glob("*.ipynb"))


def test_in_a_clone_pages_that_train_go_first(toy_project):
    sources = [
        toy.source_of(toy_project),
        *(toy_project / f"notebooks/0{n}_toy.ipynb" for n in (2, 3)),
    ]
    toy.write(sources[1], "from hkt_lite.runs.loop import run")
    toy.write(sources[2], "print(3)")
    jobs = _jobs(sources, toy_project / "nothing", "smoke", [], force=True)
    assert [notebook.stem for notebook, _, _ in jobs] == ["02_toy", "03_toy", "01_toy"]


def test_with_out_the_working_tree_is_untouched(toy_project, tmp_path):
    shown = "```{literalinclude} ../constraints.txt\n```\n\nWith a"
    toy.change(toy_project / "book" / "text.md", "With a", shown)
    before = {path: path.read_bytes() for path in toy_project.rglob("*") if path.is_file()}
    folder = build(scale="smoke", out=tmp_path / "copy", html=False)
    assert folder == tmp_path / "copy" / "book" / "_generated"
    assert (folder / "01_toy.ipynb").is_file()
    for name in ("book/intro.md", "_config.yml", "constraints.txt"):
        assert (tmp_path / "copy" / name).is_file()
    assert before == {path: path.read_bytes() for path in toy_project.rglob("*") if path.is_file()}
