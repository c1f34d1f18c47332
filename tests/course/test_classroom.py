"""An instructor's path through nbgrader, in the environment that has it: release, grade, feedback,
points given by hand, CSV; and what goes wrong on the way."""

import csv
import html
import json
import shutil
import subprocess
import zipfile
from pathlib import Path

import nbformat
import pytest

from hkt_course import gradebook, grader, source
from hkt_course.classroom import Class
from hkt_lite.config import PROJECT, HKTError
from tests.course import cheats, zoo, zoo_a1
from tests.course.class_python import hkt, python
from tests.course.hand_ins import HandIn, cell_of, make
from tests.helpers import child_environment

NAME = "a1_attention"
PUT_BACK = "Cell 'write_mix' was missing and has been put back, empty."
BY_HAND = """
import sys
from nbgrader.api import Gradebook
with Gradebook(f"sqlite:///{sys.argv[1]}/gradebook.db") as book:
    grade = book.find_grade("essay", "a1_attention", "a1_attention", "ada")
    grade.manual_score, grade.needs_manual_grade = 3.0, False
    book.db.commit()
"""


def by_name(hand_ins, name):
    (found,) = [one for one in hand_ins if one.name == name]
    return found


def rows(folder: Path) -> dict[str, dict]:
    with open(folder / "grades.csv", encoding="utf-8", newline="") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def without(name: str):
    """A trick: a cell is deleted."""
    return lambda notebook: notebook.cells.remove(cell_of(notebook, name))


@pytest.fixture(scope="module")
def released(tmp_path_factory) -> Path:
    """A class that has been given all assignments."""
    folder = tmp_path_factory.mktemp("class") / "class"
    made = hkt("course", "release", folder, "--variant", 2027)
    assert made.returncode == 0, made.stdout + made.stderr
    assert [Path(line).stem for line in made.stdout.split()] == source.names()
    return folder


@pytest.fixture(scope="module")
def graded(released, tmp_path_factory) -> Path:
    """The same class with six hand-ins, a file that is no notebook and one of a strange name."""
    folder = shutil.copytree(released, tmp_path_factory.mktemp("graded") / "class")
    assignment = nbformat.read(folder / "source" / NAME / f"{NAME}.ipynb", 4)
    hand_ins = {
        "ada": zoo.REFERENCE,
        "ben": zoo.STUB,
        "cleo": by_name(zoo_a1.ZOO, "gate inverted"),
        "dan": by_name(cheats.ZOO(), "test cells replaced, points raised"),
        "fay.b@uni-x.edu": by_name(zoo_a1.ZOO, "draws and shows what it found"),
        "gus": HandIn("a cell is gone", trick=without("write_mix")),
    }
    (folder / "inbox").mkdir()
    for student, hand_in in hand_ins.items():
        text = nbformat.writes(make(assignment, hand_in))
        (folder / "inbox" / f"{student}__{NAME}.ipynb").write_text(text, encoding="utf-8")
    (folder / "inbox" / f"eve__{NAME}.ipynb").write_text("{no notebook", encoding="utf-8")
    (folder / "inbox" / "homework.ipynb").write_text("{}", encoding="utf-8")
    made = hkt("course", "grade", folder)
    assert made.returncode == 1, made.stdout + made.stderr
    assert "homework.ipynb was left out" in made.stdout and "letters, digits" in made.stdout
    assert f"gus, {NAME}: {PUT_BACK}\n" in made.stdout and "ada," not in made.stdout
    assert "eve" in made.stdout and "not a readable notebook" in made.stdout, made.stdout
    return folder


def test_students_get_a_notebook_without_solutions_that_is_the_same_each_time(released):
    with zipfile.ZipFile(released / "zips" / f"{NAME}.zip") as archive:
        assert archive.namelist() == [f"{NAME}/{NAME}.ipynb", f"{NAME}/README.txt"]
        notebook = nbformat.reads(archive.read(f"{NAME}/{NAME}.ipynb").decode(), 4)
    assert notebook.metadata.hkt.variant == 2027
    assert sum(source.STUB.split("\n")[0] in cell.source for cell in notebook.cells) == 4
    assert source.TEXT_STUB in notebook.cells[-1].source
    before = (released / "zips" / f"{NAME}.zip").read_bytes()
    again = hkt("course", "release", released, NAME, "--variant", 2027)
    assert again.returncode == 0 and (released / "zips" / f"{NAME}.zip").read_bytes() == before


