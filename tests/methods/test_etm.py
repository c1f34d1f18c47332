"""Extraction, and Transfer with its way back."""

import pytest
import torch
from torch import nn

from hkt_lite.methods.etm import Extraction, Transfer, fitting
from hkt_lite.methods.sites import SiteError
from tests.methods.nets import Loop, networks, perceptron, predict, rows

SHAPES = {2: (40, 8), 3: (10, 8, 6), 4: (6, 8, 3, 4), 5: (4, 8, 2, 3, 2)}


def feature(ndim: int, channels: int = 8, seed: int = 0, rank: int | None = None) -> torch.Tensor:
    """A parent feature with correlated channels around a mean; its channels vary in `rank` directions."""
    draw = torch.Generator().manual_seed(seed)
    shape = list(SHAPES[ndim])
    rank = rank or channels
    strength = torch.arange(rank, 0, -1).view(-1, *[1] * (ndim - 2))
    source = torch.randn(shape[0], rank, *shape[2:], generator=draw) * strength
    blend, mean = torch.randn(channels, rank, generator=draw), torch.randn(channels, generator=draw)
    return torch.einsum("ck,bk...->bc...", blend, source) + mean.view(-1, *[1] * (ndim - 2))


def variance_left(p: torch.Tensor, projection: torch.Tensor) -> float:
    """Mean squared error of p after projection onto the rows of `projection` around its mean, in double precision."""
    data = p.movedim(1, -1).flatten(0, -2).double()
    centred = data - data.mean(0)
    return float((centred - centred @ projection.T @ projection).square().mean())


# -- Extraction ------------------------------------------------------------------------------------------------------


def test_extraction_reads_all_sites_in_one_pass_without_gradient():
    parent, batch, passes = perceptron(5, 6, 4, 3).train(), rows(), []
    parent[0].register_forward_pre_hook(lambda *_: passes.append(1))
    output, seen = Extraction(parent, predict, ["1", "3", "1"])(batch)
    assert passes == [1] and list(seen) == ["1", "3"] and not parent.training
    assert torch.equal(output, parent(batch.x)) and torch.equal(seen["3"][0], parent[:4](batch.x))
    assert not output.requires_grad and not any(
        z.requires_grad for calls in seen.values() for z in calls
    )
    assert not any(p.requires_grad for p in parent.parameters())


def test_extraction_is_no_module_and_keeps_calls_apart():
    extraction = Extraction(Loop().double(), predict, ["cell"])
    assert not isinstance(extraction, nn.Module) and len(extraction(rows())[1]["cell"]) == 3


def test_extraction_puts_a_parent_back_into_evaluation():
    _, parent = networks()
    extraction = Extraction(parent, predict, ["avgpool"])
    x = torch.randn(4, 3, 16, 16, dtype=torch.float64)
    batch = type("B", (), {"x": x})
    wanted, before = extraction(batch)[0], {k: v.clone() for k, v in parent.named_buffers()}
    parent.train()
    assert torch.equal(extraction(batch)[0], wanted) and not parent.training
    assert all(torch.equal(v, before[k]) for k, v in parent.named_buffers())


# -- Transfer: shapes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ndim", SHAPES)
def test_identity_where_shapes_agree(ndim):
    p = feature(ndim)
    transfer = fitting(torch.randn_like(p), p, "here")
    assert transfer(p, p) is p and transfer.back(p, p) is p and not list(transfer.parameters())


@pytest.mark.parametrize("width", [1, 3, 8, 11])
@pytest.mark.parametrize("ndim", SHAPES)
def test_projection_there_and_back_has_the_right_shapes(ndim, width):
    p = feature(ndim)
    c = torch.randn(p.shape[0], width, *[size + 3 for size in p.shape[2:]])
    transfer = fitting(c, p, "here")
    assert transfer(p, c).shape == c.shape and transfer.back(c, p).shape == p.shape
    layer = (
        nn.Identity
        if width == 8
        else {2: nn.Linear, 3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}[ndim]
    )
    assert isinstance(transfer.to_child, layer) and isinstance(transfer.to_parent, layer)
    assert all(q.requires_grad for q in transfer.parameters())


def test_resizing_is_linear_interpolation_and_keeps_constants():
    p = torch.full((2, 4, 3, 5), 7.0)
    c = torch.zeros(2, 4, 6, 9)
    transfer = Transfer(4, 4, 4)
    torch.testing.assert_close(transfer(p, c), torch.full_like(c, 7))
    ramp = torch.arange(4.0).view(1, 1, 1, 4).expand(1, 1, 2, 4)
    torch.testing.assert_close(
        Transfer(1, 1, 4)(ramp, torch.zeros(1, 1, 2, 8))[0, 0, 0],
        torch.tensor([0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]),
    )


# -- Transfer: what its projection keeps -----------------------------------------------------------------------------


