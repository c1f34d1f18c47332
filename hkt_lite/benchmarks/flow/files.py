"""The files optical flow comes in: .flo (Middlebury, Sintel), KITTI's 16-bit PNG, .pfm (FlyingThings3D), and images.

    flow = read_flo("frame_0001.flo")                           # float32 (2, H, W): u to the right, v down, in pixels
    flow, valid = read_kitti("000000_10.png")
    write_kitti("submission/000000_10.png", flow)

A damaged file is one sentence that names it.  Writers write all or nothing.  PNGs go through OpenCV: Pillow reads 16-bit RGB as 8-bit.
"""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...config import HKTError

FLO_MAGIC = b"PIEH"  # the float 202021.25, little endian
PNG_MAGIC, PNG_END = b"\x89PNG\r\n\x1a\n", b"\x00\x00\x00\x00IEND\xaeB`\x82"
PIXELS = 1 << 28  # more than any image has: a header that says so is damaged
KITTI_STEP = 64  # steps a pixel; stored = flow * 64 + 2^15
KITTI_REACH = ((1 - 2**15) / KITTI_STEP, (2**16 - 1 - 2**15) / KITTI_STEP)


def _bytes(path: Path, count: int | None = None) -> bytes:
    """The file, or its first `count` bytes."""
    try:
        with open(path, "rb") as file:
            return file.read(-1 if count is None else count)
    except OSError as error:
        raise HKTError(
            f"{path} cannot be read ({error.strerror or error}); check the folder HKT_DATA points to."
        ) from None


def _damaged(path: Path, why: str) -> HKTError:
    return HKTError(f"{path} is not a readable file of its kind ({why}); fetch or unpack it again.")


# -- what a file's first bytes say -----------------------------------------------------------------------------------


def _flo_header(path: Path, head: bytes) -> tuple[int, int, int]:
    """Height, width, offset of the numbers."""
    if len(head) < 12 or head[:4] != FLO_MAGIC:
        raise _damaged(path, "a .flo file begins with PIEH and its size")
    width, height = struct.unpack("<ii", head[4:12])
    if min(width, height) < 1 or width * height > PIXELS:
        raise _damaged(path, f"its header says {width} x {height} pixels")
    return height, width, 12


def _text_header(path: Path, head: bytes, pattern: bytes) -> tuple[re.Match, int, int]:
    """Match, height and width of a header written as text: .ppm and .pfm."""
    match = re.match(pattern, head)
    height, width = (int(match[3]), int(match[2])) if match else (0, 0)
    if not 0 < width * height <= PIXELS:
        raise _damaged(path, "its header is not whole")
    return match, height, width


_GAP = rb"(?:\s|#[^\n]*\n)+"  # white space and comments between the header's numbers
_PPM = rb"(P[56])" + _GAP + rb"(\d+)" + _GAP + rb"(\d+)" + _GAP + rb"(\d+)\s"
_PFM = rb"(P[Ff])\s+(\d+)\s+(\d+)\s+(-?[\d.eE+]+)\s"


def size(path: Path) -> tuple[int, int]:
    """(H, W) of an image or flow file, from its first bytes and its length alone.

    Raises HKTError naming the file if it is missing, of another kind, or shorter than its header says.
    """
    path = Path(path)
    head = _bytes(path, 512)
    length = path.stat().st_size
    if path.suffix == ".flo":
        height, width, offset = _flo_header(path, head)
        need = offset + 8 * height * width
    elif path.suffix == ".pfm":
        match, height, width = _text_header(path, head, _PFM)
        need = match.end() + 4 * height * width * (3 if match[1] == b"PF" else 1)
    elif head[:2] in (b"P5", b"P6"):
        match, height, width = _text_header(path, head, _PPM)
        need = match.end() + height * width * (3 if match[1] == b"P6" else 1) * (
            2 if int(match[4]) > 255 else 1
        )
    elif head.startswith(PNG_MAGIC):
        if len(head) < 24:
            raise _damaged(path, "it is truncated")
        width, height = struct.unpack(">II", head[16:24])
        with open(path, "rb") as file:
            file.seek(max(length - len(PNG_END), 0))
            need = length if file.read() == PNG_END else length + 1
    else:
        return tuple(read_image(path).shape[1:])
    if length < need:
        raise _damaged(path, f"it is truncated: {length} bytes")
    return height, width


# -- readers ---------------------------------------------------------------------------------------------------------


def read_flo(path: Path) -> Tensor:
    """Flow float32 (2, H, W) of a .flo file, as it is stored: unknown pixels of Middlebury are above 1e9.

    The format: https://vision.middlebury.edu/flow/code/flow-code/README.txt.  Raises HKTError naming the file.
    """
    path = Path(path)
    data = _bytes(path)
    height, width, offset = _flo_header(path, data)
    if len(data) != offset + 8 * height * width:
        raise _damaged(
            path, f"it is truncated or too long: {len(data)} bytes for {width} x {height} pixels"
        )
    values = np.frombuffer(data, "<f4", offset=offset).reshape(height, width, 2)
    return torch.from_numpy(values.transpose(2, 0, 1).astype(np.float32))


def read_pfm(path: Path) -> Tensor:
    """Flow float32 (2, H, W) of a .pfm file: rows run upwards, a negative scale means little endian, the third channel is empty."""
    path = Path(path)
    data = _bytes(path)
    match, height, width = _text_header(path, data[:512], _PFM)
    if match[1] != b"PF" or len(data) != match.end() + 12 * height * width:
        raise _damaged(
            path, f"{len(data)} bytes are not three numbers for each of {width} x {height} pixels"
        )
    order = "<f4" if match[4].startswith(b"-") else ">f4"
    values = np.frombuffer(data, order, offset=match.end()).reshape(height, width, 3)
    return torch.from_numpy(values[::-1, :, :2].transpose(2, 0, 1).astype(np.float32))


