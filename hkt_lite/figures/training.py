"""What a parent offers, and which part of a loss looks at what.  Each returns (figure, alternative text, table)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from ..evidence import style

KD = style.of("KD")["color"]


def _box(
    ax, x: float, y: float, text: str, colour: str, width: float = 1.5, filled: bool = True
) -> None:
    ax.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - 0.27),
            width,
            0.54,
            "round,pad=0,rounding_size=0.12",
            linewidth=1.5,
            edgecolor=colour,
            facecolor=colour if filled else "white",
        )
    )
    _ = ax.text(
        x, y, text, ha="center", va="center", fontsize=9, color="white" if filled else colour
    )


def _arrow(ax, start, end, colour: str) -> None:
    ax.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            mutation_scale=12,
            linewidth=1.6,
            color=colour,
            shrinkA=0,
            shrinkB=0,
        )
    )


def three_ways():
    """The three ways to train one child: alone, by distillation, by inheritance (a drawing, no data)."""
    fig, axes = style.axes(1, 3, height=2.9)
    for ax, title in zip(axes, ("alone", "distillation", "inheritance")):
        ax.set(xlim=(0, 4.5), ylim=(0.3, 3.95), title=title)
        ax.axis("off")
        _box(ax, 0.95, 0.7, "images", style.TRUTH, 1.3, filled=False)
        _box(ax, 0.95, 2.0, "child", style.CHILD, 1.3)
        _arrow(ax, (0.95, 0.97), (0.95, 1.73), style.TRUTH)
    alone, taught, born = axes
    for ax in axes:
        _box(ax, 3.6, 0.7, "labels", style.TRUTH, 1.5, filled=False)
        _box(ax, 3.6, 2.0, "$L_c$", style.CHILD, 1.0, filled=False)
        _arrow(ax, (1.6, 2.0), (3.1, 2.0), style.CHILD)
        _arrow(ax, (3.6, 0.97), (3.6, 1.73), style.TRUTH)
    for ax in (taught, born):
        _box(ax, 0.95, 3.5, "parent", style.PARENT, 1.3)
        _ = ax.plot([0.3, 0.1, 0.1], [0.7, 0.7, 3.5], color=style.TRUTH, linewidth=1.6)
        _arrow(ax, (0.1, 3.5), (0.3, 3.5), style.TRUTH)
    _box(taught, 3.6, 3.5, "$L_{kd}$", KD, 1.0, filled=False)
    _arrow(taught, (1.6, 3.5), (3.1, 3.5), style.PARENT)
    _arrow(taught, (1.5, 2.27), (3.1, 3.3), style.CHILD)
    _ = taught.text(2.35, 3.66, "soft outputs", ha="center", fontsize=8, color=style.PARENT)
    _box(born, 2.25, 2.75, "m", style.INHERITED, 0.5)
    _box(born, 3.6, 2.75, r"$L_{c^*}$", style.INHERITED, 1.0, filled=False)
    _box(born, 3.6, 3.5, r"$L_{p^*}$", style.INHERITED, 1.0, filled=False)
    _arrow(born, (1.5, 3.23), (2.05, 3.02), style.PARENT)
    _arrow(born, (1.5, 2.27), (2.05, 2.5), style.CHILD)
    _arrow(born, (2.5, 2.75), (3.1, 2.75), style.INHERITED)
    _arrow(born, (2.5, 2.95), (3.1, 3.4), style.INHERITED)
    _ = born.plot([4.33, 4.33], [0.92, 3.5], color=style.TRUTH, linewidth=1.6)
    for height in (2.75, 3.5):
        _arrow(born, (4.33, height), (4.1, height), style.TRUTH)
    _ = born.text(1.08, 2.85, "inner features", ha="center", fontsize=8, color=style.PARENT)
    rows = [
        ("alone", "L_c", "child's output", "labels"),
        ("distillation", "L_c", "child's output", "labels"),
        ("distillation", "L_kd", "child's output", "parent's soft outputs"),
        ("inheritance", "L_c", "child's output", "labels"),
        ("inheritance", "L_c*", "child's head on the mixture m", "labels"),
        ("inheritance", "L_p*", "parent's head on the mixture m", "labels"),
    ]
    alt = (
        "Three drawings of one child. Alone: its output is compared with the labels. Distillation: its output is "
        "compared with the labels and, in a second term, with the parent's soft outputs. Inheritance: the inner "
        "features of child and parent are joined in a mixture m; the child's output, the child's head on m and the "
        "parent's head on m are all compared with the labels."
    )
    return fig, alt, pd.DataFrame(rows, columns=["way", "term", "what is judged", "judged against"])


def soft_outputs(
    images: np.ndarray,
    soft: Mapping[float, np.ndarray],
    labels: Sequence[int],
    classes: Sequence[str],
):
    """A row of images over the parent's class probabilities.

    images uint8 (n, 32, 32, 3); soft {temperature: probabilities (n, K)}; labels (n,) indices into the K `classes`.
    """
    n, k, shades = len(images), len(classes), (0.95, 0.4, 0.65)
    fig, axes = style.axes(2, n, height=4.4, height_ratios=(1, 2), sharey="row", squeeze=False)
    for i, (top, low) in enumerate(axes.T):
        _ = top.imshow(images[i], interpolation="nearest")
        top.set(xticks=[], yticks=[])
        top.set_title(f"label: {classes[labels[i]]}", fontsize=9, color=style.TRUTH)
        for j, (temperature, probabilities) in enumerate(soft.items()):
            height = 0.8 / len(soft)
            _ = low.barh(
                np.arange(k) + (j - (len(soft) - 1) / 2) * height,
                probabilities[i],
                height,
                color=style.PARENT,
                alpha=shades[j % 3],
                hatch=("", "////")[j % 2],
                edgecolor="white",
                linewidth=0.3,
                label=f"τ = {temperature:g}",
            )
        low.set(xlim=(0, 1), xlabel="probability", xticks=(0, 0.5, 1))
        _ = low.axhline(labels[i], color=style.TRUTH, linewidth=0.8, linestyle=":", zorder=0)
    axes[1, 0].set_yticks(range(k), classes)
    axes[1, 0].invert_yaxis()
    _ = fig.legend(
        *axes[1, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(soft)
    )
    rows = [
        {
            "image": i + 1,
            "label": classes[labels[i]],
            "temperature": temperature,
            **dict(zip(classes, p[i].round(3))),
        }
        for i in range(n)
        for temperature, p in soft.items()
    ]
    first = next(iter(soft.values()))
    said = "; ".join(
        f"image {i + 1}, labelled {classes[labels[i]]}, is called {classes[int(first[i].argmax())]} "
        f"with {first[i].max():.0%}"
        for i in range(n)
    )
    temperatures = " and ".join(f"{temperature:g}" for temperature in soft)
    alt = f"{n} images above the parent's probabilities for {k} classes at temperatures {temperatures}: {said}."
    return fig, alt, pd.DataFrame(rows)


def stripes(features: Mapping[str, np.ndarray], labels: np.ndarray, classes: Sequence[str]):
    """Pooled features as stripes, one row an image (sorted by class), one column a channel.

    features {'parent': (n, C), 'child': (n, C)}, each divided by its own largest value; the table holds mean cosines.
    """
    order = np.argsort(labels, kind="stable")
    sorted_labels = np.asarray(labels)[order]
    fig, axes = style.axes(1, len(features), height=3.7, sharey=True, squeeze=False)
    rows, said = [], []
    for ax, (name, values) in zip(axes[0], features.items()):
        colour = {"parent": style.PARENT}.get(name, style.CHILD)
        _ = ax.imshow(
            values[order] / np.abs(values).max(),
            aspect="auto",
            interpolation="nearest",
            vmin=0,
            vmax=1,
            cmap=LinearSegmentedColormap.from_list(name, ["white", colour]),
        )
        ax.set(title=f"{name}'s pooled feature", xlabel="channel")
        for edge in np.flatnonzero(np.diff(sorted_labels)) + 0.5:
            _ = ax.axhline(edge, color=style.TRUTH, linewidth=0.4)
        unit = values / np.linalg.norm(values, axis=1, keepdims=True).clip(1e-12)
        cosine, same = unit @ unit.T, np.equal.outer(labels, labels)
        within, between = (
            cosine[same & ~np.eye(len(labels), dtype=bool)].mean(),
            cosine[~same].mean(),
        )
        rows.append(
            {
                "network": name,
                "cosine within a class": within.round(3),
                "cosine between classes": between.round(3),
            }
        )
        said.append(f"{name}: mean cosine {within:.2f} within a class and {between:.2f} between")
    present, starts = np.unique(sorted_labels, return_index=True)
    ends = np.append(starts[1:], len(labels))
    axes[0, 0].set_yticks((starts + ends - 1) / 2, [classes[c] for c in present])
    alt = (
        f"Stripes of {len(labels)} images sorted by class against {values.shape[1]} channels, "
        f"for {' and '.join(features)}. {'; '.join(said)}."
    )
    return fig, alt, pd.DataFrame(rows)


def dependence(changes: Mapping[str, tuple[float, float]]):
    """How far each loss term's gradient moves when the labels, or the parent's answers, are exchanged between images.

    changes {term: (relative change for labels, for the parent)}; 0 = the term does not look at it.
    """
    fig, ax = style.axes(height=0.4 * len(changes) + 1.2)
    y = np.arange(len(changes))
    labels, parent = np.array(list(changes.values())).T
    _ = ax.hlines(y, 0, np.maximum(labels, parent), color="#CCCCCC", linewidth=1, zorder=1)
    _ = ax.scatter(
        labels, y - 0.1, color=style.TRUTH, marker="s", s=45, label="labels exchanged", zorder=3
    )
    _ = ax.scatter(
        parent,
        y + 0.1,
        color=style.PARENT,
        marker="D",
        s=45,
        label="parent's answers exchanged",
        zorder=3,
    )
    ax.set_yticks(y, list(changes))
    ax.set_xlabel(r"relative change of the gradient, $\|\nabla' - \nabla\| / \|\nabla\|$")
    ax.set(ylim=(len(changes) - 0.5, -0.5), xlim=(-0.04 * ax.get_xlim()[1], None))
    _ = fig.legend(loc="outside upper center", ncols=2)
    blind = [
        ", ".join(term for term, change in changes.items() if change[k] == 0) or "none"
        for k in (0, 1)
    ]
    alt = (
        f"Dots for {len(changes)} loss terms: how far the child's gradient moves when labels or parent answers are "
        f"exchanged between images. Untouched by the labels: {blind[0]}; untouched by the parent: {blind[1]}."
    )
    table = {
        "term": list(changes),
        "labels exchanged": labels.round(3),
        "parent exchanged": parent.round(3),
    }
    return fig, alt, pd.DataFrame(table)
