"""Files of flow: .flo (Middlebury, Sintel), KITTI's 16-bit PNG, .pfm (FlyingThings3D), images.

    flow = read_flo("frame_0001.flo")       # float32 (2, H, W): u to the right, v down, in pixels
    flow, valid = read_kitti("000000_10.png")

Every reader raises HKTError naming a file that is missing, damaged or of another kind; writers
write all or nothing.  Pillow checks PNGs and OpenCV decodes them: Pillow reads 16-bit RGB as 8-bit,
OpenCV fills what is missing of a truncated file with zeros.
"""

import io
import os
import re
import struct
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...config import HKTError
from ...files import write_bytes

FLO_MAGIC = b"PIEH"  # the float 202021.25, little endian
PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
PIXELS = 1 << 28  # more than any image has: a header that says so is damaged
ALIEN = (OSError, ValueError, struct.error, Image.DecompressionBombError)  # Pillow's words for it
_GAP = rb"(?:\s|#[^\n]*\n)+"  # white space and comments between the numbers of a header
_SIZE = (_GAP + rb"(\d+)") * 2 + _GAP
_PPM = rb"P([56])" + _SIZE + rb"(\d+)\s"  # then the largest value
_PFM = rb"P([fF])" + _SIZE + rb"(-?[\d.eE+]+)\s"  # then a scale, negative for little endian


def _bytes(path: Path, count: int = -1) -> bytes:
    """The file, or its first `count` bytes."""
    try:
        with open(path, "rb") as file:
            return file.read(count)
    except OSError as error:
        raise HKTError(f"{path} cannot be read ({error.strerror}); check HKT_DATA.") from error


def _damaged(path: Path, why: str) -> HKTError:
    return HKTError(f"{path} is not a readable file of its kind ({why}); fetch or unpack it again.")


def _header(path: Path, head: bytes) -> tuple[tuple[int, int, int], str, int, int]:
    """Of a .flo, .pfm, .ppm or .pgm: (H, W, channels), type, first byte of the numbers, length."""
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
            dtype = ">u2" if int(match[4]) > 255 else ">u1"
    if min(width, height) < 1 or width * height > PIXELS:
        raise _damaged(path, f"its header says {width} x {height} pixels")
    end = start + height * width * channels * int(dtype[2])
    return (height, width, channels), dtype, start, end


def size(path: Path) -> tuple[int, int]:
    """(H, W) of an image or flow file, from its first bytes and its length alone.

    Raises HKTError naming the file if it is missing, damaged or shorter than its header says.
    """
    head = _bytes(path, 512)
    if path.suffix in (".flo", ".pfm") or head[:2] in (b"P5", b"P6"):
        shape, _, _, end = _header(path, head)
        if path.stat().st_size < end:
            raise _damaged(path, "it is truncated")
        return shape[:2]
    try:
        with Image.open(path) as image, open(path, "rb") as file:
            file.seek(-len(PNG_END), os.SEEK_END)
            if image.format == "PNG" and file.read() != PNG_END:
                raise _damaged(path, "it is truncated")
            return image.height, image.width
    except (*ALIEN, SyntaxError) as error:
        raise _damaged(path, "no image begins like this") from error


def read_flo(path: Path) -> Tensor:
    """Flow float32 (2, H, W) in pixels of a .flo or .pfm, as stored: Middlebury's unknown is 1e10.

    .flo: vision.middlebury.edu/flow/code/flow-code/README.txt (cv2.readOpticalFlow is fifty times
    slower).  .pfm: rows are stored upwards, the third channel is empty.
    """
    data = _bytes(path)
    (height, width, channels), dtype, start, end = _header(path, data[:512])
    if len(data) != end or channels < 2:
        why = f"it is truncated or too long: {len(data)} bytes for {width} x {height} pixels"
        raise _damaged(path, why)
    values = np.frombuffer(data, dtype, offset=start).reshape(height, width, channels)
    if path.suffix == ".pfm":
        values = values[::-1, :, :2]
    return torch.from_numpy(values.transpose(2, 0, 1).astype(np.float32))


