"""What is built once for all tests: the real book at smoke scale, and a toy book to falsify.

With pytest-xdist each worker is a process with a session of its own; what one of them has built
lies where the others find it.
"""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

if not os.environ.get("OMP_NUM_THREADS"):
    os.environ["OMP_NUM_THREADS"] = "1"  # tests side by side must not spin against each other

import pytest
from filelock import FileLock

import hkt_lite.evidence
from hkt_lite import config
from hkt_lite.book import build as pages
from hkt_lite.runs import golden
from tests import toy


@pytest.hookimpl(optionalhook=True)  # the tests also run without xdist
def pytest_xdist_auto_num_workers(config) -> int:
    """One more than there are processors: many of the longest tests wait for other processes."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items):
    """The longest chain first, then what is slow: so all workers are busy until the end."""
    chain = ("smoke_pages", "html", "toy_template")

    def place(item) -> tuple[int, bool]:
        needs = [number for number, name in enumerate(chain) if name in item.fixturenames]
        return min(needs, default=len(chain)), "slow" not in item.keywords

    items.sort(key=place)


@pytest.fixture(scope="session")
def once(tmp_path_factory) -> Callable[[str, Callable[[Path], None]], Path]:
    """once(name, make): the folder `name` of all workers, which the first to ask for it makes."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent

    def made(name: str, make: Callable[[Path], None]) -> Path:
        folder, done = shared / "shared" / name, shared / f"{name}.done"
        with FileLock(shared / f"{name}.lock"):
            if not done.exists():
                folder.mkdir(parents=True, exist_ok=True)
                make(folder)
                done.touch()
        return folder

    return made


@pytest.fixture(scope="session", autouse=True)
def own_store(tmp_path_factory):
    """No test writes into the user's run store."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HKT_RUNS", str(tmp_path_factory.mktemp("runs")))
        patch.setattr(golden, "_git", lambda *words: "")  # a working tree is dirty at times
        yield


@pytest.fixture(scope="session")
def smoke_pages(once) -> Path:
    """The folder of all notebooks executed at smoke scale, in a store that was empty."""

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HKT_RUNS", str(folder / "runs"))
            pages.build(scale="smoke", out=folder, html=False)

    return once("smoke", make) / "book" / "_generated"


@pytest.fixture(scope="session")
def smoke_store(smoke_pages) -> Path:
    """The run store of the smoke pages."""
    return smoke_pages.parents[1] / "runs"


@pytest.fixture(scope="session")
def smoke_book(once, smoke_pages, smoke_store) -> Path:
    """The folder of the rendered book (index.html, …) made from the smoke pages and checked."""

    def make(_: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HKT_RUNS", str(smoke_store))
            pages.build(scale="smoke", out=smoke_store.parent)

    once("smoke-book", make)
    return smoke_store.parent / "book" / "_build" / "html"


@pytest.fixture(scope="session")
def toy_template(once) -> Path:
    """A small project, executed and rendered; tests get copies of it."""

    def make(folder: Path) -> None:
        root = toy.project(folder / "project")
        with pytest.MonkeyPatch.context() as patch:
            _use(patch, root)
            pages.build(scale="smoke")

    return once("toy", make) / "project"


@pytest.fixture
def toy_project(toy_template, tmp_path, monkeypatch) -> Path:
    """A copy of the toy project, in use as *the* project (toy.page_of, toy.source_of; its records
    lie in results/)."""
    root = shutil.copytree(toy_template, tmp_path / "project")
    _use(monkeypatch, root)
    return root


def _use(patch: pytest.MonkeyPatch, root: Path) -> None:
    patch.setattr(config, "PROJECT", root)
    patch.setitem(sys.modules, "hkt_lite.evidence.show", toy.show)
    patch.setattr(hkt_lite.evidence, "show", toy.show, raising=False)
    patch.setenv("HKT_RESULTS", str(root / "results"))
    patch.setenv("HKT_RUNS", str(root / "runs"))


@pytest.fixture(autouse=True, scope="session")
def few_embedded_images():
    """Validation and test splits of hundreds instead of thousands of embedded images, for tests in
    this process."""
    from hkt_lite.benchmarks.cifar10 import task as cifar10

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cifar10, "SIZES", {"val": 200, "test": 300})
        yield
