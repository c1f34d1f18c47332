"""Data sets and checkpoints: addresses, checksums, licences (data/registry.yaml).   hkt data status|fetch|verify

A download goes to a temporary folder beside its destination, is checked there, and only then renamed: what lies in its
place is whole.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import sys
import tarfile
import tempfile
import zlib
from functools import lru_cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from ..config import PROJECT, HKTError, data_home, nearest

REGISTRY = PROJECT / "data" / "registry.yaml"


class Entry(BaseModel):
    """One data set (an archive of `files` under the folder `path`) or one checkpoint (the file `path`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    path: str
    urls: list[str]
    licence: str
    citation: str
    home: str
    gated: bool
    hash: str | None = (
        None  # algorithm:digits, possibly only the first; None: it is brought by hand
    )
    archive: str | None = None
    files: dict[str, str] = {}
    bytes: int | None = None
    note: str | None = None

    @property
    def download(self) -> Path:
        """Where the file lies that an address serves."""
        return data_home() / (self.archive or self.path)

    @property
    def parts(self) -> dict[Path, str]:
        """Every file that must be there, with its checksum; none where no checksum is known."""
        here = data_home() / self.path
        return {here / name: digest for name, digest in self.files.items()} or (
            {here: self.hash} if self.hash else {}
        )

    @property
    def present(self) -> bool:
        return (
            all(path.is_file() for path in self.parts)
            if self.parts
            else (data_home() / self.path).exists()
        )


@lru_cache(maxsize=4)
def entries(path: Path = REGISTRY) -> dict[str, Entry]:
    """The registry by id.  Raises HKTError naming the file and the entry that is wrong."""
    try:
        found = [Entry(**entry) for entry in yaml.safe_load(Path(path).read_text(encoding="utf-8"))]
    except (OSError, yaml.YAMLError, TypeError, ValidationError) as error:
        what = " ".join(str(error).split())[:160]
        raise HKTError(
            f"The data registry {path} cannot be read ({what}); restore it from version control."
        ) from None
    return {entry.id: entry for entry in found}


def entry(name: str) -> Entry:
    """The entry called `name`; HKTError with the nearest name if there is none."""
    known = entries(REGISTRY)
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


def _whole(one: Entry) -> bool:
    return all(judge(path, digest) == "ok" for path, digest in one.parts.items())


def status() -> list[dict]:
    """One row an entry: name, present (all its files are there), verified (their checksums match; None if absent or unknown), size
    of the download in bytes, gated, licence, path.
    """
    rows = []
    for one in entries(REGISTRY).values():
        verified = _whole(one) if one.present and one.parts else None
        rows.append(
            {
                "name": one.id,
                "present": one.present,
                "verified": verified,
                "size": one.bytes,
                "gated": one.gated,
                "licence": one.licence,
                "path": str(data_home() / one.path),
            }
        )
    return rows


def verify(name: str) -> dict[str, str]:
    """Verdict of each file of an entry that is here, extracted or still in its archive; HKTError if neither is here or no checksum is known."""
    one = entry(name)
    if not one.parts:
        raise HKTError(
            f"There is nothing to verify: no checksum of {name} is known; its reader checks each file before training."
        )
    results = {}
    if one.archive and one.download.is_file():
        results[str(one.download)] = judge(one.download, one.hash)
    if (data_home() / one.path).exists():
        results |= {str(path): judge(path, digest) for path, digest in one.parts.items()}
    if not results:
        raise HKTError(
            f"There is nothing to verify: {name} does not lie at {data_home() / one.path}; run "
            f"`hkt data fetch {name}`."
        )
    return results


def fetch(name: str, progress: bool = False) -> Path:
    """Bring an entry under the data folder and return its path; what is there and intact is not brought again.

    Raises HKTError without network, for a wrong checksum, a truncated download or archive, a full disk; nothing
    half-written stays.
    """
    one = entry(name)
    target = data_home() / one.path
    if _whole(one) if one.parts else one.present:
        return target
    by_hand = bool(one.archive) and judge(one.download, one.hash) == "ok"  # put there by the user
    if not by_hand and (one.gated or not one.urls or not one.parts):
        why = one.note or "its owners ask for a registration"
        raise HKTError(
            f"{name} cannot be fetched by a program ({why}); get it from {one.home} and put it at "
            f"{one.download}."
        )
    with _mended(one), _workspace(target.parent) as folder:
        source = one.download if by_hand else _download(one, folder, progress)
        ready = _extract(one, source, folder) if one.archive else source
        if target.is_dir():
            os.rename(target, folder / "damaged")  # goes with the temporary folder
        os.replace(ready, target)
    return target


@contextlib.contextmanager
def _workspace(parent: Path):
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=".fetch-", dir=parent, ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


@contextlib.contextmanager
def _mended(one: Entry):
    """Failures of disk and archive as one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            need = f" ({one.bytes / 1e6:.0f} MB to download)" if one.bytes else ""
            raise HKTError(
                f"The disk of {data_home()} is full while fetching {one.id}{need}; free some space or set "
                "HKT_DATA to another disk."
            ) from None
        raise HKTError(
            f"{one.id} cannot be written under {data_home()} ({error.strerror or error}); set HKT_DATA to a "
            "folder that can."
        ) from None


def _download(one: Entry, folder: Path, progress: bool) -> Path:
    """The checked file at the first address that answers."""
    import pooch
    from requests.exceptions import ChunkedEncodingError, HTTPError, RequestException

    pooch.get_logger().setLevel("WARNING")
    load = pooch.HTTPDownloader(progressbar=progress and sys.stderr.isatty(), timeout=(10, 60))
    path = folder / one.download.name
    by_hand = f"; or put the file at {one.download} by hand" + (
        " and fetch again." if one.archive else "."
    )
    for left, url in zip(range(len(one.urls))[::-1], one.urls):
        try:
            load(url, str(path), None)
            break
        except RequestException as error:
            if left:
                continue
            if isinstance(error, HTTPError):
                reason = f"{url} answers {error.response.status_code} {error.response.reason}"
            elif isinstance(error, ChunkedEncodingError):
                reason = f"the download of {url} broke off"
            else:
                reason = f"{url} cannot be reached"
            reason += "; check the network and try again"
            raise HKTError(f"{one.id} could not be fetched: {reason}{by_hand}") from None
    if judge(path, one.hash) != "ok":
        size, what = path.stat().st_size, f"does not have the checksum {one.hash}"
        if one.bytes and size < one.bytes:
            what = f"is truncated ({size} of {one.bytes} bytes)"
        raise HKTError(
            f"The download of {one.id} from {url} {what} and was thrown away; try again{by_hand}"
        )
    return path


def _extract(one: Entry, archive: Path, folder: Path) -> Path:
    """The listed files of a tar archive in a new folder, each checked; other members are left in it."""
    ready = folder / "extracted"
    ready.mkdir()
    try:
        with tarfile.open(archive) as tar:
            for name in one.files:
                with (
                    tar.extractfile(f"{one.path}/{name}") as member,
                    open(ready / name, "wb") as file,
                ):
                    while block := member.read(1 << 20):
                        file.write(block)
    except (tarfile.TarError, EOFError, zlib.error, KeyError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].strip('":')
        raise HKTError(
            f"The archive {archive.name} of {one.id} is truncated or damaged ({reason}); remove it and run "
            f"`hkt data fetch {one.id}` again."
        ) from None
    wrong = [name for name, digest in one.files.items() if judge(ready / name, digest) != "ok"]
    if wrong:
        raise HKTError(
            f"{wrong[0]} in the archive {archive.name} of {one.id} does not have the checksum "
            f"{one.files[wrong[0]]}; remove the archive and run `hkt data fetch {one.id}` again."
        )
    return ready
