"""One writer at a time, among the processes of one machine or of many that share a folder.

    with claimed(store.folder(run_id) / "claim") as claim:  # waits while a living process has it
        claim.check()                                       # Busy if another one took it over

A claim is the file NAME-N, made by exclusive creation.  Its owner counts a heartbeat up in it.
Whoever sees the count stand still for `PATIENCE` seconds of his own clock takes over by making
NAME-(N+1), which again only one process can: nothing depends on two clocks agreeing, on file times
or on locks that a share may not have.  A process killed on this machine is noticed at once.
"""

import logging
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..config import HKTError
from ..files import read_bytes

BEAT = 5.0  # seconds between two heartbeats
MISSING = 100  # times that the folder was gone, as where it can never be made
PATIENCE = 60.0  # seconds without one after which an owner counts as dead
log = logging.getLogger(__name__)


class Busy(HKTError):
    """A living process has the claim, or took it over."""


class Claim:
    """What the owner of NAME-`number` holds.  Raises FileExistsError where another was faster."""

    def __init__(self, path: Path, number: int):
        self.path, self.number = path, number
        self.file = _file(path, number)
        self.descriptor = os.open(self.file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)
        try:
            os.write(self.descriptor, f"{0:012d}\n{os.getpid()}\n{_machine()}\n".encode())
        except OSError:  # a full disk
            os.close(self.descriptor)
            self.file.unlink()
            raise
        self.ended = threading.Event()
        self.pulse = threading.Thread(target=self._beat, daemon=True)
        self.pulse.start()

    def _beat(self) -> None:
        count = 0
        while not self.ended.wait(BEAT):
            count += 1
            with suppress(OSError):  # a share that is away for a moment
                os.lseek(self.descriptor, 0, os.SEEK_SET)
                os.write(self.descriptor, f"{count:012d}".encode())
                os.fsync(self.descriptor)

    def check(self) -> None:
        """Raise Busy if this process stood still for so long that another took over."""
        if not self._mine() or _number(self.path) != self.number:
            raise Busy(f"Another process took over {self.path.parent} while this one stood still.")

    def _mine(self) -> bool:
        """Whether its file is there and is the one that it made."""
        with suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(self.descriptor), os.stat(self.file))
        return False

    def write(self, files: Callable[[], object]) -> None:
        """`files()` writes into the claimed folder.  Raises what it raises, or Busy as `check`.

        A half-written file that vanishes was swept by another process: by one that took over, which
        is Busy, or by one that was taken over and did not know it yet; then it is written anew.
        """
        self.check()
        try:
            files()
        except HKTError as error:
            self.check()
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            files()

    def release(self) -> None:
        """Give it up; what dead owners left goes first, so that no number comes back too early."""
        with suppress(Busy, OSError):
            self.check()
            for number in range(1, self.number):
                _file(self.path, number).unlink(missing_ok=True)
        self.withdraw()

    def withdraw(self) -> None:
        """Remove this claim alone."""
        self.ended.set()
        self.pulse.join()
        with suppress(OSError):
            mine = self._mine()
            os.close(self.descriptor)
            if mine:
                self.file.unlink()


@contextmanager
def claimed(path: Path, wait: bool = True) -> Iterator[Claim]:
    """Hold the claim `path`; wait for it as long as somebody alive has it.

    Raises Busy instead where `wait` is false, HKTError where the folder cannot be written.
    """
    claim, pause, since, seen, missing = None, 0.01, 0.0, None, 0
    while claim is None:
        now = time.monotonic()  # before the look: if this process stands still in between, it waits
        number = _number(path)
        said = number, _said(path, number)
        if said != seen:
            since, seen = now, said
        if number == 0 or _dead(said[1]) or now - since > PATIENCE:
            claim = _taken(path, number, said[1])
            missing += claim is None and not path.parent.is_dir()
            if missing > MISSING:
                raise HKTError(f"Could not make {path.parent}; choose another folder (HKT_RUNS).")
            continue
        if not wait:
            raise Busy(f"{path.parent} is being worked on by {_owner(said[1])}.")
        if pause == 0.01:
            log.info("Waiting for %s, which works on %s.", _owner(said[1]), path.parent)
        time.sleep(pause)
        pause = min(2 * pause, 1.0, BEAT)
    try:
        yield claim
    finally:
        claim.release()
        with suppress(OSError):  # a folder in which nothing was made
            path.parent.rmdir()


def _taken(path: Path, after: int, said: str) -> Claim | None:
    """The claim that follows number `after`; None where others were faster, or it changed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        claim = Claim(path, after + 1)
    except FileExistsError:
        if path.parent.is_dir():
            return None
        raise HKTError(f"{path.parent} is not a folder; move it away.") from None
    except FileNotFoundError:  # an empty folder that its last owner removed in this moment
        return None
    except OSError as error:
        raise HKTError(
            f"Could not write in {path.parent}: {error.strerror}; choose another folder "
            "(HKT_RUNS, HKT_RESULTS) or free some space."
        ) from None
    if _number(path) == claim.number and _said(path, after) == said:
        return claim
    claim.withdraw()
    return None


def _file(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}-{number}")


def _number(path: Path) -> int:
    """Of the latest claim; 0 where there is none."""
    with suppress(OSError):
        names = [one for one in os.listdir(path.parent) if one.startswith(f"{path.name}-")]
        numbers = [one.removeprefix(f"{path.name}-") for one in names]
        return max((int(one) for one in numbers if one.isdecimal()), default=0)
    return 0


def _said(path: Path, number: int) -> str:
    with suppress(OSError, ValueError):  # there is none, it was removed just now, or is no text
        return read_bytes(_file(path, number)).decode()
    return ""


def _dead(said: str) -> bool:
    """Whether its owner was a process of this machine that is no more."""
    _, pid, machine, *_ = (*said.split("\n"), "", "", "")
    if not pid.isdecimal() or machine != _machine() or "?" in machine:
        return False
    try:
        os.kill(int(pid), 0)
    except OSError as error:
        return not isinstance(error, PermissionError)
    return False


def _owner(said: str) -> str:
    _, pid, machine, *_ = (*said.split("\n"), "?", "?", "?")
    return f"process {pid} on {machine.partition(' ')[0]}"


def _machine() -> str:
    """Host, start of its system, and the space its process numbers count in; '?' if unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{platform.node()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # macOS, Windows: a dead process is noticed by its silence
        return f"{platform.node()} ?"
