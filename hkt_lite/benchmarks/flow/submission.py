"""Flows of a trained child as the files that Sintel's and KITTI's servers take.

    hkt submit RUN sintel-clean OUT [--warm]

Sintel: OUT/clean/SCENE/frame_0001.flo; KITTI: OUT/flow/000000_10.png.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from ...config import HKTError, data_home
from ..task import choose
from . import data, files
from .data import Pair
from .metrics import warm_start
from .network import smallest
from .task import UPDATES

CORPORA = ("sintel-clean", "sintel-final", "kitti2015", "kitti2012")


@torch.no_grad()
def refine(
    model: nn.Module, first: Tensor, second: Tensor, updates: int, initial: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """RAFT's loop from a given flow: images (B, 3, H, W) in [-1, 1], initial (B, 2, H/8, W/8).

    Returns flow (B, 2, H, W) in pixels, and at an eighth of the resolution in its pixels.  Made of
    the parts of torchvision's forward, which always starts from zero.
    """
    from torchvision.models.optical_flow._utils import make_coords_grid, upsample_flow

    model.corr_block.build_pyramid(*model.feature_encoder(torch.cat([first, second])).chunk(2))
    hidden_size = model.update_block.hidden_state_size
    context = model.context_encoder(first)
    hidden, context = context[:, :hidden_size].tanh(), context[:, hidden_size:].relu()
    start = make_coords_grid(first.shape[0], *context.shape[-2:]).to(first.device)
    places = start if initial is None else start + initial
    for _ in range(updates):
        corr = model.corr_block.index_pyramid(places)
        hidden, delta = model.update_block(hidden, context, corr, places - start)
        places = places + delta
    mask = None if model.mask_predictor is None else model.mask_predictor(hidden)
    return upsample_flow(places - start, up_mask=mask), places - start


def flows(
    model: nn.Module, arch: str, pairs: list[Pair], updates: int, family: str, warm: bool = False
) -> Iterator[tuple[Pair, Tensor]]:
    """(pair, flow (2, H, W) in pixels) of each pair, padded after `family`.

    With `warm` a pair begins where the one before it has led, if it goes on from its last frame.
    """
    model.eval()
    last, carried = None, None
    for pair in pairs:
        sample = data.read(pair._replace(flow=None, occlusion=None, invalid=None))
        images = torch.stack([sample.first, sample.second]).float() / 127.5 - 1
        images, back = data.pad(images, mode=family, least=smallest(arch))
        initial = None
        if warm and last == pair.first:
            initial = warm_start(carried)[None]
        full, low = refine(model, images[:1], images[1:], updates, initial)
        last, carried = pair.second, low[0]
        yield pair, back(full[0])


def write(model: nn.Module, arch: str, corpus: str, out: Path, warm: bool = False) -> int:
    """Write the flows of a corpus' test part to the new folder `out`: how many.

    Raises HKTError for a corpus without a server, a folder that is there already, data that is
    missing; nothing half-written stays.
    """
    out, family = Path(out), data.family(choose("server for flows of", corpus, CORPORA))
    if warm and family != "sintel":
        raise HKTError(f"{corpus} has single pairs, no flow to start from; leave --warm out.")
    if out.exists():
        raise HKTError(f"{out} is there already; name another folder or remove it first.")
    pairs = data.pairs(data_home(), corpus, part="test")
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        for pair, flow in flows(model, arch, pairs, UPDATES[family], family, warm):
            if family == "sintel":
                folder = part / corpus.removeprefix("sintel-")
                files.write_flo(folder / f"{pair.name}.flo", flow)
            else:
                files.write_kitti(part / "flow" / f"{pair.name}.png", flow.clamp(-511, 511))
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return len(pairs)
