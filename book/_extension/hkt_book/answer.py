"""Does it hold?  The verdicts on the paper's claims, worked out from the published records.

```{verdicts}``` is the answer with a chip for each claim, {verdict}`C2` the chip of one and
{finding}`C2` the chip with what was found.
"""

from collections.abc import Iterator, Sequence
from html import escape
from statistics import mean

from docutils import nodes
from docutils.parsers.rst import Directive

from hkt_lite.benchmarks.scales import get, scales
from hkt_lite.config import nearest, results_home
from hkt_lite.evidence.differences import compared
from hkt_lite.evidence.groups import common
from hkt_lite.evidence.literature import CLAIMS, Claim, read_claims
from hkt_lite.evidence.outputs import chip, with_interval
from hkt_lite.evidence.stats import holm
from hkt_lite.evidence.verdicts import CANNOT, NOT, PARTLY, REPRODUCED, UNDECIDED, Verdict, judge
from hkt_lite.evidence.words import examples, metric_name
from hkt_lite.runs.store import MANIFEST, published

EVIDENCE = "_generated/30_scoreboard.html"
VARIANTS = "_generated/26_method_cards.html"
PEERS = "_generated/20_peers.html#what-we-saw"
CORRECTIONS = "corrections.html"
CENTRAL = "C2"
BETTER = ("level", "paired")  # kinds of rules for claims that a child is better for inheriting
MEASURED = {"cifar10": ["accuracy"], "flow": ["sintel_epe", "kitti_epe"], "lits": ["dice"]}
PAPER = "paper"
NUMBERS = "none one two three four five six seven eight nine ten".split()
Judged = Sequence[tuple[Claim, Verdict]]


class Verdicts(Directive):
    """The answer in some sentences, a chip for each claim, and what is better or worse besides."""

    def run(self) -> list[nodes.Node]:
        made, up = _of(self.state.document.settings.env)
        link = (
            f'<a href="{up}{VARIANTS}">What these variants are</a>, and '
            f'<a href="{up}{PEERS}">how they compare with one another</a>.'
        )
        shown = f"{strip(made, up)}{both_ways(published(), link)}{changed(made, up)}"
        return [nodes.raw("", shown, format="html")]


def role(name, rawtext, text, lineno, inliner, options=None, content=()):
    """The chip of the claim `text`; of the role `finding` with what was found after it."""
    made, up = _of(inliner.document.settings.env)
    known = {claim.id: (claim, verdict) for claim, verdict in made}
    if text not in known:
        said = f"There is no claim {text!r}.{nearest(text, known)}"
        return [], [inliner.reporter.error(said, line=lineno)]
    claim, verdict = known[text]
    shown = [nodes.raw("", _linked(claim, verdict, up, short=True), format="html")]
    if name == "finding":
        scope = f" ({verdict.scope})" if verdict.scope else ""
        shown.append(nodes.Text(f" {verdict.finding}{scope}."))
    return shown, []


def _of(env) -> tuple[Judged, str]:
    """The verdicts, and the way from the page at hand to the root of the book."""
    for path in (CLAIMS, results_home() / MANIFEST):
        env.note_dependency(str(path))
    return judged(published()), "../" * env.docname.count("/")


def judged(records) -> Judged:
    """Every claim of data/claims.yaml with its verdict."""
    return [(claim, judge(claim, records)) for claim in read_claims()]


def strip(made: Judged, up: str = "") -> str:
    """The answer, what speaks for and against the claims, and a chip for each, as HTML; `up` leads
    from the page to the book's root."""
    sides = [
        ("Speaks for the claims", (REPRODUCED,)),
        ("In part", (PARTLY,)),
        ("Speaks against them", (NOT,)),
        ("Open", (UNDECIDED, CANNOT)),
    ]
    lead, *more = [*central(made), sentence(made)]
    parts = [f'<p class="hkt-lead">{escape(lead)}</p>']
    parts += [f"<p>{escape(said)}</p>" for said in more]
    parts.append('<div class="hkt-sides">')
    for name, verdicts in sides:
        found = [f"<li>{_linked(*one, up)}</li>" for one in made if one[1].verdict in verdicts]
        if found:
            side = f"hkt-side {verdicts[0].split()[0]}"  # its colour is that of a chip
            listed = f"<h3>{name}</h3><ul>{''.join(found)}</ul>"
            parts.append(f'<section class="{side}">{listed}</section>')
    return "\n".join(['<div class="hkt-answer">', *parts, "</div></div>"])


