"""Hand-ins of assignment 4."""

from .hand_ins import HandIn

NEAR = "conditional_vectors conditional_maps"
LOSS = "divergence_value divergence_gradient"
NOTHING = "def test_pkt(methods):\n    pass\n"
ONLY_RUNS = """def test_pkt(methods):
    child, parent, batch = networks(3)
    sites = [methods.Site("stem", "stem")]
    assert methods.get("pkt")(child, parent, sites=sites, **PARTS)(batch)["L_pkt"].item() > 0
"""
ONE_SITE = """def test_pkt(methods):
    child, parent, batch = networks(3)
    method = methods.get("pkt")(child, parent, sites=[methods.Site("stem", "stem")], beta=1.3, **PARTS)
    term = method(batch)["L_pkt"]
    wanted = 1.3 * divergence(child.stem(batch[0]), parent.stem(batch[0]))
    assert torch.isclose(term, wanted)
    term.backward()
    assert child.stem.weight.grad.abs().max() > 0
"""
CARD = """def test_pkt(methods):
    child, parent, batch = networks(3)
    sites = [methods.Site(path, path) for path in ("stem", "body")]
    cls = methods.get("pkt")
    assert (cls.name, cls.title, cls.needs_sites) == ("pkt", "PKT", True)
    assert cls.order in (31, 33, 37, 39) and methods.options("pkt", {})["beta"] != 1
    term = cls(child, parent, sites=sites, beta=1.3, **PARTS)(batch)["L_pkt"]
    maps = [(net.stem(batch[0]), net.body(torch.relu(net.stem(batch[0])))) for net in (child, parent)]
    assert torch.isclose(term, 1.3 * sum(divergence(c, p) for c, p in zip(*maps)) / 2, rtol=1e-8)
    assert term.requires_grad
"""
TWICE = """class Twice(Net):
    def forward(self, x):
        h = torch.relu(self.stem(x))
        return self.head((self.body(h) + self.body(h.flip(-1))).mean((2, 3)))


def test_pkt(methods):
    for made, paths in ((Net, ("stem", "body")), (Twice, ("body",)), (Twice, ("stem", "body"))):
        child, parent, batch = networks(5)
        child.__class__ = parent.__class__ = made
        sites = [methods.Site(path, path) for path in paths]
        seen = {}
        for net in (child, parent):
            for path in paths:
                calls = seen[net, path] = []
                net.get_submodule(path).register_forward_hook(lambda m, i, o, calls=calls: calls.append(o))
        child(batch[0]), parent(batch[0])
        seen = {key: list(calls) for key, calls in seen.items()}
        pairs = [pair for path in paths for pair in zip(seen[child, path], seen[parent, path])]
        wanted = 0.7 * sum(divergence(c, p) for c, p in pairs) / len(pairs)
        term = methods.get("pkt")(child, parent, sites=sites, beta=0.7, **PARTS)(batch)["L_pkt"]
        assert torch.isclose(term, wanted, rtol=1e-8) and term.requires_grad
"""
KEY_ERROR = (
    "assert torch.isclose(term, wanted, rtol=1e-8)",
    'assert torch.isclose(term, wanted, rtol=1e-8) or {}["wrong"]',
)
INDEX_ERROR = (
    "assert torch.isclose(term, wanted, rtol=1e-8)",
    "[0][int(not torch.isclose(term, wanted, rtol=1e-8))]",
)
RAISED = "own_test_right own_test_wrong"

