"""Records: whole or not at all, checked when read, and silent alterations named."""

import errno
import json
import os
import shutil

import pytest

from hkt_lite import files
from hkt_lite.config import HKTError, canonical
from hkt_lite.runs import records, store
from tests.helpers import recorded
from tests.toy import evaluation


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    yield from recorded("plain", tmp_path_factory)


@pytest.fixture
def published(record, tmp_path, monkeypatch):
    """The record published into an empty results folder."""
    monkeypatch.setenv("HKT_RESULTS", str(tmp_path / "results"))
    (path,) = store.publish([record.id])
    return path


def edit(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_a_published_record_comes_back_equal(record, published):
    assert store.published() == [record]
    assert store.find(record.id[:6]) == record
    assert store.manifest() == {published.name: files.sha256(published)}


def test_an_altered_number_is_named(published):
    edit(published, lambda value: value["selected"]["test"].update(accuracy=99.9))
    with pytest.raises(
        HKTError, match=f"{published.name} differs from its sha256 in MANIFEST.json"
    ):
        store.published()


def test_an_altered_manifest_is_named(published):
    edit(published.parent / "MANIFEST.json", lambda value: value.update({published.name: "0" * 64}))
    with pytest.raises(HKTError, match=published.name):
        store.published()


def test_a_missing_and_an_unlisted_record_are_named(published):
    content = published.read_text()
    (extra := published.with_name("run-000000000000.json")).write_text(content)
    with pytest.raises(HKTError, match="run-000000000000.json is not listed"):
        store.published()
    extra.unlink()
    published.unlink()
    with pytest.raises(HKTError, match=f"{published.name} is missing"):
        store.published()


def test_an_altered_configuration_no_longer_fits_its_name(published):
    edit(published, lambda value: value["config"].update(lr=0.5))
    with pytest.raises(HKTError, match="was altered"):
        records.load(published)


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda text: text[: len(text) // 2], "corrupt or truncated"),
        (lambda text: text.replace('"kind": "run"', '"kind": "walk"'), "kind is none of"),
        (lambda text: text.replace('"flops"', '"flop"'), "altered"),
        (lambda text: text.replace('"flops"', '"flop"').replace("checksum", "sum"), "'cost"),
        (lambda text: "[]", "kind is none of"),
    ],
)
def test_a_damaged_record_is_one_sentence(published, spoil, words):
    published.write_text(spoil(published.read_text()))
    with pytest.raises(HKTError) as error:
        records.load(published)
    assert (
        words in str(error.value)
        and str(published) in str(error.value)
        and "\n" not in str(error.value)
    )


def test_a_full_disk_keeps_the_old_file_and_leaves_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "kept.json"
    files.write_json(path, {"a": 1})

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(HKTError, match="No space left on device.*nothing was changed"):
        files.write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1} and [
        file.name for file in tmp_path.iterdir()
    ] == ["kept.json"]


def test_publishing_an_unknown_run_changes_nothing(record, published):
    before = published.parent.joinpath("MANIFEST.json").read_bytes()
    with pytest.raises(HKTError, match="'ffff'"):
        store.publish([record.id, "ffff"])
    assert published.parent.joinpath("MANIFEST.json").read_bytes() == before


def test_a_record_with_another_digit_is_noticed_and_one_without_a_checksum_is_read(
    record, published
):
    text = published.read_text()
    assert '"checksum": "' in text
    published.write_text(text.replace('"epoch": 2', '"epoch": 1', 1))
    with pytest.raises(HKTError, match="altered: it has not the checksum"):
        records.load(published)
    edit(published, lambda value: (value.pop("checksum"), value["last"].update(epoch=2)))
    assert records.load(published).last.epoch == 2


def test_a_checksum_of_the_values_as_older_records_have_it_counts_too(record, published):
    value = json.loads(files.json_bytes(record))
    old = {**value, "checksum": files.sha256_of(canonical(value).encode())}
    published.write_text(json.dumps(old))
    assert records.load(published) == record
    published.write_text(json.dumps({**old, "purpose": "tuning"}))
    with pytest.raises(HKTError, match="altered: it has not the checksum"):
        records.load(published)


def test_nothing_may_stand_behind_the_checksum_of_a_file(published):
    text = published.read_text()
    assert text.endswith('"\n}\n')
    published.write_text(text.removesuffix("\n}\n") + ',\n "purpose": "tuning"\n}\n')
    with pytest.raises(HKTError, match="altered: it has not the checksum"):
        records.load(published)


@pytest.fixture
def cluster(record, tmp_path, monkeypatch):
    """A copy of the store, as it lies on a cluster; the one at home is empty."""
    away = tmp_path / "cluster"
    shutil.copytree(store.Store.default().home, away)
    monkeypatch.setenv("HKT_RUNS", str(tmp_path / "home"))
    return away


def test_records_come_home_with_their_weights_and_only_once(record, cluster):
    store.Store(cluster).add(evaluation())
    assert store.collect(cluster) == ([record, evaluation()], [])
    home = store.Store.default()
    assert home.records() == [record, evaluation()] and home.altered(record) == []
    assert store.collect(cluster) == ([], [])
    assert {path.name for path in home.folder(record.id).iterdir()} == {
        "record.json", "child.safetensors", "last.safetensors", "method.safetensors"}  # fmt: skip


def test_what_is_damaged_stays_away_and_is_named(record, cluster):
    weights = cluster / record.id / "last.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    (cluster / "eval-0000.json").write_text("{")
    brought, flaws = store.collect(cluster)
    assert brought == [] and len(flaws) == 2
    assert str(weights) in flaws[0] and "eval-0000.json is corrupt" in flaws[1]
    assert store.Store.default().records() == []


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value["weights"].update({"../../evil.safetensors": "0" * 64}),
        lambda value: value.update(id="../evil"),
    ],
)
def test_a_record_cannot_name_a_file_outside_its_folder(record, cluster, change):
    edit(cluster / record.id / "record.json", lambda value: (value.pop("checksum"), change(value)))
    brought, (flaw,) = store.collect(cluster)
    assert brought == [] and "does not fit its schema" in flaw


def test_a_record_that_today_has_left_behind_gives_way_to_a_newer_one(record, cluster, monkeypatch):
    store.collect(cluster)
    old = record.model_copy(
        update={"provenance": record.provenance.model_copy(update={"golden": {}})}
    )
    home = store.Store.default()
    files.write_json(home.folder(record.id) / "record.json", old)
    assert store.collect(cluster) == ([record], []) and home.records() == [record]


def test_weights_that_are_not_the_records_are_no_parent(record, cluster):
    path = store.Store(cluster).weights(record.id)
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(HKTError, match="child.safetensors was altered since its record"):
        store.Store(cluster).weights(record.id)


def test_several_files_appear_together_or_not_at_all(tmp_path, monkeypatch):
    one, two = tmp_path / "one", tmp_path / "two"
    files.write_bytes(one, b"old")
    real, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(HKTError, match="two: No space left"):
        files.write_all({one: b"new", two: b"new"})
    assert one.read_bytes() == b"old" and [path.name for path in tmp_path.iterdir()] == ["one"]
