"""Execution leaves nothing half done, also side by side; a page carries its provenance."""

import json
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from hkt_lite import book
from hkt_lite.book import notebook as notebooks
from hkt_lite.book.build import build
from hkt_lite.book.execute import execute, execute_all
from hkt_lite.book.notebook import code_cells, read, state
from hkt_lite.config import Config, HKTError
from tests import toy


def test_a_page_carries_its_provenance_and_no_path_of_the_machine(toy_project):
    page = read(toy.page_of(toy_project))
    facts, footer = page.metadata["hkt"], page.cells[-1]
    assert facts["parameters"] == {"scale": "smoke"}
    assert facts["records"] == ["toy000000000"] and facts["key"]
    assert len(facts["cells"]) == len(page.cells)
    cells = dict(code_cells(page))
    assert cells[2].source == '# set for this page\nscale = "smoke"\n'
    assert "remove-input" in cells[1].metadata.tags and "hide-input" in cells[2].metadata.tags
    assert cells[2].metadata.mystnb.code_prompt_show == "Show this page's settings"
    assert cells[5].metadata["mystnb"]["image"]["alt"] == "A line that rises."
    for words in (
        "recorded: evaluation: `toy000000000`",
        "scale `smoke`",
        "torch ",
        "hkt pages 01_toy --scale smoke",
        "executed in",
        "commit",
    ):
        assert words in footer.source
    text = toy.page_of(toy_project).read_text()
    assert str(toy_project.parent.parent) not in text and "/tmp" not in text


def test_a_run_of_the_page_s_own_is_called_live_although_its_twin_is_published(monkeypatch):
    table = {"call": "live", "args": {"runs": ["twin"]}, "records": ["twin"]}
    scores = {"call": "scores", "args": {"runs": None}, "records": ["other"]}
    shown = [(1, {notebooks.MIME: table}), (2, {notebooks.MIME: scores})]
    monkeypatch.setattr(notebooks, "bundles", lambda page: shown)
    assert notebooks._shown(None) == ({"other"}, {"twin"})
    config = Config(task="cifar10", scale="smoke", source="synthetic", seed=3)
    known = {name: SimpleNamespace(config=config) for name in ("twin", "other")}
    monkeypatch.setattr(notebooks, "known_records", lambda: (known, {}))
    assert notebooks._sources({"other"}, {"twin"}) == [
        "- live, made by this page: cifar10, scale smoke, synthetic data, seed 3: `twin`",
        "- recorded: cifar10, scale smoke, synthetic data, seed 3: `other`",
    ]


def test_what_was_printed_in_pieces_is_one_output():
    pieces = [("stdout", "a"), ("stdout", "b\n"), ("stderr", "c"), ("stdout", "d")]
    outputs = [nbformat.v4.new_output("stream", name=name, text=text) for name, text in pieces]
    outputs.insert(2, nbformat.v4.new_output("display_data", {"text/plain": "x"}))
    found = notebooks._in_one_piece(outputs)
    assert [one.get("text") for one in found] == ["ab\n", None, "c", "d"]


def test_the_kernel_is_this_interpreter_whatever_kernels_are_installed(tmp_path, monkeypatch):
    kernels = tmp_path / "share" / "kernels" / "python3"
    kernels.mkdir(parents=True)
    wrong = {"argv": ["/bin/false"], "display_name": "wrong", "language": "python"}
    (kernels / "kernel.json").write_text(json.dumps(wrong))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share"))
    asks = "import sys, hkt_lite.book as book, pathlib\n" + "\n".join(
        f"print({what})" for what in ("sys.executable", "book.__file__", "pathlib.Path().resolve()")
    )
    notebook = toy.write(tmp_path / "a.ipynb", asks)
    page = read(execute(notebook, {}, tmp_path / "out" / "a.ipynb"))
    executable, package, folder = page.cells[-2].outputs[0].text.split()
    assert executable == sys.executable
    assert package == book.__file__ and folder == str(tmp_path)


