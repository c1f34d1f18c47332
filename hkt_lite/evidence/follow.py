"""From a verdict down to its files: dots, interval, rule, configuration, record, command.

show.claims(follow=True)                                                          # in a notebook

Each step is a piece of HTML made from the records that judge the claim; without scripts the steps
are a numbered list, with them book/_static/live/follow.js shows one after the other.
"""

from collections.abc import Sequence
from html import escape

from scipy import stats as distributions

from ..runs.records import Record, filename
from ..runs.reproduce import evaluation
from ..runs.store import manifest
from .groups import Group, at, common, observed
from .literature import Claim
from .outputs import Cell, Table, moving, number, signed
from .verdicts import Verdict
from .words import label, metric_name, sign

SHOWN = (  # of a configuration, whether or not it differs
    *("task", "source", "scale", "parent", "child", "train_size", "epochs", "batch_size"),
    *("schedule", "method", "options", "sites", "lr", "weight_decay"),
)


def drawer(claim: Claim, verdict: Verdict, records: Sequence[Record]) -> Cell:
    """The steps of one claim behind a toggle."""
    found = steps(claim, verdict, records)
    listed = "".join(f"<li><strong>{name}.</strong> {html}</li>" for name, html in found.items())
    data = {"claim": claim.id, "steps": list(found), **dots(claim, verdict.groups)}
    html = (
        f'<details class="hkt-drawer"><summary>Follow the number of {claim.id}</summary>'
        f'{moving(("follow", data))}<ol class="hkt-still">{listed}</ol></details>'
    )
    return Cell(" → ".join(map(str.lower, found)), html)


def steps(claim: Claim, verdict: Verdict, records: Sequence[Record]) -> dict[str, str]:
    """What the number was made of, {step: HTML}, by the records that decide and not those beside;
    of a claim without records the rule and what it waits for."""
    groups = verdict.groups
    used = [one.runs[seed] for one in groups for seed in common(*groups)]
    used = used or [one for one in records if one.id in verdict.records]
    rule = f"{claim.criterion} Committed {claim.dates}. So: {verdict.verdict}"
    if not used:
        return {"Rule": _paragraph(f"{rule}, for {verdict.finding}.")}
    again = _paragraph("Each line makes one of these records again:")
    commands = "\n".join(
        f"hkt reproduce {one.id}" if one.kind == "run" else evaluation(one) for one in used
    )
    return {
        "Dots": _table_of_dots(claim, groups, used),
        "Interval": _paragraph(_interval(claim, verdict)),
        "Rule": _paragraph(f"{rule}."),
        "Configuration": _configuration(groups, used),
        "Record files": _files(used),
        "Command": f"{again}<pre><code>{escape(commands)}</code></pre>",
    }


def dots(claim: Claim, groups: Sequence[Group]) -> dict:
    """The two values of each seed, as the picture draws them, and Student's t for the interval; {}
    of a claim that is not about a difference."""
    if claim.rule.kind != "paired" or not groups:
        return {}
    of, to = (one.scores(claim.rule.metric) for one in groups)
    seeds = common(*groups)
    axis, digits = metric_name(claim.evidence.task, claim.rule.metric)
    return {
        "axis": f"test {axis}",
        "digits": digits,
        "names": [one.label for one in groups],
        "seeds": seeds,
        "of": [of[seed] for seed in seeds],
        "to": [to[seed] for seed in seeds],
        "sign": sign(claim.evidence.task),
        "t": _students(len(seeds)),
    }


def _students(n: int) -> float:
    return float(distributions.t.ppf(0.975, n - 1))


def _table_of_dots(claim: Claim, groups: Sequence[Group], used: Sequence[Record]) -> str:
    rule = claim.rule
    if rule.kind == "evaluation":
        table = Table(ids="record")
        for one in used:
            table.row({rule.metric: at(one, f"metrics.{rule.metric}")}, [one.id])
        return table.block("What was measured").html
    name, digits = metric_name(claim.evidence.task, rule.metric)
    table = Table(digits)
    for seed in common(*groups):
        row, runs = {"seed": seed}, [one.runs[seed] for one in groups]
        for one, run in zip(groups, runs):
            row |= _values(claim, one.label, run)
        if rule.kind == "paired":
            of, to = (row[one.label] for one in groups)
            row["difference"] = sign(claim.evidence.task) * (of - to)
        table.row(row, [run.id for run in runs])
    what = f"Test {name}, epoch chosen on validation data" if rule.metric else "By seed"
    return table.block(what).html


def _values(claim: Claim, who: str, run) -> dict:
    """What the rule looks at in one run."""
    rule = claim.rule
    if rule.kind == "same":
        return {f"{who}: {path.split('.')[-1]}": at(run, path) for path in rule.fields}
    if rule.kind == "selective":
        q = observed(run, -1, rule.name)
        return {f"median {rule.name}": q["q50"], "5 %": q["q05"], "95 %": q["q95"]}
    return {who: run.selected.test[rule.metric]}


def _interval(claim: Claim, verdict: Verdict) -> str:
    v, kind = verdict.numbers, claim.rule.kind
    if kind in ("paired", "level"):
        digits = metric_name(claim.evidence.task, claim.rule.metric)[1]
        mean, low, high = (signed(v[key], digits) for key in ("mean", "low", "high"))
        said = f"The mean over {v['n']} seeds is {mean}, its 95 % t-interval [{low}, {high}]"
        if kind == "paired":
            t, sd = number(_students(v["n"])), number(v["sd"], digits)
            said += (
                f": {mean} ± {t} × {sd} / √{v['n']}, where {t} is Student's t and {sd} the "
                "standard deviation of the differences"
            )
        return f"{said}."
    alone = "one file, one number" if kind == "evaluation" else "each record is judged by itself"
    return f"None, for {alone}: {verdict.finding}."


def _configuration(groups: Sequence[Group], used: Sequence[Record]) -> str:
    if not groups:
        return _paragraph("; ".join(f"{k}: {v}" for k, v in used[0].protocol.items()) + ".")
    table = Table(ids="")
    for field in SHOWN:
        values = [getattr(one.config, field) for one in groups]
        row = {one.label: _said(value) for one, value in zip(groups, values)}
        table.row({"field": field, **row})
    return table.block(
        "Equal in all but what the two methods are, the rate tuned for each, and the seed"
    ).html


def _said(value) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={item}" for key, item in value.items()) or "the usual"
    if value in (None, ""):
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value}"


def _files(used: Sequence[Record]) -> str:
    table, known = Table(ids="record"), manifest()
    for one in used:
        name = filename(one)
        what = label(one.config) if one.kind == "run" else one.checkpoint
        digest = known.get(name, "")
        row = {"what": what, "file": f"data/results/{name}", "SHA-256": digest[:16] or "–"}
        table.row(row, [one.id])
    return table.block("The files, as MANIFEST.json lists them").html


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"
