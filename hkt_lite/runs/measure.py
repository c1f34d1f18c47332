"""What a run costs and how its per-image numbers are summed up; and what a run would cost."""

import shutil
import sys
from base64 import b64encode
from contextlib import suppress
from functools import partial
from pathlib import Path
from timeit import repeat, timeit

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..benchmarks import get, method_class
from ..benchmarks.task import evaluating
from ..benchmarks.weights import parameters
from ..config import Config, HKTError
from ..methods.parent import Cached
from .device import deterministic
from .parent import cache_bytes, parent_file
from .precision import autocast
from .records import QUANTILES
from .store import Store


def quantiles(values: Tensor) -> dict[str, float]:
    """q05 … q95 and the mean of a vector, in double precision."""
    levels = torch.tensor(list(QUANTILES.values()), dtype=torch.float64)
    found = dict(zip(QUANTILES, torch.quantile(values.double(), levels).tolist()))
    return {**found, "mean": values.double().mean().item()}


def bits(right: Tensor) -> str:
    """A vector of truth values in base64, eight a byte, the first one highest."""
    return b64encode(np.packbits(right.cpu().numpy()).tobytes()).decode()


def fidelity(child: Tensor, parent: Tensor) -> dict[str, float]:
    """How closely logits (N, K) follow the parent's (Stanton et al., 2021).

    agreement: percent of examples with the same answer; kl: mean divergence of the child's
    distribution from the parent's, in nats.
    """
    same = (child.argmax(1) == parent.argmax(1)).double().mean().item()
    p, q = parent.double().log_softmax(1), child.double().log_softmax(1)
    divergence = F.kl_div(q, p, reduction="batchmean", log_target=True).item()
    return {"agreement": 100 * same, "kl": divergence}


def forget_peak(cuda: bool = False) -> None:
    """Let `peak_memory_mb` begin anew; it stays that of the whole process on other systems."""
    if cuda:
        return torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):  # Linux: proc(5)
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def peak_memory_mb(cuda: bool = False) -> float | None:
    """The most memory that this process, or its GPU, has held since `forget_peak`, in MiB; None
    where nobody tells."""
    if cuda:
        return torch.cuda.max_memory_allocated() / 2**20
    with suppress(OSError, IndexError):  # Linux; `getrusage` begins with what its parent has held
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(status.split("VmHWM:")[1].split()[0]) / 2**10
    with suppress(ImportError):  # Windows has none
        import resource

        unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
    return None


def flops(model: nn.Module, example: tuple) -> int:
    """Floating-point operations (a multiply-add is two) of one forward pass on `example`."""
    from torch.utils.flop_counter import FlopCounterMode

    with evaluating(model), FlopCounterMode(display=False) as counter:
        model(*example)
    return counter.get_total_flops()


def estimate(config: Config) -> dict:
    """{'seconds', 'disk_mb', 'free_mb'} of a run, from three plain steps of the child; of one whose
    data or parent is not here {'seconds': None, 'disk_mb': None, 'unknown': why}.

    The parent is counted as one forward pass for every image and cached view, or every image and
    epoch; other methods' own work is not.
    """
    try:
        return _estimate(config)
    except HKTError as error:
        return {"seconds": None, "disk_mb": None, "unknown": str(error)}


def _estimate(config: Config) -> dict:
    store = Store.default()
    with deterministic(config):
        task = get(config.task)(config).load()
        child = task.child().train()
        batch = task.batch(torch.arange(min(config.batch_size, task.train_size)), 0)

        def step() -> None:
            with autocast(config.device, config.precision, config.compile):
                loss = task.loss(task.predict(child, batch), batch)
            loss.backward()

        fastest = min(repeat(step, number=1, repeat=4))  # the first is slow
        seconds, cache = fastest * (task.train_size // config.batch_size) * config.epochs, 0
        if method_class(config.method).needs_parent:
            cached = config.parent_source == "cached"
            passes = task.train_size * (config.views if cached else config.epochs)
            random = config.parent_weights == "random"  # a file that is not written for a guess
            parent = task.newborn() if random else task.parent(parent_file(config, task, store))[0]
            if cached:
                source = Cached(parent, task.predict, task.sites, task.predict_tail)
                cache = cache_bytes(source, task)
            with torch.no_grad():
                once = timeit(partial(task.predict, parent.eval(), batch), number=1)
            seconds += passes * once / config.batch_size
    home = next(path for path in (store.home, *store.home.parents) if path.exists())
    return {
        "seconds": round(seconds),
        "disk_mb": round((5 * 4 * parameters(child) + cache) / 2**20, 1),
        "free_mb": shutil.disk_usage(home).free // 2**20,
    }