def test_a_failing_cell_leaves_the_good_page_and_keeps_the_failed_copy(toy_project):
    page, failed = toy.page_of(toy_project), toy.page_of(toy_project).with_suffix(".failed.ipynb")
    before = page.read_bytes()
    toy.write(toy.source_of(toy_project), "print('so far')", "1 / 0", "print('never')")
    said = (
        r"01_toy.ipynb failed in code cell 4 with ZeroDivisionError: division by zero; "
        r".*01_toy.failed.ipynb"
    )
    with pytest.raises(HKTError, match=said):
        build(scale="smoke", html=False)
    assert page.read_bytes() == before and "so far" in failed.read_text()
    assert {path.name for path in page.parent.iterdir()} == {page.name, failed.name}
    toy.write(toy.source_of(toy_project), "print('so far')")
    build(scale="smoke", html=False)
    assert not failed.exists() and "so far" in page.read_text()


def test_a_kernel_that_dies_is_one_sentence(tmp_path):
    notebook = toy.write(tmp_path / "a.ipynb", "import os\nos._exit(3)")
    with pytest.raises(HKTError, match="a.ipynb failed with DeadKernelError"):
        execute(notebook, {}, tmp_path / "out" / "a.ipynb")


def test_two_images_in_one_cell_are_refused_because_they_would_share_a_text(tmp_path):
    draw = "display(SVG('<svg xmlns=\"http://www.w3.org/2000/svg\"/>'))"
    twice = f"from IPython.display import display, SVG\n{draw}\n{draw}"
    with pytest.raises(HKTError, match="code cell 2 shows 2 images"):
        execute(toy.write(tmp_path / "a.ipynb", twice), {}, tmp_path / "out" / "a.ipynb")


# -- side by side ----------------------------------------------------------------------------------

MEET = """import time, pathlib
pathlib.Path("met-{0}").touch()
for _ in range(1200):
    if pathlib.Path("met-{1}").exists():
        break
    time.sleep(0.05)
else:
    raise RuntimeError("alone")
print("seed", seed)"""


def jobs(folder: Path, **cells: str) -> list[tuple[Path, dict, Path]]:
    """Notebook `name` with one cell, seed 3, to be executed to out/`name`.ipynb."""
    made = []
    for name, cell in cells.items():
        notebook = toy.write(folder / f"{name}.ipynb", cell)
        made.append((notebook, {"seed": 3}, folder / "out" / f"{name}.ipynb"))
    return made


def test_pages_execute_at_the_same_time_each_with_its_parameters(toy_project):
    """Each page waits until the other has begun; they are of the caller's project, toy or not."""
    work = jobs(toy_project / "notebooks", a=MEET.format("a", "b"), b=MEET.format("b", "a"))
    assert sorted(execute_all(work, workers=2)) == [page for *_, page in work]
    for notebook, values, page in work:
        assert "seed 3" in page.read_text() and state(notebook, page, values) == "fresh"


def test_one_page_fails_and_the_other_is_kept(tmp_path):
    work = jobs(tmp_path, a="1 / 0", b="print('whole')")
    said = "a.ipynb failed in code cell 3 with ZeroDivisionError: division by zero; .*a.failed"
    with pytest.raises(HKTError, match=said):
        list(execute_all(work, workers=2))
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"a.failed.ipynb", "b.ipynb"}
    assert "whole" in work[1][2].read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_process_is_one_sentence_and_leaves_no_half_page(tmp_path):
    kill = f"import os\nos.kill(os.getppid(), {int(signal.SIGKILL)})"
    done, killed = jobs(tmp_path, a="print('whole')", b=kill)
    assert list(execute_all([done], workers=1)) == [done[2]]
    twice = [killed, (killed[0], killed[1], tmp_path / "out" / "c.ipynb")]
    with pytest.raises(HKTError, match="was killed, perhaps for memory"):
        list(execute_all(twice, workers=2))
    assert os.listdir(tmp_path / "out") == ["a.ipynb"]
