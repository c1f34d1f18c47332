"""A book small enough to execute in seconds: a printed number, a table of a published record, a figure.

Used by the tests of pages, book, check and nbval (fixture `toy_project` in conftest.py).
"""

from __future__ import annotations

import types
from pathlib import Path

import nbformat

from hkt_lite import files
from hkt_lite.book import notebook as provenance
from hkt_lite.book.notebook import MIME
from hkt_lite.runs import records, store

TABLE = """from IPython.display import display
from tests import toy
display(toy.table(), raw=True)"""
FIGURE = """import io
import matplotlib
matplotlib.rcParams["svg.hashsalt"] = "hkt"
from matplotlib.figure import Figure
figure = Figure(figsize=(2, 1))
_ = figure.subplots().plot([0, seed, 2])
text = io.StringIO()
figure.savefig(text, format="svg", metadata={"Date": None})
from IPython.display import display
display({"image/svg+xml": text.getvalue(), "text/plain": "figure"},
        metadata={"image/svg+xml": {"alt": "A line that rises."}}, raw=True)"""
PRINTED = 'print("accuracy", 90.25 + seed)'

PARAMETERS = 'scale: str = "smoke"\nseed: int = 1\nlr: float = 0.1\nnote: str | None = None'


def notebook(*sources: str, parameters: str = PARAMETERS):
    """A source notebook: a title, the tagged parameters cell and one code cell for each of `sources`."""
    cells = [
        nbformat.v4.new_markdown_cell("# Toy", id="title"),
        nbformat.v4.new_code_cell(parameters, id="parameters", metadata={"tags": ["parameters"]}),
    ]
    cells += [
        nbformat.v4.new_code_cell(source, id=f"cell-{number}")
        for number, source in enumerate(sources)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def write(path: Path, *sources: str, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook(*sources, **options), path)
    return path


def table(known=None) -> dict:
    """A mime bundle like those of `show`, made from `known` or the published records."""
    known = store.published() if known is None else known
    best = {record.id: record.metrics["accuracy"] for record in known}
    rows = "".join(f"<tr><td>{name}</td><td>{value:.2f}</td></tr>" for name, value in best.items())
    return {
        "text/plain": "\n".join(f"{name}  {value:.2f}" for name, value in best.items()),
        "text/html": f"<table>{rows}</table>",
        MIME: {"call": "toy", "args": {}, "records": sorted(best), "values": best},
    }


# Stands in for hkt_lite.evidence.show.
show = types.SimpleNamespace(render=lambda call, args, records=None: table(records))


def evaluation(name: str = "toy", accuracy: float = 91.5) -> records.EvalRecord:
    made = records.Provenance(data="0", versions={}, created="2026-01-01T00:00:00Z")
    return records.EvalRecord(
        id=f"{name:0<12}",
        checkpoint=name,
        sha256="0" * 64,
        task="cifar10",
        arch="resnet20",
        protocol={},
        metrics={"accuracy": accuracy},
        provenance=made,
    )


def publish(results: Path, *given) -> None:
    """Write records and their manifest into the folder `results`."""
    for record in given:
        files.write_json(results / records.filename(record), record)
    files.write_json(
        results / store.MANIFEST,
        {path.name: files.sha256(path) for path in sorted(results.glob("*-*.json"))},
    )


def project(root: Path) -> Path:
    """The sources of a whole small book in `root`."""
    write(root / "notebooks" / "01_toy.ipynb", PRINTED, TABLE, FIGURE, TABLE, TABLE)
    (root / "book").mkdir(parents=True)
    (root / "book" / "_toc.yml").write_text(
        "format: jb-book\nroot: intro\nchapters:\n- file: text\n- file: _generated/01_toy\n"
    )
    (root / "book" / "text.md").write_text("# A text\n\nWith a sentence.\n")
    (root / "book" / "intro.md").write_text(
        "# A toy book\n\nWith one page: [](_generated/01_toy).\n"
    )
    (root / "_config.yml").write_text(
        "title: Toy\nexecute: {execute_notebooks: 'off'}\nonly_build_toc_files: true\n"
        "sphinx: {config: {suppress_warnings: [mystnb.unknown_mime_type]}}\n"
    )
    (root / "constraints.txt").write_text("torch==2.13.0\n")
    publish(root / "results", evaluation())
    return root


def second_page(root: Path, *sources: str) -> Path:
    """Another notebook and its place in the table of contents; returns its page-to-be."""
    write(root / "notebooks" / "02_toy.ipynb", *sources)
    with open(root / "book" / "_toc.yml", "a") as file:
        file.write("- file: _generated/02_toy\n")
    return root / "book" / "_generated" / "02_toy.ipynb"


def change(page: Path, old: str, new: str) -> None:
    """Falsify a file: every `old` becomes `new`."""
    text = page.read_text(encoding="utf-8")
    assert old in text, f"{old!r} is not in {page.name}"
    page.write_text(text.replace(old, new), encoding="utf-8")


def forge(page: Path, number: int, edit) -> None:
    """Falsify the outputs of code cell `number` by `edit(outputs)`, and the page's digests with them."""
    made = provenance.read(page)
    edit(dict(provenance.code_cells(made))[number].outputs)
    made.metadata["hkt"]["cells"] = [provenance.digest(cell) for cell in made.cells]
    nbformat.write(made, page)


def page_of(project: Path) -> Path:
    return project / "book" / "_generated" / "01_toy.ipynb"


def source_of(project: Path) -> Path:
    return project / "notebooks" / "01_toy.ipynb"
