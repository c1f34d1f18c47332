"""Outputs that can be recomputed: cells, tables and pictures, and the mime bundles that carry their records.

Every output of `show` is a bundle of text, HTML and application/vnd.hkt+json = {call, args, records, values}; the text and the HTML of a
table are made from the same cells.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, NamedTuple

from ..config import HKTError, nearest
from ..runs.store import find, published

MIME = "application/vnd.hkt+json"
CHIPS = {
    "reproduced": "reproduced",
    "partly": "partly",
    "not reproduced": "not",
    "cannot be tested here": "cannot",
}
METRICS = {
    "accuracy": ("accuracy (%)", 2),
    "loss": ("cross-entropy", 3),
    "epe": ("end-point error (px)", 3),
    "sintel_epe": ("end-point error, Sintel (px)", 3),
    "kitti_epe": ("end-point error, KITTI (px)", 3),
    "kitti_fl_all": ("Fl-all, KITTI (%)", 2),
    "dice": ("Dice", 3),
    "dice_liver": ("Dice, liver", 3),
    "dice_lesion": ("Dice, lesions", 3),
}
BUILDERS: dict[str, Callable[..., Block]] = {}


class Cell(NamedTuple):
    """What a table holds: the text and its HTML; numeric cells are aligned to the right."""

    text: str
    html: str
    numeric: bool = False


@dataclass(frozen=True)
class Block:
    """One output: its two faces, the records it rests on, and its numbers as plain values."""

    text: str
    html: str
    records: list[str] = field(default_factory=list)
    values: list | dict = field(default_factory=list)

    def __add__(self, other: Block) -> Block:
        values = (
            self.values + other.values
            if isinstance(self.values, list) and isinstance(other.values, list)
            else self.values
        )
        return Block(
            f"{self.text}\n\n{other.text}",
            f"{self.html}\n{other.html}",
            self.records + other.records,
            values,
        )


def words(text: str) -> Cell:
    return Cell(text, escape(text, quote=False))


def numeric(text: str) -> Cell:
    return Cell(text, escape(text, quote=False), True)


def number(value: float | None, digits: int = 2, sign: bool = False) -> str:
    """1234.5678 as '1,234.57' with a real minus; a dash for what is missing."""
    return (
        "–"
        if value is None or math.isnan(value)
        else f"{value:{'+' if sign else ''},.{digits}f}".replace("-", "−")
    )


def spread(mean: float, sd: float, digits: int = 2) -> Cell:
    return numeric(f"{number(mean, digits)} ± {number(sd, digits)}")


def interval(mean: float, low: float, high: float, digits: int = 2) -> Cell:
    return numeric(
        f"{number(mean, digits, True)} [{number(low, digits, True)}, {number(high, digits, True)}]"
    )


def ids(records: Sequence[str]) -> Cell:
    """Record ids, shortened for the eye; the whole id is in the tooltip."""
    return Cell(
        " ".join(name[:8] for name in records) or "–",
        " ".join(f'<code title="{name}">{name[:8]}</code>' for name in records) or "–",
    )


def chip(verdict: str) -> Cell:
    return Cell(verdict, f'<span class="hkt-chip {CHIPS[verdict]}">{verdict}</span>')


def named(metric: str) -> tuple[str, int]:
    """A metric's name with its unit, and the decimals it is shown with."""
    return METRICS.get(metric, (metric, 3))


