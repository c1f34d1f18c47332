"""Optical flow corpora in their official layouts: which files belong together, what they hold, who is in which split.

    found = split("sintel-clean", pairs(data_home(), "sintel-clean"), "val")
    check(found)                                                # reads headers only; the first bad file is one sentence
    sample = read(found[0])                                     # images uint8, flow in pixels, valid and occluded pixels

Pairs are made of file *names*: a missing flow costs its own pair and never shifts another, whatever else lies in a folder is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ...config import PROJECT, HKTError, nearest
from . import files

CORPORA = (
    "chairs",
    "things",
    "sintel-clean",
    "sintel-final",
    "kitti2015",
    "kitti2012",
    "hd1k",
    "middlebury",
)
SPLITS = PROJECT / "data" / "splits" / "flow.json"
CHAIRS_LIST = "FlyingChairs_train_val.txt"  # the official one: a line a pair, 1 = train, 2 = val
UNKNOWN = 1e9  # Middlebury stores 1e10 where the flow is not known


class Pair(NamedTuple):
    """Files of two frames; what a corpus or folder does not have is None.  For KITTI `occlusion` is the non-occluded flow."""

    name: str
    scene: str
    first: Path
    second: Path
    flow: Path | None = None
    occlusion: Path | None = None
    invalid: Path | None = None


class Sample(NamedTuple):
    """Two images uint8 (3, H, W), flow float32 (2, H, W) in pixels (0 where not valid), valid and occluded bool (H, W)."""

    first: Tensor
    second: Tensor
    flow: Tensor
    valid: Tensor
    occluded: Tensor | None = None


# -- one indexer a layout: yields pairs whose frames exist, with None for what does not --------------------------------


def _there(path: Path) -> Path | None:
    return path if path.is_file() else None


def _next(path: Path, pattern: str) -> tuple[str, Path] | None:
    """The frame's number as written and the path with the next number, if the name fits the pattern's single group."""
    match = re.fullmatch(pattern, path.name)
    if not match:
        return None
    number = match[1]
    after = path.with_name(
        path.name[: match.start(1)]
        + f"{int(number) + 1:0{len(number)}d}"
        + path.name[match.end(1) :]
    )
    return (number, after) if after.is_file() else None


def _sintel(folder: Path, passed: str) -> Iterator[Pair]:
    for first in sorted((folder / passed).glob("*/frame_*.png")):
        if found := _next(first, r"frame_(\d+)\.png"):
            scene, frame = first.parent.name, first.stem
            marks = [
                _there(folder / kind / scene / f"{frame}{end}")
                for kind, end in (("flow", ".flo"), ("occlusions", ".png"), ("invalid", ".png"))
            ]
            yield Pair(f"{scene}/{frame}", scene.split("__")[0], first, found[1], *marks)


def _kitti(folder: Path, images: str) -> Iterator[Pair]:
    for first in sorted((folder / images).glob("*_10.png")):
        second = first.with_name(first.name.replace("_10.png", "_11.png"))
        if re.fullmatch(r"\d+_10\.png", first.name) and second.is_file():
            every, seen = (_there(folder / kind / first.name) for kind in ("flow_occ", "flow_noc"))
            yield Pair(
                first.stem, first.stem[:-3], first, second, every or seen, seen if every else None
            )


def _hd1k(folder: Path) -> Iterator[Pair]:
    for first in sorted((folder / "hd1k_input" / "image_2").glob("*.png")):
        if found := _next(first, r"\d+_(\d+)\.png"):
            yield Pair(
                first.stem,
                first.stem.split("_")[0],
                first,
                found[1],
                _there(folder / "hd1k_flow_gt" / "flow_occ" / first.name),
            )


def _chairs(folder: Path) -> Iterator[Pair]:
    for first in sorted((folder / "data").glob("*_img1.ppm")):
        number = first.name.removesuffix("_img1.ppm")
        second = first.with_name(f"{number}_img2.ppm")
        if number.isdigit() and second.is_file():
            yield Pair(number, number, first, second, _there(first.with_name(f"{number}_flow.flo")))


def _things(folder: Path) -> Iterator[Pair]:
    """Both passes, left camera, both directions of time, as RAFT trains; the scene is the sequence, TRAIN/A/0000."""
    for passed in ("clean", "final"):
        top = folder / f"frames_{passed}pass"
        for frame in sorted(top.glob("T*/*/*/left/*.png")):
            found = _next(frame, r"(\d+)\.png")
            if not found:
                continue
            scene = frame.parent.parent.relative_to(top).as_posix()
            for first, second, way in ((frame, found[1], "Future"), (found[1], frame, "Past")):
                flow = (
                    folder
                    / "optical_flow"
                    / scene
                    / f"into_{way.lower()}"
                    / "left"
                    / f"OpticalFlowInto{way}_{first.stem}_L.pfm"
                )
                yield Pair(
                    f"{passed}/{scene}/{first.stem}-{way.lower()}",
                    scene,
                    first,
                    second,
                    _there(flow),
                )


def _middlebury(folder: Path) -> Iterator[Pair]:
    for first in sorted((folder / "other-data").glob("*/frame10.png")):
        scene, second = first.parent.name, first.with_name("frame11.png")
        if second.is_file():
            yield Pair(
                scene, scene, first, second, _there(folder / "other-gt-flow" / scene / "flow10.flo")
            )


class Layout(NamedTuple):
    """Folder under the data folder ({part} is training or its test counterpart), indexer, and the layout in words."""

    folder: str
    index: Callable[[Path], Iterable[Pair]]
    words: str
    test: str = ""


_SINTEL = "{}/SCENE/frame_0001.png with flow/SCENE/frame_0001.flo"
LAYOUTS = {
    "chairs": Layout(
        "FlyingChairs", _chairs, "data/00001_img1.ppm, 00001_img2.ppm, 00001_flow.flo"
    ),
    "things": Layout(
        "FlyingThings3D",
        _things,
        "frames_cleanpass/TRAIN/A/0000/left/0006.png with "
        "optical_flow/TRAIN/A/0000/into_future/left/OpticalFlowIntoFuture_0006_L.pfm",
    ),
    "sintel-clean": Layout(
        "Sintel/{part}", lambda folder: _sintel(folder, "clean"), _SINTEL.format("clean"), "test"
    ),
    "sintel-final": Layout(
        "Sintel/{part}", lambda folder: _sintel(folder, "final"), _SINTEL.format("final"), "test"
    ),
    "kitti2015": Layout(
        "KittiFlow/{part}",
        lambda folder: _kitti(folder, "image_2"),
        "image_2/000000_10.png, image_2/000000_11.png with flow_occ/000000_10.png",
        "testing",
    ),
    "kitti2012": Layout(
        "KITTI2012/{part}",
        lambda folder: _kitti(folder, "colored_0"),
        "colored_0/000000_10.png, colored_0/000000_11.png with flow_occ/ or flow_noc/000000_10.png",
        "testing",
    ),
    "hd1k": Layout(
        "hd1k",
        _hd1k,
        "hd1k_input/image_2/000000_0010.png with hd1k_flow_gt/flow_occ/000000_0010.png",
    ),
    "middlebury": Layout(
        "Middlebury",
        _middlebury,
        "other-data/RubberWhale/frame10.png, frame11.png with other-gt-flow/RubberWhale/flow10.flo",
    ),
}


def _layout(corpus: str) -> Layout:
    if corpus not in LAYOUTS:
        raise HKTError(f"There is no flow corpus {corpus!r}.{nearest(corpus, LAYOUTS)}")
    return LAYOUTS[corpus]


def present(root: Path, corpus: str) -> bool:
    """Whether the corpus has at least one pair with flow under `root`."""
    layout = _layout(corpus)
    return any(
        pair.flow for pair in layout.index(Path(root) / layout.folder.format(part="training"))
    )


def pairs(root: Path, corpus: str, need_flow: bool = True, part: str = "training") -> list[Pair]:
    """All pairs of a corpus under the data folder `root`, in the order of their names.

    `need_flow` leaves out pairs without a flow file; `part` = 'test' (Sintel, KITTI; without flow) is for submissions.  Scenes are Sintel's
    ('cave_2' also for a folder 'cave_2__0002'), KITTI's numbers, sequences of HD1K and FlyingThings3D, single pairs of the others.
    Raises HKTError naming the folder that is absent or laid out otherwise.
    """
    layout = _layout(corpus)
    if part not in ("training", "test") or (part == "test" and not layout.test):
        raise HKTError(
            f"{corpus} has no part {part!r}; ask for 'training'{', or test' if layout.test else ''}."
        )
    folder = Path(root) / layout.folder.format(part=part if part == "training" else layout.test)
    if not folder.is_dir():
        raise HKTError(
            f"There is no folder {folder} for {corpus}; put the data there as {layout.words}, or set HKT_DATA."
        )
    found = list(layout.index(folder))
    kept = [pair for pair in found if pair.flow] if need_flow and part == "training" else found
    if not kept:
        what = f"{len(found)} pairs of images but no flow" if found else "no pair of images"
        raise HKTError(
            f"{folder} is not laid out as {corpus}: {what} was found; expected is {layout.words}."
        )
    return kept


# -- contents --------------------------------------------------------------------------------------------------------


def _same_size(sizes: dict[Path, tuple[int, int]]) -> None:
    (first, expected), *others = sizes.items()
    for path, found in others:
        if found != expected:
            raise HKTError(
                f"{path} has {found[1]} x {found[0]} pixels and {first} has {expected[1]} x {expected[0]}; they belong to one pair, "
                "fetch or unpack both again."
            )


def check(pairs_list: Iterable[Pair]) -> None:
    """Read the header and length of every file; HKTError naming the first that is missing, truncated or not of its pair's size."""
    for pair in pairs_list:
        _same_size({path: files.size(path) for path in pair[2:] if path})


