"""Source notebooks -> executed pages, side by side, one a core.   hkt pages 10_cifar10

A page is a notebook of notebooks/ executed by papermill under typed parameters, in a kernel of its
own with one thread.
"""

import logging
import multiprocessing
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from .. import config, files
from ..config import HKTError
from .notebook import finish, key, read
from .parameters import typed

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def sources() -> list[Path]:
    """The source notebooks in the book's order."""
    return sorted((config.PROJECT / "notebooks").glob("*.ipynb"))


def execute_all(jobs: Iterable[tuple[Path, dict, Path]], workers: int = 0) -> Iterator[Path]:
    """Execute (notebook, parameters, page) jobs in so many processes (0: one a core); yields pages.

    Each page gets a kernel with one thread, so that they do not spin against each other.  Jobs
    start in the given order.  Raises HKTError for the first that fails; those under way end first.
    """
    jobs = list(jobs)
    workers = min(workers or _cores(), len(jobs))
    if workers <= 1:
        yield from (execute(*job) for job in jobs)
        return
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, spawn, _same_project, (config.PROJECT,))
    try:
        for done in as_completed([pool.submit(execute, *job) for job in jobs]):
            yield done.result()
    except BrokenProcessPool:
        raise HKTError(
            "A process that executed pages was killed, perhaps for memory; finished pages are "
            "kept, the same command goes on from there."
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _same_project(root: Path) -> None:
    config.PROJECT = root


def _cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def execute(notebook: Path, parameters: dict, out: Path) -> Path:
    """Execute `notebook` under `parameters` and put the finished page at `out`, atomically.

    The kernel is this interpreter's own ipykernel, whatever kernels are installed, in the
    notebook's folder and with this package.  Raises HKTError for a wrong parameter, or for a
    failing cell: the copy so far is then kept beside `out` as NAME.failed.ipynb and an earlier good
    page is left as it was.
    """
    import nbformat

    values = typed(notebook, parameters)
    failed = out.with_suffix(".failed.ipynb")
    out.parent.mkdir(parents=True, exist_ok=True)
    before, began, worked = key(notebook, values), time.monotonic(), _children()
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / out.name
        _carry_out(notebook, values, draft, failed)
        page = read(draft)
    facts = {
        "key": before,
        "duration": round(time.monotonic() - began, 1),
        "cpu": round(_children() - worked, 1),
    }
    finish(page, notebook, values, facts)
    files.write_bytes(out, (nbformat.writes(page, version=4) + "\n").encode())
    failed.unlink(missing_ok=True)
    return out


def _carry_out(notebook: Path, values: dict, draft: Path, failed: Path) -> None:
    """Papermill writes `draft`, cell by cell; of a cell that fails HKTError, and the copy so far is
    `failed`."""
    import papermill

    logging.getLogger("papermill").setLevel(logging.ERROR)
    try:
        papermill.execute_notebook(
            str(notebook),
            str(draft),
            values,
            kernel_name="python3",
            language="python",
            cwd=str(notebook.parent.resolve()),
            progress_bar=False,
            log_output=False,
            kernel_manager_class=_kernel_manager(),
        )
    except Exception as error:  # papermill's, nbclient's, the kernel's: a cell failed
        rest = "nothing was written."
        if draft.exists():
            files.write_bytes(failed, draft.read_bytes())
            rest = f"the copy made so far is {failed}."
        raise HKTError(f"{notebook.name} failed{_culprit(error)}; {rest}") from error


def _children() -> float:
    """Seconds of processor time of the kernels that have ended (0 on Windows)."""
    return os.times().children_user + os.times().children_system


def _kernel_manager():
    """A kernel manager that knows one kernel: this interpreter's, importing this package."""
    from ipykernel.kernelspec import RESOURCES, get_kernel_dict
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    class OwnKernel(AsyncKernelManager):
        kernel_spec = KernelSpec(resource_dir=RESOURCES, **get_kernel_dict())

        async def start_kernel(self, **options):
            # Its own notices, such as those of being stopped, are nothing for the user's terminal;
            # what a cell writes to stderr comes through the protocol.
            quiet = {"env": environment(), "stderr": subprocess.DEVNULL}
            return await super().start_kernel(**{**options, **quiet})

    return OwnKernel


def environment(**changes: str) -> dict[str, str]:
    """Variables of a kernel: this package first on the path, one thread, no colours in prints."""
    here = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    return {
        **os.environ,
        **dict.fromkeys(ONE_THREAD, "1"),
        "PYTHONPATH": path,
        "NO_COLOR": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        **changes,
    }


def _culprit(error: Exception) -> str:
    """' in code cell 3 with KeyError: …' of papermill's report, or what became of the kernel."""
    if hasattr(error, "ename"):
        said = plain(error.evalue).strip().rstrip(".") or "no message"
        return f" in code cell {error.exec_count} with {error.ename}: {said}"
    said = plain(str(error)).strip() or "no message"
    return f" with {type(error).__name__}: {said.splitlines()[0]}"


def plain(text: str) -> str:
    """Without the codes that colour a terminal."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
