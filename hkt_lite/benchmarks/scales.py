"""Benchmarks and methods by name, and what the *auto* fields of a configuration mean."""

import re
from collections.abc import Callable
from functools import lru_cache, wraps
from importlib import import_module
from pathlib import Path

import torch
import yaml

from .. import methods
from ..config import Config, HKTError
from ..methods.method import Method, MethodError
from .task import Task, choose

PARTS = "load batch batches network predict loss imitate metrics example".split()  # of a Task
DEFAULTS = {
    "optimizer": "sgd",
    "precision": "fp32",
    "channels_last": True,
    "compile": False,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "threads": 1,
}


def names() -> list[str]:
    """The folders that hold a benchmark."""
    return sorted(path.parent.name for path in Path(__file__).parent.glob("*/task.py"))


@lru_cache
def _settings(name: str) -> dict[str, dict]:
    path = Path(__file__).parent / name / "scales.yaml"
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())
        raise HKTError(f"The scales of benchmark {name!r} cannot be read: {said}.") from None
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        raise HKTError(f"{path} has no scales: a name each, and its fields below it.")
    return found


def scales(name: str) -> dict[str, dict]:
    """Scale -> auto fields of a benchmark; they are part of each run's hashed configuration."""
    return {scale: fields for scale, fields in _settings(name).items() if scale != "presets"}


def presets() -> dict[str, dict]:
    """Names that stand for a benchmark with some fields set, such as 'sintel' for flow."""
    return {
        preset: {"task": name, **fields}
        for name in names()
        for preset, fields in _settings(name).get("presets", {}).items()
    }


def get(name: str) -> type[Task]:
    """The task class of that benchmark or preset: the one subclass of `Task` in NAME/task.py."""
    folders = {one: one for one in names()}
    folders |= {preset: fields["task"] for preset, fields in presets().items()}
    folder = choose("task", name, folders)
    module = import_module(f"{__package__}.{folder}.task")
    for value in vars(module).values():
        own = isinstance(value, type) and value.__module__ == module.__name__
        if own and issubclass(value, Task):
            missing = [part for part in PARTS if getattr(value, part) is getattr(Task, part)]
            if missing:
                what = f"{module.__file__} does not define {', '.join(missing)}"
                raise HKTError(f"{what}; {Task.__module__} says what each is to do.")
            return value
    raise HKTError(f"{module.__file__} defines no subclass of Task.")


def _reworded(call):
    """The function with an HKTError in place of a MethodError."""

    @wraps(call)
    def reworded(*given):
        try:
            return call(*given)
        except MethodError as error:
            raise HKTError(str(error)) from None

    return reworded


method_class: Callable[[str], type[Method]] = _reworded(methods.get)
method_options: Callable[[str, dict], dict] = _reworded(methods.options)


def resolve(config: Config) -> Config:
    """The configuration with every auto field filled in, and checked.

    A field is what was given, else what the benchmark derives from others (`Task.autos`), else
    what its scale says, else the default.  Raises HKTError for an unknown task, method, option or
    scale, and for what cannot be run.
    """
    task, method = get(config.task), method_class(config.method)
    config = _without_preset(config)
    of_scale = choose(f"scale of task {config.task!r}:", config.scale, scales(config.task))
    given = {key: value for key, value in config.model_dump().items() if _is_given(value)}
    given["options"] = method_options(config.method, config.options)
    filled = {**DEFAULTS, **of_scale, **given}
    filled = {**filled, **task.autos(Config(**filled)), **given}
    if not method.needs_parent:
        filled |= {"parent": "none", "parent_weights": "none", "parent_source": "live"}
    if not method.needs_sites:
        filled |= {"sites": None, "parent_updates": None}
    if filled.get("sites") == task.default_sites:
        filled["sites"] = None  # one set, one hash
    if "device" not in filled:
        large = config.scale == "paper" and torch.cuda.is_available()
        filled["device"] = "cuda" if large else "cpu"
    resolved = Config(**filled)
    _check(resolved, task)
    task.check(resolved)
    _reworded(task)(resolved)  # sites are looked up
    return resolved


def _is_given(value) -> bool:
    return value is not None and value != "auto"


def _without_preset(config: Config) -> Config:
    """The task that a preset stands for; of its fields, those that were not given."""
    fits = {
        key: value
        for key, value in presets().get(config.task, {}).items()
        if key in ("task", "scale") or not _is_given(getattr(config, key))
    }
    return config.but(**fits)


def _check(config: Config, task: type[Task]) -> None:
    """What no benchmark can run, or not this one as it says itself."""
    if config.unresolved:
        where = f"Task {config.task!r} at scale {config.scale!r}"
        field = config.unresolved[0]
        known = "committed, public, random or run:ID" if field == "parent_weights" else "…"
        raise HKTError(f"{where} leaves {field!r} open; give it a value: -s {field}={known}.")
    if config.batch_size > config.train_size:
        sizes = f"batch_size {config.batch_size} is more than train_size {config.train_size}"
        raise HKTError(f"{sizes}; make one smaller or the other larger.")
    if config.parent_source == "cached" and not config.views:
        raise HKTError("A cached parent needs views: set them, or parent_source to 'live'.")
    if config.parent_source == "cached" and not task.cacheable:
        outputs = f"Outputs of task {config.task!r} are maps, which are too large to keep"
        raise HKTError(f"{outputs}; use parent_source 'live'.")
    for field in Config.OPTIONAL:
        if getattr(config, field) is not None and field not in task.own:
            raise HKTError(f"Task {config.task!r} has no use for {field!r}; leave it out.")
    method, weights = method_class(config.method), config.parent_weights
    if method.needs_parent and weights == "public":
        choose("public checkpoint of", config.parent, task.public)
    elif method.needs_parent and not re.fullmatch(r"committed|random|run:\w+", weights):
        known = "'public', 'committed', 'random' or 'run:ID'"
        raise HKTError(f"parent_weights are {known}, not {weights!r}.")
    if method.needs_logits and task.target is None:
        raise HKTError(
            f"Method {config.method!r} compares class logits (B, K), and outputs of task "
            f"{config.task!r} are none; use kd, which imitates any output."
        )
