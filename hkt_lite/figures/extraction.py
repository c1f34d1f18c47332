"""What a network knows at which depth, its channels, what drifts.  Each returns (figure, alternative text, table)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ..evidence import style

STYLES = (
    (style.PARENT, "o", "-"),
    (style.TRUTH, "s", "--"),
    (style.PEERS[0], "^", "-."),
    (style.PEERS[2], "v", ":"),
)


def depth(
    places: Sequence[str], accuracy: Mapping[str, Sequence[float]], head: float, chance: float
):
    """Accuracy (percent) of a linear probe after every place of a network, from its input to its pooled feature.

    accuracy {network: one number a place}; `head` is the accuracy of the trained network's own output.
    """
    fig, ax = style.axes(height=3.8)
    x = np.arange(len(places))
    for (name, values), (colour, marker, dash) in zip(accuracy.items(), STYLES):
        _ = ax.plot(x, values, color=colour, marker=marker, linestyle=dash, label=name)
    _ = ax.axhline(
        head, color=style.PARENT, linewidth=1.2, linestyle=":", label="the parent's own head"
    )
    _ = ax.axhline(chance, color=style.TRUTH, linewidth=1.2, linestyle=":", label="chance")
    ax.set_xticks(x, places, rotation=40, ha="right")
    ax.set(ylabel="accuracy of a linear probe (%)", ylim=(0, 100))
    _ = fig.legend(loc="outside upper center", ncols=4, fontsize=8.5)
    said = "; ".join(
        f"{name} from {values[0]:.0f} at {places[0]} to {values[-1]:.0f} at {places[-1]}"
        for name, values in accuracy.items()
    )
    alt = (
        f"Probe accuracy in percent at {len(places)} places of increasing depth: {said}. "
        f"The parent's own head reaches {head:.0f}, chance is {chance:.0f}."
    )
    return (
        fig,
        alt,
        pd.DataFrame(
            {"place": places, **{name: np.round(values, 1) for name, values in accuracy.items()}}
        ),
    )


def mosaic(image: np.ndarray, maps: Mapping[str, np.ndarray]):
    """One image and, side by side, all channels of its feature at each place, every channel scaled to its own maximum.

    image uint8 (H, W, 3); maps {place: (C, h, w), non-negative}.
    """
    fig, axes = style.axes(1, 1 + len(maps), height=2.6, width_ratios=[0.5, *[1] * len(maps)])
    _ = axes[0].imshow(image, interpolation="nearest")
    axes[0].set(title="image", xticks=[], yticks=[])
    for ax, (place, channels) in zip(axes[1:], maps.items()):
        c, h, w = channels.shape
        columns, gap = math.ceil(math.sqrt(c)), max(1, h // 8)
        rows = -(-c // columns)
        sheet = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap), np.nan)
        for k, channel in enumerate(channels):
            top, left = (k // columns) * (h + gap), (k % columns) * (w + gap)
            sheet[top : top + h, left : left + w] = channel / max(float(channel.max()), 1e-12)
        _ = ax.imshow(sheet, cmap="cividis", interpolation="nearest", vmin=0, vmax=1)
        ax.set(title=f"{place}\n{c} channels, {h} x {w}", xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    rows = [
        {
            "place": place,
            "channels": len(m),
            "height": m.shape[1],
            "width": m.shape[2],
            "silent channels": int((m.max((1, 2)) <= 0).sum()),
            "positions above 0 (%)": round(100 * float((m > 0).mean())),
        }
        for place, m in maps.items()
    ]
    said = "; ".join(
        "{place}: {channels} channels of {height} by {width}, {silent channels} silent".format(
            **row
        )
        for row in rows
    )
    return fig, f"An image and mosaics of the parent's channels. {said}.", pd.DataFrame(rows)


def drift(accuracy: Mapping[str, Sequence[float]]):
    """Accuracy (percent) of a network that nobody trains after 0, 1, … batches passed through it, one line a mode."""
    fig, ax = style.axes(height=3.4)
    for (name, values), (colour, marker, dash) in zip(accuracy.items(), STYLES):
        _ = ax.plot(
            np.arange(len(values)), values, color=colour, marker=marker, linestyle=dash, label=name
        )
    lowest = min(map(min, accuracy.values()))
    ax.set(xlabel="batches that have passed through the parent", ylabel="the parent's accuracy (%)")
    ax.set_ylim(max(0, lowest - 10), 101)
    ax.xaxis.get_major_locator().set_params(integer=True)
    _ = fig.legend(loc="outside upper center", ncols=4, fontsize=8.5)
    table = pd.DataFrame({name: np.round(values, 1) for name, values in accuracy.items()})
    table = table.rename_axis("batches").reset_index()
    said = "; ".join(
        f"{name}: {values[0]:.1f} before, between {min(values):.1f} and {max(values):.1f} after"
        for name, values in accuracy.items()
    )
    return (
        fig,
        f"The parent's accuracy in percent as batches pass through it, its weights unchanged. {said}.",
        table,
    )
