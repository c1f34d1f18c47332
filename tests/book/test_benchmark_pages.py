"""The benchmark pages and the scoreboard as sources: short cells, folds that say what they hold."""

import re

import pytest

from hkt_lite.book.execute import sources
from hkt_lite.book.notebook import code_cells, read
from hkt_lite.config import PROJECT

PAGES = [path for path in sources() if path.stem[:2] >= "10"]
# what a page writes out and compares with the package, in visible cells
IMPLEMENTED = {
    "10_cifar10": ["optimizer.step()", "loss.backward()", "assert theirs == ours"],
    "11_lits": ["register_forward_hook", "def dice_of", "assert_close(value, package[term])"],
    "12_sintel": ["def three_losses", "def principal", "assert_close(loss, package[name]"],
    "13_kitti": ["def end_point_errors", "def clearly_wrong", "theirs[name]) < 1e-6"],
    "22_what_is_inherited": ["def cka", "def grad_cam", "def lengths", "assert_close(rho[name]"],
    "23_what_it_costs": ["def as_released", "assert taken == 2 * N", "def operations_of"],
}


@pytest.fixture(params=PAGES, ids=lambda path: path.stem)
def page(request):
    return request.param.stem, read(request.param)


def folded(cell) -> bool:
    return "hide-input" in cell.metadata.get("tags", [])


def test_code_is_narrow_and_has_no_output(page):
    for _, cell in code_cells(page[1]):
        assert not cell.outputs
        assert max(map(len, cell.source.splitlines())) <= 80, cell.id


def test_the_first_cell_holds_the_parameters_and_says_how_to_install(page):
    _, cell = next(code_cells(page[1]))
    assert "parameters" in cell.metadata.tags
    assert cell.source.startswith("# No module hkt_lite?") and "pip install" in cell.source


def test_a_fold_says_what_is_inside(page):
    for _, cell in code_cells(page[1]):
        prompts = cell.metadata.get("mystnb", {})
        assert folded(cell) == bool(prompts), cell.id
        if prompts:
            shown, hidden = prompts["code_prompt_show"], prompts["code_prompt_hide"]
            assert shown.removeprefix("Show ") == hidden.removeprefix("Hide ")


def test_what_a_page_is_about_stands_in_visible_cells(page):
    name, notebook = page
    visible = "\n".join(cell.source for _, cell in code_cells(notebook) if not folded(cell))
    for line in IMPLEMENTED.get(name, []):
        assert line in visible


def test_diagrams_exist_for_both_themes_and_carry_a_title(page):
    text = "\n".join(cell.source for cell in page[1].cells if cell.cell_type == "markdown")
    for alt, name in re.findall(r"!\[([^\]]*)\]\(\.\./(book/_static/\S+)-light\.svg\)", text):
        assert len(alt) > 40
        for theme in ("light", "dark"):
            assert "<title" in (PROJECT / f"{name}-{theme}.svg").read_text(encoding="utf-8")
