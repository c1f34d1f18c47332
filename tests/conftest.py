"""What is built once for the whole session: the real book at smoke scale, and a toy book to falsify."""

import os
import shutil
from pathlib import Path

import pytest

import hkt_lite.evidence
from hkt_lite import config
from hkt_lite.book import build as pages
from hkt_lite.runs import provenance
from tests import toy


@pytest.fixture(scope="session", autouse=True)
def own_store(tmp_path_factory):
    """No test writes into the user's run store."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HKT_RUNS", str(tmp_path_factory.mktemp("runs")))
        patch.setattr(provenance, "_git", lambda *words: "")  # a working tree is dirty at times
        yield


@pytest.fixture(scope="session")
def smoke_store(tmp_path_factory) -> Path:
    """The run store of the smoke pages, empty before they are executed."""
    return tmp_path_factory.mktemp("smoke") / "runs"


@pytest.fixture(scope="session")
def smoke_pages(smoke_store) -> Path:
    """The folder of all notebooks executed at smoke scale, once a session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HKT_RUNS", str(smoke_store))
        return pages.build(scale="smoke", out=smoke_store.parent, html=False)


@pytest.fixture(scope="session")
def smoke_book(smoke_pages, smoke_store) -> Path:
    """The folder of the rendered book (index.html, …) made from the smoke pages and checked, once a session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HKT_RUNS", str(smoke_store))
        return pages.build(scale="smoke", out=smoke_store.parent)


@pytest.fixture(scope="session")
def toy_template(tmp_path_factory) -> Path:
    """A small project, executed and rendered once; tests get copies of it."""
    root = toy.project(tmp_path_factory.mktemp("toy") / "project")
    with pytest.MonkeyPatch.context() as patch:
        _use(patch, root)
        pages.build(scale="smoke")
    return root


@pytest.fixture
def toy_project(toy_template, tmp_path, monkeypatch) -> Path:
    """A copy of the toy project, in use as *the* project (toy.page_of, toy.source_of; its records lie in results/)."""
    root = shutil.copytree(toy_template, tmp_path / "project")
    _use(monkeypatch, root)
    return root


def _use(patch: pytest.MonkeyPatch, root: Path) -> None:
    patch.setattr(config, "PROJECT", root)
    patch.setitem(__import__("sys").modules, "hkt_lite.evidence.show", toy.show)
    patch.setattr(hkt_lite.evidence, "show", toy.show, raising=False)
    patch.setenv("HKT_RESULTS", str(root / "results"))
    patch.setenv("HKT_RUNS", str(root / "runs"))
    patch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS") or "1")


@pytest.fixture(autouse=True, scope="session")
def few_embedded_images():
    """Validation and test splits of hundreds instead of thousands of embedded images, for tests in this process."""
    from hkt_lite.benchmarks.cifar10 import task as cifar10

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cifar10, "SIZES", {"val": 200, "test": 300})
        yield
