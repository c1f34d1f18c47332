"""What ours is shown beside: published numbers, claims with their verdicts, released checkpoints.  Pages call them as show.claims() …"""

from __future__ import annotations

from ..config import HKTError, nearest
from . import literature as books
from .groups import at, label, row
from .outputs import (
    Block,
    block,
    chip,
    ids,
    named,
    none,
    number,
    numeric,
    sentence,
    shown,
    spread,
    words,
)
from .stats import summary
from .verdicts import judge

KNOWN = {"read": "read there", "second-hand": "second-hand", "measured": "measured by us"}


def _written(value: books.Value) -> str:
    return (
        f"{value.value:.2f}"
        if value.unit in ("%", "px", "points") and round(value.value, 2) == value.value
        else f"{value.value:,g}"
    )


@shown
def literature(
    records, task: str = "cifar10", metric: str | None = None, roles: list[str] | None = None
) -> Block:
    """Published numbers of others, with source and how we know them (data/literature.yaml); none of them is ours to recompute."""
    found = [
        value
        for value in books.values(task)
        if metric in (None, value.metric) and (roles is None or value.role in roles)
    ]
    if not found:
        return sentence(f"data/literature.yaml has no such number of task {task!r}.")
    rows = [
        [
            words(v.what),
            words(v.metric),
            numeric(_written(v)),
            words(v.unit),
            words(v.role),
            words(KNOWN[v.mark]),
            words(v.source + (f" ({v.note})" if v.note else "")),
        ]
        for v in found
    ]
    return block(
        ["what", "metric", "value", "unit", "role", "how known", "source"],
        rows,
        f"Published numbers, {task}, from data/literature.yaml: single values as their sources give them, under other protocols than ours.",
        [],
        [],
        {v.id: v.value for v in found},
    )


def _beside(claim: books.Claim, known: dict[str, books.Value]) -> str:
    found = [known[name] for name in claim.beside]
    units = {
        v.id: f" {v.unit}" if v.unit in ("%", "px", "points", "million") else "" for v in found
    }
    return "; ".join(
        f"{v.what}, {v.metric} {_written(v)}{units[v.id]} ({KNOWN[v.mark]}: {v.source})"
        for v in found
    )


@shown
def claims(records, only: list[str] | None = None, brief: bool = False) -> Block:
    """Every claim with its verdict, worked out from the published records by the rule in data/claims.yaml; `brief` for a front page."""
    known, everything = (
        {value.id: value for value in books.values()},
        {claim.id: claim for claim in books.claims()},
    )
    rows, used, values = [], [], {}
    for name in everything if only is None else only:
        if name not in everything:
            raise HKTError(f"There is no claim {name!r}.{nearest(name, everything)}")
        claim = everything[name]
        v = judge(claim, records)
        said = (
            f"{v.finding}."
            + (f" At {v.scope}." if v.scope else "")
            + (f" Beside it, not deciding: {'; '.join(v.also)}." if v.also else "")
        )
        row = [
            words(name),
            words(claim.title if brief else f"{claim.title}. {claim.statement}"),
            chip(v.verdict),
            words(said),
        ]
        rows.append(row if brief else [*row, words(_beside(claim, known)), ids(v.records)])
        used += v.records
        values[name] = {"verdict": v.verdict, "numbers": v.numbers, "scope": v.scope}
    return block(
        [
            "claim",
            "what it says",
            "verdict",
            "what was measured",
            *([] if brief else ["published numbers", "records"]),
        ],
        rows,
        "The paper's claims in our words, each judged from published records by its rule in data/claims.yaml.",
        [],
        used,
        values,
    )


@shown
def criteria(records) -> Block:
    """By what rule each claim is judged, where it stands in the paper, and when the rule was committed."""
    everything = books.claims()
    rows = [
        [
            words(c.id),
            words(c.criterion),
            words(f"{c.source.where} ({KNOWN[c.source.mark]})"),
            words(c.note),
            words(str(c.committed)),
        ]
        for c in everything
    ]
    return block(
        ["claim", "criterion", "where it stands", "what the verdict does not say", "committed"],
        rows,
        "Criteria, committed before the runs they judge (data/claims.yaml).",
        [],
        [],
        {c.id: str(c.committed) for c in everything},
    )


