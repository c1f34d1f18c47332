"""A class: a folder in nbgrader's layout with a database of its own.   hkt course release FOLDER

course.json                    variant and assignments
nbgrader_config.py             what nbgrader's pages need to know of this folder
source/  release/              the class's version with solutions, and without
zips/                          what students get: the notebook and how to work with it
inbox/                         hand-ins as they came in: STUDENT__ASSIGNMENT.ipynb
submitted/ autograded/         nbgrader's: put right, graded
feedback/  gradebook.db        pages for students; points, also those given by hand
grades.csv                     one line a hand-in
"""

import csv
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hkt_lite.book.notebook import read
from hkt_lite.config import HKTError
from hkt_lite.files import read_json, write_bytes, write_json

from . import gradebook, grader, source

FILE = re.compile(r"(?P<student>[\w.@-]+?)__(?P<assignment>\w+?)( ?\(\d+\)|-\d+)?\.ipynb")
COLUMNS = "student assignment points most by_hand open lost".split()
HOW = """How to work on {name}.ipynb

1. Install Python 3.11 or newer and the package, from the file you were given:  pip install FILE.whl
   (from a folder, without a network:  pip install --no-index --find-links FOLDER hkt-lite)
2. Open {name}.ipynb in Jupyter (pip install jupyterlab), write where it says YOUR CODE HERE,
   and run the checks.
3. Look at it as the grader will:  hkt course check {name}.ipynb
4. Hand in this one file, {name}.ipynb.
"""


