"""What survives when a wide feature is made narrow or a map small.  Each returns (figure, alternative text, table)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ..evidence import style

STYLES = (
    (style.INHERITED, "o", "-"),
    (style.PEERS[0], "s", "--"),
    (style.PEERS[2], "^", "-."),
    (style.TRUTH, "v", ":"),
)
COLOURS = (
    *style.PEERS,
    style.PARENT,
    style.CHILD,
    style.INHERITED,
    "#999999",
    "#8C510A",
)  # of ten classes
MARKERS = "os^vDP*Xph"


def plane(points: np.ndarray, labels: np.ndarray, classes: Sequence[str], share: np.ndarray):
    """Features in their first two principal directions (left), the variance that the first k directions hold (right).

    points (n, 2); labels (n,); share (C,) cumulative, in 0 … 1.
    """
    fig, (left, right) = style.axes(1, 2, height=3.7, width_ratios=(1.25, 1))
    for k, name in enumerate(classes):
        mine = points[labels == k]
        _ = left.scatter(
            *mine.T,
            s=16,
            color=COLOURS[k % 10],
            marker=MARKERS[k % 10],
            linewidths=0,
            alpha=0.8,
            label=name,
        )
    left.set(xlabel="first principal direction", ylabel="second principal direction")
    _ = fig.legend(
        fontsize=8, ncols=5, loc="outside lower center", handletextpad=0.1, columnspacing=0.9
    )
    bend = len(classes) - 1
    _ = right.plot(np.arange(1, len(share) + 1), 100 * share, color=style.PARENT, marker=".")
    _ = right.axvline(bend, color=style.TRUTH, linestyle=":", linewidth=1.2)
    _ = right.annotate(
        f"classes - 1 = {bend}",
        (bend, 4),
        (5, 0),
        textcoords="offset points",
        fontsize=8.5,
        color=style.TRUTH,
    )
    right.set(xlabel="directions kept", ylabel="variance kept (%)", ylim=(0, 103))
    steps = np.unique(np.r_[2 ** np.arange(int(np.log2(len(share))) + 1), bend])
    table = pd.DataFrame(
        {"directions kept": steps, "variance kept (%)": (100 * share[steps - 1]).round(1)}
    )
    alt = (
        f"Left: {len(points)} images of {len(classes)} classes in the plane of the parent's first two principal "
        f"directions. Right: the first two directions hold {share[1]:.0%} of the variance, the first {bend} hold "
        f"{share[bend - 1]:.0%}."
    )
    return fig, alt, table


def widths(
    widths: Sequence[int],
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    levels: Mapping[str, float],
    chance: float,
):
    """Accuracy (percent) against the width a feature is squeezed to; one panel a question, one line a kind of Transfer.

    panels {title: {kind: one number a width}}; levels {title: accuracy without any squeezing}.
    """
    fig, axes = style.axes(1, len(panels), height=3.5, sharey=True, squeeze=False)
    for ax, (title, lines) in zip(axes[0], panels.items()):
        for (kind, values), (colour, marker, dash) in zip(lines.items(), STYLES):
            _ = ax.plot(widths, values, color=colour, marker=marker, linestyle=dash, label=kind)
        _ = ax.axhline(levels[title], color=style.PARENT, linestyle=":", linewidth=1.2)
        _ = ax.annotate(
            "unsqueezed",
            (0.02, levels[title]),
            (0, 3),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            fontsize=8.5,
            color=style.PARENT,
        )
        _ = ax.axhline(chance, color=style.TRUTH, linestyle=":", linewidth=1.2)
        ax.set_xscale("log", base=2)
        ax.set_xticks(widths, [str(width) for width in widths], minor=False)
        ax.minorticks_off()
        ax.set(title=title, xlabel="width k of the child's feature (channels)", ylim=(0, 108))
    axes[0, 0].set_ylabel("accuracy (%)")
    handles = max(
        (ax.get_legend_handles_labels() for ax in axes[0]), key=lambda found: len(found[0])
    )
    _ = fig.legend(*handles, loc="outside lower center", ncols=len(handles[0]), fontsize=8.5)
    named = {
        (title, kind): values for title, lines in panels.items() for kind, values in lines.items()
    }
    said = "; ".join(
        f"{title}, {kind}, from {values[0]:.0f} to {values[-1]:.0f} (unsqueezed {levels[title]:.0f})"
        for (title, kind), values in named.items()
    )
    columns = {f"{title}: {kind}": np.round(values, 1) for (title, kind), values in named.items()}
    alt = f"Accuracy in percent against widths {widths[0]} to {widths[-1]}: {said}."
    return fig, alt, pd.DataFrame({"width": list(widths), **columns})


def resized(
    maps: Mapping[str, np.ndarray],
    sizes: Sequence[int],
    accuracy: Sequence[float],
    error: Sequence[float],
):
    """One channel through smaller resolutions and back (top), what the parent makes of all channels then (bottom).

    maps {title: (h, w)}; accuracy (percent) and relative error, one number for each of the `sizes` (positions a side).
    """
    style.use()
    fig = plt.figure(figsize=(style.WIDTH, 4.6), layout="constrained")
    top, low = fig.subfigures(2, 1, height_ratios=(1, 1.25))
    highest = max(float(channel.max()) for channel in maps.values())
    for ax, (title, channel) in zip(top.subplots(1, len(maps), squeeze=False)[0], maps.items()):
        _ = ax.imshow(channel, cmap="cividis", interpolation="nearest", vmin=0, vmax=highest)
        ax.set(xticks=[], yticks=[])
        ax.set_title(title, fontsize=9)
    left, right = low.subplots(1, 2)
    x = np.arange(len(sizes))
    for ax, values, colour, marker, label in (
        (left, accuracy, style.PARENT, "o", "the parent's accuracy (%)"),
        (right, error, style.INHERITED, "s", "relative error of the map"),
    ):
        _ = ax.plot(x, values, color=colour, marker=marker)
        ax.set_xticks(x, [f"{size} x {size}" for size in sizes])
        ax.set(xlabel="resolution on the way", ylabel=label)
    left.set_ylim(0, 100)
    right.set_ylim(0, None)
    said = "; ".join(
        f"{n} by {n}: accuracy {a:.0f} percent, error {e:.2f}"
        for n, a, e in zip(sizes, accuracy, error)
    )
    table = pd.DataFrame(
        {
            "positions a side": list(sizes),
            "parent's accuracy (%)": np.round(accuracy, 1),
            "relative error": np.round(error, 3),
        }
    )
    return fig, f"A channel resized and resized back, and what remains. {said}.", table
