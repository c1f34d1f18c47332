"""What a release hands out: the notebooks' zip, archives that are the same bytes each time, checksums; the whole: browser/test_release.py."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from hkt_lite.config import PROJECT, HKTError
from tests.test_publishing import PYPROJECT, script

WHEN = 1_790_000_000
NOTEBOOKS = sorted(path.name for path in (PROJECT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def release():
    return script("release")


@pytest.fixture(scope="module")
def unpacked(release, tmp_path_factory) -> Path:
    """The notebooks' zip in a folder that was empty."""
    folder = tmp_path_factory.mktemp("notebooks")
    (folder / "all.zip").write_bytes(release.notebooks(WHEN))
    with zipfile.ZipFile(folder / "all.zip") as archive:
        archive.extractall(folder)
    (root,) = [path for path in folder.iterdir() if path.is_dir()]
    return root


# -- notebooks -------------------------------------------------------------------------------------


def test_the_zip_is_the_same_bytes_each_time_and_dated_by_the_commit(release, tmp_path):
    first = release.notebooks(WHEN)
    assert first == release.notebooks(WHEN) != release.notebooks(WHEN + 86400)
    (tmp_path / "all.zip").write_bytes(first)
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        entries = archive.infolist()
    assert {one.date_time for one in entries} == {(2026, 9, 21, 14, 13, 20)}
    assert [one.filename for one in entries] == sorted(one.filename for one in entries)


def test_the_zip_has_every_notebook_no_output_and_no_solution(unpacked):
    assert sorted(path.name for path in (unpacked / "notebooks").iterdir()) == NOTEBOOKS
    for path in (unpacked / "notebooks").iterdir():
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        assert not any(cell.get("outputs") for cell in cells)
    kept = [path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()]
    assert not [name for name in kept if "assignments" in name or "data/runs" in name]
    assert "data/results/MANIFEST.json" in kept and "hkt_lite/benchmarks/flow/scales.yaml" in kept


def test_the_readmes_commands_name_what_is_there(unpacked):
    text = (unpacked / "README.md").read_text(encoding="utf-8")
    (extras,) = re.findall(r"pip install -e \"\.\[([\w,]+)\]\" -c constraints\.txt", text)
    assert set(extras.split(",")) <= set(PYPROJECT["optional-dependencies"])
    for name in re.findall(r"notebooks/[\w.]+\.ipynb", text):
        assert (unpacked / name).is_file()
    assert (unpacked / "constraints.txt").is_file() and (unpacked / "notebooks").is_dir()


@pytest.mark.slow
def test_the_zip_installs(unpacked, tmp_path):
    """As far as a test may without a network: the package builds from what is in the folder."""
    copy = shutil.copytree(unpacked, tmp_path / "copy")
    words = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", tmp_path, copy]
    command = [sys.executable, "-m", "pip", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and list(tmp_path.glob("hkt_lite-*.whl")), done.stderr


@pytest.mark.slow
def test_a_notebook_of_the_zip_runs_by_plain_papermill(unpacked, tmp_path):
    """In the folder alone, as an editable install would find it, with a store that is its own."""
    code = "import hkt_lite, papermill; print(hkt_lite.__file__); papermill.execute_notebook(*{})"
    words = (str(unpacked / "notebooks" / "03_transfer.ipynb"), str(tmp_path / "made.ipynb"))
    outside = ("HKT_RUNS", "HKT_RESULTS", "HKT_DATA")
    environment = {key: value for key, value in os.environ.items() if key not in outside}
    done = subprocess.run(
        [sys.executable, "-c", code.format(words)],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert Path(done.stdout.split()[0]).is_relative_to(unpacked)
    cells = json.loads((tmp_path / "made.ipynb").read_text(encoding="utf-8"))["cells"]
    assert all(cell["execution_count"] for cell in cells if cell["cell_type"] == "code")


# -- archives and sums -----------------------------------------------------------------------------


def test_an_archive_is_the_same_bytes_each_time(release, tmp_path):
    for copy in ("one", "two"):
        folder = tmp_path / copy / "book"
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "b.txt").write_text("b")
        (folder / "a.txt").write_text("a")
        os.utime(folder / "a.txt", (1, 2 + len(copy)))
        release.tarred(folder, tmp_path / f"{copy}.tar.gz", WHEN)
    os.chmod(folder / "a.txt", 0o600)
    release.tarred(folder, tmp_path / "three.tar.gz", WHEN)
    made = {(tmp_path / f"{name}.tar.gz").read_bytes() for name in ("one", "two", "three")}
    assert len(made) == 1
    with tarfile.open(tmp_path / "one.tar.gz") as archive:
        assert archive.getnames() == ["book/a.txt", "book/deep/b.txt"]


def test_the_sums_are_of_every_file_and_coreutils_reads_them(release, tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "x y.txt").write_text("x")
    (tmp_path / "z.txt").write_text("z")
    release.sums(tmp_path)
    lines = (tmp_path / "SHA256SUMS").read_text().splitlines()
    assert [line[66:] for line in lines] == ["below/x y.txt", "z.txt"]
    assert lines[1][:64] == hashlib.sha256(b"z").hexdigest()


def test_a_book_that_is_not_built_is_no_release(release, tmp_path):
    with pytest.raises(HKTError, match="not rendered completely; run `hkt book`"):
        release.make(tmp_path / "out", tmp_path / "book" / "_build" / "html")
    assert not (tmp_path / "out").exists()
