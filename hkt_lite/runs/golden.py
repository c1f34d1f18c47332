"""What made a record; above all the golden runs: what the code computes on tiny configurations.

    hkt golden [NAMES] [--accept "why"]
    version("flow-hkt-synthetic")  # 3: twice changed on purpose since the first record

A golden is data/golden/TASK-METHOD-SOURCE.json: a version, the history of its versions and the
values of each case.  Behaviour is judged by it, not by source text: refactoring changes no value,
another augmentation, default or sign does.  tests/golden measures and compares; accepting what
differs is the only way to change a golden, and raises its version.
"""

import os
import platform
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache, partial
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path

from ..config import PROJECT, Config, HKTError, nearest
from ..files import by_state, read_json, tree_digest
from .records import Provenance

REASON = "HKT_GOLDEN_ACCEPT"  # environment variable: why the suite may change goldens
SUITE = "tests/golden/test_golden.py"
LIBRARIES = ("torch", "torchvision", "numpy", "monai")
MINUTES = ("smoke", "quick")  # scales whose runs take no longer
DECIDES = ("hkt_lite", "data/parents", "data/splits", "data/golden")  # what a number comes from


def home() -> Path:
    return PROJECT / "data" / "golden"


def name(task: str, method: str, source: str) -> str:
    """The golden of a run; `method` is 'eval' for evaluations of checkpoints."""
    return f"{task}-{method}-{source}"


def names() -> list[str]:
    return _names(home())


_names = by_state(lambda folder: sorted(path.stem for path in folder.glob("*.json")))
_read = by_state(partial(read_json, what="golden"))


def read(golden: str) -> dict:
    """{'version', 'history', 'tolerance', 'cases'}; HKTError for an unknown or damaged one."""
    if golden not in names():
        raise HKTError(f"There is no golden {golden!r}.{nearest(golden, names())}")
    return _read(home() / f"{golden}.json")


def version(golden: str) -> int:
    """The version that a record made today carries; 0 where nothing vouches for it yet."""
    return read(golden)["version"] if golden in names() else 0


def versions(config: Config, method: str | None = None) -> dict[str, int]:
    """The golden of a run's task, method (or another) and source, with its version."""
    golden = name(config.task, method or config.method, config.source)
    return {golden: version(golden)}


@cache
def sources(scale: str) -> str:
    """Digest of the package's source for a run of minutes, which is made anew where any of it has
    changed; '' for a longer one, which stays while its golden does."""
    return tree_digest(Path(__file__).parents[1]) if scale in MINUTES else ""


def provenance(data: str, golden: dict[str, int] = {}, run: Config | None = None) -> Provenance:
    """Of a record made now, of a `run` or not, from examples with the fingerprint `data`."""
    return Provenance(
        golden=golden,
        data=data,
        sources=sources(run.scale) if run else "",
        versions=_libraries(),
        commit=_git("rev-parse", "--short=12", "HEAD"),
        dirty=bool(_git("status", "--porcelain", "--", *DECIDES)),
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        machine=_machine(),
        threads=run.threads if run else None,
    )


def _machine() -> str:
    """The processor and the instructions torch uses on it: another one gives other bits."""
    import torch

    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # macOS, Windows
        lines = [f"model name: {platform.processor()}"]
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    capability = torch.backends.cpu.get_cpu_capability()
    return ", ".join(filter(None, (platform.system(), platform.machine(), *models[:1], capability)))


def _libraries() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        with suppress(PackageNotFoundError):  # MONAI is an extra
            found[library] = installed(library)
    return found


def _git(*words: str) -> str:
    try:
        return subprocess.check_output(
            ["git", *words], cwd=PROJECT, stderr=subprocess.DEVNULL, text=True, timeout=20
        ).strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def older(made: Provenance) -> str:
    """'' for a record of today's goldens, else the golden that has changed since and why."""
    if not made.golden:
        return "the golden runs, and nothing shows that today's code would make them"
    for golden, then in made.golden.items():
        now = version(golden)
        if then and not now:
            return f"the removal of golden {golden}, and nothing shows that today's code makes them"
        if now > then:
            history = read(golden)["history"]
            why = "; ".join(one["why"] for one in history if one["version"] > then)
            return f"version {now} of golden {golden} ({why})"
    return ""


def suite(chosen: list[str], why: str | None = None) -> int:
    """Measure and compare the chosen goldens, or all; with `why`, accept what differs.

    0 where nothing differs in the end, else 1.  Raises HKTError for an unknown name, an empty
    reason, and where the tests are not at hand.
    """
    if why is not None and not why.strip():
        raise HKTError("A golden is accepted with a reason, not an empty one.")
    if not (PROJECT / SUITE).is_file():
        raise HKTError(f"There is no {PROJECT / SUITE}; run this in a clone of the project.")
    for golden in chosen if why is None else ():
        read(golden)
    tests = [f"{SUITE}::test_golden[{one}]" for one in chosen] or [f"{SUITE}::test_golden"]
    options = ["-q", "--no-header", "--durations=0", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *options, *tests]
    done = subprocess.run(command, cwd=PROJECT, env={**os.environ, REASON: why or ""})
    return 1 if done.returncode else 0
