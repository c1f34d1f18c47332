"""Pages: source notebooks -> executed copies with provenance -> the rendered book.   hkt book  |  hkt pages 10_cifar10

A page is a notebook of notebooks/ executed by papermill under typed parameters.  It is executed again only when its key
changes (`provenance.key`).
"""

from __future__ import annotations

import ast
import json
import logging
import os
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, Literal

from .. import config, files
from ..config import HKTError, nearest
from .notebook import finish, key, read, state


def sources() -> list[Path]:
    """The source notebooks in the book's order."""
    return sorted((config.PROJECT / "notebooks").glob("*.ipynb"))


# -- parameters ------------------------------------------------------------------------------------------------------


def parameters(notebook: Path) -> dict[str, tuple[Any, Any]]:
    """Name -> (type, default) of the cell tagged `parameters`, which holds lines `name: type = literal` only.

    Types: int, float, str, bool, None, list, dict, Literal and unions of them.  Raises HKTError naming the line that is
    none.
    """
    cells = [cell for cell in read(notebook).cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        raise HKTError(
            f"{notebook.name} has {len(cells) or 'no'} cell{'s' * (len(cells) > 1)} tagged 'parameters'; "
            "tag its first code cell."
        )
    known = {kind.__name__: kind for kind in (int, float, str, bool, list, dict)}
    known |= {"Literal": Literal, "__builtins__": {}}
    found = {}
    for line in ast.parse(cells[0].source).body:
        try:
            name, kind = line.target.id, eval(ast.unparse(line.annotation), known)
            found[name] = kind, ast.literal_eval(line.value)
        except (AttributeError, ValueError, TypeError, NameError, SyntaxError):
            raise HKTError(
                f"{notebook.name}, parameters cell: write {ast.unparse(line)!r} as `name: type = literal`."
            ) from None
        _typed(notebook, name, kind, found[name][1])
    return found


def _typed(notebook: Path, name: str, kind, value):
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError as error:
        wanted = kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "")
        raise HKTError(
            f"Parameter {name!r} of {notebook.name} must be {wanted}, got {value!r} ({type(value).__name__})"
            f": {error.errors()[0]['msg']}."
        ) from None


def typed(notebook: Path, values: dict) -> dict:
    """`values` checked against the parameters cell.  Raises HKTError for an unknown name or a value of another type."""
    known = parameters(notebook)
    for name in values:
        if name not in known:
            raise HKTError(f"{notebook.name} has no parameter {name!r}.{nearest(name, known)}")
    return {name: _typed(notebook, name, known[name][0], value) for name, value in values.items()}