def _png_is_whole(path: Path, data: bytes) -> None:
    """OpenCV fills what is missing of a truncated PNG with zeros and says nothing: look at its chunks first."""
    place = len(PNG_MAGIC)
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        body, stated = (
            data[place + 4 : place + 8 + length],
            data[place + 8 + length : place + 12 + length],
        )
        if len(stated) < 4:
            break
        if zlib.crc32(body) != int.from_bytes(stated, "big"):
            raise _damaged(path, "a checksum in it is wrong")
        if body[:4] == b"IEND":
            return
        place += 12 + length
    raise _damaged(path, "it is truncated")


def _decoded(path: Path, flags: str) -> np.ndarray:
    """What OpenCV makes of the file, colours as blue, green, red."""
    import cv2

    data = _bytes(path)
    if data.startswith(PNG_MAGIC):
        _png_is_whole(path, data)
    elif data[:2] in (b"P5", b"P6"):
        size(path)
    try:
        image = (
            cv2.imdecode(
                np.frombuffer(data, np.uint8), sum(getattr(cv2, flag) for flag in flags.split())
            )
            if data
            else None
        )
    except cv2.error:
        image = None
    if image is None:
        raise _damaged(path, "no image can be decoded from it")
    return image


def read_kitti(path: Path) -> tuple[Tensor, Tensor]:
    """Flow float32 (2, H, W) and valid bool (H, W) of a KITTI or HD1K 16-bit PNG; flow is 0 where it is not known.

    Stored are u * 64 + 2^15, v * 64 + 2^15 and 1 where the flow is known (KITTI's development kit).  Raises HKTError naming the file.
    """
    path = Path(path)
    image = _decoded(path, "IMREAD_UNCHANGED")
    if image.dtype != np.uint16 or image.ndim != 3 or image.shape[2] != 3:
        raise _damaged(
            path, f"flow is a 16-bit PNG of three channels, this has {image.dtype} {image.shape}"
        )
    valid = torch.from_numpy(image[..., 0] > 0)
    flow = torch.from_numpy(
        (image[..., :0:-1].transpose(2, 0, 1).astype(np.float32) - 2**15) / KITTI_STEP
    )
    return torch.where(valid, flow, 0.0), valid


def read_image(path: Path) -> Tensor:
    """uint8 (3, H, W): red, green, blue; a grey image three times, 16 bits as their upper 8.  Raises HKTError naming the file."""
    image = _decoded(Path(path), "IMREAD_COLOR IMREAD_IGNORE_ORIENTATION")
    return torch.from_numpy(np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1)))


def read_mask(path: Path) -> Tensor:
    """bool (H, W): where a grey image, such as Sintel's occlusions and invalid, is not black.  Raises HKTError naming the file."""
    return torch.from_numpy(_decoded(Path(path), "IMREAD_GRAYSCALE") > 0)


# -- writers ---------------------------------------------------------------------------------------------------------


def _writable(path: Path, flow: Tensor) -> np.ndarray:
    if flow.ndim != 3 or flow.shape[0] != 2 or not flow.numel():
        raise HKTError(
            f"{path} was not written: a flow has the shape (2, H, W), got {tuple(flow.shape)}; write one image at a time."
        )
    return flow.detach().to("cpu", torch.float32).numpy()


def write_flo(path: Path, flow: Tensor) -> None:
    """Write flow (2, H, W) as .flo, all or nothing.  Raises HKTError naming the file."""
    from ...files import write_bytes

    path = Path(path)
    values = _writable(path, flow)
    _, height, width = values.shape
    write_bytes(
        path,
        FLO_MAGIC
        + struct.pack("<ii", width, height)
        + values.transpose(1, 2, 0).astype("<f4").tobytes(),
    )


def encode_png(image: np.ndarray) -> bytes:
    """PNG bytes of uint8 or uint16 (H, W) or (H, W, 3) in red, green, blue."""
    import cv2

    return cv2.imencode(
        ".png", image if image.ndim == 2 else np.ascontiguousarray(image[..., ::-1])
    )[1].tobytes()


def write_kitti(path: Path, flow: Tensor, valid: Tensor | None = None) -> None:
    """Write flow (2, H, W) and valid (H, W; default: everywhere) as KITTI's 16-bit PNG, all or nothing; it keeps 1/64 pixel.

    Raises HKTError where a valid flow is not a number or beyond what 16 bits hold, about 512 pixels either way.
    """
    from ...files import write_bytes

    path = Path(path)
    values = _writable(path, flow)
    valid = (
        np.ones(values.shape[1:], bool)
        if valid is None
        else valid.detach().cpu().numpy().astype(bool)
    )
    if valid.shape != values.shape[1:]:
        raise HKTError(
            f"{path} was not written: its valid mask has the shape {valid.shape}, its flow {values.shape}; pass masks of the flow's size."
        )
    low, high = KITTI_REACH
    if not ((values >= low) & (values <= high))[:, valid].all():
        raise HKTError(
            f"{path} was not written: KITTI's PNG holds flow from {low:.0f} to {high:.0f} pixels and a valid pixel is beyond; "
            "mark it invalid or clamp the flow."
        )
    stored = np.zeros((*valid.shape, 3), np.uint16)
    stored[valid, :2] = np.rint(values[:, valid].T.astype(np.float64) * KITTI_STEP + 2**15)
    stored[..., 2] = valid
    write_bytes(path, encode_png(stored))
