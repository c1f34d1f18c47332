"""A class's version of an assignment from its source, and what may not leave the house with it.

The source runs as it stands.  Three cells are tagged: `variant` defines V, `answers` holds the
answers by which instant checks know right from wrong, `checks` becomes their table.
"""

import copy
import html
import json
import re
import zipfile
from hashlib import sha256
from pathlib import Path

from hkt_lite import config
from hkt_lite.book.notebook import read
from hkt_lite.config import HKTError, nearest

from . import check, compare, grader

SOLUTION = ("### BEGIN SOLUTION", "### END SOLUTION")
STUB = "# YOUR CODE HERE\nraise NotImplementedError"
TEXT_STUB = "YOUR ANSWER HERE"
WORDS = re.compile(r"\bV\.(\w+)")
HOLES = re.compile(r"\{\{(\w+)\}\}")
TELLING = 24  # characters from which on a line of a solution is told from common code


def home() -> Path:
    return config.PROJECT / "notebooks" / "assignments" / "source"


def names() -> list[str]:
    """The assignments, in their order."""
    return sorted(path.parent.name for path in home().glob("*/*.ipynb"))


def path_of(name: str) -> Path:
    """The source of an assignment; HKTError for one that there is not."""
    if name not in names():
        raise HKTError(f"There is no assignment {name!r}.{nearest(name, names())}")
    return home() / name / f"{name}.ipynb"


def _tagged(cell, tag: str) -> bool:
    return tag in cell.metadata.get("tags", [])


def instance(path: Path, seed: int, warm: grader.Warm):
    """The assignment's version for a seed, with solutions, hidden tests and the table of checks.

    Raises HKTError where a cell names what the variant does not define, or where a known wrong
    answer cannot be told from the right one.
    """
    notebook = read(path)
    (variant,) = [cell for cell in notebook.cells if _tagged(cell, "variant")]
    values = _values(variant.source, seed)
    notebook.cells.remove(variant)
    for cell in notebook.cells:
        cell.outputs = [] if cell.cell_type == "code" else None
        if cell.cell_type != "code":
            del cell["outputs"]
        else:
            cell.execution_count = None
        cell.source = _filled(cell.source, values, path.stem)
    (answers,) = [cell for cell in notebook.cells if _tagged(cell, "answers")]
    notebook.cells.remove(answers)
    graded = [cell for cell in notebook.cells if grader.role(cell) in ("test", "essay")]
    points = {grader.name(cell): cell.metadata.nbgrader["points"] for cell in graded}
    notebook.metadata["hkt"] = {**notebook.metadata["hkt"], "variant": seed, "points": points}
    (checks,) = [cell for cell in notebook.cells if _tagged(cell, "checks")]
    table = _table(notebook, answers.source, warm)
    checks.source = f"{checks.source.partition('Checks(')[0]}Checks({table})"
    return notebook


def _values(code: str, seed: int) -> dict:
    space: dict = {}
    code = re.sub(r"Variant\(\d+\)", f"Variant({seed})", code)
    exec(compile(code, "<variant>", "exec"), space)
    return {"seed": seed, **vars(space["V"])}


def _filled(text: str, values: dict, where: str) -> str:
    for word in [*WORDS.findall(text), *HOLES.findall(text)]:
        if word not in values:
            raise HKTError(f"{where} uses V.{word}, which its variant does not define.")
    text = WORDS.sub(lambda match: repr(values[match[1]]), text)
    return HOLES.sub(lambda match: str(values[match[1]]), text)


def _table(notebook, answers: str, warm: grader.Warm) -> str:
    """The table of instant checks, from the reference's process."""
    whole = copy.deepcopy(notebook)
    probe = f"{answers}\nANSWERS"
    first = next(grader.name(cell) for cell in notebook.cells if grader.role(cell) == "test")

    def asked(cell) -> str:
        return probe if grader.name(cell) == first else ""

    found = grader.run(whole, warm, tests=asked, tell=True)[first]
    if "error" in found:
        raise HKTError(f"The answers of an assignment fail: {grader.said(found['error'])}.")
    salt = sha256(f"{notebook.metadata['hkt']}".encode()).hexdigest()[:8]
    lines = {}
    for key, known in found["value"]["dict"]:
        given = {said: _plain(value) for said, value in known["dict"]}
        try:
            lines[key] = check.entry(key, salt, given.pop(""), given)
        except ValueError as problem:
            raise HKTError(f"{problem}") from None
    return json.dumps({"salt": salt, "checks": lines}, ensure_ascii=False)


