"""What made a record: versions of the golden runs and of libraries, commit, machine."""

import platform
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from ..config import PROJECT
from . import golden
from .records import Provenance

LIBRARIES = ("torch", "torchvision", "numpy", "monai")
DECIDES = ("hkt_lite", "data/parents", "data/splits", "data/golden")  # what a number comes from


def _git(*words: str) -> str:
    try:
        return subprocess.check_output(
            ["git", *words], cwd=PROJECT, stderr=subprocess.DEVNULL, text=True, timeout=20
        ).strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # MONAI is an extra
            continue
    return found


def provenance(data: str, goldens: Iterable[str] = (), threads: int | None = None) -> Provenance:
    """Of a record made now from examples with fingerprint `data`; `goldens` vouch for the code."""
    return Provenance(
        golden={name: golden.version(name) for name in goldens},
        data=data,
        versions=_versions(),
        commit=_git("rev-parse", "--short=12", "HEAD"),
        dirty=bool(_git("status", "--porcelain", "--", *DECIDES)),
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        machine=f"{platform.system()} {platform.machine()}",
        threads=threads,
    )
