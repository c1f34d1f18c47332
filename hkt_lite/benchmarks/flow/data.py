"""Optical-flow corpora in their official layouts: which files belong together, in which split.

    found = split("sintel-clean", pairs(data_home(), "sintel-clean"), "val")
    check(found)                            # reads headers only; the first bad file is one sentence
    sample = read(found[0])                 # images, flow in pixels, valid and occluded pixels

Pairs are made of file *names*: a missing flow costs its own pair and never shifts another.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
import yaml
from torch import Tensor

from ...config import PROJECT, HKTError
from ...files import read_json
from ..task import choose
from . import files

SPLITS = PROJECT / "data" / "splits" / "flow.json"
CHAIRS_LIST = "FlyingChairs_train_val.txt"  # the official one: a line a pair, 1 = train, 2 = val
UNKNOWN = 1e9  # Middlebury stores 1e10 where the flow is not known


class Pair(NamedTuple):
    """Files of two frames, None for what is not there; KITTI's `occlusion` is its flow_noc."""

    name: str
    scene: str
    first: Path
    second: Path
    flow: Path | None = None
    occlusion: Path | None = None
    invalid: Path | None = None


class Sample(NamedTuple):
    """Two images uint8 (3, H, W); flow float32 (2, H, W) in pixels, 0 where not valid; masks."""

    first: Tensor
    second: Tensor
    flow: Tensor
    valid: Tensor  # bool (H, W)
    occluded: Tensor | None = None  # bool (H, W): hidden or outside in the second frame


class Layout(NamedTuple):
    """One entry of layouts.yaml, which explains the fields: templates of a pair's files."""

    folder: str
    first: str
    second: str
    flow: str
    scene: str
    name: str
    seen: str = ""
    occlusion: str = ""
    invalid: str = ""
    test: str = ""


_TABLE = Path(__file__).with_name("layouts.yaml").read_text(encoding="utf-8")
LAYOUTS = {corpus: Layout(**fields) for corpus, fields in yaml.safe_load(_TABLE).items()}


def _frames(folder: Path, layout: Layout) -> Iterator[tuple[Path, dict[str, str]]]:
    """Each first frame in the order of the names, and the words to fill the templates with."""
    pattern = re.sub(r"\\{(n|number)\\}", r"(?P<\1>[0-9]+)", re.escape(layout.first))
    pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", pattern)
    ways = {"past": -1, "future": 1} if "{way}" in layout.flow else {"future": 1}
    for first in sorted(folder.glob(re.sub(r"{\w+}", "*", layout.first))):
        match = re.fullmatch(pattern, first.relative_to(folder).as_posix())
        if not match:
            continue
        words = match.groupdict()
        n = words.get("n", "0")
        for way, step in ways.items():
            other = f"{int(n) + step:0{len(n)}d}"
            yield first, {**words, "other": other, "way": way, "Way": way.title()}


def _pairs(folder: Path, layout: Layout) -> Iterator[Pair]:
    """Pairs whose two frames exist."""
    kinds = (layout.second, layout.flow, layout.seen, layout.occlusion, layout.invalid)
    for first, words in _frames(folder, layout):
        paths = [folder / kind.format(**words) for kind in kinds]
        second, flow, seen, occlusion, invalid = (p if p.is_file() else None for p in paths)
        if second:
            name, scene = layout.name.format(**words), layout.scene.format(**words).split("__")[0]
            visible = seen if flow and seen else occlusion
            yield Pair(name, scene, first, second, flow or seen, visible, invalid)


def present(root: Path, corpus: str) -> bool:
    """Whether the corpus has at least one pair with flow under `root`."""
    layout = choose("flow corpus", corpus, LAYOUTS)
    folder = Path(root) / layout.folder.format(part="training")
    return any(pair.flow for pair in _pairs(folder, layout))


def pairs(root: Path, corpus: str, part: str = "training") -> list[Pair]:
    """All pairs with flow of a corpus under the data folder `root`, in the order of their names.

    `part` = 'test' (Sintel, KITTI) is for submissions and needs no flow.  Raises HKTError naming
    the folder that is absent or laid out otherwise.
    """
    layout = choose("flow corpus", corpus, LAYOUTS)
    parts = {"training": "training"} | ({"test": layout.test} if layout.test else {})
    folder = Path(root) / layout.folder.format(part=choose(f"part of {corpus}", part, parts))
    expected = f"{layout.first}, {layout.second} with {layout.flow}"
    expected = re.sub(r"{(\w+)}", lambda word: word[1].upper(), expected)  # data/NUMBER_img1.ppm
    if not folder.is_dir():
        where = f"There is no folder {folder} for {corpus}"
        raise HKTError(f"{where}; put the data there as {expected}, or set HKT_DATA.")
    found = list(_pairs(folder, layout))
    wanted = [pair for pair in found if pair.flow or part == "test"]
    if not wanted:
        what = f"{len(found)} pairs of images but no flow" if found else "no pair of images"
        raise HKTError(f"{folder} is not laid out as {corpus}: {what}; expected is {expected}.")
    return wanted


def check(some: Iterable[Pair]) -> None:
    """Read the header and length of every file of the pairs.

    Raises HKTError naming the first that is missing, truncated or not of its pair's size.
    """
    for pair in some:
        height, width = files.size(pair.first)
        for path in filter(None, pair[3:]):
            tall, wide = files.size(path)
            if (tall, wide) != (height, width):
                sizes = f"has {wide} x {tall} pixels and {pair.first} has {width} x {height}"
                raise HKTError(f"{path} {sizes}; they are one pair, fetch or unpack both again.")


