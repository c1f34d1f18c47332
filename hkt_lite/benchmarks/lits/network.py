"""U-Nets for segmentation, built by MONAI, and the places in them where inheritance may happen.

    parent, child = unet("resunet2d-24x4", classes=3), unet("resunet2d-6x4", classes=3)
    site_list = sites(parent, child, "bottleneck+decoder1")

A name says everything: [res]unet, 2d or 3d, the first level's channels (doubled at each level below) and the number of levels.  `resunet` has
two residual units a level (Zhang et al., 2018; Kerfoot et al., 2018), `unet` one plain convolution.  Presets:

| scale      | parent          | child          | parameters             |
|------------|-----------------|----------------|------------------------|
| phantoms   | resunet2d-24x4  | resunet2d-6x4  | 0.90 M -> 0.057 M      |
| 2-D slices | resunet2d-32x5  | resunet2d-8x5  | 6.5 M -> 0.41 M        |
| 3-D patches| resunet3d-32x5  | resunet3d-8x5  | 19 M -> 1.2 M          |
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import nn

from ...config import HKTError, nearest
from ...methods.sites import Site, SiteError

NAME = re.compile(r"(res)?unet([23])d-(\d+)x([3-7])")
PRESETS = (
    "resunet2d-24x4",
    "resunet2d-6x4",
    "resunet2d-32x5",
    "resunet2d-8x5",
    "resunet3d-32x5",
    "resunet3d-8x5",
)


def parsed(arch: str) -> tuple[int, int, int, int]:
    """(residual units a level, spatial dimensions, first level's channels, levels) of a name.  Raises HKTError for another name."""
    if not (found := NAME.fullmatch(arch)) or not int(found[3]):
        raise HKTError(
            f"There is no U-Net {arch!r}; a name reads like 'resunet2d-24x4': 2d or 3d, first level's channels x 3 to 7 levels."
            f"{nearest(arch, PRESETS)}"
        )
    return 2 if found[1] else 0, int(found[2]), int(found[3]), int(found[4])


def stride(arch: str) -> int:
    """What every side of the input must be a multiple of: one halving between each two levels."""
    return 2 ** (parsed(arch)[3] - 1)


def unet(arch: str, classes: int, channels: int = 1) -> nn.Module:
    """A new MONAI U-Net: (B, channels, H, W[, D]) -> logits (B, classes, H, W[, D]); instance normalisation, so no running statistics.

    Raises HKTError for a name that says nothing.
    """
    from monai.networks.nets import UNet

    units, dims, width, levels = parsed(arch)
    return UNet(
        dims,
        channels,
        classes,
        [width * 2**level for level in range(levels)],
        [2] * (levels - 1),
        num_res_units=units,
    )


def _levels(model: nn.Module) -> int:
    return len(model.channels)


def _inside(level: int) -> str:
    """Path of the Sequential (down, skip connection, up) of a level, 0 at the top."""
    return "model" + ".1.submodule" * level


def place(model: nn.Module, name: str) -> str:
    """Module path of 'bottleneck' or 'decoder1' (the first one above it), 'decoder2', … of one of our U-Nets.

    The path depends on the depth: MONAI nests a level within the skip connection of the one above it, so that one path is the bottleneck of
    one network and a decoder of another, and a skip connection itself returns a concatenation.  Raises SiteError naming the valid places.
    """
    levels = _levels(model)
    valid = ["bottleneck", *(f"decoder{number}" for number in range(1, levels - 1))]
    if name not in valid:
        hint = (
            " The topmost decoder returns the logits; use kd to imitate these."
            if name == f"decoder{levels - 1}"
            else nearest(name, valid)
        )
        raise SiteError(f"A U-Net of {levels} levels has no site {name!r}.{hint}")
    return (
        _inside(levels - 1)
        if name == "bottleneck"
        else _inside(levels - 1 - int(name.removeprefix("decoder"))) + ".2"
    )


def _before(model: nn.Module, names: Sequence[str]) -> tuple[str, ...]:
    """Modules that lie before the earliest of the named sites: all encoders, and what is below the first decoder among them."""
    levels = _levels(model)
    first = min(0 if name == "bottleneck" else int(name.removeprefix("decoder")) for name in names)
    below = ["bottleneck", *(f"decoder{number}" for number in range(1, first))][:first]
    return (
        *(_inside(level) + ".0" for level in range(levels - 1)),
        *(place(model, name) for name in below),
    )


def _shape(model: nn.Module, name: str) -> tuple[int, int]:
    """(channels, halvings of the input) that the named site must have, from the network's widths."""
    level = (
        _levels(model) - 1
        if name == "bottleneck"
        else _levels(model) - 2 - int(name.removeprefix("decoder"))
    )
    return model.channels[level], min(level + 1, _levels(model) - 1)


def shapes(model: nn.Module, names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Shape of each site's output for one smallest valid input, measured.  Raises SiteError where it is not what the depth says."""
    import torch

    from ...methods.sites import record

    side = 2 ** _levels(
        model
    )  # twice the smallest: instance normalisation refuses a single position
    found, training = {}, model.training
    weight = next(model.parameters())
    paths = {name: place(model, name) for name in names}
    with torch.no_grad(), record(model.eval(), list(paths.values())) as seen:
        model(
            torch.zeros(
                1,
                model.in_channels,
                *[side] * model.dimensions,
                device=weight.device,
                dtype=weight.dtype,
            )
        )
    model.train(training)
    for name, path in paths.items():
        width, halvings = _shape(model, name)
        found[name] = tuple(seen[path][0].shape)
        if found[name] != (1, width, *[side >> halvings] * model.dimensions):
            raise SiteError(
                f"Site {name!r} at {path!r} has shape {found[name]}, but a U-Net of {_levels(model)} levels should have {width} "
                f"channels at 1/{2**halvings} of the input there; was the network built by models.unet?"
            )
    return found


def sites(parent: nn.Module, child: nn.Module, names: str | Sequence[str]) -> tuple[Site, ...]:
    """The named places ('bottleneck+decoder1') in both networks, each by its own depth; both are run once to check the shapes.

    Raises SiteError for a place that one of them does not have, for one named twice, and for networks of different dimensions.
    """
    names = names.split("+") if isinstance(names, str) else list(names)
    if twice := [name for name in names if names.count(name) > 1]:
        raise SiteError(f"Site {twice[0]!r} is named twice.")
    if parent.dimensions != child.dimensions:
        raise SiteError(
            f"The parent works in {parent.dimensions} dimensions and the child in {child.dimensions}; sites need the same."
        )
    shapes(parent, names), shapes(child, names)
    ahead = _before(parent, names), _before(child, names)
    deepest = min(
        names, key=lambda name: 0 if name == "bottleneck" else int(name.removeprefix("decoder"))
    )  # depends on no other site
    return tuple(
        Site(place(parent, name), place(child, name), *ahead, alone=name == deepest)
        for name in names
    )
