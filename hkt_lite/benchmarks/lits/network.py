"""U-Nets for segmentation, built by MONAI, and the places in them where inheritance may happen.

    parent, child = unet("resunet2d-24x4", classes=3), unet("resunet2d-6x4", classes=3)
    site_list = sites(parent, child, "bottleneck+decoder1")

A name says everything: [res]unet, 2d or 3d, the first level's channels (doubled at each level
below) and the number of levels.  `resunet` has two residual units a level (Zhang et al., 2018;
Kerfoot et al., 2018), `unet` one plain convolution.
"""

import re
from collections.abc import Sequence

import torch
from torch import nn

from ...config import HKTError, nearest
from ...methods.sites import Site, SiteError, record

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


def _paths(model: nn.Module) -> tuple[list[str], dict[str, str]]:
    """Module paths of (the encoders from the top, the sites by name from the bottleneck up).

    MONAI nests a level (down, skip connection, up) within the skip connection of the one above it.
    So one path is the bottleneck of one network and a decoder of another.
    """
    *upper, bottom = ("model" + ".1.submodule" * level for level in range(len(model.channels)))
    encoders = [f"{level}.0" for level in upper]
    decoders = {f"decoder{n}": f"{level}.2" for n, level in enumerate(upper[:0:-1], 1)}
    return encoders, {"bottleneck": bottom, **decoders}


def place(model: nn.Module, name: str) -> str:
    """Module path of 'bottleneck' or 'decoder1' (the first above it), 'decoder2', … of a U-Net.

    Raises SiteError naming the valid places.
    """
    _, places = _paths(model)
    if name not in places:
        hint = nearest(name, places)
        if name == f"decoder{len(places)}":
            hint = " The topmost decoder returns the logits; use kd to imitate these."
        raise SiteError(f"A U-Net of {len(places) + 1} levels has no site {name!r}.{hint}")
    return places[name]


def shapes(model: nn.Module, names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Shape of each site's output for one small input, measured.

    Raises SiteError where it is not what depth and widths promise.
    """
    paths = {name: place(model, name) for name in names}
    side = 2 ** len(model.channels)  # twice the smallest: a single position cannot be normalised
    picture = next(model.parameters()).new_zeros(1, model.in_channels, *[side] * model.dimensions)
    training = model.training
    with torch.no_grad(), record(model.eval(), list(paths.values())) as seen:
        model(picture)
    model.train(training)
    found = {name: tuple(seen[path][0].shape) for name, path in paths.items()}
    order = list(_paths(model)[1])
    for name, shape in found.items():
        level = len(order) - order.index(name)
        # a decoder already has the channels of the level above it, which is where its output goes
        channels = model.channels[level if name == "bottleneck" else level - 1]
        wanted = (1, channels, *[side >> level] * model.dimensions)
        if shape != wanted:
            raise SiteError(
                f"Site {name!r} at {paths[name]!r} has shape {shape}, but a U-Net of widths "
                f"{tuple(model.channels)} has {wanted} there; was it built by lits.network.unet?"
            )
    return found


def sites(parent: nn.Module, child: nn.Module, names: str) -> tuple[Site, ...]:
    """The named places ('bottleneck+decoder1') in both networks, each by its own depth.

    Both networks are run once to check the shapes.  Raises SiteError for a place that one of them
    does not have, for one named twice, and for networks of different dimensions.
    """
    places = names.split("+")
    twice = [name for name in places if places.count(name) > 1]
    if twice:
        raise SiteError(f"Site {twice[0]!r} is named twice.")
    if parent.dimensions != child.dimensions:
        raise SiteError(
            f"The parent works in {parent.dimensions} dimensions and the child in "
            f"{child.dimensions}; sites need the same."
        )
    upstream = []
    for model in (parent, child):
        shapes(model, places)
        encoders, paths = _paths(model)
        order = list(paths)
        lowest = min(places, key=order.index)
        upstream.append((*encoders, *list(paths.values())[: order.index(lowest)]))
    return tuple(
        # the lowest site depends on no other one
        Site(place(parent, name), place(child, name), *upstream, alone=name == lowest)
        for name in places
    )
