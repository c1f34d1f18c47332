"""Pictures of results: intervals, curves, inheritance over training.  Each returns (figure, alternative text, table)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from . import style

QUANTILES = ("q05", "q25", "q50", "q75", "q95")


def dots(
    rows: Sequence[dict],
    axis: str,
    zero: str = "",
    references: Mapping[str, float] | None = None,
    title: str = "",
):
    """A dot and an interval for each row {label, mean, low, high}; `zero` names a line at 0, `references` other vertical lines.

    A row may lack an interval (low and high None): it is drawn as an empty dot.
    """
    fig, ax = style.axes(height=0.9 + 0.38 * max(1, len(rows)))
    for y, row in enumerate(rows):
        look = style.of(row["label"])
        whole = row["low"] is not None
        if whole:
            ax.plot([row["low"], row["high"]], [y, y], color=look["color"], linewidth=2)
        ax.plot(
            [row["mean"]],
            [y],
            color=look["color"],
            marker=look["marker"],
            linestyle="none",
            markersize=7,
            markerfacecolor=look["color"] if whole else "white",
        )
    for name, value in {**({zero: 0.0} if zero else {}), **(references or {})}.items():
        ax.axvline(value, color=style.TRUTH, linewidth=1, linestyle="--")
        ax.annotate(
            name,
            (value, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            fontsize=8.5,
            color=style.TRUTH,
            ha="center",
            annotation_clip=False,
        )
    ax.set_yticks(range(len(rows)), [row["label"] for row in rows])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(axis)
    if title:
        fig.suptitle(title, x=0.01, ha="left", fontsize=9)
    said = "; ".join(
        f"{row['label']} {row['mean']:.2f}"
        + (f" [{row['low']:.2f}, {row['high']:.2f}]" if row["low"] is not None else "")
        for row in rows
    )
    whole = any(row["low"] is not None for row in rows)
    table = pd.DataFrame(
        [
            {
                "": row["label"],
                axis: row["mean"],
                **({"low": row["low"], "high": row["high"]} if whole else {}),
            }
            for row in rows
        ]
    )
    return fig, f"Dots{' with 95 % intervals' if whole else ''}, {axis}: {said}.", table


def curves(series: Mapping[str, Sequence[Sequence[float]]], axis: str, title: str = ""):
    """One line a label through the mean over its runs, each run a sequence over epochs 1, 2, …; a band from the lowest to the highest run."""
    fig, ax = style.axes(height=3.4)
    table = {}
    for name, runs in series.items():
        values = np.array([list(run) for run in runs], dtype=float)  # (runs, epochs)
        epochs, mean = np.arange(1, values.shape[1] + 1), values.mean(0)
        ax.plot(
            epochs,
            mean,
            **style.of(name),
            label=f"{name} ({len(values)})" if len(values) > 1 else name,
            markevery=max(1, len(epochs) // 12),
        )
        if len(values) > 1:
            ax.fill_between(
                epochs,
                values.min(0),
                values.max(0),
                color=style.of(name)["color"],
                alpha=0.15,
                linewidth=0,
            )
        table[name] = pd.Series(mean, index=epochs)
    ax.set(xlabel="epoch", ylabel=axis)
    ax.xaxis.get_major_locator().set_params(integer=True)
    if title:
        fig.suptitle(title, x=0.01, ha="left", fontsize=9)
    ax.legend()
    ends = "; ".join(
        f"{name} from {line.iloc[0]:.3g} to {line.dropna().iloc[-1]:.3g}"
        for name, line in table.items()
    )
    frame = pd.DataFrame(table)
    frame.index.name = "epoch"
    return fig, f"Curves of {axis} over epochs, mean over runs: {ends}.", frame.reset_index()


def inherited(
    series: Mapping[str, Sequence[Mapping[str, float]]], axis: str, limit: float | None = None
):
    """Median, middle half and middle 90 % over images for each epoch; series: label -> one {q05, q25, q50, q75, q95} an epoch.

    `limit` draws the largest share that could be inherited.
    """
    fig, panels = style.axes(1, max(1, len(series)), height=3.1, sharey=True, squeeze=False)
    table, said = [], []
    for ax, (name, epochs) in zip(panels[0], series.items()):
        x, look = np.arange(1, len(epochs) + 1), style.of(name)
        q = {key: np.array([epoch[key] for epoch in epochs]) for key in QUANTILES}
        ax.fill_between(
            x, q["q05"], q["q95"], color=look["color"], alpha=0.15, linewidth=0, label="middle 90 %"
        )
        ax.fill_between(
            x, q["q25"], q["q75"], color=look["color"], alpha=0.3, linewidth=0, label="middle half"
        )
        ax.plot(x, q["q50"], **look, label="median", markevery=max(1, len(x) // 12))
        if limit is not None:
            ax.axhline(
                limit, color=style.TRUTH, linewidth=1, linestyle="--", label="most that is possible"
            )
        ax.set(title=name, xlabel="epoch")
        ax.xaxis.get_major_locator().set_params(integer=True)
        table += [
            {
                "method": name,
                "epoch": int(n),
                **{key: float(value[n - 1]) for key, value in q.items()},
            }
            for n in x
        ]
        said.append(
            f"{name}: median {q['q50'][0]:.3g} in epoch 1 and {q['q50'][-1]:.3g} in epoch {len(x)}, middle 90 % then from {q['q05'][-1]:.3g} "
            f"to {q['q95'][-1]:.3g}"
        )
    panels[0][0].set_ylabel(axis)
    if (
        max(epoch["q95"] for epochs in series.values() for epoch in epochs) > 2
    ):  # a short c makes the ratio large
        panels[0][0].set_yscale("symlog", linthresh=0.1)
    panels[0][0].set_ylim(bottom=0)
    panels[0][-1].legend(fontsize=8.5)
    return (
        fig,
        f"Bands of {axis} over images, epoch by epoch. {'; '.join(said)}.",
        pd.DataFrame(table),
    )