def read(pair: Pair) -> Sample:
    """The pair's contents; without a flow file nothing is valid.

    valid: KITTI's and HD1K's mask, what Sintel does not call invalid, what Middlebury knows.
    occluded: Sintel's mask, the pixels of KITTI's flow_occ that flow_noc lacks, or None.  Raises
    HKTError naming a file that is damaged or of another size.
    """
    check([pair])
    first, second = files.read_image(pair.first), files.read_image(pair.second)
    sparse = pair.flow is not None and pair.flow.suffix == ".png"  # KITTI, HD1K
    if sparse:
        flow, valid = files.read_kitti(pair.flow)
    elif pair.flow:
        flow = files.read_flo(pair.flow)
        valid = (flow.abs() < UNKNOWN).all(0)  # False for what is not a number, too
    else:
        flow, valid = torch.zeros(2, *first.shape[1:]), torch.zeros(first.shape[1:]).bool()
    occluded = None
    if pair.occlusion and sparse:
        occluded = valid & ~files.read_kitti(pair.occlusion)[1]
    elif pair.occlusion:
        occluded = files.read_mask(pair.occlusion)
    if pair.invalid:
        valid = valid & ~files.read_mask(pair.invalid)
    return Sample(first, second, torch.where(valid, flow, 0.0), valid, occluded)


def shrunk(sample: Sample, times: int) -> Sample:
    """The sample at 1/`times` of its size; rows and columns that are left over are cut off.

    A new pixel has the mean colour of the pixels under it, the mean flow of those of them whose
    flow is known, in its own pixels, and counts as occluded where one of these is.
    """
    high, wide = (side // times * times for side in sample.valid.shape)

    def mean(x: Tensor) -> Tensor:
        return F.avg_pool2d(x[None, ..., :high, :wide].float(), times)[0]

    images = (mean(image).round().to(torch.uint8) for image in sample[:2])
    known = mean(sample.valid[None])
    flow = mean(sample.flow * sample.valid) / known.clamp_min(1e-6) / times
    hidden = sample.occluded
    if hidden is not None:
        hidden = mean((hidden & sample.valid)[None])[0] > 0
    return Sample(*images, flow, known[0] > 0, hidden)


def _by_patterns(corpus: str, scenes: set[str], path: Path) -> dict[str, set[str]]:
    """Scenes of train and val by the committed patterns; without its own list train is the rest."""
    rules, key = read_json(path, "split"), corpus.split("-")[0]
    if key not in rules:
        raise HKTError(f"The split {path} says nothing about {key}; add its validation scenes.")
    found = {}
    for name, patterns in rules[key].items():
        found[name] = {scene for scene in scenes if any(fnmatch(scene, one) for one in patterns)}
    return {"train": scenes - found["val"], **found}


def _by_list(scenes: set[str], path: Path) -> dict[str, set[str]]:
    """FlyingChairs' train and val by the official list: line n for pair n."""
    lines = path.read_text(encoding="ascii", errors="replace").split()
    found = {"1": set(), "2": set()}
    for scene in sorted(scenes):
        place = int(scene) - 1
        if not 0 <= place < len(lines) or lines[place] not in found:
            what = f"no line with 1 or 2 for the pair {scene}"
            raise HKTError(f"{path} has {what}; fetch the official list, or remove it.")
        found[lines[place]].add(scene)
    return {"train": found["1"], "val": found["2"]}


def split(corpus: str, some: list[Pair], part: str, path: Path = SPLITS) -> list[Pair]:
    """The pairs of 'train' or 'val' by scenes, after the patterns in data/splits/flow.json or, for
    FlyingChairs, the official list where that lies beside its data folder.

    Raises HKTError naming a scene in both: neighbouring frames show the same things.
    """
    scenes = {pair.scene for pair in some}
    inside = _by_patterns(corpus, scenes, path)
    if corpus == "chairs" and some:
        official = some[0].first.parent.parent / CHAIRS_LIST
        if official.is_file():
            inside = _by_list(scenes, official)
    both = inside["train"] & inside["val"]
    if both:
        scene = f"Scene {min(both)!r} is in the training and in the validation split"
        raise HKTError(f"{scene}; give all its pairs to one of them.")
    wanted = choose("split", part, inside)
    return [pair for pair in some if pair.scene in wanted]


def family(corpus: str) -> str:
    """'kitti' or 'sintel': whose conventions flow of the corpus is padded and averaged by."""
    return "kitti" if corpus.startswith("kitti") else "sintel"


def pad(x: Tensor, mode: str = "sintel", least: int = 0) -> tuple[Tensor, Callable]:
    """Images (..., C, H, W) with their border repeated, and what crops a flow back to (H, W).

    Sides become multiples of 8 and at least `least` pixels, as in RAFT's InputPadder: 'sintel' adds
    rows at top and bottom, 'kitti' at the bottom; the odd column goes to the right.
    """
    height, width = x.shape[-2:]
    tall, wide = (math.ceil(max(side, least) / 8) * 8 for side in (height, width))
    left = (wide - width) // 2
    top = choose("padding", mode, {"sintel": (tall - height) // 2, "kitti": 0})
    rows = (torch.arange(tall, device=x.device) - top).clamp(0, height - 1)
    columns = (torch.arange(wide, device=x.device) - left).clamp(0, width - 1)

    def back(flow: Tensor) -> Tensor:
        return flow[..., top : top + height, left : left + width]

    return x[..., rows[:, None], columns], back
