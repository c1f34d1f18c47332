"""The only way a result number reaches a page: tables and figures that carry their record ids and
can be recomputed.

show.scores("cifar10", scale="cpu");  show.claims();  show.live(records)       # in a notebook
show.render("scores", {"task": "cifar10"})                                     # for `hkt check`
"""

# ruff: noqa: F401  (it only hands on)
from . import MIME
from .accounts import costs, fidelity
from .bundles import figure, measured, render
from .differences import beside_plain, contrasts, differences, told
from .figures import curves, dots, inherited, replay, shares
from .outputs import bullets, signed, with_interval
from .references import claims, criteria, elsewhere, evals, literature
from .tables import embedded, live, scores, tuning
