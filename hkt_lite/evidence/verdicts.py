"""A claim's verdict, worked out from published records by the rule in data/claims.yaml.

judge(claim, published())

Nobody writes a verdict by hand: other records, another verdict.  What each kind of rule means is
said at the top of that file.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ..config import HKTError
from ..runs.records import EvalRecord, RunRecord
from . import stats
from .groups import Group, at, chosen, common, difference, group, observed, panels, scope
from .literature import Claim, Rule
from .outputs import with_interval
from .words import label, sign

REPRODUCED, PARTLY, NOT, CANNOT = "reproduced", "partly", "not reproduced", "cannot be tested here"
UNDECIDED = "undecided"
BESIDE = ("paired", "selective")  # kinds of rules under which other settings are told


@dataclass(frozen=True)
class Verdict:
    """`finding` says what was measured, `scope` at which scale and on what; `records` are the ids
    it rests on, `groups` the runs that decide: of a rule's `of`, and perhaps its `to`."""

    verdict: str
    finding: str
    numbers: dict = field(default_factory=dict)
    records: tuple[str, ...] = ()
    also: tuple[str, ...] = ()  # beside it, of other variants
    elsewhere: tuple[str, ...] = ()  # and of the same under other settings
    scope: str = ""
    groups: tuple[Group, ...] = ()


def judge(claim: Claim, records: Sequence[RunRecord | EvalRecord]) -> Verdict:
    """The verdict on one claim.  Raises HKTError where records lack what the rule asks for."""
    rule, evidence = claim.rule, claim.evidence
    if rule.kind == "cannot":
        return Verdict(CANNOT, rule.reason)
    if rule.kind == "evaluation":
        return _evaluation(claim, records)
    settings = _counted(claim, records)
    if not settings:
        names = " and ".join(label(one) for one in (rule.of, rule.to) if one)
        return Verdict(
            CANNOT,
            f"there are not yet {evidence.seeds} published seeds of {names} on {evidence.source} "
            f"data at {' or '.join(evidence.scales)} scale",
        )
    (found, panel), *others = settings
    made = _JUDGES[rule.kind](claim, found, panel)
    ids, elsewhere = list(made.records), []
    for setting in others if rule.kind in BESIDE else ():  # never pooled with what decides
        beside = _JUDGES[rule.kind](claim, *setting)
        elsewhere.append(f"{scope(setting[0])}: {'; '.join([beside.finding, *beside.also])}")
        ids += beside.records
    beyond = {"scope": scope(found), "groups": tuple(found), "elsewhere": tuple(elsewhere)}
    return replace(made, records=tuple(dict.fromkeys(ids)), **beyond)


def _counted(claim: Claim, records) -> list[tuple[list[Group], list[Group]]]:
    """(the groups asked for: `of` and perhaps `to`; all that may be compared with them) of every
    setting with enough seeds.  The first decides: first scale, then largest budget and most runs.
    """
    wanted, variants = claim.evidence, [one for one in (claim.rule.of, claim.rule.to) if one]
    settings: list = []
    if not variants:
        return settings
    for scale in wanted.scales:
        for panel in panels(group(records, task=wanted.task, source=wanted.source, scale=scale)):
            first = [
                one
                for one in panel
                if all(getattr(one.config, key) == value for key, value in wanted.where.items())
            ]
            found = [chosen(first, variants[0])]
            found += [chosen(panel, variant) for variant in variants[1:]]
            if all(found) and len(common(*found)) >= wanted.seeds:
                settings.append((found, panel))
    return settings


def _graded(reproduced: bool, partly: bool) -> str:
    if reproduced:
        return REPRODUCED
    return PARTLY if partly else NOT


def _level(claim: Claim, found: list[Group], panel: list[Group]) -> Verdict:
    rule, (one,) = claim.rule, found
    s, way = one.summary(rule.metric), sign(claim.evidence.task)
    best = max(way * s.low, way * s.high)
    return Verdict(
        _graded(way * s.mean >= way * rule.target, best >= way * rule.target),
        f"{one.label}: mean {s.mean:.2f} [{s.low:.2f}, {s.high:.2f}] over {s.n} seeds, "
        f"claimed {rule.target:.2f}",
        {"mean": s.mean, "low": s.low, "high": s.high, "n": s.n, "target": rule.target},
        tuple(one.ids),
    )


def _said(a: Group, b: Group, d: stats.Paired) -> str:
    said = f"{with_interval(d._asdict())}, {d.n} seeds, p = {d.p:.2g}"
    return f"{a.label} minus {b.label}: {said}"


