"""Hand-ins of assignment 2."""

from .hand_ins import HandIn, last_cell

LEAVE = "    finally:\n        for handle in handles:\n            handle.remove()"
REGISTERED = "            handles.append(model.get_submodule(path).register_forward_hook(keep))"
WRAPPED = """            module = model.get_submodule(path)

            def wrapped(*given, module=module, forward=module.forward, keep=keep):
                output = forward(*given)
                keep(module, given, output)
                return output

            module.forward = wrapped"""
UNWRAPPED = """            back = lambda module=module: vars(module).pop("forward")
            handles.append(type("Handle", (), {"remove": staticmethod(back)}))"""

ZOO = [
    HandIn(
        "keeps the other end of the module",
        {"write_record": [('== "in"', '!= "in"')]},
        "record_values record_gradient",
    ),
    HandIn(
        "keeps the last call only",
        {
            "write_record": [
                ("seen[path].app", "seen[path].clear()\n                seen[path].app")
            ]
        },
        "record_values record_leaves_nothing",
    ),
    HandIn(
        "the hooks stay",
        {"write_record": [("handle.remove()", "pass")]},
        "record_leaves_nothing",
    ),
    HandIn(
        "the hooks stay after an error",
        {
            "write_record": [
                (
                    "        return model(x), ",
                    "        output = model(x)\n        for handle in handles:\n"
                    "            handle.remove()\n        return output, ",
                ),
                (LEAVE, "    finally:\n        pass"),
            ]
        },
        "record_leaves_nothing",
    ),
    HandIn(
        "features are cut off from the graph",
        {"write_record": [("calls[::", "[t.detach() for t in calls][::")]},
        "record_gradient",
    ),
    HandIn(
        "the output is cut off from the graph",
        {"write_record": [("return model(x), ", "return model(x).detach(), ")]},
        "record_gradient",
    ),
    HandIn(
        "wraps what the modules compute, and leaves it so",
        {"write_record": [(REGISTERED, WRAPPED)]},
        "record_leaves_nothing",
    ),
    HandIn(
        "wraps what the modules compute, and puts it back",
        {"write_record": [(REGISTERED, f"{WRAPPED}\n{UNWRAPPED}")]},
        kind="right",
    ),
    HandIn(
        "what is exempt stays as it was",
        {
            "write_freeze": [
                (
                    "    parent.requires_grad_(False)\n",
                    "    before = {q: q.requires_grad for q in parent.parameters()}\n"
                    "    parent.requires_grad_(False)\n",
                ),
                (
                    "getattr(parent, part).requires_grad_(True)",
                    "for q in getattr(parent, part).parameters():\n"
                    "            q.requires_grad_(before[q])",
                ),
            ]
        },
        "freeze_parameters",
    ),
    HandIn(
        "parent in train mode",
        {"write_freeze": [("module.train = lambda mode=True, module=module: module", "pass")]},
        "freeze_statistics freeze_gradient",
        kind="mutant",
    ),
    HandIn(
        "frozen by no_grad",
        {
            "write_freeze": [
                (
                    "return parent",
                    "parent.forward = torch.no_grad()(parent.forward)\n    return parent",
                )
            ]
        },
        "freeze_gradient",
    ),
    HandIn(
        "only eval, parameters still learn",
        {"write_freeze": [("parent.requires_grad_(False)", "pass")]},
        "freeze_parameters freeze_gradient",
    ),
    HandIn(
        "directions about zero",
        {"write_principal": [("svd(p - mean", "svd(p")]},
        "directions",
    ),
    HandIn(
        "directions without a sign",
        {"write_principal": [("return W * sides", "return W, mean\n    return W * sides")]},
        "directions",
    ),
    HandIn(
        "the smallest directions",
        {"write_principal": [(".Vh[:width]", ".Vh.flip(0)[:width]")]},
        "directions",
    ),
    HandIn(
        "another factor there",
        {"write_principal": [("- mean) @ W.T)", "- mean) @ W.T / 3)")]},
        "transfer",
    ),
    HandIn(
        "the mean is not put back",
        {"write_principal": [(" + mean)", ")")]},
        "way_back",
    ),
    HandIn(
        "corners aligned",
        {"write_principal": [("align_corners=False", "align_corners=True")]},
        "resolution",
    ),
    HandIn(
        "a dict that the hooks fill in the order of the calls",
        {
            "write_record": [
                ("{path: [] for path in paths}", "{}"),
                ("seen[path].append(", "seen.setdefault(path, []).append("),
            ]
        },
        kind="right",
    ),
    HandIn(
        "all in double precision at the end",
        trick=last_cell("torch.set_default_dtype(torch.float64)"),
        kind="right",
    ),
    HandIn(
        "two passes",
        {"write_record": [("return model(x), ", "model(x)\n        return model(x), ")]},
        "record_values record_leaves_nothing",
    ),
    HandIn(
        "one pass for each path",
        {
            "write_record": [
                (
                    "        for path in paths:\n",
                    "        for path in paths:\n            model(x)\n",
                )
            ]
        },
        "record_values record_leaves_nothing",
    ),
    HandIn(
        "sweeps all hooks of the model away",
        {"write_record": [("handle.remove()", "model._forward_hooks.clear(), handle.remove()")]},
        "record_leaves_nothing",
    ),
    HandIn(
        "freezes a copy",
        {
            "write_freeze": [
                (
                    "    parent.requires_grad_(False)",
                    "    import copy\n    parent = copy.deepcopy(parent)\n"
                    "    parent.requires_grad_(False)",
                )
            ]
        },
        "freeze_parameters",
    ),
]
