"""What a page shows: cells, tables, sentences and pictures, each as text and as HTML.

The text and the HTML of a table are made from the same cells.
"""

import base64
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, NamedTuple

from . import stats


@dataclass(frozen=True)
class Block:
    """One output: its two faces, the records it rests on, and its numbers as plain values."""

    text: str
    html: str
    records: list[str] = field(default_factory=list)
    values: Any = field(default_factory=list)  # a list in blocks that are added up

    def __add__(self, other: "Block") -> "Block":
        text, html = f"{self.text}\n\n{other.text}", f"{self.html}\n{other.html}"
        return Block(text, html, self.records + other.records, self.values + other.values)


# -- cells -----------------------------------------------------------------------------------------


class Cell(NamedTuple):
    """What a table holds: text, HTML and the value behind; numeric cells stand to the right."""

    text: str
    html: str
    numeric: bool = False
    value: Any = None


def numeric(text: str, value: Any = None) -> Cell:
    return Cell(text, escape(text, quote=False), True, value)


def number(value: float | None, digits: int = 2, sign: bool = False) -> str:
    """1234.5678 as '1,234.57' with a real minus; a dash for what is missing."""
    if value is None or math.isnan(value):
        return "–"
    return f"{value:{'+' if sign else ''},.{digits}f}".replace("-", "−")


def signed(value: float, digits: int = 2) -> str:
    """`number` that says + too."""
    return number(value, digits, True)


