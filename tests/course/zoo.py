"""The zoo: every hand-in that the course's grading is tried on.

python -m tests.course.zoo FOLDER [VARIANT]     writes them as NAME__ASSIGNMENT.ipynb for `hkt course grade`
"""

import re
import sys
from importlib import import_module
from pathlib import Path

import nbformat

from hkt_course import grader, source

from . import cheats
from .hand_ins import HandIn, make

REFERENCE = HandIn("reference", kind="reference")
STUB = HandIn("stub", from_stub=True, loses="all", kind="stub")


def hand_ins(assignment: str) -> list[HandIn]:
    own = import_module(f"{__package__}.zoo_{assignment.split('_')[0]}").ZOO
    tricks = cheats.ZOO() if assignment == "a1_attention" else []
    return [REFERENCE, STUB, *own, *tricks]


def label(hand_in: HandIn) -> str:
    """Its name as one word."""
    return re.sub(r"\W+", "-", f"{hand_in.kind} {hand_in.name}").strip("-").lower()


def write(folder: Path, seed: int) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    with grader.Warm() as warm:
        for name in source.names():
            made = source.instance(source.path_of(name), seed, warm)
            for hand_in in hand_ins(name):
                path = folder / f"{label(hand_in)}__{name}.ipynb"
                path.write_text(nbformat.writes(make(made, hand_in)), encoding="utf-8")
                count += 1
    return count


if __name__ == "__main__":
    print(
        f"{write(Path(sys.argv[1]), int((sys.argv[2:] or ['2026'])[0]))} hand-ins in {sys.argv[1]}"
    )
