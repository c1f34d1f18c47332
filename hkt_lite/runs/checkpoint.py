"""What brings a run back at a step: weights, optimizer, random states, position, running sums."""

import torch
from torch import Tensor

from ..config import HKTError
from ..files import read_tensors, write_tensors
from .records import Epoch

FILE = "state.safetensors"
PLAIN = ("step", "sums", "seconds", "best_epoch")  # attributes of a run that JSON can say
MADE_BY = {"golden", "data", "sources"}  # one of others would give numbers that are nobody's


def save(run) -> None:
    """Write the state of a `loop.Run` into its folder: one atomic file with a checksum."""
    tensors = {f"method.{key}": value for key, value in run.method.state_dict().items()}
    tensors |= {f"best.{key}": value for key, value in run.best.items()}
    for i, parameter in enumerate(run.trained):
        for name, value in run.optimizer.state[parameter].items():
            if value is not None:
                tensors[f"optimizer.{i}.{name}"] = value
    tensors |= {f"seen.{name}": torch.cat(values) for name, values in run.seen.items()}
    tensors["random.cpu"] = torch.get_rng_state()
    if run.config.device == "cuda":
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    facts = {name: getattr(run, name) for name in PLAIN}
    facts["run"] = run.config.id
    facts["made_by"] = run.provenance.model_dump(include=MADE_BY)
    facts["epochs"] = [epoch.model_dump_json() for epoch in run.epochs]
    write_tensors(run.folder / FILE, tensors, facts)


def restore(run) -> None:
    """Bring a `loop.Run` back to its last checkpoint, if there is one of today's code and data.

    Raises HKTError for a damaged file.
    """
    path = run.folder / FILE
    try:
        tensors, facts = read_tensors(path)
    except FileNotFoundError:
        return
    except (ValueError, OSError) as error:
        raise HKTError(
            f"The checkpoint {path} is corrupt or truncated ({error}); delete it to start this run "
            "anew."
        ) from None
    if "made_by" not in facts or facts.get("run", run.config.id) != run.config.id:
        raise HKTError(f"{path} is no checkpoint of this run; delete it to start the run anew.")
    if facts["made_by"] != run.provenance.model_dump(include=MADE_BY):
        return
    run.method.load_state_dict(_part(tensors, "method."))
    device = run.config.device
    run.best = {key: value.to(device) for key, value in _part(tensors, "best.").items()}
    for key, value in _part(tensors, "optimizer.").items():
        number, name = key.split(".")
        parameter = run.trained[int(number)]
        if value.shape == parameter.shape:  # then it has the parameter's memory format too
            value = torch.empty_like(parameter).copy_(value)
        run.optimizer.state[parameter][name] = value
    run.seen = {name: [value] for name, value in _part(tensors, "seen.").items()}
    torch.set_rng_state(tensors["random.cpu"])
    if "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"])
    for name in PLAIN:
        setattr(run, name, facts[name])
    run.epochs = [Epoch.model_validate_json(epoch) for epoch in facts["epochs"]]


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): x for key, x in tensors.items() if key.startswith(prefix)}
