"""The blocks of a recipe page, which its test carries out as they are printed."""

import re

from hkt_lite.config import PROJECT


def block(page: str, name: str) -> str:
    """The code block `:name: NAME` of book/PAGE.md."""
    text = (PROJECT / "book" / f"{page}.md").read_text(encoding="utf-8")
    found = re.search(rf"^```\{{code-block\}} \w+\n:name: {name}\n(.*?)^```", text, re.S | re.M)
    assert found, f"book/{page}.md has no block {name!r}"
    return found[1]
