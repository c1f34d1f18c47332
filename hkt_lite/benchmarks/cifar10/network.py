"""CIFAR ResNets with parameter-free shortcuts: ResNet-8, 20, 32, 44, 56, 110.

He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2016, section 4.2, shortcut
option A.  Module names follow the public checkpoints of akamaster/pytorch_resnet_cifar10 and of the
HKT release, so that their files load as they are.
"""

import re

import torch.nn.functional as F
from torch import Tensor, nn

from ...config import HKTError

DEEPEST = 1202  # of He et al.


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut that subsamples and pads with zeros (option A)."""

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
            x = x[:, :, :: self.stride, :: self.stride]
            x = F.pad(x, (0, 0, 0, 0, self.padding, self.padding))
        return F.relu(y + x, inplace=True)


class ResNet(nn.Module):
    """Depth 6n + 2: a 3x3 stem, three stages of n blocks, average pooling, a linear head.

    The stages have `width`, 2 width and 4 width channels.  Images (B, 3, H, W) -> logits
    (B, classes).  `avgpool` returns the pooled feature (B, 4 width), the site of the release.
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
        first = Block(inputs, outputs, stride)
        return nn.Sequential(first, *(Block(outputs, outputs, 1) for _ in range(n - 1)))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(self.avgpool(x))


def depth(name: str) -> int:
    """20 for 'resnet20'.  Raises HKTError for a depth that is not 6n + 2 between 8 and 1202."""
    match = re.fullmatch("resnet([0-9]{1,4})", name)
    layers = int(match[1]) if match else 0
    if layers % 6 != 2 or not 8 <= layers <= DEEPEST:
        rule = f"the depth must be 6n + 2 and at most {DEEPEST}, such as resnet20"
        raise HKTError(f"There is no CIFAR ResNet {name!r}; {rule}.")
    return layers


def resnet(name: str, width: int = 16, classes: int = 10) -> ResNet:
    """A ResNet by name, such as 'resnet20'.  Raises HKTError as `depth` does."""
    return ResNet(depth(name), width, classes)
