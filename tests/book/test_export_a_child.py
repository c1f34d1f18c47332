"""The page 'Export a child': the command's words, and its blocks on a child that was exported."""

import shlex
from pathlib import Path

import pytest
import torch

from hkt_lite.runs.export import FORMATS, export, load_child
from tests.book.recipes import block
from tests.helpers import recorded

PAGE = "export_a_child"


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    yield from recorded("plain", tmp_path_factory)


def test_the_blocks_load_each_format(record, tmp_path, monkeypatch):
    words = shlex.split(block(PAGE, "export-command"))
    given = dict(zip(words[3::2], words[4::2]))
    assert words[:3] == ["hkt", "export", "RUN"] and set(given) == {"--out", "--formats"}
    formats = given["--formats"].split(",")
    assert set(formats) == set(FORMATS)
    export(record, tmp_path / given["--out"], formats)
    monkeypatch.chdir(tmp_path)
    setting: dict = {}
    code = "".join(block(PAGE, f"export-{name}") for name in FORMATS)
    exec(compile(code, PAGE, "exec"), setting)
    images = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        wanted = load_child(record)(images)
        assert torch.allclose(setting["child"](images), wanted, atol=1e-5)
        assert torch.allclose(setting["program"](images), wanted, atol=1e-4)


def test_the_table_names_every_ending():
    text = (Path(__file__).parents[2] / "book" / f"{PAGE}.md").read_text(encoding="utf-8")
    assert all(f"`….{ending}`" in text for ending in FORMATS.values())