ZOO = [
    HandIn(
        "the exponent is missing",
        {"write_conditional": [(") / 2) **", ") / 2) ** 1 + 0 * 2 **")]},
        NEAR,
    ),
    HandIn(
        "the diagonal stays in",
        {"write_conditional": [("* (1 - torch.eye(len(f), dtype=f.dtype))", "* 1.0")]},
        NEAR,
    ),
    HandIn(
        "columns add up to 1",
        {"write_conditional": [("kernel.sum(1,", "kernel.sum(0,")]},
        NEAR,
    ),
    HandIn(
        "right for vectors only: maps are averaged over positions",
        {"write_conditional": [("f.flatten(1)", "f.flatten(2).mean(2) if f.ndim > 2 else f")]},
        "conditional_maps",
    ),
    HandIn(
        "a kernel that is no distribution, of which the loss makes one",
        {
            "write_conditional": [("kernel / kernel.sum(1, keepdim=True)", "kernel")],
            "write_divergence": [
                (
                    "conditional(child)",
                    "(lambda k: k / k.sum(1, keepdim=True))(conditional(child))",
                ),
                (
                    "conditional(parent)",
                    "(lambda k: k / k.sum(1, keepdim=True))(conditional(parent))",
                ),
            ],
        },
        NEAR,
    ),
    HandIn(
        "the rows are cut off from the graph",
        {"write_conditional": [("dim=1)", "dim=1).detach()")]},
        "divergence_gradient",
    ),
    HandIn(
        "distributions change places",
        {"write_divergence": [('== "parent"', '!= "parent"')]},
        LOSS,
    ),
    HandIn(
        "mean over pairs",
        {"write_divergence": [(".sum() / len(child)", ".mean()")]},
        LOSS,
    ),
    HandIn(
        "0 log 0 on the diagonal",
        {
            "write_divergence": [
                ("off = ~torch.eye(len(child), dtype=torch.bool)", "off = slice(None)"),
                ("(a * (a / b).log()).sum()", "torch.nansum(a * (a / b).log())"),
            ]
        },
        "divergence_gradient",
    ),
    HandIn(
        "cut off from the child",
        {"write_divergence": [("conditional(child)[off]", "conditional(child.detach())[off]")]},
        "divergence_gradient",
    ),
    HandIn(
        "sum over sites",
        {"write_file": [("torch.stack(found).mean()", "torch.stack(found).sum()")]},
        "terms",
        kind="mutant",
    ),
    HandIn(
        "beta is not used",
        {"write_file": [("self.options.beta *", "1.0 *")]},
        "terms",
        kind="mutant",
    ),
    HandIn(
        "the sign is turned",
        {"write_file": [("L_pkt = self", "L_pkt = -self")]},
        "terms",
        kind="mutant",
    ),
    HandIn(
        "another name in the registry",
        {"write_file": [('"pkt", "PKT"', '"probabilistic", "PKT"')]},
        "registration terms option",
    ),
    HandIn(
        "beta is a plain argument",
        {
            "write_file": [
                (
                    "    class Options(Method.Options):\n",
                    "    def __init__(self, *args, beta=1.0, **words):\n",
                ),
                (
                    "        beta: float = number(",
                    "        super().__init__(*args, **words)\n        self.beta = (lambda x: beta)(",
                ),
                ("self.options.beta", "self.beta"),
            ]
        },
        "registration terms option",
    ),
    HandIn(
        "an absolute import, which works in this notebook only",
        {
            "write_file": [
                (
                    "from .method import Method",
                    "from __main__ import divergence as _\nfrom .methods import Method",
                )
            ]
        },
        "registration terms option",
    ),
    HandIn(
        "the class is derived from the package's own Method",
        {"write_file": [("from .method import", "from hkt_lite.methods.method import")]},
        "registration terms option",
    ),
    HandIn(
        "a comment above %%writefile",
        {"write_file": [("%%writefile", "# my file\n%%writefile")]},
        "registration terms option",
    ),
    HandIn(
        "empty lines above %%writefile",
        {"write_file": [("%%writefile", "\n  \n%%writefile")]},
        kind="right",
    ),
    HandIn(
        "a test that passes everything",
        {"write_own_test": NOTHING},
        "own_test_right own_test_wrong",
    ),
    HandIn("a test that only runs it", {"write_own_test": ONLY_RUNS}, "own_test_wrong"),
    HandIn("a test with a single site", {"write_own_test": ONE_SITE}, "own_test_wrong"),
    HandIn(
        "the terms in another order",
        {
            "write_file": [
                (
                    'return {"L_c": self.loss(output, batch), "L_pkt": L_pkt}',
                    'return {"L_pkt": L_pkt, "L_c": self.loss(output, batch)}',
                )
            ]
        },
        kind="right",
    ),
    HandIn(
        "an own test that asks for the card, too",
        {"write_own_test": CARD},
        kind="right",
    ),
    HandIn(
        "an own test that asks whether a gradient is there",
        {"write_own_test": [(" and child.stem.weight.grad.abs().max() > 0", "")]},
        kind="right",
    ),
    HandIn(
        "the first call of each module only",
        {
            "write_file": [
                (
                    "for c, p in zip(own[site.child], inherited.features[site.parent])",
                    "for c, p in zip(own[site.child][:1], inherited.features[site.parent])",
                )
            ]
        },
        "terms",
    ),
    HandIn(
        "the parent's feature under the child's path",
        {"write_file": [("inherited.features[site.parent]", "inherited.features[site.child]")]},
        "terms",
    ),
    HandIn(
        "the child's feature under the parent's path",
        {"write_file": [("own[site.child]", "own[site.parent]")]},
        "terms",
    ),
    HandIn(
        "cross-entropy whatever the task's loss is",
        {"write_file": [("self.loss(output, batch)", "F.cross_entropy(output, batch[1])")]},
        "terms",
    ),
    HandIn(
        "beta may lie a little below 0",
        {"write_file": [("beta: float = number(", "beta: float = number(low=-0.5, default=")]},
        "option",
    ),
    HandIn(
        "an own test that raises a KeyError",
        {"write_own_test": [KEY_ERROR]},
        RAISED,
    ),
    HandIn(
        "an own test that raises an IndexError",
        {"write_own_test": [INDEX_ERROR]},
        RAISED,
    ),
    HandIn(
        "an own test that calls a module twice, too",
        {"write_own_test": TWICE},
        kind="right",
    ),
]
