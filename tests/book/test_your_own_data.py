"""The page 'Your own data': its blocks are executed on a folder of images, its command on volumes."""

import shlex

import numpy as np
import pytest
import torch
from PIL import Image

from hkt_lite.benchmarks import get
from tests.book.recipes import block

PAGE = "your_own_data"


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Forty noisy images of each of two classes, bright on the left or on the right."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    for side, name in enumerate(("left", "right")):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for number in range(40):
            pixels = draw.integers(0, 120, (20, 24, 3))
            pixels[:, 12 * side : 12 * side + 12] += 100
            kind = ("png", "JPG")[number % 2]
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.{kind}")
    (tmp_path / "photos" / ".DS_Store").touch()  # what a file manager leaves


def test_the_blocks_read_train_and_compare(photos, capsys):
    code = "".join(block(PAGE, name) for name in ("own-read", "own-train", "own-compare"))
    assert code.count("EPOCHS = 20\n") == 1
    setting = {"__name__": "example"}
    exec(compile(code.replace("EPOCHS = 20", "EPOCHS = 4"), PAGE, "exec"), setting)
    assert setting["x"].shape == (80, 3, 32, 32) and setting["classes"] == ["left", "right"]
    parts = [setting[name] for name in ("fit", "val", "test")]
    assert [len(part) for part in parts] == [48, 16, 16]
    assert sorted(torch.cat(parts).tolist()) == list(range(80))
    assert {name: len(found) for name, found in setting["scores"].items()} == {"plain": 3, "HKT": 3}
    assert set(setting["terms"]((setting["x"], setting["y"]))) == {"L_c", "L_c*", "L_p*"}
    gain, scores = setting["gain"], setting["scores"]
    wanted = np.mean(np.subtract(scores["HKT"], scores["plain"]))
    assert gain.mean == pytest.approx(wanted, abs=1e-9) and gain.n == 3
    assert "HKT minus plain" in capsys.readouterr().out


def test_both_children_start_alike_and_see_the_same_batches(photos):
    """What makes the comparison paired: a plain child in HKT's place gets the plain child's score."""
    code = "".join(block(PAGE, name) for name in ("own-read", "own-train", "own-compare"))
    code = code.replace("EPOCHS = 20", "EPOCHS = 2").replace('if name == "HKT":', "if False:")
    setting = {"__name__": "example"}
    exec(compile(code, PAGE, "exec"), setting)
    assert setting["scores"]["HKT"] == setting["scores"]["plain"]


def test_the_protocol_of_the_command_takes_every_volume():
    words = shlex.split(block(PAGE, "own-volumes"))
    assert get("lits").protocols[words[words.index("--protocol") + 1]]["split"] == "all"
