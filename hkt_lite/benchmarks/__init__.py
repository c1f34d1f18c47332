"""The benchmarks: a task knows its data, parent, child, sites, loss and metrics.  A new benchmark is one new folder here."""

from .task import Task, get, names, resolve

__all__ = ["Task", "get", "names", "resolve"]
