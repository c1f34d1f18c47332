"""Weights of any network from a file, checked.   load_weights(resnet("resnet20"), path)"""

import warnings
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ..config import HKTError


def load_weights(model: nn.Module, path: Path) -> nn.Module:
    """Weights into `model` from safetensors or a foreign .pth or .th, half precision widened.

    The latter's 'state_dict' is unpacked, 'module.' stripped.  Raises HKTError naming a file that
    is missing, damaged or made for another network; `model` is then left as it was.
    """
    state = _tensors(Path(path))
    wanted = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    given = {key: tuple(value.shape) for key, value in state.items()}
    for key in wanted.keys() - given.keys():
        if key.endswith("num_batches_tracked"):  # older files have no such counters
            state[key], given[key] = torch.tensor(0), ()
    wrong = sorted(key for key in wanted.keys() | given.keys() if wanted.get(key) != given.get(key))
    if wrong:
        first, missing = wrong[0], "missing"
        raise HKTError(
            f"The weights {path} do not fit this network, in {len(wrong)} entries: {first!r} is "
            f"{given.get(first, missing)} in the file and {wanted.get(first, missing)} in it."
        )
    model.load_state_dict(state)
    return model


def _tensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise HKTError(f"There are no weights at {path}; fetch them with `hkt data fetch`.")
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            with warnings.catch_warnings(action="ignore"):  # notes on the pickle's age
                state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # both readers raise their own kinds for a damaged file
        why = (str(error) or type(error).__name__).splitlines()[0][:90]
        raise HKTError(f"The weights {path} are corrupt or truncated ({why}).") from error
    if isinstance(state, dict):
        state = state.get("state_dict", state)
    tensors = isinstance(state, dict) and all(isinstance(x, Tensor) for x in state.values())
    if not tensors or not state:
        raise HKTError(f"{path} holds no weights (a dictionary of tensors); name a checkpoint.")
    return {
        key.removeprefix("module."): value.float() if value.is_floating_point() else value
        for key, value in state.items()
    }


def parameters(model: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())
