"""Pages: source notebooks -> executed copies with provenance -> the rendered book.   hkt book   |   hkt pages 10_cifar10 --scale quick

A page is a notebook of notebooks/ executed by papermill under typed parameters.  It is executed again only when its key changes: source,
parameters, package code, published records, committed data lists or constraints.  Dates and timings stand in metadata and in the
footer that this module adds, never in an output.
"""
from __future__ import annotations

import ast
import hashlib
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from . import __version__, records
from .config import PROJECT, HKTError, canonical, nearest, results_home

MIME = "application/vnd.hkt+json"                               # of the outputs that `show` makes: call, arguments, record ids, values
COMMITTED = ("data/registry.yaml", "data/literature.yaml", "data/claims.yaml", "data/splits", "data/parents", "constraints.txt")
JUPYTER_BOOK = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]


def sources(root: Path = PROJECT) -> list[Path]:
    """The source notebooks in the book's order."""
    return sorted((root / "notebooks").glob("*.ipynb"))


def read(path: Path):
    """A notebook (nbformat 4).  Raises HKTError naming a file that is missing or no notebook."""
    import nbformat

    try:
        return nbformat.read(str(path), as_version=4)
    except FileNotFoundError:
        raise HKTError(f"There is no notebook {path}.{nearest(path.stem, [other.stem for other in path.parent.glob('*.ipynb')])}") from None
    except (ValueError, AttributeError, KeyError, nbformat.ValidationError) as error:
        raise HKTError(f"{path} is not a readable notebook ({str(error).splitlines()[0]}); restore it or build the page again.") from None


def code_cells(page) -> Iterator[tuple[int, Any]]:
    """(number counted from 1, cell) of the code cells; nbval's `Cell 0` is number 1."""
    return enumerate((cell for cell in page.cells if cell.cell_type == "code"), 1)


# -- parameters ----------------------------------------------------------------------------------------------------------------


def parameters(notebook: Path) -> dict[str, tuple[Any, Any]]:
    """Name -> (type, default) of the cell tagged `parameters`, which holds lines `name: type = literal` only.

    Types: int, float, str, bool, None, list, dict, Literal and unions of them.  Raises HKTError naming the line that is none.
    """
    cells = [cell for cell in read(notebook).cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        raise HKTError(f"{notebook.name} has {len(cells) or 'no'} cell{'s' * (len(cells) > 1)} tagged 'parameters'; tag its first code cell.")
    known = {kind.__name__: kind for kind in (int, float, str, bool, list, dict)} | {"Literal": Literal, "__builtins__": {}}
    found = {}
    for line in ast.parse(cells[0].source).body:
        try:
            name, kind = line.target.id, eval(ast.unparse(line.annotation), known)
            found[name] = kind, ast.literal_eval(line.value)
        except (AttributeError, ValueError, TypeError, NameError, SyntaxError):
            raise HKTError(f"{notebook.name}, parameters cell: write {ast.unparse(line)!r} as `name: type = literal`.") from None
        _typed(notebook, name, kind, found[name][1])
    return found


def _typed(notebook: Path, name: str, kind, value):
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError as error:
        wanted = kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "")
        raise HKTError(f"Parameter {name!r} of {notebook.name} must be {wanted}, got {value!r} ({type(value).__name__}): "
                       f"{error.errors()[0]['msg']}.") from None


def typed(notebook: Path, values: dict) -> dict:
    """`values` checked against the parameters cell.  Raises HKTError for an unknown name (with the nearest) or a wrong type."""
    known = parameters(notebook)
    for name in values:
        if name not in known:
            raise HKTError(f"{notebook.name} has no parameter {name!r}.{nearest(name, known)}")
    return {name: _typed(notebook, name, known[name][0], value) for name, value in values.items()}


