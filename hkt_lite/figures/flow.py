"""Figures of the optical-flow pages: the colour wheel, cost volume and updates, sites, error maps, sparse truth.  Arrays in -> (figure, alt, table).

show.figure(*flow.task(first, second, truth))               # images uint8 (3, H, W), flow float (2, H, W): u right, v down, in pixels
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from ..evidence import style

UNKNOWN = 60  # grey level of pixels without truth
LOOKS = {"parent": (style.PARENT, "-", "o"), "child": (style.CHILD, "--", "s")}
CELL = 8  # pixels an eighth-resolution position stands for


# -- flow as colour ----------------------------------------------------------------------------------------------------


def colours(flow: np.ndarray, longest: float, valid: np.ndarray | None = None) -> np.ndarray:
    """uint8 (H, W, 3): hue says the direction of flow (2, H, W), saturation its length up to `longest` pixels; dark grey where not valid.

    The colour wheel of Baker et al. (2011), as torchvision draws it.
    """
    import torch

    from .. import torchvision

    torchvision()
    from torchvision.utils import flow_to_image

    flow = np.nan_to_num(np.asarray(flow, dtype=np.float32))
    length = np.sqrt((flow**2).sum(0))
    flow = flow * np.minimum(1, longest / np.maximum(length, 1e-6))
    scale = np.zeros(
        (2, flow.shape[1], 1), np.float32
    )  # torchvision's unit is the longest vector of a picture: this column makes it `longest`
    scale[0] = longest
    image = (
        flow_to_image(torch.from_numpy(np.concatenate([flow, scale], 2)))[:, :, :-1]
        .numpy()
        .transpose(1, 2, 0)
        .copy()
    )
    if valid is not None:
        image[~valid] = UNKNOWN
    return image


def _speed(*flows: np.ndarray) -> float:
    """The longest vector in any of the flows, rounded up to whole pixels."""
    return float(max(1, np.ceil(max(np.sqrt((flow**2).sum(0)).max() for flow in flows))))


def _wheel(ax, longest: float, size: int = 121) -> None:
    """The legend of `colours`: the colour at a place is that of the flow from the middle to it."""
    line = np.linspace(-longest, longest, size, dtype=np.float32)
    flow = np.stack(np.meshgrid(line, line))
    image = colours(flow, longest)
    image[np.sqrt((flow**2).sum(0)) > longest] = 255
    _ = ax.imshow(image, extent=(-longest, longest, longest, -longest))
    ax.set(xticks=(-longest, 0, longest), yticks=(-longest, 0, longest))
    ax.tick_params(labelsize=7, length=2)
    ax.set_title("legend: u (right) and\nv (down) in pixels", fontsize=8, loc="center")
    ax.grid(visible=False)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _panels(count: int, columns: int, height: float):
    """(figure, axes without ticks), `height` inches a row."""
    columns = min(columns, count)
    rows = -(-count // columns)
    fig, grid = style.axes(rows, columns, height=height * rows, squeeze=False)
    for ax in grid.flat:
        ax.axis("off")
    return fig, list(grid.flat)


def _picture(ax, image: np.ndarray, title: str) -> None:
    _ = ax.imshow(image)
    ax.set_title(title, fontsize=8.5, loc="center")


def task(first: np.ndarray, second: np.ndarray, flow: np.ndarray):
    """Two frames, the flow between them in the standard colours, and the wheel that is their legend."""
    fig, tiles = _panels(4, 4, 1.9)
    longest, length = _speed(flow), np.sqrt((flow**2).sum(0))
    for ax, image, title in zip(
        tiles,
        (first.transpose(1, 2, 0), second.transpose(1, 2, 0), colours(flow, longest)),
        ("first frame", "second frame", "flow: where each pixel\nof the first frame goes"),
    ):
        _picture(ax, image, title)
    tiles[3].axis("on")
    _wheel(tiles[3], longest)
    table = pd.DataFrame(
        [
            {
                "pixels": length.size,
                "mean length (px)": length.mean(),
                "median (px)": np.median(length),
                "longest (px)": length.max(),
                "moved by more than 8 px (%)": 100 * (length > 8).mean(),
            }
        ]
    ).round(2)
    return (
        fig,
        (
            f"Two frames of a scene of textured layers, their flow as colours, and a colour wheel as legend: hue is the direction, saturation the "
            f"length up to {longest:g} pixels. The mean length is {length.mean():.1f} pixels, the longest {length.max():.1f}."
        ),
        table,
    )


# -- RAFT ----------------------------------------------------------------------------------------------------------------


def cost_volume(
    first: np.ndarray,
    second: np.ndarray,
    cost: np.ndarray,
    where: tuple[int, int],
    centres: Mapping[int, tuple[float, float]],
    truth: tuple[float, float],
    radius: int,
):
    """One pixel's slice of the cost volume, and the window in which RAFT reads it at some updates.

    cost (h, w) and the positions (row, column) are at an eighth of the images' resolution: `where` is the pixel in the first frame, `centres`
    the guess of its place in the second before update n, `truth` its true place.
    """
    fig, tiles = _panels(2 + len(centres), 3, 1.9)
    extent = (-0.5, cost.shape[1] - 0.5, cost.shape[0] - 0.5, -0.5)
    for ax, image, title, (y, x), mark, colour in (
        (tiles[0], first, "first frame: the pixel", where, "o", style.PARENT),
        (tiles[1], second, "second frame: its true place", truth, "P", style.TRUTH),
    ):
        _ = ax.imshow(image.transpose(1, 2, 0), extent=extent)
        _ = ax.plot(x, y, mark, color=colour, markeredgecolor="white", markersize=9)
        ax.set_title(title, fontsize=8.5, loc="center")
    rows = []
    for ax, (update, (y, x)) in zip(tiles[2:], centres.items()):
        shown = ax.imshow(cost, cmap="Greys", extent=extent)
        ax.add_patch(
            Rectangle(
                (x - radius - 0.5, y - radius - 0.5),
                2 * radius + 1,
                2 * radius + 1,
                fill=False,
                edgecolor=style.PARENT,
                linewidth=1.6,
            )
        )
        _ = ax.plot(
            truth[1], truth[0], "P", color=style.TRUTH, markeredgecolor="white", markersize=8
        )
        _ = ax.plot(
            x, y, "o", fillstyle="none", color=style.PARENT, markeredgewidth=2, markersize=11
        )
        ax.set_title(f"read in update {update}", fontsize=8.5, loc="center")
        ax.set(xlim=extent[:2], ylim=extent[2:])
        rows.append(
            {
                "update": update,
                "window's centre: column": x,
                "row": y,
                "pixels from the true place": CELL * float(np.hypot(y - truth[0], x - truth[1])),
            }
        )
    for ax in tiles[2 + len(centres) :]:
        ax.set_visible(False)
    fig.colorbar(shown, ax=tiles[: 2 + len(centres)], shrink=0.6, label="similarity ⟨f₁, f₂⟩ / √C")
    said = ", ".join(
        f"{row['pixels from the true place']:.1f} before update {row['update']}" for row in rows
    )
    return (
        fig,
        (
            f"A pixel marked in the first frame and its true place in the second. Then, for {len(rows)} updates, the similarity of this pixel to every "
            f"position of the second frame, with the window of {2 * radius + 1} by {2 * radius + 1} positions that is read; the distance of its centre "
            f"from the true place in pixels: {said}."
        ),
        pd.DataFrame(rows).round(2),
    )


def progress(flows: Mapping[int, np.ndarray], truth: np.ndarray, errors: Mapping[int, float]):
    """Flow (2, H, W) after some updates beside the truth, with the mean end-point error (px) of each: one colour scale."""
    fig, tiles = _panels(len(flows) + 1, len(flows) + 1, 1.6)
    longest = _speed(truth)
    for ax, (update, flow) in zip(tiles, flows.items()):
        _picture(ax, colours(flow, longest), f"update {update}\nEPE {errors[update]:.2f} px")
    _picture(tiles[len(flows)], colours(truth, longest), f"truth\nup to {longest:g} px")
    table = pd.DataFrame(
        {"update": list(flows), "end-point error (px)": [round(errors[n], 2) for n in flows]}
    )
    return (
        fig,
        f"Flow in colours after updates {', '.join(map(str, flows))}, and the true flow. Mean end-point errors: "
        + ", ".join(f"{errors[n]:.2f} px" for n in flows)
        + ".",
        table,
    )


def over_updates(
    series: Mapping[str, Sequence[float]],
    zero: Mapping[str, float],
    trained: int,
    axis: str = "end-point error (px)",
):
    """Error after each update, from 1, of 'parent', 'child' or 'child, …'.

    `zero` names the errors of saying that nothing moves, `trained` is the number of updates in training.
    """
    fig, ax = style.axes(height=3.2)
    table = {}
    for name, values in series.items():
        colour, dash, mark = LOOKS[name.split(",")[0]]
        n = np.arange(1, len(values) + 1)
        ax.plot(
            n,
            values,
            color=colour,
            linestyle=dash,
            marker=mark,
            markersize=4,
            label=name,
            markevery=max(1, len(n) // 16),
        )
        table[name] = pd.Series(np.round(np.asarray(values, dtype=float), 3), index=n)
    for name, value in zero.items():
        ax.axhline(value, color=style.TRUTH, linewidth=1, linestyle="--")
        ax.annotate(
            name,
            (1, value),
            xytext=(0, 3),
            textcoords="offset points",
            xycoords=("axes fraction", "data"),
            fontsize=8.5,
            ha="right",
            color=style.TRUTH,
        )
    ax.axvline(trained, color=style.TRUTH, linewidth=1, linestyle=":")
    ax.annotate(
        f"updates in training: {trained}",
        (trained, 0),
        xycoords=("data", "axes fraction"),
        xytext=(3, 6),
        textcoords="offset points",
        fontsize=8.5,
        color=style.TRUTH,
    )
    ax.set(xlabel="update", ylabel=axis, ylim=(0, None))
    fig.legend(loc="outside upper right", ncols=len(series))
    frame = pd.DataFrame(table)
    frame.index.name = "update"
    ends = "; ".join(
        f"{name} {values[0]:.2f} after one, {min(values):.2f} at best (update {int(np.argmin(values)) + 1}), {values[-1]:.2f} after {len(values)}"
        for name, values in series.items()
    )
    return (
        fig,
        f"{axis} over the number of updates: {ends}."
        + "".join(f" {name}: {value:.2f}." for name, value in zero.items()),
        frame.reset_index(),
    )


# -- where inheritance enters ---------------------------------------------------------------------------------------------


PLACES = {
    "images": (0.7, 0.0),
    "feature encoder": (2.7, 0.55),
    "context encoder": (2.7, -0.55),
    "cost volume": (5.0, 0.55),
    "motion encoder": (7.3, 0.55),
    "recurrent block": (9.6, 0.0),
    "flow head": (11.7, 0.0),
}
WIRES = (
    ("images", "feature encoder"),
    ("images", "context encoder"),
    ("feature encoder", "cost volume"),
    ("cost volume", "motion encoder"),
    ("motion encoder", "recurrent block"),
    ("context encoder", "recurrent block"),
    ("recurrent block", "flow head"),
)
MIXED = {
    "feature encoder": ("mixture", 1.3, "2hkt, 3hkt"),
    "context encoder": ("two mixtures", 4.3, "2hkt, 3hkt"),
    "recurrent block": ("mixture, once\nan update", 9.6, "3hkt"),
}


def _box(
    ax,
    x: float,
    y: float,
    text: str,
    colour: str,
    filled: bool = False,
    width: float = 1.62,
    height: float = 0.62,
) -> None:
    ax.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            "round,pad=0,rounding_size=0.12",
            linewidth=1.4,
            edgecolor=colour,
            facecolor=colour if filled else "white",
        )
    )
    _ = ax.text(
        x, y, text, ha="center", va="center", fontsize=7.5, color="white" if filled else colour
    )


def _arrow(ax, start, end, colour: str, bend: float = 0.0, dash: str = "-") -> None:
    ax.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            mutation_scale=9,
            linewidth=1.3,
            color=colour,
            shrinkA=0,
            shrinkB=0,
            linestyle=dash,
            connectionstyle=f"arc3,rad={bend}",
        )
    )


def _network(ax, y: float, title: float, name: str, parameters: int, colour: str) -> None:
    """One RAFT as a row of boxes around height y, its name `title` above; filled boxes are sites."""
    for a, b in WIRES:
        (xa, ya), (xb, yb) = PLACES[a], PLACES[b]
        _arrow(ax, (xa + 0.81, y + ya), (xb - 0.81, y + yb), colour)
    _arrow(ax, (11.7, y + 0.31), (7.9, y + 0.87), colour, 0.2, "--")
    for part, (x, lift) in PLACES.items():
        _box(ax, x, y + lift, part, style.TRUTH if part == "images" else colour, part in MIXED)
    _ = ax.text(
        -0.1,
        y + title,
        f"{name}, {parameters:,} parameters",
        color=colour,
        fontsize=9,
        weight="bold",
        va="center",
    )
    _ = ax.text(9.9, y + 1.12, "next update", color=colour, fontsize=7.5, ha="center")


def sites(
    parent: str, child: str, parameters: tuple[int, int], channels: Mapping[str, tuple[int, int]]
):
    """The two networks and the three sites; channels: name of a site's slice -> (parent's, child's)."""
    fig, ax = style.axes(height=4.3)
    ax.set(xlim=(-0.2, 12.7), ylim=(-1.3, 7.0))
    ax.axis("off")
    _network(ax, 5.4, 1.3, parent, parameters[0], style.PARENT)
    _network(ax, 0.4, -1.3, child, parameters[1], style.CHILD)
    for part, (text, x, names) in MIXED.items():
        place, lift = PLACES[part]
        _box(ax, x, 2.9, text, style.INHERITED, True, 1.75, 0.75)
        _ = ax.text(x, 2.35, names, color=style.INHERITED, fontsize=7.5, ha="center", va="center")
        side, edge = {"feature encoder": (-0.81, 0.0), "context encoder": (0.81, 0.0)}.get(
            part, (0.0, 0.31)
        )
        _arrow(ax, (place + side, 5.4 + lift - edge), (x, 3.28), style.INHERITED)
        _arrow(ax, (place + side, 0.4 + lift + edge), (x, 2.2), style.INHERITED)
    alt = (
        f"Two rows of boxes, the parent {parent} with {parameters[0]:,} parameters above, the child {child} with {parameters[1]:,} below: images, feature "
        "encoder and context encoder, cost volume, motion encoder, recurrent block, flow head, and an arrow back for the next update. Green mixtures stand "
        "between the feature encoders, the context encoders and, for 3hkt only, the recurrent blocks."
    )
    table = pd.DataFrame(
        [
            {"site": name, "parent's channels": theirs, "child's channels": own}
            for name, (theirs, own) in channels.items()
        ]
    )
    return fig, alt, table