def test_points_are_those_that_were_earned(graded):
    made = rows(graded)
    assert {student: float(row["points"]) for student, row in made.items()} == {
        "ada": 20,
        "ben": 0,
        "cleo": 18,
        "dan": 0,
        "fay.b@uni-x.edu": 20,
        "gus": 16,
    }
    assert {row["most"] for row in made.values()} == {"24.0"}
    assert made["cleo"]["lost"] == "share"
    assert made["ada"]["open"] == "1" and made["ben"]["open"] == "0"  # nothing to read there


def test_the_table_prints_every_hand_in(graded):
    said = " ".join(hkt("course", "table", graded).stdout.split())
    assert "a1_attention cleo 18.0 of 24 1 to be read lost: share a1_attention dan" in said
    listed = json.loads(hkt("course", "table", graded, "--json").stdout)
    assert [row["student"] for row in listed] == [
        "ada",
        "ben",
        "cleo",
        "dan",
        "fay.b@uni-x.edu",
        "gus",
    ]


def test_the_reader_sees_what_a_cell_drew_and_what_its_last_line_is(graded):
    read_by_hand = graded / "autograded" / "fay.b@uni-x.edu" / NAME / f"{NAME}.ipynb"
    *_, cell = nbformat.read(read_by_hand, 4).cells
    text, picture = cell.outputs
    assert text.text.startswith("two\n2\ntensor(")
    assert picture.data["image/png"].startswith("iVBORw0KGgo")
    page = graded / "feedback" / "fay.b@uni-x.edu" / NAME / f"{NAME}.html"
    assert "data:image/png;base64,iVBORw0KGgo" in page.read_text(encoding="utf-8")


def test_feedback_says_what_was_lost_and_no_hidden_test(graded):
    page = (graded / "feedback" / "cleo" / NAME / f"{NAME}.html").read_text(encoding="utf-8")
    assert "relative error" in page
    assignment = nbformat.read(graded / "source" / NAME / f"{NAME}.ipynb", 4)
    text = html.unescape(page)
    for cell in assignment.cells:
        for line in grader.hidden(cell).split("\n"):
            assert len(line) < source.TELLING or line.strip() not in text, line


def test_the_page_says_on_top_what_was_put_back(graded):
    ada, gus = [
        (graded / "feedback" / student / NAME / f"{NAME}.html").read_text(encoding="utf-8")
        for student in ("ada", "gus")
    ]
    body = html.unescape(gus.partition("<body")[2])
    assert 0 < body.find(PUT_BACK) < body.find("What you learn.")
    assert "put back" not in ada


def test_points_given_by_hand_survive_another_grading(graded, tmp_path):
    folder = shutil.copytree(graded, tmp_path / "class")
    for path in (folder / "inbox").glob("*"):
        if not path.name.startswith("ada"):
            path.unlink()
    done = subprocess.run(
        [python(), "-c", BY_HAND, str(folder)], env=child_environment(tmp_path), check=False
    )
    assert done.returncode == 0 and hkt("course", "grade", folder).returncode == 0
    assert float(rows(folder)["ada"]["points"]) == 23
    assert float(rows(folder)["cleo"]["points"]) == 18  # graded before, still there


