"""Files that are whole or absent: atomic writes, JSON, tensors with a checksum, sha256.

write_json(path, record)             # all of it or nothing; the old file stays until then
tensors, facts = read_tensors(path)  # of one reading; a damaged file is a ValueError
"""

import gc
import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel
from pydantic_core import from_json

from .config import HKTError, canonical

T = TypeVar("T")


class NumbersSafeLoader(yaml.SafeLoader):
    """In which 1e-2 is a number, as in YAML 1.2; YAML 1.1 asks for 1.0e-2."""


NumbersSafeLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("+-0123456789")
)


def from_yaml(text: str) -> Any:
    """What people write in a grid or after `-s`.  Raises yaml.YAMLError or ValueError."""
    return yaml.load(text, NumbersSafeLoader)


def write_bytes(path: Path, data: bytes) -> None:
    """Write all of `data` or nothing; raises as `write_all`."""
    write_all({path: data})


def write_all(files: Mapping[Path, bytes]) -> None:
    """Write several files, all or none: into temporary neighbours, to the disk, then into place.

    What is put into place last is what says that the others are there.  Raises HKTError when the
    disk refuses; the old files, if any, are then still whole.
    """
    temporary = {
        path: path.with_name(f".{path.name}.{secrets.token_hex(4)}.part") for path in files
    }
    path = Path()
    try:
        for path, data in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary[path], "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        for path in files:
            os.replace(temporary[path], path)
    except OSError as error:
        for leftover in temporary.values():
            with suppress(OSError):  # never made, or the disk refuses this too
                leftover.unlink()
        raise HKTError(
            f"Could not write {path}: {error.strerror or error}; free some space or choose another "
            "folder, nothing was changed."
        ) from error


def reserve(path: Path, size: int) -> None:
    """A file of `size` zeros, really there: writing to it by memory map cannot find the disk full,
    which would end the process.  Raises OSError."""
    with open(path, "wb") as file:
        for begin in range(0, size, 2**24):
            file.write(bytes(min(2**24, size - begin)))
        file.flush()
        os.fsync(file.fileno())


def sweep(folder: Path, name: str = "*") -> None:
    """Remove what killed writers of NAME left half-written; for who alone may write there."""
    for leftover in folder.glob(f".{name}.*.part"):
        with suppress(OSError):
            leftover.unlink()


def json_bytes(value) -> bytes:
    """A record (or plain value) as indented JSON; NaN is a string in it."""
    if isinstance(value, BaseModel):
        value = json.loads(value.model_dump_json())
    return f"{json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)}\n".encode()


def write_json(path: Path, value) -> None:
    """`json_bytes` of a value into a file, atomically."""
    write_bytes(path, json_bytes(value))


def read_bytes(path: Path) -> bytes:
    """Of a regular file: a pipe or device in its place (OSError) would keep a reader waiting."""
    if path.exists() and not path.is_file():
        raise OSError(f"{path.name} is not a file")
    return path.read_bytes()


def read_json(path: Path, what: str = "record"):
    """Parsed JSON, or one sentence that names the file."""
    return read_parsed(path, what)[1]


def read_parsed(path: Path, what: str = "record") -> tuple[bytes, Any]:
    """The bytes of a JSON file, read once, and what they say; raises as `read_json`."""
    try:
        data = read_bytes(path)
        return data, from_json(data)
    except FileNotFoundError:
        raise HKTError(f"There is no {what} {path}.") from None
    except (ValueError, OSError, RecursionError) as error:
        raise HKTError(
            f"The {what} {path} is corrupt or truncated ({error}); restore it from version control "
            "or make it anew."
        ) from None


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep what is made meanwhile, such as ten thousand records, from Python's search for cycles.

    None of it is in a cycle, and looking through ever more objects took a third of the time.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def state_of(path: Path) -> list[int]:
    """What changes whenever a file does: its number, size, and times of its contents and entry.

    The last of these no program can set; so who alters a file and sets back its time is seen too.
    """
    now = os.stat(path)
    return [now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns]


def settled(state: list[int]) -> bool:
    """Whether a file changed so long ago (2 s) that another change would have another time."""
    return time.time_ns() - max(state[2:]) > 2_000_000_000


def by_state(
    read: Callable[[Path], T], known: dict[str, list] | None = None
) -> Callable[[Path], T]:
    """`read(path)`, remembered for as long as the file stays the same: in this process, or in
    `known`, {absolute path: [state, value]}."""
    known = {} if known is None else known

    @wraps(read)
    def remembered(path: Path) -> T:
        name = os.path.abspath(path)
        try:
            state = state_of(path)
        except OSError:
            return read(path)  # which says what is wrong
        if name in known and known[name][0] == state:
            return known[name][1]
        value = read(path)
        if settled(state):
            known[name] = [state, value]
        return value

    return remembered


def write_tensors(path: Path, tensors: dict, facts: dict | None = None) -> str:
    """Named tensors and plain facts as one safetensors file, atomically; the sha256 of both."""
    from safetensors.torch import save

    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    said = canonical(facts or {})
    digest = _tensor_digest(tensors, said)
    write_bytes(path, _ordered(save(tensors, {"facts": said, "sha256": digest})))
    return digest


def _ordered(data: bytes) -> bytes:
    """The same safetensors file with its facts in one order: the library shuffles them, and the
    digest of a file would not be that of its tensors."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[start:]


def read_tensors(path: Path) -> tuple[dict, dict]:
    """(tensors, facts) of a file that `write_tensors` made.

    The file is opened once, so that a writer in between cannot mix two states.  Raises ValueError
    for a file that is truncated, altered or of another kind, OSError for one that cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    data = read_bytes(path)
    try:
        tensors = load(data)
        length = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + length])["__metadata__"]
        facts, digest = metadata["facts"], metadata["sha256"]
    except (SafetensorError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"not a whole file of this project ({str(error)[:80]})") from None
    if _tensor_digest(tensors, facts) != digest:
        raise ValueError("its contents do not have the checksum that they were written with")
    return tensors, json.loads(facts)


def _tensor_digest(tensors: dict, facts: str) -> str:
    from safetensors.torch import save

    digest = hashlib.sha256(facts.encode())
    for name, value in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(save({"": value}))
    return digest.hexdigest()


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def files_below(path: Path) -> list[Path]:
    """The files below a folder, sorted; a file by itself."""
    if not path.is_dir():
        return [path]
    return sorted(child for child in path.rglob("*") if child.is_file())


def tree_digest(folder: Path) -> str:
    """16 hex digits over the bytes of a package's source: its .py and .yaml files."""
    digest = hashlib.sha256()
    for path in files_below(folder):
        if path.suffix in (".py", ".yaml"):
            name = path.relative_to(folder).as_posix()
            digest.update(f"{name}\0{sha256(path)}\0".encode())
    return digest.hexdigest()[:16]
