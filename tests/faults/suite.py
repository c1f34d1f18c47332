"""Faults, one after the other, against runs and stores; what is lost or corrupt is counted.

    python -m tests.faults.suite 1000          # about so many faults; `pytest -m long` does the same

Every run is a process of its own, forked from this one, in which torch is warm.  After each fault
the run is started again, as a user would, and what it ends with is compared with the run that
nothing happened to: a run is *lost* if it cannot be made any more, a record is *corrupt* if it
cannot be read or says other numbers.  A refusal must be a sentence (HKTError), never a traceback.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from hkt_lite import config as settings
from hkt_lite.config import Config, HKTError
from hkt_lite.runs import claim, golden, loop, store
from hkt_lite.runs.records import RunRecord, load
from hkt_lite.runs.reproduce import numbers
from tests.faults import toybench
from tests.faults.damage import (
    DAMAGE,
    dying,
    dying_in_a_write,
    limited,
    mount,
    patience,
    remove,
    slow,
    step,
)

MADE, REFUSED, BUSY, WRONG = 0, 3, 4, 5  # how a process ends
METHODS = ("plain", "kd", "hkt")


class Suite:
    """`root`: where stores are made; `faults`: about how many are wanted in all."""

    def __init__(self, root: Path, faults: int, seed: int):
        self.root, self.faults, self.random = root, faults, random.Random(seed)
        self.injected: Counter[str] = Counter()
        self.lost: list[str] = []
        self.corrupt: list[str] = []
        self.wrong: list[str] = []  # tracebacks, runs made twice, processes that never end
        self.skipped: dict[str, str] = {}
        self.number = 0
        os.environ["TOY_PARENT"] = str(root / "parent.safetensors")
        toybench.write_parent(root / "parent.safetensors")
        self.expected: dict[str, RunRecord] = {}
        self.events = 0  # of an undisturbed run: the places in which it can be killed
        for method in METHODS:
            run = toybench.config(method)
            made = loop.run(run, store=store.Store(root / "reference"), checkpoint_steps=1)
            self.expected[run.id] = made.record

    # -- what every scenario needs

    def times(self, share: float) -> range:
        return range(max(1, round(self.faults * share)))

    def fresh(self, folder: Path | None = None) -> store.Store:
        self.number += 1
        return store.Store((folder or self.root) / f"store-{self.number}")

    def config(self) -> Config:
        return toybench.config(self.random.choice(METHODS))

    def fork(self, action: Callable[[], object]) -> int:
        """A process that does `action` and says by its exit code how it ended."""
        sys.stdout.flush()
        pid = os.fork()
        if pid:
            return pid
        code = WRONG
        try:
            action()
            code = MADE
        except claim.Busy:
            code = BUSY
        except HKTError as error:
            code = REFUSED if "\n" not in str(error) else WRONG
        except BaseException:
            with open(self.root / "tracebacks", "a") as file:
                file.write(traceback.format_exc())
        finally:
            os._exit(code)

    def end(self, pid: int, limit: float = 120) -> int:
        """The exit code of a process, or minus the signal that ended it."""
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                if code == WRONG:
                    self.wrong.append("a traceback")
                return code
            time.sleep(0.002)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        self.wrong.append("a process that did not end")
        return -signal.SIGKILL

    def make(self, run: Config, where: store.Store, **options) -> Callable[[], object]:
        return lambda: loop.run(run, store=where, checkpoint_steps=1, **options)

    def judge(self, what: str, run: Config, where: store.Store) -> None:
        """The run is started again; then it must be there, as if nothing had happened."""
        if self.end(self.fork(self.make(run, where))) != MADE:
            self.lost.append(f"{what}: {where.home}")
        for path in where.paths():
            try:
                record = load(path)
                expected = self.expected[record.id]
                same = numbers(record) == numbers(expected) and record.weights == expected.weights
                if not same or where.altered(record):
                    self.corrupt.append(f"{what}: {path}")
            except HKTError as error:
                self.corrupt.append(f"{what}: {error}")
        found = where.folder(run.id).glob("*")
        left = [path.name for path in found if path.suffix != ".json" and not path.is_dir()]
        # killed after its record was written, a run leaves its checkpoint and its claim: no harm
        left = [name for name in left if not name.startswith(("claim-", "state."))]
        if sorted(left) != sorted(self.expected[run.id].weights):
            self.wrong.append(f"{what}: {left} is left")
        shutil.rmtree(where.home, ignore_errors=True)

    # -- the scenarios; each says by its docstring what is done to whom

    def killed(self) -> None:
        """kill -9 before the n-th file operation or step, again and again until it ends"""
        for _ in self.times(0.09):
            run, where = self.config(), self.fresh()
            for _ in range(4):
                last = self.random.randrange(1, 60)
                if self.end(self.fork(dying(self.make(run, where, inspect=step), last))) < 0:
                    self.injected["killed"] += 1
            self.judge("killed", run, where)

    def killed_in_a_write(self) -> None:
        """kill -9 with half of a file on the disk"""
        for _ in self.times(0.04):
            run, where = self.config(), self.fresh()
            for _ in range(3):
                last = self.random.randrange(1, 16)
                if self.end(self.fork(dying_in_a_write(self.make(run, where), last))) < 0:
                    self.injected["killed in a write"] += 1
            self.judge("killed in a write", run, where)

    def killed_from_outside(self) -> None:
        """kill -9 by another process at any moment"""
        for _ in self.times(0.03):
            run, where = self.config(), self.fresh()
            for _ in range(3):
                pid = self.fork(self.make(run, where))
                time.sleep(self.random.uniform(0, 0.2))
                os.kill(pid, signal.SIGKILL)
                if self.end(pid) < 0:
                    self.injected["killed from outside"] += 1
            self.judge("killed from outside", run, where)

    def racers(self) -> None:
        """five processes that want one run at once, the one that makes it is killed half-way"""
        for _ in self.times(0.012):
            run, where, deaths = self.config(), self.fresh(), 0
            log = self.root / f"trained-{self.number}"

            def note(method, batch, number, log=log) -> None:
                if number == 0:
                    with open(log, "a") as file:
                        file.write(f"{os.getpid()}\n")

            pids = {self.fork(self.make(run, where, inspect=note)) for _ in range(5)}
            deadline = time.monotonic() + 60
            while not log.exists() and time.monotonic() < deadline:
                time.sleep(0.001)
            if self.random.random() < 0.5 and log.exists():
                os.kill(int(log.read_text().split()[0]), signal.SIGKILL)
            for pid in pids:
                deaths += self.end(pid) < 0
            trained = len(log.read_text().split())
            if trained > 1 + deaths:
                self.wrong.append(f"racers: trained {trained} times, {deaths} were killed")
            self.injected["racers"] += 4 + deaths
            self.judge("racers", run, where)

    def paused(self) -> None:
        """a process that stands still until another took its run over, then goes on"""
        for _ in self.times(0.012):
            run, where = self.config(), self.fresh()
            with patience():
                pid = self.fork(self.make(run, where, inspect=lambda *_: time.sleep(0.05)))
                self.wait(where, run)
                os.kill(pid, signal.SIGSTOP)
                other = self.fork(self.make(run, where))
                if self.end(other) != MADE:
                    self.lost.append("paused: nobody took it over")
                os.kill(pid, signal.SIGCONT)
                self.end(pid)
                self.injected["paused"] += 1
                self.judge("paused", run, where)

    def elsewhere(self) -> None:
        """another host, whose processes cannot be asked, with a clock years from ours, is killed"""
        for _ in self.times(0.02):
            run, where = self.config(), self.fresh()
            years = self.random.choice([-30, -1, 1, 30]) * 365 * 86400

            def far(run=run, where=where, years=years) -> None:
                now = time.time
                time.time = lambda: now() + years
                claim._machine = lambda: "elsewhere 0 pid:[0]"
                self.make(run, where, inspect=lambda *_: time.sleep(0.02))()

            with patience():
                pid = self.fork(far)
                self.wait(where, run)
                os.kill(pid, signal.SIGKILL)
                self.end(pid)
                for path in where.home.rglob("*"):
                    os.utime(path, (time.time() + years,) * 2)
                self.injected["killed on another host"] += 1
                self.injected["wrong clock"] += 1
                self.judge("elsewhere", run, where)

    def wait(self, where: store.Store, run: Config) -> None:
        """Until it is claimed, and a little more."""
        deadline = time.monotonic() + 60
        while not where.folder(run.id).exists() and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(self.random.uniform(0, 0.1))

    def slow_share(self) -> None:
        """a share on which everything takes long and heartbeats come too late, with two at work"""
        for _ in self.times(0.02):
            run, where = self.config(), self.fresh()
            with patience():
                pids = [self.fork(slow(self.make(run, where), self.random.random)) for _ in "ab"]
                codes = [self.end(pid) for pid in pids]
                if MADE not in codes:
                    self.lost.append(f"slow share: {codes}")
                self.injected["slow share"] += 2
                self.judge("slow share", run, where)

    def alien(self) -> None:
        """any file of a store truncated, altered, emptied, or something else in its place"""
        for number in self.times(0.3):
            run, where = self.config(), self.fresh()
            finished = number % 2 == 0
            action = self.make(run, where)
            self.end(
                self.fork(action if finished else dying(action, self.random.randrange(20, 40)))
            )
            found = [path for path in where.home.rglob("*") if path.is_file()]
            if not found:
                continue
            path = self.random.choice(found)
            kind = self.random.choice(list(DAMAGE))
            DAMAGE[kind](path, self.random)
            self.injected[f"file {kind}"] += 1
            with patience():
                if self.end(self.fork(action)) == REFUSED:
                    remove(path)  # as the sentence says
                self.judge(f"{path.name} {kind}", run, where)

    def full_disk(self) -> None:
        """a disk of a few pages that is full at any moment (tmpfs), or a limit on a file's size"""
        for folder in self.disk("full disk"):
            for _ in self.times(0.06):
                run, where = self.config(), self.fresh(folder)
                filler = folder / "filler"
                room = 4096 * self.random.randrange(0, 12)
                free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
                filler.write_bytes(bytes(max(0, free - room)))
                code = self.end(self.fork(self.make(run, where)))
                self.injected["full disk"] += code == REFUSED
                filler.unlink()
                self.judge("full disk", run, where)
        for _ in self.times(0.05):
            run, where = self.config(), self.fresh()
            largest = self.random.randrange(0, 4000)
            code = self.end(self.fork(limited(self.make(run, where), largest)))
            self.injected["file too large"] += code == REFUSED
            self.judge("file too large", run, where)

    def read_only(self) -> None:
        """a folder that nobody may write, before a run, half-way through it, and after it"""
        for folder in self.disk("read-only folder"):
            for _ in self.times(0.015):
                run, where = self.config(), self.fresh(folder)
                done = self.end(
                    self.fork(dying(self.make(run, where), self.random.randrange(0, 90)))
                )
                made = any(where.paths())  # also where it was killed after its record was written
                mount("remount,ro", folder)
                code = self.end(self.fork(self.make(run, where)))
                mount("remount,rw", folder)
                if code != (MADE if made else REFUSED):
                    self.wrong.append(f"read-only: {code} after {done}")
                self.injected["read-only folder"] += 1
                self.judge("read-only", run, where)

    def no_folder(self) -> None:
        """a store that is a file, a device, below a file, too long a name, a link to itself"""
        loop_ = self.root / "itself"
        if not loop_.is_symlink():
            loop_.symlink_to(loop_)
        a_file = self.root / "a-file"
        a_file.write_text("")
        homes = ("/dev/full", "/dev/null", a_file, a_file / "below", self.root / ("x" * 300), loop_)
        for home in homes:
            run = self.config()
            if self.end(self.fork(self.make(run, store.Store(Path(home))))) != REFUSED:
                self.wrong.append(f"no folder: {home} was taken for a store")
            self.injected["no folder"] += 1

    def to_publish(self) -> list[Config]:
        """Four runs in the store that is now the user's."""
        home = store.Store(self.root / "to-publish")
        runs = [toybench.config("plain", seed=seed) for seed in range(4)]
        for run in runs:
            self.end(self.fork(self.make(run, home)))
        os.environ["HKT_RUNS"] = str(home.home)
        return runs

    def publishing(self) -> None:
        """four processes publish a record each, one is killed; then all publish again"""
        runs = self.to_publish()
        for _ in self.times(0.01):
            self.number += 1
            os.environ["HKT_RESULTS"] = str(self.root / f"results-{self.number}")
            actions = [lambda name=run.id: store.publish([name]) for run in runs]
            dead = self.random.randrange(4)
            pids = []
            for number, action in enumerate(actions):
                last = self.random.randrange(1, 14)
                pids.append(self.fork(dying(action, last) if number == dead else action))
            codes = [self.end(pid) for pid in pids]
            self.injected["killed while publishing"] += codes[dead] < 0
            self.injected["publishing at once"] += 3
            listed = set(store.manifest())
            for number, run in enumerate(runs):
                if codes[number] == MADE and f"run-{run.id}.json" not in listed:
                    self.lost.append(f"publishing: {run.id} is not in the manifest")
            self.end(self.fork(actions[dead]))
            try:
                if len(store.published()) != len(runs) or list(store.manifest_flaws()):
                    self.corrupt.append("publishing: not all are published in the end")
            except HKTError as error:
                self.corrupt.append(f"publishing: {error}")
            shutil.rmtree(settings.results_home())

    def publishing_on_a_full_disk(self) -> None:
        """the published records can be read whenever the disk was full in publishing"""
        ids = [run.id for run in self.to_publish()]
        for folder in self.disk("publishing on a full disk"):
            results = folder / "results"
            os.environ["HKT_RESULTS"] = str(results)
            for _ in self.times(0.02):
                self.end(self.fork(lambda: store.publish(ids[:1])))
                filler = folder / "filler"
                room = 4096 * self.random.randrange(0, 6)
                free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
                filler.write_bytes(bytes(max(0, free - room)))
                code = self.end(self.fork(lambda: store.publish(ids)))
                self.injected["full disk while publishing"] += code == REFUSED
                expected = len(ids) if code == MADE else 1
                try:
                    flaws = list(store.manifest_flaws())
                    if len(store.published()) != expected or flaws:
                        self.corrupt.append(f"publishing on a full disk: {flaws}")
                except HKTError as error:
                    self.corrupt.append(f"publishing on a full disk: {error}")
                filler.unlink()
                shutil.rmtree(results)

    @contextmanager
    def mounted(self):
        folder = self.root / f"disk-{self.number}"
        folder.mkdir()
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)],
            check=True,
            capture_output=True,
        )
        try:
            yield folder
        finally:
            subprocess.run(["umount", "-l", str(folder)], check=False)

    def disk(self, what: str):
        """A disk of 256 KiB; none, in words, where this process may not mount one."""
        try:
            with self.mounted() as folder:
                yield folder
        except (OSError, subprocess.CalledProcessError):
            self.skipped[what] = "a small disk cannot be mounted here (needs root on Linux)"

    SCENARIOS = (
        killed,
        killed_in_a_write,
        killed_from_outside,
        racers,
        paused,
        elsewhere,
        slow_share,
        alien,
        full_disk,
        read_only,
        no_folder,
        publishing,
        publishing_on_a_full_disk,
    )

    def report(self) -> dict:
        return {
            "faults injected": sum(self.injected.values()),
            "runs lost": len(self.lost),
            "records corrupt": len(self.corrupt),
            "by kind": dict(sorted(self.injected.items())),
            "skipped": self.skipped,
            "what": [*self.lost, *self.corrupt, *self.wrong],
        }


def main(faults: int = 1000, seed: int | None = None, only: str = "") -> int:
    seed = int(time.time()) if seed is None else seed
    torch.set_num_threads(1)
    golden._git = lambda *words: ""  # a working tree is dirty at times; then nothing is published
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        suite = Suite(Path(folder), faults, seed)
        for scenario in Suite.SCENARIOS:
            if only in scenario.__name__:
                began, before = time.monotonic(), sum(suite.injected.values())
                scenario(suite)
                took, made = time.monotonic() - began, sum(suite.injected.values()) - before
                said = f"{scenario.__name__:<28}{made:5} faults {took:6.1f} s  {scenario.__doc__}"
                print(said, file=sys.stderr, flush=True)
        report = {"seed": seed, **suite.report()}
        log = Path(folder) / "tracebacks"
        if log.exists():
            print(log.read_text()[-6000:], file=sys.stderr)
    print(json.dumps(report, indent=1))
    return int(bool(report["what"]))


if __name__ == "__main__":
    sys.exit(main(*(int(word) for word in sys.argv[1:3]), *sys.argv[3:4]))
