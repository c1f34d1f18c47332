"""The methods, torch only: copy this folder and use HKT on your own two networks.

hkt = HKT(child, parent, sites=[Site("avgpool", "avgpool")], predict=predict, loss=loss)
terms = hkt(batch);  sum(terms.values()).backward()

A new method is one file here: a subclass of `Method` with `name`, `title`, `order` and `Options`.
"""

from importlib import import_module
from pkgutil import iter_modules

from .at import AT
from .fitnet import FitNet
from .hkt import HKT
from .kd import KD
from .method import Method, MethodError
from .options import nearest
from .plain import Plain
from .sites import Site

__all__ = ["AT", "HKT", "KD", "METHODS", "FitNet", "MethodError", "Plain", "Site", "get", "options"]


def _found() -> dict[str, type[Method]]:
    """{name: class} of the methods in this folder's files, in the order of tables."""
    found: dict[str, type[Method]] = {}
    for file in iter_modules(__path__):
        for value in vars(import_module(f"{__name__}.{file.name}")).values():
            if isinstance(value, type) and issubclass(value, Method) and "name" in vars(value):
                if found.setdefault(value.name, value) is not value:
                    raise MethodError(f"Two methods are called {value.name!r}; rename one.")
    return dict(sorted(found.items(), key=lambda item: (item[1].order, item[0])))


METHODS = _found()


def get(name: str) -> type[Method]:
    """The method of that name.  Raises MethodError with the nearest one."""
    if name not in METHODS:
        known = f"known: {', '.join(METHODS)}"
        raise MethodError(f"There is no method {name!r}; {known}.{nearest(name, METHODS)}")
    return METHODS[name]


def options(name: str, given: dict) -> dict:
    """All options of a method as JSON has them; MethodError for an unknown or unfit one."""
    return get(name).Options(**given).plain()