def parse(notebook: Path, words: list[str]) -> dict:
    """`name=value` words of a command line as typed values: a parameter of type str keeps the text, others are read as YAML."""
    import yaml

    known, values = parameters(notebook), {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise HKTError(f"Write the parameter {word!r} as name=value.")
        values[name] = text if known.get(name, (str,))[0] is str else yaml.safe_load(text)
    return typed(notebook, values)


# -- execution -----------------------------------------------------------------------------------------------------------------


def execute(notebook: Path, parameters: dict, out: Path) -> Path:
    """Execute `notebook` under `parameters` and put the finished page at `out`, atomically.

    The kernel is this interpreter's own ipykernel, whatever kernels are installed, in the notebook's folder and with this package.
    Raises HKTError for a wrong parameter, or for a failing cell: the copy made so far is then kept beside `out` as NAME.failed.ipynb
    and an earlier good page is left as it was.
    """
    import papermill

    notebook, out = Path(notebook), Path(out)
    values = typed(notebook, parameters)
    failed = out.with_suffix(".failed.ipynb")
    out.parent.mkdir(parents=True, exist_ok=True)
    logging.getLogger("papermill").setLevel(logging.ERROR)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / out.name
        try:
            papermill.execute_notebook(str(notebook), str(draft), parameters=values, kernel_name="python3", language="python",
                                       cwd=str(notebook.parent.resolve()), progress_bar=False, log_output=False,
                                       kernel_manager_class=_kernel_manager(), record_timing=True)
        except Exception as error:                              # papermill's, nbclient's or the kernel's: all mean that a cell failed
            kept = draft.exists()
            if kept:
                records.write_bytes(failed, draft.read_bytes())
            raise HKTError(f"{notebook.name} failed{_culprit(error)}; " + (f"the copy made so far is {failed}." if kept else "nothing was written.")
                           ) from error
        page = read(draft)
    _finish(page, notebook, values, time.monotonic() - began)
    _write(page, out)
    failed.unlink(missing_ok=True)
    return out


def _kernel_manager():
    """A kernel manager that knows one kernel: the ipykernel of this interpreter, importing this copy of the package."""
    from ipykernel.kernelspec import RESOURCES, get_kernel_dict
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    class OwnKernelSpec(KernelSpecManager):
        def get_kernel_spec(self, kernel_name):
            return self.kernel_spec_class(resource_dir=RESOURCES, **get_kernel_dict())

    class OwnKernel(AsyncKernelManager):
        def _kernel_spec_manager_default(self):
            return OwnKernelSpec(parent=self)

        async def start_kernel(self, **options):
            return await super().start_kernel(**{**options, "env": environment()})

    return OwnKernel


def environment(**changes: str) -> dict[str, str]:
    """Variables of a kernel: this process's, with this copy of the package first on the path and no colours in what it prints."""
    path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "NO_COLOR": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1", **changes}


def _culprit(error: Exception) -> str:
    """' in code cell 3 with KeyError: …' of papermill's report; the bare error when the kernel itself died."""
    if hasattr(error, "ename"):
        return f" in code cell {error.exec_count} with {error.ename}: {_plain(error.evalue).strip() or 'no message'}"
    return f" with {type(error).__name__}: {(_plain(str(error)).strip() or 'no message').splitlines()[0]}"


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def _write(page, out: Path) -> None:
    import nbformat

    records.write_bytes(out, (nbformat.writes(page, version=4) + "\n").encode())


# -- what a page carries besides its cells -------------------------------------------------------------------------------------


def bundles(page) -> Iterator[tuple[int, dict]]:
    """(code cell number, mime bundle) of every output that `show` made."""
    for number, cell in code_cells(page):
        for output in cell.outputs:
            if MIME in output.get("data", {}):
                yield number, output["data"]


def alt_of(output) -> str:
    """The alternative text that `show.figure` put into an output's metadata, or ''."""
    metadata = output.get("metadata", {})
    return str(metadata.get("alt") or next((part["alt"] for part in metadata.values() if isinstance(part, dict) and part.get("alt")), ""))


def is_image(output) -> bool:
    return any(mime.startswith("image/") for mime in output.get("data", {}))


def digest(cell) -> str:
    """16 hex digits over a cell's text and outputs (not their counters): an altered number changes them."""
    outputs = [{key: value for key, value in output.items() if key != "execution_count"} for output in cell.get("outputs", [])]
    return hashlib.sha256(canonical([cell.cell_type, cell.source, outputs]).encode()).hexdigest()[:16]


def _finish(page, notebook: Path, values: dict, seconds: float) -> None:
    """Alt texts to where the renderer reads them, no machine paths, the footer, and the metadata that freshness is judged by."""
    import nbformat

    for number, cell in code_cells(page):
        images = [output for output in cell.outputs if is_image(output)]
        if len(images) > 1:
            raise HKTError(f"{notebook.name}, code cell {number} shows {len(images)} images, but a cell carries one alternative text; split the cell.")
        if images and alt_of(images[0]):
            cell.metadata.setdefault("mystnb", {}).setdefault("image", {})["alt"] = alt_of(images[0])
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.source = cell.source.replace("# Parameters", "# set for this page", 1)
    page.metadata.get("papermill", {}).update(input_path=notebook.name, output_path=notebook.name)
    page.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    page.metadata["hkt"] = {"key": key(notebook, values), "scale": values.get("scale", "smoke"), "parameters": values,
                            "duration": round(seconds, 1), "records": sorted({record for _, data in bundles(page) for record in data[MIME]["records"]})}
    made = records.provenance("", None, None)
    page.metadata["hkt"] |= {"date": made.created, "commit": made.commit, "dirty": made.dirty}
    footer = nbformat.v4.new_markdown_cell(_footer(notebook, page.metadata["hkt"], made), id="provenance", metadata={"tags": ["provenance"]})
    page.cells.append(footer)
    page.metadata["hkt"]["cells"] = [digest(cell) for cell in page.cells]


def _footer(notebook: Path, facts: dict, made: records.Provenance) -> str:
    """The closing box: what was shown, from which records, made by what, and the command that makes it again."""
    published = {path.stem.partition("-")[2] for path in results_home().glob("*-*.json")}
    groups: dict[str, list[str]] = {}
    for name in facts["records"]:
        try:
            record = records.find(name)
        except HKTError:
            record = None
        config = getattr(record, "config", None)
        what = f"{config.task}, scale {config.scale}, {config.source} data, seed {config.seed}" if config else "evaluation" if record else "unknown"
        groups.setdefault(f"{'recorded' if name in published else 'live, made by this page'}: {what}", []).append(f"`{name}`")
    lines = [f"- {what}: {', '.join(ids)}" for what, ids in sorted(groups.items())] or ["- no run record is shown on this page"]
    others = " ".join(f"--set {name}={json.dumps(value)}" for name, value in facts["parameters"].items() if name != "scale")
    versions = ", ".join(f"{name} {version}" for name, version in made.versions.items())
    command = f"hkt pages {notebook.stem} --scale {facts['scale']} {others}".strip()
    return "\n".join([
        "```{admonition} How this page was made", ":class: note dropdown provenance", "",
        f"- scale: `{facts['scale']}`; parameters: " + (", ".join(f"`{name} = {value!r}`" for name, value in facts["parameters"].items()) or "defaults"),
        *lines,
        f"- hkt_lite {__version__}, code `{made.code}`, commit `{made.commit or 'none'}`{' with uncommitted changes' if made.dirty else ''}; {versions}",
        f"- {made.machine}; executed in {facts['duration']:.0f} s, {made.created}",
        f"- make it again: `{command}`; verify every number: `hkt check`", "```"])


def key(notebook: Path, parameters: dict, root: Path = PROJECT) -> str:
    """16 hex digits over all that decides a page: source bytes, parameters, package code, published records, committed lists, constraints."""
    digest = hashlib.sha256(canonical([parameters, records.code_hash()]).encode())
    paths = [notebook, results_home() / records.MANIFEST, *(path for name in COMMITTED for path in _files(root / name))]
    for path in paths:
        digest.update(f"\0{path.name}\0{records.sha256(path) if path.is_file() else 'none'}".encode())
    return digest.hexdigest()[:16]


def _files(path: Path) -> list[Path]:
    return sorted(child for child in path.rglob("*") if child.is_file()) if path.is_dir() else [path]


def state(notebook: Path, page: Path) -> str:
    """'fresh', or why the page must be made again (a clause for a sentence)."""
    if not page.is_file():
        return "was never built"
    made = read(page)
    facts = made.metadata.get("hkt", {})
    if facts.get("key") != key(notebook, facts.get("parameters", {})):
        return "is stale: its source, parameters, the package, published records, data lists or constraints have changed since"
    return "fresh" if facts.get("cells") == [digest(cell) for cell in made.cells] else "was altered after it was built"


# -- the book ------------------------------------------------------------------------------------------------------------------


def build(scale: str = "quick", out: Path | None = None, html: bool = True, force: bool = False, names: list[str] | None = None,
          changes: dict[str, list[str]] | None = None) -> Path:
    """Execute every notebook that is not fresh at `scale` into book/_generated, render the book, check it; returns its folder.

    With `out` the book is copied there first and built there, so that the working tree stays untouched.  `names` limits what is executed
    to some notebooks, `html=False` leaves out rendering and check (the folder of the pages is returned then).
    `changes` are further name=value parameters by notebook.
    """
    root = PROJECT if out is None else _copy_book(Path(out))
    generated, known = root / "book" / "_generated", {notebook.stem: notebook for notebook in sources()}
    for name in names or []:
        if name not in known:
            raise HKTError(f"There is no notebook {name!r}.{nearest(name, known)}")
    for page in set(generated.glob("*.ipynb")) - {generated / path.name for path in known.values()}:
        page.unlink()                                           # of a notebook that is gone, or a failed copy
    for notebook in known.values():
        if not names or notebook.stem in names:
            _page(notebook, generated / notebook.name, scale, (changes or {}).get(notebook.stem, []), force)
    return _render(root, force) if html else generated


def _page(notebook: Path, page: Path, scale: str, changes: list[str], force: bool) -> None:
    values = parse(notebook, changes) | ({"scale": scale} if "scale" in parameters(notebook) else {})
    values = typed(notebook, values)
    wanted = state(notebook, page) if page.is_file() and read(page).metadata.get("hkt", {}).get("parameters") == values else "new"
    if wanted == "fresh" and not force:
        print(f"{notebook.stem}: unchanged", flush=True)
        return
    execute(notebook, values, page)
    print(f"{notebook.stem}: executed at scale {scale} in {read(page).metadata['hkt']['duration']:.0f} s", flush=True)


def _copy_book(out: Path) -> Path:
    """The prose, table of contents and configuration of the book, copied to `out`; pages already generated there stay."""
    shutil.copytree(PROJECT / "book", out / "book", dirs_exist_ok=True, ignore=shutil.ignore_patterns("_generated", "_build"))
    for path in [PROJECT / "_config.yml", *PROJECT.glob("*.md"), *PROJECT.glob("*.cff")]:
        shutil.copy(path, out)
    return out


def book_key(root: Path) -> str:
    """16 hex digits over everything the rendered book is made from."""
    book = root / "book"
    paths = [path for path in _files(book) if "_build" not in path.relative_to(book).parts and not path.name.endswith(".failed.ipynb")]
    text = "".join(f"{path.relative_to(root).as_posix()}\0{records.sha256(path)}\0" for path in [root / "_config.yml", *paths])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _render(root: Path, force: bool) -> Path:
    """jupyter-book over root/book with warnings as errors, then the check; the log is book/_build/build.log."""
    from . import check

    folder = root / "book" / "_build"
    seal, log = folder / "html.json", folder / "build.log"
    if force or check.html_problems(root):
        for old in (folder / "html", folder / ".doctrees"):
            shutil.rmtree(old, ignore_errors=True)
        seal.unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        print("rendering the book …", flush=True)
        command = [*JUPYTER_BOOK, "build", "book", "--config", "_config.yml", "--toc", "book/_toc.yml", "--path-output", "book", "--all", "-W", "--keep-going"]
        with open(log, "w", encoding="utf-8") as file:
            code = subprocess.run(command, cwd=root, stdout=file, stderr=subprocess.STDOUT, env=environment(PYTHONUTF8="1")).returncode
        text = _plain(log.read_text(encoding="utf-8", errors="replace"))
        log.write_text(text, encoding="utf-8")
        if code:
            found = [line.strip() for line in text.splitlines() if re.search(r"\b(WARNING|ERROR|CRITICAL)\b|^\w*Error:", line)]
            raise HKTError(f"The book did not build ({len(found)} warnings or errors, the whole log is {log}):\n  "
                           + "\n  ".join(found or text.splitlines()[-5:]))
        files = {path.relative_to(folder / "html").as_posix(): records.sha256(path) for path in _files(folder / "html") if path.suffix in (".html", ".ipynb")}
        records.write_json(seal, {"key": book_key(root), "files": files})
    problems = check.check(generated=root / "book" / "_generated", book=root)
    if problems:
        raise HKTError(f"The book was rendered, but hkt check found {len(problems)} problem(s):\n  " + "\n  ".join(map(str, problems)))
    return folder / "html"
