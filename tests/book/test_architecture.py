"""The picture of the house has the floors that the imports are held to, and what it promises is there."""

import re
import tomllib
from xml.etree import ElementTree

import pytest

from hkt_lite.config import PROJECT

PAGE = (PROJECT / "book" / "architecture.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_picture_has_the_floors_of_the_contract(theme):
    path = PROJECT / "book" / "_static" / "diagrams" / f"house-{theme}.svg"
    bold = [one.text for one in ElementTree.parse(path).iter() if one.get("font-weight") == "700"]
    tools = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    layers = tools["importlinter"]["contracts"][0]["layers"][1:]  # without __main__
    layers.insert(1, "hkt_course")  # a package of its own, see the second contract
    shown = [set(re.findall(r"\w+(?=\.py|/)", name)) for name in bold]
    assert shown == [set(layer.split(" : ")) for layer in layers]


def test_every_place_that_it_names_exists():
    for place in re.findall(r"`((?:hkt_lite|hkt_course|data|notebooks|book)/[\w/.]*)`", PAGE):
        assert (PROJECT / place).exists(), place