def block(
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    caption: str,
    notes: Sequence[str] = (),
    records: Sequence[str] = (),
    values: Any = (),
) -> Block:
    """A table; a column is numeric where its first cell is."""
    right = [bool(rows) and rows[0][i].numeric for i in range(len(columns))]
    style = [' class="num"' if r else "" for r in right]
    heads = "".join(
        f'<th scope="col"{style[i]}>{escape(name, quote=False)}</th>'
        for i, name in enumerate(columns)
    )
    body = [
        "<tr>" + "".join(f"<td{style[i]}>{cell.html}</td>" for i, cell in enumerate(row)) + "</tr>"
        for row in rows
    ]
    html = [
        '<div class="hkt-scroll"><table class="hkt-table">',
        f"<caption>{escape(caption, quote=False)}</caption>",
        f"<thead><tr>{heads}</tr></thead>",
        "<tbody>",
        *body,
        "</tbody></table></div>",
        *(f'<p class="hkt-note">{escape(note, quote=False)}</p>' for note in notes),
    ]
    cells = [list(columns), *([cell.text for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    lines = [
        "  ".join(
            text.rjust(w) if r else text.ljust(w) for text, w, r in zip(row, widths, right)
        ).rstrip()
        for row in cells
    ]
    return Block(
        "\n".join([caption, *lines, *notes]),
        "\n".join(html),
        list(records),
        values if isinstance(values, dict) else list(values),
    )


def sentence(text: str) -> Block:
    return Block(text, f'<p class="hkt-note">{escape(text, quote=False)}</p>')


def none(
    what: str, how: str = "make runs with `hkt grid` and publish them with `hkt runs publish`"
) -> Block:
    """What stands in the place of a table that has nothing to show."""
    return sentence(f"No {what} is published yet; {how}.")


def drawn(made: tuple, records: Sequence[str] = ()) -> Block:
    """A picture (figure, alternative text, table of its numbers or None) as a block; the numbers stand behind a toggle.

    It is an <img> of its own: its ids cannot clash with another figure's, and its white ground reads in dark mode.
    """
    from . import style

    fig, alt, frame = made
    data = base64.b64encode(style.svg(fig).encode()).decode()
    text, values = alt, []
    html = (
        f'<figure class="hkt-figure"><img src="data:image/svg+xml;base64,{data}" alt="{escape(alt)}" '
        'style="background:#fff;border-radius:.5rem;max-width:100%;height:auto">'
    )
    if frame is not None:
        values = plain(frame.to_dict("records"))
        rows = [
            [
                numeric((f"{item:,}" if isinstance(item, int) else f"{item:.4g}").replace("-", "−"))
                if isinstance(item, (int, float))
                else words("–" if item is None else str(item))
                for item in row.values()
            ]
            for row in values
        ]
        twin = block(list(map(str, frame.columns)), rows, "The figure's numbers")
        text, html = (
            f"{alt}\n{twin.text}",
            f"{html}\n<details><summary>The figure's numbers</summary>{twin.html}</details>",
        )
    return Block(text, f"{html}</figure>", list(records), values)


def plain(value):
    """Numbers rounded to 6 significant digits, nan as null, tuples as lists: equal on every machine and valid JSON."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return (
        (None if math.isnan(value) else float(f"{value:.6g}"))
        if isinstance(value, float)
        else value
    )


# -- bundles -------------------------------------------------------------------------------------------------------------------


def render(call: str, args: dict, records: Sequence | None = None) -> dict:
    """The mime bundle of `show.call(**args)`: from `records`, else from the runs that args name, else from the published records.

    Raises HKTError for an unknown call or argument, and where records are missing or damaged.
    """
    if call not in BUILDERS:
        raise HKTError(f"show has no recomputable call {call!r}.{nearest(call, BUILDERS)}")
    known = list(inspect.signature(BUILDERS[call]).parameters)[1:]
    if unknown := set(args) - set(known):
        raise HKTError(
            f"show.{call} has no argument {min(unknown)!r}.{nearest(min(unknown), known)}"
        )
    if records is None:
        records = (
            [find(name) for name in args["runs"]] if args.get("runs") is not None else published()
        )
    return bundle(call, args, BUILDERS[call](list(records), **args))


def bundle(call: str, args: dict, made: Block) -> dict:
    return {
        "text/plain": made.text,
        "text/html": made.html,
        MIME: {
            "call": call,
            "args": args,
            "records": sorted(set(made.records)),
            "values": plain(made.values),
        },
    }


def shown(build: Callable[..., Block]) -> Callable[..., None]:
    """Make a function (records, …) -> Block a public one that displays its bundle; `runs` are records a page has just made."""
    signature = inspect.signature(build)
    BUILDERS[build.__name__] = build

    @functools.wraps(build)
    def public(*given, **options):
        bound = signature.bind([], *given, **options)
        bound.apply_defaults()
        args = {key: value for key, value in bound.arguments.items() if key != "records"}
        runs = args.get("runs")
        if runs is not None:
            args["runs"] = [run.id for run in runs]
        _display(render(build.__name__, args, runs))

    public.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])
    return public


def _display(made: dict, metadata: dict | None = None) -> None:
    from IPython.display import display

    display(made, raw=True, metadata=metadata or {})


def figure(fig, alt: str, table=None) -> None:
    """Display a figure of the page's own arrays: SVG, alternative text, and its numbers (a DataFrame) behind a toggle.

    No record can recompute it; its values carry a digest of what was drawn.  Raises HKTError without an alternative text.
    """
    if not alt.strip():
        raise HKTError("show.figure needs an alternative text that says what the figure shows.")
    made = drawn((fig, alt, table))
    values = {"table": made.values, "digest": hashlib.sha256(made.html.encode()).hexdigest()[:16]}
    _display(bundle("figure", {"alt": alt}, Block(made.text, made.html, [], values)), {"alt": alt})