@pytest.mark.parametrize("ndim", SHAPES)
def test_back_undoes_transfer_on_the_principal_subspace(ndim):
    p = feature(ndim, rank=3)  # varies in three directions only
    transfer = fitting(torch.randn(p.shape[0], 3, *p.shape[2:]), p, "here")
    torch.testing.assert_close(transfer.back(transfer(p, p[:, :3]), p), p, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("ndim", SHAPES)
def test_transfer_undoes_back_for_every_child_feature(ndim):
    p = feature(ndim)
    m = torch.randn(p.shape[0], 5, *p.shape[2:])
    transfer = fitting(m, p, "here")
    torch.testing.assert_close(transfer(transfer.back(m, p), m), m, rtol=1e-4, atol=1e-4)


def check_principal(transfer: Transfer, p: torch.Tensor):
    """The projection is orthonormal, loses just the smallest eigenvalues, and no random one loses less."""
    weight = transfer.to_child.weight.detach().flatten(1).double()  # (C_c, C_p)
    width, channels = weight.shape
    assert torch.allclose(weight @ weight.T, torch.eye(width, dtype=torch.float64), atol=1e-5)
    assert torch.allclose(transfer.to_parent.weight.detach().flatten(1).double(), weight.T)
    data = p.movedim(1, -1).flatten(0, -2).double()
    smallest = torch.linalg.eigvalsh(torch.cov(data.T, correction=0))[: channels - width]
    left = variance_left(p, weight)
    assert abs(left - float(smallest.sum()) / channels) <= 1e-5 * (1 + left)
    draw = torch.Generator().manual_seed(0)
    for _ in range(20):
        other = torch.linalg.qr(
            torch.randn(channels, width, generator=draw, dtype=torch.float64)
        ).Q.T
        assert left < variance_left(p, other)


@pytest.mark.parametrize("width", [1, 4, 7])
@pytest.mark.parametrize("ndim", SHAPES)
def test_transfer_starts_as_the_best_projection(ndim, width):
    p = feature(ndim)
    transfer = fitting(torch.zeros(p.shape[0], width, *p.shape[2:]), p, "here")
    check_principal(transfer, p)
    z = transfer(p, p[:, :width]).detach().movedim(1, -1).flatten(0, -2)
    torch.testing.assert_close(z.mean(0), torch.zeros(width), atol=1e-4, rtol=0)  # around the mean
    assert (z.var(0).diff() <= 1e-3).all()  # the strongest direction first


@pytest.mark.parametrize(
    "fault", ["random", "smallest directions", "not orthonormal", "back not transposed"]
)
def test_principal_check_sees(fault):
    p = feature(2)
    transfer = fitting(torch.zeros(40, 3), p, "here")
    with torch.no_grad():
        weight = transfer.to_child.weight
        if fault == "random":
            weight.copy_(
                torch.linalg.qr(torch.randn(8, 3, generator=torch.Generator().manual_seed(1))).Q.T
            )
        elif fault == "smallest directions":
            weight.copy_(torch.linalg.eigh(torch.cov(p.T)).eigenvectors[:, :3].T)
        elif fault == "not orthonormal":
            weight.mul_(2)
        if fault == "back not transposed":
            transfer.to_parent.weight.neg_()
        else:
            transfer.to_parent.weight.copy_(weight.T)
    with pytest.raises(AssertionError):
        check_principal(transfer, p)


def test_a_wider_child_loses_nothing():
    p = feature(2)
    transfer = fitting(torch.zeros(40, 11), p, "here")
    torch.testing.assert_close(
        transfer.back(transfer(p, torch.zeros(40, 11)), p), p, rtol=1e-4, atol=1e-4
    )
    assert transfer(p, torch.zeros(40, 11))[:, 8:].abs().max().item() < 1e-4


def test_fitting_the_same_batch_gives_the_same_bits():
    p = feature(4)
    one, two = (fitting(torch.zeros(6, 3, 3, 4), p, "here") for _ in range(2))
    assert all(
        torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values())
    )


def test_the_parents_tail_works_from_the_first_step():
    """Through a narrow bottleneck the parent predicts what it did, for its feature has few directions."""
    torch.manual_seed(0)
    tail, p = nn.Linear(8, 5), feature(2, rank=3)
    transfer = fitting(torch.zeros(40, 3), p, "here")
    torch.testing.assert_close(
        tail(transfer.back(transfer(p, p[:, :3]), p)), tail(p), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_transfer_has_the_features_precision(dtype):
    p = feature(2).to(dtype)
    assert fitting(torch.zeros(40, 3, dtype=dtype), p, "here")(p, p[:, :3]).dtype == dtype


@pytest.mark.parametrize(
    "c, p",
    [
        ((4, 3), (5, 3)),
        ((4, 3), (4, 3, 2, 2)),
        ((4,), (4,)),
        ((2, 1, 1, 1, 1, 1), (2, 1, 1, 1, 1, 1)),
    ],
)
def test_rank_or_batch_that_differ_name_the_site(c, p):
    with pytest.raises(SiteError, match="Site 'layer2': .* differ in rank or batch"):
        fitting(torch.zeros(c), torch.zeros(p), "layer2")
