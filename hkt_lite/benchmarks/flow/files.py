"""Files of flow: .flo (Middlebury, Sintel), KITTI's 16-bit PNG, .pfm (FlyingThings3D), images.

    flow = read_flo("frame_0001.flo")       # float32 (2, H, W): u to the right, v down, in pixels
    flow, valid = read_kitti("000000_10.png")
    write_kitti("submission/000000_10.png", flow)

Every reader raises HKTError, one sentence that names the file, where it is missing, damaged or of
another kind.  Writers write all or nothing.  Pillow checks PNGs and OpenCV decodes them: Pillow
reads 16-bit RGB as 8-bit, OpenCV fills what is missing of a truncated file with zeros.
"""

from __future__ import annotations

import io
import os
import re
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...config import HKTError
from ...files import write_bytes

FLO_MAGIC = b"PIEH"  # the float 202021.25, little endian
PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
PIXELS = 1 << 28  # more than any image has: a header that says so is damaged
KITTI_STEP = 64  # steps a pixel; stored = flow * 64 + 2^15
KITTI_REACH = ((1 - 2**15) / KITTI_STEP, (2**16 - 1 - 2**15) / KITTI_STEP)


def _bytes(path: Path, count: int = -1) -> bytes:
    """The file, or its first `count` bytes."""
    try:
        with open(path, "rb") as file:
            return file.read(count)
    except OSError as error:
        raise HKTError(
            f"{path} cannot be read ({error.strerror or error}); check the folder HKT_DATA "
            "points to."
        ) from error


def _damaged(path: Path, why: str) -> HKTError:
    return HKTError(f"{path} is not a readable file of its kind ({why}); fetch or unpack it again.")


# -- what a file's first bytes say -------------------------------------------------------------


class Header(NamedTuple):
    """Of a file whose numbers lie in it as they are: .flo, .pfm, .ppm, .pgm."""

    height: int
    width: int
    channels: int
    dtype: np.dtype
    start: int  # bytes before the numbers

    @property
    def end(self) -> int:
        """Bytes of the whole file."""
        return self.start + self.height * self.width * self.channels * self.dtype.itemsize


_GAP = rb"(?:\s|#[^\n]*\n)+"  # white space and comments between the numbers of a header
_SIZE = (_GAP + rb"(\d+)") * 2 + _GAP
_PPM = rb"P([56])" + _SIZE + rb"(\d+)\s"  # then the largest value
_PFM = rb"P([fF])" + _SIZE + rb"(-?[\d.eE+]+)\s"  # then a scale, negative for little endian


def _header(path: Path, head: bytes) -> Header:
    if path.suffix == ".flo":
        if len(head) < 12 or head[:4] != FLO_MAGIC:
            raise _damaged(path, "a .flo file begins with PIEH and its size")
        width, height = struct.unpack("<ii", head[4:12])
        channels, dtype, start = 2, "<f4", 12
    else:
        match = re.match(_PFM if path.suffix == ".pfm" else _PPM, head)
        if not match:
            raise _damaged(path, "its header is not whole")
        width, height, start = int(match[2]), int(match[3]), match.end()
        channels = 3 if match[1] in b"F6" else 1
        if path.suffix == ".pfm":
            dtype = "<f4" if match[4].startswith(b"-") else ">f4"
        else:
            dtype = ">u2" if int(match[4]) > 255 else "u1"
    if min(width, height) < 1 or width * height > PIXELS:
        raise _damaged(path, f"its header says {width} x {height} pixels")
    return Header(height, width, channels, np.dtype(dtype), start)


def size(path: Path) -> tuple[int, int]:
    """(H, W) of an image or flow file, from its first bytes and its length alone.

    Raises HKTError naming the file if it is missing, damaged or shorter than its header says.
    """
    path = Path(path)
    head = _bytes(path, 512)
    if path.suffix in (".flo", ".pfm") or head[:2] in (b"P5", b"P6"):
        header, length = _header(path, head), path.stat().st_size
        if length < header.end:
            raise _damaged(path, f"it is truncated: {length} bytes")
        return header.height, header.width
    try:
        with Image.open(path) as image, open(path, "rb") as file:
            file.seek(-len(PNG_END), os.SEEK_END)
            if image.format == "PNG" and file.read() != PNG_END:
                raise _damaged(path, "it is truncated")
            return image.height, image.width
    except (OSError, Image.DecompressionBombError) as error:
        raise _damaged(path, "no image begins like this") from error


# -- readers -----------------------------------------------------------------------------------


def _numbers(path: Path) -> np.ndarray:
    """(H, W, channels) of a .flo or .pfm file, as they lie in it."""
    data = _bytes(path)
    header = _header(path, data[:512])
    if len(data) != header.end:
        raise _damaged(
            path,
            f"it is truncated or too long: {len(data)} bytes for {header.width} x "
            f"{header.height} pixels",
        )
    values = np.frombuffer(data, header.dtype, offset=header.start)
    return values.reshape(header.height, header.width, header.channels)


def read_flo(path: Path) -> Tensor:
    """Flow float32 (2, H, W) in pixels, as stored: unknown pixels of Middlebury are above 1e9.

    The format: https://vision.middlebury.edu/flow/code/flow-code/README.txt.  Not read by
    cv2.readOpticalFlow, which takes fifty times as long.
    """
    return torch.from_numpy(_numbers(Path(path)).transpose(2, 0, 1).astype(np.float32))