def _flow(path: Path) -> tuple[Tensor, Tensor]:
    """Flow and where it is known, by the file's kind."""
    if path.suffix == ".png":
        return files.read_kitti(path)
    flow = (files.read_pfm if path.suffix == ".pfm" else files.read_flo)(path)
    valid = (flow.abs() < UNKNOWN).all(0)  # False for what is not a number, too
    return torch.where(valid, flow, 0.0), valid


def read(pair: Pair) -> Sample:
    """The pair's contents; without a flow file nothing is valid.

    valid: KITTI's and HD1K's mask, what Sintel does not call invalid, what Middlebury knows.  occluded: Sintel's mask; for KITTI the pixels
    of flow_occ that flow_noc lacks; None where the folder does not tell.  Raises HKTError naming the files that are damaged or differ in size.
    """
    read = {pair.first: files.read_image(pair.first), pair.second: files.read_image(pair.second)}
    first, second = read[pair.first], read[pair.second]
    flow, valid, occluded = (
        torch.zeros(2, *first.shape[1:]),
        torch.zeros(first.shape[1:], dtype=torch.bool),
        None,
    )
    if pair.flow:
        read[pair.flow], valid = _flow(pair.flow)
        flow = read[pair.flow]
    if pair.invalid:
        read[pair.invalid] = files.read_mask(pair.invalid)
    if pair.occlusion:
        of_flow = pair.flow is not None and pair.flow.suffix == ".png"
        read[pair.occlusion] = (
            files.read_kitti(pair.occlusion)[1] if of_flow else files.read_mask(pair.occlusion)
        )
        occluded = (
            valid & ~read[pair.occlusion]
            if of_flow and read[pair.occlusion].shape == valid.shape
            else read[pair.occlusion]
        )
    _same_size({path: tuple(value.shape[-2:]) for path, value in read.items()})
    if pair.invalid:
        valid = valid & ~read[pair.invalid]
        flow = torch.where(valid, flow, 0.0)
    return Sample(first, second, flow, valid, occluded)


