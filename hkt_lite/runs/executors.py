"""Where runs are made: in this process, in processes of this machine, on a Dask cluster.

    for number, answer in processes(4, jobs, tell): …

An executor (`here`, or `partial` of another with its place) takes jobs in the order in which they
are wanted, yields (number, answer) as they end, and calls tell(number, done, val) meanwhile: the
share that is done and the last validation metrics.  Each hands a job to `execute`: a run is a
function of its configuration and a store.  The threads of a run are its configuration's, so whoever
makes several at once needs as many cores.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from typing import NamedTuple

import torch

from ..config import Config, HKTError
from .claim import Busy
from .loop import run
from .records import Purpose, RunRecord

TRIES = 3  # of a run whose process was killed
OFTEN = 0.5  # seconds between two reports of a run
Tell = Callable[[int, float, dict], None]
ONE_AT_A_TIME = threading.Lock()  # threads and random states are the process'


class Job(NamedTuple):
    config: Config
    purpose: Purpose = "score"
    wait: bool = True  # for another process that makes the same run, instead of a busy answer
    gpu_gib: float | None = None  # memory of a GPU that the run may take


class Answer(NamedTuple):
    record: RunRecord | None
    reason: str = ""  # why there is no record
    busy: bool = False  # since another process makes it


Answers = Iterator[tuple[int, Answer]]
Executor = Callable[[list[Job], Tell], Answers]


def execute(job: Job, tell: Callable[[float, dict], None]) -> Answer:
    """Make one run in this process; whatever goes wrong in it is an answer, so stops no other."""
    told = time.monotonic() - OFTEN
    val: dict[str, float] = {}

    def progress(step: int, steps: int, epoch) -> None:
        nonlocal told, val
        val = epoch.val if epoch else val
        if epoch or time.monotonic() - told >= OFTEN:
            told = time.monotonic()
            tell(step / steps, val)

    with ONE_AT_A_TIME:
        try:
            _limit_gpu(job)
            made = run(
                job.config, job.purpose, wait=job.wait, progress=progress, checkpoint_steps=50
            )
            return Answer(made.record)
        except HKTError as error:
            return Answer(None, str(error), busy=isinstance(error, Busy))
        except Exception as error:
            return Answer(None, _sentence(error))


def _sentence(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def _limit_gpu(job: Job) -> None:
    """A run that needs more fails with a sentence, instead of those that share its card."""
    if job.gpu_gib and job.config.device == "cuda" and torch.cuda.is_available():
        total = torch.cuda.get_device_properties(0).total_memory / 2**30
        torch.cuda.set_per_process_memory_fraction(min(1.0, job.gpu_gib / total))


def here(jobs: list[Job], tell: Tell) -> Answers:
    """One after the other in this process."""
    for number, job in enumerate(jobs):
        yield number, execute(job, partial(tell, number))


def processes(count: int, jobs: list[Job], tell: Tell) -> Answers:
    """`count` at a time, each in a process of its own, which may be killed: it is tried again.

    GPUs are dealt out in turn.  Processes are forked, where that works, from one with torch.
    """
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    context.set_forkserver_preload([__name__])
    pool, slots = _Pool(context), ThreadPoolExecutor(count)
    for card in cards(count):
        pool.cards.put(card)
    futures = {
        slots.submit(pool.answer, job, partial(tell, number)): number
        for number, job in enumerate(jobs)
    }
    try:
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:  # of an interrupted grid, too
        pool.stop()
        slots.shutdown(cancel_futures=True)


def cards(count: int) -> list[str]:
    """The GPU of each of `count` processes, by number or name; '' where there is none."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    known = named.split(",") if named else [str(n) for n in range(torch.cuda.device_count())]
    return [known[slot % len(known)] if known else "" for slot in range(count)]


class _Pool:
    """Processes that each make one run."""

    def __init__(self, context):
        self.context, self.stopped = context, False
        self.cards: SimpleQueue[str] = SimpleQueue()
        self.living: set = set()

    def answer(self, job: Job, tell: Callable[[float, dict], None]) -> Answer:
        card, reason = self.cards.get(), ""
        try:
            for _ in range(TRIES):
                receiver, sender = self.context.Pipe(duplex=False)
                process = self.context.Process(target=_child, args=(job, sender, card, _settings()))
                process.start()
                self.living.add(process)
                sender.close()
                if self.stopped:
                    process.kill()
                answer = _heard(receiver, tell)
                process.join()
                self.living.discard(process)
                if answer or self.stopped:
                    return answer or Answer(None, "interrupted")
                reason = f"its process ended with exit code {process.exitcode}, {TRIES} times"
            return Answer(None, reason)
        finally:
            self.cards.put(card)

    def stop(self) -> None:
        self.stopped = True
        for process in list(self.living):
            process.kill()


def _settings() -> dict[str, str]:
    """What was set since the process was started that others are forked from."""
    return {key: value for key, value in os.environ.items() if key.startswith("HKT_")}


def _heard(receiver: Connection, tell: Callable) -> Answer | None:
    """The answer of a process; None if it ended without one."""
    while True:
        try:
            said = receiver.recv()
        except (EOFError, OSError):
            return None
        if isinstance(said, Answer):
            return said
        tell(*said)


def _child(job: Job, sender: Connection, card: str, settings: dict[str, str]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which ends this one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.update(settings)
    if card:
        os.environ["CUDA_VISIBLE_DEVICES"] = card
    sender.send(execute(job, lambda *said: sender.send(said)))


def _end_with_parent() -> None:
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def dask(address: str, jobs: list[Job], tell: Tell) -> Answers:
    """On the workers of a Dask scheduler, each with its own store (HKT_RUNS) and one thread.

    Workers may declare the resource gpu_gib: then runs with a stated memory share a card up to it.
    """
    try:
        from distributed import Client
    except ImportError:
        raise HKTError("A Dask cluster needs `pip install hkt-lite[cluster]`.") from None
    try:
        client = Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise HKTError(f"No Dask scheduler answers at {address} ({error}).") from None
    with client:
        yield from _on_cluster(client, jobs, tell)


def _on_cluster(client, jobs: list[Job], tell: Tell) -> Answers:
    from distributed import as_completed

    for name, threads in client.nthreads().items():
        if threads > 1:
            raise HKTError(
                f"Dask worker {name} would make {threads} runs in one process, which would mix "
                "their random states: start workers with --nthreads 1 and more of them."
            )
    if any(job.gpu_gib for job in jobs) and not client.run_on_scheduler(_gpu_workers):
        raise HKTError(
            "No Dask worker says how much of a GPU it may take: start workers with --resources "
            "gpu_gib=8, say, or leave out --gpu-gib."
        )
    topic = f"hkt-{os.getpid()}-{time.time_ns()}"
    client.subscribe_topic(topic, lambda event: tell(*event[1]))
    futures = {}
    for number, job in enumerate(jobs):
        needs = {"resources": {"gpu_gib": job.gpu_gib}} if job.gpu_gib else {}
        key = f"{topic}-{number}"
        future = client.submit(_on_worker, job, number, topic, key=key, pure=False, **needs)
        futures[future] = number
    for future in as_completed(futures):
        try:
            answer = future.result()
        except Exception as error:  # of Dask: workers that died, a scheduler that is gone
            answer = Answer(None, _sentence(error))
        yield futures[future], answer


def _gpu_workers(dask_scheduler) -> int:
    return len(dask_scheduler.resources.get("gpu_gib", ()))


def _on_worker(job: Job, number: int, topic: str) -> Answer:
    from distributed import get_worker

    worker = get_worker()
    return execute(job, lambda done, val: worker.log_event(topic, (number, done, val)))
