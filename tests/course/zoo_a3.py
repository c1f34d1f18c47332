"""Hand-ins of assignment 3."""

from .hand_ins import HandIn

TRAINED = "train_curve train_choice experiment"
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
        f"losses_child losses_parent losses_gradient {TRAINED}",
        kind="mutant",
    ),
    HandIn(
        "gate inverted",
        {"write_losses": [("m = mix(c, p)", GATE_NOT_INVERTED)]},
        f"losses_child losses_parent losses_gradient {TRAINED}",
        kind="mutant",
    ),
    HandIn(
        "the mixture is cut off from the child",
        {"write_losses": [("mix(c, p)", "mix(c.detach(), p)")]},
        f"losses_gradient {TRAINED}",
    ),
    HandIn(
        "parent in train mode",
        {"write_losses": [("p = T(", "parent.train()\n        p = T(")]},
        f"losses_child losses_parent losses_gradient {TRAINED}",
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
        "train_choice experiment",
    ),
    HandIn(
        "the last epoch",
        {"write_train": [("chosen = ", "chosen = epochs - 1 if True else ")]},
        "train_choice experiment",
    ),
    HandIn(
        "the other one of equally good epochs",
        {"write_train": [('== "first"', '!= "first"')]},
        "train_choice experiment",
    ),
    HandIn(
        "n below the line",
        {"write_interval": [("ddof=1", "ddof=0")]},
        "interval experiment",
    ),
    HandIn(
        "normal quantile",
        {"write_interval": [(", len(d) - 1)", ", 10**9)")]},
        "interval experiment",
    ),
    HandIn(
        "unpaired",
        {
            "write_interval": [
                ("d.std(ddof=1)", "(np.var(a, ddof=1) + np.var(b, ddof=1)) ** 0.5"),
            ]
        },
        "interval experiment",
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
