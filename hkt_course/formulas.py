"""Answers to the book's exercises that are formulas, or depend on the run of a page.

Each is (right, {what to say: wrong}, arguments): functions, which are called on the arguments, or
what a function of the page's own value returns.  The other answers stand in exercises.yaml.
"""

import torch
import torch.nn.functional as F

from hkt_lite.methods.attention import similarity

from .check import differences


def drawn(seed: int, *shape: int) -> torch.Tensor:
    """Normal numbers in double precision."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def far_limit(a, b):
    return (a - a.mean() - b + b.mean()).square().mean() / 2


def from_oneself(g, lam=0.6):
    return 1 + 2 * (1 - lam * (1 - g))


def by_angle(c, p, lam=0.6):
    return lam * torch.sigmoid(-F.cosine_similarity(c, p))


def share(c, p, lam=0.6):
    return lam * torch.sigmoid(-(c @ p) / len(c) ** 0.5)


def slope(c, p, lam=0.6):
    g = torch.sigmoid(c @ p / len(c) ** 0.5)
    return -lam * g * (1 - g) * p / len(c) ** 0.5


def per_image_minus_pooled(n, e):
    return e.mean() - (n * e).sum() / n.sum()


def of_a_class(z, y):
    return torch.stack([z[y == label].mean(0) for label in y])


INVERTED = "This is the gate the other way round."
NO_CEILING = "λ is missing: it is the share's ceiling."
CLASSES = torch.tensor([0, 2, 1, 0, 0, 2])

FORMULAS = {
    "ex-ways-temperature": {
        "limit": (
            far_limit,
            {
                "A constant added to all logits changes no softmax, but it changes this.": (
                    lambda a, b: (a - b).square().mean() / 2
                ),
                "A factor is wrong: how does KL begin for two that are almost equal?": (
                    lambda a, b: 2 * far_limit(a, b)
                ),
                "This is the sum over classes; near uniform each has the probability 1/K.": (
                    lambda a, b: len(a) * far_limit(a, b)
                ),
            },
            (drawn(0, 10) + 1, drawn(1, 10)),
        )
    },
    "ex-ways-self": {
        "body": (
            from_oneself,
            {
                "This takes m for c, but a part of m is the parent's, a constant.": (
                    lambda g, lam=0.6: 3 + 0 * g
                ),
                "This is the parent's part of m; the gradient goes through the child's.": (
                    lambda g, lam=0.6: 1 + 2 * lam * (1 - g)
                ),
                INVERTED: lambda g, lam=0.6: from_oneself(1 - g, lam),
                "Two of the three losses read m.": lambda g, lam=0.6: 2 - lam * (1 - g),
            },
            (torch.linspace(0.5, 1, 5, dtype=torch.double),),
        )
    },
    "ex-gate-cosine": {
        "share": (
            by_angle,
            {
                INVERTED: lambda c, p, lam=0.6: lam - by_angle(c, p, lam),
                "This still hears lengths: it is the gate of this page.": (
                    lambda c, p, lam=0.6: lam * torch.sigmoid(-similarity(c, p)).flatten()
                ),
                NO_CEILING: lambda c, p, lam=0.6: by_angle(c, p, 1.0),
            },
            (drawn(2, 6, 9), drawn(3, 6, 9)),
        )
    },
    "ex-gate-choose": {
        "slope": (
            lambda c, p, lam=0.6: differences(share, [c, p, lam]),
            {
                "The sign: does more similarity mean a larger share?": lambda *args: -slope(*args),
                NO_CEILING: lambda c, p, lam=0.6: slope(c, p, 1.0),
                "The similarity is divided by √C, and so is its slope.": (
                    lambda c, p, lam=0.6: slope(c, p, lam) * len(c) ** 0.5
                ),
                "This is the slope along p; asked for is the one along c.": (
                    lambda c, p, lam=0.6: slope(p, c, lam)
                ),
            },
            (drawn(4, 7), drawn(5, 7), 0.6),
        )
    },
    "ex-kitti-means": {
        "difference": (
            per_image_minus_pooled,
            {
                "The sign: this is pooled minus per image.": (
                    lambda n, e: -per_image_minus_pooled(n, e)
                ),
                "This is the covariance alone; pooled divides by the number of all pixels.": (
                    lambda n, e: n.mean() * per_image_minus_pooled(n, e)
                ),
                "This covariance divides by K - 1; both means here divide by K.": (
                    lambda n, e: len(n) / (len(n) - 1) * per_image_minus_pooled(n, e)
                ),
            },
            (drawn(6, 5).abs() * 1000, drawn(7, 5).abs()),
        )
    },
    "ex-peers-own": {
        "target": (
            of_a_class,
            {
                "This is the mean over the whole batch; each class has its own.": (
                    lambda z, y: z.mean(0).expand_as(z)
                ),
                "These are the parent's own logits: this is distillation.": lambda z, y: z,
                "This is one row a class; the child needs one an image.": (
                    lambda z, y: torch.stack([z[y == label].mean(0) for label in y.unique()])
                ),
                "This is the sum over the images of a class.": (
                    lambda z, y: torch.stack([z[y == label].sum(0) for label in y])
                ),
            },
            (drawn(8, 6, 3), CLASSES),
        )
    },
}


def constant_flow(scenes) -> dict:
    """The best constant answer to the test scenes: its vector and its EPE, and zero's EPE."""
    flow = torch.cat([scene.flow.flatten(1) for scene in scenes], dim=1)  # (2, pixels)
    median, mean = flow.median(1).values, flow.mean(1)

    def error(best):
        return (flow - best[:, None]).norm(dim=0).mean()

    return {
        "median": (
            median,
            {"This is the mean; it is best for squares, EPE is a mean of lengths.": mean},
            (),
        ),
        "epe": (
            error(median),
            {
                "This is zero flow's.": error(torch.zeros(2)),
                "This is a squared error; EPE is a mean of lengths.": (
                    (flow - median[:, None]).square().sum(0).mean()
                ),
                "This adds up the components' errors; the length is the root of their squares.": (
                    (flow - median[:, None]).abs().sum(0).mean()
                ),
            },
            (),
        ),
    }


OF_THE_PAGE = {"ex-sintel-zero": constant_flow}
