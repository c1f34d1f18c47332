"""CIFAR ResNets with parameter-free shortcuts: ResNet-8, 20, 32, 44, 56, 110.

He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2016, section 4.2, shortcut option A.  Module names follow the
public checkpoints of akamaster/pytorch_resnet_cifar10 and of the HKT release, so that their files load as they are.
"""
from __future__ import annotations

import warnings
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import HKTError


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut that subsamples and pads the channels with zeros (option A)."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride, self.padding = stride, (outputs - inputs) // 2

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        if self.padding:
            x = F.pad(x[:, :, ::self.stride, ::self.stride], (0, 0, 0, 0, self.padding, self.padding))
        return F.relu(y + x, inplace=True)


class ResNet(nn.Module):
    """Depth 6n + 2: a 3x3 stem, three stages of n blocks with width, 2 width and 4 width channels, average pooling, a linear head.

    forward: images (B, 3, H, W) -> logits (B, classes).  `avgpool` returns the pooled feature (B, 4 width), the site of the release.
    """

    def __init__(self, depth: int, width: int = 16, classes: int = 10):
        super().__init__()
        n = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = self._stage(width, width, n, 1)
        self.layer2 = self._stage(width, 2 * width, n, 2)
        self.layer3 = self._stage(2 * width, 4 * width, n, 2)
        self.avgpool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.linear = nn.Linear(4 * width, classes)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)

    @staticmethod
    def _stage(inputs: int, outputs: int, n: int, stride: int) -> nn.Sequential:
        return nn.Sequential(*(Block(inputs if k == 0 else outputs, outputs, stride if k == 0 else 1) for k in range(n)))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(self.avgpool(x))


def resnet(name: str, width: int = 16, classes: int = 10) -> ResNet:
    """A ResNet by name, 'resnet20'.  Raises HKTError for a depth that is not 6n + 2."""
    depth = name.removeprefix("resnet")
    if not (name.startswith("resnet") and depth.isdigit() and int(depth) >= 8 and int(depth) % 6 == 2):
        raise HKTError(f"There is no CIFAR ResNet {name!r}; the depth must be 6n + 2, such as resnet8, resnet20, resnet56 or resnet110.")
    return ResNet(int(depth), width, classes)


def load_weights(model: nn.Module, path: Path) -> nn.Module:
    """Weights into `model` from safetensors, or from a foreign .pth/.th (read with `weights_only`; 'state_dict' unpacked, 'module.' stripped).

    Half-precision files are widened.  Raises HKTError naming the file when it is missing, damaged, or made for another network.
    """
    path = Path(path)
    if not path.is_file():
        raise HKTError(f"There are no weights at {path}; fetch them with `hkt data fetch` or name another file.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file
            state = load_file(path)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")                # notes on the pickle's age
                state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:                                 # both readers raise their own kinds for a damaged file
        raise HKTError(f"The weights {path} are corrupt or truncated ({(str(error) or type(error).__name__).splitlines()[0][:90]}); fetch them again.") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else None
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise HKTError(f"The file {path} holds no weights (a dictionary of tensors); name a checkpoint of this network.")
    state = {key.removeprefix("module."): value.float() if value.is_floating_point() else value for key, value in state.items()}
    wanted = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    given = {key: tuple(value.shape) for key, value in state.items()}
    counters = {key for key in wanted.keys() - given.keys() if key.endswith("num_batches_tracked")}     # older files have none
    if wrong := sorted(key for key in (wanted.keys() | given.keys()) - counters if wanted.get(key) != given.get(key)):
        raise HKTError(f"The weights {path} do not fit this network: {len(wrong)} entries differ, the first is {wrong[0]!r}, "
                       f"{given.get(wrong[0], 'missing')} in the file and {wanted.get(wrong[0], 'missing')} in the network.")
    model.load_state_dict({**{key: torch.tensor(0) for key in counters}, **state})
    return model


def parameters(model: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())