class Class:
    """`root` is the folder of the class."""

    def __init__(self, root: Path):
        self.root = Path(root)

    def facts(self) -> dict:
        """What was released.  Raises HKTError for a folder that is no class."""
        if not (self.root / "course.json").exists():
            raise HKTError(
                f"{self.root} is no class yet; make it with `hkt course release {self.root}`."
            )
        return read_json(self.root / "course.json", "class")

    def source(self, name: str):
        return read(self.root / "source" / name / f"{name}.ipynb")

    # -- release ---------------------------------------------------------------------------------

    def release(self, names: list[str], seed: int) -> list[Path]:
        """Make the class's version of the assignments; the zips for students.

        All or nothing.  Raises HKTError for a test that the stub passes or the reference fails, for
        a zip that gives something away, for another variant than the class has, and for tests that
        changed after somebody had handed in.
        """
        for name in names:
            source.path_of(name)
        if self.root.exists() and not self.root.is_dir():
            raise HKTError(f"{str(self.root)!r} is no folder; name another for the class.")
        gradebook.needed()
        known = self.facts() if (self.root / "course.json").exists() else {"assignments": []}
        if known.get("variant", seed) != seed:
            raise HKTError(
                f"{self.root} is a class of variant {known['variant']}; give another folder for "
                f"variant {seed}."
            )
        self.root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.root, prefix=".release-") as folder:
            part = Class(folder)
            if (self.root / "gradebook.db").exists():
                shutil.copy(self.root / "gradebook.db", folder)
            with grader.Warm() as warm:
                for name in names:
                    self._make(part, name, seed, warm)
            part._move(names, self.root)
        facts = {"variant": seed, "assignments": sorted({*known["assignments"], *names})}
        write_json(self.root / "course.json", facts)
        write_bytes(self.root / gradebook.FILE, gradebook.text().encode())
        return [self.root / "zips" / f"{name}.zip" for name in names]

    def _make(self, part: "Class", name: str, seed: int, warm: grader.Warm) -> None:
        import nbformat

        made = source.instance(source.path_of(name), seed, warm)
        self._refuse_other_tests(name, made)
        judge = grader.Judge(made, warm, [source.home(), self.root.resolve()])
        if wrong := source.weak_tests(judge):
            raise HKTError(f"{name} cannot be released. {' '.join(wrong)}")
        path = part.root / "source" / name / f"{name}.ipynb"
        write_bytes(path, nbformat.writes(made).encode())
        _succeeded(
            gradebook.api(part.root).generate_assignment(name, force=True), f"release of {name}"
        )
        released = part.root / "release" / name / f"{name}.ipynb"
        pack(part.root / "zips" / f"{name}.zip", released)
        kept = source.secrets(made)
        zipped = part.root / "zips" / f"{name}.zip"  # others' may have such a line among the given
        found = source.leaks(zipped, kept) + source.leaks(released, kept)
        if found:
            raise HKTError(f"{name} cannot be released. {' '.join(sorted(set(found)))}")

    def _refuse_other_tests(self, name: str, made) -> None:
        """nbgrader would delete the release; here nothing has been touched yet."""
        if not any((self.root / "submitted").glob(f"*/{name}")):
            return
        before, now = [
            {
                grader.name(cell): cell.metadata.nbgrader["points"]
                for cell in notebook.cells
                if grader.role(cell) in ("test", "essay")
            }
            for notebook in (self.source(name), made)
        ]
        changed = {test for test in before.keys() | now if before.get(test) != now.get(test)}
        if changed:
            raise HKTError(
                f"{name} has been handed in, and its tests {', '.join(sorted(changed))} are not "
                f"those of the release in {self.root}; release it to another folder."
            )

    def _move(self, names: list[str], root: Path) -> None:
        os.replace(self.root / "gradebook.db", root / "gradebook.db")
        for name in names:
            for part in (f"source/{name}", f"release/{name}", f"zips/{name}.zip"):
                (root / part).parent.mkdir(exist_ok=True)
                if (root / part).is_dir():
                    shutil.rmtree(root / part)
                os.replace(self.root / part, root / part)

    # -- grade -----------------------------------------------------------------------------------

    def hand_ins(self, unread: list[str]) -> Iterator[tuple[str, str, Path]]:
        """(student, assignment, file) of the inbox; a file with another name adds a sentence to
        `unread`.  Raises HKTError for two files of one student."""
        released, seen = self.facts()["assignments"], {}
        for path in sorted((self.root / "inbox").glob("*.ipynb")):
            found = FILE.fullmatch(path.name)
            if not found or found["assignment"] not in released:
                unread.append(
                    f"{path} was left out: it should be called STUDENT__ASSIGNMENT.ipynb, with a "
                    "student of letters, digits and . _ - @ and an assignment out of "
                    f"{', '.join(released)}."
                )
                continue
            key = found["student"], found["assignment"]
            if key in seen:
                raise HKTError(
                    f"{seen[key]} and {path.name} are both of {key[0]}; leave one of them in the "
                    "inbox."
                )
            seen[key] = path
            yield *key, path

    def grade(
        self, workers: int | None = None, limits: grader.Limits = grader.Limits()
    ) -> tuple[list[str], list[str]]:
        """Grade the inbox: points into the database, feedback, grades.csv.

        Returns a sentence for every hand-in that could not be read, the others are graded; and a
        line for every one in which something had to be put back.
        """
        self.facts()
        gradebook.needed()
        readable, unread = [], []
        for student, name, path in self.hand_ins(unread):
            try:
                readable.append((student, name, read(path)))
            except HKTError as problem:
                unread.append(str(problem))
        results = self._results(readable, workers or os.cpu_count() or 1, limits)
        api = gradebook.api(self.root, results)
        for (student, name), result in results.items():
            self._submit(student, name, result)
            _succeeded(api.autograde(name, student, force=True), f"grading of {student}'s {name}")
            said = api.generate_feedback(name, student, force=True)
            _succeeded(said, f"feedback on {student}'s {name}")
            self._lint(student, name, result)
        self.write_csv(self.root / "grades.csv")
        told = [f"{student}, {name}: {' '.join(result.notes)}"
                for (student, name), result in results.items() if result.notes]  # fmt: skip
        return unread, told

    def _results(self, readable: list, workers: int, limits: grader.Limits) -> dict:
        """(student, assignment) -> result; each hand-in in a process of its own."""
        private = [source.home(), self.root.resolve()]
        with grader.Warm() as warm, ThreadPoolExecutor(workers) as pool:
            judges = {
                name: grader.Judge(self.source(name), warm, private, limits)
                for name in sorted({name for _, name, _ in readable})
            }
            waiting = {
                (student, name): pool.submit(judges[name].grade, notebook)
                for student, name, notebook in readable
            }
            return {key: job.result() for key, job in waiting.items()}

    def _submit(self, student: str, name: str, result: grader.Result) -> None:
        """The hand-in as it was graded, where nbgrader looks for it.

        What was put back stands on top: else an error of a cell that came in without its text
        would have no cause that the student can see.
        """
        import nbformat

        if result.notes:
            said = ["**Before grading**", *(f"- {note}" for note in result.notes)]
            result.notebook.cells.insert(0, nbformat.v4.new_markdown_cell("\n".join(said)))
        path = self.root / "submitted" / student / name / f"{name}.ipynb"
        write_bytes(path, nbformat.writes(result.notebook).encode())

    def _lint(self, student: str, name: str, result: grader.Result) -> None:
        """Feedback shows no hidden test, but for lines that the student has written."""
        own = {line.strip() for cell in result.notebook.cells for line in cell.source.split("\n")
               if grader.role(cell) != "test"}  # fmt: skip
        kept = source.secrets(self.source(name), [grader.HIDDEN]) - own
        found = source.leaks(self.root / "feedback" / student / name, kept)
        if found:
            shutil.rmtree(self.root / "feedback" / student / name)
            raise HKTError(f"The feedback for {student} was deleted again: {' '.join(found)}")

    # -- what comes out --------------------------------------------------------------------------

    def table(self) -> list[dict]:
        """One row a hand-in: COLUMNS.  `open` counts answers that nobody has read yet."""
        self.facts()
        gradebook.needed()
        from nbgrader.api import Gradebook, MissingEntry

        rows = []
        with Gradebook(f"sqlite:///{self.root.resolve() / 'gradebook.db'}") as book:
            for submission in book.db.query(_submissions()).all():
                try:
                    grades = [grade for part in submission.notebooks for grade in part.grades]
                except MissingEntry:
                    continue
                rows.append(_row(submission, grades))
        return sorted(rows, key=lambda row: (row["assignment"], row["student"]))

    def write_csv(self, path: Path) -> None:
        text = _Lines()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.table())
        write_bytes(path, "".join(text).encode())


class _Lines(list):
    write = list.append


def _submissions():
    from nbgrader.api import SubmittedAssignment

    return SubmittedAssignment


def _row(submission, grades: list) -> dict:
    tests = [grade for grade in grades if grade.auto_score is not None]
    return {
        "student": submission.student.id,
        "assignment": submission.name,
        "points": submission.score,
        "most": submission.max_score,
        "by_hand": sum(grade.manual_score or 0 for grade in grades),
        "open": sum(grade.needs_manual_grade for grade in grades),
        "lost": " ".join(grade.name for grade in tests if grade.auto_score < grade.max_score),
    }


def _succeeded(said: dict, what: str) -> None:
    if not said["success"]:
        lines = [line for line in said["log"].splitlines() if line.strip() and "above" not in line]
        raise HKTError(f"The {what} failed in nbgrader: {' '.join(lines[-2:])}")


def pack(path: Path, notebook: Path) -> None:
    """What a student gets, the same bytes each time."""
    name = notebook.stem
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(f"{name}/{name}.ipynb"), notebook.read_bytes())
        archive.writestr(zipfile.ZipInfo(f"{name}/README.txt"), HOW.format(name=name))