# -- splits ----------------------------------------------------------------------------------------------------------


def disjoint(train: Iterable[Pair], val: Iterable[Pair]) -> None:
    """HKTError naming a scene that has pairs in both: neighbouring frames show the same things."""
    both = {pair.scene for pair in train} & {pair.scene for pair in val}
    if both:
        raise HKTError(
            f"Scene {min(both)!r} is in the training and in the validation split; give all its pairs to one of them."
        )


def _rule(corpus: str, path: Path) -> dict[str, list[str]]:
    """Patterns of scenes by part, from the committed lists."""
    from ...files import read_json

    rules, key = read_json(path, "split"), corpus.split("-")[0]
    if key not in rules:
        raise HKTError(f"The split {path} says nothing about {key}; add its validation scenes.")
    return rules[key]


def _of_chairs(pairs_list: list[Pair], path: Path) -> dict[str, str]:
    """Part of each pair by the official list: line n for pair n."""
    lines = path.read_text(encoding="ascii", errors="replace").split()
    parts = {}
    for pair in pairs_list:
        place = int(pair.scene) - 1
        if not 0 <= place < len(lines) or lines[place] not in ("1", "2"):
            raise HKTError(
                f"{path} has no line with 1 or 2 for the pair {pair.name}; fetch the official list of 22,872 lines, or remove it."
            )
        parts[pair.scene] = "train" if lines[place] == "1" else "val"
    return parts


