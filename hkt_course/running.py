"""The process in which a hand-in runs, asked cell by cell from outside (student.py is inside)."""

import json
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import matplotlib

from hkt_lite.config import HKTError


@dataclass(frozen=True)
class Limits:
    cell: float = 30  # seconds of the clock for one cell or test
    seconds: int = 240  # of the processor for a hand-in
    megabytes: int = 2000  # of memory


class Warm:
    """The process from which those of hand-ins are forked; use as a context, from many threads."""

    def __enter__(self):
        environment = {
            "OMP_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "MPLBACKEND": "agg",
            "MPLCONFIGDIR": matplotlib.get_configdir(),  # where the list of fonts is, or will be
        }
        kept = {key: os.environ[key] for key in ("PATH", "SYSTEMROOT") if key in os.environ}
        self._start = {"env": kept | environment, "cwd": Path(__file__).parents[2]}
        self._lock, self._process = threading.Lock(), None
        return self

    def __exit__(self, *_):
        if self._process:
            self._process.stdin.close()
            self._process.wait()

    def order(self, **words) -> None:
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                command = [sys.executable, "-m", f"{__package__}.student"]
                self._process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, start_new_session=True, **self._start
                )
            self._process.stdin.write(f"{json.dumps(words)}\n".encode())
            self._process.stdin.flush()


class Running:
    """A hand-in's process, asked cell by cell.  Whatever it does, each answer comes in time."""

    def __init__(self, warm: Warm, folder: str, imports: list[str], private, limits: Limits):
        self.limits, token = limits, secrets.token_hex(16)
        with socket.create_server(("127.0.0.1", 0)) as server:
            warm.order(
                port=server.getsockname()[1],
                token=token,
                folder=folder,
                imports=imports,
                private=[str(path) for path in private],
                seconds=limits.seconds,
                megabytes=limits.megabytes,
            )
            server.settimeout(120)
            self._wire = server.accept()[0]
        self._wire.settimeout(60)
        self._lines = self._wire.makefile("rw", encoding="utf-8")
        hello = json.loads(self._lines.readline() or "{}")
        if hello.get("token") != token:
            raise HKTError("The process for hand-ins did not start; run the command again.")
        self.pid, self.ended = hello["pid"], ""
        self._asked = 0

    def ask(self, **request) -> dict:
        """Its answer, or {'error': …} where it has ended or takes too long."""
        if not self.ended:
            self._asked += 1
            try:
                line = json.dumps({"id": self._asked, **request})
                print(line, file=self._lines, flush=True)
                return self._answer()
            except (OSError, ValueError, EOFError, TypeError, LookupError):
                self.ended = self.ended or "the code ended the process"
                self.kill()
        return {"out": "", "error": {"name": "Stopped", "text": self.ended, "where": []}}

    def _answer(self) -> dict:
        if not select.select([self._wire], [], [], self.limits.cell)[0]:
            if hasattr(os, "killpg"):  # elsewhere there is no gentle way
                os.kill(self.pid, signal.SIGINT)
            if not select.select([self._wire], [], [], 2)[0]:
                self.ended = f"the code did not stop after {self.limits.cell:g} s"
                raise EOFError
        for _ in range(100):  # a second answer to an earlier request is not heard
            answer = json.loads(self._lines.readline(1 << 27))
            if answer["id"] == self._asked:
                return answer
        raise EOFError

    def kill(self) -> None:
        """End it with all that it may have started."""
        try:
            if hasattr(os, "killpg"):
                os.killpg(self.pid, signal.SIGKILL)
            else:
                os.kill(self.pid, signal.SIGTERM)
        except OSError:  # it has ended by itself
            pass
        self._wire.close()
