"""Figures of the three losses: who judges, who pulls, what a step costs.  Arrays in -> (figure, alt text, table)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from ..evidence import style

TERMS = {
    "L_c": (style.CHILD, "o", r"$L_c$"),
    "L_c*": (style.INHERITED, "D", r"$L_{c^*}$"),
    "L_p*": (style.PARENT, "s", r"$L_{p^*}$"),
}
VARIANTS = (
    (style.INHERITED, "D", "-"),
    (style.PARENT, "s", "--"),
    (style.PEERS[2], "P", "-."),
    (style.PEERS[0], "^", ":"),
    (style.CHILD, "o", "-"),
)


def three_losses():
    """Two bodies, one mixture, two heads, three losses (a drawing, no data)."""
    fig, ax = style.axes(height=3.3)
    ax.set(xlim=(0, 10.2), ylim=(0.1, 4.1))
    ax.axis("off")

    def box(x, y, text, colour, width=1.7, filled=True):
        ax.add_patch(
            FancyBboxPatch(
                (x - width / 2, y - 0.3),
                width,
                0.6,
                "round,pad=0,rounding_size=0.14",
                linewidth=1.5,
                edgecolor=colour,
                facecolor=colour if filled else "white",
            )
        )
        _ = ax.text(
            x, y, text, ha="center", va="center", fontsize=10, color="white" if filled else colour
        )

    def arrow(start, end, colour, dashed=False):
        ax.add_patch(
            FancyArrowPatch(
                start,
                end,
                arrowstyle="-|>",
                mutation_scale=13,
                linewidth=1.7,
                color=colour,
                shrinkA=0,
                shrinkB=0,
                linestyle=(0, (4, 2)) if dashed else "-",
            )
        )

    box(0.75, 2.1, "images x", style.TRUTH, 1.3, False)
    box(3.0, 3.5, "parent's body", style.PARENT)
    box(3.0, 0.7, "child's body", style.CHILD)
    box(5.0, 2.1, "m", style.INHERITED, 0.8)
    box(7.2, 3.5, "parent's head", style.PARENT)
    box(7.2, 0.7, "child's head", style.CHILD)
    for y, name in ((3.5, "L_p*"), (2.1, "L_c*"), (0.7, "L_c")):
        box(9.5, y, TERMS[name][2], TERMS[name][0], 0.9, False)
    for y in (2.45, 1.75):
        arrow((1.0, y), (2.15, 3.35 if y > 2 else 0.85), style.TRUTH)
    arrow((3.85, 3.3), (4.75, 2.5), style.PARENT)
    arrow((3.85, 0.9), (4.75, 1.7), style.CHILD)
    arrow((3.85, 0.7), (6.35, 0.7), style.CHILD)
    arrow((5.3, 2.45), (6.35, 3.3), style.INHERITED)
    arrow((5.3, 1.75), (6.35, 0.9), style.INHERITED)
    arrow((8.05, 3.5), (9.05, 3.5), style.INHERITED)
    arrow((8.05, 0.9), (9.05, 1.9), style.INHERITED)
    arrow((8.05, 0.7), (9.05, 0.7), style.CHILD)
    _ = ax.text(4.42, 3.05, "p", fontsize=12, style="italic", color=style.PARENT)
    _ = ax.text(5.0, 0.82, "c", fontsize=12, style="italic", color=style.CHILD)
    rows = [
        ("L_c", "child's feature c", "child's head", "child's body and head"),
        ("L_c*", "mixture m", "child's head", "child's body and head"),
        ("L_p*", "mixture m", "parent's head, frozen", "child's body"),
    ]
    alt = (
        "A drawing. Images enter the parent's body and the child's body, which give the features p and c. Both "
        "enter the mixture m. The child's head "
        "reads c for the loss L_c and m for L_c*; the parent's frozen head reads m for L_p*. All three losses "
        "are measured against the labels."
    )
    return (
        fig,
        alt,
        pd.DataFrame(rows, columns=["loss", "what is read", "by whom", "who learns from it"]),
    )


def pulls(
    panels: Mapping[str, Mapping[str, np.ndarray]],
    towards: Mapping[str, np.ndarray],
    average: pd.DataFrame,
):
    """The pull (negative gradient with respect to c) of each loss on one feature, as arrows in a plane.

    panels {situation: {term: pull (C,)}}, towards {situation: p - c (C,)}.  Abscissa: the direction to the parent;
    ordinate: the rest of the pull of L_c.  The longest arrow of a panel has length 1.  `average`, the means over many
    images, becomes the table.
    """
    fig, axes = style.axes(1, len(panels), height=3.5, squeeze=False)
    said = []
    for ax, (name, arrows) in zip(axes[0], panels.items()):
        x = towards[name] / np.linalg.norm(towards[name])
        y = arrows["L_c"] - (arrows["L_c"] @ x) * x
        y = y / max(float(np.linalg.norm(y)), 1e-30)
        longest = max(max(float(np.linalg.norm(pull)) for pull in arrows.values()), 1e-30)
        _ = ax.axhline(0, color=style.TRUTH, linewidth=0.8)
        _ = ax.plot([-1, 1], [0, 0], linestyle="none")
        for term, pull in arrows.items():
            colour, marker, label = TERMS[term]
            tip = np.array([pull @ x, pull @ y]) / longest
            _ = ax.plot(
                [0, tip[0]],
                [0, tip[1]],
                color=colour,
                linewidth={"L_c": 4.0, "L_c*": 2.2, "L_p*": 2.2}[term],
                linestyle=(0, (4, 2)) if term == "L_c*" else "-",
                zorder=2 + len(term),
                solid_capstyle="butt",
            )
            _ = ax.plot(
                *tip,
                marker,
                color=colour,
                markersize=8,
                markeredgecolor="white",
                label=label,
                zorder=5 + len(term),
                linestyle="none",
            )
            said.append(
                f"{name}, {term}: {tip[0]:+.2f} towards the parent and {tip[1]:+.2f} across"
            )
        _ = ax.plot(0, 0, ".", color=style.TRUTH, markersize=9, zorder=9)
        _ = ax.annotate(
            "to the parent",
            (1.12, 0),
            xytext=(0, -3),
            textcoords="offset points",
            fontsize=8,
            ha="right",
            va="top",
            color=style.PARENT,
        )
        ax.set(xlim=(-1.15, 1.15), ylim=(-0.75, 1.15), aspect="equal", title=name)
        ax.set_xticks([-1, 0, 1])
        ax.set_yticks([0, 1])
    _ = fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return (
        fig,
        f"Arrows for the pull of the three losses on the child's feature. {'; '.join(said)}.",
        average,
    )


def curves(values: Mapping[str, Sequence[float]], parent: float, chance: float):
    """Validation accuracy (percent) over epochs for each variant of the objective, with parent and chance as levels."""
    fig, ax = style.axes(height=3.4)
    for (name, accuracies), (colour, marker, dash) in zip(values.items(), VARIANTS):
        _ = ax.plot(
            np.arange(1, len(accuracies) + 1),
            accuracies,
            color=colour,
            marker=marker,
            linestyle=dash,
            label=name,
            alpha=0.9,
        )
    for level, name, colour in (
        (parent, "the parent", style.PARENT),
        (chance, "chance", style.TRUTH),
    ):
        _ = ax.axhline(level, color=colour, linewidth=1.1, linestyle="--")
        _ = ax.annotate(
            name,
            (0.995, level),
            xycoords=("axes fraction", "data"),
            xytext=(0, 3),
            textcoords="offset points",
            fontsize=8.5,
            color=colour,
            ha="right",
        )
    ax.set(xlabel="epoch", ylabel="validation accuracy (%)", ylim=(0, 106))
    ax.xaxis.get_major_locator().set_params(integer=True)
    _ = fig.legend(loc="outside right upper")
    table = pd.DataFrame(
        {
            "epoch": np.arange(1, 1 + max(map(len, values.values()))),
            **{name: np.round(v, 2) for name, v in values.items()},
        }
    )
    said = "; ".join(f"{name} from {v[0]:.1f} to {v[-1]:.1f}" for name, v in values.items())
    return (
        fig,
        f"Validation accuracy in percent over {len(table)} epochs, one run each: {said}. Parent {parent:.1f}, "
        f"chance {chance:.1f}.",
        table,
    )


def judges(rows: Sequence[Mapping], chance: float):
    """Accuracy (percent) of three readers on each finished child: own head on c, own head on m, the parent's head on c.

    rows [{'objective', 'child on c', 'child on m', 'parent on c', 'share', 'cosine'}], all on validation images.
    """
    readers = {
        "child on c": (style.CHILD, "o", "child's head reads c"),
        "child on m": (style.INHERITED, "D", "child's head reads m"),
        "parent on c": (style.PARENT, "s", "parent's head reads c"),
    }
    fig, ax = style.axes(height=0.46 * len(rows) + 1.3)
    y = np.arange(len(rows))
    for k, (key, (colour, marker, label)) in enumerate(readers.items()):
        _ = ax.plot(
            [row[key] for row in rows],
            y + 0.2 * (k - 1),
            marker,
            color=colour,
            markersize=8,
            label=label,
            linestyle="none",
        )
    _ = ax.axvline(chance, color=style.TRUTH, linewidth=1, linestyle="--")
    _ = ax.annotate(
        "chance",
        (chance, -0.5),
        xytext=(3, 0),
        textcoords="offset points",
        fontsize=8.5,
        color=style.TRUTH,
        va="top",
    )
    ax.set_yticks(y, [row["objective"] for row in rows])
    ax.set(xlabel="accuracy on validation images (%)", xlim=(0, 100), ylim=(len(rows) - 0.5, -0.55))
    _ = fig.legend(loc="outside upper center", ncols=3, fontsize=9)
    said = "; ".join(
        f"{row['objective']}: {row['child on c']:.0f}, {row['child on m']:.0f} and {row['parent on c']:.0f}"
        for row in rows
    )
    alt = (
        f"Dots for {len(rows)} trained children: accuracy of the child's head on c, of the child's head on m, of "
        f"the parent's head on c. {said}."
    )
    return fig, alt, pd.DataFrame(rows).round(3)


def work(pairs: Mapping[str, Mapping[str, Mapping[str, float]]]):
    """Arithmetic of one training step in multiples of the plain child's step, split into forward and backward.

    pairs {'ResNet-20 -> ResNet-8': {'plain child': {'forward': operations, 'backward': operations}, ...}}; the step of
    the plain child is the unit.
    """
    fig, axes = style.axes(1, len(pairs), height=2.9, squeeze=False, sharey=True)
    rows = []
    for ax, (pair, steps) in zip(axes[0], pairs.items()):
        unit = sum(steps["plain child"].values())
        forward, backward = (
            np.array([step[part] / unit for step in steps.values()])
            for part in ("forward", "backward")
        )
        y = np.arange(len(steps))
        _ = ax.barh(y, forward, 0.6, color=style.PEERS[1], label="forward")
        _ = ax.barh(
            y,
            backward,
            0.6,
            left=forward,
            color=style.PEERS[2],
            hatch="///",
            edgecolor="white",
            linewidth=0,
            label="backward",
        )
        for place, total in zip(y, forward + backward):
            _ = ax.annotate(
                f"{total:.1f} ×",
                (total, place),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
            )
        ax.set_yticks(y, list(steps))
        ax.set(
            title=pair,
            xlabel="operations, plain step = 1",
            ylim=(len(steps) - 0.5, -0.5),
            xlim=(0, 1.2 * float((forward + backward).max())),
        )
        ax.grid(axis="y", visible=False)
        rows += [
            {
                "pair": pair,
                "step": name,
                "forward": forward[i],
                "backward": backward[i],
                "all": forward[i] + backward[i],
            }
            for i, name in enumerate(steps)
        ]
    _ = fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    said = "; ".join(f"{row['pair']}, {row['step']}: {row['all']:.1f} times" for row in rows)
    return (
        fig,
        f"Bars of the operations of one training step relative to the plain child's step: {said}.",
        pd.DataFrame(rows).round(2),
    )
