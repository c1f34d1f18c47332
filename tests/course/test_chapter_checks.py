"""The check cells of the book's exercises: right passes, each known mistake is named, nothing else passes."""

import contextlib
import io
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hkt_course import exercises
from hkt_course.exercises import BOOK, FORMULAS, OF_THE_PAGE, check, judged, parts_of
from hkt_lite.benchmarks.flow import synthetic as moving
from hkt_lite.book.notebook import read
from hkt_lite.config import PROJECT
from tests.course.worked import WORKED, constant_flow

SCENES = [  # what page 12 has as `tests`, every fourth pixel of it; of two sizes, as real ones
    SimpleNamespace(
        flow=moving.scene(0, "test", i, size=(96, 160 - 32 * i), max_motion=20.0).flow[:, ::4, ::4]
    )
    for i in range(2)
]
NAMES = list(dict.fromkeys([*BOOK["checks"], *FORMULAS, *OF_THE_PAGE]))
PARTS = {name: parts_of(name, SCENES) for name in NAMES}
MISTAKES = [
    (name, asked, said)
    for name, parts in PARTS.items()
    for asked, part in parts.items()
    for said in part.wrong
]
PAGES = {path.stem: read(path) for path in sorted((PROJECT / "notebooks").glob("*.ipynb"))}
CELLS = {
    cell.id: (page, cell.source)
    for page, notebook in PAGES.items()
    for cell in notebook.cells
    if "exercise" in cell.metadata.get("tags", [])
}
HANDLED = set(CELLS) | set(BOOK["without"])
STATED = re.compile(r"^```\{exercise\}[^\n]*\n:label: (\S+)\n", re.M)
ODD = {
    "text": "12 apples",
    "list": [1, "a", None],
    "nested": [[1, 2], [3]],
    "dict": {"a": object()},
    "object": object(),
    "complex": 1j,
    "infinite": float("inf"),
    "empty": [],
    "table": np.zeros((3, 2, 2)),
    "half": torch.ones(2, dtype=torch.bfloat16),
    "class": int,
}


def one_line(name, **given) -> str:
    """What is said of some of the answers; the others are open."""
    line = judged(name, SCENES, **{**dict.fromkeys(PARTS[name]), **given})
    assert "\n" not in line and line.startswith(f"{name}: ")
    return line.removeprefix(f"{name}: ")


def said_of(name, asked, answer) -> str:
    """'right', 'open', or what is said of one answer."""
    line = one_line(name, **{asked: answer}).removeprefix("not yet. ")
    if line == "right." or f"Right: {asked}." in line:
        return "right"
    if line == "nothing to check yet.":
        return "open"
    return line.partition(" Still open: ")[0].removeprefix(f"{asked}: ")


# -- answers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_right_answer_passes_worked_a_second_way_too(name):
    right = {asked: part.right for asked, part in PARTS[name].items()}
    worked = constant_flow(SCENES) if name in OF_THE_PAGE else WORKED[name]()
    for answers in (right, worked):
        assert one_line(name, **answers) == "right."


@pytest.mark.parametrize("name, asked, said", MISTAKES)
def test_each_known_mistake_gets_its_own_sentence(name, asked, said):
    assert said_of(name, asked, PARTS[name][asked].wrong[said]) == said


@pytest.mark.parametrize("name", NAMES)
def test_every_part_has_a_known_mistake_and_sentences_are_sentences_without_the_answer(name):
    for part in PARTS[name].values():
        assert part.wrong
        for said in part.wrong:
            assert said[0].isupper() or said.startswith(("λ", "α", "β", "ρ", "t's"))
            assert said.endswith((".", "?")) and len(said) < 120
            numbers = re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.]*\d)", said)
            assert repr(part.right) not in numbers, said


@pytest.mark.parametrize("name", NAMES)
def test_nothing_else_passes(name):
    for asked, part in PARTS[name].items():
        for kind, odd in ODD.items():
            assert said_of(name, asked, odd) not in ("right", "open"), (asked, kind)
        for other in close_to(part):
            assert said_of(name, asked, other) not in ("right", "open"), (asked, other)


def close_to(part) -> list:
    """Answers of the right form that are a few per cent, or one, or one word off."""
    right = part.right
    if callable(right):
        return [lambda *args: 1.001 * right(*args), lambda *args: -right(*args)]
    if isinstance(right, bool):
        return [not right, int(right), str(right)]
    if isinstance(right, str):
        return [right + "s", [right, "other"]]
    if isinstance(right, list) and isinstance(right[0], str):
        return [right[:-1] or ["other"], [*right, "other"]]
    if isinstance(right, int):
        return [right + 1, right - 1, right * 1.001 + 0.001, bool(right), [right]]
    row = np.nan_to_num(np.atleast_1d(np.asarray(right, dtype=float)))
    moved = [row * 1.05 + 0.01, np.append(row, 1.0), row[:-1]]
    return [value.item() if row.size == value.size == 1 else value for value in moved]