def _decoded(path: Path, mode: str) -> np.ndarray:
    """What OpenCV makes of an image, colours as blue, green, red."""
    import cv2

    size(path)
    data = _bytes(path)
    try:
        with Image.open(io.BytesIO(data)) as whole:
            whole.verify()
        flags = getattr(cv2, mode) | cv2.IMREAD_IGNORE_ORIENTATION
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except SyntaxError as error:
        raise _damaged(path, "a checksum in it is wrong") from error
    except (*ALIEN, cv2.error) as error:
        raise _damaged(path, "it is truncated or cannot be decoded") from error
    if image is None:
        raise _damaged(path, "no image can be decoded from it")
    return image


def read_kitti(path: Path) -> tuple[Tensor, Tensor]:
    """Flow float32 (2, H, W) in pixels, 0 where not known, and valid bool (H, W), of KITTI or HD1K.

    Stored are u * 64 + 2^15, v * 64 + 2^15 and 1 where it is known (KITTI's development kit).
    """
    image = _decoded(path, "IMREAD_UNCHANGED")
    if image.dtype != np.uint16 or image.ndim != 3 or image.shape[2] != 3:
        why = f"flow is a 16-bit PNG of three channels, this has {image.dtype} {image.shape}"
        raise _damaged(path, why)
    valid = torch.from_numpy(image[..., 0] > 0)
    stored = image[..., :0:-1].transpose(2, 0, 1).astype(np.float32)
    return torch.where(valid, torch.from_numpy((stored - 2**15) / 64), 0.0), valid


def read_image(path: Path) -> Tensor:
    """uint8 (3, H, W): red, green, blue; a grey image three times, 16 bits as their upper 8."""
    image = _decoded(path, "IMREAD_COLOR")
    return torch.from_numpy(np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1)))


def read_mask(path: Path) -> Tensor:
    """bool (H, W): where a grey image, such as Sintel's occlusions and invalid, is not black."""
    return torch.from_numpy(_decoded(path, "IMREAD_GRAYSCALE") > 0)


def _writable(path: Path, flow: Tensor) -> np.ndarray:
    if flow.ndim != 3 or flow.shape[0] != 2 or not flow.numel():
        shape = tuple(flow.shape)
        raise HKTError(f"{path} was not written: a flow is (2, H, W), this is {shape}; split it.")
    return flow.detach().to("cpu", torch.float32).numpy()


def write_flo(path: Path, flow: Tensor) -> None:
    """Write flow (2, H, W) in pixels as .flo.  Raises HKTError for another shape or a full disk."""
    values = _writable(path, flow)
    head = FLO_MAGIC + struct.pack("<ii", values.shape[2], values.shape[1])
    write_bytes(Path(path), head + values.transpose(1, 2, 0).astype("<f4").tobytes())


def encode_png(image: np.ndarray) -> bytes:
    """PNG bytes of uint8 or uint16 (H, W) or (H, W, 3) in red, green, blue."""
    import cv2

    if image.ndim == 3:
        image = np.ascontiguousarray(image[..., ::-1])
    return cv2.imencode(".png", image)[1].tobytes()


def write_kitti(path: Path, flow: Tensor, valid: Tensor | None = None) -> None:
    """Write flow (2, H, W) in pixels, valid (H, W; default: everywhere) as `read_kitti` reads it.

    Raises HKTError for another shape, and where a valid flow is not a number or beyond 16 bits.
    """
    values = _writable(path, flow).astype(np.float64) * 64 + 2**15
    known = torch.ones(flow.shape[1:]) if valid is None else valid.detach().cpu()
    if known.shape != flow.shape[1:]:
        sizes = f"its valid mask is {tuple(known.shape)}, its flow {values.shape}"
        raise HKTError(f"{path} was not written: {sizes}; pass masks of the flow's size.")
    known = known.numpy().astype(bool)
    if not ((values >= 1) & (values <= 2**16 - 1))[:, known].all():
        beyond = "a valid flow is beyond 512 pixels, the most that KITTI's PNG holds"
        raise HKTError(f"{path} was not written: {beyond}; mark it invalid or clamp it.")
    stored = np.zeros((*known.shape, 3), np.uint16)
    stored[known, :2] = np.rint(values[:, known].T)
    stored[..., 2] = known
    write_bytes(Path(path), encode_png(stored))
