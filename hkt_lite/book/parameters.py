"""Typed parameters of a notebook: its cell tagged `parameters`, and values checked against it."""

import ast
import json
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from ..config import HKTError, nearest
from .notebook import read

KINDS = {kind.__name__: kind for kind in (int, float, str, bool, list, dict)}
IN_TYPES = (  # all that a type is written with: reading a notebook must not execute anything
    *(ast.Name, ast.Load, ast.Constant, ast.Subscript, ast.Tuple),
    *(ast.BinOp, ast.BitOr, ast.UnaryOp, ast.USub),
)


def parameters(notebook: Path) -> dict[str, tuple[Any, Any]]:
    """Name -> (type, default) of the cell tagged `parameters`: lines `name: type = literal` only.

    Types: int, float, str, bool, None, list, dict, Literal and unions of them.  Raises HKTError
    naming the line that is none.
    """
    cells = [cell for cell in read(notebook).cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        how_many = f"{len(cells) or 'no'} cell{'s' * (len(cells) > 1)}"
        raise HKTError(
            f"{notebook.name} has {how_many} tagged 'parameters'; tag its first code cell."
        )
    known = {**KINDS, "Literal": Literal, "__builtins__": {}}
    try:
        lines = ast.parse(cells[0].source).body
    except SyntaxError as error:
        where = f"{notebook.name}, parameters cell, line {error.lineno}"
        raise HKTError(f"{where} cannot be read: {error.msg}.") from None
    found = {}
    for line in lines:
        try:
            if not all(isinstance(node, IN_TYPES) for node in ast.walk(line.annotation)):
                raise ValueError("no type")
            name, kind = line.target.id, eval(ast.unparse(line.annotation), known)
            found[name] = kind, ast.literal_eval(line.value)
        except (AttributeError, ValueError, TypeError, NameError, SyntaxError):
            raise HKTError(
                f"{notebook.name}, parameters cell: write {ast.unparse(line)!r} as "
                "`name: type = literal`."
            ) from None
        _typed(notebook, name, kind, found[name][1])
    return found


def _typed(notebook: Path, name: str, kind, value):
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError as error:
        wanted = kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "")
        raise HKTError(
            f"Parameter {name!r} of {notebook.name} must be {wanted}, got {value!r} "
            f"({type(value).__name__}): {error.errors()[0]['msg']}."
        ) from None


def typed(notebook: Path, values: dict) -> dict:
    """`values` checked against the parameters cell.  Raises HKTError for a wrong name or type."""
    known = parameters(notebook)
    for name in values:
        if name not in known:
            raise HKTError(f"{notebook.name} has no parameter {name!r}.{nearest(name, known)}")
    return {name: _typed(notebook, name, known[name][0], value) for name, value in values.items()}


def parse(notebook: Path, words: list[str]) -> dict:
    """`name=value` words of a command line as typed values: str keeps the text, others are JSON."""
    known, values = parameters(notebook), {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise HKTError(f"Write the parameter {word!r} as name=value.")
        values[name] = text
        if known.get(name, (str,))[0] is not str:
            with suppress(ValueError):  # `_typed` says what it should have been
                values[name] = json.loads(text)
    return typed(notebook, values)
