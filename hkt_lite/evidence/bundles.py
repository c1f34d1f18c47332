"""Outputs that can be recomputed: bundles of what is shown with the records that it rests on.

Every output of `show` is a bundle of text, HTML and {call, args, records, values} under MIME.
"""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from ..config import HKTError, nearest
from ..files import sha256_of
from ..runs.store import Store, published
from . import MEASURED, MIME
from .outputs import Block, picture, plain

BUILDERS: dict[str, Callable] = {}  # call -> (records, **args) -> Block


def render(call: str, args: dict, records: Sequence | None = None) -> dict:
    """The mime bundle of `show.call(**args)` made from `records`; without them from the runs that
    args name, or else from the published records.

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
        records = published()
        if args.get("runs") is not None:
            index = {record.id: record for record in [*records, *Store.default().records()]}
            if missing := set(args["runs"]) - set(index):
                raise HKTError(f"There is no record {min(missing)!r}; run its page again.")
            records = [index[name] for name in args["runs"]]
    return bundle(call, args, BUILDERS[call](list(records), **args))


def bundle(call: str, args: dict, made: Block) -> dict:
    used, values = sorted(set(made.records)), plain(made.values)
    about = {"call": call, "args": args, "records": used, "values": values}
    return {"text/plain": made.text, "text/html": made.html, MIME: about}


def recomputable(build: Callable[..., Block]) -> Callable[..., None]:
    """Make a function (records, …) -> Block a public one that displays its bundle; `runs` are
    records that a page has just made."""
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


def figure(fig, alt: str, table=None, live: tuple[str, Any] | None = None) -> None:
    """Display a figure of the page's own arrays: SVG, alternative text, and its numbers (a
    DataFrame) behind a toggle; `live`, (name, data), lets the reader move it (`picture`).

    No record can recompute it; its values carry a digest of what was drawn.  Raises HKTError
    without an alternative text.
    """
    if not alt.strip():
        raise HKTError("show.figure needs an alternative text that says what the figure shows.")
    made = picture((fig, alt, table), live=live)
    values = {"table": made.values, "digest": sha256_of(made.html.encode())[:16]}
    _display(bundle("figure", {"alt": alt}, Block(made.text, made.html, [], values)), {"alt": alt})


def measured(text: str) -> None:
    """Display what no second run shows again, a time above all: `text` is Markdown.

    It travels in the output's metadata, which nothing compares; the page gets it as text below the
    cell (`book.notebook.finish`).
    """
    note = "*Measured while this page was made. Another run takes other times.*"
    _display({"text/plain": note.strip("*"), "text/markdown": note}, {MEASURED: text})
