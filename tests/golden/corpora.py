"""Tiny corpora in their official layouts, from fixed seeds and with code of their own, for the golden runs.

homes = write(folder)                       # {"all": …, "decathlon": …, "slices": …}: values of HKT_DATA

Pictures are smooth noise; sizes are no multiples of 8, so that padding and resizing matter.  Only element-wise arithmetic makes
them: every machine writes the same bytes.  Files are written by the few lines below, not by the package that reads them.
"""

from __future__ import annotations

import csv
import gzip
import pickle
import struct
import zlib
from pathlib import Path

import numpy as np

SIZE = (92, 124)  # pixels (H, W) of most flow pictures
DRIVE = (94, 150)  # of KITTI's and HD1K's
CLASSES = "airplane automobile bird cat deer dog frog horse ship truck".split()
LPS, RAS, PIR = (
    ((-1, 0), (-1, 1), (1, 2)),
    ((1, 0), (1, 1), (1, 2)),
    ((-1, 1), (-1, 2), (1, 0)),
)  # sign, axis


def smooth(draw, *shape: int, low: float = 0.0, high: float = 1.0, step: int = 9) -> np.ndarray:
    """Noise of shape (..., H, W) between low and high, bilinear between values `step` pixels apart."""
    *rest, height, width = shape
    x = draw.random((*rest, height // step + 2, width // step + 2))
    for axis, side in ((-2, height), (-1, width)):
        place = np.arange(side) / step
        left = place.astype(int)
        share = (place - left)[:, None] if axis == -2 else place - left
        a, b = np.take(x, left, axis), np.take(x, left + 1, axis)
        x = a + (b - a) * share
    return low + (high - low) * x


def png(pixels: np.ndarray) -> bytes:
    """uint8 or uint16 (H, W) or (H, W, 3) as a PNG."""
    height, width = pixels.shape[:2]
    depth, colour = 8 * pixels.dtype.itemsize, 2 if pixels.ndim == 3 else 0
    rows = pixels.astype(pixels.dtype.newbyteorder(">")).reshape(height, -1)
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    chunks = {b"IHDR": struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)}
    chunks |= {b"IDAT": zlib.compress(data, 6), b"IEND": b""}
    body = (
        struct.pack(">I", len(v)) + k + v + struct.pack(">I", zlib.crc32(k + v))
        for k, v in chunks.items()
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def save(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def write(folder: Path) -> dict[str, Path]:
    """Every corpus under `folder`; a second or two."""
    homes = {name: Path(folder) / name for name in ("all", "decathlon", "slices")}
    cifar10(homes["all"] / "cifar-10-batches-py")
    for corpus in (chairs, things, sintel, kitti2015, kitti2012, hd1k, middlebury):
        corpus(homes["all"])
    lits(homes["all"] / "LiTS")
    liver_ct(homes["all"] / "liver_ct")
    liver_ct(homes["slices"] / "liver_ct")
    decathlon(homes["decathlon"] / "Task03_Liver")
    return homes


# -- CIFAR-10 -----------------------------------------------------------------------------------------------------------


def cifar10(folder: Path, train: int = 600, test: int = 80) -> None:
    """Five batches of `train` images in all; a class is a brightness of each half of the picture, so that it can be learnt."""
    draw = np.random.default_rng(1)

    def batch(name: str, count: int) -> None:
        labels = draw.permutation(np.arange(count) % 10)
        x = smooth(draw, count, 3, 32, 32, high=150)
        x[:, :, :16] += 10.0 * labels[:, None, None, None]
        x[:, :, 16:] += 10.0 * (3 * labels % 10)[:, None, None, None]
        value = {
            b"batch_label": name.encode(),
            b"labels": labels.tolist(),
            b"data": x.astype(np.uint8).reshape(count, -1),
        }
        save(folder / name, pickle.dumps(value, protocol=2))

    for k in range(1, 6):
        batch(f"data_batch_{k}", train // 5)
    batch("test_batch", test)
    save(
        folder / "batches.meta",
        pickle.dumps({b"label_names": [name.encode() for name in CLASSES]}, protocol=2),
    )


# -- optical flow -------------------------------------------------------------------------------------------------------


def frames(draw, count: int, size: tuple[int, int] = SIZE) -> list[np.ndarray]:
    """uint8 (H, W, 3): a texture that drifts, with new noise in each frame."""
    base = smooth(draw, 3, *size, high=200, step=7)
    moved = [
        np.roll(base, (2 * k, 3 * k), (1, 2)) + smooth(draw, 3, *size, high=55, step=4)
        for k in range(count)
    ]
    return [np.ascontiguousarray(x.transpose(1, 2, 0)).astype(np.uint8) for x in moved]


def motion(
    draw, size: tuple[int, int] = SIZE, most: float = 14.0, patches: tuple[float, ...] = (60.0,)
) -> np.ndarray:
    """float32 (H, W, 2), with square patches of given speeds in its upper left."""
    flow = smooth(draw, 2, *size, low=-most, high=most, step=23)
    for k, speed in enumerate(patches):
        flow[0, 4:24, 4 + 24 * k : 24 + 24 * k] = speed
    return np.ascontiguousarray(flow.transpose(1, 2, 0)).astype(np.float32)


def mask(draw, size: tuple[int, int], share: float) -> np.ndarray:
    return (smooth(draw, *size, step=5) < share) if share > 0.1 else draw.random(size) < share


def flo(flow: np.ndarray) -> bytes:
    return b"PIEH" + struct.pack("<ii", flow.shape[1], flow.shape[0]) + flow.astype("<f4").tobytes()


def kitti_png(flow: np.ndarray, valid: np.ndarray) -> bytes:
    stored = np.zeros((*valid.shape, 3), np.uint16)
    stored[valid, :2] = np.rint(flow[valid].astype(np.float64) * 64 + 2**15)
    stored[..., 2] = valid
    return png(stored)


def chairs(home: Path) -> None:
    draw, folder = np.random.default_rng(2), home / "FlyingChairs"
    for number in range(1, 8):
        for k, image in enumerate(frames(draw, 2), 1):
            header = f"P6\n{SIZE[1]} {SIZE[0]}\n255\n".encode()
            save(folder / f"data/{number:05d}_img{k}.ppm", header + image.tobytes())
        save(
            folder / f"data/{number:05d}_flow.flo", flo(motion(draw, patches=(60.0, 500.0, 2000.0)))
        )
    save(folder / "FlyingChairs_train_val.txt", b"1\n2\n1\n1\n1\n2\n1\n")


def things(home: Path) -> None:
    draw, folder, size = np.random.default_rng(3), home / "FlyingThings3D", (93, 131)
    for scene, count in (("TRAIN/A/0000", 3), ("TRAIN/B/0001", 2), ("TEST/A/0000", 2)):
        for passed in ("clean", "final"):
            for k, image in enumerate(frames(draw, count, size), 6):
                save(folder / f"frames_{passed}pass/{scene}/left/{k:04d}.png", png(image))
        for way in ("Future", "Past"):
            for k in range(6, 6 + count):
                flow = np.concatenate([motion(draw, size), np.zeros((*size, 1), np.float32)], 2)[
                    ::-1
                ]
                name = f"optical_flow/{scene}/into_{way.lower()}/left/OpticalFlowInto{way}_{k:04d}_L.pfm"
                save(
                    folder / name,
                    f"PF\n{size[1]} {size[0]}\n-1.0\n".encode() + flow.astype("<f4").tobytes(),
                )


def sintel(home: Path) -> None:
    draw, folder = np.random.default_rng(4), home / "Sintel/training"
    for scene, count in (("alley_1", 3), ("bandage_2", 2), ("cave_4", 3)):
        for passed in ("clean", "final"):
            for k, image in enumerate(frames(draw, count), 1):
                save(folder / f"{passed}/{scene}/frame_{k:04d}.png", png(image))
        for k in range(1, count):
            save(folder / f"flow/{scene}/frame_{k:04d}.flo", flo(motion(draw)))
            for kind, share in (("occlusions", 0.35), ("invalid", 0.3)):
                save(
                    folder / f"{kind}/{scene}/frame_{k:04d}.png",
                    png(255 * mask(draw, SIZE, share).astype(np.uint8)),
                )


def _kitti(folder: Path, images: str, numbers, seed: int) -> None:
    draw = np.random.default_rng(seed)
    for number in numbers:
        for k, image in enumerate(frames(draw, 2, DRIVE), 10):
            save(folder / f"{images}/{number:06d}_{k}.png", png(image))
        flow, valid, hidden = motion(draw, DRIVE), mask(draw, DRIVE, 0.55), mask(draw, DRIVE, 0.3)
        save(folder / f"flow_occ/{number:06d}_10.png", kitti_png(flow, valid))
        save(folder / f"flow_noc/{number:06d}_10.png", kitti_png(flow, valid & ~hidden))


def kitti2015(home: Path) -> None:
    _kitti(home / "KittiFlow/training", "image_2", (0, 1, 2, 160, 171), 5)


def kitti2012(home: Path) -> None:
    _kitti(home / "KITTI2012/training", "colored_0", (0, 155), 6)


def hd1k(home: Path) -> None:
    draw, folder = np.random.default_rng(7), home / "hd1k"
    for scene in (0, 1, 31):
        for k, image in enumerate(frames(draw, 3, DRIVE), 10):
            save(folder / f"hd1k_input/image_2/{scene:06d}_{k:04d}.png", png(image))
        for k in (10, 11):
            name = f"hd1k_flow_gt/flow_occ/{scene:06d}_{k:04d}.png"
            save(folder / name, kitti_png(motion(draw, DRIVE), mask(draw, DRIVE, 0.8)))


def middlebury(home: Path) -> None:
    draw, folder = np.random.default_rng(8), home / "Middlebury"
    for scene in ("RubberWhale", "Venus"):
        for k, image in enumerate(frames(draw, 2), 10):
            save(folder / f"other-data/{scene}/frame{k}.png", png(image))
        flow = motion(draw, most=4.0, patches=())
        flow[mask(draw, SIZE, 0.25)] = 1e10
        save(folder / f"other-gt-flow/{scene}/flow10.flo", flo(flow))


# -- CT -----------------------------------------------------------------------------------------------------------------


def patient(draw, slices: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """(HU int16, labels uint8), both (Z, H, W): air, tissue, a liver of some size in the middle slices, lesions in it."""
    z, y, x = np.ogrid[0:slices, 0:height, 0:width]
    place, radius = draw.random(2), 0.22 + 0.14 * draw.random()

    def ball(cz, cy, cx, r):
        z_, y_, x_ = (
            (z / slices - cz) / 0.42 / (r / radius) ** 0.5,
            (y / height - cy) / r,
            (x / width - cx) / r,
        )
        return z_**2 + y_**2 + x_**2 < 1

    body = ((y / height - 0.5) / 0.42) ** 2 + ((x / width - 0.5) / 0.46) ** 2 < 1
    liver = ball(0.5, 0.42 + 0.1 * place[0], 0.4, radius)
    lesion = (
        ball(0.45, 0.4 + 0.1 * place[1], 0.36, 0.5 * radius - 0.05) | ball(0.62, 0.52, 0.5, 0.08)
    ) & liver
    noise = smooth(draw, slices, height, width, low=-60, high=60, step=3)
    hu = np.where(body, -60.0, -1000.0) + 170.0 * liver - 70.0 * lesion + noise
    return hu.astype(np.int16), (liver.astype(np.uint8) + lesion).astype(np.uint8)


def nifti(array: np.ndarray, spacing: tuple[float, float, float], axes) -> bytes:
    """A NIfTI-1 file of array (Z, Y, X), z up, y backwards, x to the patient's left, stored along the given (sign, axis) of x, y, z."""
    x = array.transpose(2, 1, 0)
    mm, origin, matrix = spacing[::-1], np.zeros(3), np.zeros((3, 3))
    towards = (-1.0, -1.0, 1.0)  # left and back are negative in RAS
    stored = np.transpose(x, [axis for _, axis in axes])
    for k, (sign, axis) in enumerate(axes):
        along = 1.0 if sign == towards[axis] else -1.0
        matrix[axis, k] = mm[axis] * towards[axis] * along
        if along < 0:
            stored = np.flip(stored, k)
            origin[axis] += mm[axis] * towards[axis] * (x.shape[axis] - 1)
    kind, bits = (4, 16) if array.dtype == np.int16 else (2, 8)
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *stored.shape, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, kind, bits)
    struct.pack_into("<8f", header, 76, 1, *(mm[axis] for _, axis in axes), 1, 1, 1, 1)
    struct.pack_into("<3f", header, 108, 352, 1, 0)
    header[123] = 2  # mm
    struct.pack_into("<2h", header, 252, 0, 1)
    for row in range(3):
        struct.pack_into("<4f", header, 280 + 16 * row, *matrix[row], origin[row])
    header[344:348] = b"n+1\0"
    return bytes(header) + stored.tobytes(order="F")


def lits(folder: Path) -> None:
    """Train 1, 2, 3; validation 12, 36; test 0, 7; in different orientations, with more slices than one slab holds."""
    draw = np.random.default_rng(9)
    for number, axes in ((1, LPS), (2, RAS), (3, PIR), (12, RAS), (36, LPS), (0, LPS), (7, PIR)):
        hu, labels = patient(draw, 27 if number in (1, 2, 3) else 18, 71, 84)
        for name, array in (("volume", hu), ("segmentation", labels)):
            save(folder / f"{name}-{number}.nii", nifti(array, (2.5, 1.1, 0.9), axes))


def decathlon(folder: Path) -> None:
    draw = np.random.default_rng(10)
    for number in (1, 2, 3, 12, 0):
        hu, labels = patient(draw, 27 if number in (1, 2, 3) else 12, 80, 72)
        for name, array in (("imagesTr", hu), ("labelsTr", labels)):
            save(
                folder / f"{name}/liver_{number}.nii.gz",
                gzip.compress(nifti(array, (3.0, 1.2, 1.2), LPS), 6, mtime=0),
            )


def liver_ct(folder: Path) -> None:
    """Train 10001, 10002, 10004; validation 10016, 10018; test 10012, 10022; the folders say something else, as the real ones do."""
    draw, rows = np.random.default_rng(11), []
    numbers = {"train": (10001, 10002, 10016, 10012), "val": (10004, 10018, 10022)}
    for part, volumes in numbers.items():
        for number in volumes:
            hu, labels = patient(draw, 27 if number <= 10004 else 8, 81, 77)
            for level in range(len(hu)):
                name, grey = (
                    f"{number}_{level:03d}.png",
                    np.clip((hu[level] + 160.0) * 0.6, 0, 255).astype(np.uint8),
                )
                save(folder / part / "images" / name, png(grey))
                save(
                    folder / part / "masks" / name,
                    png(np.where(labels[level] > 0, 255, 0).astype(np.uint8)),
                )
                rows.append((part, number, level, int(labels[level].any())))
    with open(folder / "index.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("split", "volume_index", "slice", "liver"), *rows])