def _paired(claim: Claim, found: list[Group], panel: list[Group]) -> Verdict:
    metric, (of, to) = claim.rule.metric, found
    d, ids = difference(of, to, metric)
    verdict, beyond, also = _graded(d.low > 0, d.mean > 0), "", []
    if d.low <= 0 <= d.high and d.detectable > claim.rule.size:
        verdict = UNDECIDED
        if claim.rule.size:
            small = f"a difference of {claim.rule.size:g}, as claimed, is too small for this design"
            beyond = f"; {small}"
    elif d.high < claim.rule.size > 0:
        beyond = f"; the claimed difference of {claim.rule.size:g} lies outside the interval"
    for variant in claim.also:
        other = chosen(panel, variant)
        if other and len(common(other, to)) >= claim.evidence.seeds:
            beside, more = difference(other, to, metric)
            also.append(_said(other, to, beside))
            ids += [name for name in more if name not in ids]
    numbers = d._asdict() | ({"claimed": claim.rule.size} if claim.rule.size else {})
    return Verdict(verdict, _said(of, to, d) + beyond, numbers, tuple(ids), tuple(also))


def _same(claim: Claim, found: list[Group], panel: list[Group]) -> Verdict:
    numbers, finding, equal = {}, [], True
    for path in claim.rule.fields:
        mine, theirs = (sorted({at(run, path) for run in one.records}) for one in found)
        numbers[path] = [mine, theirs]
        name = path.split(".")[-1].replace("flops", "floating-point operations")
        ours, others = (" or ".join(f"{value:,}" for value in one) for one in (mine, theirs))
        same = mine == theirs and len(mine) == 1
        finding.append(f"{ours} {name}" + (" in both" if same else f" against {others}"))
        equal = equal and same
    ids = tuple(found[0].ids + found[1].ids)
    return Verdict(_graded(equal, False), "; ".join(finding), numbers, ids)


def _selective(claim: Claim, found: list[Group], panel: list[Group]) -> Verdict:
    rule, (one,) = claim.rule, found
    verdict, finding, numbers = _selected(rule, one, rule.name)
    last = [len(run.epochs) - 1 for run in one.records]
    tested = [run.selected.epoch - 1 for run in one.records]
    also = []
    if tested != last:
        other, said, _ = _selected(rule, one, rule.name, tested)
        also = [f"in the validation-selected epochs, whose children were tested: {other}, {said}"]
    passed = [
        str(epoch + 1)
        for epoch in range(min(last) + 1)
        if _selected(rule, one, rule.name, [epoch] * len(last))[0] == REPRODUCED
    ]
    also.append(f"met in every seed in epochs: {', '.join(passed) or 'none'}")
    if rule.first:
        other, said, _ = _selected(rule, one, rule.first)
        also.append(f"by the {rule.first}, for which the rule was first committed: {other}, {said}")
    return Verdict(verdict, finding, numbers, tuple(one.ids), tuple(also))


def _selected(
    rule: Rule, one: Group, name: str, epochs: Sequence[int] | None = None
) -> tuple[str, str, dict]:
    """Verdict, finding and numbers by the quantiles of `name`, in the last epoch of each record or
    in `epochs`, counted from 0.  Raises HKTError where a record has none."""
    medians, spreads = [], []
    for run, epoch in zip(one.records, epochs or [-1] * len(one.records)):
        q = observed(run, epoch, name)
        if q is None:
            raise HKTError(f"Record {run.id} does not say what {name} was inherited.")
        medians.append(q["q50"])
        spreads.append((q["q95"] - q["q05"]) / q["q50"] if q["q50"] > 0 else 0.0)
    active = [median >= rule.active for median in medians]
    selective = [a and spread >= rule.spread for a, spread in zip(active, spreads)]
    finding = (
        f"active in {sum(active)} of {len(active)} seeds, selective in {sum(selective)}: median "
        f"{name} {min(medians):.3f} to {max(medians):.3f} (active from {rule.active:g}), middle "
        f"90 % of images spread over {min(spreads):.2f} to {max(spreads):.2f} medians (selective "
        f"from {rule.spread:g})"
    )
    verdict = _graded(all(selective), any(active))
    return verdict, finding, {"medians": medians, "spreads": spreads}


def _evaluation(claim: Claim, records) -> Verdict:
    rule = claim.rule
    wanted = {"source": claim.evidence.source, "split": "test", **rule.protocol}
    found = [
        one
        for one in records
        if one.kind == "eval"
        and (one.sha256, one.task) == (rule.sha256, claim.evidence.task)
        and all(one.protocol.get(key) == value for key, value in wanted.items())
    ]
    if not found:
        return Verdict(
            CANNOT,
            "there is no published evaluation of the released checkpoint under this protocol yet",
        )
    measured = [at(one, f"metrics.{rule.metric}") for one in found]
    # the decimals are the file's, not exact
    off = max(abs(value - rule.target) for value in measured) - 1e-9
    images = at(found[0], "protocol.images")
    return Verdict(
        _graded(off <= rule.within, off <= rule.partly_within),
        f"measured {measured[0]:.2f}, claimed {rule.target:.2f}",
        {"measured": measured[0], "target": rule.target},
        tuple(one.id for one in found),
        scope=f"{images:,} test images, normalisation {found[0].protocol.get('normalisation')}",
    )


_JUDGES = {"level": _level, "paired": _paired, "same": _same, "selective": _selective}
