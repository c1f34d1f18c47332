"""The rendered book: jupyter-book over book/, warnings as errors, every page sealed by its sha256.

After a change of texts only those are rendered again.  With `force`, and after a change of what
other pages show of a text or link to, of the contents, configuration or styles, the book is made
from scratch: an incremental build does not repeat what it has to say on the pages that it skips.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .. import config
from ..config import HKTError, results_home
from ..files import files_below, read_json, sha256, tree_digest, write_json
from ..runs.store import MANIFEST
from .execute import environment, plain
from .notebook import COURSE, PACKAGE
from .problem import Problem

JUPYTER_BOOK = "from jupyter_book.cli.main import main; main()"  # it has no `python -m`
OPTIONS = ["--config", "_config.yml", "--path-output", "book", "-W", "--keep-going"]
WARNING = re.compile(r"\b(WARNING|ERROR|CRITICAL)\b|^[\w.]*(Error|Exception): \S")
TEXT = re.compile(r"\.(md|ipynb)$")
# Headings, labels, directives with their options, citations.
LINKED = re.compile(r"^(#+ |\(|\$\$ *\(|`{3,}\{|:{3,}\{|:\w+:)|\{cite")
INCLUDED = re.compile(r"\{(?:literal)?include\} ([\w./-]+)")
SEAL = "html.json"
OLDER = "The rendered book is older than its pages or prose; run `hkt book`."


def render(root: Path, force: bool = False) -> Path:
    """The folder book/_build/html of the project or copy at `root`, rendered if something changed.

    Raises HKTError with the warnings; the whole log is book/_build/build.log.
    """
    found = [] if force else [problem.sentence for problem in flaws(root)]
    if force or found:
        _jupyter_book(root, fresh=found != [OLDER] or not _only_texts_changed(root))
    return _folder(root) / "html"


def _folder(root: Path) -> Path:
    return root / "book" / "_build"


def _seal(root: Path) -> dict | None:
    """{'sources', 'skeletons', 'files'} of the last complete rendering."""
    try:
        seal = read_json(_folder(root) / SEAL, "seal of the rendered book")
    except HKTError:
        return None
    return seal if "skeletons" in seal else None


def _sources(root: Path) -> dict[str, str]:
    """Path -> sha256 of everything the book is rendered from: its own files and those that they
    include, the records that its front page judges and links to, the rules, and the package that
    does it."""
    paths = [root / "_config.yml"]
    for path in files_below(root / "book"):
        made = {"_build", "__pycache__"} & set(path.relative_to(root).parts)
        if not made and not path.name.endswith(".failed.ipynb"):
            paths += [path, *included(path)]
    found = {path.relative_to(root).as_posix(): sha256(path) for path in paths}
    for path in (results_home() / MANIFEST, *sorted((config.PROJECT / "data").glob("*.yaml"))):
        found[f"data/{path.name}"] = sha256(path) if path.is_file() else "none"
    return found | {place.name: tree_digest(place) for place in (PACKAGE, COURSE)}


def included(path: Path, folder: Path | None = None) -> list[Path]:
    """The files that a text shows parts of; `folder` is where it stands when it is rendered."""
    if not TEXT.search(path.name):
        return []
    text, folder = path.read_text(encoding="utf-8", errors="replace"), folder or path.parent
    named = {Path(os.path.normpath(folder / name)) for name in INCLUDED.findall(text)}
    return sorted(filter(Path.is_file, named))


def _skeletons(root: Path) -> dict[str, list[str]]:
    """Path -> the lines of each text that other pages show or link to."""
    found = {}
    for name in filter(TEXT.search, _sources(root)):
        text = (root / name).read_text(encoding="utf-8", errors="replace")
        if name.endswith(".ipynb"):
            cells = json.loads(text)["cells"]
            prose = (cell["source"] for cell in cells if cell["cell_type"] == "markdown")
            text = "\n".join(map("".join, prose))
        found[name] = [line for line in text.splitlines() if LINKED.search(line)]
    return found


def _only_texts_changed(root: Path) -> bool:
    seal, now = _seal(root), _sources(root)
    before = seal["sources"]
    changed = {name for name in now.keys() | before.keys() if now.get(name) != before.get(name)}
    return (
        all(map(TEXT.search, changed))
        and _skeletons(root) == seal["skeletons"]
        and (_folder(root) / ".doctrees").is_dir()
    )


def _jupyter_book(root: Path, fresh: bool) -> None:
    folder = _folder(root)
    if fresh:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SEAL).unlink(missing_ok=True)
    log = folder / "build.log"
    print("rendering the book ..." if fresh else "rendering what changed ...", flush=True)
    command = [sys.executable, "-c", JUPYTER_BOOK, "build", "book", *OPTIONS]
    done = subprocess.run(
        command + ["--all"] * fresh,
        check=False,
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(PYTHONUTF8="1"),
    )
    text = plain(done.stdout.decode(errors="replace"))
    log.write_text(text, encoding="utf-8")
    if done.returncode:
        found = [line.strip() for line in text.splitlines() if WARNING.search(line)]
        lines = "\n  ".join(found or text.strip().splitlines()[-5:])
        raise HKTError(
            f"The book did not build ({len(found)} warnings or errors, the whole log is {log}):\n"
            f"  {lines}"
        )
    sealed = {name: sha256(folder / "html" / name) for name in _rendered(root)}
    seal = {"sources": _sources(root), "skeletons": _skeletons(root), "files": sealed}
    write_json(folder / SEAL, seal)


def _rendered(root: Path) -> list[str]:
    html = _folder(root) / "html"
    pages = [path for path in files_below(html) if path.suffix in (".html", ".ipynb")]
    return [path.relative_to(html).as_posix() for path in pages]


def flaws(root: Path) -> Iterator[Problem]:
    """All that keeps the rendered book from being complete and unedited."""
    html, seal = _folder(root) / "html", _seal(root)
    if seal is None:
        said = f"The book in {html} is not rendered completely; run `hkt book`."
        yield Problem("html", str(html), said)
        return
    if seal["sources"] != _sources(root):
        yield Problem("html", str(html), OLDER)
    present = _rendered(root)
    for name in sorted({*seal["files"], *present}):
        if name not in present or seal["files"].get(name) != sha256(html / name):
            what = "was altered" if name in present else "went missing"
            said = f"{html / name} {what} after the book was rendered; run `hkt book`."
            yield Problem("html", name, said)
