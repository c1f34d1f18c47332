"""Figures of the segmentation page: CT windows, grey levels, the pair, contours, gate maps, every volume's Dice.

show.figure(*lits.windows(hu));  show.figure(*lits.dots({"plain": [0.2, 0.4]}, "lesion"))        # arrays in -> (figure, alternative text, table)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from ..benchmarks.lits.metrics import REGIONS, counts, dice
from ..evidence import style

WINDOWS = {
    "lung": (-1350, 150),
    "bone": (-400, 1600),
    "soft tissue (used here)": (-160, 240),
    "liver": (10, 160),
}
ON_CT = "white"  # the truth's line on a picture, where grey cannot be seen


def _pictures(count: int, columns: int, height: float):
    """(figure, list of axes without ticks) of `count` pictures; `height` inches a row."""
    columns = min(columns, count)
    fig, grid = style.axes(
        -(-count // columns), columns, height=height * -(-count // columns), squeeze=False
    )
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
        rows.append(
            {
                "window": name,
                "from (HU)": low,
                "to (HU)": high,
                "HU per grey level of 255": round((high - low) / 255, 2),
                "pixels inside": round(inside, 3),
            }
        )
    said = "; ".join(
        f"{row['window']} from {row['from (HU)']:g} to {row['to (HU)']:g} HU" for row in rows
    )
    alt = f"The same axial CT slice in {len(rows)} windows: {said}."
    return fig, alt, pd.DataFrame(rows)


def greys(
    hu: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    window: tuple[float, float] = (-160, 240),
):
    """Why lesions are hard: their HU against those of the liver around them, and the share of all voxels that each label has.

    hu and labels {0, 1, 2}: one array a volume, of equal shapes.
    """
    fig, (left, right) = style.axes(1, 2, height=2.8, width_ratios=(3, 2))
    values, marks = (np.concatenate([np.ravel(one) for one in each]) for each in (hu, labels))
    looks = {
        "elsewhere": (0, "#999999", ":"),
        "liver": (1, style.TRUTH, "-"),
        "lesion": (2, style.PEERS[0], "--"),
    }
    edges, rows = np.linspace(*window, 81), []
    for name, (label, colour, dash) in looks.items():
        inside = values[marks == label]
        if label:
            _ = left.hist(
                inside,
                edges,
                density=True,
                histtype="step",
                color=colour,
                linestyle=dash,
                linewidth=1.8,
                label=name,
            )
        share = len(inside) / len(values)
        _ = right.barh(name, max(100 * share, 1e-3), color=colour)
        _ = right.text(
            max(100 * share, 1e-3), name, f" {100 * share:.2g} %", va="center", fontsize=8.5
        )
        rows.append(
            {
                "voxels": name,
                "share of all (%)": round(100 * share, 3),
                "mean (HU)": round(float(inside.mean()), 1),
                "sd (HU)": round(float(inside.std()), 1),
            }
        )
    left.set(xlabel="HU", ylabel="density (1/HU)")
    left.legend(loc="upper left")
    right.set(xscale="log", xlim=(0.1, 1000), xlabel="share of all voxels (%)")
    right.invert_yaxis()
    said = "; ".join(
        "{} {:.2g} % of all voxels, {:.0f} ± {:.0f} HU".format(*row.values()) for row in rows
    )
    return (
        fig,
        f"Left: histograms of the HU of liver and lesion. Right: how many voxels each label has. {said}.",
        pd.DataFrame(rows),
    )


def pair(
    names: tuple[str, str],
    channels: tuple[Sequence[int], Sequence[int]],
    sizes: tuple[int, int],
    sites: Sequence[str],
    classes: int = 3,
):
    """Parent and child U-Net side by side, the child mirrored, so that the sites ('bottleneck', 'decoder1', …) face each other.

    names, parameters (`sizes`) and channels of each level: (parent's, child's).
    """
    fig, ax = style.axes(height=3.7)
    ax.set(xlim=(-0.2, 12.2), ylim=(0.15, 5.1))
    ax.axis("off")
    places = [
        _network(ax, *each, sites, classes, colour, mirrored)
        for *each, colour, mirrored in zip(
            names, channels, sizes, (style.PARENT, style.CHILD), (False, True)
        )
    ]
    rows = []
    for site in sites:
        (x, y, own), (other, _, small) = places[0][site], places[1][site]
        _box(ax, 6, y, "m", style.INHERITED, filled=True, width=0.5)
        _ = ax.text(6, y + 0.36, site, color=style.INHERITED, fontsize=8, ha="center", va="center")
        _arrow(ax, (x + 0.5, y), (5.7, y), style.PARENT)
        _arrow(ax, (other - 0.5, y), (6.3, y), style.CHILD)
        rows.append({"site": site, "parent's channels": own, "child's channels": small})
    met = "; ".join("the {} of both ({} and {} channels)".format(*row.values()) for row in rows)
    alt = (
        f"Two U-shaped networks, the parent {names[0]} with {sizes[0]:,} parameters and, mirrored, the child {names[1]} with {sizes[1]:,}. "
        f"Arrows from {met} lead to a mixture m between them."
    )
    return fig, alt, pd.DataFrame(rows)


def _network(
    ax,
    name: str,
    channels: Sequence[int],
    size: int,
    sites: Sequence[str],
    classes: int,
    colour: str,
    mirrored: bool,
) -> dict:
    """Draw one U-Net and return {'bottleneck': (x, y, channels), 'decoder1': …}."""
    levels = len(channels)
    step, at = 4.4 / levels, (lambda x: 12 - x) if mirrored else (lambda x: x)
    _ = ax.text(
        at(2.5),
        4.75,
        f"{name}, {size:,} parameters",
        color=colour,
        fontsize=9,
        weight="bold",
        ha="center",
    )
    nodes = [
        (f"encoder{k + 1}", 0.6 + 0.25 * k, 4 - step * k, channels[k]) for k in range(levels - 1)
    ]
    nodes += [("bottleneck", 2.5, 4 - step * (levels - 1), channels[-1])]
    widths = [
        *channels[levels - 3 :: -1],
        classes,
    ]  # of decoder1, decoder2, …; the last one returns the logits
    nodes += [
        (f"decoder{k}", 4.4 - 0.25 * (levels - 1 - k), 4 - step * (levels - 1 - k), widths[k - 1])
        for k in range(1, levels)
    ]
    found = {key: (at(x), y, width) for key, x, y, width in nodes}
    for (x, y, _), (other, below, _) in zip([*found.values()], [*found.values()][1:]):
        sign = np.sign(other - x)
        _arrow(
            ax,
            (x + 0.3 * sign, y - np.sign(y - below) * 0.24),
            (other - 0.3 * sign, below + np.sign(y - below) * 0.24),
            colour,
        )
    for k in range(levels - 1):  # skip connections
        (x, y, _), (other, _, _) = found[f"encoder{k + 1}"], found[f"decoder{levels - 1 - k}"]
        _ = ax.plot([x, other], [y, y], color=colour, linestyle=":", linewidth=1, zorder=0)
    for key, (x, y, width) in found.items():
        _box(
            ax,
            x,
            y,
            "logits" if key == f"decoder{levels - 1}" else f"{width} ch",
            colour,
            filled=key in sites,
        )
    return found


def _box(
    ax, x: float, y: float, text: str, colour: str, filled: bool = False, width: float = 0.96
) -> None:
    ax.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - 0.24),
            width,
            0.48,
            "round,pad=0,rounding_size=0.1",
            linewidth=1.4,
            edgecolor=colour,
            facecolor=colour if filled else "white",
        )
    )
    _ = ax.text(
        x, y, text, ha="center", va="center", fontsize=8, color="white" if filled else colour
    )


def _arrow(ax, start, end, colour: str) -> None:
    ax.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            mutation_scale=9,
            linewidth=1.2,
            color=colour,
            shrinkA=0,
            shrinkB=0,
        )
    )


def contours(
    images: np.ndarray,
    truth: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    names: Sequence[str] = (),
    classes: int = 3,
    columns: int = 3,
):
    """Slices with outlines: truth white, then parent blue and child vermillion where so called; liver thin, lesion thick.

    images uint8 (N, H, W); truth and each prediction labels (N, H, W).
    """
    names = list(names) or [f"slice {k + 1}" for k in range(len(images))]
    colours = {
        name: {"parent": style.PARENT, "child": style.CHILD}.get(name, style.of(name)["color"])
        for name in predictions
    }
    fig, tiles = _pictures(len(images), columns, 2.6)
    rows = []
    for k, (ax, name) in enumerate(zip(tiles, names)):
        _ = ax.imshow(images[k], cmap="gray", vmin=0, vmax=255)
        for labels, colour, dash in [
            (truth[k], ON_CT, "-"),
            *((value[k], colours[who], "--") for who, value in predictions.items()),
        ]:
            for low, width in zip(REGIONS[classes].values(), (0.9, 1.7)):
                if (labels >= low).any():
                    _ = ax.contour(
                        labels >= low,
                        levels=[0.5],
                        colors=[colour],
                        linewidths=width,
                        linestyles=dash,
                    )
        ax.set_title(name, fontsize=8.5, loc="center")
        rows.append(
            {
                "slice": name,
                **{
                    f"{who}, Dice {region}": round(
                        dice(*counts(value[k] >= low, truth[k] >= low)), 3
                    )
                    for who, value in predictions.items()
                    for region, low in REGIONS[classes].items()
                },
            }
        )
    handles = [
        Line2D([], [], color="#888888", label="truth (white)"),
        *(
            Line2D([], [], color=colour, linestyle="--", label=who)
            for who, colour in colours.items()
        ),
    ]
    fig.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    others = "".join(f", of the {who} in {_named(colour)}" for who, colour in colours.items())
    alt = (
        f"{len(images)} axial CT slices with the outlines of the truth in white{others}; "
        f"regions: {', '.join(REGIONS[classes])}. The table gives each slice's Dice."
    )
    return fig, alt, pd.DataFrame(rows)


def _named(colour: str) -> str:
    return {style.PARENT: "blue", style.CHILD: "vermillion", style.INHERITED: "green"}.get(
        colour, colour
    )


def gate_map(
    image: np.ndarray, truth: np.ndarray, maps: Mapping[str, np.ndarray], classes: int = 3
):
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
        rows.append(
            {
                "site": site,
                "positions": f"{value.shape[0]} × {value.shape[1]}",
                **_means(value, truth, classes),
            }
        )
    for ax in tiles[: len(maps) + 1]:
        for low, width in zip(REGIONS[classes].values(), (0.9, 1.7)):
            if (truth >= low).any():
                _ = ax.contour(truth >= low, levels=[0.5], colors=[ON_CT], linewidths=width)
    fig.colorbar(shown, ax=tiles[: len(maps) + 1], shrink=0.7, label="1 − g, share of λ inherited")
    said = "; ".join(
        f"{row['site']}: "
        + ", ".join(f"{name} {value:.3f}" for name, value in row.items() if name.startswith("mean"))
        for row in rows
    )
    alt = f"A CT slice with the true outlines, and a map of 1 - g over it for each site: {said}."
    return fig, alt, pd.DataFrame(rows)


def _means(value: np.ndarray, truth: np.ndarray, classes: int) -> dict[str, float]:
    """Mean of a map, repeated to the truth's resolution, over each region and over what is outside all of them."""
    rows, columns = (np.arange(n) * m // n for n, m in zip(truth.shape, value.shape))
    wide = value[np.ix_(rows, columns)]
    masks = {
        "mean outside": truth == 0,
        **{f"mean in the {region}": truth >= low for region, low in REGIONS[classes].items()},
    }
    return {
        name: round(float(wide[mask].mean()), 4) if mask.any() else float("nan")
        for name, mask in masks.items()
    }


def dots(values: Mapping[str, Sequence[float]], region: str, baseline: float | None = None):
    """Every volume's Dice under every method: one dot a volume, the mean as a bar; volumes keep their height in the jitter of all methods.

    values: method -> one value a volume in the same order, nan where undefined.  `baseline`: what an answer that has learnt nothing scores.
    """
    fig, ax = style.axes(height=0.55 * len(values) + 1.2)
    count = len(next(iter(values.values())))
    lift = (
        (np.arange(count) * 0.618034) % 1 - 0.5
    ) * 0.6  # the golden ratio spreads them without overlap or chance
    rows = []
    for place, (label, each) in enumerate(values.items()):
        each, look = np.asarray(each, dtype=float), style.of(label)
        colour = {"parent": style.PARENT, "child": style.CHILD}.get(label, look["color"])
        _ = ax.scatter(
            each, place + lift, s=22, color=colour, alpha=0.75, linewidths=0, marker=look["marker"]
        )
        known = each[~np.isnan(each)]
        if len(known):
            _ = ax.plot(
                [known.mean()] * 2, [place - 0.38, place + 0.38], color=colour, linewidth=2.4
            )
        sd = float(known.std(ddof=1)) if len(known) > 1 else float("nan")
        known = known if len(known) else np.array([float("nan")])
        rows.append(
            {
                "method": label,
                "volumes": int((~np.isnan(each)).sum()),
                "undefined": int(np.isnan(each).sum()),
                "mean": known.mean(),
                "sd": sd,
                "median": np.median(known),
                "lowest": known.min(),
            }
        )
    if baseline is not None:
        _ = ax.axvline(baseline, color=style.TRUTH, linestyle=":", linewidth=1.2)
        _ = ax.text(
            baseline,
            len(values) - 0.45,
            " not learnt",
            color=style.TRUTH,
            fontsize=8.5,
            va="bottom",
        )
    ax.set_yticks(range(len(values)), list(values))
    ax.set(
        xlim=(-0.03, 1.03),
        ylim=(len(values) - 0.4, -0.6),
        xlabel=f"Dice of the {region}, one dot a volume; bar: mean",
    )
    alt = (
        f"Dice of the {region}, one dot for each of {count} volumes: "
        + "; ".join(
            f"{row['method']} mean {row['mean']:.3f}, median {row['median']:.3f}, lowest {row['lowest']:.3f}"
            for row in rows
        )
        + "."
    )
    return fig, alt, pd.DataFrame(rows).round(3)
