"""The tables of what was measured, in the texts that show them.   hkt bench tables

`hkt bench all --write data/measured/speed.json` measures; the tables in README and book are then
made of that file, between two marks, and a test compares them with it.
"""

from collections.abc import Callable
from pathlib import Path
from statistics import median

from ..config import PROJECT, HKTError
from ..files import read_json
from ..runs import bench
from ..runs.store import published
from . import growth
from .release import between

FOLDER = PROJECT / "data" / "measured"
TEXTS = {"README.md": ["speed"], "book/what_grows.md": ["speed", "growth", "arithmetic"]}
END = "<!-- end of measured -->"


def tables(root: Path = PROJECT) -> list[Path]:
    """Renew all tables of what was measured; the files they stand in."""
    for text, names in TEXTS.items():
        for name in names:
            between(root / text, table(name), f"the table {name!r}")
    return [root / text for text in TEXTS]


def table(name: str) -> str:
    """A table between its marks; a sentence where nothing was measured yet."""
    return "\n".join([f"<!-- measured: {name} -->", "", MADE[name](), "", END])


def _of(file: str, render: Callable[[dict], str]) -> str:
    path = FOLDER / f"{file}.json"
    if not path.is_file():
        command = {"speed": "all"}.get(file, file)
        return f"*Not measured yet: `hkt bench {command} --write data/measured/{file}.json`.*"
    try:
        return render(read_json(path, "measurement"))
    except (KeyError, TypeError, ValueError):
        raise HKTError(f"{path} is no measurement of `hkt bench`; measure it again.") from None


def _arithmetic() -> str:
    runs = [one for one in published() if one.kind == "run" and one.config.task == "cifar10"]
    runs = [one for one in runs if one.config.scale == "cpu" and one.purpose == "score"]
    if not runs:
        return "*No run of CIFAR-10 at cpu scale is published yet.*"
    seconds = median(run.cost.seconds for run in runs)
    return growth.arithmetic(seconds, runs[0].cost.parameters)


MADE: dict[str, Callable[[], str]] = {
    "speed": lambda: _of("speed", bench.as_markdown),
    "growth": lambda: _of("growth", growth.as_markdown),
    "arithmetic": _arithmetic,
}
