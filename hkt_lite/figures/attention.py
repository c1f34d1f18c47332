"""Figures of Genetic Attention: a point on a line, the gate, its kinds.  Arrays in -> (figure, alt text, table)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ..evidence import style

KINDS = {
    "gate": (style.INHERITED, "D"),
    "forward_gate": (style.INHERITED, "v"),
    "static": (style.PEERS[2], "P"),
    "softmax": (style.PEERS[0], "X"),
}  # kind -> colour, marker
SERIES = ((style.CHILD, "o"), (style.INHERITED, "D"), (style.PEERS[2], "s"))


def sigmoid(s):
    """1 / (1 + exp(-s)), without overflow for long negative s."""
    return 0.5 * (1 + np.tanh(0.5 * np.asarray(s, dtype=float)))


def _short(table: pd.DataFrame) -> pd.DataFrame:
    """Numbers to three significant digits."""
    return table.map(lambda v: float(f"{v:.3g}") if isinstance(v, (float, np.floating)) else v)


def _vector(ax, start, end, colour: str, width: float = 2.0, dashed: bool = False) -> None:
    arrow = {
        "arrowstyle": "-|>",
        "color": colour,
        "linewidth": width,
        "shrinkA": 0,
        "shrinkB": 0,
        "linestyle": (0, (4, 2)) if dashed else "-",
        "mutation_scale": 13,
    }
    _ = ax.annotate("", xy=end, xytext=start, arrowprops=arrow)


def segment(c: Sequence[float], p: Sequence[float], lam: float = 0.6):
    """The released mixture of a child's feature c and a parent's p of two channels: GA and m on the line "
    "between them."""
    c, p = np.asarray(c, dtype=float), np.asarray(p, dtype=float)
    g = float(sigmoid(c @ p / np.sqrt(2)))
    attention, m = g * p + (1 - g) * c, c + lam * (1 - g) * (p - c)
    fig, ax = style.axes(height=4.1)
    _ = ax.plot(*np.stack([c, p]).T, color=style.TRUTH, linewidth=1.2, zorder=1)
    for end, colour in ((c, style.CHILD), (p, style.PARENT)):
        _vector(ax, (0, 0), end, colour)
    shift = np.array([(p - c)[1], -(p - c)[0]]) / np.linalg.norm(p - c) * 0.09  # beside the line
    _vector(ax, attention + shift, p + shift, style.PEERS[0])
    _vector(ax, c + shift, m + shift, style.INHERITED, 2.6)
    _ = ax.plot(*attention, "s", color="white", markeredgecolor=style.TRUTH, markersize=8, zorder=3)
    _ = ax.plot(*m, "D", color=style.INHERITED, markersize=9, zorder=3)
    said = (
        ("c, the child's", c, style.CHILD, (8, -12), "left"),
        ("p, the parent's", p, style.PARENT, (-8, 4), "right"),
        ("m, the mixture", m, style.INHERITED, (-12, -6), "right"),
        (f"GA, at share g = {g:.2f}", attention, style.TRUTH, (-12, -6), "right"),
    )
    for text, at, colour, offset, side in said:
        _ = ax.annotate(
            text, at, xytext=offset, textcoords="offset points", color=colour, ha=side, fontsize=10
        )
    for text, at, colour in (
        (r"$p - GA$", (attention + p) / 2, style.PEERS[0]),
        (rf"$\lambda\,(p - GA)$, $\lambda$ = {lam:g}", (c + m) / 2, style.INHERITED),
    ):
        _ = ax.annotate(
            text,
            at + shift,
            xytext=(8, 0),
            textcoords="offset points",
            color=colour,
            fontsize=10,
            va="center",
        )
    ax.set(xlabel="channel 1", ylabel="channel 2", aspect="equal", xlim=(-0.4, 3.1), ylim=(0, 1.9))
    table = pd.DataFrame(
        [
            {
                "point": name,
                "channel 1": at[0],
                "channel 2": at[1],
                "share of the way from c to p": share,
            }
            for name, at, share in (
                ("c", c, 0.0),
                ("GA", attention, g),
                ("m", m, lam * (1 - g)),
                ("p", p, 1.0),
            )
        ]
    ).round(3)
    alt = (
        f"Two arrows from the origin, the child's feature c and the parent's p, and the line between their tips. "
        f"On the line lie GA, at a share of "
        f"{g:.2f} from c to p, and the mixture m, at {lam * (1 - g):.2f}. The arrow from c to m is {lam:g} times "
        f"the arrow from GA to p."
    )
    return fig, alt, table


