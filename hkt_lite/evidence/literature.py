"""Numbers of others and claims of the paper, as checked rows.   read_values(), read_claims()

data/literature.yaml says what each number is, where it stands and how we know it; data/claims.yaml
says by which rule each claim is judged.
"""

import datetime
from functools import lru_cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, Field, ValidationError

from ..config import PROJECT, HKTError, first_flaw, nearest

LITERATURE, CLAIMS = PROJECT / "data" / "literature.yaml", PROJECT / "data" / "claims.yaml"
Mark = Literal["read", "second-hand", "measured"]


class Strict(BaseModel, extra="forbid", frozen=True):
    """An entry of one of the two files; what it does not know is an error."""


class Checkpoint(Strict):
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    normalisation: str


class Value(Strict):
    """One published number.  `mark`: read in the source itself, second-hand in another work, or
    measured by us with a released file."""

    id: str
    what: str
    value: float
    task: str
    metric: str
    unit: str
    better: Literal["higher", "lower"]
    source: str
    key: str  # in book/references.bib
    mark: Mark
    role: Literal["paper", "baseline", "parent", "peer", "context"]
    note: str = ""
    checkpoint: Checkpoint | None = None


class Source(Strict):
    key: str
    where: str
    mark: Mark


class Evidence(Strict):
    """Which published records may judge a claim."""

    task: str
    source: Literal["real", "synthetic"]
    scales: list[str]  # the first one with enough seeds is used
    seeds: int = Field(gt=0)  # fewest that may be judged
    where: dict = {}  # further configuration fields the judged runs must have


class Variant(Strict):
    """A method with options; options not named are at their defaults.

    `recipe` has the fields of groups.RECIPE, and weight_decay, that are not the scale's.
    """

    method: str
    options: dict = {}
    sites: str | None = None
    recipe: dict = {}


class Rule(Strict):
    """A criterion that a program can judge; `kind` says which fields matter, data/claims.yaml what
    they mean."""

    kind: Literal["level", "paired", "same", "selective", "evaluation", "cannot"]
    of: Variant | None = None
    to: Variant | None = None
    metric: str = ""
    target: float = 0.0
    size: float = Field(default=0.0, ge=0)  # of the claimed difference; 0: nobody states one
    fields: list[str] = []
    name: str = ""
    first: str = ""  # the name for which the rule was committed, where it was changed
    active: float = 0.0
    spread: float = 0.0
    sha256: str = ""
    protocol: dict = {}
    within: float = 0.0
    partly_within: float = 0.0
    reason: str = ""


class Erratum(Strict):
    """A rule changed after it was committed: what it said, what it says now, and why."""

    date: datetime.date
    text: str


class Claim(Strict):
    id: str
    title: str
    statement: str
    source: Source
    criterion: str
    evidence: Evidence
    rule: Rule
    also: list[Variant] = []  # reported beside, never deciding
    beside: list[str] = []  # ids of literature values
    note: str = ""
    committed: datetime.date
    errata: list[Erratum] = []

    @property
    def dates(self) -> str:
        """When its rule was committed, and when corrected."""
        return ", ".join([str(self.committed), *(f"corrected {one.date}" for one in self.errata)])


@lru_cache
def _parsed(text: str):
    """YAML, by libyaml where it is there: a page reads these files a dozen times."""
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _read(path: Path, what: str) -> list:
    try:
        rows = _parsed(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        why = str(error).splitlines()[0]
        raise HKTError(f"The file of {what} {path} cannot be read ({why}); restore it.") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise HKTError(f"The file of {what} {path} must be a list of entries.")
    return rows


def _checked(kind: type[Strict], rows: list[dict], path: Path) -> list:
    """The rows as entries.  Raises HKTError for one that is wrong and for an id given twice."""
    found = {}
    for row in rows:
        try:
            entry = kind(**row)
        except ValidationError as error:
            where, said = first_flaw(error)
            name = row.get("id", "?")
            raise HKTError(f"Entry {name!r} of {path} is wrong at {where!r}: {said}.") from None
        if entry.id in found:
            raise HKTError(f"{path} has more than one entry {entry.id!r}; ids must be unique.")
        found[entry.id] = entry
    return list(found.values())


def read_values(path: Path = LITERATURE) -> list[Value]:
    """All published numbers of the file, groups spread over their rows.  Raises HKTError naming the
    entry that is wrong."""
    rows = []
    for group in _read(path, "published numbers"):
        shared = {name: value for name, value in group.items() if name != "rows"}
        rows += [{**shared, **row} for row in group.get("rows", [{}])]
    return _checked(Value, rows, path)


def read_claims(path: Path = CLAIMS, literature: Path = LITERATURE) -> list[Claim]:
    """All claims of the file; what they are shown beside must exist.  Raises HKTError naming the
    entry that is wrong."""
    claims = _checked(Claim, _read(path, "claims"), path)
    known = {value.id for value in read_values(literature)}
    for claim in claims:
        for name in sorted(set(claim.beside) - known):
            shown = f"Claim {claim.id} of {path} is shown beside {name!r}"
            raise HKTError(f"{shown}, which {literature} does not have.{nearest(name, known)}")
    return claims
