"""Strict parameters, execution that leaves nothing half done, freshness, provenance, and the book's build."""

import json
import sys

import pytest

from hkt_lite.book import execute as pages
from hkt_lite.book import notebook as provenance
from hkt_lite.book import render as book
from hkt_lite.config import HKTError
from tests import toy


@pytest.mark.parametrize(
    "values, sentence",
    [
        ({"sede": 1}, r"no parameter 'sede'. Did you mean 'seed'\?"),
        ({"seed": "1"}, "'seed' of 01_toy.ipynb must be int, got '1' "),
        ({"seed": True}, "'seed' of 01_toy.ipynb must be int, got True"),
        ({"lr": "0.1"}, "'lr' of 01_toy.ipynb must be float"),
        ({"scale": 1}, "'scale' of 01_toy.ipynb must be str"),
        ({"note": 1}, r"'note' of 01_toy.ipynb must be str \| None"),
    ],
)
def test_a_wrong_parameter_is_refused_before_anything_runs(toy_project, tmp_path, values, sentence):
    with pytest.raises(HKTError, match=sentence):
        pages.execute(toy.source_of(toy_project), values, tmp_path / "out" / "page.ipynb")
    assert not (tmp_path / "out").exists()


def test_words_of_a_command_line_become_typed_values(tmp_path):
    notebook = toy.write(tmp_path / "a.ipynb")
    assert pages.parse(notebook, ["lr=1e-3", "seed=7", "scale=007", "note=null"]) == {
        "lr": 1e-3,
        "seed": 7,
        "scale": "007",
        "note": None,
    }
    for word, sentence in {
        "seed=007": "must be int",
        "seed": "name=value",
        "sead=1": "Did you mean 'seed'",
    }.items():
        with pytest.raises(HKTError, match=sentence):
            pages.parse(notebook, [word])


@pytest.mark.parametrize(
    "cell, sentence",
    [
        ("seed = 1", "`name: type = literal`"),
        ("seed: int = 1 + x", "`name: type = literal`"),
        ("seed: integer = 1", "`name: type = literal`"),
        ("import os", "`name: type = literal`"),
        ("seed: int = 'a'", "must be int"),
    ],
)
def test_a_parameters_cell_holds_typed_literals_only(tmp_path, cell, sentence):
    with pytest.raises(HKTError, match=sentence):
        pages.parameters(toy.write(tmp_path / "a.ipynb", parameters=cell))


def test_a_notebook_without_parameters_cell_or_that_is_none_is_refused(tmp_path):
    notebook = toy.write(tmp_path / "a.ipynb")
    toy.change(notebook, '"parameters"', '"paramters"')
    with pytest.raises(HKTError, match="no cell tagged 'parameters'"):
        pages.parameters(notebook)
    (tmp_path / "b.ipynb").write_text('{"cells": [')
    with pytest.raises(HKTError, match="b.ipynb is not a readable notebook"):
        provenance.read(tmp_path / "b.ipynb")
    with pytest.raises(HKTError, match="no notebook .*Did you mean 'a'"):
        provenance.read(tmp_path / "aa.ipynb")


def test_a_page_carries_its_provenance_and_no_path_of_the_machine(toy_project, tmp_path):
    page = provenance.read(toy.page_of(toy_project))
    facts, footer = page.metadata["hkt"], page.cells[-1]
    assert (
        facts["parameters"] == {"scale": "smoke"}
        and facts["records"] == ["toy000000000"]
        and facts["key"]
    )
    assert len(facts["cells"]) == len(page.cells)
    assert dict(provenance.code_cells(page))[2].source == '# set for this page\nscale = "smoke"\n'
    assert (
        dict(provenance.code_cells(page))[5].metadata["mystnb"]["image"]["alt"]
        == "A line that rises."
    )
    for words in (
        "recorded: evaluation: `toy000000000`",
        "scale `smoke`",
        "torch ",
        "hkt pages 01_toy --scale smoke",
        "executed in",
        "commit",
    ):
        assert words in footer.source
    assert (
        str(toy_project.parent.parent) not in toy.page_of(toy_project).read_text()
        and "/tmp" not in toy.page_of(toy_project).read_text()
    )


