"""Pictures that several pages share: intervals, curves, bands over training.

Each function returns (figure, alternative text, table of its numbers), as `show.figure` takes them.
"""

import re
from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from ..runs.records import QUANTILES
from . import style

LOSS = re.compile(r"\bL_|\bloss\b")  # in an axis that says what is drawn


def dots(rows: Sequence[dict], axis: str, zero: str = "", title: str = ""):
    """A dot and an interval for each row {label, mean, low, high}; `zero` names a line at 0.

    A row may lack an interval (low and high None): it is drawn as an empty dot.
    """
    names = [fill(row["label"], 44) for row in rows]  # a long one takes two lines, not the axis
    longest = max((len(line) for name in names for line in name.splitlines()), default=0)
    fig, ax = style.axes(height=0.9 + 0.38 * max(1, len(rows)))
    said = []
    for y, row in enumerate(rows):
        look, low, high = style.of(row["label"]), row["low"], row["high"]
        inside, text = "white", f"{row['label']} {row['mean']:.2f}"
        if low is not None:
            ax.plot([low, high], [y, y], color=look["color"], linewidth=2)
            inside, text = look["color"], f"{text} [{low:.2f}, {high:.2f}]"
        look["linestyle"] = ""
        ax.plot([row["mean"]], [y], **look, markersize=7, markerfacecolor=inside)
        said.append(text)
    if zero:
        place = {"xycoords": ("data", "axes fraction"), "xytext": (0, 3), "ha": "center"}
        look = {"fontsize": 8.5, "color": style.TRUTH, "annotation_clip": False}
        ax.axvline(0, color=style.TRUTH, linewidth=1, linestyle="--")
        ax.annotate(zero, (0, 1), textcoords="offset points", **place, **look)
    ax.set_yticks(range(len(rows)), names, fontsize=8.5 if longest > 30 else None)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(fill(axis, max(24, 80 - longest)))
    ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))  # else they run together
    _title(fig, title)
    table, what = pd.DataFrame(rows, columns=["label", "mean", "low", "high"]), "Dots"
    if table["low"].notna().any():
        what += " with 95 % intervals"
    else:
        table = table.drop(columns=["low", "high"])
    alt = f"{what}, {axis}: {'; '.join(said)}."
    return fig, alt, table.rename(columns={"label": "", "mean": axis})


def _title(fig, title: str) -> None:
    if title:
        fig.suptitle(fill(title, 110), x=0.01, ha="left", fontsize=9)


