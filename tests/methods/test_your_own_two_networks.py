"""The page 'Your own two networks' promises HKT in fifteen lines: they are run as printed."""

import re

import pytest
import torch

from hkt_lite.config import PROJECT

PAGE = PROJECT / "book" / "your_own_two_networks.md"


def example() -> str:
    if not PAGE.is_file():
        pytest.fail(
            f"{PAGE.relative_to(PROJECT)} is missing; it holds the example that this test runs."
        )
    block = r"^```(?:\{code(?:-block|-cell)?\} *)?python\n(?::[^\n]*\n)*(.*?)^```"  # options (":name: …") are skipped
    found = re.search(block, PAGE.read_text(encoding="utf-8"), re.S | re.M)
    assert found and "HKT(" in found[1], f"{PAGE.name} has no python code block that makes an HKT"
    return found[1]


def test_the_example_has_at_most_fifteen_lines():
    lines = [line for line in example().splitlines() if line.strip()]
    assert len(lines) <= 15, f"{len(lines)} lines"


def test_the_example_trains_the_child_and_leaves_the_parent(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    starts = {}
    setting = {"__name__": "example"}
    before = torch.optim.SGD.__init__

    def remember(self, *args, **kwargs):  # the state just before training
        starts.update(
            {
                name: [p.detach().clone() for p in setting[name].parameters()]
                for name in ("child", "parent")
            }
        )
        before(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.SGD, "__init__", remember)
    torch.manual_seed(0)
    exec(compile(example(), PAGE.name, "exec"), setting)
    assert starts, "the example makes no SGD optimizer"
    moved = {
        name: [not torch.equal(a, b) for a, b in zip(start, setting[name].parameters())]
        for name, start in starts.items()
    }
    assert all(moved["child"]) and not any(moved["parent"])
    terms = setting["hkt"](setting["batch"])
    assert all(torch.isfinite(term) for term in terms.values())