# -- errors ----------------------------------------------------------------------------------------------------------------


def worst(samples: Sequence, flows: Sequence[np.ndarray], count: int = 4):
    """The pairs with the largest mean end-point error, worst first: frame, truth, estimate, error map.  samples: datasets.flow.Sample."""
    rows = []
    for i, (sample, flow) in enumerate(zip(samples, flows)):
        error, valid = (
            np.sqrt(((np.asarray(flow) - sample.flow.numpy()) ** 2).sum(0)),
            sample.valid.numpy(),
        )
        hidden = sample.occluded.numpy() & valid
        rows.append(
            {
                "pair": i,
                "end-point error (px)": error[valid].mean(),
                "zero flow's (px)": np.sqrt((sample.flow.numpy() ** 2).sum(0))[valid].mean(),
                "where visible (px)": error[valid & ~hidden].mean(),
                "where occluded (px)": error[hidden].mean() if hidden.any() else float("nan"),
                "occluded (%)": 100 * hidden[valid].mean(),
            }
        )
    order = sorted(rows, key=lambda row: -row["end-point error (px)"])[:count]
    fig, grid = style.axes(len(order), 4, height=1.3 * len(order) + 0.2, squeeze=False)
    longest = max(_speed(samples[row["pair"]].flow.numpy()) for row in order)
    for line, row in zip(grid, order):
        sample, flow = samples[row["pair"]], np.asarray(flows[row["pair"]])
        error = np.sqrt(((flow - sample.flow.numpy()) ** 2).sum(0))
        for ax in line:
            ax.axis("off")
        for ax, image in zip(
            line,
            (
                sample.first.numpy().transpose(1, 2, 0),
                colours(sample.flow.numpy(), longest, sample.valid.numpy()),
                colours(flow, longest),
            ),
        ):
            _ = ax.imshow(image)
        shown = line[3].imshow(
            np.where(sample.valid.numpy(), error, np.nan), cmap="magma", vmin=0, vmax=longest
        )
        line[0].set_title(f"pair {row['pair']}", fontsize=8, loc="left")
        line[3].set_title(f"EPE {row['end-point error (px)']:.2f} px", fontsize=8, loc="center")
    for ax, title in zip(grid[0][1:3], ("truth", "the child's flow")):
        ax.set_title(title, fontsize=8, loc="center")
    fig.colorbar(shown, ax=list(grid[:, 3]), shrink=0.8, label="end-point error (px)")
    said = "; ".join(f"pair {row['pair']} {row['end-point error (px)']:.2f} px" for row in order)
    alt = f"The {len(order)} pairs with the largest mean end-point error, worst first: frame, true flow, the child's flow, error map. {said}."
    return fig, alt, pd.DataFrame(order).round(3)