def gate(pairs: Mapping[str, tuple[np.ndarray, np.ndarray]], lam: float = 0.6):
    """Left the gate over similarity with live pairs on it, right the inherited share over the cosine.

    pairs {child: (similarity <c,p>/sqrt(C) (N,), cosine (N,))}; the table has a third of the images a row, by cosine.
    """
    fig, (left, right) = style.axes(1, 2, height=3.7)
    longest = max(float(np.quantile(s, 0.95)) for s, _ in pairs.values())
    x = np.linspace(-4, max(8.0, min(longest, 20.0)), 300)
    _ = left.axvspan(x[0], 0, color="#EEEEEE", zorder=0)
    _ = left.text(
        x[0] / 2, 0.97, "not after\na ReLU", ha="center", va="top", fontsize=8, color=style.TRUTH
    )
    _ = left.plot(x, sigmoid(x), color=style.TRUTH, linewidth=1.3, label="gate g")
    _ = left.plot(
        x,
        lam * sigmoid(-x),
        color=style.INHERITED,
        linewidth=1.3,
        linestyle="--",
        label=r"share $\lambda(1-g)$",
    )
    _ = right.axhline(lam / 2, color=style.TRUTH, linewidth=1, linestyle="--")
    _ = right.annotate(
        r"$\lambda/2$",
        (0.02, lam / 2),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        fontsize=9,
    )
    rows = []
    for (name, (s, cosine)), (colour, marker) in zip(pairs.items(), SERIES):
        share, inside = lam * sigmoid(-s), s <= x[-1]
        _ = left.plot(
            s[inside],
            sigmoid(s[inside]),
            marker,
            color=colour,
            markersize=4,
            alpha=0.35,
            markeredgewidth=0,
        )
        _ = right.plot(
            cosine,
            share,
            marker,
            color=colour,
            markersize=4,
            alpha=0.45,
            markeredgewidth=0,
            label=name,
        )
        for third, part in zip(
            ("least alike", "middle", "most alike"),
            np.array_split(np.argsort(cosine, kind="stable"), 3),
        ):
            rows.append(
                {
                    "child": name,
                    "third of the images": third,
                    "mean cosine": cosine[part].mean(),
                    "median share": np.median(share[part]),
                    "most": share[part].max(),
                }
            )
    left.set(
        xlabel=r"similarity $\langle c,p\rangle/\sqrt{C}$",
        ylabel="gate, share",
        ylim=(-0.02, 1.04),
        xlim=(x[0], x[-1]),
    )
    right.set(
        xlabel="cosine of c and p",
        ylabel=r"share of the way, $\lambda(1-g)$",
        ylim=(-0.01, lam / 2 * 1.2),
    )
    _ = left.legend(loc="center right", fontsize=8.5)
    _ = fig.legend(
        *right.get_legend_handles_labels(), loc="outside lower center", ncols=len(pairs), fontsize=9
    )
    said = "; ".join(
        f"{name}: median share {np.median(lam * sigmoid(-s)):.3g}, {np.mean(s > x[-1]):.0%} of the pairs lie "
        f"right of the drawing"
        for name, (s, _) in pairs.items()
    )
    alt = (
        f"Left, the logistic gate rises from a half at similarity 0 towards 1 while the share falls from "
        f"{lam / 2:g} towards 0, with live pairs as "
        f"dots on the curve. Right, the share over the cosine of child and parent, below {lam / 2:g} everywhere. "
        f"{said}."
    )
    return fig, alt, _short(pd.DataFrame(rows))


def lengths(
    depths: Sequence[int], modes: Mapping[str, Mapping[str, Sequence[float]]], lam: float = 0.6
):
    """Untrained children by depth: length of the feature, cosine with the parent's, share of the way that is inherited.

    modes {'training mode': {'length': medians by depth, 'cosine': ..., 'share': ..., 'exactly 0': part of images}}.
    """
    fig, axes = style.axes(1, 3, height=3.3)
    x, rows = np.arange(len(depths)), []
    titles = {
        "length": r"length $\|c\|$",
        "cosine": "cosine of c and p",
        "share": r"share $\lambda(1-g)$",
    }
    for ax, (key, title) in zip(axes, titles.items()):
        for (mode, values), (colour, marker), dash in zip(modes.items(), SERIES, ("-", "--", ":")):
            shown = np.maximum(values[key], 1e-9) if key == "share" else values[key]
            _ = ax.plot(x, shown, color=colour, marker=marker, linestyle=dash, label=mode)
        ax.set_xticks(x, depths)
        ax.set(title=title, xlabel="depth of the child")
    axes[0].set_yscale("log")
    axes[1].set_ylim(0, 1)
    axes[2].set(yscale="log", ylim=(1e-11, 1))
    _ = axes[2].axhline(lam / 2, color=style.TRUTH, linewidth=1, linestyle="--")
    _ = axes[2].axhspan(1e-11, 4e-9, color="#EEEEEE", zorder=0)
    _ = axes[2].text(
        0.03,
        7e-11,
        "exactly 0",
        fontsize=8,
        color=style.TRUTH,
        transform=axes[2].get_yaxis_transform(),
        va="center",
    )
    _ = fig.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(modes)
    )
    for mode, values in modes.items():
        rows += [
            {
                "child": f"ResNet-{depth}, {mode}",
                "median length": values["length"][i],
                "median cosine": values["cosine"][i],
                "median share": values["share"][i],
                "images with share exactly 0 (%)": 100 * values["exactly 0"][i],
            }
            for i, depth in enumerate(depths)
        ]
    said = "; ".join(
        f"{mode}: length from {v['length'][0]:.3g} to {v['length'][-1]:.3g}, share from {v['share'][0]:.2g} to "
        f"{v['share'][-1]:.2g}"
        for mode, v in modes.items()
    )
    alt = (
        f"Three panels over the depth of untrained children, {depths[0]} to {depths[-1]} layers: length, cosine, "
        f"inherited share. {said}."
    )
    return fig, alt, _short(pd.DataFrame(rows))


