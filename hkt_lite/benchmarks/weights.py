"""Weights of any network from a file, checked: its own safetensors or a foreign checkpoint.   load_weights(resnet("resnet20"), path)"""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from ..config import HKTError


def load_weights(model: nn.Module, path: Path) -> nn.Module:
    """Weights into `model` from safetensors, or from a foreign .pth/.th (read with `weights_only`; 'state_dict' unpacked, 'module.' stripped).

    Half-precision files are widened.  Raises HKTError naming the file when it is missing, damaged, or made for another network.
    """
    path = Path(path)
    if not path.is_file():
        raise HKTError(
            f"There are no weights at {path}; fetch them with `hkt data fetch` or name another file."
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # notes on the pickle's age
                state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # both readers raise their own kinds for a damaged file
        raise HKTError(
            f"The weights {path} are corrupt or truncated ({(str(error) or type(error).__name__).splitlines()[0][:90]}); fetch them again."
        ) from error
    state = state.get("state_dict", state) if isinstance(state, dict) else None
    if (
        not isinstance(state, dict)
        or not state
        or not all(isinstance(value, Tensor) for value in state.values())
    ):
        raise HKTError(
            f"The file {path} holds no weights (a dictionary of tensors); name a checkpoint of this network."
        )
    state = {
        key.removeprefix("module."): value.float() if value.is_floating_point() else value
        for key, value in state.items()
    }
    wanted = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    given = {key: tuple(value.shape) for key, value in state.items()}
    counters = {
        key for key in wanted.keys() - given.keys() if key.endswith("num_batches_tracked")
    }  # older files have none
    if wrong := sorted(
        key
        for key in (wanted.keys() | given.keys()) - counters
        if wanted.get(key) != given.get(key)
    ):
        raise HKTError(
            f"The weights {path} do not fit this network: {len(wrong)} entries differ, the first is {wrong[0]!r}, "
            f"{given.get(wrong[0], 'missing')} in the file and {wanted.get(wrong[0], 'missing')} in the network."
        )
    model.load_state_dict({**{key: torch.tensor(0) for key in counters}, **state})
    return model


def parameters(model: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())
