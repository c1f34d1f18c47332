"""U-Nets: names, sizes, and sites that are found by depth and are what they are called."""

import pytest
import torch

from hkt_lite.benchmarks.lits import network as unet
from hkt_lite.benchmarks.lits.network import PRESETS, parsed, place, sites
from hkt_lite.benchmarks.weights import parameters
from hkt_lite.config import HKTError
from hkt_lite.methods import HKT
from hkt_lite.methods.sites import SiteError, record

PARENT, CHILD = "resunet2d-24x4", "resunet2d-8x4"


def loss(output, batch):
    return torch.nn.functional.cross_entropy(output, batch[1])


@pytest.mark.parametrize(
    "parent, child",
    [(PARENT, CHILD), ("resunet2d-32x5", "resunet2d-8x5"), ("resunet3d-32x5", "resunet3d-8x5")],
)
def test_presets_have_children_of_an_eighth_or_less(parent, child):
    assert parameters(unet.unet(parent, 3)) >= 8 * parameters(unet.unet(child, 3))


def test_committed_parent_fits_into_two_megabytes_at_half_precision():
    assert 2 * parameters(unet.unet(PARENT, 3)) < 2_000_000


@pytest.mark.parametrize(
    "arch, classes, size",
    [(CHILD, 3, (24, 40)), ("unet2d-8x5", 2, (32, 32)), ("resunet3d-4x3", 3, (8, 16, 12))],
)
def test_logits_have_the_input_size(arch, classes, size):
    assert all(side % 2 ** (parsed(arch)[3] - 1) == 0 for side in size)
    assert unet.unet(arch, classes)(torch.zeros(2, 1, *size)).shape == (2, classes, *size)


@pytest.mark.parametrize(
    "name", ["resunet2d", "unet4d-8x4", "resunet2d-8x9", "resunet2d-0x4", "resnet20"]
)
def test_other_names_are_refused_in_one_sentence(name):
    with pytest.raises(HKTError, match="There is no U-Net"):
        unet.unet(name, 3)


def test_one_path_is_the_bottleneck_at_one_depth_and_a_level_at_another():
    shallow, deep = "resunet2d-8x3", "resunet2d-8x4"
    assert place(shallow, "bottleneck") == "model.1.submodule.1.submodule"
    module = unet.unet(deep, 2).get_submodule("model.1.submodule.1.submodule")
    assert type(module).__name__ == "Sequential"
    assert place(deep, "bottleneck") == "model.1.submodule.1.submodule.1.submodule"
    assert place(deep, "decoder2") == "model.1.submodule.2"
    assert place(shallow, "decoder1") == "model.1.submodule.2"


@pytest.mark.parametrize("arch", [*PRESETS.values(), "unet2d-4x3", "resunet3d-4x3"])
def test_places_have_the_width_and_resolution_that_the_name_promises(arch):
    """A decoder already has the channels of the level above it, where its output goes."""
    _, dims, width, levels = parsed(arch)
    model, side = unet.unet(arch, 3), 2**levels
    wanted = {place(arch, "bottleneck"): (width << levels - 1, 2)}
    for n in range(1, levels - 1):
        wanted[place(arch, f"decoder{n}")] = width << levels - 2 - n, 2 << n
    with torch.no_grad(), record(model, list(wanted)) as seen:
        model(torch.zeros(1, 1, *[side] * dims))
    for path, (channels, across) in wanted.items():
        assert seen[path][0].shape == (1, channels, *[across] * dims)


def test_sites_never_name_a_skip_connection_or_the_logits():
    from monai.networks.layers.simplelayers import SkipConnection

    model = unet.unet(CHILD, 3)
    for site in sites(CHILD, CHILD, "bottleneck+decoder1+decoder2"):
        assert not isinstance(model.get_submodule(site.child), SkipConnection)
    with pytest.raises(SiteError, match="returns the logits"):
        sites(CHILD, CHILD, "decoder3")


@pytest.mark.parametrize(
    "names, words",
    [
        ("botleneck", "Did you mean 'bottleneck'"),
        ("decoder7", "no site 'decoder7'"),
        ("decoder1+decoder1", "named twice"),
    ],
)
def test_bad_names_are_one_sentence(names, words):
    with pytest.raises(SiteError, match=words):
        sites(CHILD, CHILD, names)


def test_networks_of_other_dimensions_are_refused():
    with pytest.raises(SiteError, match="3 dimensions and the child 2"):
        sites("resunet3d-4x3", "resunet2d-4x3", "bottleneck")


@pytest.mark.parametrize(
    "names", ["bottleneck", "decoder1", "bottleneck+decoder1", "decoder2+bottleneck"]
)
def test_replaying_what_lies_upstream_changes_no_loss(names):
    """The three terms are the same with and without the short cut, and their gradients reach every parameter of the child."""
    torch.manual_seed(0)
    names_of_both = "resunet2d-8x4", "resunet2d-4x4"
    parent, child = (unet.unet(arch, 2) for arch in names_of_both)
    batch = torch.rand(2, 1, 32, 32), torch.randint(2, (2, 32, 32))
    found = []
    short = sites(*names_of_both, names)
    for each in (short, [type(site)(site.parent, site.child) for site in short]):
        method = HKT(
            child, parent, sites=each, predict=lambda model, batch: model(batch[0]), loss=loss
        )
        method.setup(batch)
        terms = method(batch)
        child.zero_grad()
        sum(terms.values()).backward()
        assert all(p.grad is not None for p in child.parameters())
        found.append(
            [value.item() for value in terms.values()]
            + [p.grad.norm().item() for p in child.parameters()]
        )
    assert found[0] == pytest.approx(found[1], rel=1e-4, abs=1e-6)


def test_only_the_deepest_site_stands_alone():
    model = unet.unet(CHILD, 3)
    assert [site.alone for site in sites(CHILD, CHILD, "decoder1+bottleneck")] == [False, True]
    with record(model, [site.parent for site in sites(CHILD, CHILD, "decoder2")]) as seen:
        model(torch.zeros(1, 1, 16, 16))
    assert [value.shape[1] for values in seen.values() for value in values] == [8]
