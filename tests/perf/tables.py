"""The tables of what was measured, in the texts that show them.   python -m tests.perf.tables

`python -m tests.perf.speed --write` and `python -m tests.perf.growth --write` measure; the tables in
README and book are then made of these files, between two marks, and a test compares them with them.
"""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from hkt_lite.config import PROJECT, HKTError
from hkt_lite.evidence.release import between
from hkt_lite.files import read_json
from hkt_lite.runs.store import published

FOLDER = PROJECT / "data" / "measured"
TEXTS = {"README.md": ["speed"], "book/what_grows.md": ["speed", "device", "growth", "arithmetic"]}
END = "<!-- end of measured -->"
IMAGENET = {  # the assumptions; operations are twice the multiply-adds of one forward pass
    "images": 1_281_167,
    "epochs": 90,
    "child": 8.2e9,  # ResNet-50
    "parent": 23.1e9,  # ResNet-152
    "features": 2048,
    "classes": 1000,
    "speed": 989e12 * 0.3,  # an H100's dense bf16 peak, of which training reaches a third
    "price": 2.5,  # dollars an hour of it
}
STUDY = {"runs": 1000, "price": 0.05}  # dollars an hour of one core


def renew(root: Path = PROJECT) -> list[Path]:
    """Renew all tables of what was measured; the files they stand in."""
    for text, names in TEXTS.items():
        for name in names:
            between(root / text, table(name), f"the table {name!r}")
    return [root / text for text in TEXTS]


def table(name: str) -> str:
    """A table between its marks; a sentence where nothing was measured yet."""
    return "\n".join([f"<!-- measured: {name} -->", "", MADE[name](), "", END])


def _of(file: str, render: Callable[[dict], str]) -> str:
    path, command = FOLDER / f"{file}.json", f"python -m tests.perf.{file} --write"
    if not path.is_file():
        return f"*Not measured yet: `{command}`.*"
    try:
        return render(read_json(path, "measurement"))
    except (KeyError, TypeError, ValueError):
        raise HKTError(f"{path} is no measurement of `{command}`; measure it again.") from None


def made() -> dict:
    """Where and when something was measured, and how busy the machine was."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "load": load,
    }


def measured_on(facts: dict) -> str:
    """`made` in words."""
    busy = "" if facts["load"] is None else f", load {facts['load']:.1f} at its end"
    return (
        f"Measured {facts['date']} on {facts['machine']}, Python {facts['python']}, torch "
        f"{facts['torch']}{busy}."
    )


def speed(found: dict) -> str:
    """The ratios of tests/perf/speed.py as a table."""
    lines = ["| measured | ratio | median | least | most |", "|---|---|---|---|---|"]
    for one in found["benches"]:
        for name, (middle, low, high) in one["ratios"].items():
            lines.append(f"| {one['name']} | {name} | {middle:.2f} | {low:.2f} | {high:.2f} |")
    return "\n".join([*lines, "", measured_on(found["made"])])


def device(found: dict) -> str:
    """The shares of tests/perf/device.py as a table, and what several trainings at once reach."""
    lines = ["| precision | what | share of | median | least | most |", "|---|---|---|---|---|---|"]
    for one in found["benches"]:
        for name, (middle, low, high) in one["ratios"].items():
            most, what = name.split(" / ")
            row = f"{one['setting']['precision']} | {what} | {most}"
            lines.append(f"| {row} | {middle:.0%} | {low:.0%} | {high:.0%} |")
    count, times = found["together"]["count"], found["together"]["times"]
    for precision, value in times.items():
        lines.append(
            f"| {precision} | images a second, {count} at once | one training | {value:.0%} | | |"
        )
    where = found["benches"][0]["setting"]["device"]
    return "\n".join([*lines, "", f"ResNet-20 on {where}. {measured_on(found['made'])}"])


def growth(found: dict) -> str:
    """Each series of tests/perf/growth.py as ratios: how much more for how much more."""
    lines = ["| what | sizes | time, times that of the size before | memory or disk |"]
    lines.append("|---|---|---|---|")
    for one in found["series"]:
        sizes, seconds = one["sizes"], one["seconds"]
        if len(sizes) < 2:
            continue  # one size tells nothing of growth, such as a single executed page
        steps = [f"× {now / before:.2g}" for before, now in zip(seconds, seconds[1:])]
        mib = [value for value in one["mib"] if value is not None]
        size = f"{mib[0]:.3g} to {mib[-1]:.3g} MiB" if mib else "–"
        said = ", ".join(f"{value:,}" for value in sizes)
        if len(sizes) > 6:
            said, steps = f"1 to {sizes[-1]}", [f"× {seconds[-1] / seconds[0]:.2g} in all"]
        lines.append(f"| {one['what']} | {said} | {', '.join(steps)} | {size} |")
    return "\n".join([*lines, "", measured_on(found["made"])])


def _arithmetic() -> str:
    runs = [one for one in published() if one.kind == "run" and one.config.task == "cifar10"]
    runs = [one for one in runs if one.config.scale == "cpu" and one.purpose == "score"]
    if not runs:
        return "*No run of CIFAR-10 at cpu scale is published yet.*"
    seconds = median(run.cost.seconds for run in runs)
    return arithmetic(seconds, runs[0].cost.parameters)


def arithmetic(seconds: float, parameters: int) -> str:
    """What larger studies would cost, shown as the multiplications that give it.

    `seconds` is the median of a recorded run, `parameters` its child's.
    """
    a = IMAGENET
    operations = a["images"] * a["epochs"] * (3 * a["child"] + a["parent"])
    hours = operations / a["speed"] / 3600
    row = 2 * (a["features"] + a["classes"])
    study = STUDY["runs"] * seconds / 3600
    disk = 20 * parameters * STUDY["runs"]
    lines = [
        "| study | arithmetic | result |",
        "|---|---|---|",
        f"| HKT on ImageNet, one seed | {a['images']:,} images × {a['epochs']} epochs × (3 × "
        f"{a['child'] / 1e9:g} + {a['parent'] / 1e9:g}) · 10⁹ operations ÷ "
        f"{a['speed'] / 1e12:.0f} · 10¹² a second | {hours:.1f} hours of one GPU |",
        f"| its price | {hours:.1f} hours × {a['price']} dollars | {hours * a['price']:.0f} "
        "dollars |",
        f"| a cache of its parent | {a['images']:,} images × 2 bytes × ({a['features']} + "
        f"{a['classes']}) numbers | {a['images'] * row / 2**30:.1f} GiB a view |",
        f"| {STUDY['runs']:,} runs like the recorded ones | {STUDY['runs']:,} × {seconds:,.0f} "
        f"seconds | {study:,.0f} hours of one core |",
        f"| their price | {study:,.0f} hours × {STUDY['price']} dollars | "
        f"{study * STUDY['price']:,.0f} dollars |",
        f"| their disk | {STUDY['runs']:,} × 20 bytes × {parameters:,} parameters | "
        f"{disk / 2**30:.1f} GiB |",
    ]
    return "\n".join(lines)


MADE: dict[str, Callable[[], str]] = {
    "speed": lambda: _of("speed", speed),
    "device": lambda: _of("device", device),
    "growth": lambda: _of("growth", growth),
    "arithmetic": _arithmetic,
}


if __name__ == "__main__":
    print("\n".join(map(str, renew())))
