"""Downloads of Moodle and Canvas become files that the inbox understands; nothing is lost in silence."""

import zipfile
from pathlib import Path

import pytest

from hkt_course import collect as site
from hkt_course.classroom import FILE, Class
from hkt_lite.config import HKTError
from hkt_lite.files import write_json
from tests.course.class_python import hkt

RELEASED = ["a1_attention", "a2_extraction_transfer"]
MOODLE = {
    "Ada Lovelace_4711_assignsubmission_file/a1_attention.ipynb": "ada-4711",
    "José Ñandú O'Neil_12_assignsubmission_file_/a1_attention (2).ipynb": "jose",
    "Ada Lovelace_815_assignsubmission_file_a2_extraction_transfer.ipynb": "ada-815",
    "__MACOSX/Ada Lovelace_4711_assignsubmission_file/._a1_attention.ipynb": "no notebook",
    "Ada Lovelace_4711_assignsubmission_file/notes.txt": "no notebook",
}
CANVAS = {
    "lovelaceada_4711_90210_a1_attention-1.ipynb": "ada",
    "hoppergrace_LATE_17_90211_a1_attention.ipynb": "grace",
}


def zipped(folder: Path, files: dict[str, str], packing: int = 0) -> Path:
    name = "download.zip"
    with zipfile.ZipFile(folder / name, "w", packing) as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return folder / name


def names(found) -> list[tuple[str, str, bool, bytes]]:
    return sorted(map(tuple, found))


def test_moodles_folders_and_long_names(tmp_path):
    found, left = site.hand_ins(zipped(tmp_path, MOODLE), RELEASED)
    assert not left and names(found) == [
        ("Ada.Lovelace-4711", "a1_attention", False, b"ada-4711"),
        ("Ada.Lovelace-815", "a2_extraction_transfer", False, b"ada-815"),
        ("José.Ñandú.O.Neil-12", "a1_attention", False, b"jose"),
    ]


def test_canvas_names_late_ones_and_second_tries(tmp_path):
    found, left = site.hand_ins(zipped(tmp_path, CANVAS), RELEASED)
    assert not left and names(found) == [
        ("hoppergrace-17", "a1_attention", True, b"grace"),
        ("lovelaceada-4711", "a1_attention", False, b"ada"),
    ]


def test_an_unpacked_download_is_read_too(tmp_path):
    with zipfile.ZipFile(zipped(tmp_path, MOODLE)) as archive:
        archive.extractall(tmp_path / "unpacked")
    again = site.hand_ins(tmp_path / "unpacked", RELEASED)
    assert names(again[0]) == names(site.hand_ins(tmp_path / "download.zip", RELEASED)[0])


def test_every_name_is_one_that_the_inbox_accepts(tmp_path):
    write_json(tmp_path / "course.json", {"variant": 1, "assignments": RELEASED})
    found, _ = site.hand_ins(zipped(tmp_path, MOODLE | CANVAS), RELEASED)
    assert not any(site.collect(tmp_path, one) for one in found)
    unread: list[str] = []
    read = [(student, name) for student, name, _ in Class(tmp_path).hand_ins(unread)]
    assert not unread and sorted(read) == sorted(one[:2] for one in found) and len(read) == 5
    for path in (tmp_path / "inbox").iterdir():
        assert FILE.fullmatch(path.name)


def test_what_is_left_out_is_named(tmp_path):
    files = {
        "homework.ipynb": "{}",
        "lovelaceada_4711_90210_homework.ipynb": "{}",
        "hoppergrace_17_1_a1_attention.ipynb": "first",
        "hoppergrace_17_2_a1_attention.ipynb": "second",
        "curiemarie_18_3_a1_attention.ipynb": "{}",
    }
    download = zipped(tmp_path, files)
    found, left = site.hand_ins(download, RELEASED)
    assert [one.student for one in found] == ["curiemarie-18"]
    assert left == [
        "homework.ipynb was left out: no name as Moodle or Canvas gives it.",
        "lovelaceada_4711_90210_homework.ipynb was left out: name its assignment with --assignment.",
        "hoppergrace-17 has 2 notebooks for a1_attention; leave one of them.",
    ]
    found, _ = site.hand_ins(download, RELEASED, "a1_attention")
    assert [one.student for one in found] == ["lovelaceada-4711", "curiemarie-18"]


def test_a_notebook_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(site, "MOST", 3)
    found, left = site.hand_ins(zipped(tmp_path, {"ab_1_2_a1_attention.ipynb": "1234"}), RELEASED)
    assert not found and left == [
        "ab_1_2_a1_attention.ipynb was left out: 4 bytes, and 3 are allowed."
    ]


@pytest.mark.parametrize("spoil", ["missing", "text", "cut", "crc", "packed"])
def test_a_download_that_cannot_be_read_is_one_sentence(spoil, tmp_path):
    path = zipped(tmp_path, CANVAS, packing=8 if spoil == "packed" else 0)
    data = path.read_bytes()
    if spoil == "missing":
        path.unlink()
    else:
        spoilt = {"text": b"no zip", "cut": data[:-30], "crc": data.replace(b"grace", b"graze", 1)}
        first = 30 + len(next(iter(CANVAS)))  # where what is packed begins, behind its header
        spoilt["packed"] = data[:first] + b"\xff" + data[first + 1 :]
        path.write_bytes(spoilt[spoil])
    with pytest.raises(HKTError, match="download.zip' is no zip or folder that can be read: ."):
        site.hand_ins(path, RELEASED)
    with pytest.raises(HKTError, match="'a9' was not released in this class; it has a1_att"):
        site.hand_ins(path, RELEASED, "a9")


def test_the_command_says_what_it_did(tmp_path):
    write_json(tmp_path / "course.json", {"variant": 1, "assignments": RELEASED})
    download = zipped(tmp_path, CANVAS)
    done = hkt("course", "collect", tmp_path, download)
    assert done.returncode == 0 and done.stdout.splitlines() == [
        "lovelaceada-4711, a1_attention",
        "hoppergrace-17, a1_attention, late",
        "2 hand-ins collected, 0 left out.",
    ], done.stdout + done.stderr
    zipped(tmp_path, {**CANVAS, "x.ipynb": "{}", next(iter(CANVAS)): "better"})
    done = hkt("course", "collect", tmp_path, download)
    assert done.returncode == 1 and "in place of an earlier one" in done.stdout.splitlines()[0]
    assert (tmp_path / "inbox" / "lovelaceada-4711__a1_attention.ipynb").read_text() == "better"
    done = hkt("course", "collect", tmp_path / "inbox", download)
    assert done.returncode == 2 and "is no class yet" in done.stderr
