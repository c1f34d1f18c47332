"""Sites: the pairs of places where a parent's feature meets a child's; reading and replacing features without editing a model.

with record(model, ["layer3", "avgpool"]) as seen:            # seen["avgpool"] -> [tensor of each call]
    model(x)
with replay(model, {"avgpool": lambda own, call: own * 2}):   # or a tensor, then the module itself is not executed
    model(x)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from torch import Tensor, nn


class MethodError(ValueError):
    """Something a method or its parts refuse; the message is one sentence."""


class SiteError(MethodError):
    """A site that does not exist, or whose features do not fit; the message names it."""


@dataclass(frozen=True)
class Site:
    """One place of inheritance: a module path in the parent and one in the child.

    `upstream_*` name modules that lie before the site and on which nothing after it depends except through the site or through
    their own outputs; a second pass replays their recorded outputs, so that it executes only what depends on the site.

    parts  (parent's, child's) channels of slices with roles of their own, joined in one tensor: each is transferred and mixed alone
    alone  the module is called once a pass and depends on no other site: the second pass does not execute it, and a parent
           with such sites only is run no further than to the last of them
    """

    parent: str
    child: str
    upstream_parent: tuple[str, ...] = ()
    upstream_child: tuple[str, ...] = ()
    parts: tuple[tuple[int, int], ...] = ()
    alone: bool = False

    @property
    def name(self) -> str:
        return self.child if self.child == self.parent else f"{self.parent} -> {self.child}"


def locate(model: nn.Module, path: str) -> tuple[object, str]:
    """The object and attribute to replace for `path`: a submodule's `forward`, or a method of a submodule ('encoder.features')."""
    owner: object = model
    for depth, name in enumerate(parts := path.split(".")):
        if not hasattr(owner, name):
            raise SiteError(
                f"Site {path!r}: {type(model).__name__} has no {'.'.join(parts[: depth + 1])!r}; it has "
                f"{', '.join(key for key, _ in getattr(owner, 'named_children', lambda: [])()) or 'no submodules'} there."
            )
        if isinstance(target := getattr(owner, name), nn.Module):
            owner = target
        elif depth == len(parts) - 1 and callable(target):
            return owner, name
        else:
            raise SiteError(
                f"Site {path!r}: {name!r} of {type(owner).__name__} is a {type(target).__name__}, neither a module nor a method."
            )
    return owner, "forward"


@contextmanager
def _replaced(owner: object, name: str, function: Callable) -> Iterator[None]:
    """`owner.name` is `function` inside the block and exactly what it was afterwards, also after an exception."""
    had, before = name in vars(owner), vars(owner).get(name)
    object.__setattr__(owner, name, function)
    try:
        yield
    finally:
        if had:
            object.__setattr__(owner, name, before)
        else:
            object.__delattr__(owner, name)


class _Enough(Exception):
    """Every named module has been called; what comes later is not needed."""


@contextmanager
def record(
    model: nn.Module, paths: Sequence[str], enough: bool = False
) -> Iterator[dict[str, list[Tensor]]]:
    """Keep the outputs of the named modules while the block runs: {path: [output of the first call, of the second, …]}.

    With `enough` the block ends as soon as each of them was called once, and the rest of the model is not executed.
    Raises SiteError for a path that is not in the model and for an output that is not a tensor.
    """
    seen: dict[str, list[Tensor]] = {path: [] for path in paths}

    def keeper(path: str, original: Callable) -> Callable:
        def forward(*args, **kwargs):
            output = original(*args, **kwargs)
            if not isinstance(output, Tensor):
                raise SiteError(
                    f"Site {path!r} returns a {type(output).__name__}, not a tensor; name a module inside it."
                )
            seen[path].append(output)
            if enough and all(seen.values()):
                raise _Enough
            return output

        return forward

    with ExitStack() as stack:
        for path in seen:
            owner, name = locate(model, path)
            stack.enter_context(_replaced(owner, name, keeper(path, getattr(owner, name))))
        with suppress(_Enough):
            yield seen


@contextmanager
def replay(
    model: nn.Module,
    values: Mapping[str, Tensor | Sequence[Tensor] | Callable[[Tensor, int], Tensor]],
) -> Iterator[None]:
    """Make the named modules return something else while the block runs.

    A tensor, or a list with one tensor a call, is returned without executing the module.  A function is given the module's own output
    and the number of the call (0, 1, …) and returns what takes its place.  Raises SiteError for a missing path, for more calls than
    the list has tensors, and for a replacement of another rank or batch than the module's own output.
    """

    def player(path: str, value, original: Callable) -> Callable:
        calls = 0

        def forward(*args, **kwargs):
            nonlocal calls
            call, calls = calls, calls + 1
            if isinstance(value, Tensor):
                return value
            if not callable(value):
                if call >= len(value):
                    raise SiteError(
                        f"Site {path!r} was called {call + 1} times, but only {len(value)} recorded outputs are to be replayed."
                    )
                return value[call]
            own = original(*args, **kwargs)
            given = value(own, call)
            if given.ndim != own.ndim or given.shape[0] != own.shape[0]:
                raise SiteError(
                    f"Site {path!r}: {tuple(given.shape)} cannot take the place of {tuple(own.shape)}; rank and batch must agree."
                )
            return given

        return forward

    with ExitStack() as stack:
        for path, value in values.items():
            owner, name = locate(model, path)
            stack.enter_context(_replaced(owner, name, player(path, value, getattr(owner, name))))
        yield


@contextmanager
def statistics_kept(model: nn.Module) -> Iterator[None]:
    """Batch normalisation in training mode uses the batch as ever, but its running statistics are left alone inside the block."""
    layers = [
        module
        for module in model.modules()
        if isinstance(module, nn.modules.batchnorm._NormBase) and module.track_running_stats
    ]
    for layer in layers:
        layer.track_running_stats = (
            not layer.training
        )  # in eval mode the running statistics are needed
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True
