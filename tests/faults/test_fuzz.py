"""Configurations and command lines out of a hat; ten thousand with `-m long`."""

import pytest

from hkt_lite.benchmarks import scales
from tests.faults.fuzz import Fuzz


def test_no_traceback_and_no_wrong_acceptance(tmp_path):
    found = Fuzz(300, 0, tmp_path).all()
    assert found["tracebacks"] == found["wrong"] == 0, found["what"]
    assert found["tried"] == 300 and min(found["accepted"], found["refused with a sentence"]) > 30


def test_a_check_that_is_left_out_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(scales, "_check", lambda config, task: None)
    assert Fuzz(200, 0, tmp_path).all()["wrong"]


@pytest.mark.long
def test_ten_thousand(tmp_path, request):
    if "long" not in request.config.getoption("-m"):
        pytest.skip("takes minutes; `pytest -m long` asks for it")
    found = Fuzz(10_000, 1, tmp_path).all()
    print(found)
    assert found["tracebacks"] == found["wrong"] == 0, found["what"]
