"""What the grader puts right, refuses and never believes."""

import json
import zipfile

import nbformat
import numpy as np
import pytest

from hkt_course import compare, fence, grader, rehearsal, source
from hkt_course.student import encode, without_magics
from hkt_lite.config import PROJECT, HKTError
from tests.course import zoo
from tests.course.hand_ins import HandIn, cell_of, last_cell, make

NAME = "a1_attention"


def test_cells_are_put_back_and_named(judges):
    judge = judges(NAME)
    handed = make(judge.source, zoo.REFERENCE)
    handed.cells = [cell for cell in handed.cells if grader.name(cell) not in ("mix", "given")]
    handed.cells.reverse()
    result = judge.grade(handed)
    assert result.points == 20
    assert result.notes == [
        "Cell 'given' was missing and has been put back.",
        "Cell 'mix' was missing and has been put back.",
    ]


def test_a_solution_that_is_missing_is_put_back_empty(judges):
    judge = judges(NAME)
    handed = make(judge.source, zoo.REFERENCE)
    handed.cells.remove(cell_of(handed, "write_mix"))
    result = judge.grade(handed)
    assert result.notes == ["Cell 'write_mix' was missing and has been put back, empty."]
    assert {test for test, mark in result.marks.items() if not mark.points} == {
        "mix",
        "displacement",
    }


def test_changed_cells_of_the_source_are_its_own_again(judges):
    judge = judges(NAME)
    handed = make(judge.source, zoo.REFERENCE)
    for name in ("given", "checks", "gate", "mix"):
        cell_of(handed, name).source = "raise SystemExit"
    assert judge.grade(handed).points == 20


def test_own_cells_run_where_the_student_put_them(judges):
    judge = judges(NAME)
    helper = nbformat.v4.new_code_cell("def root(c):\n    return c.shape[1] ** 0.5")
    edits = {"write_similarity": [("c.shape[1] ** 0.5", "root(c)")]}
    handed = make(judge.source, HandIn("own cell", edits))
    place = handed.cells.index(cell_of(handed, "ask_similarity"))
    handed.cells.insert(place, helper)
    assert judge.grade(handed).points == 20


def test_a_copied_solution_cell_counts_as_the_student_saw_it_last(judges):
    judge = judges(NAME)
    handed = make(judge.source, zoo.REFERENCE)
    again = cell_of(handed, "write_mix").copy()
    again.source = "def mix(c, p, rho):\n    return c"
    handed.cells.insert(handed.cells.index(cell_of(handed, "write_mix")) + 1, again)
    lost = {test for test, mark in judge.grade(handed).marks.items() if not mark.points}
    assert lost == {"mix"}


def test_a_later_cell_may_take_a_name_for_something_else(judges):
    """As `mean, low, high = experiment(seeds)` does, and the transfer of assignment 3 reads `mean`."""
    judge = judges(NAME)
    trick = last_cell("share = share(g_drawn)\nfeatures = share, mix(c, p, share)")
    result = judge.grade(make(judge.source, HandIn("takes names", trick=trick)))
    assert result.points == 20


def test_lines_for_the_shell_do_no_harm(judges):
    judge = judges(NAME)
    trick = last_cell("%matplotlib inline\n!pip install torch\nprint('after')")
    result = judge.grade(make(judge.source, HandIn("magics", trick=trick)))
    assert result.points == 20 and result.notebook.cells[-1].outputs[0].text == "after\n"


def test_a_later_cell_may_use_what_a_test_cell_defines(judges):
    judge = judges(NAME)
    trick = last_cell("print('slope', d[0, 0].item())")  # of the visible part of a test
    result = judge.grade(make(judge.source, HandIn("reads d", trick=trick)))
    assert result.points == 20 and result.notebook.cells[-1].outputs[0].text == "slope -1.0\n"


@pytest.mark.parametrize(
    "code, left",
    [
        ("x = (7\n     % 4)\nsame = (x\n        != 3)", None),
        ('text = """\n% of all\n!\n"""', None),
        ("if True:\n    !echo it's\ny = 2", "if True:\n    pass\ny = 2"),
        ("%%time\ntorch.sum?\n?torch\nx = 1", "pass\npass\npass\nx = 1"),
        ("x = (1\n", None),
    ],
)
def test_only_what_python_refuses_is_a_line_for_ipython(code, left):
    """A formatter puts operators at the beginning of a line: `% 4` and `!= 3` are arithmetic."""
    assert without_magics(code) == (code if left is None else left)


