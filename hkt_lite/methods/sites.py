"""Sites: where a parent's feature meets a child's; features are read and replaced from outside.

with record(model, ["layer3", "avgpool"]) as seen:            # seen["avgpool"]: one tensor a call
    model(x)
with replay(model, {"avgpool": lambda own, call: own * 2}):   # or a tensor: it is not executed
    model(x)
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import count

from torch import Tensor, nn

from .options import MethodError


class SiteError(MethodError):
    """A site that does not exist, or whose features do not fit; the message names it."""


@dataclass(frozen=True)
class Site:
    """One place of inheritance: a module path in the parent and one in the child.

    upstream_*  modules before the site, on which nothing after it depends except through the site
                or their own outputs; a second pass replays these instead of executing them
    parts       (parent's, child's) channels of slices with roles of their own, joined in one
                tensor: each is transferred and mixed alone
    alone       the module is called once a pass and depends on no other site: a second pass does
                not execute it, and the parent is run no further than to the last of such sites
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
    """What to replace for `path`: (a submodule, 'forward'), or a submodule's method by its name."""
    owner, names = model, path.split(".")
    for depth, name in enumerate(names, 1):
        if not hasattr(owner, name):
            children = [key for key, _ in owner.named_children()] or ["no submodules"]
            raise SiteError(
                f"Site {path!r}: {type(model).__name__} has no {'.'.join(names[:depth])!r}; "
                f"it has {', '.join(children)} there."
            )
        target = getattr(owner, name)
        if isinstance(target, nn.Module):
            owner = target
        elif depth == len(names) and callable(target):
            return owner, name
        else:
            raise SiteError(
                f"Site {path!r}: {name!r} of {type(owner).__name__} is a "
                f"{type(target).__name__}, neither a module nor a method."
            )
    return owner, "forward"


@contextmanager
def _wrapped(
    model: nn.Module, paths: Iterable[str], wrap: Callable[[str, Callable], Callable]
) -> Iterator[None]:
    """In the block a call of each path is one of wrap(path, original); then all is as it was."""
    with ExitStack() as stack:
        for path in paths:
            owner, name = locate(model, path)
            original = getattr(owner, name)
            if name in vars(owner):
                stack.callback(object.__setattr__, owner, name, original)
            else:
                stack.callback(object.__delattr__, owner, name)
            object.__setattr__(owner, name, wrap(path, original))
        yield


class _Enough(Exception):
    """Every named module has been called."""


@contextmanager
def record(
    model: nn.Module, paths: Sequence[str], enough: bool = False
) -> Iterator[dict[str, list[Tensor]]]:
    """Keep the outputs of the named modules while the block runs: {path: [one tensor a call]}.

    With `enough` the block ends once each of them was called; the rest is not executed.  Raises
    SiteError for a path that is not in the model, for an output that is not a tensor and for one
    that a later module changes in place.
    """
    made: list[tuple[str, Tensor, int]] = []
    seen: dict[str, list[Tensor]] = {path: [] for path in paths}

    def keeping(path: str, original: Callable) -> Callable:
        def forward(*args, **kwargs):
            output = original(*args, **kwargs)
            if not isinstance(output, Tensor):
                said = f"Site {path!r} returns a {type(output).__name__}, not a tensor"
                raise SiteError(f"{said}; name a module inside it.")
            seen[path].append(output)
            made.append((path, output, output._version))
            if enough and all(seen.values()):
                raise _Enough
            return output

        return forward

    with _wrapped(model, seen, keeping), suppress(_Enough):
        yield seen
    for path, output, version in made:
        if output._version != version:
            said = f"Site {path!r}: a later module, such as ReLU(inplace=True), changes its output"
            raise SiteError(f"{said} in place; name that module, or let it make a new tensor.")


@contextmanager
def replay(
    model: nn.Module,
    values: Mapping[str, Tensor | Sequence[Tensor] | Callable[[Tensor, int], Tensor]],
) -> Iterator[None]:
    """Make the named modules return something else while the block runs.

    A tensor, or a list with one a call, is returned without executing the module.  A function is
    given the module's own output and the number of the call (0, 1, …).  Raises SiteError for a
    missing path, for more calls than tensors, and for a replacement of another rank or batch.
    """

    def playing(path: str, original: Callable) -> Callable:
        value, calls = values[path], count()

        def forward(*args, **kwargs):
            call = next(calls)
            if isinstance(value, Tensor):
                return value
            if not callable(value):
                if call >= len(value):
                    raise SiteError(
                        f"Site {path!r} was called {call + 1} times, but only {len(value)} "
                        "recorded outputs are to be replayed."
                    )
                return value[call]
            own = original(*args, **kwargs)
            given = value(own, call)
            if given.ndim != own.ndim or given.shape[0] != own.shape[0]:
                raise SiteError(
                    f"Site {path!r}: {tuple(given.shape)} cannot take the place of "
                    f"{tuple(own.shape)}; rank and batch must agree."
                )
            return given

        return forward

    with _wrapped(model, values, playing):
        yield


@contextmanager
def statistics_kept(model: nn.Module) -> Iterator[None]:
    """Batch normalisation works as ever in the block, but moves no running statistics."""
    norms = (x for x in model.modules() if isinstance(x, nn.modules.batchnorm._NormBase))
    layers = [norm for norm in norms if norm.track_running_stats]
    for layer in layers:  # evaluation needs the running statistics
        layer.track_running_stats = not layer.training
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True
