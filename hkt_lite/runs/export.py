"""What leaves the workshop: a trained child alone, and the evaluation of any checkpoint.

hkt export RUN                                  # safetensors, torch.export, ONNX, each compared
hkt eval cifar10 FILE --arch resnet20
"""

import copy
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..benchmarks import get, resolve
from ..benchmarks.weights import load_weights
from ..config import Config, HKTError, canonical, nearest
from ..files import sha256, sha256_of, write_bytes
from . import golden
from .device import deterministic
from .records import EvalRecord, RunRecord
from .store import Store

FORMATS = {"safetensors": "safetensors", "torch": "pt2", "onnx": "onnx"}  # and their endings
TOLERANCE = 1e-4  # largest difference of an output that export accepts


def load_child(record: RunRecord) -> nn.Module:
    """The child of a local run with its validation-selected weights."""
    path = Store.default().weights(record.id)
    return load_weights(get(record.config.task)(record.config).child(), path).eval()


def export(record: RunRecord, out: Path, formats: Collection[str] = FORMATS) -> dict[str, float]:
    """Write the child alone in each format to `out`: {file name: largest difference of an output}.

    Raises HKTError for an unknown format, a missing converter, and a difference above 1e-4.
    """
    for kind in formats:
        if kind not in FORMATS:
            raise HKTError(f"There is no export format {kind!r}.{nearest(kind, FORMATS)}")
    model = load_child(record).to("cpu")
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.contiguous()
    example = get(record.config.task)(record.config).example()
    random = torch.Generator().manual_seed(0)
    x = tuple(torch.randn(4, *one.shape[1:], generator=random) for one in example)
    stem, differences = f"{record.config.task}-{record.config.child}-{record.id}", {}
    out.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        wanted = _last(model(*x))
        for kind in formats:
            path = out / f"{stem}.{FORMATS[kind]}"
            found = _EXPORTERS[kind](model, x, path)  # of the first where a batch cannot vary
            largest = (found - wanted[: len(found)]).abs().max().item()
            difference = largest / max(1.0, wanted.abs().max().item())
            if not difference <= TOLERANCE:
                path.unlink(missing_ok=True)
                raise HKTError(
                    f"The {kind} export of run {record.id} differs from the child by "
                    f"{difference:g} in an output; it was not kept."
                )
            differences[path.name] = difference
    return differences


def _last(output):
    """The answer of a network: what it returns, or the last of a recurrent one's list."""
    return output[-1] if isinstance(output, (list, tuple)) else output


def _program(model: nn.Module, x: tuple) -> tuple[torch.export.ExportedProgram, tuple]:
    """The exported program and its inputs: any batch, or one example where the code fixes it."""
    any_batch = tuple({0: torch.export.Dim("batch", min=1, max=65_536)} for _ in x)
    try:
        return torch.export.export(model, x, dynamic_shapes=any_batch), x
    except Exception:  # torch.export raises many kinds; what is really wrong fails again below
        single = tuple(value[:1] for value in x)
        return torch.export.export(model, single), single


def _safetensors(model: nn.Module, x: tuple, path: Path):
    from safetensors.torch import save

    write_bytes(path, save(model.state_dict()))
    return _last(load_weights(copy.deepcopy(model), path)(*x))


def _torch(model: nn.Module, x: tuple, path: Path):
    program, x = _program(model, x)
    torch.export.save(program, path)
    return _last(torch.export.load(path).module()(*x))


def _onnx(model: nn.Module, x: tuple, path: Path):
    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        how = f"`pip install {error.name}`"
        raise HKTError(f"The onnx export needs {error.name}: {how}, or other formats.") from None
    names = ["images"] if len(x) == 1 else [f"images{i + 1}" for i in range(len(x))]
    program, x = _program(model, x)
    options = {"dynamo": True, "external_data": False, "verbose": False}
    torch.onnx.export(program, x, path, input_names=names, **options)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    inputs = {name: value.numpy() for name, value in zip(names, x)}
    return torch.from_numpy(session.run(None, inputs)[-1])


_EXPORTERS = {"safetensors": _safetensors, "torch": _torch, "onnx": _onnx}


def evaluate(
    task_name: str,
    path: Path,
    arch: str | None = None,
    protocol: str | None = None,
    source: str = "real",
    scale: str = "cpu",
) -> EvalRecord:
    """A checkpoint's metrics on test data under one of the task's protocols, kept in the store.

    `arch` is the scale's child and `protocol` the task's first where they are left out.  Computed
    with the scale's number of threads: another number gives other last digits.
    """
    cls, store = get(task_name), Store.default()
    protocol = protocol or next(iter(cls.protocols))
    if protocol not in cls.protocols:
        hint = nearest(protocol, cls.protocols)
        raise HKTError(f"Task {task_name!r} has no evaluation protocol {protocol!r}.{hint}")
    fields: dict[str, Any] = {"scale": scale, "source": source, "child": arch}  # checked by Config
    config = resolve(Config(task=task_name, method="plain", **fields))
    task = cls(config)
    with deterministic(config):
        model = load_weights(task.child(), path)
        said = task.protocol(protocol)
        metrics = task.metrics(model, "test")
    digest = sha256(path)
    folder = path.resolve().parent
    made_here = folder.parent == store.home.resolve() and (folder / "record.json").is_file()
    record = EvalRecord(
        id=sha256_of(canonical([config.task, digest, config.child, said]).encode())[:12],
        checkpoint=f"run {folder.name}" if made_here else path.name,
        sha256=digest,
        task=config.task,
        arch=config.child,
        protocol=said,
        metrics=metrics,
        provenance=golden.provenance(task.fingerprint, golden.versions(config, "eval"), config),
    )
    store.add(record)
    return record
