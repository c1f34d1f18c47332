"""The rendered book: jupyter-book over book/, warnings as errors, sealed with the sha256 of every page.   hkt book"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .. import files
from ..config import HKTError
from . import execute as pages
from .notebook import files_below

JUPYTER_BOOK = [
    sys.executable,
    "-c",
    "from jupyter_book.cli.main import main; main()",
]  # it has no `python -m`
OPTIONS = ["--config", "_config.yml", "--path-output", "book", "--all", "-W", "--keep-going"]
WARNING = re.compile(r"\b(WARNING|ERROR|CRITICAL)\b|^[\w.]*(Error|Exception): \S")


def render(root: Path, force: bool = False) -> Path:
    """The folder book/_build/html of the project or copy at `root`: rendered if what it is made from changed; checked.

    Always from scratch: a second incremental build would not repeat the warnings of pages that it skips.  Raises
    HKTError with the warnings (the whole log is book/_build/build.log) or with what the check found.
    """
    from .check import check

    if force or any(flaws(root)):
        _jupyter_book(root)
    problems = check(root)
    if problems:
        raise HKTError(
            f"The book was rendered, but hkt check found {len(problems)} problem(s):\n  "
            + "\n  ".join(map(str, problems))
        )
    return _folder(root) / "html"


def _folder(root: Path) -> Path:
    return root / "book" / "_build"


def _jupyter_book(root: Path) -> None:
    folder = _folder(root)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    log = folder / "build.log"
    print("rendering the book ...", flush=True)
    with open(log, "w", encoding="utf-8") as file:
        code = subprocess.run(
            [*JUPYTER_BOOK, "build", "book", *OPTIONS],
            check=False,
            cwd=root,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=pages.environment(PYTHONUTF8="1"),
        ).returncode
    text = pages.plain(log.read_text(encoding="utf-8", errors="replace"))
    log.write_text(text, encoding="utf-8")
    if code:
        found = [line.strip() for line in text.splitlines() if WARNING.search(line)]
        raise HKTError(
            f"The book did not build ({len(found)} warnings or errors, the whole log is {log}):\n  "
            + "\n  ".join(found or text.strip().splitlines()[-5:])
        )
    sealed = {name: files.sha256(folder / "html" / name) for name in _rendered(root)}
    files.write_json(folder / "html.json", {"key": key(root), "files": sealed})


def key(root: Path) -> str:
    """16 hex digits over everything the book is rendered from."""
    paths = [
        path
        for path in files_below(root / "book")
        if "_build" not in path.relative_to(root).parts and not path.name.endswith(".failed.ipynb")
    ]
    paths.append(root / "_config.yml")
    text = "".join(f"{path.relative_to(root).as_posix()}\0{files.sha256(path)}\0" for path in paths)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _rendered(root: Path) -> list[str]:
    html = _folder(root) / "html"
    return [
        path.relative_to(html).as_posix()
        for path in files_below(html)
        if path.suffix in (".html", ".ipynb")
    ]


def flaws(root: Path) -> Iterator[tuple[str, str]]:
    """(where, sentence) for all that keeps the rendered book from being complete, up to date and unedited."""
    html = _folder(root) / "html"
    try:
        seal = files.read_json(_folder(root) / "html.json", "seal of the rendered book")
    except HKTError:
        yield str(html), f"The book in {html} is not rendered completely; run `hkt book`."
        return
    if seal["key"] != key(root):
        yield str(html), f"The book in {html} is older than its pages or prose; run `hkt book`."
    present = _rendered(root)
    for name in sorted({*seal["files"], *present}):
        if name not in present or seal["files"].get(name) != files.sha256(html / name):
            what = "was altered" if name in present else "went missing"
            yield name, f"{html / name} {what} after the book was rendered; run `hkt book`."
    for copy in sorted((html / "_sources" / "_generated").glob("*.ipynb")):
        page = root / "book" / "_generated" / copy.name
        if not page.is_file() or page.read_bytes() != copy.read_bytes():
            yield (
                copy.name,
                f"The book's copy of {copy.name} differs from the page that was executed; run `hkt book`.",
            )
