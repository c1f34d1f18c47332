"""hkt course release | check | collect | grade | table | slides"""

import json
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

app = typer.Typer(
    no_args_is_help=True, help="Assignments: release, check, collect, grade, table; slides."
)
Folder = Annotated[Path, Argument(help="The folder of a class.")]


@app.command()
def release(
    folder: Folder,
    names: Annotated[list[str], Argument(help="Assignments, such as a1_attention; else all.")] = [],
    variant: Annotated[int, Option(min=0, help="Another number, other exercises.")] = 2026,
) -> None:
    """Make a class's version of the assignments, and the zips for its students."""
    from . import source
    from .classroom import Class

    for path in Class(folder).release(names or source.names(), variant):
        print(path)


@app.command()
def check(file: Path) -> None:
    """Run a notebook as the grader will, and say what is not right yet (exit 1)."""
    from .rehearsal import problems

    found, right = problems(file)
    print("\n".join([*found, f"{right} checks are right, {len(found)} things are not."]))
    raise typer.Exit(bool(found))


@app.command()
def collect(
    folder: Folder,
    download: Annotated[Path, Argument(help="The site's zip of hand-ins, or a folder of it.")],
    assignment: Annotated[str | None, Option(help="Which one all of them are.")] = None,
) -> None:
    """Put Moodle's or Canvas' download into FOLDER/inbox (exit 1 if a file was left out)."""
    from . import collect as site
    from .classroom import Class

    found, left = site.hand_ins(download, Class(folder).facts()["assignments"], assignment)
    for one in found:
        replaced = site.collect(folder, one)
        marks = ", late" * one.late + ", in place of an earlier one" * replaced
        print(f"{one.student}, {one.assignment}{marks}")
    print("\n".join([*left, f"{len(found)} hand-ins collected, {len(left)} left out."]))
    raise typer.Exit(bool(left))


@app.command()
def grade(
    folder: Folder,
    workers: Annotated[int | None, Option(min=1, help="Hand-ins at a time.")] = None,
    seconds: Annotated[float, Option(min=1, help="For a cell or a test.")] = 30,
) -> None:
    """Grade FOLDER/inbox, write feedback and grades.csv (exit 1 if a file could not be read)."""
    from .classroom import Class
    from .grader import Limits

    unread, told = Class(folder).grade(workers, Limits(cell=seconds))
    print("\n".join([*told, *unread, f"{folder / 'grades.csv'}"]))
    raise typer.Exit(bool(unread))


@app.command()
def table(
    folder: Folder,
    as_csv: Annotated[Path | None, Option("--csv", help="Write it to a file.")] = None,
    as_json: Annotated[bool, Option("--json", help="Print JSON for a program to read.")] = False,
) -> None:
    """Points by hand-in and assignment, those given by hand with them."""
    from .classroom import Class

    rows = Class(folder).table()
    if as_csv:
        Class(folder).write_csv(as_csv)
    if as_json:
        print(json.dumps(rows))
        return
    width = max([len(row["student"]) for row in rows], default=0)
    for row in rows:
        still = f"  {row['open']} to be read" if row["open"] else ""
        lost = f"  lost: {row['lost']}" if row["lost"] else ""
        points = f"{row['points']:5.1f} of {row['most']:g}"
        print(f"{row['assignment']:<14} {row['student']:<{width}} {points}{still}{lost}")


@app.command()
def slides(
    names: Annotated[
        list[str], Argument(help="Pages, such as 04_genetic_attention; else all.")
    ] = [],
    out: Path = Path("slides"),
) -> None:
    """One deck from the rendered book: slides.html, and slides.pdf where Chromium is found."""
    from hkt_lite import config

    from .slides import deck

    for path in deck(config.PROJECT / "book" / "_build" / "html", out, names):
        print(path)
