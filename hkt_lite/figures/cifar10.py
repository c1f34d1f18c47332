"""Figures of the CIFAR-10 page: the task, the pair and its site, the child's worst mistakes.  Arrays in -> (figure, alternative text, table)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from ..evidence import style


def _tiles(count: int, columns: int, height: float):
    fig, grid = style.axes(-(-count // columns), columns, height=height, squeeze=False)
    for ax in grid.flat:
        ax.axis("off")
    return fig, grid.flat


def gallery(images: np.ndarray, labels: np.ndarray, classes: Sequence[str], each: int = 2):
    """The first `each` images of every class; images uint8 (N, 3, 32, 32), labels (N,)."""
    chosen = [np.flatnonzero(labels == k)[:each] for k in range(len(classes))]
    fig, tiles = _tiles(len(classes) * each, len(classes), 0.25 + 0.75 * each)
    for j in range(each):
        for k, name in enumerate(classes):
            ax = tiles[j * len(classes) + k]
            if j < len(chosen[k]):
                _ = ax.imshow(images[chosen[k][j]].transpose(1, 2, 0))
            if j == 0:
                ax.set_title(name, fontsize=8, loc="center")
    table = pd.DataFrame(
        {
            "class": list(classes),
            "images in this set": [int((labels == k).sum()) for k in range(len(classes))],
        }
    )
    return fig, f"{each} images of each of the {len(classes)} classes: {', '.join(classes)}.", table


def pair(parent: str, child: str, parameters: tuple[int, int], channels: int):
    """The two networks, their one site, and the two starred passes; a drawing with the networks' names and sizes."""
    fig, ax = style.axes(height=3.6)
    ax.set(xlim=(-0.2, 12), ylim=(-0.3, 5.2))
    ax.axis("off")
    ax.grid(visible=False)
    stages = ("images", "stem", "stage 1", "stage 2", "stage 3", "pooling", "head")
    centres = (0.6, 2.2, 3.8, 5.4, 7.0, 8.6, 11.2)
    for y, name, size, colour in (
        (4.1, parent, parameters[0], style.PARENT),
        (0.9, child, parameters[1], style.CHILD),
    ):
        _ = ax.text(
            2.2,
            y + 0.62,
            f"{name}, {size:,} parameters",
            color=colour,
            fontsize=9.5,
            weight="bold",
            ha="left",
        )
        for x, text in zip(centres, stages):
            _box(
                ax,
                x,
                y,
                text,
                style.TRUTH if text == "images" else colour,
                filled=text == "pooling",
            )
        for a, b in zip(centres, centres[1:]):
            _arrow(ax, (a + 0.66, y), (b - 0.66, y), colour)
    _box(ax, 9.4, 2.5, "mixture m", style.INHERITED, filled=True)
    _arrow(ax, (8.6, 3.7), (9.2, 2.9), style.PARENT)
    _arrow(ax, (8.6, 1.3), (9.2, 2.1), style.CHILD)
    _arrow(ax, (9.95, 2.9), (11.0, 3.7), style.INHERITED)
    _arrow(ax, (9.95, 2.1), (11.0, 1.3), style.INHERITED)
    for y, text, colour in (
        (4.72, r"$L_{p^*}$", style.INHERITED),
        (1.52, r"$L_{c^*}$", style.INHERITED),
        (0.28, r"$L_c$", style.CHILD),
    ):
        _ = ax.text(11.2, y, text, color=colour, ha="center", va="center")
    _ = ax.text(8.75, 3.2, "p", color=style.PARENT, ha="right", va="center")
    _ = ax.text(8.75, 1.8, "c", color=style.CHILD, ha="right", va="center")
    alt = (
        f"Two rows of boxes. Above, the parent {parent} with {parameters[0]:,} parameters; below, the child {child} with {parameters[1]:,}: "
        f"images, stem, three stages, pooling, head. From both poolings an arrow leads to the mixture m of {channels} channels, and from it one "
        "arrow to each head."
    )
    table = pd.DataFrame(
        {
            "network": [parent, child],
            "role": ["parent, frozen, discarded after training", "child, trained and kept"],
            "parameters": list(parameters),
            "channels at the site": [channels, channels],
        }
    )
    return fig, alt, table


def _box(ax, x: float, y: float, text: str, colour: str, filled: bool = False) -> None:
    ax.add_patch(
        FancyBboxPatch(
            (x - 0.62, y - 0.32),
            1.24,
            0.64,
            "round,pad=0,rounding_size=0.12",
            linewidth=1.5,
            edgecolor=colour,
            facecolor=colour if filled else "white",
        )
    )
    _ = ax.text(
        x, y, text, ha="center", va="center", fontsize=8.5, color="white" if filled else colour
    )


def _arrow(ax, start, end, colour: str) -> None:
    ax.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            mutation_scale=10,
            linewidth=1.4,
            color=colour,
            shrinkA=0,
            shrinkB=0,
        )
    )


def worst(
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
    count: int = 10,
):
    """The images whose true class the child finds least likely, worst first; probabilities (N, K) of images uint8 (N, 3, 32, 32)."""
    truth = probabilities[np.arange(len(labels)), labels]
    order = np.argsort(truth, kind="stable")[:count]
    fig, tiles = _tiles(count, 5, 1.75 * -(-count // 5))
    rows = []
    for ax, i in zip(tiles, order):
        said = int(probabilities[i].argmax())
        _ = ax.imshow(images[i].transpose(1, 2, 0))
        ax.set_title(f"{classes[labels[i]]}\nsaid: {classes[said]}", fontsize=8, loc="center")
        rows.append(
            {
                "image": int(i),
                "truth": classes[labels[i]],
                "said": classes[said],
                "probability of what was said": float(probabilities[i, said]),
                "probability of the truth": float(truth[i]),
            }
        )
    confused = "; ".join(f"{row['truth']} taken for {row['said']}" for row in rows)
    return (
        fig,
        f"The {count} images whose true class the child finds least likely, worst first: {confused}.",
        pd.DataFrame(rows).round(4),
    )
