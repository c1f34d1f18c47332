"""A claim's verdict, worked out from published records by the rule in data/claims.yaml.   judge(claim, published())

Nobody writes a verdict by hand: other records, another verdict.  What each kind of rule means is said at the top of that file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..benchmarks import get
from ..runs.records import EvalRecord, RunRecord
from . import stats
from .groups import Cohort, at, chosen, cohorts, common, label, panels, scope
from .literature import Claim, Variant

REPRODUCED, PARTLY, NOT, CANNOT = "reproduced", "partly", "not reproduced", "cannot be tested here"


@dataclass(frozen=True)
class Verdict:
    """`finding` says what was measured, `scope` at which scale and on what; `records` are the ids it rests on."""

    verdict: str
    finding: str
    scope: str = ""
    numbers: dict = field(default_factory=dict)
    records: tuple[str, ...] = ()
    also: tuple[str, ...] = ()


def judge(claim: Claim, records: Sequence[RunRecord | EvalRecord]) -> Verdict:
    """The verdict on one claim.  Raises HKTError where the records do not have what the rule asks for."""
    if claim.rule.kind == "cannot":
        return Verdict(CANNOT, claim.rule.reason)
    return _JUDGES[claim.rule.kind](claim, records)


def _cohorts(claim: Claim, records, *variants: Variant) -> tuple[list[Cohort], list[Cohort]]:
    """(one cohort a variant, all that is comparable with them) from the first scale, then the largest budget, with enough seeds."""
    wanted = claim.evidence
    for scale in wanted.scales:
        for panel in panels(cohorts(records, task=wanted.task, source=wanted.source, scale=scale)):
            first = [
                group
                for group in panel
                if all(
                    getattr(run.config, key) == value
                    for run in group.runs.values()
                    for key, value in wanted.where.items()
                )
            ]
            found = [
                chosen(panel if i else first, variant.method, variant.options, variant.sites)
                for i, variant in enumerate(variants)
            ]
            if (
                all(found)
                and len(set.intersection(*(set(group.runs) for group in found))) >= wanted.seeds
            ):
                return found, panel
    return [], []


def _missing(claim: Claim, *variants: Variant) -> Verdict:
    names = " and ".join(
        label(variant.method, variant.options, variant.sites) for variant in variants
    )
    evidence = claim.evidence
    return Verdict(
        CANNOT,
        f"there are not yet {evidence.seeds} published seeds of {names} on {evidence.source} data at "
        f"{' or '.join(evidence.scales)} scale",
    )


def _sign(claim: Claim) -> int:
    return 1 if get(claim.evidence.task).higher_is_better else -1


def _level(claim: Claim, records) -> Verdict:
    rule = claim.rule
    found, _ = _cohorts(claim, records, rule.of)
    if not found:
        return _missing(claim, rule.of)
    s, sign = stats.summary(list(found[0].scores(rule.metric).values())), _sign(claim)
    best = max(sign * s.low, sign * s.high)
    verdict = (
        REPRODUCED
        if sign * s.mean >= sign * rule.target
        else PARTLY
        if best >= sign * rule.target
        else NOT
    )
    return Verdict(
        verdict,
        f"{found[0].label}: mean {s.mean:.2f} [{s.low:.2f}, {s.high:.2f}] over {s.n} seeds, claimed {rule.target:.2f}",
        scope(found),
        {"mean": s.mean, "low": s.low, "high": s.high, "n": s.n, "target": rule.target},
        tuple(found[0].ids),
    )


def difference(
    a: Cohort, b: Cohort, metric: str, sign: int = 1
) -> tuple[stats.Paired, str, list[str]]:
    """Paired difference a - b (positive: a is better), the sentence that says it, and the records' ids."""
    first, second, ids = common(a, b, metric)
    d = stats.paired([sign * value for value in first], [sign * value for value in second])
    return (
        d,
        f"{a.label} minus {b.label}: {d.mean:+.2f} [{d.low:+.2f}, {d.high:+.2f}], {d.n} seeds, p = {d.p:.2g}".replace(
            "-", "−"
        ),
        ids,
    )


