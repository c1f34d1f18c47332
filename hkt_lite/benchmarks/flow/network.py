"""RAFT in four sizes, built from torchvision's parts.   net = raft("raft_small")

Teed and Deng, "RAFT: recurrent all-pairs field transforms for optical flow", 2020.  raft_large
(5,257,536 parameters) and raft_small (990,162) are torchvision's own, so that its weights load.
raft_base and raft_tiny, small enough for two CPU cores, are ours: the plan of raft_small with fewer
channels, residual blocks, two correlation levels less for small pictures, and (raft_base) the
learnt upsampling of raft_large.
"""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from ... import torchvision
from ..task import choose


class Plan(NamedTuple):
    """Channels of one of our RAFTs."""

    stem: tuple[int, ...]  # of both encoders, the last left out
    width: int  # of features, correlations after their convolution, and the head
    flow: tuple[int, int]
    motion: int
    mask: bool


PLANS = {
    "raft_base": Plan((24, 24, 32, 48), 64, (32, 16), 48, True),
    "raft_tiny": Plan((12, 12, 16, 24), 40, (16, 8), 30, False),
}
LEVELS = {"raft_large": 4, "raft_small": 4, "raft_base": 2, "raft_tiny": 2}
SPLITS = {  # of the context: hidden state and input of the recurrent block
    "raft_large": (128, 128),
    "raft_small": (96, 64),
    "raft_base": (48, 48),
    "raft_tiny": (28, 28),
}


class Subsampled(nn.Conv2d):
    """A 1 x 1 convolution with a stride, computed at the places that it keeps.

    oneDNN's gradient of the strided one writes past its workspace where there are fewer than 16
    channels and these lie last (github.com/uxlfoundation/oneDNN/issues/6035): at some sizes of
    picture the process dies.
    """

    def forward(self, x: Tensor) -> Tensor:
        down, right = self.stride
        return F.conv2d(x[..., ::down, ::right], self.weight, self.bias)


def smallest(name: str) -> int:
    """Pixels a picture's sides must have: the coarsest correlation level needs two positions."""
    return 8 * 2 * 2 ** (choose("RAFT", name, LEVELS) - 1)


def raft(name: str) -> nn.Module:
    """A RAFT without weights; HKTError for an unknown name.

    forward(image1, image2 (B, 3, H, W) in [-1, 1], num_flow_updates) -> list of flows
    (B, 2, H, W) in pixels, one an update; H and W are multiples of 8.
    """
    choose("RAFT", name, LEVELS)
    torchvision()
    from torchvision.models.optical_flow import raft as parts

    if name not in PLANS:
        return getattr(parts, name)()
    plan, (hidden, inputs) = PLANS[name], SPLITS[name]
    net = parts._raft(
        feature_encoder_layers=(*plan.stem, plan.width),
        feature_encoder_block=parts.ResidualBlock,
        feature_encoder_norm_layer=nn.InstanceNorm2d,
        context_encoder_layers=(*plan.stem, hidden + inputs),
        context_encoder_block=parts.ResidualBlock,
        context_encoder_norm_layer=None,
        corr_block_num_levels=LEVELS[name],
        corr_block_radius=3,
        motion_encoder_corr_layers=(plan.width,),
        motion_encoder_flow_layers=plan.flow,
        motion_encoder_out_channels=plan.motion,
        recurrent_block_hidden_state_size=hidden,
        recurrent_block_kernel_size=(3,),
        recurrent_block_padding=(1,),
        flow_head_hidden_size=plan.width,
        use_mask_predictor=False,
    )
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module.in_channels < 16:
            if module.kernel_size == (1, 1) and module.stride != (1, 1):
                module.__class__ = Subsampled
    if plan.mask:
        net.mask_predictor = parts.MaskPredictor(in_channels=hidden, hidden_size=plan.width)
    return net
