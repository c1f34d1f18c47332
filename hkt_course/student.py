"""A process for one hand-in: runs its cells, then each test in a fork of its own.

It holds no reference, no expected value and no source; it answers with plain values, which the
grader decodes and compares.   python -m hkt_course.student < orders      (see running.py)
"""

import ast
import base64
import builtins
import contextlib
import io
import json
import math
import os
import re
import signal
import socket
import sys
import traceback
import types

from . import fence

LATE = "it took too long"
LONGEST = 20_000  # characters of a cell's printed output that are kept
FIGURES = 6  # of a cell that are kept
MAGIC = re.compile(r"\s*([%!?].*|[\w.]+\?\??\s*)")  # a line for IPython, where Python refuses it


def encode(value):
    """Plain JSON of numbers, texts, arrays, tensors, and lists and dicts of these."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return {"list": [encode(part) for part in value]}
    if isinstance(value, dict):
        return {"dict": [[str(key), encode(part)] for key, part in value.items()]}
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if hasattr(value, "dtype") and hasattr(value, "tobytes") and value.dtype.kind in "biuf":
        data = base64.b64encode(value.tobytes()).decode()
        return {"array": [value.dtype.str, list(value.shape), data]}
    return {"other": type(value).__name__}


def show(*values) -> None:
    """As a notebook shows the value of a cell's last line, but as text."""
    for value in values:
        print(value if isinstance(value, str) else repr(value))


def without_magics(code: str) -> str:
    """A cell's code without lines for IPython and the shell, which are not run.

    Only a line that Python refuses is taken for one: `% n` or `!= n` may carry an expression on.
    """
    lines = code.split("\n")
    while True:
        try:
            ast.parse("\n".join(lines))
        except SyntaxError as problem:
            place = (problem.lineno or 0) - 1
            line = lines[place] if 0 <= place < len(lines) else ""
            if not MAGIC.fullmatch(line):
                return "\n".join(lines)
            lines[place] = line[: len(line) - len(line.lstrip())] + "pass"
        else:
            return "\n".join(lines)


def drawn() -> list[str]:
    """The figures that are open, PNG in base64; they are closed."""
    plots, found = sys.modules.get("matplotlib.pyplot"), []
    for number in plots.get_fignums()[:FIGURES] if plots else ():
        file = io.BytesIO()
        plots.figure(number).savefig(file, format="png", dpi=72, bbox_inches="tight")
        found.append(base64.b64encode(file.getvalue()).decode())
    if plots:
        plots.close("all")
    return found


def snapshot() -> dict:
    """The functions of the libraries, by which a test would notice that one was replaced."""
    import numpy
    import torch

    places = [builtins, math, json, numpy, numpy.testing, torch, torch.nn.functional]
    places += [torch.Tensor, torch.nn.Module, torch.nn.Linear, torch.nn.Conv2d, torch.autograd]
    return {place: dict(vars(place)) for place in places}


def replaced(before: dict) -> str:
    """The first library function that is not what it was, or ''."""
    for place, kept in before.items():
        for name, value in kept.items():
            if callable(value) and vars(place).get(name) is not value:
                return f"{place.__name__}.{name}"
    return ""


