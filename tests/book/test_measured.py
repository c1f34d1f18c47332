"""Times reach the page as text below their cell and no output that is compared."""

import pytest

from hkt_lite.book.execute import execute
from hkt_lite.book.notebook import read
from hkt_lite.book.validate import validate
from tests import toy

CLOCK = """import time
from hkt_lite.evidence.bundles import measured
measured(f"| took |\\n|---|\\n| {time.time_ns()} |")"""


@pytest.mark.slow
def test_a_time_is_text_of_the_page_and_another_one_is_no_fault(tmp_path):
    source = toy.write(tmp_path / "a.ipynb", "print('before')", CLOCK, "print('after')")
    made = execute(source, {}, tmp_path / "out" / "a.ipynb")
    page = read(made)
    place = [cell.id for cell in page.cells].index("cell-1")
    below = page.cells[place + 1]
    assert below.cell_type == "markdown" and below.source.startswith("| took |")
    assert len(page.metadata["hkt"]["cells"]) == len(page.cells)
    cell = page.cells[place]
    shown = [output["data"] for output in cell.outputs]
    assert "Another run takes other times" in shown[0]["text/markdown"]
    assert below.source.split()[-2] not in str(shown)
    assert list(validate([made])) == []
    assert [cell.id for cell in page.cells].count("cell-1-measured") == 1