def with_interval(ends: Mapping[str, float], digits: int = 2) -> str:
    """'+1.20 [−0.30, +2.70]' of mean, low and high."""
    mean, low, high = (signed(ends[key], digits) for key in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def bullets(told: Iterable[str]) -> str:
    """A list in Markdown of what is not empty: each line with a capital and a full stop."""
    return "\n".join(f"- {one[0].upper()}{one[1:]}." for one in told if one)


def ids(records: Sequence[str], folded: bool = False) -> Cell:
    """Record ids, shortened for the eye; the whole id is in the tooltip.  Where they are `folded`,
    more than two stand behind a toggle, as a column of them would make its rows tall."""
    html = " ".join(f'<code title="{name}">{name[:8]}</code>' for name in records)
    text = " ".join(name[:8] for name in records) or "–"
    if folded and len(records) > 2:
        toggle = f'<details class="hkt-ids"><summary>all {len(records)}</summary>'
        return Cell(text, f"{toggle}{html}</details>")
    return Cell(text, f'<div class="hkt-ids">{html}</div>' if html else "–")


def chip(verdict: str) -> Cell:
    """A verdict; its first word is the class of its look."""
    html = f'<span class="hkt-chip {verdict.split()[0]}">{verdict}</span>'
    return Cell(verdict, html, value=verdict)


def interval(text: str, numbers: dict) -> Cell:
    """A sentence under the picture of what it says: a mean with its interval, beside 0 and what is
    claimed.

    `numbers` holds mean, low, high and perhaps `target`, a level, or `claimed`, a difference;
    without the first three it is the sentence alone.
    """
    ends = [numbers.get(key) for key in ("low", "mean", "high")]
    if not all(isinstance(end, float) and math.isfinite(end) for end in ends):
        return cell(text)
    marks = {0.0: "no difference"} if "target" not in numbers else {}
    for key, said in (("target", number), ("claimed", signed)):
        if key in numbers:
            marks[numbers[key]] = f"claimed {said(numbers[key])}"
    low, high = min(*ends, *marks), max(*ends, *marks)
    scale = 320 / ((high - low) or 1.0)
    a, mean, b, *lines = (20 + (value - low) * scale for value in (*ends, *marks))
    drawn = (
        f'<svg class="hkt-interval" viewBox="0 0 360 {30 + 14 * len(lines)}" aria-hidden="true" '
        f'stroke="currentColor"><path d="M{a:.1f} 14H{b:.1f}" stroke-width="3"/>'
        f'<circle cx="{mean:.1f}" cy="14" r="5" fill="currentColor"/>'
    )
    for row, (x, said) in enumerate(zip(lines, marks.values())):
        anchor = "start" if x < 60 else "end" if x > 300 else "middle"
        drawn += (
            f'<path d="M{x:.1f} 2V26" stroke-dasharray="4 3"/><text x="{x:.1f}" '
            f'y="{40 + 14 * row}" text-anchor="{anchor}" stroke="none">{said}</text>'
        )
    return Cell(text, drawn + "</svg>" + escape(text, quote=False), value=text)


def cell(value: Any, digits: int = 2) -> Cell:
    """How a value looks in a table: a Summary as mean ± sd, a Paired difference as mean [interval],
    a float with `digits` decimals, None as a dash."""
    if isinstance(value, Cell):
        return value
    if isinstance(value, stats.Summary):
        text = f"{number(value.mean, digits)} ± {number(value.sd, digits)}"
        return numeric(text, value._asdict())
    if isinstance(value, stats.Paired):
        return numeric(with_interval(value._asdict(), digits), value._asdict())
    if isinstance(value, str):
        html = escape(value, quote=False)
        return Cell(value, re.sub(r"(?<=\w)\+(?=\w)", "+<wbr>", html), value=value)
    return numeric(f"{value:,}" if isinstance(value, int) else number(value, digits), value)


# -- blocks ----------------------------------------------------------------------------------------


class Table:
    """A table in the making: rows of {column: value}, and the records behind each.

    `ids` names the last column, which lists each row's records; '' leaves it out.  With `cards`
    each row is a card, for rows of sentences; it can be linked at as `cards` and its first cell.
    The texts of the column `below` stand once each under the table, and their marks in it.
    """

    def __init__(
        self,
        digits: int = 2,
        ids: str = "records",
        cards: str | None = None,
        below: str | None = None,
    ):
        self.digits, self.ids, self.cards, self.below = digits, ids, cards, below
        self.marks: dict[str, int] = {}  # text below the table -> its mark
        self.rows: list[dict[str, Cell]] = []
        self.records: list[str] = []
        self.values: list[dict] = []

    def row(self, values: dict[str, Any], records: Sequence[str] = ()) -> None:
        cells = {column: cell(value, self.digits) for column, value in values.items()}
        self.values.append({column: one.value for column, one in cells.items()})
        if self.below is not None:  # a column may have no name
            said = cells[self.below]
            mark = self.marks.setdefault(said.html, len(self.marks) + 1)
            cells[self.below] = said._replace(html=f"[{mark}]")
        if self.ids:
            cells[self.ids] = ids(records, folded=self.cards is None)
        self.rows.append(cells)
        self.records += records

    def block(self, caption: str, *notes: str, values: dict | None = None) -> Block:
        """The finished table; a column stands to the right where its first cell is numeric."""
        right = [one.numeric for one in self.rows[0].values()]
        columns, rows = list(self.rows[0]), [list(row.values()) for row in self.rows]
        lines = _lines([columns, *([one.text for one in row] for row in rows)], right)
        html = [_html(columns, rows, right, caption)]
        if self.marks:
            texts = "".join(f"<li>{text}</li>" for text in self.marks)
            html.append(f'<ol class="hkt-marks">{texts}</ol>')
        if self.cards is not None:
            html = [f"<p><em>{escape(caption, quote=False)}</em></p>"]
            html += [_card(columns, row, self.cards) for row in rows]
        return Block(
            "\n".join([caption, *lines, *notes]),
            "\n".join(html + [sentence(note).html for note in notes]),
            self.records,
            self.values if values is None else values,
        )


def _lines(cells: list[list[str]], right: list[bool]) -> list[str]:
    """Rows of texts, aligned."""
    widths = [max(map(len, column)) for column in zip(*cells)]
    sides = [">" if to_right else "<" for to_right in right]
    return [
        "  ".join(f"{text:{side}{width}}" for text, side, width in zip(row, sides, widths)).rstrip()
        for row in cells
    ]


def _html(columns, rows, right, caption) -> str:
    how = [' class="num"' if to_right else "" for to_right in right]
    head = [f'<th scope="col"{h}>{escape(c, quote=False)}</th>' for c, h in zip(columns, how)]
    lines = [
        '<div class="hkt-scroll"><table class="hkt-table">',
        f"<caption>{escape(caption, quote=False)}</caption>",
        f"<thead><tr>{''.join(head)}</tr></thead>",
        "<tbody>",
    ]
    for row in rows:
        cells = [f"<td{h}>{one.html}</td>" for one, h in zip(row, how)]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return "\n".join([*lines, "</tbody></table></div>"])


def _card(columns: list[str], row: list[Cell], prefix: str) -> str:
    """A row as a card: its first cell and its verdict are the head, then one line a column."""
    name, rest = row[0], list(zip(columns, row))[1:]
    chips = [one.html for _, one in rest if 'class="hkt-chip' in one.html]
    lines = [
        f"<dt>{escape(column, quote=False)}</dt><dd>{one.html}</dd>"
        for column, one in rest
        if one.html not in chips and one.text
    ]
    head = f'<p class="hkt-head">{name.html} {" ".join(chips)}</p>'
    return (
        f'<div class="hkt-card" id="{prefix}{name.text.split()[0]}">{head}'
        f"<dl>{''.join(lines)}</dl></div>"
    )


def sentence(text: str) -> Block:
    """A line of text; what stands between backticks is code."""
    html = re.sub("`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
    return Block(text, f'<p class="hkt-note">{html}</p>')


def none(what: str, how: str = "make runs with `hkt grid` and publish them") -> Block:
    """What stands in the place of a table that has nothing to show."""
    return sentence(f"No {what} is published yet; {how} with `hkt runs publish`.")


def picture(made: tuple, records: Sequence[str] = (), live: tuple[str, Any] | None = None) -> Block:
    """(figure, alternative text, table of its numbers or None) as a block, the numbers behind a
    toggle.  It is an <img> of its own: its ids cannot clash with another figure's.

    `live` is (name, data): in a browser book/_static/live/NAME.js moves the data in its place.
    """
    from . import style

    fig, alt, frame = made
    data = base64.b64encode(style.svg(fig).encode()).decode()
    image = (
        f'<img src="data:image/svg+xml;base64,{data}" alt="{escape(alt)}" '
        'style="background:#fff;border-radius:.5rem;max-width:100%;height:auto">'
    )
    text, values = alt, []
    if frame is not None:
        table, values = Table(ids=""), plain(frame.to_dict("records"))
        for row in values:
            table.row({column: _short(item) for column, item in row.items()})
        name = f"The numbers behind: {_short_name(alt)}"
        twin = table.block(name)
        text += f"\n{twin.text}"
        image += f"\n<details><summary>{escape(name)}</summary>{twin.html}</details>"
    html = f'<figure class="hkt-figure">{moving(live)}{image}</figure>'
    return Block(text, html, list(records), values)


def moving(live: tuple[str, Any] | None) -> str:
    """The place of a figure that can be moved, with its data; the page's other scripts load it."""
    if live is None:
        return ""
    name, data = live
    inside = json.dumps(plain(data), separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return (
        f'<div class="hkt-live" data-live="{name}"><script type="application/json">{inside}'
        "</script></div>"
    )


def _short_name(alt: str) -> str:
    """What an alternative text speaks of: its beginning, up to the first stop after a few words."""
    stop = re.search(r"(?<=\w{3})[:.;](?= |$)", alt[12:])
    first = alt[: 12 + stop.start()] if stop else alt
    return first if len(first) <= 70 else first[:70].rsplit(" ", 1)[0] + " …"


def _short(item) -> Cell:
    if isinstance(item, (int, float)):
        text = f"{item:.4g}" if isinstance(item, float) else f"{item:,}"
        return numeric(text.replace("-", "−"))
    return cell("–" if item is None else str(item))


def plain(value):
    """Numbers rounded to 6 significant digits, nan as null, tuples as lists: equal on every machine
    and valid JSON."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return None if math.isnan(value) else float(f"{value:.6g}")
    return value
