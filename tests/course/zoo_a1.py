"""Hand-ins of assignment 1."""

from .hand_ins import HandIn, first_cell, last_cell

ALL_S = "similarity_vectors similarity_maps gate share mix displacement"
ON_SHARE = "share mix displacement"

ZOO = [
    HandIn(
        "the root of C is missing",
        {"write_similarity": [(" * c.shape[1] ** 0.5", "")]},
        ALL_S,
    ),
    HandIn(
        "C instead of its root",
        {"write_similarity": [("** 0.5", "** 1")]},
        ALL_S,
    ),
    HandIn(
        "mean for sum",
        {"write_similarity": [(".sum(dim=1", ".mean(dim=1")]},
        ALL_S,
        kind="mutant",
    ),
    HandIn(
        "right for vectors only: the sum runs over the last axis",
        {"write_similarity": [("dim=1", "dim=-1")]},
        "similarity_maps gate share mix displacement",
    ),
    HandIn(
        "the axis of the channels is gone",
        {"write_similarity": [(", keepdim=True", "")]},
        ALL_S,
    ),
    HandIn(
        "softmax over the batch for the gate",
        {
            "write_share": [
                ("torch.sigmoid(similarity(c, p))", "torch.softmax(similarity(c, p), 0)")
            ]
        },
        "gate share mix displacement",
    ),
    HandIn(
        "gate inverted",
        {"write_share": [("g = gate(c, p)", "g = 1 - gate(c, p)")]},
        ON_SHARE,
        kind="mutant",
    ),
    HandIn(
        "lambda = 0",
        {"write_mix": [("share(c, p)", "0 * share(c, p)")]},
        "mix displacement",
        kind="mutant",
    ),
    HandIn(
        "child and parent change places",
        {"write_mix": [("c + share(c, p) * (p - c)", "p + share(c, p) * (c - p)")]},
        "mix displacement",
    ),
    HandIn(
        "one displacement for the whole batch",
        {"write_mix": [(".flatten(1).norm(dim=1)", ".norm()")]},
        "displacement",
    ),
    HandIn(
        "the gate of a batch of one has no axis left",
        {
            "write_share": [
                (
                    "torch.sigmoid(similarity(c, p))",
                    "torch.sigmoid(similarity(c, p).squeeze()).unsqueeze(1)",
                )
            ]
        },
        "gate share mix displacement",
    ),
    HandIn(
        "the share of a batch of one has no axis left",
        {"write_share": [("g = gate(c, p)", "g = gate(c, p).squeeze().unsqueeze(1)")]},
        ON_SHARE,
    ),
    HandIn(
        "the mixture of a batch of one has no axis left",
        {
            "write_mix": [
                ("c + share(c, p) * (p - c)", "(c + share(c, p) * (p - c)).squeeze()"),
            ]
        },
        "mix",
    ),
    HandIn(
        "the displacement of a batch of one is no vector",
        {
            "write_mix": [
                ("/ c.flatten(1).norm(dim=1)", "/ c.flatten(1).norm(dim=1).squeeze()"),
                (
                    "(mix(c, p) - c).flatten(1).norm(dim=1)",
                    "(mix(c, p) - c).flatten(1).norm(dim=1).squeeze()",
                ),
            ]
        },
        "displacement",
    ),
    HandIn(
        "no gradient through the gate",
        {"write_mix_gradients": [("* slope", "* 0 * slope")]},
        "gradient_parent gradient_child",
    ),
    HandIn(
        "the gate's slope has the wrong sign",
        {"write_mix_gradients": [("slope = ", "slope = -")]},
        "gradient_parent gradient_child",
    ),
    HandIn(
        "the gradients change places",
        {"write_mix_gradients": [("return to_child, to_parent", "return to_parent, to_child")]},
        "gradient_parent gradient_child",
    ),
    HandIn(
        "gradients by autograd of a mixture without the gate's path",
        {
            "write_mix_gradients": "def mix_gradients(c, p, d):\n    rho = share(c, p)\n"
            "    return d * (1 - rho), d * rho\n"
        },
        "gradient_parent gradient_child",
    ),
    HandIn(
        "gradients by autograd",
        {
            "write_mix_gradients": "def mix_gradients(c, p, d):\n"
            "    c, p = c.clone().requires_grad_(), p.clone().requires_grad_()\n"
            "    return torch.autograd.grad((mix(c, p) * d).sum(), [c, p])\n"
        },
        "gradient_parent gradient_child",
    ),
    HandIn(
        "all in double precision from the first cell on",
        trick=first_cell("import torch\ntorch.set_default_dtype(torch.float64)"),
        kind="right",
    ),
    HandIn(
        "draws and shows what it found",
        trick=last_cell(
            "import matplotlib.pyplot as plt\nplt.plot([1, 2])\ndisplay('two', 2)\nshare(c, p).mean()"
        ),
        kind="right",
    ),
]
