"""The measurement of LiTS at its size, at a small one: it is interrupted, goes on and ends."""

import pytest

from hkt_lite.runs.measure import peak_memory_mb
from tests.perf import lits_at_size


@pytest.mark.slow
def test_it_is_interrupted_and_goes_on():
    found = lits_at_size.measure(large=0, size=32, slices=6, examples=8)
    assert found["interrupted after"] == 1 and found["volumes"] == 131
    assert found["cache MB"] > 0 and {"build, s", "batches, s", "epoch, s"} <= set(found)
    peaks = [value for key, value in found.items() if key.endswith("peak MB")]
    assert all(0 < value < 2000 for value in peaks)
    assert len(peaks) == (0 if peak_memory_mb() is None else 3)
