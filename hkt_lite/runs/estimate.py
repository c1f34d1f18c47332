"""What a run would cost before it is started, measured on a few steps.   hkt run cifar10 hkt --dry-run"""

from __future__ import annotations

import shutil
import time

import torch

from ..benchmarks import get, method_class
from ..benchmarks.weights import parameters
from ..config import Config, runs_home


def estimate(config: Config, steps: int = 3) -> dict:
    """{'seconds', 'disk_mb', 'free_mb'}: training time extrapolated from `steps` plain steps of the child, and the folder it would fill.

    The parent's cache is counted as one forward pass of it for every image and view; other methods' own work is not.
    """
    task = get(config.task)(config).load()
    threads = torch.get_num_threads()
    torch.set_num_threads(config.threads)
    try:
        child = task.child().train()
        batch = task.batch(torch.arange(min(config.batch_size, task.train_size)), 0)
        times = []
        for _ in range(steps + 1):
            began = time.perf_counter()
            task.loss(task.predict(child, batch), batch).backward()
            times.append(time.perf_counter() - began)
        seconds = min(times) * (task.train_size // config.batch_size) * config.epochs
        cache = 0
        if method_class(config.method).needs_parent:
            parent, _ = task.parent()
            with torch.no_grad():
                began = time.perf_counter()
                task.predict(parent.eval(), batch)
            per_image = (time.perf_counter() - began) / config.batch_size
            passes = config.views if config.parent_source == "cached" else config.epochs
            seconds += per_image * passes * task.train_size
            cache = (
                2 * 128 * config.views * task.train_size if config.parent_source == "cached" else 0
            )
    finally:
        torch.set_num_threads(threads)
    home = runs_home()
    while not home.exists():
        home = home.parent
    return {
        "seconds": round(seconds),
        "disk_mb": round((5 * 4 * parameters(child) + cache) / 2**20, 1),
        "free_mb": shutil.disk_usage(home).free // 2**20,
    }