def read_pfm(path: Path) -> Tensor:
    """Flow float32 (2, H, W) in pixels; rows are stored upwards, the third channel is empty."""
    values = _numbers(Path(path))
    if values.shape[2] != 3:
        raise _damaged(path, "flow has three numbers a pixel, this has one")
    return torch.from_numpy(values[::-1, :, :2].transpose(2, 0, 1).astype(np.float32))


def _decoded(path: Path, mode: str) -> np.ndarray:
    """What OpenCV makes of an image, colours as blue, green, red."""
    import cv2

    path = Path(path)
    size(path)
    data = _bytes(path)
    try:
        with Image.open(io.BytesIO(data)) as whole:
            whole.verify()
        image = cv2.imdecode(
            np.frombuffer(data, np.uint8), getattr(cv2, mode) | cv2.IMREAD_IGNORE_ORIENTATION
        )
    except SyntaxError as error:  # Pillow's word for it
        raise _damaged(path, "a checksum in it is wrong") from error
    except (OSError, cv2.error) as error:
        raise _damaged(path, "it is truncated or cannot be decoded") from error
    if image is None:
        raise _damaged(path, "no image can be decoded from it")
    return image


def read_kitti(path: Path) -> tuple[Tensor, Tensor]:
    """Flow float32 (2, H, W) in pixels, 0 where not known, and valid bool (H, W), of KITTI or HD1K.

    Stored are u * 64 + 2^15, v * 64 + 2^15 and 1 where the flow is known (KITTI's development
    kit).
    """
    image = _decoded(path, "IMREAD_UNCHANGED")
    if image.dtype != np.uint16 or image.ndim != 3 or image.shape[2] != 3:
        raise _damaged(
            path, f"flow is a 16-bit PNG of three channels, this has {image.dtype} {image.shape}"
        )
    valid = torch.from_numpy(image[..., 0] > 0)
    stored = image[..., :0:-1].transpose(2, 0, 1).astype(np.float32)
    return torch.where(valid, torch.from_numpy((stored - 2**15) / KITTI_STEP), 0.0), valid


def read_image(path: Path) -> Tensor:
    """uint8 (3, H, W): red, green, blue; a grey image three times, 16 bits as their upper 8."""
    image = _decoded(path, "IMREAD_COLOR")
    return torch.from_numpy(np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1)))


def read_mask(path: Path) -> Tensor:
    """bool (H, W): where a grey image, such as Sintel's occlusions and invalid, is not black."""
    return torch.from_numpy(_decoded(path, "IMREAD_GRAYSCALE") > 0)


# -- writers -----------------------------------------------------------------------------------


def _writable(path: Path, flow: Tensor) -> np.ndarray:
    if flow.ndim != 3 or flow.shape[0] != 2 or not flow.numel():
        raise HKTError(
            f"{path} was not written: a flow has the shape (2, H, W), got {tuple(flow.shape)}; "
            "write one image at a time."
        )
    return flow.detach().to("cpu", torch.float32).numpy()


def write_flo(path: Path, flow: Tensor) -> None:
    """Write flow (2, H, W) in pixels as .flo.  Raises HKTError for another shape or a full disk."""
    values = _writable(path, flow)
    height, width = values.shape[1:]
    numbers = values.transpose(1, 2, 0).astype("<f4").tobytes()
    write_bytes(Path(path), FLO_MAGIC + struct.pack("<ii", width, height) + numbers)


def encode_png(image: np.ndarray) -> bytes:
    """PNG bytes of uint8 or uint16 (H, W) or (H, W, 3) in red, green, blue."""
    import cv2

    if image.ndim == 3:
        image = np.ascontiguousarray(image[..., ::-1])
    return cv2.imencode(".png", image)[1].tobytes()


def write_kitti(path: Path, flow: Tensor, valid: Tensor | None = None) -> None:
    """Write flow (2, H, W) in pixels and valid (H, W; default: everywhere) as KITTI's 16-bit PNG.

    It keeps 1/64 pixel.  Raises HKTError where a valid flow is not a number or beyond what 16
    bits hold, about 512 pixels either way.
    """
    values = _writable(path, flow)
    if valid is None:
        known = np.ones(values.shape[1:], bool)
    else:
        known = valid.detach().cpu().numpy().astype(bool)
    if known.shape != values.shape[1:]:
        raise HKTError(
            f"{path} was not written: its valid mask has the shape {known.shape}, its flow "
            f"{values.shape}; pass masks of the flow's size."
        )
    low, high = KITTI_REACH
    if not ((values >= low) & (values <= high))[:, known].all():
        raise HKTError(
            f"{path} was not written: KITTI's PNG holds flow from {low:.0f} to {high:.0f} pixels "
            "and a valid pixel is beyond; mark it invalid or clamp the flow."
        )
    stored = np.zeros((*known.shape, 3), np.uint16)
    stored[known, :2] = np.rint(values[:, known].T.astype(np.float64) * KITTI_STEP + 2**15)
    stored[..., 2] = known
    write_bytes(Path(path), encode_png(stored))
