"""The Python that has nbgrader: the environment of its own that `make` puts on top of .venv."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hkt_lite.config import PROJECT
from tests.helpers import child_environment


def python() -> str:
    """Its path; without one the test is skipped in words, under CI=true it fails."""
    places = [os.environ.get("HKT_COURSE_PYTHON"), Path(sys.prefix) / "course" / "bin" / "python"]
    for place in places:
        if place and Path(place).exists():
            return str(place)
    if importlib.util.find_spec("nbgrader"):
        return sys.executable
    said = "nbgrader is not installed; `make .venv/.course` installs it"
    if os.environ.get("CI") == "true":
        pytest.fail(said)
    pytest.skip(said)


def hkt(*words, **environment: str) -> subprocess.CompletedProcess:
    """The command, with nbgrader."""
    command = [python(), "-m", "hkt_lite", *map(str, words)]
    return subprocess.run(
        command,
        env=child_environment(PROJECT / "data" / "runs", **environment),
        capture_output=True,
        text=True,
        timeout=900,
        cwd=PROJECT,
    )
