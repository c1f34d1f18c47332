"""The methods, torch only: copy this folder and use HKT on your own two networks.

    hkt = HKT(child, parent, sites=[Site("avgpool", "avgpool")], predict=predict, loss=loss)
    terms = hkt(batch);  sum(terms.values()).backward()
"""
from .hkt import HKT
from .kd import KD
from .plain import Plain
from .sites import Site

METHODS = {"plain": Plain, "kd": KD, "hkt": HKT}

__all__ = ["HKT", "KD", "METHODS", "Plain", "Site"]
