"""What the evidence is for other programs: one table of all published records, and the verdicts.

hkt runs export results.csv      hkt claims --json      hkt claims --write README.md
"""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ..config import HKTError
from ..files import write_bytes, write_json
from ..runs.records import Record, flat
from .literature import read_claims
from .verdicts import judge

BEGIN, END = "<!-- verdicts: `hkt claims --write README.md` -->", "<!-- end of verdicts -->"
APART = {"epochs": True, "selected": {"right"}, "last": {"right"}}  # curves, and answers as bits
CLAIM = ("id", "title", "statement", "criterion")  # what is told of a claim
VERDICT = ("verdict", "finding", "also", "scope", "numbers", "records")  # and of its verdict


def rows(records: Sequence[Record]) -> list[dict]:
    """One flat row a record, `config.lr` naming the field `lr` of `config`; without curves.

    Names and units are those of the record.  Lists stay lists.
    """
    return [flat(json.loads(record.model_dump_json(exclude=APART))) for record in records]


def as_csv(records: Sequence[Record]) -> str:
    """The rows under the union of their names; empty where a record has no such field."""
    table = [
        {key: json.dumps(v) if isinstance(v, list) else v for key, v in row.items()}
        for row in rows(records)
    ]
    return pd.DataFrame(table, dtype=object).to_csv(index=False, lineterminator="\n")


def export(records: Sequence[Record], out: Path) -> None:
    """Write the table to `out`, as its ending .csv or .json says.  Raises HKTError for another."""
    if out.suffix == ".csv":
        write_bytes(out, as_csv(records).encode())
    elif out.suffix == ".json":
        write_json(out, rows(records))
    else:
        raise HKTError(f"{out} should end in .csv or .json, which says how to write it.")


def claims(records: Sequence[Record]) -> list[dict]:
    """Each claim with its statement, rule and verdict, as JSON can hold them."""
    judged = [(claim, judge(claim, records)) for claim in read_claims()]
    return [
        {name: getattr(claim, name) for name in CLAIM}
        | {name: getattr(verdict, name) for name in VERDICT}
        for claim, verdict in judged
    ]


def as_markdown(judged: Sequence[dict]) -> str:
    """The verdicts as a table between the two marks."""
    lines = ["| | claim of the paper | verdict | measured |", "|---|---|---|---|"]
    for one in judged:
        said = f"{one['finding']} ({one['scope']})" if one["scope"] else one["finding"]
        cells = [one["id"], one["title"], f"**{one['verdict']}**", said]
        lines.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
    return "\n".join([BEGIN, *lines, END])


def between(path: Path, renewed: str, what: str) -> None:
    """Put `renewed` in the place of what lies between its first and its last line in a text file.

    Raises HKTError where the file has no such lines.
    """
    first, last = renewed.splitlines()[0], renewed.splitlines()[-1]
    text = path.read_bytes().decode(errors="surrogateescape") if path.is_file() else ""
    before, begin, rest = text.partition(first)
    _, end, after = rest.partition(last)
    if not (begin and end):
        raise HKTError(f"{path} has no place for {what}: put {first} and {last} into it.")
    write_bytes(path, f"{before}{renewed}{after}".encode(errors="surrogateescape"))
