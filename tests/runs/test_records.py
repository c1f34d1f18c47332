"""Records: whole or not at all, checked when read, and silent alterations named."""

import errno
import json
import os

import pytest

from hkt_lite import files
from hkt_lite.config import HKTError
from hkt_lite.runs import records, store
from tests.helpers import recorded


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


def test_a_missing_record_is_named_and_an_unlisted_one_is_not_published(record, published):
    content = published.read_text()
    extra = published.with_name("run-000000000000.json")
    extra.write_text(content)
    assert store.published() == [record]
    assert [name for name, _ in store.manifest_flaws()] == [extra.name]
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
        (lambda text: text.replace('"kind": "run"', '"kind": "walk"'), "no kind"),
        (lambda text: text.replace('"flops"', '"flop"'), "'cost"),
        (lambda text: "[]", "no kind"),
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
