"""What the system refuses is one sentence and an exit status, never a traceback or half a file."""

import os
import shutil
import subprocess
import sys

import pytest

from hkt_lite.config import PROJECT
from hkt_lite.runs.records import load
from tests.helpers import child_environment

LONG = "a" * 300
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="shells and devices of POSIX")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with an empty store, a file, a folder where a file should be, and a closed one."""
    home = tmp_path_factory.mktemp("home")
    (home / "runs").mkdir()
    (home / "file").write_bytes(b"\xff\xfe")
    (home / "table.csv").mkdir()
    (home / "closed").mkdir(mode=0o500)
    return home


def shell(words: str, home, **environment):
    """`hkt WORDS` in a shell, from `home`; PYTHON -m hkt_lite stands for hkt."""
    return subprocess.run(
        f"{sys.executable} -m hkt_lite {words}",
        shell=True,
        env=child_environment(home / "runs", **environment),
        capture_output=True,
        text=True,
        timeout=120,
        cwd=home,
    )


REFUSED = [
    ("runs list --published > /dev/full", {}, "No space left"),
    ("runs list --published > /dev/full 2>&-", {}, ""),
    ("run cifar10 htk 2> /dev/full", {}, ""),
    ("run cifar10 htk 2>&-", {}, ""),
    ("runs list", {"HKT_RUNS": "~nosuchuser/runs"}, "no such user"),
    ("data status", {"HKT_DATA": "~nosuchuser"}, "no such user"),
    ("runs list", {"HKT_RUNS": "file"}, "no folder"),
    ("runs list --published", {"HKT_RESULTS": "file"}, "no folder"),
    ("runs list", {"HKT_RUNS": LONG}, "name too long"),
    (f"grid {LONG}", {}, "name too long"),
    (f"eval cifar10 {LONG}", {}, "name too long"),
    (f"runs collect {LONG}", {}, "name too long"),
    (f"runs export {LONG}.csv", {}, "name too long"),
    (f"runs show {LONG}", {}, "No published or local record"),
    ("grid .", {}, "directory"),
    ("runs export table.csv", {}, "directory"),
    ("runs export /proc/t.csv", {}, "/proc/t.csv"),
    ("claims --write file", {}, "no place for the verdicts"),
    ("course release file", {}, "'file' is no folder"),
]


@pytest.mark.parametrize("words, environment, named", REFUSED)
def test_what_is_refused_is_one_sentence(words, environment, named, home):
    before = sorted(home.rglob("*"))
    ended = shell(words, home, **environment)
    assert ended.returncode == 2, ended
    assert "Traceback" not in ended.stderr and "Exception ignored" not in ended.stderr
    if named:
        (line,) = ended.stderr.strip().splitlines()
        assert line.startswith("hkt: ") and named in line
    else:
        assert not ended.stderr
    assert sorted(home.rglob("*")) == before


def test_a_folder_that_may_not_be_written_to(home):
    if os.access(home / "closed", os.W_OK):
        pytest.skip("root may write anywhere")
    ended = shell("runs export closed/t.csv", home)
    assert ended.returncode == 2 and "Permission denied" in ended.stderr
    assert not list((home / "closed").iterdir())


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&- <&-"])
def test_who_closes_a_stream_gets_the_work_done(closed, home, tmp_path):
    """Nothing that is printed gets into the files that are opened meanwhile."""
    (tmp_path / "other").mkdir()
    (record, *_) = sorted((PROJECT / "data" / "results").glob("again-*.json"))
    shutil.copy(record, tmp_path / "other")
    own = tmp_path / "own"
    ended = shell(f"runs collect {tmp_path / 'other'} {closed}", home, HKT_RUNS=str(own))
    assert ended.returncode == 0, ended
    assert [path.name for path in own.iterdir()] == [record.name]
    assert load(own / record.name) == load(record)


def test_a_reader_that_goes_away_is_no_error_to_speak_of(home):
    """Enough is printed that the pipe is full before its reader has gone."""
    ended = shell("runs list --published --json | head -c 10", home)
    assert ended.returncode == 0 and len(ended.stdout) == 10
    assert "Traceback" not in ended.stderr and "BrokenPipe" not in ended.stderr


def test_names_that_cannot_be_printed_are_printed_escaped(home, tmp_path):
    odd = os.fsdecode(b"\xff\xe2\x88\x92")
    ended = shell(f"runs show '{odd}'", home, PYTHONIOENCODING="ascii")
    assert ended.returncode == 2 and r"\udcff\u2212" in ended.stderr, ended
    (tmp_path / "file").touch()
    ended = shell(f"runs collect '{tmp_path}' | cat", home, HKT_RUNS=str(tmp_path / odd))
    assert ended.returncode == 0


def test_debug_shows_where_it_was_noticed(home):
    ended = shell(f"runs collect {LONG} --debug", home)
    assert ended.returncode == 1 and "Traceback" in ended.stderr and str(PROJECT) in ended.stderr
