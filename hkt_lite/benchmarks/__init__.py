"""The benchmarks: data, parent, child, sites, loss and metrics.  A new one is one new folder here.

The folder NAME holds task.py, with one subclass of `Task`, and scales.yaml: what auto fields mean.
"""

from .scales import get, method_class, method_options, names, resolve
from .task import Task

__all__ = ["Task", "get", "method_class", "method_options", "names", "resolve"]
