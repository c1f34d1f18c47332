"""RAFT in four sizes, built from torchvision's parts.   net = raft("raft_small")

Teed and Deng, "RAFT: recurrent all-pairs field transforms for optical flow", 2020.  raft_large
(5,257,536 parameters) and raft_small (990,162) are torchvision's own, so that its weights load.
raft_base and raft_tiny, small enough for two CPU cores, are ours: the plan of raft_small with fewer
channels, residual blocks, two correlation levels less for small pictures, and (raft_base) the
learnt upsampling of raft_large.
"""

from typing import NamedTuple

from torch import nn

from ... import torchvision
from . import choose


class Plan(NamedTuple):
    """Channels of one RAFT; `features` and `context` are the last widths of its two encoders."""

    stem: tuple[int, ...]  # of both encoders, the last width left out
    features: int
    context: int  # hidden state and input of the recurrent block together
    hidden: int
    levels: int
    radius: int
    corr: tuple[int, ...]
    flow: tuple[int, int]
    motion: int
    head: int
    mask: bool


PLANS = {
    "raft_base": Plan((24, 24, 32, 48), 64, 96, 48, 2, 3, (64,), (32, 16), 48, 64, True),
    "raft_tiny": Plan((12, 12, 16, 24), 40, 56, 28, 2, 3, (40,), (16, 8), 30, 40, False),
}
LEVELS = {"raft_large": 4, "raft_small": 4} | {name: plan.levels for name, plan in PLANS.items()}
SPLITS = {"raft_large": (128, 128), "raft_small": (96, 64)} | {  # hidden state and input
    name: (plan.hidden, plan.context - plan.hidden) for name, plan in PLANS.items()
}
NAMES = tuple(LEVELS)


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
    plan = PLANS[name]
    features, context = (
        parts.FeatureEncoder(block=parts.ResidualBlock, layers=(*plan.stem, last), norm_layer=norm)
        for last, norm in ((plan.features, nn.InstanceNorm2d), (plan.context, None))
    )
    corr = parts.CorrBlock(num_levels=plan.levels, radius=plan.radius)
    motion = parts.MotionEncoder(
        in_channels_corr=corr.out_channels,
        corr_layers=plan.corr,
        flow_layers=plan.flow,
        out_channels=plan.motion,
    )
    recurrent = parts.RecurrentBlock(
        input_size=motion.out_channels + plan.context - plan.hidden,
        hidden_size=plan.hidden,
        kernel_size=(3,),
        padding=(1,),
    )
    head = parts.FlowHead(in_channels=plan.hidden, hidden_size=plan.head)
    update = parts.UpdateBlock(motion_encoder=motion, recurrent_block=recurrent, flow_head=head)
    mask = (
        parts.MaskPredictor(in_channels=plan.hidden, hidden_size=plan.head) if plan.mask else None
    )
    return parts.RAFT(
        feature_encoder=features,
        context_encoder=context,
        corr_block=corr,
        update_block=update,
        mask_predictor=mask,
    )