def test_nbgraders_own_grading_finds_nothing_and_changes_nothing(graded, tmp_path):
    """It would run hand-ins without the fence, and count hidden tests as right."""
    folder = shutil.copytree(graded, tmp_path / "class")
    asked = ["autograde", NAME, "--student", "ben", "--force"]
    made = subprocess.run(
        [python(), "-m", "nbgrader", *asked],
        env=child_environment(tmp_path),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode != 0 and "grade with hkt course grade" in made.stderr, made.stderr
    assert hkt("course", "table", folder).stdout == hkt("course", "table", graded).stdout
    assert (folder / "autograded" / "ben" / NAME / f"{NAME}.ipynb").exists()


def test_without_nbgrader_one_sentence_says_where_it_is(monkeypatch, tmp_path):
    monkeypatch.setattr(gradebook, "find_spec", lambda name: None)
    for work in (lambda: Class(tmp_path).release([NAME], 1), lambda: gradebook.api(tmp_path)):
        with pytest.raises(HKTError, match=r"needs nbgrader.*\.venv/course/bin/hkt"):
            work()
    assert not list(tmp_path.iterdir())


def test_a_test_that_is_gone_is_refused_where_somebody_has_handed_in(graded, tmp_path):
    folder, own = shutil.copytree(graded, tmp_path / "class"), _project(tmp_path)
    _edit(own, lambda cells: [cell for cell in cells if grader.name(cell) != "displacement"])
    made = _hkt_of(own, "course", "release", folder, NAME, "--variant", "2027")
    assert made.returncode == 2 and "has been handed in" in made.stderr, made.stderr
    assert "displacement" in made.stderr
    assert (folder / "release" / NAME / f"{NAME}.ipynb").exists()
    assert not list(folder.glob(".release-*"))


def test_a_leaked_solution_stops_the_release(tmp_path):
    own = _project(tmp_path)
    assignment = nbformat.read(source.path_of(NAME), 4)
    line = next(
        line.strip()
        for cell in assignment.cells
        for line in cell.source.split("\n")
        if line.strip().startswith("along = ")
    )
    _edit(own, lambda cells: [_told(cell, line) for cell in cells])
    made = _hkt_of(own, "course", "release", tmp_path / "class", NAME)
    assert made.returncode == 2 and "gives away" in made.stderr, made.stdout + made.stderr
    assert not (tmp_path / "class" / "zips").exists()


def test_a_weak_test_stops_the_release(tmp_path):
    own = _project(tmp_path)
    _edit(own, lambda cells: [_weak(cell) for cell in cells])
    made = _hkt_of(own, "course", "release", tmp_path / "class", NAME)
    assert made.returncode == 2, made.stdout + made.stderr
    assert "Test 'gate' is weak: an empty hand-in passes it." in made.stderr
    assert not (tmp_path / "class" / "release").exists()


@pytest.mark.parametrize(
    "words, said",
    [
        (["release", "{class}", "a1_atention"], "Did you mean 'a1_attention'"),
        (["release", "{class}", NAME, "--variant", "2028"], "is a class of variant 2027"),
        (["grade", "{empty}"], "is no class yet"),
        (["table", "{empty}"], "is no class yet"),
        (["check", "{empty}/nothing.ipynb"], "There is no notebook"),
    ],
)
def test_a_mistake_is_one_sentence(words, said, released, tmp_path):
    places = {"class": released, "empty": tmp_path}
    made = hkt("course", *[word.format(**places) for word in words])
    assert made.returncode == 2 and said in made.stderr, made.stdout + made.stderr
    assert len(made.stderr.strip().splitlines()) == 1 and not list(tmp_path.iterdir())


def test_files_that_cannot_be_told_apart_are_named_before_anything_is_graded(released, tmp_path):
    folder = shutil.copytree(released, tmp_path / "class")
    (folder / "inbox").mkdir()
    for name in (f"ada__{NAME}.ipynb", f"ada__{NAME} (1).ipynb"):
        (folder / "inbox" / name).write_text("{}", encoding="utf-8")
    made = hkt("course", "grade", folder)
    assert made.returncode == 2 and "are both of ada" in made.stderr, made.stderr
    assert not (folder / "submitted").exists()


def _project(tmp_path: Path) -> Path:
    """A copy of the package and of assignment 1, whose source may be spoilt."""
    own = tmp_path / "project"
    ignored = shutil.ignore_patterns("__pycache__")
    for package in ("hkt_lite", "hkt_course"):
        shutil.copytree(PROJECT / package, own / package, ignore=ignored)
    shutil.copytree(source.home() / NAME, own / "notebooks" / "assignments" / "source" / NAME)
    return own


def _edit(own: Path, change) -> None:
    path = own / "notebooks" / "assignments" / "source" / NAME / f"{NAME}.ipynb"
    notebook = nbformat.read(path, 4)
    notebook.cells = change(notebook.cells)
    path.write_text(nbformat.writes(notebook), encoding="utf-8")


def _told(cell, line: str):
    if grader.name(cell) == "ask_gradients":
        cell.source += f"\n\nFor example\n{line}"
    return cell


def _weak(cell):
    if grader.name(cell) == "gate":
        begin, end = grader.HIDDEN
        cell.source = f"{begin}\nfeatures(1, 2, 3)[0].shape[0]\n{end}"
    return cell


def _hkt_of(own: Path, *words) -> subprocess.CompletedProcess:
    return subprocess.run(
        [python(), "-m", "hkt_lite", *map(str, words)],
        env=child_environment(own, PYTHONPATH=str(own)),
        capture_output=True,
        text=True,
        timeout=600,
        cwd=own,
    )
