"""A student's path: a clean environment without network, unzip, work, check, hand in one file."""

import shutil
import subprocess
import sys
import venv
import zipfile

import nbformat
import pytest

from hkt_course import source
from hkt_course.classroom import pack
from hkt_lite.config import PROJECT
from tests.course import zoo
from tests.course.hand_ins import make
from tests.helpers import child_environment

NAME = "a1_attention"


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """(its hkt, a folder for work): an environment that has the wheel of the package and what it
    depends on, and no source of this project."""
    root = tmp_path_factory.mktemp("student")
    for part in ("pyproject.toml", "README.md", "LICENSE"):
        (root / "project").mkdir(exist_ok=True)
        shutil.copy(PROJECT / part, root / "project")
    ignored = shutil.ignore_patterns("__pycache__")
    for package in ("hkt_lite", "hkt_course"):
        shutil.copytree(PROJECT / package, root / "project" / package, ignore=ignored)
    venv.create(root / "env", with_pip=False)
    python, offline = root / "env" / "bin" / "python", ["--no-index", "--no-deps", "--quiet"]
    _pip(root, "wheel", *offline, "--no-build-isolation", "--wheel-dir", "wheels", "./project")
    shutil.rmtree(root / "project")
    _pip(root, "--python", python, "install", *offline, "--find-links", "wheels", "hkt-lite")
    (folder,) = (root / "env").glob("lib/python*/site-packages")
    below = [path for path in sys.path if path.endswith("site-packages")]
    (folder / "below.pth").write_text("\n".join(below))
    return root / "env" / "bin" / "hkt", root


def _pip(root, *words) -> None:
    """pip as it is configured for nobody, in a folder that holds no package."""
    command = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check"]
    environment = child_environment(root, PYTHONPATH="")
    ended = subprocess.run(
        [*command, *map(str, words)], cwd=root, env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="the environment's folders are others there")
def test_unzip_work_check_hand_in(clean, judges):
    hkt, root = clean
    judge = judges(NAME)
    (root / "made").mkdir()
    path = root / "made" / f"{NAME}.ipynb"
    path.write_text(nbformat.writes(source.stub(judge.source)), encoding="utf-8")
    pack(root / f"{NAME}.zip", path)
    with zipfile.ZipFile(root / f"{NAME}.zip") as archive:
        archive.extractall(root / "work")
    work = root / "work" / NAME / f"{NAME}.ipynb"

    def look():
        return subprocess.run(
            [hkt, "course", "check", work.name],
            cwd=work.parent,
            env=child_environment(root, PYTHONPATH="", http_proxy="http://127.0.0.1:9"),
            capture_output=True,
            text=True,
            timeout=300,
        )

    empty = look()
    assert empty.returncode == 1, empty.stdout + empty.stderr
    assert "NotImplementedError" in empty.stdout and "0 checks are right" in empty.stdout
    assert "The answer 'essay' is not written yet." in empty.stdout
    work.write_text(nbformat.writes(make(judge.source, _inverted())), encoding="utf-8")
    wrong = look()
    assert (
        wrong.returncode == 1
        and "share: not yet. This is the gate the other way round." in wrong.stdout
    )
    work.write_text(nbformat.writes(make(judge.source, zoo.REFERENCE)), encoding="utf-8")
    right = look()
    assert right.returncode == 0, right.stdout + right.stderr
    assert "0 things are not" in right.stdout
    assert judge.grade(nbformat.read(work, 4)).points == 20


def _inverted():
    (found,) = [one for one in zoo.hand_ins(NAME) if one.name == "gate inverted"]
    return found