@shown
def evals(records, task: str = "cifar10", metric: str = "accuracy") -> Block:
    """Published checkpoints that we evaluated, beside the value known for the same file under the same normalisation."""
    found = sorted(
        (
            r
            for r in records
            if r.kind == "eval" and r.task == task and not r.checkpoint.startswith("run ")
        ),
        key=lambda r: (r.checkpoint, str(r.protocol.get("normalisation")), r.id),
    )
    if not found:
        return none(
            f"evaluation of a {task} checkpoint",
            "make one with `hkt eval` and publish it with `hkt runs publish`",
        )
    rows, values, (name, digits) = [], [], named(metric)
    for r in found:
        norm, measured = r.protocol.get("normalisation"), at(r, f"metrics.{metric}")
        known = [
            v
            for v in books.values(task)
            if v.metric == metric
            and v.checkpoint
            and (v.checkpoint.sha256, v.checkpoint.normalisation) == (r.sha256, norm)
        ]
        expected = known[0].value if known else None
        off, how = (
            None if expected is None else measured - expected,
            ", ".join(dict.fromkeys(KNOWN[v.mark] for v in known)),
        )
        rows.append(
            [
                words(r.checkpoint),
                words(r.arch),
                words(str(norm)),
                numeric(f"{r.protocol.get('images', 0):,}"),
                numeric(number(measured, digits)),
                numeric(number(expected, digits)),
                numeric(number(off, digits, True)),
                words(how or "–"),
                ids([r.id]),
            ]
        )
        values.append({"checkpoint": r.checkpoint, "measured": measured, "known": expected})
    return block(
        [
            "checkpoint",
            "network",
            "normalisation",
            "images",
            name,
            "known value",
            "difference",
            "how known",
            "record",
        ],
        rows,
        f"Released checkpoints, {task}, evaluated here, beside the value known for the same file (data/literature.yaml).",
        [],
        [r.id for r in found],
        values,
    )


@shown
def elsewhere(records, task: str = "flow", metric: str = "epe", zero: str = "epe_zero") -> Block:
    """Children of published runs evaluated on other data than their own: mean ± sd over seeds, beside an answer without looking."""
    runs, groups = {r.id: r for r in records if r.kind == "run"}, {}
    for r in records:
        run = (
            runs.get(r.checkpoint.removeprefix("run "))
            if r.kind == "eval" and r.task == task and r.checkpoint.startswith("run ")
            else None
        )
        if run and run.purpose == "score":
            pairs = r.protocol.get("pairs", 0)
            corpus = f"{r.protocol.get('corpus')}" + (
                f", {pairs} pair{'s' * (pairs > 1)}" if pairs else ""
            )
            groups.setdefault(
                (
                    corpus,
                    row(run.config.method),
                    label(run.config.method, run.config.options, run.config.sites),
                    run.config.lr,
                ),
                [],
            ).append(r)
    if not groups:
        return none(
            f"evaluation of a recorded {task} child on other data",
            "make one with `hkt eval` and publish it with `hkt runs publish`",
        )
    (name, digits), rows, values = named(metric), [], []
    for (corpus, _, method, lr), found in sorted(groups.items()):
        ours, blind = (summary([at(r, f"metrics.{key}") for r in found]) for key in (metric, zero))
        rows.append(
            [
                words(corpus),
                words(method),
                numeric(str(ours.n)),
                spread(ours.mean, ours.sd, digits),
                numeric(number(blind.mean, digits)),
                words("yes" if ours.mean < 0.9 * blind.mean else "no"),
                ids([r.id for r in found]),
            ]
        )
        values.append(
            {"corpus": corpus, "method": method, "lr": lr, "mean": ours.mean, "blind": blind.mean}
        )
    return block(
        ["data", "method", "seeds", name, "without looking", "better by a tenth", "records"],
        rows,
        f"Recorded {task} children on real data they were not trained for; training was small and on embedded data.",
        [],
        [r.id for found in groups.values() for r in found],
        values,
    )
