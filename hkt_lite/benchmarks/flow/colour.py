"""Optical flow as colours: hue is the direction, saturation the length (Baker et al., 2011).

image = colours(flow, longest=20.0)                           # flow (2, H, W) in pixels
wheel(ax, longest=20.0)                                       # its legend, on a matplotlib axes
"""

import torch
from torch import Tensor

from ... import torchvision

UNKNOWN = 60  # grey level of pixels without truth


def longest_of(*flows: Tensor) -> float:
    """The longest vector of all `flows` (2, H, W), rounded up to whole pixels, at least 1."""
    return float(max(1, *(flow.norm(dim=0).max().ceil().item() for flow in flows)))


def colours(flow: Tensor, longest: float, valid: Tensor | None = None) -> Tensor:
    """uint8 (H, W, 3) of flow (2, H, W): full saturation at `longest` pixels and beyond, dark grey
    where not `valid` (H, W)."""
    torchvision()
    from torchvision.utils import flow_to_image

    flow = torch.nan_to_num(flow.float())
    flow = flow * (longest / flow.norm(dim=0).clamp_min(1e-6)).clamp_max(1)
    scale = torch.zeros(2, flow.shape[1], 1)  # torchvision's unit is the longest vector of a
    scale[0] = longest  # picture: one more column makes it `longest`
    image = flow_to_image(torch.cat([flow, scale], 2))[:, :, :-1].permute(1, 2, 0)
    if valid is not None:
        image[~valid] = UNKNOWN
    return image


def wheel(ax, longest: float) -> None:
    """The legend of `colours`: at each place the colour of the flow from the middle to it."""
    line = torch.linspace(-longest, longest, 121)
    flow = torch.stack(torch.meshgrid(line, line, indexing="xy"))
    image = colours(flow, longest)
    image[flow.norm(dim=0) > longest] = 255
    ax.imshow(image, extent=(-longest, longest, longest, -longest))
    ax.set(xticks=(-longest, 0, longest), yticks=(-longest, 0, longest))
    ax.tick_params(labelsize=7, length=2)
    ax.set_title("legend: u (right) and\nv (down) in pixels", fontsize=8, loc="center")
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
