"""The tables of what was measured: what they say, and that texts show what the files say."""

import json

import pytest

from hkt_lite.config import PROJECT, HKTError
from tests.perf import tables

FOUND = {
    "made": {"date": "2026-01-02", "machine": "m", "python": "3", "torch": "2", "load": 0.5},
    "series": [
        {
            "what": "things",
            "unit": "thing",
            "sizes": [1, 10],
            "seconds": [1.0, 4.0],
            "mib": [1, 2],
        }
    ],
    "benches": [{"name": "step, toy", "ratios": {"a / b": [2.0, 1.5, 2.5]}}],
}


def test_a_table_says_ratios_and_where_they_come_from():
    text = tables.growth(FOUND)
    assert "| things | 1, 10 | × 4 | 1 to 2 MiB |" in text and "2026-01-02" in text
    assert "| step, toy | a / b | 2.00 | 1.50 | 2.50 |" in tables.speed(FOUND)


def test_arithmetic_is_what_it_shows():
    text = tables.arithmetic(seconds=3600, parameters=1_000_000)
    assert "1,000 × 3,600 seconds | 1,000 hours of one core" in text
    assert "1,000 hours × 0.05 dollars | 50 dollars" in text
    operations = 1_281_167 * 90 * (3 * 8.2e9 + 23.1e9)
    assert f"| {operations / (0.3 * 989e12) / 3600:.1f} hours of one GPU" in text


@pytest.mark.parametrize("text", sorted(tables.TEXTS))
def test_texts_show_what_was_measured(text):
    shown = (PROJECT / text).read_text(encoding="utf-8")
    for name in tables.TEXTS[text]:
        assert tables.table(name) in shown, "run `python -m tests.perf.tables`"


def test_tables_are_renewed_from_the_files(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "FOLDER", tmp_path)
    (tmp_path / "book").mkdir()
    for text in tables.TEXTS:
        (tmp_path / text).write_bytes((PROJECT / text).read_bytes())
    for name in ("speed", "growth"):
        (tmp_path / f"{name}.json").write_text(json.dumps(FOUND))
    tables.renew(tmp_path)
    assert "| things | 1, 10 |" in (tmp_path / "book" / "what_grows.md").read_text()
    assert "| step, toy |" in (tmp_path / "README.md").read_text()
    (tmp_path / "growth.json").write_text("{}")
    with pytest.raises(HKTError, match="no measurement"):
        tables.renew(tmp_path)
