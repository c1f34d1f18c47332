"""Where and how a run computes: threads, deterministic kernels, compilation, memory that ends."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch.utils import deterministic as fills

from ..config import Config, HKTError, stream
from ..methods.method import MethodError


@contextmanager
def deterministic(config: Config) -> Iterator[None]:
    """Threads and kernels as configured; the caller's settings and random state afterwards.

    Fresh memory is not filled, as torch would with deterministic kernels: that takes a tenth of a
    step, and changes only what reads memory that nobody wrote.  Raises HKTError where the device
    is missing, and in place of a method's own errors.
    """
    if config.device == "cuda" and not torch.cuda.is_available():
        raise HKTError("device is 'cuda', but torch sees no GPU here; use -s device=cpu.")
    if config.device == "mps" and not torch.backends.mps.is_available():
        raise HKTError("device is 'mps', but torch sees no Apple GPU here; use -s device=cpu.")
    threads = torch.get_num_threads()
    before = torch.are_deterministic_algorithms_enabled()
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    filled = fills.fill_uninitialized_memory
    torch.set_num_threads(config.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    fills.fill_uninitialized_memory = False
    try:
        with torch.random.fork_rng():
            torch.manual_seed(stream(config.seed, "method").initial_seed())
            yield
    except MethodError as error:
        raise HKTError(f"Method {config.method!r}: {error}") from error
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(before, warn_only=warned)
        fills.fill_uninitialized_memory = filled


def check_compile(config: Config, at_sites: bool) -> None:
    """HKTError where `compile` was asked for and cannot work, as with a method at sites."""
    if not config.compile:
        return
    if at_sites:
        raise HKTError(
            f"compile does not work with {config.method!r}: it reads or replaces modules at run "
            "time, which a compiled child does not see; use compile=False."
        )
    if config.device == "cpu" and not any(map(shutil.which, ("c++", "g++", "clang++", "cl"))):
        raise HKTError("compile finds no C++ compiler; install one or use compile=False.")


def fits(action: Callable, *given) -> bool:
    """Do `action(*given)`; False where memory ends in it."""
    try:
        action(*given)
    except (MemoryError, torch.OutOfMemoryError):
        return False
    except RuntimeError as error:  # of a CPU
        if "can't allocate memory" in str(error) or "not enough memory" in str(error):
            return False
        raise
    return True


def too_large(config: Config, size: int, action: Callable[[int], None]) -> str:
    """The sentence for a batch of `size` that does not fit, with the largest that does: the first
    of size / 2, size / 4, … for which `action` finds memory."""
    asked, where = size, f"the memory of {config.device}"
    while size > 1:
        size //= 2
        torch.cuda.empty_cache()  # nothing where there is none
        if fits(action, size):
            return (
                f"A batch of {asked} does not fit into {where}; the largest that does here is "
                f"about {size}: use -s batch_size={size}."
            )
    return (
        f"Not even one example fits into {where} with {config.method!r}; use smaller patches "
        "(crop, or the crop of each stage) or a smaller parent."
    )
