"""pyproject.toml, constraints.txt and environment.yml tell one story: ranges, pins inside them, nothing said twice."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

PROJECT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PYPROJECT["optional-dependencies"]
GROUPS = {"dependencies": PYPROJECT["dependencies"], **EXTRAS}
RANGES = {
    f"{group}: {line}": Requirement(line) for group, lines in GROUPS.items() for line in lines
}
CONDA = yaml.safe_load((PROJECT / "environment.yml").read_text(encoding="utf-8"))


def constraints(text: str) -> dict[str, Version]:
    """Canonical name -> version of every line `name==version`; any other line but a comment is an error."""
    pins: dict[str, Version] = {}
    for line in filter(None, (line.partition("#")[0].strip() for line in text.splitlines())):
        pin = Requirement(line)
        (only,) = pin.specifier
        assert only.operator == "==" and "*" not in only.version, (
            f"{line!r} does not pin one version"
        )
        assert (name := canonicalize_name(pin.name)) not in pins, f"{pin.name} is pinned twice"
        pins[name] = Version(only.version)
    return pins


BASE, LAB, COURSE = (
    (PROJECT / "constraints.txt").read_text(encoding="utf-8").split("# --- only for")
)
INSTALLED = {canonicalize_name(one.name) for one in metadata.distributions()}
needs_lab = pytest.mark.skipif(
    "jupyterlab" not in INSTALLED, reason="jupyterlab is not installed; `make lab` installs it"
)
PINS = constraints(BASE + "\n#" + LAB + "\n#" + COURSE)
BROUGHT_BY = {  # a distribution -> the extra and the pins that are not judged where it is missing
    "jupyterlab": ("lab", constraints("#" + LAB)),
    "nbgrader": ("course", constraints("#" + COURSE)),
}
MISSING = [what for name, what in BROUGHT_BY.items() if name not in INSTALLED]


def pip_lines() -> list[str]:
    (lines,) = [entry["pip"] for entry in CONDA["dependencies"] if isinstance(entry, dict)]
    return lines


def here() -> list[Requirement]:
    """What pyproject.toml asks for of this environment: all but the extras lab and course where
    they are not."""
    without = [extra for extra, _ in MISSING]
    return [one for where, one in RANGES.items() if where.partition(":")[0] not in without]


@pytest.mark.parametrize("where", RANGES)
def test_every_dependency_is_pinned_inside_its_range(where):
    wanted = RANGES[where]
    pin = PINS.get(canonicalize_name(wanted.name))
    assert pin is not None, (
        f"{wanted.name} of pyproject.toml ({where}) is not pinned in constraints.txt"
    )
    assert pin in wanted.specifier, (
        f"constraints.txt pins {wanted.name} {pin}, pyproject.toml wants {wanted.specifier}"
    )
    assert wanted.specifier, f"{wanted.name} of pyproject.toml has no range"


def test_no_dependency_is_listed_twice():
    names = [canonicalize_name(wanted.name) for wanted in RANGES.values()]
    assert len(names) == len(set(names))


def test_no_pin_has_a_local_version_that_an_index_may_not_have():
    assert [name for name, version in PINS.items() if version.local] == []


def test_conda_installs_the_package_itself_and_repeats_nothing():
    conda = [
        re.split(r"[=<> ]", entry)[0] for entry in CONDA["dependencies"] if isinstance(entry, str)
    ]
    assert sorted(conda) == ["pip", "python"], (
        "conda brings Python and pip; everything else is named in pyproject.toml"
    )
    pinned, line = pip_lines()
    assert pinned == "-c constraints.txt", "on a line of its own: beside -e pip ignores it"
    named = re.fullmatch(r"-e \.\[([\w,]+)\]", line)
    assert named, f"{line!r} should install the package editable under constraints.txt"
    extras = named[1].split(",")
    assert len(extras) == len(set(extras))
    assert set(extras) <= set(EXTRAS), (
        f"environment.yml names extras {extras}, pyproject.toml has {list(EXTRAS)}"
    )


def test_make_installs_for_each_target_what_it_needs_and_for_the_tests_what_conda_installs():
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    stamps = re.findall(
        r"^\.venv/\.(\w+):.*\n(?:\t.*\n)*?\t\$\(INSTALL\) -e '(.*)'$", makefile, re.M
    )
    wanted = {
        "book": ".[book,lits]",
        "test": ".[book,lits,cluster,test]",
        "lab": ".[book,lits,lab]",
    }
    assert dict(stamps) == wanted
    for target in wanted:
        assert f"\n{target}: .venv/.{target}\n" in makefile
    assert "INSTALL := $(BIN)/python -m pip install -c constraints.txt\n" in makefile
    assert pip_lines() == ["-c constraints.txt", f"-e {wanted['test']}"]
    course = "$(COURSE)/bin/python -m pip install -c constraints.txt -e '.[course]'\n"
    assert course in makefile and "\n.venv/.test: .venv/.book .venv/.course\n" in makefile


@needs_lab
def test_jupyter_lab_starts():
    words = [sys.executable, "-m", "jupyter", "lab", "--version"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert Version(said.strip()) == PINS["jupyterlab"]


def test_python_versions_agree():
    (conda,) = [
        entry.partition("=")[2]
        for entry in CONDA["dependencies"]
        if str(entry).startswith("python")
    ]
    needed = SpecifierSet(PYPROJECT["requires-python"])
    assert Version(conda) in needed
    least = next(iter(needed)).version
    assert f"Python {least}" in (PROJECT / "README.md").read_text(encoding="utf-8")
    assert f"sys.version_info < ({least.replace('.', ', ')})" in (PROJECT / "Makefile").read_text(
        encoding="utf-8"
    )
    assert Version("{}.{}".format(*sys.version_info)) in needed


def test_what_is_installed_here_is_what_is_pinned():
    """Whatever the extras bring, at any depth, is pinned, and this interpreter runs the pinned versions."""
    todo = [(wanted.name, "") for wanted in here()]
    seen, wrong = set(), []
    while todo:
        name, extra = todo.pop()
        if (key := (canonicalize_name(name), extra)) in seen:
            continue
        seen.add(key)
        installed = metadata.distribution(name)
        pin = PINS.get(key[0])
        if pin is None or Version(Version(installed.version).public) != pin:
            if not key[0].startswith(
                ("nvidia-", "cuda-", "triton")
            ):  # torch's own pins of its CUDA build
                wrong.append(f"{name} {installed.version} is installed, constraints.txt says {pin}")
        for line in installed.requires or []:
            inner = Requirement(line)
            if inner.marker is None or inner.marker.evaluate({"extra": extra}):
                todo += [(inner.name, ""), *((inner.name, wanted) for wanted in inner.extras)]
    assert not wrong, "\n".join(sorted(set(wrong)))


def test_constraints_have_no_strays():
    """Every pin is reachable from an extra, so that the file does not fill with what somebody once
    installed; those of the extras lab and course are judged where they are installed."""
    reached = {canonicalize_name(wanted.name) for wanted in here()}
    todo = list(reached)
    while todo:
        try:
            requires = metadata.distribution(todo.pop()).requires or []
        except metadata.PackageNotFoundError:  # of another platform
            continue
        new = {canonicalize_name(Requirement(line).name) for line in requires} - reached
        reached |= new
        todo += new
    unjudged = {name for _, pins in MISSING for name in pins}
    assert set(PINS) <= reached | unjudged, sorted(set(PINS) - reached)


def test_pip_finds_no_conflict():
    done = subprocess.run(
        [sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_commit_hooks_run_tools_of_the_extra_test_and_download_nothing():
    text = (PROJECT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    (local,) = yaml.safe_load(text)["repos"]
    assert local["repo"] == "local"
    tools = {Requirement(line).name for line in EXTRAS["test"]}
    for hook in local["hooks"]:
        assert hook["language"] == "system" and hook["entry"].split()[0] in tools


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("torch>=2", "does not pin"),
        ("torch==2.*", "does not pin"),
        ("torch==2.13\nTorch==2.12", "twice"),
    ],
)
def test_a_loose_or_doubled_pin_is_noticed(text, sentence):
    with pytest.raises(AssertionError, match=sentence):
        constraints(text)