class Session:
    """One hand-in: `space` is what its cells have defined."""

    def __init__(self, order: dict):
        self.guard = fence.enclose(order["folder"], order["private"], order["imports"])
        main = types.ModuleType("__main__")
        sys.modules["__main__"] = main
        self.space = vars(main)
        self.space["display"] = show
        self.before = snapshot()
        self.cells: set[str] = set()
        self.marks: dict[str, dict] = {}  # test -> what was defined where it stands

    def answer(self, request: dict) -> dict:
        if "mark" in request:
            self.marks[request["mark"]] = dict(self.space)
            return {}
        if "probe" in request:
            return self.probe(request["probe"], request["tell"], request.get("at", ""))
        return self.run(request["run"], request["name"])

    def run(self, code: str, name: str) -> dict:
        """Run a cell: {'out': what it printed, with the value of its last line, 'figures': what it
        drew, PNG in base64, 'error': None or what it raised}."""
        printed, figures, error = io.StringIO(), [], None
        self.cells.add(name)
        try:
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
                self._execute(code, f"<{name}>")
                figures = drawn()
        except BaseException as problem:  # SystemExit and KeyboardInterrupt end a cell, no more
            error = self._error(problem)
        return {"out": printed.getvalue()[:LONGEST], "figures": figures, "error": error}

    def _execute(self, code: str, name: str) -> None:
        # as in Jupyter, empty lines may stand above it
        first, _, rest = re.sub(r"\A(\s*\n)+", "", code).partition("\n")
        if first.startswith("%%writefile "):
            with open(first.split()[-1], "w", encoding="utf-8") as file:
                file.write(rest)
            return
        tree = ast.parse(without_magics(code), name)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), self.space)
        if last:
            value = eval(compile(ast.Expression(last.value), name, "eval"), self.space)
            show(*[] if value is None else [value])

    def probe(self, code: str, tell: bool, at: str = "") -> dict:
        """Run a hidden test in a fork: {'value': its last expression} or {'error': why not}.

        Names mean what they meant where the test stands, `at`: a later cell of the student's own
        may say `mean, low, high = ...` and does not reach the functions above.
        The error's text is told of the reference only; it might say what a hidden test asks.
        """
        if not hasattr(os, "fork"):
            return self._probed(code, tell, at)
        ours, theirs = os.pipe()
        with self.guard.trusted():
            child = os.fork()
        if child == 0:
            with os.fdopen(theirs, "wb") as pipe:
                pipe.write(json.dumps(self._probed(code, tell, at)).encode())
            os._exit(0)
        os.close(theirs)
        try:
            with os.fdopen(ours, "rb") as pipe:
                return json.loads(pipe.read())
        except ValueError:
            return {"error": _failed("the code ended the process")}
        except KeyboardInterrupt:
            return {"error": _failed(LATE)}
        finally:
            with self.guard.trusted():
                os.kill(child, signal.SIGKILL)  # still a child of ours, for nobody has waited yet
            os.waitpid(child, 0)

    def _probed(self, code: str, tell: bool, at: str) -> dict:
        import torch

        self.space.update(self.marks.get(at, {}))
        printed = io.StringIO()
        try:
            # a test draws what the reference's draws, whatever the hand-in has set
            torch.set_default_dtype(torch.float32)
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
                value = encode(self._last(code))
        except BaseException as problem:
            error = self._error(problem)
            return {"error": error if tell else {**error, "text": ""}}
        if name := replaced(self.before):
            return {"error": _failed(f"{name} was replaced; such a process is not asked")}
        return {"value": value}

    def _error(self, problem: BaseException) -> dict:
        """Name, text and the lines of the hand-in's own cells that led there."""
        frames = traceback.extract_tb(problem.__traceback__)
        own = [frame for frame in frames if frame.filename[1:-1] in self.cells]
        where = [f"{frame.filename[1:-1]}, line {frame.lineno}" for frame in own[-2:]]
        name = type(problem).__name__
        if getattr(builtins, name, None) is not type(problem):
            name = "An exception"
        return {"name": name, "text": " ".join(str(problem).split())[:300], "where": where}

    def _last(self, code: str):
        """The value of the last expression of `code`, run beside what the cells have defined."""
        tree = ast.parse(code)
        last = ast.Expression(tree.body.pop().value)
        space = {**self.space}
        exec(compile(tree, "<test>", "exec"), space)
        return eval(compile(last, "<test>", "eval"), space)


def _failed(sentence: str) -> dict:
    return {"name": "Stopped", "text": sentence, "where": []}


def serve(order: dict) -> None:
    """Connect to the grader, go inside the fence, answer line by line until it hangs up."""
    if hasattr(os, "setsid"):
        os.setsid()
    os.chdir(order["folder"])
    sys.stdin, nothing = io.StringIO(), os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    wire = socket.create_connection(("127.0.0.1", order["port"])).makefile("rw", encoding="utf-8")
    reply: dict = {"pid": os.getpid(), "token": order["token"]}
    fence.limit(order["seconds"], order["megabytes"])
    session, asked = Session(order), 0
    while True:
        try:
            print(json.dumps(reply), file=wire, flush=True)
            line = wire.readline()
            if not line:
                return
            request = json.loads(line)
            asked = request.pop("id")
            reply = {"id": asked, **session.answer(request)}
        except KeyboardInterrupt:  # after an answer it is the second to one request, and not heard
            reply = {"id": asked, "out": "", "error": _failed(LATE)}


def warm() -> None:
    """Import once what every hand-in needs; a first training step imports more."""
    import matplotlib.pyplot
    import numpy.testing
    import pandas
    import scipy.stats
    import torch

    torch.set_num_threads(1)
    layer = torch.nn.Linear(2, 2)
    for optimizer in (
        torch.optim.SGD(layer.parameters(), 0.1),
        torch.optim.Adam(layer.parameters()),
    ):
        layer(torch.ones(1, 2)).sum().backward()
        optimizer.step()
    return matplotlib.pyplot, numpy.testing, pandas, scipy.stats


def main() -> None:
    """One order a line; each is served by a fork (where there are none, the first by this process).

    So the libraries are imported once for a whole class.
    """
    warm()
    if not hasattr(os, "fork"):
        return serve(json.loads(sys.stdin.readline()))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the grader
    for line in iter(sys.stdin.readline, ""):
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            try:
                serve(json.loads(line))
            finally:
                os._exit(0)


if __name__ == "__main__":
    main()
