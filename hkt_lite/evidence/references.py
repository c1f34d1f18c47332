"""What our numbers are held against: published numbers, claims with their verdicts, evaluations of
released checkpoints and of recorded children on other data."""

from ..benchmarks import get, method_class
from ..benchmarks.task import choose
from ..config import HKTError
from . import stats
from .bundles import recomputable
from .follow import drawer
from .groups import at
from .literature import Claim, Value, read_claims, read_values
from .outputs import Block, Table, chip, interval, none, numeric, sentence, signed
from .verdicts import judge
from .words import corpora, label, metric_name

KNOWN = {"read": "read there", "second-hand": "second-hand", "measured": "measured by us"}


def _written(value: Value) -> str:
    short = value.unit in ("%", "px", "points") and round(value.value, 2) == value.value
    return f"{value.value:.2f}" if short else f"{value.value:,.10g}"


@recomputable
def literature(
    records, task: str = "cifar10", metric: str | None = None, roles: list[str] | None = None
) -> Block:
    """Published numbers of others, with source and how we know them (data/literature.yaml); none
    of them is ours to recompute."""
    table, values = Table(ids="", below="source"), {}
    for v in read_values():
        if v.task != task or metric not in (None, v.metric) or (roles and v.role not in roles):
            continue
        values[v.id] = v.value
        table.row(
            {
                "what": v.what,
                "metric": v.metric,
                "value": numeric(_written(v), v.value),
                "unit": v.unit,
                "role": v.role,
                "how known": KNOWN[v.mark],
                "source": v.source + (f" ({v.note})" if v.note else ""),
            }
        )
    if not table.rows:
        return sentence(f"data/literature.yaml has no such number of task {task!r}.")
    return table.block(
        f"Published numbers, {task}, from data/literature.yaml: single values as their sources "
        "give them, under other protocols than ours.",
        values=values,
    )


def _published(claim: Claim, known: dict[str, Value]) -> str:
    """The literature's numbers that a claim is shown beside, in words."""
    said = []
    for v in (known[name] for name in claim.beside):
        unit = f" {v.unit}" if v.unit in ("%", "px", "points", "million") else ""
        said.append(f"{v.what}, {v.metric} {_written(v)}{unit} ({KNOWN[v.mark]}: {v.source})")
    return "; ".join(said)


@recomputable
def claims(records, only: list[str] | None = None, follow: bool = False) -> Block:
    """Every claim with its verdict, worked out from the published records by the rule in
    data/claims.yaml; `follow` with the way down to files and commands."""
    known = {value.id: value for value in read_values()}
    everything = {claim.id: claim for claim in read_claims()}
    table, values = Table(cards=""), {}
    for name in only or everything:
        claim = choose("claim", name, everything)
        v = judge(claim, records)
        said = f"{v.finding}."
        if v.scope:
            said += f" At {v.scope}."
        if beside := [*v.also, *v.elsewhere]:
            said += f" Beside it, not deciding: {'; '.join(beside)}."
        row = {
            "claim": f"{name} · {claim.title}",
            "verdict": chip(v.verdict),
            "what it says": claim.statement,
            "what was measured": interval(said, v.numbers),
            "published numbers": _published(claim, known),
        }
        if follow:
            row["follow this number"] = drawer(claim, v, records)
        table.row(row, v.records)
        values[name] = {"verdict": v.verdict, "numbers": v.numbers, "scope": v.scope}
    return table.block(
        "The paper's claims in our words, each judged from published records by its rule in "
        "data/claims.yaml.",
        values=values,
    )


@recomputable
def criteria(records) -> Block:
    """By what rule each claim is judged, where it stands in the paper, when the rule was committed,
    and every correction of a rule."""
    table, values, errata = Table(ids="", cards="rule-"), {}, []
    for claim in read_claims():
        values[claim.id] = claim.dates
        table.row(
            {
                "claim": f"{claim.id} · {claim.title}",
                "criterion": claim.criterion,
                "where it stands": f"{claim.source.where} ({KNOWN[claim.source.mark]})",
                "what the verdict does not say": claim.note,
                "committed": values[claim.id],
            }
        )
        errata += [f"{claim.id}, corrected {one.date}: {one.text}" for one in claim.errata]
    return table.block(
        "Criteria, committed before the runs they judge, and their corrections (data/claims.yaml)."
        + (" Corrections made later stand below." if errata else ""),
        *errata,
        values=values,
    )


