"""nbgrader, as a class uses it: from here, and from its own pages and command line.

Here it plays back what the grader found.  Left to itself it would run a hand-in without the fence
and count each hidden test, whose answer it cannot compare, as right.  So for its pages the folder
of hand-ins has another name: they show what was graded, and find nothing that they could grade.
"""

import os
import sysconfig
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hkt_lite.config import HKTError

from . import source

FILE = "nbgrader_config.py"
SETTINGS: dict[str, dict[str, Any]] = {
    "ClearSolutions": {"code_stub": {"python": source.STUB}, "text_stub": source.TEXT_STUB},
    "ClearHiddenTests": {"enforce_metadata": False},
    "GenerateFeedback": {
        "preprocessors": [
            "nbgrader.preprocessors.ClearHiddenTests",
            "nbgrader.preprocessors.GetGrades",
            "nbconvert.preprocessors.CSSHTMLHeaderPreprocessor",
        ]
    },
}
NOWHERE = "grade with hkt course grade"  # what nbgrader says that it cannot find


def needed() -> None:
    """HKTError where nbgrader is not installed."""
    if find_spec("nbgrader") is None:
        raise HKTError(
            "A class needs nbgrader, which is not installed here; use .venv/course/bin/hkt, which "
            "`make grade` sets up, or: pip install -e '.[course]' -c constraints.txt."
        )


def text() -> str:
    """Of nbgrader_config.py in the folder of a class."""
    lines = [f"c.{part}.{name} = {value!r}" for part, known in SETTINGS.items()
             for name, value in known.items()]  # fmt: skip
    return "\n".join([
        '"""For nbgrader\'s pages: read essays there, and grade with `hkt course grade`."""',
        "from pathlib import Path",
        "",
        "c = get_config()",
        "c.CourseDirectory.root = str(Path(__file__).resolve().parent)",
        f"c.CourseDirectory.submitted_directory = {NOWHERE!r}",
        *lines,
        "",
    ])  # fmt: skip


def api(root: Path, results: dict | None = None):
    """nbgrader on the folder of a class; with `results` its grading plays back what was graded."""
    needed()
    from nbgrader import preprocessors
    from nbgrader.apps import NbGraderAPI
    from nbgrader.coursedir import CourseDirectory
    from traitlets.config import Config

    from .playback import playback

    warnings.filterwarnings("ignore", module="nbgrader")  # SQLAlchemy's, of every hand-in
    scripts = sysconfig.get_path("scripts")  # nbgrader calls alembic by its name
    if scripts not in os.environ["PATH"].split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join([scripts, os.environ["PATH"]])
    config = Config(SETTINGS)
    config.CourseDirectory.root = str(Path(root).resolve())
    config.Autograde.autograde_preprocessors = [
        playback(results or {}),
        preprocessors.LimitOutput,
        preprocessors.SaveAutoGrades,
        preprocessors.AssignLatePenalties,
        preprocessors.CheckCellMetadata,
    ]
    return NbGraderAPI(CourseDirectory(config=config), config=config)
