"""Hand-ins of assignment 3."""

from .hand_ins import HandIn

TRAINED = "train_curve train_choice"
LOSSES = "losses_child losses_parent losses_gradient"
GATE_NOT_INVERTED = (
    "lam = 2 * mix(0 * p, p).sum() / p.sum()\n"
    "    m = c + lam * torch.sigmoid((c * p).sum(1, keepdim=True) / 6**0.5) * (p - c)"
)

ZOO = [
    HandIn(
        "τ squared missing",
        {"write_kd": [("return loss *", "return loss + 0 *")]},
        "kd_value kd_gradient",
        kind="mutant",
    ),
    HandIn(
        "mean over classes",
        {"write_kd": [("batchmean", "mean")]},
        "kd_value kd_gradient",
        kind="mutant",
    ),
    HandIn(
        "sum over the batch",
        {"write_kd": [("batchmean", "sum")]},
        "kd_value kd_gradient",
        kind="mutant",
    ),
    HandIn(
        "distributions change places",
        {"write_kd": [("kl_div(own, wanted", "kl_div(wanted, own")]},
        "kd_value kd_gradient",
    ),
    HandIn(
        "logarithm of a softmax",
        {"write_kd": [("own = F.log_softmax(", "own = (lambda *a: F.softmax(*a).log())(")]},
        "kd_gradient",
    ),
    HandIn(
        "lambda = 0",
        {"write_losses": [("m = mix(c, p)", "m = c")]},
        LOSSES,
        kind="mutant",
    ),
    HandIn(
        "gate inverted",
        {"write_losses": [("m = mix(c, p)", GATE_NOT_INVERTED)]},
        LOSSES,
        kind="mutant",
    ),
    HandIn(
        "the mixture is cut off from the child",
        {"write_losses": [("mix(c, p)", "mix(c.detach(), p)")]},
        "losses_gradient",
    ),
    HandIn(
        "parent in train mode",
        {"write_losses": [("p = T(", "parent.train()\n        p = T(")]},
        LOSSES,
        kind="mutant",
    ),
    HandIn(
        "the parent learns too",
        {"write_losses": [("c = net.body(x)", "parent.requires_grad_(True)\n    c = net.body(x)")]},
        "losses_gradient",
    ),
    HandIn(
        "the parent's body is on the graph",
        {"write_losses": [("with torch.no_grad():", "if True:")]},
        "losses_gradient",
    ),
    HandIn(
        "the parent's feature is cut off by detach",
        {
            "write_losses": [
                ("with torch.no_grad():", "if True:"),
                ("(x))\n    c", "(x)).detach()\n    c"),
            ]
        },
        kind="right",
    ),
    HandIn(
        "the factor of the class is missing",
        {"write_losses": [(" * F.cross", " ** 0 * F.cross")]},
        "losses_parent losses_gradient",
    ),
    HandIn(
        "the losses are no dict, and the training takes them as they are",
        {
            "write_losses": [
                ("    return {", "    return tuple({"),
                ("y),\n    }", "y),\n    }.values())"),
            ],
            "write_train": [
                ('terms["L_c"]', "terms[0]"),
                ("sum(terms.values())", "sum(terms)"),
            ],
        },
        LOSSES,
    ),
    HandIn(
        "the parent's features of the first points are kept for all others",
        {
            "write_losses": [
                ("p = T(parent.body(x))", "p = KEPT.setdefault(len(x), T(parent.body(x)))"),
                ("def losses", "KEPT = {}\n\n\ndef losses"),
            ]
        },
        "losses_parent",
    ),
    HandIn(
        "ten epochs where no number is given",
        {"write_train": [("epochs: int = 12", "epochs: int = 10")]},
        "train_choice",
    ),
    HandIn(
        "in evaluation mode from the second epoch on",
        {"write_train": [("        net.train()\n", "")]},
        "train_curve",
    ),
    HandIn(
        "one more pass for L_c, and evaluation by hand",
        {
            "write_train": [
                ('terms["L_c"] if', "F.cross_entropy(net(x), y) if"),
                (
                    'accuracy(net, "val")',
                    '100 * (net.eval()(data("val")[0]).argmax(1) == data("val")[1]).double().mean().item()',
                ),
            ]
        },
        kind="right",
    ),
    HandIn(
        "gradients are not set to zero",
        {"write_train": [("optimizer.zero_grad()", "pass")]},
        TRAINED,
    ),
    HandIn(
        "chosen on test",
        {"write_train": [("val[epoch] == max(val)", "test[epoch] == max(test)")]},
        "train_choice",
    ),
    HandIn(
        "the last epoch",
        {"write_train": [("chosen = ", "chosen = epochs - 1 if True else ")]},
        "train_choice",
    ),
    HandIn(
        "the other one of equally good epochs",
        {"write_train": [('== "first"', '!= "first"')]},
        "train_choice",
    ),
    HandIn(
        "n below the line",
        {"write_interval": [("ddof=1", "ddof=0")]},
        "interval",
    ),
    HandIn(
        "normal quantile",
        {"write_interval": [(", len(d) - 1)", ", 10**9)")]},
        "interval",
    ),
    HandIn(
        "unpaired",
        {
            "write_interval": [
                ("d.std(ddof=1)", "(np.var(a, ddof=1) + np.var(b, ddof=1)) ** 0.5"),
            ]
        },
        "interval",
    ),
    HandIn(
        "other seeds for plain",
        {"write_interval": [("train(method, seed)", "train(method, seed + (method == 'plain'))")]},
        "experiment",
    ),
    HandIn(
        "validation accuracies compared",
        {"write_interval": [('train(method, seed)["test"]', 'max(train(method, seed)["val"])')]},
        "experiment",
    ),
]
