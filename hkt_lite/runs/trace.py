"""One training batch, looked into.   hkt trace cifar10 hkt"""

import torch
from torch import nn

from ..benchmarks import get, resolve
from ..config import Config
from ..methods.method import Method
from .device import deterministic
from .loop import Run
from .measure import quantiles
from .store import Store


def trace(config: Config) -> dict:
    """Shapes at every site, loss terms, what was inherited, gradient norms: of the first batch.

    {'run', 'batch': {name: shape}, 'sites': {site: {'parent', 'child'}}, 'terms', 'gradients' (norm
    on the child's weights, by term), 'inherited': quantiles over the batch}.  Nothing is trained.
    Raises HKTError as a run would.
    """
    config = resolve(config)
    with deterministic(config):
        task = get(config.task)(config).load()
        run = Run(config, task, Store.default())
        method = run.method.train()
        batch = task.batch(torch.arange(min(config.batch_size, task.train_size)), 0)
        terms = run.terms(batch)
        return {
            "run": config.id,
            "batch": {name: _shape(value) for name, value in batch._asdict().items()},
            "sites": _sites(method, batch) if method.parent else {},
            "terms": {name: term.item() for name, term in terms.items()},
            "gradients": {name: _norm(term, method.child) for name, term in terms.items()},
            "inherited": {name: quantiles(value) for name, value in method.observe().items()},
        }


def _norm(term: torch.Tensor, child: nn.Module) -> float:
    """Euclidean norm of a term's gradient on all weights of the child."""
    weights = list(child.parameters())
    parts = torch.autograd.grad(term, weights, retain_graph=True, allow_unused=True)
    return sum(float(part.double().square().sum()) for part in parts if part is not None) ** 0.5


@torch.no_grad()
def _sites(method: Method, batch) -> dict:
    _, own, inherited = method.features(batch)
    return {
        site.name: {
            "parent": [_shape(x) for x in inherited.features[site.parent]],
            "child": [_shape(x) for x in own[site.child]],
        }
        for site in method.sites
    }


def _shape(value) -> str:
    return " x ".join(map(str, value.shape)) if isinstance(value, torch.Tensor) else str(value)
