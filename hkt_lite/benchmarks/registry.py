"""Data sets and checkpoints: address, checksum, licence.   hkt data status|fetch|verify

A download goes to a temporary folder beside its destination, is checked there, and only then
renamed: what lies in its place is whole.  The entries are in data/registry.yaml.
"""

import errno
import gzip
import hashlib
import os
import sys
import tarfile
import tempfile
import zlib
from functools import cache
from pathlib import Path
from typing import IO

import yaml
from pydantic import BaseModel, ValidationError

from ..config import PROJECT, HKTError, data_home, nearest

REGISTRY = PROJECT / "data" / "registry.yaml"
LARGEST = 2 * 2**30  # bytes of a download whose size is not known
SWELLING, ROOM = 4, 2**20  # an archive may grow so many times, and by so many bytes, unpacked
MEMBERS = 10_000  # of an archive


class Entry(BaseModel, frozen=True, extra="forbid"):
    """A data set (an archive of `files` under the folder `path`) or a checkpoint (file `path`)."""

    id: str
    path: str
    urls: list[str]
    licence: str
    citation: str
    home: str
    gated: bool
    hash: str | None = None  # algorithm:digits, possibly only the first; None: brought by hand
    archive: str | None = None
    files: dict[str, str] = {}
    bytes: int | None = None
    note: str | None = None

    @property
    def place(self) -> Path:
        return data_home() / self.path

    @property
    def download(self) -> Path:
        """Where the file lies that an address serves."""
        return data_home() / (self.archive or self.path)

    @property
    def parts(self) -> dict[Path, str]:
        """Every file that must be there, with its checksum; none where no checksum is known."""
        if self.files:
            return {self.place / name: digest for name, digest in self.files.items()}
        return {self.place: self.hash} if self.hash else {}

    @property
    def present(self) -> bool:
        return all(path.is_file() for path in self.parts) if self.parts else self.place.exists()

    @property
    def whole(self) -> bool:
        return all(judge(path, digest) == "ok" for path, digest in self.parts.items())


@cache
def entries() -> dict[str, Entry]:
    """The registry by id.  Raises HKTError naming the file and the entry that is wrong."""
    try:
        found = [Entry(**fields) for fields in yaml.safe_load(REGISTRY.read_text(encoding="utf-8"))]
    except (OSError, yaml.YAMLError, TypeError, ValidationError) as error:
        what = " ".join(str(error).split())[:160]
        raise HKTError(
            f"The data registry {REGISTRY} cannot be read ({what}); restore it from version "
            "control."
        ) from None
    return {one.id: one for one in found}


def entry(name: str) -> Entry:
    """The entry of that name; HKTError with the nearest if there is none."""
    known = entries()
    if name not in known:
        raise HKTError(f"The data registry has no entry {name!r}.{nearest(name, known)}")
    return known[name]


def judge(path: Path, expected: str) -> str:
    """'ok', 'missing', 'unreadable' or 'wrong checksum' of one file."""
    algorithm, digits = expected.split(":")
    try:
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, algorithm).hexdigest()
    except FileNotFoundError:
        return "missing"
    except OSError:
        return "unreadable"
    return "ok" if found.startswith(digits) else "wrong checksum"


def status() -> list[dict]:
    """One row an entry; `verified` is None if it is absent or has no checksum, `size` in bytes."""
    return [
        {
            "name": one.id,
            "present": one.present,
            "verified": one.whole if one.present and one.parts else None,
            "size": one.bytes,
            "gated": one.gated,
            "licence": one.licence,
            "path": str(one.place),
        }
        for one in entries().values()
    ]


def verify(name: str) -> dict[str, str]:
    """{file: what `judge` says} of an entry, both of its archive and of what was extracted.

    Raises HKTError if neither is here or no checksum is known.
    """
    one, files = entry(name), {}
    if one.archive and one.download.is_file():
        files[one.download] = one.hash
    if one.place.exists():
        files |= one.parts
    if not files:
        why = f"{name} does not lie at {one.place}; run `hkt data fetch {name}`."
        if not one.parts:
            why = f"no checksum of {name} is known; its reader checks each file before training."
        raise HKTError(f"There is nothing to verify: {why}")
    return {str(path): judge(path, digest) for path, digest in files.items()}