def split(corpus: str, pairs_list: list[Pair], part: str, path: Path = SPLITS) -> list[Pair]:
    """The pairs of 'train' or 'val' by scenes: `val` of data/splits/flow.json lists patterns of scenes, train is the rest (or its own list).

    FlyingChairs follows its official list where that lies beside its data folder.  Raises HKTError naming a scene in two splits.
    """
    if part not in ("train", "val"):
        raise HKTError(f"The flow corpora have no split {part!r}.{nearest(part, ['train', 'val'])}")
    rule, scenes = _rule(corpus, path), {pair.scene for pair in pairs_list}
    inside = {
        name: {scene for scene in scenes if any(fnmatch(scene, one) for one in rule[name])}
        for name in rule
        if name in ("train", "val")
    }
    inside.setdefault("train", scenes - inside["val"])
    official = (
        pairs_list[0].first.parent.parent / CHAIRS_LIST
        if pairs_list and corpus == "chairs"
        else None
    )
    if official and official.is_file():
        parts = _of_chairs(pairs_list, official)
        inside = {
            name: {scene for scene in scenes if parts[scene] == name} for name in ("train", "val")
        }
    disjoint(
        *([pair for pair in pairs_list if pair.scene in inside[name]] for name in ("train", "val"))
    )
    return [pair for pair in pairs_list if pair.scene in inside[part]]


# -- sizes a network takes -------------------------------------------------------------------------------------------


def pad(
    x: Tensor, multiple: int = 8, mode: str = "sintel", least: int = 0
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Images (..., C, H, W) with their border repeated up to multiples of `multiple` and at least `least` pixels, and what crops a flow back.

    'sintel' shares the new rows between top and bottom; 'kitti' puts them all at the bottom in RAFT's evaluation code.  New columns are shared
    between left and right in both (the odd one to the right or bottom).
    """
    if mode not in ("sintel", "kitti"):
        raise HKTError(f"There is no padding {mode!r}.{nearest(mode, ['sintel', 'kitti'])}")
    height, width = x.shape[-2:]
    tall, wide = (
        max(-(-side // multiple), -(-least // multiple)) * multiple for side in (height, width)
    )
    left, top = (wide - width) // 2, (tall - height) // 2 if mode == "sintel" else 0
    rows = (torch.arange(tall, device=x.device) - top).clamp(0, height - 1)
    columns = (torch.arange(wide, device=x.device) - left).clamp(0, width - 1)
    return x[..., rows[:, None], columns], lambda flow: flow[
        ..., top : top + height, left : left + width
    ]
