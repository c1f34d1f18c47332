"""The optimizer of a configuration, its learning rate at every step, and its climb before one."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from ..config import Config


def build_optimizer(config: Config, trained: list[nn.Parameter]) -> torch.optim.Optimizer:
    """SGD with momentum, or AdamW with PyTorch's other defaults."""
    if config.optimizer == "adamw":
        return torch.optim.AdamW(trained, config.lr, weight_decay=config.weight_decay)
    return torch.optim.SGD(trained, config.lr, config.momentum, weight_decay=config.weight_decay)


def learning_rate(config: Config, step: int, steps: int) -> float:
    """The rate of step 0 … steps - 1.

    multistep: lr, a tenth after half of the steps, a hundredth after three quarters (the release's
    100 and 150 of 200 epochs).  onecycle: from lr / 25 up to lr over the first 30 % of the steps,
    down to 0 over the rest, both as half cosines (Smith, 2018).  cosine: from lr down to 0 as one
    half cosine (Loshchilov and Hutter, 2017).  A curriculum goes through its schedule once in each
    stage, at the stage's share of lr.
    """
    first, unit = 0, steps // config.epochs
    for stage in config.stages or ():
        if step < first + stage.epochs * unit:
            return stage.lr * _rate(config, (step - first) / (stage.epochs * unit))
        first += stage.epochs * unit
    return _rate(config, step / steps)


def _rate(config: Config, done: float) -> float:
    if config.schedule == "multistep":
        if done < 0.5:
            return config.lr
        return config.lr * (0.1 if done < 0.75 else 0.01)
    if config.schedule == "cosine":
        low, high, share = 0.0, config.lr, 1 - done
    elif done < 0.3:
        low, high, share = config.lr / 25, config.lr, done / 0.3
    else:
        low, high, share = 0.0, config.lr, 1 - (done - 0.3) / 0.7
    cosine = torch.cos(torch.tensor(share * torch.pi, dtype=torch.float64)).item()
    return low + (high - low) * (1 - cosine) / 2


@contextmanager
def climbed(trained: Sequence[nn.Parameter], radius: float) -> Iterator[None]:
    """The weights `radius` further up along their gradient, which is then forgotten; afterwards the
    weights as they were.

    A gradient taken inside is that of sharpness-aware minimisation (Foret et al., 2021, eq. 2-3).
    """
    moved = [p for p in trained if p.grad is not None]
    before = [p.detach().clone() for p in moved]
    length = torch.linalg.vector_norm(torch.stack([p.grad.norm() for p in moved]))
    with torch.no_grad():
        for p in moved:
            p += radius / (length + 1e-12) * p.grad
            p.grad = None
    try:
        yield
    finally:
        with torch.no_grad():
            for p, value in zip(moved, before):
                p.copy_(value)
