"""Liver and tumour in CT: a residual U-Net parent, a U-Net child with an eighth of its parameters or fewer, sites by name.

    hkt run lits hkt --scale quick                              # phantoms, two cores, no network
    hkt run lits hkt --scale cpu --parent-weights run:ID        # real slices; the parent is trained first, as a plain run

The paper names LiTS and nothing more; all of this is our choice.  Real data is LiTS or Task03_Liver where it lies under HKT_DATA (three
classes), else the slice collection `liver_ct` (liver and tumour as one class).  The corpus is part of the configuration, as its only stage.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...config import Config, HKTError, data_home, stream
from ...methods.kd import soft_divergence
from ..task import Task
from . import data as lits
from . import network as unet
from . import slices
from . import synthetic as phantom
from .metrics import by_volume, largest_component, scores

PHANTOMS = {"val": 16, "test": 24}  # volumes of 24 slices of 64 x 64; at smoke scale a quarter
IN_PLANE = {
    "smoke": 64,
    "quick": 64,
    "cpu": 128,
    "paper": 256,
}  # pixels a side that slices are resized to
LOOKED_AT = 16  # training volumes that a parent is judged on
EMPTY = 4  # one in so many slices without liver is trained on
OVERLAP = 0.25  # of sliding windows, in evaluation
TURN, ZOOM, LIGHT = 15.0, (0.85, 1.2), 0.1  # degrees, factors, share of the window


class Batch(NamedTuple):
    """x (B, 1, H, W) in [0, 1] from the window's lower to its upper end, or (B, 1, D, H, W); y labels int64 (B, H, W), (B, D, H, W); key (B,)."""

    x: Tensor
    y: Tensor
    key: Tensor


@lru_cache(maxsize=2)
def _criterion():
    from monai.losses import DiceCELoss

    return DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)


def dice_ce(logits: Tensor, labels: Tensor) -> Tensor:
    """1 - soft Dice of the foreground classes + cross-entropy; logits (B, K, ...), labels int64 (B, ...).

    Dice is over the whole batch: a slice without tumour would otherwise give all or nothing for a single pixel.
    """
    return _criterion()(logits.float(), labels[:, None])


def pixelwise(child: Tensor, parent: Tensor, temperature: float) -> Tensor:
    """T^2 KL(parent || child) of the softened class distributions, mean over pixels; logits (B, K, ...)."""
    return soft_divergence(
        *(logits.float().movedim(1, -1).flatten(0, -2) for logits in (child, parent)), temperature
    )


