"""The embedded images, scenes and phantoms written in the official layouts that the readers read."""

import pickle
from contextlib import ExitStack
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from nibabel.openers import ImageOpener

from hkt_lite.benchmarks import drawing
from hkt_lite.benchmarks.cifar10 import data as cifar10
from hkt_lite.benchmarks.cifar10 import synthetic as figures
from hkt_lite.benchmarks.flow import files
from hkt_lite.benchmarks.flow import synthetic as moving
from hkt_lite.benchmarks.lits import synthetic as phantom
from hkt_lite.files import write_bytes

SLAB = 16  # slices of a phantom that are in memory at a time


def write_cifar10(root: Path, train: int, test: int, seed: int = 0) -> Path:
    """root/cifar-10-batches-py, a new folder; the five training batches share `train` images."""
    folder = Path(root) / cifar10.FOLDER
    folder.mkdir(parents=True)
    every, step = figures.images("train", train, seed), -(-train // 5)
    batches = {"test_batch": figures.images("test", test, seed)}
    for k in range(5):
        part = slice(k * step, (k + 1) * step)
        batches[f"data_batch_{k + 1}"] = every._replace(x=every.x[part], y=every.y[part])
    for name, part in batches.items():
        pixels = part.x.reshape(len(part.x), -1).numpy()
        value = {b"batch_label": name.encode(), b"labels": part.y.tolist(), b"data": pixels}
        (folder / name).write_bytes(pickle.dumps(value, protocol=2))
    meta = {b"label_names": [name.encode() for name in figures.CLASSES], b"num_vis": 3072}
    (folder / "batches.meta").write_bytes(pickle.dumps(meta, protocol=2))
    return folder


def _save(path: Path, image: torch.Tensor) -> None:
    image = image.to(torch.uint8) * 255 if image.dtype == torch.bool else image
    image = image if image.ndim == 2 else image.permute(1, 2, 0)
    write_bytes(path, files.encode_png(image.numpy()))


def _hazy(image: torch.Tensor) -> torch.Tensor:
    """Sintel's final pass has fog and blur: less contrast and a 3 x 3 binomial blur."""
    padded = torch.nn.functional.pad(image[None].float(), (1, 1, 1, 1), mode="replicate")[0]
    return (drawing.binomial(padded) / 16 * 0.75 + 40).to(torch.uint8)


def write_sintel(
    root: Path,
    scenes: int,
    frames: int = 3,
    size: tuple[int, int] = (96, 128),
    seed: int = 0,
    max_motion: float = 10.0,
) -> Path:
    """root/Sintel/training, scenes moving_1 …; every fifth is in the validation split."""
    folder = Path(root) / "Sintel"
    for scene in range(1, scenes + 1):
        samples = moving.sequence(seed, "train", scene - 1, size, max_motion, frames=frames)
        images = [one.first for one in samples] + [samples[-1].second]
        for frame, image in enumerate(images, 1):
            name = f"moving_{scene}/frame_{frame:04d}"
            _save(folder / f"training/clean/{name}.png", image)
            _save(folder / f"training/final/{name}.png", _hazy(image))
            _save(folder / f"training/invalid/{name}.png", torch.zeros(size, dtype=torch.bool))
        for frame, one in enumerate(samples, 1):
            name = f"moving_{scene}/frame_{frame:04d}"
            files.write_flo(folder / f"training/flow/{name}.flo", one.flow)
            _save(folder / f"training/occlusions/{name}.png", one.occluded)
    return folder


def write_kitti(
    root: Path,
    count: int,
    size: tuple[int, int] = (96, 320),
    seed: int = 0,
    max_motion: float = 20.0,
) -> Path:
    """root/KittiFlow/training, pairs 900000 …; those that end in 4 or 9 are for validation."""
    folder = Path(root) / "KittiFlow"
    for number in range(count):
        one = moving.scene(seed, "train", number, size, max_motion, "kitti")
        name = f"{900_000 + number}_10.png"
        _save(folder / "training/image_2" / name, one.first)
        _save(folder / "training/image_2" / name.replace("_10", "_11"), one.second)
        files.write_kitti(folder / "training/flow_occ" / name, one.flow, one.valid)
        seen = one.valid & ~one.occluded
        files.write_kitti(folder / "training/flow_noc" / name, one.flow, seen)
    return folder


def write_lits(
    root: Path, numbers, size: int = 64, slices: int = 24, seed: int = 0, suffix: str = ".nii"
) -> Path:
    """root/volume-N.nii and segmentation-N.nii, N in `numbers`, stored as LiTS is; slab by slab."""
    root = Path(root)
    root.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        paths = [root / f"{name}-{number}{suffix}" for name in ("volume", "segmentation")]
        with ExitStack() as stack:
            opened = [stack.enter_context(ImageOpener(str(path), "wb")) for path in paths]
            for file, kind in zip(opened, (np.int16, np.uint8)):
                _nifti_header(size, slices, kind).write_to(file)
            for first in range(0, slices, SLAB):
                levels = range(first, min(first + SLAB, slices))
                arrays = phantom.phantom("train", number, size, slices, seed, levels)[:2]
                for file, array in zip(opened, arrays):
                    file.write(array.tobytes())  # (z, y, x) with x fastest is NIfTI's order
    return root


def _nifti_header(size: int, slices: int, kind: type) -> nib.Nifti1Header:
    """First axis to the patient's left, second to the back, third up, in mm."""
    pixel, thick = phantom.FIELD / size, phantom.HEIGHT / (slices - 1)
    affine = np.diag([-pixel, -pixel, thick, 1.0])
    affine[:2, 3] = pixel * size / 2
    header = nib.Nifti1Header()
    header.set_data_dtype(kind)
    header.set_data_shape((size, size, slices))
    header.set_sform(affine, 1)
    header.set_qform(affine, 1)
    header.set_xyzt_units("mm")
    header.set_slope_inter(1, 0)
    return header


def lookalike(
    root: Path, numbers=range(131), large: int = 3, size: int = 128, slices: int = 60, seed: int = 0
) -> Path:
    """LiTS for measuring its reader: the first `large` volumes are 512 x 512 x 600, the rest small.

    A large volume takes about a minute, 315 and 157 MB.
    """
    numbers = list(numbers)
    write_lits(root, numbers[:large], 512, 600, seed)
    return write_lits(root, numbers[large:], size, slices, seed)