def test_numbers_may_be_rounded_and_of_any_kind():
    for s in (1, 1.0, np.float32(1), torch.tensor(1), torch.tensor(1.0, requires_grad=True)):
        assert said_of("ex-gate-hand", "s", s) == "right"
    for g in (0.731, 0.73, np.float64(0.7311)):
        assert said_of("ex-gate-hand", "g", g) == "right"
    assert said_of("ex-gate-hand", "g", 0.74) == exercises.CLOSE  # rounded too far, or wrong
    assert said_of("ex-gate-hand", "g", 0.85) == exercises.UNKNOWN
    for m in ((1.839, 0.161, 0.161, 0.161), np.array([1.84, 0.161, 0.161, 0.161])):
        assert said_of("ex-gate-hand", "m", m) == "right"
    for terms in ("L_kd", ["L_kd"], {"l_KD "}):
        assert said_of("ex-ways-noise", "by_parent", terms) == "right"


def test_several_parts_are_told_apart():
    said = one_line("ex-gate-hand", s=2, share=0.1614, g=torch.zeros(2))
    assert said == (
        "not yet. s: This is the dot product; the similarity divides it by √C. "
        "g: This is: array (2,); asked for is: number. Right: share. Still open: m, share_3."
    )
    assert judged("ex-gate-hand", s=1).endswith("Asked for is: s, g, share, m, share_3.")
    assert "Choose from: bold, timid." in one_line("ex-lits-empty", favoured="Anna")
    said = one_line("ex-transfer-gate", holds=torch.ones(2).eq(0).all())
    assert said == "not yet. Right: holds. Still open: most."


def test_a_function_that_fails_or_is_none_is_told_in_a_sentence():
    def fails(c, p, lam=0.6):
        return c @ p

    assert "cannot be read: RuntimeError" in said_of("ex-gate-cosine", "share", fails)
    assert said_of("ex-gate-cosine", "share", 3) == "This is: number; asked for is: a function."
    assert said_of("ex-gate-cosine", "least", fails) == "This is: a function; asked for is: number."
    assert said_of("ex-gate-cosine", "share", lambda c, p: None) == "open"
    doubled = said_of("ex-gate-choose", "slope", lambda c, p, lam: 0 * c)
    assert doubled.startswith(exercises.UNKNOWN) and "Its relative error is 1.0e+00" in doubled


def test_a_function_may_change_its_arguments():
    def difference(n, e):
        per_image = e.mean()
        e *= n
        return per_image - e.sum() / n.sum()

    for _ in "again":
        assert said_of("ex-kitti-means", "difference", difference) == "right"


def test_what_the_page_computed_decides():
    for scenes in (SCENES[:1], SCENES[1:]):
        assert judged("ex-sintel-zero", scenes, **constant_flow(scenes)) == "ex-sintel-zero: right."
    assert "not yet" in judged("ex-sintel-zero", SCENES[:1], **constant_flow(SCENES[1:]))


def test_a_check_that_there_is_not_is_an_error_of_the_page():
    with pytest.raises(KeyError, match="no check 'ex-nothing'"):
        check("ex-nothing", s=1)


# -- notebooks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_with_nothing_filled_in_says_so_calmly(name):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(CELLS[name][1], {"check": check, "tests": SCENES})
    assert printed.getvalue() == f"{name}: nothing to check yet.\n"


def test_every_check_is_used_once_and_every_used_one_exists():
    assert sorted(CELLS) == sorted(NAMES)
    for name, (page, source) in CELLS.items():
        calls = re.findall(r'^check\("([\w-]+)"', source, re.M)
        assert calls == [name], (page, name)
        assert re.findall(r"check\(", source) == ["check("]
    for page in {page for page, _ in CELLS.values()}:
        first, *others = [source for where, source in CELLS.values() if where == page]
        assert first.startswith("from hkt_course.exercises import check")
        assert not any("import check" in source for source in others)


def test_every_exercise_has_a_check_or_a_reason_and_the_check_stands_between_it_and_its_solution():
    stated = []
    for page, notebook in PAGES.items():
        cells = notebook.cells
        for place, cell in enumerate(cells):
            here = STATED.findall(cell.source) if cell.cell_type == "markdown" else []
            stated += here
            for label in set(here) & set(CELLS):
                assert label == here[-1] and cell.source.endswith("```"), (page, label)
                assert cells[place + 1].id == label
                opens = f"```{{solution}} {label}\n:class: dropdown\n"
                assert cells[place + 2].source.startswith(opens), (page, label)
    assert len(stated) == len(set(stated)) > 50
    assert set(stated) == HANDLED and not set(CELLS) & set(BOOK["without"])
    assert all(len(reason) > 10 for reason in BOOK["without"].values())