class Lits(Task):
    metric = "dice"  # mean over regions of the mean over volumes
    protocols = {
        "volumes": {"volumes": "each as a whole", "post-processing": "none"},
        "largest-component": {
            "volumes": "each as a whole",
            "post-processing": "largest connected component of the foreground",
        },
    }

    def __init__(self, config: Config):
        super().__init__(config)
        self.largest = False
        self.corpus = config.stages[0].corpus if config.stages else "phantoms"
        self.classes = 2 if self.corpus == slices.FOLDER else 3
        self.dims, multiple = unet.parsed(config.child)[1], unet.stride(config.child)
        if (
            config.crop is None
            or len(config.crop) != self.dims
            or any(side % multiple for side in config.crop)
        ):
            raise HKTError(
                f"{config.child} needs a crop of {self.dims} sides that are multiples of {multiple}, got {config.crop}."
            )
        if max(config.crop[-2:]) > self.in_plane:
            raise HKTError(
                f"A crop of {config.crop} pixels is larger than the slices of scale {config.scale!r}, {self.in_plane} x {self.in_plane}."
            )
        if config.sites and config.parent not in (None, "none"):
            with torch.random.fork_rng(devices=[]):  # the two networks are only looked at
                self.sites = unet.sites(
                    self.network(config.parent), self.network(config.child), config.sites
                )

    @classmethod
    def autos(cls, config: Config) -> dict:
        source = config.source
        official = lits.present(data_home())
        if source == "auto":
            source = "real" if official or slices.present(data_home()) else "synthetic"
        layout = {"channels_last": False} if config.crop and len(config.crop) == 3 else {}
        if source == "synthetic":
            return {"source": source, "parent_weights": "committed", **layout}
        corpus = "lits" if official else slices.FOLDER
        return {
            "source": source,
            **layout,
            "stages": [{"corpus": corpus, "epochs": config.epochs, "crop": config.crop[-2:]}],
        }

    @classmethod
    def learnt(cls, metrics: dict[str, float]) -> bool:
        """Sees lesions: an answer that calls everything liver has a lesion Dice of 0.  With one class: finds it better than half."""
        return metrics["dice_lesion"] > 0.1 if "dice_lesion" in metrics else metrics["dice"] > 0.5

    @property
    def in_plane(self) -> int:
        return IN_PLANE[self.config.scale]

    def network(self, arch: str) -> nn.Module:
        return unet.unet(arch, self.classes)

    # --- data -----------------------------------------------------------------------------------------------------------

    def load(self) -> Lits:
        self.volumes = self._volumes()
        examples = [
            (volume, level)
            for volume, one in enumerate(self.volumes["train"])
            for level in _trained_on(one.top)
        ]
        order = torch.randperm(len(examples), generator=stream(0, "slices")).tolist()
        wanted = self.config.train_size
        if len(examples) < wanted:
            raise HKTError(
                f"train_size {wanted} is more than the {len(examples)} slices of {self.corpus} that are trained on."
            )
        self.examples, self.train_size = [examples[k] for k in order[:wanted]], wanted
        every = [volume.digest for part in self.volumes.values() for volume in part]
        self.fingerprint = hashlib.sha256(" ".join(every).encode()).hexdigest()
        self.chance = _everything(self.volumes["val"], self.classes)["dice"]
        return self

    def _volumes(self) -> dict[str, list[slices.Volume]]:
        """Volumes of each split: phantoms in memory, LiTS as a memory-mapped cache, the slice collection in memory."""
        if self.config.source == "synthetic":
            share = 4 if self.config.scale == "smoke" else 1
            counts = {
                "train": -(-self.config.train_size // 12),
                **{split: count // share for split, count in PHANTOMS.items()},
            }
            return {
                split: phantom.volumes(split, count, self.in_plane)
                for split, count in counts.items()
            }
        if self.corpus == "lits":
            if (root := lits.present(data_home())) is None:
                raise HKTError(
                    f"There is no LiTS or Task03_Liver under {data_home()}; set HKT_DATA to the folder that holds it."
                )
            return lits.load(root, self.in_plane)
        return {
            split: slices.load(data_home() / slices.FOLDER, split, self.in_plane)
            for split in slices.SPLITS
        }

    def _patches(self, index: list[int]) -> tuple[Tensor, Tensor]:
        """Whole slices around the examples, uint8 (B, D, H, W); D = 1 in two dimensions.  Slices beyond a volume's ends repeat its last."""
        depth = self.config.crop[0] if self.dims == 3 else 1
        x, y = [], []
        for volume, level in (self.examples[k] for k in index):
            one = self.volumes["train"][volume]
            levels = np.clip(np.arange(depth) + level - depth // 2, 0, len(one.x) - 1)
            x.append(one.x[levels])
            y.append(one.y[levels])
        return torch.from_numpy(np.stack(x)), torch.from_numpy(np.stack(y))

    def _affine(self, index: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """(sampling matrices (B, 2, 3), contrast and brightness (B, 2)) of examples as `epoch` sees them, whatever their order."""
        draw = torch.rand(self.train_size, 8, generator=stream(self.config.seed, "augment", epoch))[
            index
        ]
        side = lambda column: 2 * draw[:, column] - 1  # noqa: E731
        turn, zoom = side(0) * TURN * torch.pi / 180, ZOOM[0] + (ZOOM[1] - ZOOM[0]) * draw[:, 1]
        share = (
            torch.tensor(self.config.crop[-2:], dtype=torch.float32) / self.in_plane
        )  # of the slice, (rows, columns)
        flip = (
            torch.where(draw[:, 6:8] < 0.5, -1.0, 1.0)
            if self.corpus == slices.FOLDER
            else torch.ones(len(index), 2)
        )
        cos, sin = turn.cos() / zoom, turn.sin() / zoom
        rows = torch.stack(
            [
                cos * flip[:, 1] * share[1],
                -sin * flip[:, 0] * share[0],
                side(2) * (1 - share[1]),
                sin * flip[:, 1] * share[1],
                cos * flip[:, 0] * share[0],
                side(3) * (1 - share[0]),
            ],
            1,
        )
        return rows.view(-1, 2, 3), torch.stack([1 + LIGHT * side(4), LIGHT * side(5)], 1)

    def batch(self, index: Tensor, epoch: int) -> Batch:
        """Slices, or stacks of them, turned, scaled, cropped and relit; those of the slice collection also flipped, for they come flipped."""
        x, y = (patch.to(self.config.device).float() for patch in self._patches(index.tolist()))
        matrix, light = (value.to(self.config.device) for value in self._affine(index, epoch))
        grid = F.affine_grid(matrix, (len(index), 1, *self.config.crop[-2:]), align_corners=False)
        x = F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False) / 255
        y = F.grid_sample(y, grid, mode="nearest", padding_mode="zeros", align_corners=False).long()
        x = x * light[:, :1, None, None] + light[:, 1:, None, None]
        return Batch(*((self._laid(x), y[:, 0]) if self.dims == 2 else (x[:, None], y)), index)

    def _laid(self, x: Tensor) -> Tensor:
        return x.contiguous(memory_format=torch.channels_last) if self.config.channels_last else x

    def batches(self, split: str, size: int = 32) -> Iterator[Batch]:
        """All slices of a split in order, whole and not augmented; in three dimensions one volume at a time."""
        first = 0
        for volume in self.volumes[split]:
            for part in range(0, len(volume.x), len(volume.x) if self.dims == 3 else size):
                cut = slice(part, None if self.dims == 3 else part + size)
                x = torch.from_numpy(np.array(volume.x[cut])).to(self.config.device).float() / 255
                y = torch.from_numpy(np.array(volume.y[cut])).to(self.config.device).long()
                key = torch.arange(first, first + len(x))
                first += len(x)
                yield (
                    Batch(self._laid(x[:, None]), y, key)
                    if self.dims == 2
                    else Batch(x[None, None], y[None], key[:1])
                )

    # --- networks and losses ----------------------------------------------------------------------------------------------

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        return model(batch.x)

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        return dice_ce(output, batch.y)

    def imitate(self, child_output: Tensor, parent_output: Tensor, temperature: float) -> Tensor:
        return pixelwise(child_output, parent_output, temperature)

    # --- evaluation -------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def segmented(self, model: nn.Module, split: str) -> list[np.ndarray]:
        """Label maps uint8 (Z, H, W) of the volumes of a split, by sliding windows where a slice is larger than the crop."""
        from monai.inferers import sliding_window_inference

        training, crop = model.training, self.config.crop
        model.eval()
        looked_at = self.volumes[split][: LOOKED_AT if split == "train" else None]
        wanted, parts = sum(len(volume.x) for volume in looked_at), []
        for batch in self.batches(split):
            whole = self.dims == 2 and list(batch.x.shape[2:]) == crop
            logits = (
                self.predict(model, batch)
                if whole
                else sliding_window_inference(
                    batch.x,
                    crop,
                    8,
                    lambda x: self.predict(model, Batch(x, None, None)),
                    overlap=OVERLAP,
                )
            )
            found = logits.argmax(1).to(torch.uint8).cpu().numpy()
            parts.extend(found[0] if self.dims == 3 else found)
            if len(parts) >= wanted:
                break
        model.train(training)
        starts = np.cumsum([0, *(len(volume.x) for volume in looked_at)])
        maps = [np.stack(parts[a:b]) for a, b in zip(starts, starts[1:])]
        return [largest_component(one) for one in maps] if self.largest else maps

    def metrics(self, model: nn.Module, split: str) -> dict[str, float]:
        """Dice of each region, a volume and global, and their mean 'dice'; on test data surface distances and lesions found as well."""
        maps = self.segmented(model, split)
        return score(maps, self.volumes[split][: len(maps)], self.classes, full=split == "test")

    def by_volume(self, model: nn.Module, split: str) -> dict[str, list[float]]:
        """{'dice_liver': [one value a volume], …} for plots."""
        return by_volume(
            self.segmented(model, split), [volume.y for volume in self.volumes[split]], self.classes
        )

    def protocol(self, name: str) -> dict:
        self.load()
        self.largest = name == "largest-component"
        return {"corpus": self.corpus, "in-plane": self.in_plane, **self.protocols[name]}

    def example(self) -> tuple[Tensor]:
        sides = self.config.crop if self.dims == 3 else [self.in_plane] * 2
        return (torch.zeros(1, 1, *sides, device=self.config.device),)


def score(
    maps: list[np.ndarray], volumes: list[slices.Volume], classes: int, full: bool = False
) -> dict[str, float]:
    """`metrics.segmentation.scores` of label maps against the truth of `volumes`."""
    return scores(
        maps,
        [volume.y for volume in volumes],
        [volume.spacing for volume in volumes],
        classes,
        full,
    )


def all_liver(task: Lits, split: str) -> dict[str, float]:
    """What an answer that has learnt nothing scores, for comparison with a child's: every voxel is called liver (so 'dice_lesion' is 0).

    'dice_lesion_in_liver' is more than it deserves: every voxel of the *true* liver is called lesion, the best answer that cannot see lesions.
    """
    volumes = task.volumes[split]
    found = _everything(volumes, task.classes)
    if task.classes == 3:
        found["dice_lesion_in_liver"] = score(
            [2 * (volume.y > 0).view(np.uint8) for volume in volumes], volumes, task.classes
        )["dice_lesion"]
    return found


def _everything(volumes: list[slices.Volume], classes: int) -> dict[str, float]:
    return score(
        [np.broadcast_to(np.uint8(1), volume.y.shape) for volume in volumes], volumes, classes
    )


def _trained_on(top: np.ndarray) -> list[int]:
    """Slices with liver, and one in EMPTY of the others."""
    empty = np.flatnonzero(top == 0)[::EMPTY]
    return sorted([*np.flatnonzero(top > 0).tolist(), *empty.tolist()])
