"""Liver and tumour in CT: a residual U-Net parent, a U-Net child of an eighth or less, named sites.

    hkt run lits hkt --scale quick                            # phantoms, two cores, no network
    hkt run lits hkt --scale cpu -s parent_weights=run:ID     # real data, parent from a plain run
    hkt eval lits FILE --protocol own-volumes                 # on any labelled CT under HKT_DATA

The paper names LiTS and nothing more; all of this is our choice.  Real data is LiTS or Task03_Liver
(three classes), else the slice collection `liver_ct` (liver and tumour as one class); which of them
is part of the configuration, as its only stage.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...config import Config, HKTError, canonical, data_home, stream
from ...methods.kd import soft_divergence
from ..drawing import held_out
from ..task import Task, choose, evaluating
from . import data, slices
from . import network as unet
from . import synthetic as phantom
from .metrics import largest_component, scores

READERS = {"lits": data, slices.FOLDER: slices}  # corpus -> its module, the first present is used
PHANTOMS = {"val": 16, "test": 24}  # volumes of 24 slices of 64 x 64
IN_PLANE = {"smoke": 64, "quick": 64, "cpu": 128, "paper": 256}  # pixels a side of each slice
LOOKED_AT = 16  # training volumes that a parent is judged on
OVERLAP = 0.25  # of sliding windows, in evaluation
LARGEST = "largest connected component of the foreground"
TURN, ZOOM, LIGHT = 15.0, (0.85, 1.2), 0.1  # degrees, factors, share of the window


class Batch(NamedTuple):
    """Slices, or stacks of D of them."""

    x: Tensor  # (B, 1, H, W) or (B, 1, D, H, W), 0 the window's lower end and 1 its upper end
    y: Tensor  # labels int64 (B, H, W) or (B, D, H, W)
    key: Tensor  # (B,), the examples


class Lits(Task):
    title = "LiTS"
    metric = "dice"  # mean over regions of the mean over volumes
    shown = {
        "dice": ("Dice", 3),
        "dice_liver": ("Dice, liver", 3),
        "dice_lesion": ("Dice, lesions", 3),
    }
    own = (*Task.own, "stages", "crop", "images")
    cacheable = False
    limits = {"dice*": 1.0, "lesion_recall": 1.0}
    # 'test': of the committed split; 'all': every volume that lies there, also of no split
    protocols = {
        "volumes": {"split": "test", "post-processing": "none"},
        "largest-component": {"split": "test", "post-processing": LARGEST},
        "own-volumes": {"split": "all", "post-processing": "none"},
        "own-largest-component": {"split": "all", "post-processing": LARGEST},
    }

    def __init__(self, config: Config):
        super().__init__(config)
        self.largest = False
        self.corpus = config.stages[0].corpus if config.stages else "phantoms"
        choose("corpus of CT", self.corpus, ["phantoms", *READERS])
        if config.parent not in (None, "none"):
            unet.parsed(config.parent)
        self.classes = 2 if self.corpus == slices.FOLDER else 3
        self.in_plane = IN_PLANE[config.scale]
        _, self.dims, _, levels = unet.parsed(config.child)
        multiple, crop = 2 ** (levels - 1), config.crop or []  # a level halves the sides
        fits = len(crop) == self.dims and max(crop[-2:]) <= self.in_plane
        if not fits or any(side % multiple for side in crop):
            raise HKTError(
                f"{config.child} at scale {config.scale!r} needs a crop of {self.dims} sides that "
                f"are multiples of {multiple}, in-plane at most {self.in_plane}, got {crop}."
            )
        if config.sites and config.parent not in (None, "none"):
            self.sites = unet.sites(config.parent, config.child, config.sites)

    @classmethod
    def autos(cls, config: Config) -> dict:
        present = [name for name, reader in READERS.items() if reader.present(data_home())]
        found = {"source": config.source}
        if config.source == "auto":
            found["source"] = "real" if present else "synthetic"
        if config.crop and len(config.crop) == 3:
            found["channels_last"] = False
        if found["source"] == "synthetic":
            return found | {"parent_weights": "committed"}
        corpus = [*present, slices.FOLDER][0]
        stage = {"corpus": corpus, "epochs": config.epochs, "crop": config.crop[-2:]}
        return found | {"stages": [stage]}

    @classmethod
    def check(cls, config: Config) -> None:
        stages = 0 if config.stages is None else len(config.stages)
        if stages != (config.source == "real") or config.stages == []:
            raise HKTError("CT is trained on one corpus and has no curriculum; leave out `stages`.")
        if config.images == "swap" or config.images and config.source != "real":
            raise HKTError("Only real slices can be chosen, by images=rest; leave out `images`.")

    @classmethod
    def learnt(cls, metrics: dict[str, float]) -> bool:
        """Whether lesions are told from the rest of the liver; with one class, the liver is found.

        0.16 is the Dice on the test phantoms of the best answer that cannot see lesions.
        """
        if "dice_lesion" in metrics:
            return metrics["dice_lesion"] > 0.16
        return metrics["dice"] > 0.5

    def network(self, arch: str) -> nn.Module:
        return unet.unet(arch, self.classes)

    # --- data -----------------------------------------------------------------------------------

    def load(self) -> Lits:
        self.volumes = self._volumes(slices.SPLITS)
        examples = slices.examples(self.volumes["train"], self.config.images == "rest")
        self.train_size = self.config.train_size
        if len(examples) < self.train_size:
            sizes = f"{self.train_size} is more than the {len(examples)} slices"
            raise HKTError(f"train_size {sizes} of {self.corpus} that are trained on.")
        self.examples = examples[: self.train_size]
        return self

    def _volumes(self, splits: Sequence[str] | None) -> dict[str, list[slices.Volume]]:
        """Volumes of each split; for None all that lie under HKT_DATA, as 'test'."""
        config, size = self.config, self.in_plane
        if config.source == "synthetic":
            counts = {name: held_out(count, config.scale) for name, count in PHANTOMS.items()}
            counts["train"] = -(-config.train_size // 12)
            splits = splits or ("test",)
            found = {name: phantom.volumes(name, counts[name], size) for name in splits}
        else:
            reader = READERS[self.corpus]
            folder = reader.present(data_home())
            if folder is None:
                raise HKTError(
                    f"There is no {self.corpus} under {data_home()}; set HKT_DATA to a folder with "
                    "LiTS, Task03_Liver, volume-N.nii and segmentation-N.nii, or liver_ct."
                )
            found = reader.load(folder, size, splits)
        digests = [volume.digest for part in found.values() for volume in part]
        self.fingerprint = hashlib.sha256(" ".join(digests).encode()).hexdigest()
        return found

    def _read(self, stacks: list[tuple[slices.Volume, np.ndarray]]) -> tuple[Tensor, Tensor]:
        """Grey levels 0 to 255 and labels, float (B, D, H, W), of B volumes at D levels each."""
        arrays = [(volume.x[levels], volume.y[levels]) for volume, levels in stacks]
        x, y = (torch.from_numpy(np.stack(part)) for part in zip(*arrays))
        return x.to(self.config.device).float(), y.to(self.config.device).float()

    def _affine(self, index: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """(sampling matrices (B, 2, 3), contrast and brightness (B, 2)) of examples in an epoch.

        They do not depend on the other examples of the batch.
        """
        every = torch.rand(self.train_size, 8, generator=stream(self.config.seed, "augment", epoch))
        draw = every[index]
        side = 2 * draw - 1
        angle = side[:, 0] * TURN * torch.pi / 180
        zoom = ZOOM[0] + (ZOOM[1] - ZOOM[0]) * draw[:, 1]
        cos, sin = angle.cos() / zoom, angle.sin() / zoom
        crop = torch.tensor(self.config.crop[-2:], dtype=torch.float32)
        height, width = crop / self.in_plane  # of the crop in the slice
        down, across = torch.ones(2, len(index))
        if self.corpus == slices.FOLDER:  # its slices come flipped, volumes do not
            down, across = torch.where(draw[:, 6:8] < 0.5, -1.0, 1.0).T
        matrix = [
            *(cos * across * width, -sin * down * height, side[:, 2] * (1 - width)),
            *(sin * across * width, cos * down * height, side[:, 3] * (1 - height)),
        ]
        light = torch.stack([1 + LIGHT * side[:, 4], LIGHT * side[:, 5]], 1)
        return torch.stack(matrix, 1).view(-1, 2, 3), light

    def batch(self, index: Tensor, epoch: int) -> Batch:
        """Examples turned, scaled, cropped and relit, as `epoch` sees them."""
        depth = self.config.crop[0] if self.dims == 3 else 1
        stacks = []
        for number, level in (self.examples[k] for k in index.tolist()):
            volume = self.volumes["train"][number]
            levels = np.arange(depth) + level - depth // 2
            stacks.append((volume, levels.clip(0, len(volume.x) - 1)))
        x, y = self._read(stacks)
        matrix, light = (value.to(self.config.device) for value in self._affine(index, epoch))
        grid = F.affine_grid(matrix, (len(index), 1, *self.config.crop[-2:]), align_corners=False)
        sampling = {"padding_mode": "zeros", "align_corners": False}
        x = F.grid_sample(x, grid, mode="bilinear", **sampling) / 255
        y = F.grid_sample(y, grid, mode="nearest", **sampling).long()
        return self._batch(x * light[:, :1, None, None] + light[:, 1:, None, None], y, index)

    def _batch(self, x: Tensor, y: Tensor, key: Tensor) -> Batch:
        """Of pictures and labels (B, D, H, W)."""
        if self.dims == 3:
            return Batch(x[:, None], y, key)
        return Batch(x.contiguous(memory_format=self.layout), y[:, 0], key)

    def batches(self, split: str, size: int = 32) -> Iterator[Batch]:
        """All slices of a split in order, whole; in three dimensions one volume at a time."""
        for volume in self.volumes[split]:
            yield from self._whole(volume, size)

    def _whole(self, volume: slices.Volume, size: int = 32) -> Iterator[Batch]:
        """One volume in order, not augmented; keys count from its first slice."""
        depth = len(volume.x) if self.dims == 3 else 1
        stacks = [(volume, levels) for levels in np.arange(len(volume.x)).reshape(-1, depth)]
        for start in range(0, len(stacks), size):
            x, y = self._read(stacks[start : start + size])
            yield self._batch(x / 255, y.long(), torch.arange(start, start + len(x)))

    # --- networks and losses --------------------------------------------------------------------

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        return model(batch.x)

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        """1 - soft Dice of the foreground classes + cross-entropy; output (B, K, …).

        Over the whole batch: a slice without tumour alone would give all or nothing for a pixel.
        """
        from monai.losses import DiceCELoss

        criterion = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)
        return criterion(output.float(), batch.y[:, None])

    def imitate(self, child_output: Tensor, parent_output: Tensor, temperature: float) -> Tensor:
        """T^2 KL(parent || child) of softened classes, mean over pixels; outputs (B, K, …)."""
        both = child_output, parent_output
        pixels = (logits.float().movedim(1, -1).flatten(0, -2) for logits in both)
        return soft_divergence(*pixels, temperature)

    # --- evaluation -----------------------------------------------------------------------------

    def segmented(self, model: nn.Module, split: str) -> list[np.ndarray]:
        """Label maps uint8 (Z, H, W) of the volumes of a split, the first LOOKED_AT of 'train'."""
        volumes = self.volumes[split][: LOOKED_AT if split == "train" else None]
        with evaluating(model):
            maps = [self._segmented(model, volume) for volume in volumes]
        return [largest_component(one) for one in maps] if self.largest else maps

    def _segmented(self, model: nn.Module, volume: slices.Volume) -> np.ndarray:
        """By sliding windows where a slice, or the stack of them, has not the crop's size."""
        from monai.inferers import sliding_window_inference

        crop, found = self.config.crop, []
        for batch in self._whole(volume):
            if list(batch.x.shape[2:]) == crop:
                logits = self.predict(model, batch)
            else:
                logits = sliding_window_inference(batch.x, crop, 8, model, overlap=OVERLAP)
            found.append(logits.argmax(1).to(torch.uint8).cpu().numpy())
        return np.concatenate(found).reshape(volume.y.shape)

    def metrics(self, model: nn.Module, split: str) -> dict[str, float]:
        """'dice', and Dice of each region, as `metrics.scores` gives it; on test data all of it."""
        maps = self.segmented(model, split)
        volumes = self.volumes[split][: len(maps)]
        spacings = [volume.spacing for volume in volumes] if split == "test" else None
        return scores(maps, [volume.y for volume in volumes], spacings, self.classes)

    def protocol(self, name: str) -> dict:
        """No training data is needed; 'test' is what the protocol says, and nothing else."""
        said = self.protocols[name]
        self.volumes = self._volumes(None if said["split"] == "all" else ("test",))
        self.largest = said["post-processing"] == LARGEST
        volumes = self.volumes["test"]
        labels = canonical([(volume.name, volume.top.tolist()) for volume in volumes])
        return {
            "corpus": self.corpus,
            "volumes": len(volumes),
            "labels": hashlib.sha256(labels.encode()).hexdigest()[:12],  # alike on every machine
            "in-plane": self.in_plane,
            "crop": self.config.crop,
            **said,
        }

    def example(self) -> tuple[Tensor]:
        sides = self.config.crop if self.dims == 3 else [self.in_plane] * 2
        return (torch.zeros(1, 1, *sides, device=self.config.device),)


def all_liver(task: Lits, split: str) -> dict[str, float]:
    """What an answer scores that calls every voxel liver; 'dice_lesion_in_liver': every voxel of
    the *true* liver lesion, the best answer that cannot see lesions."""
    truths = [volume.y for volume in task.volumes[split]]
    found = scores([np.ones_like(truth) for truth in truths], truths, classes=task.classes)
    if task.classes == 3:
        blind = [2 * (truth > 0).view(np.uint8) for truth in truths]
        found["dice_lesion_in_liver"] = scores(blind, truths)["dice_lesion"]
    return found
