"""One visual language: parent blue, child vermillion, inherited green, truth grey, and the rest of
the Okabe-Ito palette for peers.

fig, ax = style.axes();  ax.plot(x, y, **style.of("HKT gate"), label="HKT gate")
"""

import base64
import io
import re
from collections import Counter
from collections.abc import Iterable
from itertools import cycle

import matplotlib

matplotlib.use("Agg", force=False)
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from ..methods import METHODS

PARENT, CHILD, INHERITED, TRUTH = "#0072B2", "#D55E00", "#009E73", "#444444"
PEERS = ("#E69F00", "#56B4E9", "#CC79A7", "#000000", "#F0E442")
CLASSES = (  # ten classes of images: none in a colour that means parent, child or inheritance
    *("#332288", "#88CCEE", "#999933", "#DDCC77", "#CC6677"),
    *("#882255", "#AA4499", "#000000", "#999999", "#8C510A"),
)
WIDTH = 7.2  # inches; the text column of the book

LOOKS = {
    "plain": (CHILD, "o", "-"),
    "plain ×3 loss": (CHILD, "^", ":"),
    "HKT gate": (INHERITED, "D", "-"),
    "HKT forward_gate": (INHERITED, "v", "--"),
    "HKT static": (INHERITED, "P", ":"),
    "HKT softmax": (INHERITED, "X", "-."),
    "HKT constant": (INHERITED, "*", "-."),
    "parent's head alone": (INHERITED, "<", "--"),
    "aligned HKT": (INHERITED, "H", "-"),
    "heir HKT": (INHERITED, "^", "-"),
    "parent's modules alone": (INHERITED, ">", "--"),
    "parent": (PARENT, "*", "-"),
}
# What a drawing does without, and a place, with more digits than a screen shows, as group 1; the
# factor in scale(0.015625) is no place.
SPARE = r"<metadata>.*?</metadata>|<!(?:DOCTYPE|--).*?>|\r|(?<=\n)\s+|(?<!scale\()(\d+\.\d{3,})"
PEER_MARKERS = ("s", "p", "h", "d", "8", "<", ">", "H", "x", "+", "1", "2", "3", "4", "|")


def use() -> None:
    """Set matplotlib's defaults for every figure of the book: opaque white, so that it reads in
    light and dark mode; same bits each time."""
    plt.rc("figure", facecolor="white", dpi=96)
    plt.rc("savefig", facecolor="white")
    plt.rc("font", size=10, family="DejaVu Sans")
    plt.rc("axes", facecolor="white", edgecolor="#555555", grid=True, axisbelow=True)
    plt.rc("axes", titlesize=10.5, titlelocation="left")
    plt.rc("axes.spines", top=False, right=False)
    plt.rc("grid", color="#E3E3E3", linewidth=0.7)
    plt.rc("legend", frameon=False)
    plt.rc("lines", linewidth=1.8, markersize=5)
    plt.rc("image", interpolation="nearest")
    plt.rc("svg", hashsalt="hkt", fonttype="path")


def figure(height: float = 3.2, width: float = WIDTH):
    """An empty figure in the book's style, for layouts of its own; sizes in inches."""
    use()
    return plt.figure(figsize=(width, height), layout="constrained")


def axes(rows: int = 1, columns: int = 1, height: float = 3.2, width: float = WIDTH, **options):
    """(figure, axes) in the book's style; sizes in inches, `options` as `Figure.subplots` has."""
    fig = figure(height, width)
    return fig, fig.subplots(rows, columns, **options)


def legend(fig, *axes, most: int = 4, grey: bool = False) -> None:
    """The legend of `axes` under the whole figure, so that it never lies on the data; `grey` where
    each of several axes has colours of its own."""
    handles = [one for ax in axes for one in ax.get_legend_handles_labels()[0]]
    look = {"loc": "outside lower left", "ncols": min(most, len(handles)), "fontsize": 8.5}
    made = fig.legend(handles, [one.get_label() for one in handles], **look)
    for sample in made.legend_handles if grey else ():
        if hasattr(sample, "set_marker"):
            sample.set(color=TRUTH, marker="", linestyle="-")
        else:
            sample.set_facecolor((TRUTH, sample.get_facecolor()[3]))


def of(label: str) -> dict:
    """Colour, marker and dash of a method's label, dotted for a variant with options.

    A peer's colour and marker follow its place among the methods; what is no method is grey.
    """
    peers = [one.title for one in METHODS.values() if one.title not in {*LOOKS, "HKT"}]
    looks = dict(LOOKS)
    for title, colour, marker in zip(peers, cycle(PEERS), cycle(PEER_MARKERS)):
        looks[title] = (colour, marker, "-.")
    label = label.removesuffix(" (control)")
    base = label.split(",")[0]
    fitting = [name for name in looks if base == name or base.startswith(f"{name} ")]
    colour, marker, dash = looks[max(fitting, key=len)] if fitting else (TRUTH, "h", "-.")
    return {"color": colour, "marker": marker, "linestyle": dash if label in looks else ":"}


def together(labels: Iterable[str]) -> dict[str, dict]:
    """The looks of lines in one figure: of variants that look alike, each further one has a dash of
    its own and open markers."""
    looks, alike = {}, Counter()
    for label in labels:
        look = of(label)
        known = tuple(look.values())
        if alike[known]:
            look |= {"linestyle": (0, (7, 1 + 2 * alike[known])), "markerfacecolor": "white"}
        alike[known] += 1
        looks[label] = look
    return looks


def svg(figure) -> str:
    """The figure as SVG text without metadata, comments and indents, places to a hundredth of a
    point, then closed: the same figure gives the same bytes, a seventh fewer than as drawn."""
    use()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg")
    plt.close(figure)

    def kept(found: re.Match) -> str:
        return f"{round(float(found[1]), 2):.6g}" if found[1] else ""

    return re.sub(SPARE, kept, buffer.getvalue().decode(), flags=re.DOTALL)


def png(pixels) -> str:
    """Pixels (H, W), (H, W, 3) or (H, W, 4), floats in [0, 1] or bytes, as the address of a small
    picture for the data of a figure that can be moved: the same pixels give the same text."""
    return _address(pixels, "png", optimize=True)


def jpeg(pixels) -> str:
    """The same for photographs and other fine textures, a sixth of the size and not exact."""
    return _address(pixels, "jpeg", quality=80)


def _address(pixels, kind: str, **options) -> str:
    pixels = np.asarray(pixels)
    if pixels.dtype != np.uint8:
        pixels = (255 * pixels.clip(0, 1)).round().astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
