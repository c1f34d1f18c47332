"""What a page carries besides its cells: alternative texts, a footer, and the key and digests by
which it is judged.

Dates, commits and timings stand in metadata and in the footer, never in an output.
"""

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import __version__, config
from ..config import HKTError, canonical, nearest, results_home
from ..evidence import MEASURED, MIME
from ..files import files_below, sha256, sha256_of, tree_digest
from ..runs.golden import provenance
from ..runs.records import Provenance, load
from ..runs.store import MANIFEST, Store

DIAGRAM = re.compile(r"!\[([^\]]*)\]\(\.\./book/(_static/\S+)-light\.svg\)")
NONE_SHOWN = "- no run record is shown on this page"
NOT_COMMITTED = ("results", "runs", "cache", "golden")  # of data/: records count by their manifest
PACKAGE = Path(__file__).resolve().parents[1]
COURSE = PACKAGE.parent / "hkt_course"  # its checks stand on the pages


def read(path: Path):
    """A notebook (nbformat 4).  Raises HKTError naming a file that is missing or no notebook."""
    import nbformat

    try:
        return nbformat.read(str(path), as_version=4)
    except FileNotFoundError:
        others = [other.stem for other in path.parent.glob("*.ipynb")]
        raise HKTError(f"There is no notebook {path}.{nearest(path.stem, others)}") from None
    except (ValueError, AttributeError, KeyError, nbformat.ValidationError) as error:
        raise HKTError(
            f"{path} is not a readable notebook ({str(error).splitlines()[0]}); "
            "restore it or build the page again."
        ) from None


def code_cells(page) -> Iterator[tuple[int, Any]]:
    """(number counted from 1, cell) of the code cells; nbval's `Cell 0` is number 1."""
    return enumerate((cell for cell in page.cells if cell.cell_type == "code"), 1)


def bundles(page) -> Iterator[tuple[int, dict]]:
    """(code cell number, mime bundle) of every output that `show` made."""
    for number, cell in code_cells(page):
        for output in cell.outputs:
            if MIME in output.get("data", {}):
                yield number, output["data"]


def is_image(output) -> bool:
    return any(mime.startswith("image/") for mime in output.get("data", {}))


def alt_of(output) -> str:
    """The alternative text in an output's metadata (its own or its image type's), or ''."""
    metadata = output.get("metadata", {})
    for part in (metadata, *metadata.values()):
        if isinstance(part, dict) and part.get("alt"):
            return str(part["alt"])
    return ""


def digest(cell) -> str:
    """16 hex digits over a cell's text and outputs (not their counters): an altered number changes
    them."""
    outputs = [
        {key: value for key, value in output.items() if key != "execution_count"}
        for output in cell.get("outputs", [])
    ]
    return sha256_of(canonical([cell.cell_type, cell.source, outputs]).encode())[:16]


def known_records() -> tuple[dict, dict]:
    """id -> published record and id -> record of this machine's store, without those that cannot be
    read."""
    return _by_id(sorted(results_home().glob("*-*.json"))), _by_id(Store.default().paths())


def _by_id(paths: list[Path]) -> dict:
    found = {}
    for path in paths:
        with contextlib.suppress(HKTError):  # `hkt check` names it
            record = load(path)
            found[record.id] = record
    return found


def finish(page, notebook: Path, values: dict, facts: dict) -> None:
    """Put alternative texts where the renderer reads them, drop machine paths, add the footer and
    the metadata.

    `values` are the page's parameters, `facts` what is known already (key, duration).  Raises
    HKTError for a cell with two images: the renderer knows one text a cell.
    """
    import nbformat

    for number, cell in code_cells(page):
        cell.outputs = _in_one_piece(cell.outputs)
        _describe(f"{notebook.name}, code cell {number}", cell)
    _fold_settings(page)
    for cell in page.cells:
        if cell.cell_type == "markdown":
            cell.source = light_and_dark(cell.source)
    page.cells = list(_with_measured(page.cells))
    page.metadata.get("papermill", {}).update(input_path=notebook.name, output_path=notebook.name)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    page.metadata["kernelspec"] = kernel
    made = provenance("")
    recorded, live = _shown(page)
    facts = facts | {
        "scale": values.get("scale", "smoke"),
        "parameters": values,
        "records": sorted(recorded | live),
        "live": sorted(live - recorded),
        "date": made.created,
        "commit": made.commit,
        "dirty": made.dirty,
    }
    text = "\n".join(footer(notebook, facts, _sources(recorded, live), _made_by(made)))
    marked = {"tags": ["provenance"]}
    page.cells.append(nbformat.v4.new_markdown_cell(text, id="provenance", metadata=marked))
    page.metadata["hkt"] = facts | {"cells": [digest(cell) for cell in page.cells]}


def _fold_settings(page) -> None:
    """One folded cell says with what settings a page was made; the defaults that it replaced stand
    in the notebook alone."""
    tagged = {tag: cell for cell in page.cells for tag in cell.metadata.get("tags", [])}
    defaults, given = tagged["parameters"], tagged.get("injected-parameters")
    if given:
        given.source = given.source.replace("# Parameters", "# set for this page", 1)
        defaults.metadata["tags"].append("remove-input")
    shown = given or defaults
    shown.metadata["tags"].append("hide-input")
    prompts = {f"code_prompt_{do.lower()}": f"{do} this page's settings" for do in ("Show", "Hide")}
    shown.metadata.setdefault("mystnb", {}).update(prompts)