def sentence(made: Judged) -> str:
    """How many claims hold, do not, or wait, and how many of those that promise a better child."""
    count = dict.fromkeys((REPRODUCED, PARTLY, NOT, UNDECIDED, CANNOT), 0)
    for _, verdict in made:
        count[verdict.verdict] += 1
    better = [verdict.verdict for claim, verdict in made if claim.rule.kind in BETTER]
    are = ["is" if n == 1 else "are" for n in (count[REPRODUCED], better.count(REPRODUCED))]
    said = (
        f"Of the paper’s {_word(len(made))} claims, {_word(count[REPRODUCED])} {are[0]} reproduced "
        f"here, {_word(count[PARTLY])} partly, {_word(count[NOT])} not, "
        f"{_word(count[UNDECIDED])} undecided, and {_word(count[CANNOT])} cannot be tested here "
        "yet."
    )
    if better:
        said += (
            f" Of the {_word(len(better))} that say that a child gets better by inheriting, "
            f"{_word(better.count(REPRODUCED))} {are[1]} reproduced."
        )
    return said


def central(made: Judged) -> Iterator[str]:
    """What was measured of the claim on which all others hang, and how far that is from the
    paper's own training."""
    for claim, verdict in made:
        if claim.id == CENTRAL and verdict.scope:
            beside = "".join(f"; beside it, not deciding, {said}" for said in verdict.also)
            of, to = verdict.groups
            with_it, alone = (
                mean(one.scores(claim.rule.metric)[seed] for seed in common(of, to))
                for one in (of, to)
            )
            yield (
                f"The central claim, {claim.id}, that a child gains by inheriting, is "
                f"{verdict.verdict}: trained with HKT as released it is right on "
                f"{with_it:.2f}\u00a0% of the test images, the same child trained alone on "
                f"{alone:.2f}\u00a0%."
            )
            yield (
                f"{verdict.finding}{beside} ({verdict.scope}). There HKT gate is HKT as released, "
                "forward_gate the same with its gate turned round, plain the child trained alone."
            )
            scale = of.config.scale
            smaller = [said for said in verdict.elsewhere if not said.startswith(f"{scale} ")]
            if smaller:
                yield f"With less to learn from, not deciding: {smaller[0]}."
            if scale != PAPER:
                paper = scales(of.config.task)[PAPER]
                yield (
                    f"The paper’s own training, {paper['epochs']} epochs with {paper['parent']} "
                    "as parent, has not been run here."
                )


def changed(made: Judged, up: str = "") -> str:
    """As HTML: which rules were changed after they had been committed."""
    names = [claim.id for claim, _ in made if claim.errata]
    link = f'<a href="{up}{CORRECTIONS}">Corrections</a>'
    if not names:
        return "<p>No rule was changed after it had been committed.</p>"
    return (
        "<p>Nobody wrote these verdicts: rules are applied to the published records. The rules "
        f"were committed before the runs. Those of {', '.join(names)} were changed or worded "
        f"anew afterwards; {link} say how, when and why, and what had been seen by then.</p>"
    )


def both_ways(records, more: str = "") -> str:
    """As HTML, folded: which variants have an interval above the plain child's and which below,
    whatever was claimed, on real and on embedded data, and which stand when all such differences
    are one family; `more` ends each part."""
    every = list(compared(records, MEASURED))
    parts = (
        ("real data", [one for one in every if one[1].config.source == "real"]),
        (
            "embedded data, painted for this book",
            [one for one in every if one[1].config.source != "real"],
        ),
    )
    folded = "".join(_sided(name, found, more) for name, found in parts if found)
    return _furthest(parts[0][1], more) + folded