def test_the_kernel_is_this_interpreter_whatever_kernels_are_installed(tmp_path, monkeypatch):
    kernels = tmp_path / "share" / "kernels" / "python3"
    kernels.mkdir(parents=True)
    (kernels / "kernel.json").write_text(
        json.dumps({"argv": ["/bin/false"], "display_name": "wrong", "language": "python"})
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share"))
    notebook = toy.write(
        tmp_path / "a.ipynb",
        "import sys, hkt_lite, "
        "pathlib\nprint(sys.executable)\nprint(hkt_lite.__file__)\nprint(pathlib.Path().resolve())",
    )
    page = provenance.read(pages.execute(notebook, {}, tmp_path / "out" / "a.ipynb"))
    executable, package, folder = page.cells[-2].outputs[0].text.split()
    assert (
        executable == sys.executable
        and package == str(pages.Path(pages.__file__).with_name("__init__.py"))
        and folder == str(tmp_path)
    )


def test_a_failing_cell_leaves_the_good_page_and_keeps_the_failed_copy(toy_project):
    page, failed = toy.page_of(toy_project), toy.page_of(toy_project).with_suffix(".failed.ipynb")
    before = page.read_bytes()
    toy.write(toy.source_of(toy_project), "print('so far')", "1 / 0", "print('never')")
    with pytest.raises(
        HKTError,
        match=r"01_toy.ipynb failed in code cell 4 with ZeroDivisionError: division by zero; .*01_toy.failed.ipynb",
    ):
        pages.build(scale="smoke", html=False)
    assert page.read_bytes() == before and "so far" in failed.read_text()
    assert sorted(path.name for path in page.parent.iterdir()) == [
        "01_toy.failed.ipynb",
        "01_toy.ipynb",
    ]
    toy.write(toy.source_of(toy_project), "print('so far')")
    pages.build(scale="smoke", html=False)
    assert not failed.exists() and "so far" in page.read_text()


def test_a_kernel_that_dies_is_one_sentence(tmp_path):
    notebook = toy.write(tmp_path / "a.ipynb", "import os\nos._exit(3)")
    with pytest.raises(HKTError, match="a.ipynb failed with DeadKernelError"):
        pages.execute(notebook, {}, tmp_path / "out" / "a.ipynb")


def test_two_images_in_one_cell_are_refused_because_they_would_share_a_text(tmp_path):
    draw = "display(SVG('<svg xmlns=\"http://www.w3.org/2000/svg\"/>'))"
    twice = f"from IPython.display import display, SVG\n{draw}\n{draw}"
    with pytest.raises(HKTError, match="code cell 2 shows 2 images"):
        pages.execute(toy.write(tmp_path / "a.ipynb", twice), {}, tmp_path / "out" / "a.ipynb")


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
    assert provenance.state(toy.source_of(toy_project), toy.page_of(toy_project)) == "fresh"
    (toy_project / name).parent.mkdir(parents=True, exist_ok=True)
    with open(toy_project / name, "a") as file:
        file.write("\n")
    assert provenance.state(toy.source_of(toy_project), toy.page_of(toy_project)).startswith(
        "is stale"
    )


def test_a_page_is_stale_when_the_package_or_its_parameters_change(toy_project, monkeypatch):
    state = provenance.state(
        toy.source_of(toy_project), toy.page_of(toy_project), {"scale": "quick"}
    )
    assert state == "was built with other parameters"
    monkeypatch.setattr(pages.records, "code_hash", lambda *parts: "another")
    assert provenance.state(toy.source_of(toy_project), toy.page_of(toy_project)).startswith(
        "is stale"
    )


def test_only_what_is_not_fresh_is_executed_again(toy_project, capsys):
    folder = pages.build(scale="smoke")
    assert capsys.readouterr().out == "01_toy: unchanged\n" and (folder / "index.html").is_file()
    toy.change(toy.page_of(toy_project), "91.25", "99.25")
    pages.build(scale="smoke", html=False)
    assert (
        "01_toy: executed at scale smoke in " in capsys.readouterr().out
        and "99.25" not in toy.page_of(toy_project).read_text()
    )
    with pytest.raises(HKTError, match="no notebook '01_toi'. Did you mean '01_toy'"):
        pages.build(names=["01_toi"])


def test_with_out_the_working_tree_is_untouched(toy_project, tmp_path):
    before = {path: path.read_bytes() for path in toy_project.rglob("*") if path.is_file()}
    folder = pages.build(scale="smoke", out=tmp_path / "elsewhere", html=False)
    assert (
        folder == tmp_path / "elsewhere" / "book" / "_generated"
        and (folder / "01_toy.ipynb").is_file()
    )
    assert all(
        (tmp_path / "elsewhere" / name).is_file() for name in ("book/intro.md", "_config.yml")
    )
    assert before == {path: path.read_bytes() for path in toy_project.rglob("*") if path.is_file()}


def test_the_alternative_text_reaches_the_rendered_page(toy_project):
    html = (toy_project / "book/_build/html/_generated/01_toy.html").read_text()
    assert (
        'alt="A line that rises."' in html and "How this page was made" in html and "91.50" in html
    )


def test_a_warning_of_the_renderer_fails_the_build_by_name(toy_project):
    toy.change(toy_project / "book" / "intro.md", "_generated/01_toy", "_generated/nowhere")
    with pytest.raises(
        HKTError, match="(?s)did not build .*build.log.*intro.md:3: WARNING: .*nowhere"
    ):
        pages.build(scale="smoke")
    assert [
        sentence for _, sentence in book.flaws(toy_project) if "not rendered completely" in sentence
    ]
