"""Hand-ins of assignment 1."""

from .hand_ins import HandIn, first_cell, last_cell

ON_S = "similarity_vectors similarity_maps"
WHOLE = "mix(c, p, share(gate(similarity(c, p))))"
OF_C_AND_P = """def gate(c, p):
    return torch.sigmoid(similarity(c, p))


def share(c, p):
    return 0.6 * (1 - gate(c, p))
"""

ZOO = [
    # one mistake, in one function: it costs that function's points
    HandIn(
        "the temperature is missing",
        {"write_similarity": [("/ (", "/ ((1.0, "), (" * c.shape", ")[0] * c.shape")]},
        ON_S,
    ),
    HandIn(
        "the root of C is missing",
        {"write_similarity": [(" * c.shape[1] ** 0.5", "")]},
        ON_S,
    ),
    HandIn(
        "C instead of its root",
        {"write_similarity": [("** 0.5", "** 1")]},
        ON_S,
    ),
    HandIn(
        "mean for sum",
        {"write_similarity": [(".sum(dim=1", ".mean(dim=1")]},
        ON_S,
        kind="mutant",
    ),
    HandIn(
        "right for vectors only: the sum runs over the last axis",
        {"write_similarity": [("dim=1", "dim=-1")]},
        "similarity_maps",
    ),
    HandIn(
        "the axis of the channels is gone",
        {"write_similarity": [(", keepdim=True", "")]},
        ON_S,
    ),
    HandIn(
        "similarity is not written",  # and left as the class got it: it raises when called
        {"write_similarity": "def similarity(c, p):\n    raise NotImplementedError"},
        ON_S,
    ),
    HandIn(
        "one minus the gate for the gate",
        {"write_share": [("torch.sigmoid(s)", "torch.sigmoid(-s)")]},
        "gate",
    ),
    HandIn(
        "softmax over the batch for the gate",
        {"write_share": [("torch.sigmoid(s)", "torch.softmax(s, 0)")]},
        "gate",
    ),
    HandIn(
        "gate inverted",
        {"write_share": [("((1 - g) if", "(g if"), ("else g)", "else 1 - g)")]},
        "share",
        kind="mutant",
    ),
    HandIn(
        "lambda = 0 in the share",
        {"write_share": [("else g)", "else g) * 0")]},
        "share",
        kind="mutant",
    ),
    HandIn(
        "lambda = 0",
        {"write_mix": [("rho * (p - c)", "0 * rho * (p - c)")]},
        "mix",
        kind="mutant",
    ),
    HandIn(
        "child and parent change places",
        {"write_mix": [("c + rho * (p - c)", "p + rho * (c - p)")]},
        "mix",
    ),
    HandIn(
        "nothing of the child is taken away",
        {"write_mix": [("c + rho * (p - c)", "c + rho * p")]},
        "mix",
    ),
    HandIn(
        "one displacement for the whole batch",
        {"write_mix": [(".flatten(1).norm(dim=1)", ".norm()")]},
        "displacement",
    ),
    HandIn(
        "the displacement is divided by the mixture's length",
        {"write_mix": [("/ c.flatten(1)", "/ m.flatten(1)")]},
        "displacement",
    ),
    # a batch of one
    HandIn(
        "the gate of a batch of one has no axis left",
        {"write_share": [("torch.sigmoid(s)", "torch.sigmoid(s.squeeze()).unsqueeze(1)")]},
        "gate",
    ),
    HandIn(
        "the share of a batch of one has no axis left",
        {"write_share": [("    return 0", "    g = g.squeeze().unsqueeze(1)\n    return 0")]},
        "share",
    ),
    HandIn(
        "the mixture of a batch of one has no axis left",
        {"write_mix": [("c + rho * (p - c)", "(c + rho * (p - c)).squeeze()")]},
        "mix",
    ),
    HandIn(
        "the displacement of a batch of one is no vector",
        {
            "write_mix": [
                ("/ c.flatten(1).norm(dim=1)", "/ c.flatten(1).norm(dim=1).squeeze()"),
                (
                    "(m - c).flatten(1).norm(dim=1)",
                    "(m - c).flatten(1).norm(dim=1).squeeze()",
                ),
            ]
        },
        "displacement",
    ),
    # an argument that is not used
    HandIn(
        "gate and share take the features, not what is handed in",
        {"write_share": OF_C_AND_P},
        "gate share",
    ),
    HandIn(
        "the gate of the notebook's own features, whatever is handed in",
        {"write_share": [("torch.sigmoid(s)", "torch.sigmoid(similarity(c, p))")]},
        "gate",
    ),
    HandIn(
        "mixture and displacement work out the share themselves",
        {
            "write_mix": [
                ("c + rho", "c + share(gate(similarity(c, p)))"),
                ("(m - c)", "(mix(c, m, 0) - c)"),
            ]
        },
        "mix displacement",
    ),
    # gradients
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
            "write_mix_gradients": "def mix_gradients(c, p, d):\n"
            "    rho = share(gate(similarity(c, p)))\n"
            "    return d * (1 - rho), d * rho\n"
        },
        "gradient_parent gradient_child",
    ),
    HandIn(
        "gradients by autograd",
        {
            "write_mix_gradients": "def mix_gradients(c, p, d):\n"
            "    c, p = c.clone().requires_grad_(), p.clone().requires_grad_()\n"
            f"    return torch.autograd.grad(({WHOLE} * d).sum(), [c, p])\n"
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
            "import matplotlib.pyplot as plt\nplt.plot([1, 2])\ndisplay('two', 2)\n"
            "share(gate(similarity(c, p))).mean()"
        ),
        kind="right",
    ),
]
