"""What leaves for other programs says what the records say; the README's verdicts are today's."""

import csv
import io
import json

import pytest

from hkt_lite.config import PROJECT, HKTError
from hkt_lite.evidence import release
from hkt_lite.evidence.literature import read_claims
from hkt_lite.evidence.verdicts import judge
from hkt_lite.runs.store import published

README = PROJECT / "README.md"


@pytest.fixture(scope="module")
def records():
    return published()


@pytest.fixture(scope="module")
def judged(records):
    return release.claims(records)


def test_the_table_has_a_row_for_each_record_and_its_numbers_to_the_last_bit(records, tmp_path):
    release.export(records, tmp_path / "results.csv")
    text = (tmp_path / "results.csv").read_text(encoding="utf-8")
    table = {row["id"]: row for row in csv.DictReader(io.StringIO(text))}
    assert len(table) == len(records)
    for record in records:
        row = table[record.id]
        assert row["kind"] == record.kind and row["provenance.data"] == record.provenance.data
        if record.kind == "run":
            assert float(row["config.lr"]) == record.config.lr
            for state in ("selected", "last"):
                for name, value in getattr(record, state).test.items():
                    assert float(row[f"{state}.test.{name}"]) == pytest.approx(
                        float(value), abs=0, rel=0, nan_ok=True
                    )
        if record.kind == "eval":
            assert all(float(row[f"metrics.{name}"]) == v for name, v in record.metrics.items())
    assert not [name for name in next(iter(table.values())) if name.endswith(".right")]


def test_json_says_the_same_as_csv(records, tmp_path):
    few = records[::10]
    release.export(few, tmp_path / "results.json")
    rows = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    table = list(csv.DictReader(io.StringIO(release.as_csv(few))))
    for row, line in zip(rows, table, strict=True):
        for name, value in row.items():
            if isinstance(value, float):
                assert float(line[name]) == value
            elif isinstance(value, list):
                assert json.loads(line[name]) == value
            else:
                assert line[name] == ("" if value is None else str(value))


def test_another_ending_is_refused_before_anything_is_written(records, tmp_path):
    with pytest.raises(HKTError, match=r"\.csv or \.json"):
        release.export(records, tmp_path / "results.xlsx")
    assert not list(tmp_path.iterdir())


def test_the_verdicts_are_those_of_the_rules(records, judged):
    wanted = {claim.id: judge(claim, records).verdict for claim in read_claims()}
    assert {one["id"]: one["verdict"] for one in judged} == wanted
    known = {record.id for record in records}
    assert all(set(one["records"]) <= known for one in judged)
    assert json.loads(json.dumps(judged, allow_nan=False)) is not None


def test_the_readme_has_todays_verdicts(judged):
    text = README.read_text(encoding="utf-8")
    assert release.as_markdown(judged) in text, "run `hkt claims --write README.md`"


def test_renewing_puts_todays_verdicts_between_the_marks_and_leaves_the_rest(judged, tmp_path):
    path = tmp_path / "README.md"
    path.write_text(f"# Head\n{release.BEGIN}\nold\n{release.END}\ntail\n", encoding="utf-8")
    table = release.as_markdown(judged)
    release.between(path, table, "the verdicts")
    renewed = path.read_text(encoding="utf-8")
    assert renewed == f"# Head\n{table}\ntail\n"
    release.between(path, table, "the verdicts")
    assert path.read_text(encoding="utf-8") == renewed
    for text in ("no marks", f"{release.BEGIN} only"):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(HKTError, match="has no place for the verdicts"):
            release.between(path, table, "the verdicts")
        assert path.read_text(encoding="utf-8") == text