def parse(notebook: Path, words: list[str]) -> dict:
    """`name=value` words of a command line as typed values: type str keeps the text, any other is read as JSON."""
    known, values = parameters(notebook), {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise HKTError(f"Write the parameter {word!r} as name=value.")
        try:
            values[name] = text if known.get(name, (str,))[0] is str else json.loads(text)
        except ValueError:
            values[name] = text  # `_typed` says what it should have been
    return typed(notebook, values)


# -- execution -------------------------------------------------------------------------------------------------------


def execute(notebook: Path, parameters: dict, out: Path) -> Path:
    """Execute `notebook` under `parameters` and put the finished page at `out`, atomically.

    The kernel is this interpreter's own ipykernel, whatever kernels are installed, in the notebook's folder and with
    this package.  Raises HKTError for a wrong parameter, or for a failing cell: the copy so far is then kept beside
    `out` as NAME.failed.ipynb and an earlier good page is left as it was.
    """
    import papermill

    notebook, out = Path(notebook), Path(out)
    values = typed(notebook, parameters)
    failed = out.with_suffix(".failed.ipynb")
    out.parent.mkdir(parents=True, exist_ok=True)
    logging.getLogger("papermill").setLevel(logging.ERROR)
    before, began, worked = key(notebook, values), time.monotonic(), _children()
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / out.name
        try:
            papermill.execute_notebook(
                str(notebook),
                str(draft),
                values,
                kernel_name="python3",
                language="python",
                cwd=str(notebook.parent.resolve()),
                progress_bar=False,
                log_output=False,
                kernel_manager_class=_kernel_manager(),
            )
        except Exception as error:  # papermill's, nbclient's, the kernel's: a cell failed
            kept = draft.exists()
            if kept:
                files.write_bytes(failed, draft.read_bytes())
            rest = f"the copy made so far is {failed}." if kept else "nothing was written."
            raise HKTError(f"{notebook.name} failed{_culprit(error)}; {rest}") from error
        page = read(draft)
    facts = {
        "key": before,
        "duration": round(time.monotonic() - began, 1),
        "cpu": round(_children() - worked, 1),
    }
    finish(page, notebook, values, facts)
    _write(page, out)
    failed.unlink(missing_ok=True)
    return out


def _children() -> float:
    """Seconds of processor time of the kernels that have ended (0 on Windows)."""
    return os.times().children_user + os.times().children_system


def _kernel_manager():
    """A kernel manager that knows one kernel: the ipykernel of this interpreter, importing this copy of the package."""
    from ipykernel.kernelspec import RESOURCES, get_kernel_dict
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    class OwnKernelSpec(KernelSpecManager):
        def get_kernel_spec(self, kernel_name):
            spec = self.kernel_spec_class(resource_dir=RESOURCES, **get_kernel_dict())
            spec.argv += ["--log-level=ERROR"]  # no notices of the kernel's own in the terminal
            return spec

    class OwnKernel(AsyncKernelManager):
        def _kernel_spec_manager_default(self):
            return OwnKernelSpec(parent=self)

        async def start_kernel(self, **options):
            return await super().start_kernel(**{**options, "env": environment()})

    return OwnKernel


def environment(**changes: str) -> dict[str, str]:
    """Variables of a kernel: this process's, this copy of the package first on the path, no colours in its prints."""
    here = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    return {
        **os.environ,
        "PYTHONPATH": path,
        "NO_COLOR": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        **changes,
    }


def _culprit(error: Exception) -> str:
    """' in code cell 3 with KeyError: …' of papermill's report; the bare error when the kernel itself died."""
    if hasattr(error, "ename"):
        return f" in code cell {error.exec_count} with {error.ename}: {plain(error.evalue).strip() or 'no message'}"
    return f" with {type(error).__name__}: {(plain(str(error)).strip() or 'no message').splitlines()[0]}"


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def _write(page, out: Path) -> None:
    import nbformat

    files.write_bytes(out, (nbformat.writes(page, version=4) + "\n").encode())


# -- the book --------------------------------------------------------------------------------------------------------


def build(
    scale: str = "quick",
    out: Path | None = None,
    html: bool = True,
    force: bool = False,
    names: list[str] | None = None,
    settings: list[str] | None = None,
) -> Path:
    """Execute every notebook that is not fresh into book/_generated, render the book, check it; returns its folder.

    With `out` the book is copied there first and built there, so that the working tree stays untouched.  `names` limits
    what is executed to some notebooks, `settings` are further name=value parameters of theirs.  Without `html` nothing
    is rendered or checked, and the folder of the pages is returned.
    """
    from . import render as book

    root = config.PROJECT if out is None else _copy_book(Path(out))
    generated, known = (
        root / "book" / "_generated",
        {notebook.stem: notebook for notebook in sources()},
    )
    for name in names or []:
        if name not in known:
            raise HKTError(f"There is no notebook {name!r}.{nearest(name, known)}")
    for page in set(generated.glob("*.ipynb")) - {generated / path.name for path in known.values()}:
        page.unlink()  # of a notebook that is gone, or a failed copy
    for notebook in known.values():
        if not names or notebook.stem in names:
            _page(notebook, generated / notebook.name, scale, settings or [], force)
    return book.render(root, force) if html else generated


def _page(notebook: Path, page: Path, scale: str, settings: list[str], force: bool) -> None:
    values = ({"scale": scale} if "scale" in parameters(notebook) else {}) | parse(
        notebook, settings
    )
    if not force and state(notebook, page, values) == "fresh":
        print(f"{notebook.stem}: unchanged", flush=True)
        return
    execute(notebook, values, page)
    seconds = read(page).metadata["hkt"]["duration"]
    print(f"{notebook.stem}: executed at scale {scale} in {seconds:.0f} s", flush=True)


def _copy_book(out: Path) -> Path:
    """The book's prose, table of contents and configuration, copied to `out`; pages already generated there stay."""
    made = shutil.ignore_patterns("_generated", "_build")
    shutil.copytree(config.PROJECT / "book", out / "book", dirs_exist_ok=True, ignore=made)
    for path in [
        config.PROJECT / "_config.yml",
        *config.PROJECT.glob("*.md"),
        *config.PROJECT.glob("*.cff"),
    ]:
        shutil.copy(path, out)
    return out
