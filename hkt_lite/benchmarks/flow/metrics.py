"""Errors of optical flow over valid pixels, by Sintel's and KITTI's conventions.

    meter = Meter()
    for sample in samples:
        meter.add(flow, sample)             # flow (2, H, W) in pixels
    meter.result()                          # Sintel: every pixel of all images counts the same
    meter.result(per_image=True)            # KITTI: the mean of the images' mean errors

A number that no pixel qualifies for has no key; it is never NaN.
"""

from collections import Counter

import torch
from torch import Tensor

from ...config import HKTError
from .data import Sample


def _sums(flow: Tensor, sample: Sample) -> dict[str, tuple[float, int]]:
    """Sum over the qualifying pixels and their number, for each key of `metrics`."""
    truth, valid = sample.flow.to(flow.device), sample.valid.to(flow.device)
    if flow.shape != truth.shape:
        shape, other = tuple(flow.shape), tuple(truth.shape)
        raise HKTError(f"A flow of shape {shape} cannot be compared with {other}; crop it first.")
    error = (flow.float() - truth).pow(2).sum(0).sqrt()[valid].double()
    length = truth.norm(dim=0)[valid].double()
    if not error.isfinite().all():
        raise HKTError("The estimated flow is not finite; lower the learning rate.")
    groups = {
        "epe": length >= 0,
        "s0-10": length < 10,
        "s10-40": (length >= 10) & (length < 40),
        "s40+": length >= 40,
    }
    if sample.occluded is not None:
        occluded = sample.occluded.to(flow.device)[valid]
        groups |= {"epe_matched": ~occluded, "epe_unmatched": occluded}
    sums = {key: (float(error[here].sum()), int(here.sum())) for key, here in groups.items()}
    wrong = {"fl_all": (error > 3) & (error > 0.05 * length)}
    wrong |= {f"px{n}": error > n for n in (1, 3, 5)}
    return sums | {key: (100.0 * int(here.sum()), len(error)) for key, here in wrong.items()}


class Meter:
    """Collects the errors of many images; exact whatever their sizes and order."""

    def __init__(self):
        self.total, self.count = Counter(), Counter()
        self.image_epe = []

    def add(self, flow: Tensor, sample: Sample) -> None:
        """One flow (2, H, W); see `metrics` for what is raised."""
        for key, (total, n) in _sums(flow, sample).items():
            self.total[key] += total
            self.count[key] += n
            if key == "epe" and n:
                self.image_epe.append(total / n)

    def result(self, per_image: bool = False) -> dict[str, float]:
        """The mean errors of `metrics` over the pixels of all images; `per_image`: 'epe' alone is
        the mean of the images' EPEs, as in RAFT's evaluation on KITTI, which papers quote."""
        found = {key: self.total[key] / n for key, n in self.count.items() if n}
        if per_image and self.image_epe:
            found["epe"] = sum(self.image_epe) / len(self.image_epe)
        return found


def metrics(flow: Tensor, sample: Sample) -> dict[str, float]:
    """Errors of one flow (2, H, W), and the number of pixels behind each as 'n/KEY'.

    Mean end-point errors in pixels, as Sintel's server has them: epe; epe_matched, epe_unmatched
    (visible, occluded, where the sample tells); s0-10, s10-40, s40+ (by the true speed, upper end
    excluded).  Percentages of pixels: fl_all with an error above 3 pixels and 5 % of the true
    length (KITTI 2015); px1, px3, px5 above so many pixels.  Raises HKTError for another size or a
    flow that is not finite.
    """
    meter = Meter()
    meter.add(flow, sample)
    return meter.result() | {f"n/{key}": float(n) for key, n in meter.count.items() if n}


def warm_start(flow: Tensor) -> Tensor:
    """The first guess for a sequence's next pair: flow (2, H, W), in pixels, carried along itself.

    Each pixel takes the flow of the vector that lands nearest to it (RAFT, section 4).
    """
    from scipy.spatial import cKDTree

    height, width = flow.shape[-2:]
    grid = torch.meshgrid(torch.arange(width), torch.arange(height), indexing="xy")
    grid = torch.stack(grid).float().reshape(2, -1)
    vectors = flow.detach().cpu().float().reshape(2, -1)
    landed = grid + vectors
    inside = (landed > 0).all(0) & (landed[0] < width) & (landed[1] < height)
    if not inside.any():
        return torch.zeros_like(flow)
    _, nearest = cKDTree(landed[:, inside].T.numpy()).query(grid.T.numpy())
    return vectors[:, inside][:, torch.from_numpy(nearest)].reshape(flow.shape).to(flow)