def _with_measured(cells: list) -> Iterator:
    """The cells, and below one that measured times (`show.measured`) these as text."""
    import nbformat

    for cell in cells:
        yield cell
        for text in measured(cell):
            yield nbformat.v4.new_markdown_cell(text, id=f"{cell.id}-measured"[-64:])


def measured(cell) -> list[str]:
    """The texts on times that a cell's outputs carry (`show.measured`)."""
    said = [output.get("metadata", {}).get(MEASURED) for output in cell.get("outputs", [])]
    return [text for text in said if text]


def _in_one_piece(outputs: list) -> list:
    """Outputs with what was printed to one stream in several pieces joined."""
    joined: list = []
    for output in outputs:
        before = joined[-1] if joined else {}
        if output.output_type == "stream" and output.name == before.get("name"):
            before.text += output.text
        else:
            joined.append(output)
    return joined


def _describe(where: str, cell) -> None:
    """The alternative text of a cell's image, from the output to the cell's metadata."""
    images = [output for output in cell.outputs if is_image(output)]
    if len(images) > 1:
        raise HKTError(
            f"{where} shows {len(images)} images, but a cell carries one alternative text; "
            "split the cell."
        )
    if images and alt_of(images[0]):
        image = cell.metadata.setdefault("mystnb", {}).setdefault("image", {})
        image["alt"] = alt_of(images[0])


def light_and_dark(text: str) -> str:
    """A notebook's images of book/_static/NAME-light.svg as a page's pairs, one for each theme."""
    pair = "![{0}](../{1}-light.svg){{.only-light}}\n![{0}](../{1}-dark.svg){{.only-dark}}"
    return DIAGRAM.sub(lambda match: pair.format(*match.groups()), text)


def footer(notebook: Path, facts: dict, shown: list[str], made: str) -> list[str]:
    """The lines of the closing box: settings, from which records (`shown`), made by what (`made`),
    and the command that makes the page again."""
    given = {name: value for name, value in facts["parameters"].items() if name != "scale"}
    command = f"hkt pages {notebook.stem} --scale {facts['scale']}"
    for name, value in given.items():
        command += f" --set {name}={value if isinstance(value, str) else json.dumps(value)}"
    settings = [f"scale `{facts['scale']}`"]
    settings += [f"`{name} = {value!r}`" for name, value in given.items()]
    return [
        "```{admonition} How this page was made",
        ":class: note dropdown provenance",
        "",
        f"- {', '.join(settings)}",
        *shown,
        made,
        f"- executed in {facts['duration']:.0f} s, {facts['date']}",
        f"- make it again: `{command}`; verify every number: `hkt check`",
        "```",
    ]


def _made_by(made: Provenance) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in made.versions.items())
    dirty = " with uncommitted changes" if made.dirty else ""
    commit = f"commit `{made.commit or 'none'}`{dirty}"
    return f"- hkt_lite {__version__}, {commit}; {versions}; {made.machine}"


def _shown(page) -> tuple[set[str], set[str]]:
    """The ids of the records that a page shows, and of the runs that it made itself; a run may have
    the configuration, and so the id, of a published one that another processor made."""
    recorded, live = set(), set()
    for _, data in bundles(page):
        of = live if data[MIME]["args"].get("runs") is not None else recorded
        of.update(data[MIME]["records"])
    return recorded, live


def _sources(recorded: set[str], live: set[str]) -> list[str]:
    """One line for each kind of run on the page: task, scale, data and seed, with the ids of its
    records."""
    published, local = known_records()
    groups: dict[str, list[str]] = {}
    shown = [("recorded" if name in published else "unknown", name) for name in sorted(recorded)]
    for place, name in [*shown, *(("live, made by this page", name) for name in sorted(live))]:
        run = getattr(published.get(name) or local.get(name), "config", None)
        what = "evaluation"
        if run:
            what = f"{run.task}, scale {run.scale}, {run.source} data, seed {run.seed}"
        groups.setdefault(f"{place}: {what}", []).append(f"`{name}`")
    lines = [f"- {what}: {', '.join(ids)}" for what, ids in sorted(groups.items())]
    return lines or [NONE_SHOWN]


# -- freshness -------------------------------------------------------------------------------------


def key(notebook: Path, parameters: dict) -> str:
    """16 hex digits over all that decides a page.

    Source bytes, parameters, the packages' code, manifest of the published records, constraints,
    and all committed data: registry, literature, claims, splits, grids, weights of small parents.
    """
    text = canonical([parameters, *map(tree_digest, (PACKAGE, COURSE))])
    paths = [notebook, results_home() / MANIFEST, config.PROJECT / "constraints.txt"]
    for child in sorted((config.PROJECT / "data").glob("*")):
        if child.name not in NOT_COMMITTED:
            paths += files_below(child)
    for path in paths:
        text += f"\0{path.name}\0{sha256(path) if path.is_file() else 'none'}"
    return sha256_of(text.encode())[:16]


def state(notebook: Path, page: Path, values: dict | None = None) -> str:
    """'fresh', or why the page must be made again (a clause); `values`: the parameters that it
    should have."""
    try:
        made = read(page)
    except HKTError:
        return "is unreadable" if page.exists() else "was never built"
    facts = made.metadata.get("hkt", {})
    if values is not None and facts.get("parameters") != values:
        return "was built with other parameters"
    if facts.get("key") != key(notebook, facts.get("parameters", {})):
        return (
            "is stale: its source, parameters, the package, published records, committed data or "
            "constraints have changed since"
        )
    if facts.get("cells") != [digest(cell) for cell in made.cells]:
        return "was altered after it was built"
    return "fresh"
