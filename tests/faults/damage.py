"""What the fault suite does: to a process, from inside it, and to a file of a store."""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

from hkt_lite.runs import claim

PATIENT = 0.4  # seconds without a heartbeat, for scenarios in which that has to pass


def step(method, batch, number: int) -> None:
    """A step, as a place in which a process can be killed."""
    sys.audit("toy.step")


WATCHED = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "toy.step"}


def dying(action: Callable, last: int) -> Callable:
    """`action` in a process that kills itself before its `last` file operation or step."""

    def die() -> None:
        count = 0

        def hook(event: str, arguments: tuple) -> None:
            nonlocal count
            where = str(arguments[0]) if arguments else ""
            if event in WATCHED and (event == "toy.step" or tempfile.gettempdir() in where):
                count += 1
                if count == last:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        action()

    return die


def dying_in_a_write(action: Callable, last: int) -> Callable:
    def die() -> None:
        real, count = os.fsync, 0

        def half(descriptor: int) -> None:
            nonlocal count
            count += 1
            if count == last:
                os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)
            real(descriptor)

        os.fsync = half
        action()

    return die


def slow(action: Callable, draw: Callable[[], float]) -> Callable:
    """Every rename and every write to the disk takes up to a fifth of a second, now and then more
    than the patience of others."""

    def wait_then(real: Callable) -> Callable:
        def waiting(*given):
            time.sleep(0.02 * draw() if draw() < 0.95 else 2 * PATIENT)
            return real(*given)

        return waiting

    def act() -> None:
        os.fsync, os.replace = wait_then(os.fsync), wait_then(os.replace)
        action()

    return act


def limited(action: Callable, largest: int) -> Callable:
    """No file may become larger than `largest` bytes."""

    def act() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
        action()

    return act


@contextmanager
def patience():
    """Heartbeats twenty times as fast as they are missed, in this process and its children."""
    before = claim.BEAT, claim.PATIENCE
    claim.BEAT, claim.PATIENCE = PATIENT / 20, PATIENT
    try:
        yield
    finally:
        claim.BEAT, claim.PATIENCE = before


def mount(options: str, folder: Path) -> None:
    subprocess.run(["mount", "-o", options, str(folder)], check=True)


# -- what is done to a file


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if path.name == "record.json":
        shutil.rmtree(path.parent, ignore_errors=True)


def _truncated(path: Path, draw: random.Random) -> None:
    os.truncate(path, draw.randrange(path.stat().st_size + 1))


def _flipped(path: Path, draw: random.Random) -> None:
    data = bytearray(path.read_bytes() or b"\0")
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)


def _random(path: Path, draw: random.Random) -> None:
    path.write_bytes(draw.randbytes(draw.randrange(1, 5000)))


def _empty(path: Path, draw: random.Random) -> None:
    path.write_bytes(b"")


def _of_another(path: Path, draw: random.Random) -> None:
    store_home = path.parent.parent
    others = [one for one in store_home.rglob("*") if one.is_file() and one != path]
    path.write_bytes(draw.choice(others or [path]).read_bytes())


def _folder(path: Path, draw: random.Random) -> None:
    path.unlink()
    path.mkdir()


def _pipe(path: Path, draw: random.Random) -> None:
    path.unlink()
    os.mkfifo(path)


def _link_to_itself(path: Path, draw: random.Random) -> None:
    path.unlink()
    path.symlink_to(path)


def _gone(path: Path, draw: random.Random) -> None:
    path.unlink()


def _other_json(path: Path, draw: random.Random) -> None:
    texts = [
        "[]",
        "{}",
        "null",
        "1e999",
        '{"kind": "run"}',
        "[" * 100_000,
        '{"a": NaN}',
        "\ufeff{}",
    ]
    path.write_text(draw.choice(texts))


DAMAGE = {
    "truncated": _truncated,
    "with a flipped bit": _flipped,
    "of random bytes": _random,
    "empty": _empty,
    "of another kind": _of_another,
    "replaced by a folder": _folder,
    "replaced by a pipe": _pipe,
    "replaced by a link to itself": _link_to_itself,
    "gone": _gone,
    "replaced by other JSON": _other_json,
}