def plane(c: np.ndarray, p: np.ndarray, mixtures: Mapping[str, np.ndarray]):
    """One pair (C,) and its mixtures by kind in the plane that c and p span; every mixture lies in it exactly."""
    along = c / np.linalg.norm(c)
    across = p - (p @ along) * along
    across = across / np.linalg.norm(across)
    flat = {
        name: np.array([v @ along, v @ across]) for name, v in {"c": c, "p": p, **mixtures}.items()
    }
    fig, ax = style.axes(height=4.2)
    _ = ax.plot(
        *np.stack([flat["c"], flat["p"]]).T,
        color=style.TRUTH,
        linewidth=1.2,
        zorder=1,
        label="from c to p",
    )
    for name, colour in (("c", style.CHILD), ("p", style.PARENT)):
        _vector(ax, (0, 0), flat[name], colour)
        _ = ax.annotate(
            name, flat[name], xytext=(6, 6), textcoords="offset points", color=colour, fontsize=12
        )
    for name in mixtures:
        colour, marker = KINDS[name]
        _ = ax.plot(
            *flat[name],
            marker,
            color=colour,
            markersize=9,
            linestyle="none",
            label=name,
            markeredgecolor="white",
            zorder=3,
        )
    every = np.stack([*flat.values(), np.zeros(2)])
    room = 0.1 * np.ptp(every, axis=0)
    ax.set(
        xlabel="along c",
        ylabel="across, towards p",
        xlim=(every[:, 0].min() - room[0], every[:, 0].max() + room[0]),
        ylim=(every[:, 1].min() - room[1], every[:, 1].max() + room[1]),
    )
    _ = fig.legend(loc="outside right center")
    rows = []
    for name, at in flat.items():
        of_c, of_p = (
            np.linalg.lstsq(np.stack([flat["c"], flat["p"]], 1), at, rcond=None)[0].round(6) + 0.0
        )
        rows.append(
            {
                "point": name,
                "times c": of_c,
                "times p": of_p,
                "sum": of_c + of_p,
                "length": np.linalg.norm(at),
            }
        )
    said = "; ".join(
        f"{row['point']} is {row['times c']:.2f} c + {row['times p']:.2f} p" for row in rows[2:]
    )
    return (
        fig,
        f"The plane of one child feature c and one parent feature p with the mixtures of {len(mixtures)} kinds: "
        f"{said}.",
        pd.DataFrame(rows).round(3),
    )


def maps(images: np.ndarray, shares: Mapping[str, np.ndarray], lam: float = 0.6):
    """Images over maps of the weight that each kind gives the parent's feature at every position, one row an image.

    images uint8 (n, H, W, 3); shares {kind: (n, h, w)}, all on one scale from 0 to 1.
    """
    n = len(images)
    fig, axes = style.axes(n, 1 + len(shares), height=1.25 * n + 0.5, squeeze=False)
    for i, row in enumerate(axes):
        _ = row[0].imshow(images[i], interpolation="nearest")
        for ax, (kind, values) in zip(row[1:], shares.items()):
            shown = ax.imshow(values[i], cmap="cividis", vmin=0, vmax=1, interpolation="nearest")
            ax.set_title(kind if i == 0 else "", fontsize=10)
        for ax in row:
            ax.set(xticks=[], yticks=[])
    axes[0, 0].set_title("image", fontsize=10)
    _ = fig.colorbar(shown, ax=axes, label="weight of p", shrink=0.8)
    table = pd.DataFrame(
        [
            {
                "image": i + 1,
                "kind": kind,
                "lowest": values[i].min(),
                "median": np.median(values[i]),
                "highest": values[i].max(),
            }
            for i in range(n)
            for kind, values in shares.items()
        ]
    )
    said = "; ".join(
        f"{kind} between {values.min():.2g} and {values.max():.2g}"
        for kind, values in shares.items()
    )
    return (
        fig,
        f"{n} images, each beside a map of the parent's weight for {len(shares)} kinds of Genetic Attention: {said}.",
        _short(table),
    )
