"""The methods, torch only: copy this folder and use HKT on your own two networks.

hkt = HKT(child, parent, sites=[Site("avgpool", "avgpool")], predict=predict, loss=loss)
terms = hkt(batch);  sum(terms.values()).backward()
"""

from .at import AT
from .fitnet import FitNet
from .hkt import HKT
from .kd import KD
from .plain import Plain
from .sites import Site

METHODS = {"plain": Plain, "kd": KD, "fitnet": FitNet, "at": AT, "hkt": HKT}

__all__ = ["AT", "HKT", "KD", "FitNet", "METHODS", "Plain", "Site"]
