"""Does it hold?  The verdicts on the paper's claims, worked out from the published records.

```{verdicts}``` is the answer with a chip for each claim, {verdict}`C2` the chip of one.
"""

from collections.abc import Iterator, Sequence
from html import escape

from docutils import nodes
from docutils.parsers.rst import Directive

from hkt_lite.benchmarks import get
from hkt_lite.config import nearest, results_home
from hkt_lite.evidence.differences import compared
from hkt_lite.evidence.literature import CLAIMS, Claim, read_claims
from hkt_lite.evidence.outputs import chip, with_interval
from hkt_lite.evidence.stats import holm
from hkt_lite.evidence.verdicts import CANNOT, NOT, PARTLY, REPRODUCED, UNDECIDED, Verdict, judge
from hkt_lite.evidence.words import examples, metric_name
from hkt_lite.runs.store import MANIFEST, published

EVIDENCE = "_generated/30_scoreboard.html"
VARIANTS = "_generated/26_method_cards.html"
CENTRAL = "C2"
MEASURED = {"cifar10": ["accuracy"], "flow": ["sintel_epe", "kitti_epe"], "lits": ["dice"]}
NUMBERS = "none one two three four five six seven eight nine ten".split()
Judged = Sequence[tuple[Claim, Verdict]]


class Verdicts(Directive):
    """The answer in two sentences, and a chip for each claim."""

    def run(self) -> list[nodes.Node]:
        made, up = _of(self.state.document.settings.env)
        link = (
            f'<a href="{up}{VARIANTS}">What these variants are, and what they are held against.</a>'
        )
        beside = gains(published(), f" {link}")
        return [nodes.raw("", f"{strip(made, up)}{beside}", format="html")]


def role(name, rawtext, text, lineno, inliner, options=None, content=()):
    """The chip of the claim `text`."""
    made, up = _of(inliner.document.settings.env)
    known = {claim.id: (claim, verdict) for claim, verdict in made}
    if text not in known:
        said = f"There is no claim {text!r}.{nearest(text, known)}"
        return [], [inliner.reporter.error(said, line=lineno)]
    return [nodes.raw("", _linked(*known[text], up, short=True), format="html")], []


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
    parts = [f'<p class="hkt-lead">{escape(sentence(made))}</p>']
    parts += [f"<p>{escape(said)}</p>" for said in central(made)]
    parts.append('<div class="hkt-sides">')
    for name, verdicts in sides:
        found = [f"<li>{_linked(*one, up)}</li>" for one in made if one[1].verdict in verdicts]
        listed = f"<ul>{''.join(found)}</ul>" if found else "<p>nothing</p>"
        parts.append(f'<section class="hkt-side"><h3>{name}</h3>{listed}</section>')
    return "\n".join(['<div class="hkt-answer">', *parts, "</div></div>"])


def sentence(made: Judged) -> str:
    """How many claims hold, do not, or wait."""
    count = dict.fromkeys((REPRODUCED, PARTLY, NOT, UNDECIDED, CANNOT), 0)
    for _, verdict in made:
        count[verdict.verdict] += 1
    are = "is" if count[REPRODUCED] == 1 else "are"
    return (
        f"Of the paper’s {_word(len(made))} claims, {_word(count[REPRODUCED])} {are} reproduced "
        f"here, {_word(count[PARTLY])} partly, {_word(count[NOT])} not, "
        f"{_word(count[UNDECIDED])} undecided, and {_word(count[CANNOT])} cannot be tested here "
        "yet."
    )


def central(made: Judged) -> Iterator[str]:
    """What was measured of the claim on which all others hang."""
    for claim, verdict in made:
        if claim.id == CENTRAL and verdict.scope:
            beside = "".join(f"; beside it, not deciding, {said}" for said in verdict.also)
            yield (
                f"The central claim, {claim.id}, that a child gains by inheriting, is "
                f"{verdict.verdict}. {verdict.finding}{beside} ({verdict.scope})."
            )
            scale = verdict.groups[0].config.scale
            smaller = [said for said in verdict.elsewhere if not said.startswith(f"{scale} ")]
            if smaller:
                yield f"With less to learn from, not deciding: {smaller[0]}."


def gains(records, more: str = "") -> str:
    """As HTML: which variants have an interval above the plain child's, whatever was claimed, the
    best first: on real data, and which stand when all such differences are one family, and on
    embedded data; `more` ends the paragraph on real data."""
    both = list(compared(records, MEASURED))
    embedded = _above([one for one in both if one[1].config.source != "real"])
    beside = ""
    if embedded:
        beside = "<p>And on embedded data, painted for this book:</p>" + _listed(embedded)
    every = [one for one in both if one[1].config.source == "real"]
    found = _above(every)
    if not found:
        none = f"On real data no variant's interval lies above the plain child's.{more}"
        return f"<p>{none}</p>{beside}"
    adjusted = holm([one[-1].p for one in every])
    stand = [_variant(one[0]) for one, p in zip(every, adjusted) if p < 0.05 and one[-1].low > 0]
    said = f"After Holm's correction for all {len(every)} differences to plain on real data "
    said += f"{len(stand) or 'none'} of {len(found)} would stand"
    said += f": {'; '.join(stand)}." if stand else "."
    if not any(one.options.get("lam") for _, one, *_ in found):  # the parent's head alone has 0
        said += " HKT with its mixture is not among them."
    return (
        "<p>Better than the plain child on real data, by an interval above 0:</p>"
        f"{_listed(found)}<p>{said}{more}</p>{beside}"
    )


def _above(every: list) -> list:
    """Of `compared`, those above the plain child, the best first."""
    return sorted((one for one in every if one[-1].low > 0), key=lambda one: -one[-1].mean)


def _listed(found: list) -> str:
    places: dict[str, list[str]] = {}
    for title, one, metric, d in found:
        name, digits = metric_name(one.config.task, metric)
        said = f"{_variant(title)} {with_interval(d._asdict(), digits)}"
        size = f"{one.config.train_size:,} training examples"
        if one.config.source != "real":
            size = examples(one.config)  # from which painted scenes
        place = f"<b>{get(one.config.task).title}</b>, {size}, {name}"
        places.setdefault(place, []).append(said)
    listed = (f"<li>{place}: {'; '.join(here)}</li>" for place, here in places.items())
    return f"<ul>{''.join(listed)}</ul>"


def _variant(title: str) -> str:
    return escape(title.removesuffix(" (control)"), quote=False)


def _word(n: int) -> str:
    return NUMBERS[n] if n < len(NUMBERS) else str(n)


def _linked(claim: Claim, verdict: Verdict, up: str, short: bool = False) -> str:
    """A claim's chip, leading to its card on the scoreboard."""
    said = chip(verdict.verdict).html
    name = f"<b>{claim.id}</b> {escape(claim.title)} " if not short else ""
    return f'<a class="hkt-claim" href="{up}{EVIDENCE}#{claim.id}">{name}{said}</a>'