# -- KITTI -----------------------------------------------------------------------------------------------------------------


def sparse(first: np.ndarray, flow: np.ndarray, valid: np.ndarray, step: int = 6):
    """A frame, the flow where it is known, and the same as arrows on a grid of `step` pixels."""
    fig, tiles = _panels(4, 4, 1.8)
    longest = _speed(flow)
    _picture(tiles[0], first.transpose(1, 2, 0), "first frame")
    _picture(tiles[1], colours(flow, longest, valid), "flow where it is known")
    _ = tiles[2].imshow(first.transpose(1, 2, 0), alpha=0.35)
    chosen = np.zeros_like(valid)
    for y in range(0, valid.shape[0], step):  # the first known pixel of each cell
        for x in range(0, valid.shape[1], step):
            rows, columns = np.nonzero(valid[y : y + step, x : x + step])
            if len(rows):
                chosen[y + rows[0], x + columns[0]] = True
    y, x = np.nonzero(chosen)
    _ = tiles[2].quiver(
        x,
        y,
        flow[0][chosen],
        flow[1][chosen],
        color=style.TRUTH,
        angles="xy",
        scale_units="xy",
        scale=1,
        width=0.006,
    )
    tiles[2].set_title("some of it as arrows", fontsize=8.5, loc="center")
    tiles[3].axis("on")
    _wheel(tiles[3], longest)
    per_row = valid.mean(1)
    table = pd.DataFrame(
        [
            {
                "pixels": valid.size,
                "known": int(valid.sum()),
                "known (%)": 100 * valid.mean(),
                "first row with truth": int(np.argmax(per_row > 0)),
                "mean length (px)": np.sqrt((flow**2).sum(0))[valid].mean(),
            }
        ]
    ).round(2)
    return (
        fig,
        (
            f"A frame, its flow in colours with unknown pixels in dark grey, the flow as arrows, and the colour wheel. The flow is known at "
            f"{100 * valid.mean():.0f} % of the pixels and nowhere above row {int(np.argmax(per_row > 0))}."
        ),
        table,
    )


