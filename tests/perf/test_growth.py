"""The measurement of growth, at toy sizes: every series, every size."""

import json

import pytest

from tests.perf import growth, tables


@pytest.mark.slow
def test_growth_is_measured_at_every_size():
    found = json.loads(json.dumps(growth.measure(growth.SMALL)))
    assert len(found["series"]) == 7
    for one in found["series"]:
        assert len(one["sizes"]) == len(one["seconds"]) == len(one["mib"]) > 1
        assert all(seconds > 0 for seconds in one["seconds"])
    assert tables.growth(found).count("\n| ") == len(found["series"])
    views = found["series"][1]["mib"]
    assert views[1] == 2 * views[0]
