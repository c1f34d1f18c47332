"""The `hkt` command: what there is, and how it begins and ends.   hkt --help

Heavy imports happen inside the commands: help is instant.
"""

import io
import logging
import os
import sys

import typer

from hkt_course.commands import app as course

from ..config import HKTError
from . import book, records, runs

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Understand, rerun, question and extend Hereditary Knowledge Transfer. "
    "With --debug anywhere, a mistake shows where it was noticed.",
)
COMMANDS = {
    "run": runs.run,
    "trace": runs.trace,
    "eval": runs.evaluate,
    "grid": runs.grid,
    "export": runs.export,
    "submit": runs.submit,
    "reproduce": runs.reproduce,
    "pages": book.pages,
    "book": book.book,
    "check": book.check,
    "claims": book.claims,
    "golden": runs.golden,
    "bench": runs.bench,
}
for name, command in COMMANDS.items():
    app.command(name)(command)
app.add_typer(records.app, name="runs")
app.add_typer(records.data, name="data")
app.add_typer(course, name="course")


def main() -> None:
    """Entry point: a user's mistake, or what the system refuses, is one sentence and exit code 2;
    Ctrl-C is exit code 130, a reader that went away 1 (click's)."""
    _streams()
    debug = "--debug" in sys.argv
    logging.basicConfig(format="%(message)s")
    logging.getLogger("hkt_lite").setLevel("INFO")  # such as: who is waited for
    sys.argv = [word for word in sys.argv if word != "--debug"]
    stopped = "\nInterrupted; what runs had reached is kept, the same command goes on from there."
    try:
        code = app(standalone_mode=False)  # typer hands an Exit's code back instead of raising it
        sys.stdout.flush()  # here, where a full disk still gets its sentence
        said = stopped if code == 130 else ""  # typer's own answer to Ctrl-C
    except (KeyboardInterrupt, typer.Abort):
        code, said = 130, stopped
    except BrokenPipeError:  # `hkt runs list | head -1`: nobody reads on, and nobody need be told
        code, said = 1, ""
    except Exception as error:
        sentence = _sentence(error)
        if debug or not sentence:
            raise
        code, said = 2, f"hkt: {' '.join(sentence.split())}"
    _end(code if isinstance(code, int) else 0, said)


def _streams() -> None:
    """Standard streams that can be written to: what was closed (`2>&-`) leads nowhere.

    Otherwise the next file to be opened would get the number of the closed one, and what a library
    prints would go into it.  A name that cannot be printed is printed escaped.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r+"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _sentence(error: Exception) -> str:
    """What a user is told of an error, or '' for one that only a programmer can mend."""
    if hasattr(error, "format_message"):  # of typer
        return error.format_message()
    if isinstance(error, OSError):
        where = f" {error.filename!r}" if error.filename else ""
        return (
            f"The system refused{where} ({error.strerror or error}); mend that or name another "
            "place, then give the same command again: what was written before is whole."
        )
    return str(error) if isinstance(error, HKTError) else ""


def _end(code: int, said: str) -> None:
    """Say the last sentence and leave; a stream that takes nothing more changes no exit code."""
    for stream, text in ((sys.stdout, ""), (sys.stderr, said and f"{said}\n")):
        try:
            stream.write(text)
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)