def test_a_process_that_dies_in_one_test_loses_that_test_only(judges):
    judge = judges(NAME)
    edits = {"write_mix": [("return c + rho", "import os\n    os._exit(3)\n    return c + rho")]}
    marks = judge.grade(make(judge.source, HandIn("dies", edits))).marks
    assert {test for test, mark in marks.items() if not mark.points} == {"mix"}
    assert marks["mix"].said == "Stopped: the code ended the process"


def test_what_a_test_asks_is_not_told_by_an_error(judges):
    judge = judges(NAME)
    code = "class Told(Exception):\n    pass\ndef gate(s):\n    raise Told(s.tolist())"
    edits = {"write_share": code}
    marks = judge.grade(make(judge.source, HandIn("tells", edits))).marks
    assert marks["gate"].said == "An exception (in write_share, line 4)"


@pytest.mark.parametrize(
    "got, wanted, agree",
    [
        (1.0, 1.000001, True),
        (1.0, 1.001, False),
        (1, 1.0, True),
        (3, 4, False),
        (True, 1, False),
        ("a", "a", True),
        (None, 0.0, False),
        (np.ones(3), np.ones((3, 1)), False),
        (np.ones(3), np.ones(3) + 1e-7, True),
        (np.array([np.nan]), np.array([np.nan]), False),
        ([1.0, 2.0], [1.0, 2.0, 3.0], False),
        ({"a": 1.0}, {"b": 1.0}, False),
        ({"a": [1.0, "x"]}, {"a": [1.0, "x"]}, True),
        (object(), 1.0, False),
    ],
)
def test_plain_values_are_compared(got, wanted, agree):
    values = [json.loads(json.dumps(encode(value))) for value in (got, wanted)]
    try:
        said = compare.differs(*values, compare.THRESHOLD)
    except TypeError as problem:
        said = str(problem)
    assert (said == "") is agree, said


def test_a_comparison_that_says_yes_to_everything_grades_nobody(monkeypatch):
    monkeypatch.setattr(compare, "relative_error", lambda a, b: 0.0)
    with pytest.raises(HKTError, match="nothing is graded"):
        compare.canary()


def test_a_reference_that_fails_is_no_reference(judges, warm):
    spoilt = judges(NAME).source.copy()
    spoilt.cells = [cell.copy() for cell in spoilt.cells]
    cell_of(spoilt, "write_mix").source = "def mix(c, p, rho):\n    raise ValueError('spoilt')"
    with pytest.raises(HKTError, match="fails test 'mix': ValueError: spoilt"):
        grader.Judge(spoilt, warm)


