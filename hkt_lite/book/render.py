"""The rendered book: jupyter-book over book/, warnings as errors, sealed with the sha256 of every page.

After a change of pages or prose only those are rendered again; with `force`, and after a change of
the contents, configuration, styles, references or a title, the book is made from scratch: an
incremental build does not repeat what it has to say on the pages that it skips.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from ..config import HKTError
from ..files import files_below, read_json, sha256, write_json
from .execute import environment, plain

JUPYTER_BOOK = "from jupyter_book.cli.main import main; main()"  # it has no `python -m`
OPTIONS = ["--config", "_config.yml", "--path-output", "book", "-W", "--keep-going"]
WARNING = re.compile(r"\b(WARNING|ERROR|CRITICAL)\b|^[\w.]*(Error|Exception): \S")
SEAL = "html.json"


def render(root: Path, force: bool = False) -> Path:
    """The folder book/_build/html of the project or copy at `root`, rendered if something changed.

    Raises HKTError with the warnings; the whole log is book/_build/build.log.
    """
    if force or any(flaws(root)):
        seal = None if force else _seal(root)
        _jupyter_book(root, fresh=seal is None or not _only_texts_changed(root, seal))
    return _folder(root) / "html"


def _folder(root: Path) -> Path:
    return root / "book" / "_build"


def _seal(root: Path) -> dict | None:
    """{'sources', 'titles', 'files'} of the last complete rendering."""
    try:
        seal = read_json(_folder(root) / SEAL, "seal of the rendered book")
    except HKTError:
        return None
    return seal if "sources" in seal else None


def _sources(root: Path) -> dict[str, str]:
    """Path -> sha256 of everything the book is rendered from."""
    paths = [root / "_config.yml"]
    for path in files_below(root / "book"):
        made = "_build" in path.relative_to(root).parts or path.name.endswith(".failed.ipynb")
        paths += [] if made else [path]
    return {path.relative_to(root).as_posix(): sha256(path) for path in paths}


def _titles(root: Path) -> dict[str, str]:
    """Path -> first heading of the pages and texts: a navigation bar on every page shows them."""
    found = {}
    for name in _sources(root):
        if name.endswith((".md", ".ipynb")):
            text = (root / name).read_text(encoding="utf-8", errors="replace")
            heading = re.search(r"(?:^|\")# (.+?)(?:\\n|\"|$)", text, re.MULTILINE)
            found[name] = heading[1].strip() if heading else ""
    return found


def _only_texts_changed(root: Path, seal: dict) -> bool:
    now, before = _sources(root), seal["sources"]
    changed = {name for name in now.keys() | before.keys() if now.get(name) != before.get(name)}
    texts = all(name in now and name in before for name in changed)
    return (
        texts
        and all(name.endswith((".md", ".ipynb")) for name in changed)
        and _titles(root) == seal["titles"]
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
    with open(log, "w", encoding="utf-8") as file:
        code = subprocess.run(
            command + ["--all"] * fresh,
            check=False,
            cwd=root,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment(PYTHONUTF8="1"),
        ).returncode
    text = plain(log.read_text(encoding="utf-8", errors="replace"))
    log.write_text(text, encoding="utf-8")
    if code:
        found = [line.strip() for line in text.splitlines() if WARNING.search(line)]
        lines = "\n  ".join(found or text.strip().splitlines()[-5:])
        raise HKTError(
            f"The book did not build ({len(found)} warnings or errors, the whole log is {log}):\n"
            f"  {lines}"
        )
    sealed = {name: sha256(folder / "html" / name) for name in _rendered(root)}
    seal = {"sources": _sources(root), "titles": _titles(root), "files": sealed}
    write_json(folder / SEAL, seal)


def _rendered(root: Path) -> list[str]:
    html = _folder(root) / "html"
    pages = [path for path in files_below(html) if path.suffix in (".html", ".ipynb")]
    return [path.relative_to(html).as_posix() for path in pages]


def flaws(root: Path) -> Iterator[tuple[str, str]]:
    """(where, sentence) for all that keeps the rendered book from being complete and unedited."""
    html, seal = _folder(root) / "html", _seal(root)
    if seal is None:
        yield str(html), f"The book in {html} is not rendered completely; run `hkt book`."
        return
    if seal["sources"] != _sources(root):
        yield str(html), f"The book in {html} is older than its pages or prose; run `hkt book`."
    present = _rendered(root)
    for name in sorted({*seal["files"], *present}):
        if name not in present or seal["files"].get(name) != sha256(html / name):
            what = "was altered" if name in present else "went missing"
            yield name, f"{html / name} {what} after the book was rendered; run `hkt book`."
    for copy in sorted((html / "_sources" / "_generated").glob("*.ipynb")):
        page = root / "book" / "_generated" / copy.name
        if not page.is_file() or page.read_bytes() != copy.read_bytes():
            yield (
                copy.name,
                f"The book's copy of {copy.name} differs from the page that was executed; "
                "run `hkt book`.",
            )
