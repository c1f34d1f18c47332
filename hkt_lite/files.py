"""Files that are whole or absent: atomic writes, JSON, sha256.   write_json(path, record);  sha256(path)"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from pydantic import BaseModel

from .config import HKTError


def write_bytes(path: Path, data: bytes) -> None:
    """Write all of `data` or nothing: into a temporary neighbour, to the disk, then in place of `path`.

    Raises HKTError when the disk refuses; the old file, if any, is then still whole and no temporary is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise HKTError(
            f"Could not write {path}: {error.strerror or error}; free some space or choose another folder, "
            "nothing was changed."
        ) from error


def write_json(path: Path, value) -> None:
    """A record (or plain value) as indented JSON, atomically."""
    value = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    write_bytes(
        path, (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
    )


def read_json(path: Path, what: str = "record"):
    """Parsed JSON, or one sentence that names the file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise HKTError(f"There is no {what} {path}.") from None
    except (ValueError, OSError) as error:
        raise HKTError(
            f"The {what} {path} is corrupt or truncated ({error}); restore it from version control or make it anew."
        ) from None


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