def pooling(errors: Sequence[float], counts: Sequence[int]):
    """Each image's mean end-point error against its number of valid pixels, and the two means that can be made of them."""
    errors, counts = np.asarray(errors, dtype=float), np.asarray(counts)
    pooled, each = float((errors * counts).sum() / counts.sum()), float(errors.mean())
    fig, ax = style.axes(height=2.9)
    _ = ax.scatter(counts, errors, color=style.PARENT, s=26)
    for value, name, dash in (
        (each, "mean of the images", "--"),
        (pooled, "pooled over pixels", ":"),
    ):
        ax.axhline(
            value, color=style.TRUTH, linewidth=1.2, linestyle=dash, label=f"{name}: {value:.2f} px"
        )
    ax.set(xlabel="valid pixels of the image", ylabel="end-point error (px)", ylim=(0, None))
    ax.legend()
    table = pd.DataFrame(
        [
            {
                "images": len(errors),
                "mean of the images (px)": each,
                "pooled over pixels (px)": pooled,
                "difference (px)": each - pooled,
            }
        ]
    ).round(3)
    return (
        fig,
        (
            f"End-point error of {len(errors)} images against their number of valid pixels. The mean of the images is {each:.2f} pixels, the mean over all "
            f"pixels {pooled:.2f}."
        ),
        table,
    )


