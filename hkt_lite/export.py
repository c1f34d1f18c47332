"""What leaves the workshop: a trained child alone, and the evaluation of any checkpoint.   hkt export RUN | hkt eval cifar10 FILE --arch resnet20"""
from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import nn

from .config import Config, HKTError, canonical, nearest, runs_home
from .models.resnet import load_weights, resnet
from .records import EvalRecord, RunRecord, provenance, sha256, write_bytes, write_json
from .tasks.task import get, resolve

FORMATS = ("safetensors", "torch", "onnx")
NORMALISATIONS = {"imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
                  "cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))}    # the usual figures; the second is the mean of per-image ones
TOLERANCE = 1e-4                                                # largest difference of a logit that export accepts


def load_child(record: RunRecord, which: str = "child") -> nn.Module:
    """The child of a local run with its validation-selected weights (`which` = 'last' for the last epoch's)."""
    path = runs_home() / record.id / f"{which}.safetensors"
    if not path.is_file():
        raise HKTError(f"Run {record.id} has no weights at {path}; only runs made on this machine have: `hkt reproduce {record.id}` makes it.")
    return load_weights(get(record.config.task)(record.config).child(), path).eval()


def export(record: RunRecord, out: Path, formats: tuple[str, ...] = FORMATS) -> dict[str, float]:
    """Write the child alone in each format to `out` and compare its logits with the original's: {file name: largest difference}.

    Raises HKTError for an unknown format, a missing converter, and a difference above 1e-4.
    """
    if unknown := set(formats) - set(FORMATS):
        raise HKTError(f"There is no export format {min(unknown)!r}.{nearest(min(unknown), FORMATS)}")
    model = load_child(record).to("cpu", memory_format=torch.contiguous_format)
    example = tuple(value.cpu() for value in get(record.config.task)(record.config).example())
    x = torch.randn(4, *example[0].shape[1:], generator=torch.Generator().manual_seed(0))
    stem, differences = f"{record.config.task}-{record.config.child}-{record.id}", {}
    out.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        wanted = model(x)
        for kind in formats:
            path = out / f"{stem}.{ {'safetensors': 'safetensors', 'torch': 'pt2', 'onnx': 'onnx'}[kind] }"
            difference = (_EXPORTERS[kind](model, x, path) - wanted).abs().max().item()
            if not difference <= TOLERANCE:
                path.unlink(missing_ok=True)
                raise HKTError(f"The {kind} export of run {record.id} differs from the child by {difference:g} in a logit; nothing was kept.")
            differences[path.name] = difference
    return differences


def _safetensors(model: nn.Module, x, path: Path):
    from safetensors.torch import save

    write_bytes(path, save({key: value.contiguous() for key, value in model.state_dict().items()}))
    import copy
    return load_weights(copy.deepcopy(model), path)(x)


def _torch(model: nn.Module, x, path: Path):
    program = torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=65_536)},))
    torch.export.save(program, path)
    return torch.export.load(path).module()(x)


def _onnx(model: nn.Module, x, path: Path):
    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise HKTError(f"The onnx export needs {error.name}; install it with `pip install -e .[test]` or choose other formats.") from None
    torch.onnx.export(model, (x,), path, dynamo=True, external_data=False, verbose=False, input_names=["images"], output_names=["logits"],
                      dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=65_536)},))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"images": x.numpy()})[0])


_EXPORTERS = {"safetensors": _safetensors, "torch": _torch, "onnx": _onnx}


def evaluate(task_name: str, path: Path, arch: str, normalisation: str = "imagenet", source: str = "real", split: str = "test") -> EvalRecord:
    """A checkpoint's metrics on a split under a stated normalisation, as a record in the local store."""
    from .datasets.augment import Augment

    if normalisation not in NORMALISATIONS:
        raise HKTError(f"There is no normalisation {normalisation!r}.{nearest(normalisation, NORMALISATIONS)}")
    path = Path(path)
    model = load_weights(resnet(arch), path)
    config = resolve(Config(task=task_name, method="plain", scale="cpu", source=source, child=arch))
    task = get(task_name)(config).load()
    task.views[split] = Augment(task.images[split], config.seed, *NORMALISATIONS[normalisation], config.device, 0)
    metrics = task.metrics(model.to(memory_format=torch.channels_last), split)
    protocol = {"source": config.source, "split": split, "images": len(task.labels[split]), "normalisation": normalisation}
    digest = sha256(path)
    name = hashlib.sha256(canonical([task_name, digest, arch, protocol]).encode()).hexdigest()[:12]
    record = EvalRecord(id=name, checkpoint=path.name, sha256=digest, task=task_name, arch=arch, protocol=protocol, metrics=metrics,
                        provenance=provenance(task.fingerprint, task_name, "plain"))
    write_json(runs_home() / f"eval-{name}.json", record)
    return record
