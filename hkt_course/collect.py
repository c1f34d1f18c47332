"""Hand-ins as Moodle and Canvas give them out, into the inbox.   hkt course collect CLASS FILE.zip

Moodle    Ada Lovelace_4711_assignsubmission_file/a1_attention.ipynb, or all of it in one name
Canvas    lovelaceada_LATE_4711_90210_a1_attention-1.ipynb

Each becomes inbox/Ada.Lovelace-4711__a1_attention.ipynb: the number is what the site knows the
student by, so that two of one name stay two, and points find their way back.
"""

import re
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from hkt_lite.config import HKTError
from hkt_lite.files import write_bytes

MOODLE = re.compile(r"(?P<who>[^/_]+)_(?P<id>\d+)_assignsubmission_file_?/?(?P<file>[^/]+)")
CANVAS = re.compile(r"(?P<who>[^/_]+?)(?P<late>_LATE)?_(?P<id>\d+)_\d+_(?P<file>[^/]+)")
MOST = 50_000_000  # bytes of a notebook; one with figures has a few hundred thousand


class HandIn(NamedTuple):
    student: str
    assignment: str
    late: bool
    data: bytes


def hand_ins(
    download: Path, released: list[str], assignment: str | None = None
) -> tuple[list[HandIn], list[str]]:
    """(one for each student and assignment, a sentence for each notebook that was left out).

    `download` is the zip of the site or a folder in which it was unpacked; `assignment` is what
    notebooks of any name are, else a file is what its name says.  Raises HKTError for a download
    that cannot be read and for an assignment that was not released.
    """
    if assignment and assignment not in released:
        has = ", ".join(released)
        raise HKTError(f"{assignment!r} was not released in this class; it has {has}.")
    found: dict[tuple[str, str], list[HandIn]] = {}
    left = []
    for name, size, data in _notebooks(Path(download)):
        one = MOODLE.search(name) or CANVAS.search(name)
        which = [assignment] if assignment else [x for x in released if one and x in one["file"]]
        if one is None:
            left.append(f"{name} was left out: no name as Moodle or Canvas gives it.")
        elif len(which) != 1:
            left.append(f"{name} was left out: name its assignment with --assignment.")
        elif size > MOST:
            left.append(f"{name} was left out: {size:,} bytes, and {MOST:,} are allowed.")
        else:
            late = bool(one.groupdict().get("late"))
            hand_in = HandIn(_student(one["who"], one["id"]), which[0], late, data)
            found.setdefault(hand_in[:2], []).append(hand_in)
    for (student, name), several in found.items():
        if len(several) > 1:
            left.append(f"{student} has {len(several)} notebooks for {name}; leave one of them.")
    return [several[0] for several in found.values() if len(several) == 1], left


def collect(root: Path, hand_in: HandIn) -> bool:
    """Put it into the inbox of the class at `root`; whether another file was there before."""
    path = root / "inbox" / f"{hand_in.student}__{hand_in.assignment}.ipynb"
    replaced = path.exists() and path.read_bytes() != hand_in.data
    path.parent.mkdir(exist_ok=True)
    write_bytes(path, hand_in.data)
    return replaced


def _student(who: str, number: str) -> str:
    """A name that the inbox accepts: letters and digits of any script, dots for the rest."""
    name = re.sub(r"[^\w]+", ".", unicodedata.normalize("NFC", who)).strip(".")
    return f"{name or 'student'}-{number}"


def _notebooks(download: Path) -> Iterator[tuple[str, int, bytes]]:
    """(path, size, bytes where it is not too large) of the notebooks in a zip or folder."""
    try:
        if download.is_dir():
            for path in sorted(download.rglob("*")):
                name, size = path.relative_to(download).as_posix(), path.stat().st_size
                if path.is_file() and _counts(name):
                    yield name, size, path.read_bytes() if size <= MOST else b""
            return
        with zipfile.ZipFile(download) as archive:
            for entry in archive.infolist():
                if _counts(entry.filename):
                    size = entry.file_size
                    yield entry.filename, size, archive.read(entry) if size <= MOST else b""
    # RuntimeError: encrypted, or packed in a way that Python does not know
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError) as problem:
        said = "is no zip or folder that can be read"
        raise HKTError(f"{str(download)!r} {said}: {problem}.") from problem


def _counts(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return path.suffix.lower() == ".ipynb" and not hidden
