"""One visual language: parent blue, child vermillion, inherited green, truth grey, peers in the rest of the Okabe-Ito palette.

style.use();  fig, ax = style.axes();  ax.plot(x, y, **style.of("HKT gate"), label="HKT gate")
"""

from __future__ import annotations

import io

import matplotlib

matplotlib.use("Agg", force=False)
import matplotlib.pyplot as plt

PARENT, CHILD, INHERITED, TRUTH = "#0072B2", "#D55E00", "#009E73", "#444444"
PEERS = ("#E69F00", "#56B4E9", "#CC79A7", "#000000", "#F0E442")
WIDTH = 7.2  # inches; the text column of the book

_METHODS = {
    "plain": (CHILD, "o", "-"),
    "plain ×3 loss": (CHILD, "^", ":"),
    "KD": (PEERS[0], "s", "-."),
    "HKT gate": (INHERITED, "D", "-"),
    "HKT forward_gate": (INHERITED, "v", "--"),
    "HKT static": (INHERITED, "P", ":"),
    "HKT softmax": (INHERITED, "X", "-."),
    "FitNet": (PEERS[1], "p", "-."),
    "AT": (PEERS[2], "h", "-."),
    "parent": (PARENT, "*", "-"),
}


def use() -> None:
    """Set matplotlib's defaults for every figure of the book: opaque white, so that it reads in light and dark mode; same bits each time."""
    plt.rcParams.update(
        {
            "figure.facecolor": "white",
            "axes.facecolor": "white",
            "savefig.facecolor": "white",
            "figure.dpi": 96,
            "font.size": 10,
            "font.family": "DejaVu Sans",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": 10.5,
            "axes.titlelocation": "left",
            "axes.grid": True,
            "grid.color": "#E3E3E3",
            "grid.linewidth": 0.7,
            "axes.axisbelow": True,
            "axes.edgecolor": "#555555",
            "legend.frameon": False,
            "lines.linewidth": 1.8,
            "lines.markersize": 5,
            "image.interpolation": "nearest",
            "svg.hashsalt": "hkt",
            "svg.fonttype": "path",
        }
    )


def axes(rows: int = 1, columns: int = 1, height: float = 3.2, width: float = WIDTH, **options):
    """(figure, axes) in the book's style; height in inches."""
    use()
    return plt.subplots(rows, columns, figsize=(width, height), layout="constrained", **options)


def of(label: str) -> dict:
    """Colour, marker and dash of a method's label; a method without a place of its own gets a peer's colour by its name."""
    label = label.removesuffix(" (control)")
    base = label.split(",")[0]
    colour, marker, dash = _METHODS.get(
        base, (PEERS[1 + sum(map(ord, base)) % (len(PEERS) - 2)], "h", (0, (3, 1, 1, 1)))
    )
    return {"color": colour, "marker": marker, "linestyle": dash if base == label else ":"}


def svg(figure) -> str:
    """The figure as SVG text without date or software version, then closed: the same figure gives the same bytes."""
    use()
    buffer = io.BytesIO()
    figure.savefig(
        buffer, format="svg", metadata={"Date": None, "Creator": None}, facecolor="white"
    )
    plt.close(figure)
    return buffer.getvalue().decode().replace("\r\n", "\n")
