"""The exercises of the book, worked once more: with the package and the libraries, not by the formulas of the solution.

WORKED[label]() -> what a reader could type into the check cell.
"""

import math
from contextlib import suppress
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F

from hkt_lite.benchmarks.cifar10.network import resnet
from hkt_lite.benchmarks.flow.metrics import metrics
from hkt_lite.evidence import stats
from hkt_lite.methods import attention
from hkt_lite.methods.sites import SiteError, record

DOUBLE = torch.float64


def probe(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def until(enough):
    """The first whole number for which something holds."""
    return next(n for n in range(1, 10**4) if enough(n))


def pulls():
    """How often each head's loss is in a sum of HKT's three, from the length of its gradient; nothing is mixed in."""
    c, y = probe(0, 5, 8), torch.arange(5) % 3
    heads = [torch.nn.Linear(8, 3, dtype=DOUBLE) for _ in "cp"]
    m = attention.mix(c, probe(1, 5, 8), kind="gate", lam=0.0)
    losses = [
        F.cross_entropy(head(x), y) for head, x in zip((heads[0], heads[0], heads[1]), (c, m, m))
    ]
    sum(losses).backward()
    once = [head.weight.grad.clone() for head in heads]
    found = []
    for head, whole in zip(heads, once):
        head.zero_grad()
        F.cross_entropy(head(c), y).backward()
        found.append(round(float(whole.norm() / head.weight.grad.norm()), 6))
    return {"own_head": found[0], "parents_head": found[1]}


# -- chapters 1 to 3 ---------------------------------------------------------------------------------


def temperature():
    def kl(a, b, tau):
        p, q = F.softmax(a / tau, 0), F.log_softmax(b / tau, 0)
        return (p * (p.log() - q)).sum()

    a, b = probe(2, 10), probe(3, 10)
    power = math.log(kl(a, b, 2e3) / kl(a, b, 1e3)) / math.log(2)
    return {"limit": lambda a, b: 1e8 * kl(a, b, 1e4), "power": round(power, 2)}


def noise():
    """Which loss terms move when labels, and which when the answers of the parent's network, are exchanged; of the
    latter those in which nothing else says what is right."""
    c, p, y = probe(4, 6, 8), probe(5, 6, 8), torch.arange(6) % 3
    child, parent = (torch.nn.Linear(8, 3, dtype=DOUBLE) for _ in "cp")

    def terms(y, p):
        m = attention.mix(c, p, kind="gate", lam=0.6)
        soft = F.kl_div(child(c).log_softmax(1), parent(p).softmax(1), reduction="batchmean")
        hard = {
            name: F.cross_entropy(head(x), y)
            for name, head, x in zip(("L_c", "L_c*", "L_p*"), (child, child, parent), (c, m, m))
        }
        return hard | {"L_kd": soft}

    before, labels, answers = terms(y, p), terms(y.roll(1), p), terms(y, p.roll(1, 0))
    by_labels = {name for name in before if not torch.equal(before[name], labels[name])}
    by_parent = {name for name in before if not torch.equal(before[name], answers[name])}
    return {"by_labels": by_labels, "by_parent": by_parent - by_labels}


def own_parent():
    def body(g, lam=0.6):
        """The slope of three linear losses along c, where c = p and the gate is a constant g."""
        c = torch.ones_like(g, requires_grad=True)
        p = c.detach()
        m = c + lam * (1 - g) * (p - c)
        return torch.autograd.grad((c + 2 * m).sum(), c)[0]

    return {"body": body, "head": pulls()["own_head"]}


def inplace():
    """Places that `record` accepts, whose output is what their module returned, by a copy."""
    net, safe = resnet("resnet8").eval(), []
    for name in ("layer1.0.bn1", "layer1.0.bn2", "layer1.0", "layer1", "avgpool"):
        copies = []
        hook = net.get_submodule(name).register_forward_hook(
            lambda module, given, out, copies=copies: copies.append(out.clone())
        )
        with suppress(SiteError), torch.no_grad():
            with record(net, [name]) as seen:
                net(torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
            assert torch.equal(seen[name][0], copies[0])
            safe.append(name)
        hook.remove()
    return {"safe": safe}


def memory():
    norm = torch.nn.BatchNorm1d(1).double()
    norm.running_mean.fill_(1.0)
    left = []
    while norm.running_mean.item() >= 0.01:
        norm(torch.zeros(4, 1, dtype=DOUBLE))
        left.append(norm.running_mean.item())
    steps = until(lambda n: 2 * n >= len(left))
    return {"updates": len(left), "steps": steps, "share": steps / 391}


def bound():
    c, p = probe(6, 400, 16).abs(), probe(7, 400, 16)
    p = 20 * (p - p.mean(0))  # centred, long
    share = attention.share(c, p)
    return {"holds": bool((share <= 0.3).all()), "most": share.max()}


def alias():
    def first(row, column):
        x = torch.zeros(1, 1, 16, 16)
        x[0, 0, row, column] = 1
        return F.interpolate(x, (4, 4), mode="bilinear", align_corners=False)[0, 0, 0, 0].item()

    return {"read": sum(first(i, j) > 0 for i in range(4) for j in range(4)), "corner": first(0, 0)}


def supervised():
    W = probe(8, 10, 64)
    return {"directions": int(torch.linalg.matrix_rank(W - W.mean(0)))}


# -- chapters 4 and 5 --------------------------------------------------------------------------------


def by_hand():
    c, p = torch.tensor([[2.0, 0, 0, 0]], dtype=DOUBLE), torch.ones(1, 4, dtype=DOUBLE)
    return {
        "s": attention.similarity(c, p).item(),
        "g": attention.gate(c, p).item(),
        "share": attention.share(c, p).item(),
        "m": attention.mix(c, p, kind="gate", lam=0.6)[0],
        "share_3": attention.share(3 * c, 3 * p).item(),
    }


def cosine():
    def share(c, p, lam=0.6):
        c, p = (x / x.norm(dim=1, keepdim=True) for x in (c, p))
        return torch.stack([lam * (1 - torch.sigmoid(a @ b)) for a, b in zip(c, p)])

    ends = torch.eye(2, dtype=DOUBLE)
    return {"share": share, "least": share(ends, ends)[0], "most": share(ends, ends.flip(0))[0]}


def bfloat():
    s = torch.arange(5, 8, 0.01)
    return {"s": s[torch.sigmoid(s.double()).bfloat16() == 1].min()}


def choose():
    def slope(c, p, lam):
        c = c.requires_grad_()
        share = attention.share(c[None], p[None], lam=lam)
        return torch.autograd.grad(share.sum(), c)[0]

    c, p = probe(9, 1, 8).abs(), probe(10, 1, 8).abs()
    shares = [attention.share(k * c, p).item() for k in (1, 1.1)]
    return {"slope": slope, "same_angle": shares[1] < shares[0]}


def work(F=6.2, f=1.0):
    released, lines, cached = 6 * F + 6 * f, F + 3 * f, 3 * f
    return {"live": released / lines, "cached": released / cached}


def twice():
    norms = [torch.nn.BatchNorm1d(3).double() for _ in "ab"]
    x = probe(11, 8, 3) + 2
    once, again = (norm(x) for norm in norms)
    again = norms[1](x)
    moved = norms[1].running_mean / x.mean(0)
    return {"momentum": moved.mean().item(), "weights_change": not torch.equal(once, again)}


# -- the benchmarks ----------------------------------------------------------------------------------


def dice(tp, fp, fn):
    return 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else math.nan


def lits_empty():
    rules = {"timid": dice(0, 0, 0), "bold": dice(0, 1, 0)}
    paid = {name: 1.0 if math.isnan(score) else score for name, score in rules.items()}
    return {
        "empty": rules["timid"],
        "one_voxel": rules["bold"],
        "favoured": max(paid, key=paid.get),
    }


def lits_global():
    return {"mean": np.mean([dice(900, 0, 100), dice(0, 0, 10)]), "overall": dice(900, 0, 110)}


def switch():
    gates, moved = [], []
    for cosine in (0.3, -0.3):
        c, p = torch.zeros(2, 1, 12, dtype=DOUBLE)
        c[0, 0], p[0, 0], p[0, 1] = 2, 40 * cosine, 40 * math.sqrt(1 - cosine**2)
        m = attention.mix(c, p, kind="gate", lam=0.6)
        gates.append(attention.gate(c, p).item())
        moved.append(float((m - c).norm() / c.norm()))
    return {"g": gates, "moved": tuple(moved)}


def reach():
    def far(radius, levels):
        return max(radius * 8 * 2**level for level in range(levels))

    return {"page": far(3, 2), "small": far(3, 4), "raft": far(4, 4)}


def wrong_pixels():
    truth, off = torch.zeros(2, 1, 4), torch.zeros(2, 1, 4)
    truth[0, 0] = torch.tensor([100.0, 10, 10, 0])
    off[1, 0] = torch.tensor([4, 4, 2.9, 3.1])

    def fl_all(*places):
        valid = torch.zeros(1, 4, dtype=torch.bool)
        valid[0, list(places)] = True
        return metrics(truth + off, SimpleNamespace(flow=truth, valid=valid, occluded=None))[
            "fl_all"
        ]

    return {"counted": [fl_all(place) > 0 for place in range(4)], "percent": fl_all(0, 1, 2, 3)}


# -- the evidence ------------------------------------------------------------------------------------


def ceiling():
    c, p = (probe(seed, 2000, 4).abs() * scale for seed, scale in ((12, 1e-4), (13, 1.0)))
    forward = torch.cat([attention.share(k * c, p, "forward_gate") for k in (1, 1e6)])
    return {"released": attention.share(c, p).max(), "forward": [forward.min(), forward.max()]}


def scale():
    """Each measure of a child of ten classes with and without the factor; the head has a bias."""
    X, Y = probe(14, 60, 16), probe(15, 60, 16)
    head = torch.nn.Linear(16, 10, dtype=DOUBLE)

    def cka(A, B):
        A, B = A - A.mean(0), B - B.mean(0)
        return (A.T @ B).norm() ** 2 / ((A.T @ A).norm() * (B.T @ B).norm())

    def heat(feature):
        return F.normalize((head.weight[0] * feature).relu().flatten(), dim=0)

    same = {
        "CKA": torch.allclose(cka(X, Y), cka(1e-6 * X, Y)),
        "neighbours": torch.equal(
            *(torch.cdist(k * X, k * X).argsort(1)[:, :4] for k in (1, 1e-6))
        ),
        "Grad-CAM": torch.allclose(heat(X), heat(1e-6 * X)),
        "answers": torch.equal(head(X).argmax(1), head(1e-6 * X).argmax(1)),
    }
    return {"notice": [name for name, kept in same.items() if not kept]}


def pays(f=1.0, F=3.1, views=8, epochs=16):
    live = epochs * (F + 3 * f)
    return {"passes": epochs / views, "run": (epochs * 3 * f + views * F) / live}


def limit():
    def ratio(F, f=1.0):
        return (6 * F + 6 * f) / (F + 3 * f)

    return {"equal": ratio(1.0), "enormous": round(ratio(1e9), 6)}


def audit_paired():
    n, p, gain = 10_000, 0.92, 0.0067
    z = gain / math.sqrt(2 * p * (1 - p) / n)
    return {"z": z, "z_is": "smaller" if z < 2.4 else "larger"}


def audit_split():
    batches = len(torch.arange(45_000).split(128))
    return {"batches": batches, "whole": Fraction(24_879_330, 2 * batches).denominator == 1}


def cards_mean():
    site = 0.7
    return {"fitnet": np.mean([site] * 3) / site, "at": sum([site] * 3) / site}


def constant_flow(scenes):
    """Coordinate by coordinate over all pixels, in plain Python."""
    flow = np.concatenate([scene.flow.numpy().reshape(2, -1) for scene in scenes], 1)
    best = [sorted(part)[(len(part) - 1) // 2] for part in flow.tolist()]
    lengths = [math.hypot(u - best[0], v - best[1]) for u, v in flow.T.tolist()]
    return {"median": best, "epe": sum(lengths) / len(lengths)}


WORKED = {
    "ex-ways-temperature": temperature,
    "ex-ways-noise": noise,
    "ex-ways-self": own_parent,
    "ex-extraction-inplace": inplace,
    "ex-extraction-memory": memory,
    "ex-transfer-gate": bound,
    "ex-transfer-alias": alias,
    "ex-transfer-supervised": supervised,
    "ex-gate-hand": by_hand,
    "ex-gate-cosine": cosine,
    "ex-gate-bfloat": bfloat,
    "ex-gate-choose": choose,
    "ex-losses-control": pulls,
    "ex-losses-work": work,
    "ex-losses-twice": twice,
    "ex-cifar-power": lambda: {
        "difference": stats.detectable(1.0, 3),
        "seeds": until(lambda n: stats.detectable(1.0, n + 1) <= 1) + 1,
    },
    "ex-lits-empty": lits_empty,
    "ex-lits-global": lits_global,
    "ex-lits-switch": switch,
    "ex-sintel-reach": reach,
    "ex-sintel-terms": lambda: {"idle": "T_back", "parents_loop": False},
    "ex-kitti-fl": wrong_pixels,
    "ex-kitti-means": lambda: {
        "difference": lambda n, e: np.mean(e.numpy()) - np.average(e.numpy(), weights=n.numpy())
    },
    "ex-peers-fidelity": lambda: {"informative": "Test"},
    "ex-peers-own": lambda: {
        "target": lambda z, y: ((y[:, None] == y).double() @ z) / (y[:, None] == y).sum(1)[:, None]
    },
    "ex-ablation-zero": pulls,
    "ex-inherit-ceiling": ceiling,
    "ex-inherit-factor": lambda: {"lengths": [4 * 0.3 / moved for moved in (2, 500)]},
    "ex-inherit-scale": scale,
    "ex-costs-pays": pays,
    "ex-costs-limit": limit,
    "ex-costs-maps": lambda: {
        "gib": torch.empty(45_000, 8, 64, 8, 8, dtype=torch.half, device="meta").nbytes / 2**30
    },
    "ex-costs-parent": lambda: {"children": until(lambda n: 3 * 6.2 / (3 * 6.2 + n * 9.2) < 0.1)},
    "ex-audit-split": audit_split,
    "ex-audit-paired": audit_paired,
    "ex-line-formula": lambda: {"rho": (0, 0, 1)},
    "ex-cards-mean": cards_mean,
    "ex-cards-logged": lambda: {"kd": 0.09 / (1 - 0.9)},
}
