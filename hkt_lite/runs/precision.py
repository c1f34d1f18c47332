"""bfloat16 on any processor.

A processor without instructions for bfloat16 takes an order of magnitude longer for a product in it
than in float32, and the recorded CIFAR-10 runs are in bfloat16.  Those instructions multiply
bfloat16 numbers exactly, sum in float32 and round once: a float32 product of rounded numbers,
rounded, is the same but for the order of the sum, in which processors differ anyway.  Its gradients
are too, since casts round what goes back through them.
"""

from contextlib import ExitStack

import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.overrides import TorchFunctionMode

PRODUCTS = {linear, torch.matmul, torch.mm, torch.bmm, torch.conv1d, torch.conv2d, torch.conv3d}
PRODUCTS |= {torch.conv_transpose2d, torch.conv_transpose3d, Tensor.matmul, Tensor.__matmul__}


class Bfloat16InFloat32(TorchFunctionMode):
    """What autocast computes as products of bfloat16, by products of float32."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function not in PRODUCTS or not torch.is_autocast_enabled("cpu"):
            return function(*args, **kwargs)
        with torch.autocast("cpu", enabled=False):
            named = {name: _rounded(x) for name, x in kwargs.items()}
            return function(*map(_rounded, args), **named).bfloat16()


def _rounded(x):
    return x.bfloat16().float() if isinstance(x, Tensor) else x


def autocast(device: str, precision: str, compiled: bool = False) -> ExitStack:
    """The context of a step in a precision: "fp32" or "bf16"."""
    half, context = precision == "bf16", ExitStack()
    context.enter_context(torch.autocast(device, torch.bfloat16, enabled=half))
    if half and device == "cpu" and not (compiled or native()):
        context.enter_context(Bfloat16InFloat32())
    return context


def native() -> bool:
    """Whether torch has fast products of bfloat16 for this processor."""
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()