@pytest.mark.skipif(fence.resource is None, reason="Windows has no such limits")
def test_the_kernel_holds_the_fence_where_it_can():
    """In a process of its own, for a fence is for good."""
    import subprocess
    import sys

    code = (
        "import os, sys, tempfile\n"
        "from hkt_course import fence\n"
        "folder = tempfile.mkdtemp()\n"
        "if not fence.landlock(fence.python_folders(), [folder]): sys.exit(9)\n"
        "open(os.path.join(folder, 'own'), 'w').close()\n"
        f"libc = fence.ctypes.CDLL(None); path = {str(source.path_of(NAME))!r}.encode()\n"
        "sys.exit(0 if libc.open(path, 0) == -1 else 1)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=False)
    if ended.returncode == 9:
        pytest.skip("this kernel has no Landlock")
    assert ended.returncode == 0


# -- what may not leave the house --------------------------------------------------------------------


def test_the_students_version_gives_nothing_away_and_the_source_everything(judges, tmp_path):
    for name in source.names():
        made = judges(name).source
        kept = source.secrets(made)
        assert len(kept) > 15
        for notebook, clean in ((source.stub(made), True), (made, False)):
            (tmp_path / f"{name}.ipynb").write_text(nbformat.writes(notebook), encoding="utf-8")
            assert (source.leaks(tmp_path / f"{name}.ipynb", kept) == []) is clean, name


@pytest.mark.parametrize(
    "file, content, said",
    [
        ("a.pyc", b"\x00", "a.pyc is compiled code."),
        ("a.md", b"text\n  return secret_of_this_test(c, p)\n", "gives away"),
        ("a.html", b"<pre><b>return</b> secret_of_this_test(c, p)</pre>", "gives away"),
        ("a.md", b"### BEGIN SOLUTION", "holds '### BEGIN SOLUTION'"),
        ("a.txt", b"### END HIDDEN TESTS", "holds '### END HIDDEN TESTS'"),
    ],
)
def test_a_leak_is_named_in_a_file_and_in_a_zip(file, content, said, tmp_path):
    kept = {"return secret_of_this_test(c, p)"}
    (tmp_path / file).write_bytes(content)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(tmp_path / file, f"inner/{file}")
    for path in (tmp_path / file, tmp_path / "all.zip"):
        (leak,) = source.leaks(path, kept)
        assert said in leak


def test_outputs_in_a_notebook_are_a_leak(tmp_path):
    cell = nbformat.v4.new_code_cell("1", outputs=[nbformat.v4.new_output("stream", text="1")])
    notebook = nbformat.v4.new_notebook(cells=[cell])
    (tmp_path / "a.ipynb").write_text(nbformat.writes(notebook), encoding="utf-8")
    assert source.leaks(tmp_path / "a.ipynb", set()) == ["a.ipynb holds outputs."]


def test_the_book_gives_no_solution_away(judges):
    kept = {line for name in source.names() for line in source.secrets(judges(name).source)}
    pages = [*(PROJECT / "book").glob("**/*.md"), *(PROJECT / "notebooks").glob("*.ipynb")]
    assert len(pages) > 15
    found = {path.name: source.leaks(path, kept) for path in pages if "_build" not in path.parts}
    assert {name: leaks for name, leaks in found.items() if leaks} == {}


def test_sources_are_stripped_and_run_as_they_stand():
    for name in source.names():
        notebook = nbformat.read(source.path_of(name), 4)
        nbformat.validate(notebook)
        tags = [tag for cell in notebook.cells for tag in cell.metadata.get("tags", [])]
        assert {"variant", "answers", "checks"} <= set(tags)
        assert not any(cell.get("outputs") for cell in notebook.cells)


def test_a_listing_says_nothing_twice_and_its_faults_stand_where_they_are_said_to():
    (variant, *_) = nbformat.read(source.path_of("a5_critique"), 4).cells
    places = set()
    for seed in range(2026, 2046):
        made = source._values(variant.source, seed)
        lines = [line[5:] for line in made["listing"].split("\n")]
        said = [line for line in lines if line and not line.startswith(" ")]
        assert len(set(said)) == len(said), seed
        assert sum(place > 0 for place in made["lines"].values()) == made["count"]
        fault = made["lines"]["best of N"]
        assert not fault or "max(scores)" in lines[fault - 1]
        places.add(fault)
    assert len(places) > 4


def test_a_name_that_the_variant_does_not_define_is_said(tmp_path, warm):
    notebook = nbformat.read(source.path_of(NAME), 4)
    cell_of(notebook, "intro").source += " {{kappa}}"
    (tmp_path / "a1.ipynb").write_text(nbformat.writes(notebook), encoding="utf-8")
    with pytest.raises(HKTError, match="a1 uses V.kappa, which its variant does not define"):
        source.instance(tmp_path / "a1.ipynb", 1, warm)


def test_the_own_look_says_when_no_test_can_be_asked(judges, warm):
    replaces = last_cell("torch.nn.functional.relu = print")
    handed = make(judges(NAME).source, HandIn("a library function is replaced", trick=replaces))
    said = "No test can be asked: Stopped: torch.nn.functional.relu was replaced"
    assert rehearsal.rehearse(handed, warm)["errors"][-1].startswith(said)


def test_what_is_no_picture_is_not_shown():
    """Whatever a hand-in's process may send in the place of one."""
    cell = nbformat.v4.new_code_cell()
    for told in (["%%%"], [5], 5, "<script>", ['iVBORw0KGgo" onload="'], None):
        grader._show(cell, {"out": "text", "figures": told, "error": None})
        shown = [dict(output.get("data", {})) for output in cell.outputs[1:]]
        assert not any('"' in text for one in shown for text in one.values()), told


@pytest.mark.parametrize("error", [5, "x", [], {"name": "E"}, {"name": 1, "text": 2, "where": [3]}])
def test_whatever_a_process_says_was_raised_grading_goes_on(error):
    assert grader.said(error) == "its process answered what nobody asked"
