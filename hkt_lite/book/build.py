"""The whole way: notebooks -> pages -> rendered book -> checked.   hkt book"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from .. import config
from ..benchmarks import scales
from ..benchmarks.task import choose
from ..config import HKTError
from ..files import read_json, sha256, write_json
from .check import check
from .execute import execute_all, sources
from .notebook import read, state
from .parameters import parameters, parse
from .render import included, render

TRAINING = "hkt_lite.runs.loop import run"  # in a page that trains
CHECKED = "checked.json"  # beside the rendered book: page -> sha256 that the last build's check saw


def build(
    scale: str = "quick",
    out: Path | None = None,
    html: bool = True,
    force: bool = False,
    names: list[str] | None = None,
    settings: list[str] | None = None,
) -> Path:
    """Execute every notebook that is not fresh, render the book, check it; returns its folder.

    With `out` the book is copied there first and built there, so that the working tree stays
    untouched.  `names` limits what is executed to some notebooks, `settings` are further name=value
    parameters of theirs.  Without `html` nothing is rendered or checked, and the folder of the
    pages is returned.  Raises HKTError with what failed or what the check found.
    """
    root = config.PROJECT if out is None else _copy_book(out)
    generated = root / "book" / "_generated"
    known = {notebook.stem: notebook for notebook in sources()}
    every = {one for task in scales.names() for one in scales.scales(task)}
    choose("scale", scale, every)
    chosen = [choose("notebook", name, known) for name in names or known]
    for page in set(generated.glob("*.ipynb")) - {generated / path.name for path in known.values()}:
        page.unlink()  # of a notebook that is gone, or a failed copy
    jobs = list(_jobs(chosen, generated, scale, settings or [], force))
    for page in execute_all(jobs):
        facts = read(page).metadata["hkt"]
        print(f"{page.stem}: executed at scale {scale} in {facts['duration']:.0f} s", flush=True)
    if not html:
        return generated
    folder = render(root, force)
    checked = folder.parent / CHECKED
    if problems := check(root, read_json(checked) if checked.is_file() else None):
        lines = "\n  ".join(map(str, problems))
        raise HKTError(
            f"The book was rendered, but hkt check found {len(problems)} problem(s):\n  {lines}"
        )
    write_json(checked, {page.name: sha256(page) for page in generated.glob("*.ipynb")})
    return folder


def _jobs(
    notebooks: list[Path], generated: Path, scale: str, settings: list[str], force: bool
) -> Iterator[tuple[Path, dict, Path]]:
    """What has to be executed, the longest (as the page of last time says) first; in a clone those
    that train, so that the short ones fill the end."""
    trains = {path: TRAINING in path.read_text(encoding="utf-8") for path in notebooks}
    last_first = list(reversed(notebooks))
    last_first.sort(key=lambda path: (-_seconds(generated / path.name), not trains[path]))
    for notebook in last_first:
        page = generated / notebook.name
        values = {"scale": scale} if "scale" in parameters(notebook) else {}
        values |= parse(notebook, settings)
        if not force and state(notebook, page, values) == "fresh":
            print(f"{notebook.stem}: unchanged", flush=True)
        else:
            yield notebook, values, page


def _seconds(page: Path) -> float:
    try:
        return read(page).metadata["hkt"]["duration"]
    except (HKTError, KeyError):
        return 0.0


def times() -> Iterator[dict]:
    """Of each page that was executed: name, seconds, and both said with its processor seconds."""
    for page in sorted((config.PROJECT / "book" / "_generated").glob("*.ipynb")):
        facts = read(page).metadata.get("hkt", {})
        if "duration" in facts:
            said = (
                f"scale {facts['scale']:<6} {facts['duration']:7.1f} s, "
                f"{facts['cpu']:.1f} s of processor"
            )
            yield {"name": page.stem, "seconds": facts["duration"], "said": said}


def _copy_book(out: Path) -> Path:
    """The book's prose and configuration, and what its texts include, copied to `out`; pages
    already generated there stay."""
    made = shutil.ignore_patterns("_generated", "_build", "__pycache__")
    book = config.PROJECT / "book"
    shutil.copytree(book, out / "book", dirs_exist_ok=True, ignore=made)
    for pattern in ("_config.yml", "*.md", "*.cff"):
        for path in config.PROJECT.glob(pattern):
            shutil.copy(path, out)
    shown = [path for text in book.glob("*.md") for path in included(text)]
    shown += [path for text in sources() for path in included(text, book / "_generated")]
    for path in shown:
        place = out / path.relative_to(config.PROJECT)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    return out