def _paired(claim: Claim, records) -> Verdict:
    rule = claim.rule
    found, panel = _cohorts(claim, records, rule.of, rule.to)
    if not found:
        return _missing(claim, rule.of, rule.to)
    d, finding, ids = difference(*found, rule.metric, _sign(claim))
    verdict = REPRODUCED if d.low > 0 else PARTLY if d.mean > 0 else NOT
    also = []
    for variant in claim.also:
        group = chosen(panel, variant.method, variant.options, variant.sites)
        if group and len(set(group.runs) & set(found[1].runs)) >= claim.evidence.seeds:
            _, words, more = difference(group, found[1], rule.metric, _sign(claim))
            also.append(words)
            ids += [name for name in more if name not in ids]
    return Verdict(verdict, finding, scope(found), d._asdict(), tuple(ids), tuple(also))


def _same(claim: Claim, records) -> Verdict:
    rule = claim.rule
    found, _ = _cohorts(claim, records, rule.of, rule.to)
    if not found:
        return _missing(claim, rule.of, rule.to)
    numbers, finding = {}, []
    for path in rule.fields:
        mine, theirs = ({at(run, path) for run in group.runs.values()} for group in found)
        numbers[path] = [sorted(mine), sorted(theirs)]
        name = path.split(".")[-1].replace("flops", "floating-point operations")
        values = [" or ".join(f"{value:,}" for value in sorted(group)) for group in (mine, theirs)]
        finding.append(
            f"{values[0]} {name}"
            + (" in both" if mine == theirs and len(mine) == 1 else f" against {values[1]}")
        )
    equal = all(len(mine) == 1 and mine == theirs for mine, theirs in numbers.values())
    return Verdict(
        REPRODUCED if equal else NOT,
        "; ".join(finding),
        scope(found),
        numbers,
        tuple(found[0].ids + found[1].ids),
    )


def _selective(claim: Claim, records) -> Verdict:
    rule = claim.rule
    found, _ = _cohorts(claim, records, rule.of)
    if not found:
        return _missing(claim, rule.of)
    last = [
        at(run, f"epochs.{len(run.epochs) - 1}.inherited.{rule.name}")
        for _, run in sorted(found[0].runs.items())
    ]
    medians = [q["q50"] for q in last]
    spreads = [(q["q95"] - q["q05"]) / q["q50"] if q["q50"] > 0 else 0.0 for q in last]
    active, both = (
        [m >= rule.active for m in medians],
        [m >= rule.active and s >= rule.spread for m, s in zip(medians, spreads)],
    )
    verdict = REPRODUCED if all(both) else PARTLY if any(active) else NOT
    finding = (
        f"median share inherited {min(medians):.3f} to {max(medians):.3f} (active from {rule.active:g}), middle 90 % of images spread over "
        f"{min(spreads):.2f} to {max(spreads):.2f} medians (selective from {rule.spread:g}), {len(last)} seeds"
    )
    return Verdict(
        verdict,
        finding,
        scope(found),
        {"medians": medians, "spreads": spreads},
        tuple(found[0].ids),
    )


def _evaluation(claim: Claim, records) -> Verdict:
    rule = claim.rule
    found = [
        record
        for record in records
        if record.kind == "eval"
        and record.sha256 == rule.sha256
        and record.task == claim.evidence.task
        and all(
            record.protocol.get(key) == value
            for key, value in {
                "source": claim.evidence.source,
                "split": "test",
                **rule.protocol,
            }.items()
        )
    ]
    if not found:
        return Verdict(
            CANNOT,
            "there is no published evaluation of the released checkpoint under this protocol yet",
        )
    off = (
        max(abs(at(record, f"metrics.{rule.metric}") - rule.target) for record in found) - 1e-9
    )  # the decimals are the file's, not exact
    measured = at(found[0], f"metrics.{rule.metric}")
    verdict = REPRODUCED if off <= rule.within else PARTLY if off <= rule.partly_within else NOT
    protocol = found[0].protocol
    return Verdict(
        verdict,
        f"measured {measured:.2f}, claimed {rule.target:.2f}",
        f"{protocol.get('images', '?'):,} test images, normalisation {protocol.get('normalisation')}",
        {"measured": measured, "target": rule.target},
        tuple(record.id for record in found),
    )


_JUDGES = {
    "level": _level,
    "paired": _paired,
    "same": _same,
    "selective": _selective,
    "evaluation": _evaluation,
}
