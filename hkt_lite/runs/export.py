"""What leaves the workshop: a trained child alone, and the evaluation of any checkpoint.   hkt export RUN | hkt eval cifar10 FILE --arch resnet20"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import nn

from ..benchmarks import get, resolve
from ..benchmarks.weights import load_weights
from ..config import Config, HKTError, canonical, nearest, runs_home
from ..files import sha256, write_bytes, write_json
from .records import EvalRecord, RunRecord, provenance

FORMATS = ("safetensors", "torch", "onnx")
TOLERANCE = 1e-4  # largest difference of an output that export accepts


def load_child(record: RunRecord, which: str = "child") -> nn.Module:
    """The child of a local run with its validation-selected weights (`which` = 'last' for the last epoch's)."""
    path = runs_home() / record.id / f"{which}.safetensors"
    if not path.is_file():
        raise HKTError(
            f"Run {record.id} has no weights at {path}; only runs made on this machine have: `hkt reproduce {record.id}` makes it."
        )
    return load_weights(get(record.config.task)(record.config).child(), path).eval()


def export(record: RunRecord, out: Path, formats: tuple[str, ...] = FORMATS) -> dict[str, float]:
    """Write the child alone in each format to `out` and compare its logits with the original's: {file name: largest difference}.

    Raises HKTError for an unknown format, a missing converter, and a difference above 1e-4.
    """
    if unknown := set(formats) - set(FORMATS):
        raise HKTError(
            f"There is no export format {min(unknown)!r}.{nearest(min(unknown), FORMATS)}"
        )
    model = load_child(record).to("cpu", memory_format=torch.contiguous_format)
    example = tuple(value.cpu() for value in get(record.config.task)(record.config).example())
    random = torch.Generator().manual_seed(0)
    x = tuple(torch.randn(4, *one.shape[1:], generator=random) for one in example)
    stem, differences = f"{record.config.task}-{record.config.child}-{record.id}", {}
    out.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        wanted = _last(model(*x))
        for kind in formats:
            path = (
                out
                / f"{stem}.{ {'safetensors': 'safetensors', 'torch': 'pt2', 'onnx': 'onnx'}[kind] }"
            )
            found = _EXPORTERS[kind](
                model, x, path
            )  # of all examples, or of the first where a batch cannot vary
            difference = (found - wanted[: len(found)]).abs().max().item() / max(
                1.0, wanted.abs().max().item()
            )
            if not difference <= TOLERANCE:
                path.unlink(missing_ok=True)
                raise HKTError(
                    f"The {kind} export of run {record.id} differs from the child by {difference:g} in an output; nothing was kept."
                )
            differences[path.name] = difference
    return differences


def _last(output):
    """The answer of a network: what it returns, or the last of the list that a recurrent one returns."""
    return output[-1] if isinstance(output, (list, tuple)) else output


def _program(model: nn.Module, x: tuple) -> tuple[torch.export.ExportedProgram, tuple]:
    """The exported program and the inputs it takes: any batch, or one example where a model's code fixes the batch (RAFT's does)."""
    try:
        return torch.export.export(
            model,
            x,
            dynamic_shapes=tuple({0: torch.export.Dim("batch", min=1, max=65_536)} for _ in x),
        ), x
    except Exception:  # torch.export raises many kinds; what is really wrong fails again below
        single = tuple(value[:1] for value in x)
        return torch.export.export(model, single), single


def _safetensors(model: nn.Module, x, path: Path):
    from safetensors.torch import save

    write_bytes(path, save({key: value.contiguous() for key, value in model.state_dict().items()}))
    import copy

    return _last(load_weights(copy.deepcopy(model), path)(*x))


def _torch(model: nn.Module, x, path: Path):
    program, x = _program(model, x)
    torch.export.save(program, path)
    return _last(torch.export.load(path).module()(*x))


def _onnx(model: nn.Module, x, path: Path):
    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise HKTError(
            f"The onnx export needs {error.name}; install it with `pip install -e .[test]` or choose other formats."
        ) from None
    names = ["images"] if len(x) == 1 else [f"images{i + 1}" for i in range(len(x))]
    program, x = _program(model, x)
    torch.onnx.export(
        program, x, path, dynamo=True, external_data=False, verbose=False, input_names=names
    )
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return torch.from_numpy(
        session.run(None, {name: value.numpy() for name, value in zip(names, x)})[-1]
    )


_EXPORTERS = {"safetensors": _safetensors, "torch": _torch, "onnx": _onnx}


def evaluate(
    task_name: str,
    path: Path,
    arch: str | None = None,
    protocol: str | None = None,
    source: str = "real",
    scale: str = "cpu",
) -> EvalRecord:
    """A checkpoint's metrics on test data under one of the task's protocols, as a record in the local store.

    `arch` is the scale's child and `protocol` the task's first where they are left out.
    """
    cls = get(task_name)
    protocol = protocol or next(iter(cls.protocols))
    if protocol not in cls.protocols:
        raise HKTError(
            f"Task {task_name!r} has no evaluation protocol {protocol!r}.{nearest(protocol, cls.protocols)}"
        )
    path = Path(path)
    config = resolve(Config(task=task_name, method="plain", scale=scale, source=source, child=arch))
    arch, task_name = config.child, config.task  # the benchmark's name may have been a preset's
    model = load_weights(cls(config).network(arch), path)
    task = cls(config)
    said = task.protocol(protocol)
    metrics = task.metrics(model.to(memory_format=torch.channels_last), "test")
    digest = sha256(path)
    name = hashlib.sha256(canonical([task_name, digest, arch, said]).encode()).hexdigest()[:12]
    of_run = path.parent.name if path.resolve().parent.parent == runs_home().resolve() else ""
    record = EvalRecord(
        id=name,
        checkpoint=f"run {of_run}" if of_run else path.name,
        sha256=digest,
        task=task_name,
        arch=arch,
        protocol=said,
        metrics=metrics,
        provenance=provenance(task.fingerprint, task_name, "plain"),
    )
    write_json(runs_home() / f"eval-{name}.json", record)
    return record