def _plain(value):
    """An encoded value as plain numbers, texts, arrays, lists and dicts."""
    if isinstance(value, dict) and "list" in value:
        return [_plain(part) for part in value["list"]]
    if isinstance(value, dict) and "dict" in value:
        return {key: _plain(part) for key, part in value["dict"]}
    return value if isinstance(value, (str, int, float)) else compare.decoded(value)


def stub(notebook):
    """What a student starts from: solutions are stubs, hidden tests are gone.

    nbgrader makes the same; this one needs no database.
    """
    made = copy.deepcopy(notebook)
    for cell in made.cells:
        instead = STUB if cell.cell_type == "code" else TEXT_STUB
        cell.source = _without(_without(cell.source, SOLUTION, instead), grader.HIDDEN, "")
    return made


def _without(text: str, marks: tuple[str, str], instead: str) -> str:
    kept, inside = [], False
    for line in text.split("\n"):
        if marks[0] in line:
            indent = line[: len(line) - len(line.lstrip())]
            kept += [indent + new for new in instead.split("\n") if instead]
        inside = (inside or marks[0] in line) and marks[1] not in line
        if not inside and marks[1] not in line:
            kept.append(line)
    return "\n".join(kept)


def weak_tests(judge: grader.Judge) -> list[str]:
    """Tests that do not do their work: the reference fails them or the stub passes them."""
    wrong = []
    reference, empty = judge.grade(judge.source), judge.grade(stub(judge.source))
    for test, mark in reference.marks.items():
        if mark.points < mark.most:
            wrong.append(f"The reference loses points of test {test!r}: {mark.said}.")
        if empty.marks[test].points > 0:
            wrong.append(f"Test {test!r} is weak: an empty hand-in passes it.")
    return wrong


# -- what may not be shown -------------------------------------------------------------------------


def secrets(notebook, parts=(SOLUTION, grader.HIDDEN)) -> set[str]:
    """The lines of the solutions and hidden tests that are long enough to tell something."""
    kept: set[str] = set()
    for cell in notebook.cells:
        for begin, end in parts:
            for part in cell.source.split(begin)[1:]:
                kept |= {line.strip() for line in part.partition(end)[0].split("\n")}
    common = ("#", "import ", "from ")
    return {line for line in kept if len(line) >= TELLING and not line.startswith(common)}


def leaks(path: Path, kept: set[str]) -> list[str]:
    """What of a file (or of the files in a zip or folder) should not be seen by students."""
    if path.is_dir():
        return [leak for file in sorted(path.rglob("*")) for leak in leaks(file, kept)]
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            parts = [(f"{path.name}: {part}", archive.read(part)) for part in archive.namelist()]
    else:
        parts = [(path.name, path.read_bytes())] if path.is_file() else []
    return [leak for where, data in parts for leak in _leaks(where, data, kept)]


def _leaks(where: str, data: bytes, kept: set[str]) -> list[str]:
    if where.endswith((".pyc", ".pyo", ".so")):
        return [f"{where} is compiled code."]
    text = data.decode("utf-8", "replace")
    found = []
    if where.endswith(".ipynb"):
        cells = json.loads(text)["cells"]
        if any(cell.get("outputs") for cell in cells):
            found.append(f"{where} holds outputs.")
        text = "\n".join("".join(cell["source"]) for cell in cells)
    elif where.endswith(".html"):
        text = html.unescape(re.sub(r"<[^>]+>", "", text))
    for mark in (*SOLUTION, *grader.HIDDEN):
        if mark in text:
            found.append(f"{where} holds {mark!r}.")
    lines = {line.strip() for line in text.split("\n")}
    return found + [f"{where} gives away: {line}" for line in sorted(kept & lines)]
