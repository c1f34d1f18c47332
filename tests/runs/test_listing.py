"""`hkt runs list` from an index: never older than the records, never needed."""

import os

import pytest

from hkt_lite import files
from hkt_lite.config import HKTError
from hkt_lite.runs import records
from hkt_lite.runs import store as stores
from hkt_lite.runs.store import Store
from tests.toy import evaluation


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Three records that were written long ago, and one after which the index was made."""
    monkeypatch.setattr(stores, "FEWEST", 1)
    monkeypatch.setattr(files, "settled", lambda state: True)
    store = Store(tmp_path)
    for number in range(3):
        store.add(evaluation(f"toy{number}"))
    lines(store)
    return store


def lines(store) -> list[str]:
    return store.lines(lambda record: f"{record.id} {record.metrics['accuracy']}")


def refuse(path):
    raise AssertionError(f"{path} was read")


def test_nothing_is_read_again_while_nothing_changes(store, monkeypatch):
    before = lines(store)
    monkeypatch.setattr(stores, "load", refuse)
    assert lines(store) == before and len(before) == 3


def test_an_index_is_made_wherever_the_store_is_said_to_lie(store):
    (store.home / "below").mkdir()
    other = Store(store.home / "below" / "..")
    (other.home / stores.INDEX).unlink()
    lines(other)
    assert (store.home / stores.INDEX).is_file()


def test_an_altered_record_is_noticed_though_its_size_and_time_are_set_back(store):
    path = store.paths()[1]
    was = path.stat()
    path.write_text(path.read_text().replace("91.5", "19.5"))
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert path.stat().st_size == was.st_size and path.stat().st_mtime_ns == was.st_mtime_ns
    with pytest.raises(HKTError, match="altered"):
        lines(store)


def test_records_come_and_go(store):
    store.paths()[0].unlink()
    store.add(evaluation("new", 50.0))
    assert [line.split()[1] for line in lines(store)] == ["50.0", "91.5", "91.5"]


@pytest.mark.parametrize("text", ["", "[]", '{"source": 1}', '{"source": "x", "records": {}}'])
def test_an_index_of_other_code_or_none_at_all_is_made_anew(store, text):
    before, index = lines(store), store.home / stores.INDEX
    index.write_text(text)
    assert lines(store) == before and "toy1" in index.read_text()


def test_a_file_that_has_just_changed_is_not_remembered(tmp_path):
    store = Store(tmp_path)
    path = store.add(evaluation("toy"))
    assert not files.settled(files.state_of(path))
    reads = []
    remembered = files.by_state(lambda path: reads.append(path))
    remembered(path), remembered(path)
    assert len(reads) == 2


def test_a_record_is_parsed_once_until_it_changes(store, monkeypatch):
    path = store.paths()[0]
    assert records.load(path) is records.load(path)
    path.write_text(path.read_text().replace("91.5", "19.5"))
    with pytest.raises(HKTError, match="altered"):
        records.load(path)
