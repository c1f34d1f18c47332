"""hkt pages, book, check, claims: from notebooks to pages, and what is judged of them."""

import json
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from ..config import PROJECT
from ..runs import store
from .records import Json


def pages(
    names: Annotated[list[str], Argument(help="Notebooks, such as 10_cifar10; else all.")] = [],
    scale: str = "quick",
    set_: Annotated[list[str], Option("--set", "-s", help="A notebook's: NAME=VALUE.")] = [],
    out: Path | None = None,
    force: bool = False,
) -> None:
    """Execute the notebooks that are not fresh, side by side."""
    from ..book.build import build

    print(build(scale, out, html=False, force=force, names=names, settings=set_))


def book(
    scale: str = "quick",
    out: Path | None = None,
    force: Annotated[bool, Option(help="From scratch, as a release is built.")] = False,
) -> None:
    """Execute the notebooks, render the book, check every number."""
    from ..book.build import build

    print(build(scale, out, force=force))


def check(
    nbval: Annotated[bool, Option(help="Also execute the built pages again and compare.")] = False,
) -> None:
    """Judge records, manifest, numbers and freshness; every problem is one sentence (exit 1)."""
    from ..book import check as judge
    from ..book.validate import validate

    problems, pages = judge.check(), sorted((PROJECT / "book" / "_generated").glob("*.ipynb"))
    if nbval:
        problems += validate(pages)
    for line in problems or [f"Note: {note}" for note in judge.notes()]:
        print(line)
    unseen = "" if pages else " No page was looked at, for no book is built here."
    print(f"{len(problems)} problem{'s' * (len(problems) != 1)} found.{unseen}")
    raise typer.Exit(bool(problems))


def claims(
    as_json: Json = False,
    write: Annotated[Path | None, Option(help="Renew the table between a file's marks.")] = None,
) -> None:
    """The verdicts on the paper's claims, worked out from the published records."""
    from ..evidence import release

    judged = release.claims(store.published())
    if as_json:
        print(json.dumps(judged, indent=1))
    elif write:
        release.between(write, release.as_markdown(judged), "the verdicts")
    else:
        for one in judged:
            print(f"{one['id']}  {one['verdict']:22}  {one['title']}: {one['finding']}")