def warm(
    before: np.ndarray,
    guess: np.ndarray,
    truth: np.ndarray,
    names: tuple[str, str, str] = ("flow of pair 1", "carried along itself", "true flow of pair 2"),
):
    """A flow, what it suggests for the next pair, and that pair's truth; with the end-point errors of the guess and of no guess."""
    fig, tiles = _panels(4, 4, 1.8)
    longest = _speed(before, truth)
    off = {
        name: float(np.sqrt(((flow - truth) ** 2).sum(0)).mean())
        for name, flow in (
            ("no guess (zero)", np.zeros_like(truth)),
            ("the last flow as it is", before),
            ("carried along itself", guess),
        )
    }
    for ax, flow, name in zip(tiles, (before, guess, truth), names):
        _picture(ax, colours(flow, longest), name)
    error = np.sqrt(((guess - truth) ** 2).sum(0))
    shown = tiles[3].imshow(error, cmap="magma", vmin=0, vmax=longest)
    tiles[3].set_title("error of the guess", fontsize=8.5, loc="center")
    fig.colorbar(shown, ax=tiles, shrink=0.6, label="px")
    table = pd.DataFrame(
        [
            {"start of pair 2": name, "end-point error (px)": round(value, 3)}
            for name, value in off.items()
        ]
    )
    return (
        fig,
        "The flow of one pair, the same carried along itself as a guess for the next pair, the truth there, and the guess's error. Mean errors: "
        + "; ".join(f"{name} {value:.2f} px" for name, value in off.items())
        + ".",
        table,
    )


def focus(flow: np.ndarray, valid: np.ndarray) -> tuple[float, float]:
    """(share of known pixels in percent that move away from the best single point, that point's column): is the camera driving ahead?

    The point is the least-squares intersection of the lines along the flow.
    """
    y, x = np.nonzero(valid)
    u, v = flow[:, valid].astype(np.float64)
    normal = np.stack(
        [-v, u], 1
    )  # the line through (x, y) along the flow: normal . q = normal . (x, y)
    target = (normal * np.stack([x, y], 1)).sum(1)
    q = np.linalg.lstsq(normal, target, rcond=None)[0]
    return 100 * float(((x - q[0]) * u + (y - q[1]) * v > 0).mean()), float(q[0])