def curves(series: Mapping[str, Sequence[Sequence[float]]], axis: str, title: str = ""):
    """One line a label through the mean over its runs, each run a sequence over epochs 1, 2, …; a
    band from the lowest to the highest run.

    Losses that span more than a factor of ten are drawn on a logarithmic axis: on a linear one
    all that are small would be one line."""
    fig, ax = style.axes(height=3.4)
    table, said, looks = {}, [], style.together(series)
    for name, runs in series.items():
        values = np.array([list(run) for run in runs], dtype=float)  # (runs, epochs)
        epochs, mean = np.arange(1, values.shape[1] + 1), values.mean(0)
        look, several = looks[name], len(values) > 1
        label = f"{name} ({len(values)})" if several else name
        ax.plot(epochs, mean, **look, label=label, markevery=max(1, len(epochs) // 12))
        if several:
            low, high = values.min(0), values.max(0)
            ax.fill_between(epochs, low, high, color=look["color"], alpha=0.15, linewidth=0)
        table[name] = pd.Series(mean, index=epochs)
        last = table[name].dropna().iloc[-1]
        said.append(f"{name} from {mean[0]:.3g} to {last:.3g}")
    ax.set(xlabel="epoch", ylabel=axis)
    ax.xaxis.get_major_locator().set_params(integer=True)
    frame = pd.DataFrame(table)
    if LOSS.search(axis) and 0 < 10 * frame.min(axis=None) < frame.max(axis=None):
        ax.set_yscale("log")
    _title(fig, title)
    style.legend(fig, ax, most=3)
    frame.index.name = "epoch"
    alt = f"Curves of {axis} over epochs, mean over runs: {'; '.join(said)}."
    return fig, alt, frame.reset_index()


def inherited(series: Mapping[str, Sequence[Mapping[str, float]]], axis: str):
    """Median, middle half and middle 90 % over images for each epoch; series: label -> one
    {q05, q25, q50, q75, q95} an epoch."""
    fig, panels = style.axes(1, max(1, len(series)), height=3.1, sharey=True, squeeze=False)
    table, said = [], []
    for ax, (name, epochs) in zip(panels[0], series.items()):
        q = {key: np.array([epoch[key] for epoch in epochs]) for key in QUANTILES}
        _bands(ax, name, q)
        for n, epoch in enumerate(epochs, 1):
            numbers = {key: float(epoch[key]) for key in QUANTILES}
            table.append({"method": name, "epoch": n, **numbers})
        said.append(
            f"{name}: median {q['q50'][0]:.3g} in epoch 1 and {q['q50'][-1]:.3g} in epoch "
            f"{len(epochs)}, middle 90 % then from {q['q05'][-1]:.3g} to {q['q95'][-1]:.3g}"
        )
    first = panels[0][0]
    first.set_ylabel(axis)
    # a short c makes the displacement large
    if max(epoch["q95"] for epochs in series.values() for epoch in epochs) > 2:
        first.set_yscale("symlog", linthresh=0.1)
        first.yaxis.get_major_locator().set_params(numticks=6)
    first.set_ylim(bottom=0)
    style.legend(fig, panels[0][-1], grey=True)
    alt = f"Bands of {axis} over images, epoch by epoch. {'; '.join(said)}."
    return fig, alt, pd.DataFrame(table)


def _bands(ax, name: str, q: Mapping[str, np.ndarray]) -> None:
    x, look = np.arange(1, len(q["q50"]) + 1), style.of(name)
    band = {"color": look["color"], "linewidth": 0}
    ax.fill_between(x, q["q05"], q["q95"], alpha=0.15, label="middle 90 %", **band)
    ax.fill_between(x, q["q25"], q["q75"], alpha=0.3, label="middle half", **band)
    ax.plot(x, q["q50"], **look, label="median", markevery=max(1, len(x) // 12))
    ax.set(title=fill(name, 72 // max(3, len(ax.figure.axes))), xlabel="epoch")
    ax.xaxis.get_major_locator().set_params(integer=True)


def replay(movie: Mapping[str, Mapping[str, Sequence]], plain: Sequence[float], axis: str):
    """For each run its losses L_c, L_c*, L_p* over epochs and below them its `accuracy` beside
    `plain`'s; a diamond in each epoch in which the parent `answers`."""
    fig, grid = style.axes(2, len(movie), height=4.6, squeeze=False, sharex=True, sharey="row")
    looks = {
        "L_c": (style.CHILD, "-"),
        "L_c*": (style.INHERITED, "--"),
        "L_p*": (style.PARENT, ":"),
    }
    tables, said = [], []
    for (name, run), (above, below) in zip(movie.items(), grid.T):
        n = np.arange(1, len(run["accuracy"]) + 1)
        for loss, (colour, dash) in looks.items():
            above.plot(n, run[loss], color=colour, linestyle=dash, label=loss)
        lit = n[np.array(run["answers"], dtype=bool)]
        lamp = {"color": style.PEERS[0], "markersize": 5, "zorder": 3, "label": "parent answers"}
        above.plot(lit, np.zeros(len(lit)), "D", **lamp)
        below.plot(n, run["accuracy"], **style.of(name), label="this child")
        if plain:
            below.plot(n, plain, color=style.TRUTH, linestyle=":", label="plain child")
        above.set_title(fill(name, 24), fontsize=9.5)
        below.set_xlabel("epoch")
        columns = {key: run[key] for key in (*looks, "accuracy")}
        answers = ["yes" if yes else "no" for yes in run["answers"]]
        tables.append(pd.DataFrame({"run": name, "epoch": n, **columns, "parent answers": answers}))
        last = ", ".join(f"{loss} {run[loss][-1]:.3f}" for loss in looks)
        said.append(
            f"{name}: in the last epoch {last}, {axis} {run['accuracy'][-1]:.1f}; the parent "
            f"answers in {len(lit)} of {len(n)} epochs"
        )
    grid[0, 0].set_ylabel("training loss")
    grid[1, 0].set_ylabel(axis)
    style.legend(fig, *grid[:, 0])
    alt = f"Losses and accuracy over epochs, a diamond where the parent answers. {'; '.join(said)}."
    table = pd.concat(tables, ignore_index=True).rename(columns={"accuracy": axis})
    return fig, alt, table