def fetch(name: str, progress: bool = False) -> Path:
    """Bring an entry under the data folder, unless it is there and intact; its path.

    Raises HKTError for what cannot be fetched, checked or written; nothing half-written stays.
    """
    one = entry(name)
    if one.present and one.whole:  # also where no checksum is known
        return one.place
    by_hand = bool(one.archive) and judge(one.download, one.hash) == "ok"  # put there by the user
    if not by_hand and (one.gated or not one.urls or not one.parts):
        why = one.note or "its owners ask for a registration"
        raise HKTError(
            f"{name} cannot be fetched by a program ({why}); get it from {one.home} and put it at "
            f"{one.download}."
        )
    try:
        one.place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=".fetch-", dir=one.place.parent, ignore_cleanup_errors=True
        ) as folder:
            ready = one.download if by_hand else _download(one, Path(folder), progress)
            if one.archive:
                ready = _extract(one, ready, Path(folder))
            if one.place.is_dir():
                os.rename(one.place, Path(folder) / "damaged")  # goes with the temporary folder
            os.replace(ready, one.place)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            need = f" ({one.bytes / 1e6:.0f} MB to download)" if one.bytes else ""
            raise HKTError(
                f"The disk of {data_home()} is full while fetching {name}{need}; free some space "
                "or set HKT_DATA to another disk."
            ) from None
        raise HKTError(
            f"{name} cannot be written under {data_home()} ({error.strerror or error}); set "
            "HKT_DATA to a folder that can."
        ) from None
    return one.place


class _TooLarge(Exception):
    """A server sends more than the file has."""


class _Bounded:
    """A file that takes no more than `most` bytes."""

    def __init__(self, file: IO[bytes], most: int):
        self.file, self.left = file, most

    def write(self, data: bytes) -> int:
        self.left -= len(data)
        if self.left < 0:
            raise _TooLarge
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()


def _download(one: Entry, folder: Path, progress: bool) -> Path:
    """The checked file, from the first address that serves it whole."""
    import pooch
    from requests.exceptions import ChunkedEncodingError, HTTPError, RequestException

    load = pooch.HTTPDownloader(
        progressbar=progress and sys.stderr.isatty(), chunk_size=1 << 16, timeout=(10, 60)
    )
    path, most, reasons = folder / one.download.name, one.bytes or LARGEST, []
    for url in one.urls:
        try:
            with open(path, "wb") as file:
                load(url, _Bounded(file, most), None)
        except HTTPError as error:
            reasons.append(f"{url} answers {error.response.status_code} {error.response.reason}")
        except ChunkedEncodingError:
            reasons.append(f"the download of {url} broke off")
        except RequestException:
            reasons.append(f"{url} cannot be reached")
        except _TooLarge:
            reasons.append(f"{url} sends more than {most} bytes, which was cut off")
        else:
            if judge(path, one.hash) == "ok":
                return path
            size, what = path.stat().st_size, f"does not have the checksum {one.hash}"
            if one.bytes and size < one.bytes:
                what = f"is truncated ({size} of {one.bytes} bytes)"
            reasons.append(f"the download of {url} {what} and was thrown away")
    raise HKTError(
        f"{one.id} could not be fetched: {', and '.join(reasons)}; check the network and try "
        f"again; or put the file at {one.download} by hand and fetch again."
    )


def _extract(one: Entry, archive: Path, folder: Path) -> Path:
    """The listed files of a gzipped tar archive in a new folder, each checked.

    The names are ours and only the contents are the archive's: no member can lead elsewhere.
    """
    ready = folder / "extracted"
    ready.mkdir()
    try:
        _check_swelling(archive)
        with tarfile.open(archive, "r:gz") as tar:
            members = _members(tar)
            for name, digest in one.files.items():
                member = members[f"{one.path}/{name}"]
                if not member.isfile() or member.issparse():
                    raise tarfile.ExtractError(f"{name} is a link, a device or full of holes")
                (ready / name).write_bytes(tar.extractfile(member).read())
                if judge(ready / name, digest) != "ok":
                    raise tarfile.ExtractError(f"{name} in it does not have the checksum {digest}")
    except (tarfile.TarError, EOFError, zlib.error, KeyError) as error:
        what = (str(error) or type(error).__name__).splitlines()[0].strip('":')
        raise HKTError(
            f"The archive {archive.name} of {one.id} is truncated or damaged ({what}); remove it "
            f"and run `hkt data fetch {one.id}` again."
        ) from None
    return ready


def _check_swelling(archive: Path) -> None:
    """Read the archive through once, piece by piece: a header too may be of any length."""
    left = SWELLING * archive.stat().st_size + ROOM
    try:
        with gzip.open(archive) as file:
            while piece := file.read(2**20):
                left -= len(piece)
                if left < 0:
                    raise tarfile.ExtractError(f"it is more than {SWELLING} times as large inside")
    except gzip.BadGzipFile as error:
        raise tarfile.ReadError(str(error)) from None


def _members(tar: tarfile.TarFile) -> dict[str, tarfile.TarInfo]:
    """By name, the last of one name."""
    found: dict[str, tarfile.TarInfo] = {}
    for count, member in enumerate(tar, 1):
        if count > MEMBERS:
            raise tarfile.ExtractError(f"it has more than {MEMBERS} members")
        found[member.name] = member
    return found