def _furthest(every: list, more: str) -> str:
    """Which variant is furthest ahead of the plain child, on the first benchmark that has one whose
    interval lies above 0; for each number of training examples, the largest first, and `more`."""
    for task in MEASURED:
        here = [one for one in every if one[1].config.task == task]
        if not any(one[-1].low > 0 for one in here):
            continue
        told = []
        for size in sorted({one[1].config.train_size for one in here}, reverse=True):
            found = [one for one in here if one[1].config.train_size == size]
            best = max(found, key=lambda one: (one[-1].low > 0, one[-1].mean))
            ((place, (said,)),) = _places([best]).items()
            none = "" if best[-1].low > 0 else "nobody by an interval above 0, the nearest "
            control = ", a control" if best[0].endswith("(control)") else ""
            told.append(f"{place}: {none}{said}{control}")
        return (
            "<p>Furthest ahead of the plain child, whatever was claimed: "
            f"{'; '.join(told)}. {more}</p>"
        )
    return ""


def _sided(name: str, every: list, more: str) -> str:
    """What lies above the plain child and what below, of one kind of data, the farthest first."""
    adjusted = holm([one[-1].p for one in every])
    stand = {id(one) for one, p in zip(every, adjusted) if p < 0.05}
    sides, shown = {}, ""
    for side, way in (("above", 1), ("below", -1)):
        beyond = [one for one in every if min(way * one[-1].low, way * one[-1].high) > 0]
        sides[side] = sorted(beyond, key=lambda one: -way * one[-1].mean)
        firm = [_variant(one[0]) for one in sides[side] if id(one) in stand]
        if beyond:
            said = f"After Holm’s correction for all {len(every)}, {len(firm)} of these"
            said += f" {_word(len(beyond))} would stand" if len(beyond) > 1 else " would stand"
            listed = f": {'; '.join(firm)}." if firm else "."
            listed += _with_more(sides[side], every) if way > 0 else ""
            shown += f"<p>{side.capitalize()}:</p>{_listed(sides[side])}<p>{said}{listed}</p>"
    above, below = (len(found) or "none" for found in sides.values())
    return (
        f'<details class="hkt-both"><summary>Of {len(every)} differences to the plain child on '
        f"{name}, {above} lie above 0 by their interval and {below} below: which</summary>"
        f"{shown}<p>{more}</p></details>"
    )


def _with_more(found: list, every: list) -> str:
    """Which of those found have been run with more training examples, too."""
    sizes: dict[tuple, set[int]] = {}
    for title, one, *_ in every:
        sizes.setdefault((_variant(title), one.config.task), set()).add(one.config.train_size)
    larger = [
        _variant(title)
        for title, one, *_ in found
        if max(sizes[_variant(title), one.config.task]) > one.config.train_size
    ]
    return f" Run with more examples, too: {'; '.join(larger) or 'none of them'}."


def _listed(found: list) -> str:
    listed = (f"<li>{place}: {'; '.join(here)}</li>" for place, here in _places(found).items())
    return f"<ul>{''.join(listed)}</ul>"


def _places(found: list) -> dict[str, list[str]]:
    """Benchmark, size and measure -> each variant there with its interval."""
    places: dict[str, list[str]] = {}
    for title, one, metric, d in found:
        name, digits = metric_name(one.config.task, metric)
        said = f"{_variant(title)} {with_interval(d._asdict(), digits)}"
        size = f"{one.config.train_size:,} training examples"
        if one.config.source != "real":
            size = examples(one.config)  # from which painted scenes
        place = f"<b>{get(one.config.task).title}</b>, {size}, {name}"
        places.setdefault(place, []).append(said)
    return places


def _variant(title: str) -> str:
    return escape(title.removesuffix(" (control)"), quote=False)


def _word(n: int) -> str:
    return NUMBERS[n] if n < len(NUMBERS) else str(n)


def _linked(claim: Claim, verdict: Verdict, up: str, short: bool = False) -> str:
    """A claim's chip, leading to its card on the scoreboard."""
    said = chip(verdict.verdict).html
    if not short:
        size = f" <small>{examples(verdict.groups[0].config)}</small>" if verdict.groups else ""
        title = escape(claim.title).replace(" %", "\u00a0%")
        said = f"<b>{claim.id}</b> {title} {said}{size}"
    return f'<a class="hkt-claim" href="{up}{EVIDENCE}#{claim.id}">{said}</a>'
