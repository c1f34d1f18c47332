"""Submission files: the right names and contents, warm start, nothing half-written."""

import shutil

import pytest
import torch

from hkt_lite.benchmarks.flow import data as flow
from hkt_lite.benchmarks.flow import files as flow_files
from hkt_lite.benchmarks.flow.network import raft
from hkt_lite.benchmarks.flow.submission import flows, refine, write
from hkt_lite.config import HKTError
from tests import writers


@pytest.fixture(scope="module")
def child():
    torch.manual_seed(0)
    return raft("raft_tiny").eval()


@pytest.fixture(scope="module")
def layouts(tmp_path_factory):
    """The embedded scenes as test parts."""
    root = tmp_path_factory.mktemp("data")
    for folder, name in (
        (writers.write_sintel(root, scenes=2, frames=4, size=(66, 74)), "test"),
        (writers.write_kitti(root, count=2, size=(66, 74)), "testing"),
    ):
        shutil.copytree(
            folder / "training",
            folder / name,
            ignore=shutil.ignore_patterns("flow*", "occlusions", "invalid"),
        )
    return root


@pytest.fixture
def data(layouts, monkeypatch):
    monkeypatch.setenv("HKT_DATA", str(layouts))
    return layouts


@pytest.mark.parametrize("name", ["raft_tiny", "raft_base"])
def test_from_zero_it_is_torchvisions_loop(name):
    torch.manual_seed(1)
    net, x = raft(name).eval(), torch.rand(2, 2, 3, 64, 72) * 2 - 1
    with torch.no_grad():
        wanted = net(x[0], x[1], num_flow_updates=3)[-1]
    full, low = refine(net, x[0], x[1], 3)
    torch.testing.assert_close(full, wanted)
    assert low.shape == (2, 2, 8, 9)
    other, _ = refine(net, x[0], x[1], 3, torch.full_like(low, 2.0))
    assert (other - wanted).abs().max() > 0.1


def test_sintel_files_have_its_names_and_the_childs_flow(child, data, tmp_path):
    assert write(child, "raft_tiny", "sintel-final", tmp_path / "out") == 6
    written = sorted(
        path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.flo")
    )
    assert written == [
        f"final/moving_{scene}/frame_{frame:04d}.flo" for scene in (1, 2) for frame in (1, 2, 3)
    ]
    pairs = flow.pairs(data, "sintel-final", part="test")
    for pair, found in flows(child, "raft_tiny", pairs[:2], 32, "sintel"):
        assert torch.equal(
            flow_files.read_flo(tmp_path / "out" / "final" / f"{pair.name}.flo"), found
        )
        assert found.shape == (2, 66, 74)


def test_kitti_files_are_dense_16_bit_pictures(child, data, tmp_path):
    assert write(child, "raft_tiny", "kitti2015", tmp_path / "out") == 2
    found, valid = flow_files.read_kitti(tmp_path / "out" / "flow" / "900000_10.png")
    assert valid.all() and found.shape == (2, 66, 74)


def test_warm_start_goes_on_inside_a_scene_and_not_into_the_next(child, data):
    pairs = flow.pairs(data, "sintel-clean", part="test")
    cold, warm = (
        [found for _, found in flows(child, "raft_tiny", pairs, 4, "sintel", warm=flag)]
        for flag in (False, True)
    )
    same = [torch.equal(a, b) for a, b in zip(cold, warm)]
    assert same == [True, False, False, True, False, False]


@pytest.mark.parametrize(
    "corpus, warm, words",
    [
        ("sintel", False, "no server for flows of 'sintel'.*'sintel-"),
        ("kitti2015", True, "no flow to start from"),
        ("chairs", False, "no server"),
    ],
)
def test_refusals(child, data, tmp_path, corpus, warm, words):
    with pytest.raises(HKTError, match=words):
        write(child, "raft_tiny", corpus, tmp_path / "out", warm)
    assert not list(tmp_path.iterdir())


def test_nothing_half_written_stays_and_nothing_is_overwritten(child, data, tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    with pytest.raises(HKTError, match="there already"):
        write(child, "raft_tiny", "sintel-clean", tmp_path / "there")
    with pytest.raises(HKTError, match="no folder"):
        monkeypatch.setenv("HKT_DATA", str(tmp_path))
        write(child, "raft_tiny", "sintel-clean", tmp_path / "out")
    monkeypatch.setenv("HKT_DATA", str(data))

    def full(path, value):
        raise HKTError(f"Could not write {path}: no space left.")

    monkeypatch.setattr(flow_files, "write_flo", full)
    with pytest.raises(HKTError, match="no space left"):
        write(child, "raft_tiny", "sintel-clean", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
