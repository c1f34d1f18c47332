"""The measurement of LiTS at its size, at a small one: it is interrupted, goes on and ends."""

import subprocess
import sys

import pytest

from hkt_lite.config import PROJECT
from tests.perf import lits_at_size


@pytest.mark.slow
def test_it_is_interrupted_and_goes_on():
    found = lits_at_size.measure(large=0, size=32, slices=6, examples=8)
    assert found["interrupted after"] == 1 and found["volumes"] == 131
    assert found["cache MB"] > 0 and {"build, s", "batches, s", "epoch, s"} <= set(found)
    peaks = [value for key, value in found.items() if key.endswith("peak MB")]
    assert all(0 < value < 2000 for value in peaks)
    assert len(peaks) == (3 if lits_at_size.resource else 0)


def test_it_can_be_imported_where_there_is_no_resource_module():
    code = "import sys; sys.modules['resource'] = None; import tests.perf.lits_at_size as module; assert module.resource is None"
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=True)
