"""Rules that were changed after they had been committed, as data/claims.yaml has them.

```{errata}``` is a list of them with claim, date and words.
"""

from collections.abc import Sequence

from docutils import nodes
from docutils.parsers.rst import Directive

from hkt_lite.evidence.literature import CLAIMS, Claim, read_claims


class Errata(Directive):
    """One item for each erratum of a claim."""

    def run(self) -> list[nodes.Node]:
        self.state.document.settings.env.note_dependency(str(CLAIMS))
        return listed(read_claims())


def listed(claims: Sequence[Claim]) -> list[nodes.Node]:
    """The errata of these claims, oldest first; a sentence where there is none."""
    found = [(one.date, claim, one.text) for claim in claims for one in claim.errata]
    if not found:
        return [nodes.paragraph(text="No rule was changed.")]
    items = nodes.bullet_list()
    for date, claim, text in sorted(found, key=lambda one: (one[0], one[1].id)):
        said = nodes.paragraph()
        said += nodes.strong(text=f"{claim.id} · {date} · {claim.title}.")
        said += nodes.Text(f" {text}")
        items += nodes.list_item("", said)
    return [items]
