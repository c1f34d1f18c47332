"""Figures of the segmentation page: CT windows, contours, gate maps, every volume's Dice.  Arrays in -> (figure, alternative text, table)."""
from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from ..metrics.segmentation import REGIONS, counts, dice
from . import style

WINDOWS = {"lung": (-1350, 150), "bone": (-400, 1600), "soft tissue (used here)": (-160, 240), "liver": (10, 160)}
ON_CT = "white"                                                 # the truth's line on a picture, where grey cannot be seen


def _pictures(count: int, columns: int, height: float):
    """(figure, list of axes without ticks) of `count` pictures; `height` inches a row."""
    columns = min(columns, count)
    fig, grid = style.axes(-(-count // columns), columns, height=height * -(-count // columns), squeeze=False)
    for ax in grid.flat:
        ax.axis("off")
    return fig, list(grid.flat)


def windows(hu: np.ndarray, chosen: Mapping[str, tuple[float, float]] = WINDOWS):
    """One slice (H, W) in HU as a radiologist's windows show it: what lies below is black, above white."""
    fig, tiles = _pictures(len(chosen), 4, 2.2)
    rows = []
    for ax, (name, (low, high)) in zip(tiles, chosen.items()):
        _ = ax.imshow(hu, cmap="gray", vmin=low, vmax=high)
        ax.set_title(f"{name}\n{low:g} to {high:g} HU", fontsize=8.5, loc="center")
        inside = float(((hu >= low) & (hu <= high)).mean())
        rows.append({"window": name, "from (HU)": low, "to (HU)": high, "HU per grey level of 255": round((high - low) / 255, 2),
                     "pixels inside": round(inside, 3)})
    said = "; ".join(f"{row['window']} from {row['from (HU)']:g} to {row['to (HU)']:g} HU" for row in rows)
    alt = f"The same axial CT slice in {len(rows)} windows: {said}."
    return fig, alt, pd.DataFrame(rows)


def contours(images: np.ndarray, truth: np.ndarray, predictions: Mapping[str, np.ndarray], names: Sequence[str] = (), classes: int = 3,
             columns: int = 3):
    """Slices with outlines: truth white, then parent blue and child vermillion where so called; liver thin, lesion thick.

    images uint8 (N, H, W); truth and each prediction labels (N, H, W).
    """
    names = list(names) or [f"slice {k + 1}" for k in range(len(images))]
    colours = {name: {"parent": style.PARENT, "child": style.CHILD}.get(name, style.of(name)["color"]) for name in predictions}
    fig, tiles = _pictures(len(images), columns, 2.6)
    rows = []
    for k, (ax, name) in enumerate(zip(tiles, names)):
        _ = ax.imshow(images[k], cmap="gray", vmin=0, vmax=255)
        for labels, colour, dash in [(truth[k], ON_CT, "-"), *((value[k], colours[who], "--") for who, value in predictions.items())]:
            for low, width in zip(REGIONS[classes].values(), (0.9, 1.7)):
                if (labels >= low).any():
                    _ = ax.contour(labels >= low, levels=[0.5], colors=[colour], linewidths=width, linestyles=dash)
        ax.set_title(name, fontsize=8.5, loc="center")
        rows.append({"slice": name, **{f"{who}, Dice {region}": round(dice(*counts(value[k] >= low, truth[k] >= low)), 3)
                                       for who, value in predictions.items() for region, low in REGIONS[classes].items()}})
    handles = [Line2D([], [], color="#888888", label="truth (white)"),
               *(Line2D([], [], color=colour, linestyle="--", label=who) for who, colour in colours.items())]
    fig.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    others = "".join(f", of the {who} in {_named(colour)}" for who, colour in colours.items())
    alt = (f"{len(images)} axial CT slices with the outlines of the truth in white{others}; "
           f"regions: {', '.join(REGIONS[classes])}. The table gives each slice's Dice.")
    return fig, alt, pd.DataFrame(rows)


def _named(colour: str) -> str:
    return {style.PARENT: "blue", style.CHILD: "vermillion", style.INHERITED: "green"}.get(colour, colour)


def gate_map(image: np.ndarray, truth: np.ndarray, maps: Mapping[str, np.ndarray], classes: int = 3):
    """What is inherited where: one slice uint8 (H, W), its labels, and per site a map (h, w) of 1 - g, the share of lam that is inherited.

    A map has the site's resolution; it is drawn over the slice as it is, one square a position.  One colour scale for all sites.
    """
    fig, tiles = _pictures(len(maps) + 1, 4, 2.5)
    _ = tiles[0].imshow(image, cmap="gray", vmin=0, vmax=255)
    tiles[0].set_title("slice", fontsize=8.5, loc="center")
    extent, rows = (-0.5, image.shape[1] - 0.5, image.shape[0] - 0.5, -0.5), []
    top = max(float(value.max()) for value in maps.values())
    for ax, (site, value) in zip(tiles[1:], maps.items()):
        shown = ax.imshow(value, cmap="viridis", vmin=0, vmax=top, extent=extent)
        ax.set_title(f"{site}, {value.shape[0]} × {value.shape[1]}", fontsize=8.5, loc="center")
        rows.append({"site": site, "positions": f"{value.shape[0]} × {value.shape[1]}", **_means(value, truth, classes)})
    for ax in tiles[:len(maps) + 1]:
        for low, width in zip(REGIONS[classes].values(), (0.9, 1.7)):
            if (truth >= low).any():
                _ = ax.contour(truth >= low, levels=[0.5], colors=[ON_CT], linewidths=width)
    fig.colorbar(shown, ax=tiles[:len(maps) + 1], shrink=0.7, label="1 − g, share of λ inherited")
    said = "; ".join(f"{row['site']}: " + ", ".join(f"{name} {value:.3f}" for name, value in row.items() if name.startswith("mean")) for row in rows)
    alt = f"A CT slice with the true outlines, and a map of 1 - g over it for each site: {said}."
    return fig, alt, pd.DataFrame(rows)


def _means(value: np.ndarray, truth: np.ndarray, classes: int) -> dict[str, float]:
    """Mean of a map, repeated to the truth's resolution, over each region and over what is outside all of them."""
    rows, columns = (np.arange(n) * m // n for n, m in zip(truth.shape, value.shape))
    wide = value[np.ix_(rows, columns)]
    masks = {"mean outside": truth == 0, **{f"mean in the {region}": truth >= low for region, low in REGIONS[classes].items()}}
    return {name: round(float(wide[mask].mean()), 4) if mask.any() else float("nan") for name, mask in masks.items()}


def dots(values: Mapping[str, Sequence[float]], region: str, baseline: float | None = None):
    """Every volume's Dice under every method: one dot a volume, the mean as a bar; volumes keep their height in the jitter of all methods.

    values: method -> one value a volume in the same order, nan where undefined.  `baseline`: what an answer that has learnt nothing scores.
    """
    fig, ax = style.axes(height=0.55 * len(values) + 1.2)
    count = len(next(iter(values.values())))
    lift = ((np.arange(count) * 0.618034) % 1 - 0.5) * 0.6     # the golden ratio spreads them without overlap or chance
    rows = []
    for place, (label, each) in enumerate(values.items()):
        each, look = np.asarray(each, dtype=float), style.of(label)
        colour = {"parent": style.PARENT, "child": style.CHILD}.get(label, look["color"])
        _ = ax.scatter(each, place + lift, s=22, color=colour, alpha=0.75, linewidths=0, marker=look["marker"])
        known = each[~np.isnan(each)]
        if len(known):
            _ = ax.plot([known.mean()] * 2, [place - 0.38, place + 0.38], color=colour, linewidth=2.4)
        sd = float(known.std(ddof=1)) if len(known) > 1 else float("nan")
        known = known if len(known) else np.array([float("nan")])
        rows.append({"method": label, "volumes": int((~np.isnan(each)).sum()), "undefined": int(np.isnan(each).sum()), "mean": known.mean(), "sd": sd,
                     "median": np.median(known), "lowest": known.min()})
    if baseline is not None:
        _ = ax.axvline(baseline, color=style.TRUTH, linestyle=":", linewidth=1.2)
        _ = ax.text(baseline, len(values) - 0.45, " not learnt", color=style.TRUTH, fontsize=8.5, va="bottom")
    ax.set_yticks(range(len(values)), list(values))
    ax.set(xlim=(-0.03, 1.03), ylim=(len(values) - 0.4, -0.6), xlabel=f"Dice of the {region}, one dot a volume; bar: mean")
    alt = f"Dice of the {region}, one dot for each of {count} volumes: " + "; ".join(
        f"{row['method']} mean {row['mean']:.3f}, median {row['median']:.3f}, lowest {row['lowest']:.3f}" for row in rows) + "."
    return fig, alt, pd.DataFrame(rows).round(3)