@recomputable
def evals(records, task: str = "cifar10", metric: str = "accuracy") -> Block:
    """Released checkpoints that we evaluated, beside what was published for the same file under the
    same normalisation, and beside what we had measured before this project kept records."""
    name, digits = metric_name(task, metric)
    table, here = Table(digits, ids="record"), [one for one in records if one.kind == "eval"]
    here = [one for one in here if one.task == task and not one.checkpoint.startswith("run ")]
    here.sort(key=lambda one: (one.checkpoint, str(one.protocol.get("normalisation")), one.id))
    for one in here:
        measured, known = at(one, f"metrics.{metric}"), _known(one, metric)
        before = known.pop("measured", None)
        mark, published = next(iter(known.items()), ("", None))
        off = measured - published if mark else None
        table.row(
            {
                "checkpoint": one.checkpoint,
                "network": one.arch,
                "normalisation": str(one.protocol.get("normalisation")),
                "images": one.protocol.get("images", 0),
                name: measured,
                "published value": published,
                "difference": numeric(signed(off, digits), off),
                "how known": KNOWN.get(mark, "–"),
                "measured by us before": before,
            },
            [one.id],
        )
    if not table.rows:
        return none(f"evaluation of a {task} checkpoint", "make one with `hkt eval` and publish it")
    return table.block(
        f"Released checkpoints, {task}, evaluated here, beside the value published for the same "
        "file and beside our own earlier measurement of it (data/literature.yaml)."
    )


def _known(record, metric: str) -> dict[str, float]:
    """mark -> literature's value of an evaluated file under its normalisation."""
    wanted = (record.task, metric, record.sha256, record.protocol.get("normalisation"))
    found = {}
    for value in read_values():
        file = value.checkpoint
        if file and (value.task, value.metric, file.sha256, file.normalisation) == wanted:
            found.setdefault(value.mark, value.value)
    return found


@recomputable
def elsewhere(records, task: str = "flow", metric: str = "epe") -> Block:
    """Children of published runs evaluated on other data than their own: mean ± sd over seeds,
    beside an answer without looking (`Task.zero`)."""
    groups = _evaluated(records, task)
    if not groups:
        return none(
            f"evaluation of a recorded {task} child on other data",
            "make one with `hkt eval` and publish it",
        )
    kind, (name, digits) = get(task), metric_name(task, metric)
    if metric not in kind.zero:
        raise HKTError(f"Task {task!r} has no answer without looking for metric {metric!r}.")
    zero, table = kind.zero[metric], Table(digits)
    for (corpus, _, variant, _, trained, _), found in sorted(groups.items()):
        ours = stats.summary([at(one, f"metrics.{metric}") for one in found])
        blind = stats.summary([at(one, f"metrics.{zero}") for one in found]).mean
        better = kind.learnt({metric: ours.mean, zero: blind})
        table.row(
            {
                "data": corpus,
                "method": variant,
                "trained on": trained,
                "seeds": ours.n,
                name: ours,
                "without looking": blind,
                "better by a tenth": "yes" if better else "no",
            },
            [one.id for one in found],
        )
    return table.block(
        f"Recorded {task} children and their parents on real data they were not trained for."
    )


def _evaluated(records, task: str) -> dict[tuple, list]:
    """(data, place in tables, label, learning rate, training data, all but the seed) -> evaluations
    of children of score runs, and before them of their parents."""
    scored = [one for one in records if one.kind == "run" and one.purpose == "score"]
    runs = {f"run {one.id}": one.config for one in scored}
    lent = {one.parent.sha256: one.config for one in scored if one.parent}
    groups: dict[tuple, list] = {}
    for one in records:
        if one.kind != "eval" or one.task != task:
            continue
        config = runs.get(one.checkpoint) or lent.get(one.sha256)
        if not config:
            continue
        place = method_class(config.method).order, label(config), config.lr
        if one.checkpoint not in runs:
            place = -1, f"the parent, {one.arch}", 0.0
        corpus = str(one.protocol.get("corpus"))
        if pairs := one.protocol.get("pairs", 0):
            corpus += f", {pairs} pair{'s' * (pairs > 1)}"
        if times := one.protocol.get("shrunk"):
            corpus += f", shrunk {times} times"
        key = (corpus, *place, corpora(config), config.but(seed=0).id)
        groups.setdefault(key, []).append(one)
    return groups
