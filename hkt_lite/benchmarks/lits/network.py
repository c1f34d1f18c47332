"""U-Nets for segmentation, built by MONAI, and the places in them where inheritance may happen.

    parent, child = (unet(arch, classes=3) for arch in ("resunet2d-24x4", "resunet2d-6x4"))
    where = sites("resunet2d-24x4", "resunet2d-6x4", "bottleneck+decoder1")

A name says everything: [res]unet, 2d or 3d, the first level's channels (doubled at each level
below) and the number of levels.  `resunet` has two residual units a level (Zhang et al., 2018;
Kerfoot et al., 2018), `unet` one plain convolution.
"""

import re

from torch import nn

from ...config import HKTError, nearest
from ...methods.sites import Site, SiteError

NAME = re.compile(r"(res)?unet([23])d-([1-9]\d*)x([3-7])")
PRESETS = {  # parent: child
    "resunet2d-24x4": "resunet2d-6x4",  # phantoms: 0.90 M and 0.057 M parameters
    "resunet2d-32x5": "resunet2d-8x5",  # slices: 6.5 M and 0.41 M
    "resunet3d-32x5": "resunet3d-8x5",  # stacks of slices: 19 M and 1.2 M
}


def parsed(arch: str) -> tuple[int, int, int, int]:
    """(residual units a level, spatial dimensions, first level's channels, levels) of a name."""
    found = NAME.fullmatch(arch)
    if not found:
        raise HKTError(
            f"There is no U-Net {arch!r}; a name reads like 'resunet2d-24x4': 2d or 3d, first "
            f"level's channels x 3 to 7 levels.{nearest(arch, [*PRESETS, *PRESETS.values()])}"
        )
    return 2 if found[1] else 0, int(found[2]), int(found[3]), int(found[4])


def unet(arch: str, classes: int) -> nn.Module:
    """A new U-Net: (B, 1, H, W[, D]) -> logits (B, classes, H, W[, D]).

    Instance normalisation, so no running statistics.  Raises HKTError for another name.
    """
    from monai.networks.nets import UNet

    units, dims, width, levels = parsed(arch)
    widths = [width * 2**level for level in range(levels)]
    return UNet(dims, 1, classes, widths, [2] * (levels - 1), num_res_units=units)


def _paths(arch: str) -> tuple[list[str], dict[str, str]]:
    """Module paths of (the encoders from the top, the sites by name from the bottleneck up).

    MONAI nests a level (down, skip connection, up) within the skip connection of the one above it,
    so one path is the bottleneck of one network and a decoder of another.
    """
    *upper, bottom = ("model" + ".1.submodule" * level for level in range(parsed(arch)[3]))
    decoders = {f"decoder{n}": f"{level}.2" for n, level in enumerate(upper[:0:-1], 1)}
    return [f"{level}.0" for level in upper], {"bottleneck": bottom, **decoders}


def place(arch: str, name: str) -> str:
    """Module path of 'bottleneck' or 'decoder1' (the first above it), 'decoder2', … of a U-Net.

    Raises SiteError naming the valid places.
    """
    _, places = _paths(arch)
    if name not in places:
        hint = nearest(name, places)
        if name == f"decoder{len(places)}":
            hint = " The topmost decoder returns the logits; use kd to imitate these."
        raise SiteError(f"{arch} has no site {name!r}.{hint}")
    return places[name]


def sites(parent: str, child: str, names: str) -> tuple[Site, ...]:
    """The named places ('bottleneck+decoder1') in both networks, each by its own depth.

    Raises SiteError for a place that one of them does not have, for one named twice, and for
    networks of different dimensions.
    """
    places, both = names.split("+"), (parent, child)
    twice = [name for name in places if places.count(name) > 1]
    if twice:
        raise SiteError(f"Site {twice[0]!r} is named twice.")
    dims = [parsed(arch)[1] for arch in both]
    if dims[0] != dims[1]:
        raise SiteError(f"The parent has {dims[0]} dimensions and the child {dims[1]}.")
    found = [[place(arch, name) for arch in both] for name in places]
    upstream = []
    for arch in both:
        encoders, paths = _paths(arch)
        order = list(paths)
        lowest = min(places, key=order.index)  # it depends on no other site
        upstream.append((*encoders, *list(paths.values())[: order.index(lowest)]))
    return tuple(Site(*pair, *upstream, alone=name == lowest) for name, pair in zip(places, found))
