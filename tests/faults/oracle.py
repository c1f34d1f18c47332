"""What a configuration must be to be accepted, written down apart from the code that checks it.

`why_not(given)` is the reason for which {field: value} has to be refused, or '' where it has to be
accepted.  Values are as YAML gives them.  It speaks of a machine without real data.
"""

import math
import re

METHODS = {  # method -> option -> what it may be
    "plain": {"weight": "above 0"},
    "kd": {"alpha": "0 to 1", "temperature": "above 0"},
    "hkt": {
        "kind": ("gate", "forward_gate", "static", "softmax", "constant"),
        "lam": "0 to 1",
        "terms": ["L_c", "L_c*", "L_p*"],
    },
    "aligned": {
        "kind": ("gate", "forward_gate", "static", "softmax", "constant"),
        "lam": "0 to 1",
        "terms": ["L_c", "L_c*", "L_p*"],
        "beta": "from 0",
    },
    "heir": {
        "kind": ("gate", "forward_gate", "static", "softmax", "constant"),
        "lam": "0 to 1",
        "terms": ["L_c", "L_c*", "L_p*"],
    },
    "heir_kd": {"alpha": "0 to 1", "temperature": "above 0"},
    "fitnet": {"beta": "from 0"},
    "at": {"beta": "from 0"},
    "rkd": {"distance": "from 0", "angle": "from 0"},
    "sp": {"beta": "from 0"},
    "dkd": {"alpha": "from 0", "beta": "from 0", "temperature": "above 0"},
    "dist": {"beta": "from 0", "gamma": "from 0", "temperature": "above 0"},
    "lskd": {"alpha": "from 0", "beta": "from 0", "temperature": "above 0"},
    "simkd": {"beta": "from 0", "head": "from 0"},
    "reviewkd": {"beta": "from 0"},
    "lepoket": {"terms": ["L_c", "L_c*"]},
}
OF_LOGITS = {"dkd", "dist", "lskd"}
AT_SITES = {"hkt", "aligned", "heir", "lepoket", "fitnet", "at", "rkd", "sp", "simkd", "reviewkd"}
OF_MAPS = {"at", "reviewkd"}
NAMES = {
    "scale": ("smoke", "quick", "cpu", "full", "paper"),
    "source": ("auto", "real", "synthetic"),
    "parent_source": ("live", "cached", None),
    "optimizer": ("sgd", "adamw", None),
    "schedule": ("onecycle", "cosine", "multistep", None),
    "precision": ("fp32", "bf16", None),
    "device": ("cpu", "cuda", "mps", None),
    "images": ("rest", "swap", None),
}
INTEGERS = {  # field -> least and most
    "seed": (0, math.inf),
    "views": (0, 10_000),
    "train_size": (1, 10_000_000),
    "epochs": (1, 100_000),
    "batch_size": (2, math.inf),
    "threads": (1, 1024),
    "updates": (1, 1000),
    "parent_updates": (1, 1000),
}
NUMBERS = {"lr": False, "clip": False, "sam": False, "momentum": True, "weight_decay": True}
TRUTHS = ("channels_last", "compile")
WORDS = ("parent", "child", "parent_weights", "sites")
PRESETS = {"sintel": {}, "kitti": {}, "sintel-finetuned": {"epochs": 120}}
PRESETS["kitti-finetuned"] = {"epochs": 140}
SIZES = {  # (images, batch) of each task and scale
    "cifar10": {"smoke": (512, 64), "quick": (2000, 64), "cpu": (10_000, 128)},
    "flow": {"smoke": (16, 8), "quick": (320, 8), "cpu": (800, 8), "paper": (20_000, 8)},
    "lits": {"smoke": (64, 8), "quick": (480, 8), "cpu": (315, 8), "paper": (12_000, 24)},
}
SIZES["cifar10"] |= {"full": (45_000, 128), "paper": (45_000, 128)}
RAFTS = {"raft_large": 128, "raft_small": 128, "raft_base": 32, "raft_tiny": 32}
PUBLIC = {
    "cifar10": {"resnet20", "resnet32", "resnet44", "resnet56", "resnet110"},
    "flow": {"raft_large", "raft_small"},
    "lits": set(),
}
STAGES = {  # a flow run's usual ones: epochs in all, and the smallest side
    "smoke": (2, 64),
    "quick": (5, 64),
    "cpu": (8, 64),
    "paper": (80, 368),
}
PAIRS = {"smoke": ("raft_base", "raft_tiny"), "paper": ("raft_large", "raft_small")}
NETS = {"smoke": ("24x4", "6x4", 64), "cpu": ("24x5", "6x5", 128), "paper": ("32x5", "8x5", 192)}
IN_PLANE = {"smoke": 64, "quick": 64, "cpu": 128, "paper": 256}


def number(value) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def why_not(given: dict) -> str:
    """The reason to refuse a configuration, '' if there is none."""
    for field, value in given.items():
        reason = _field(field, value)
        if reason:
            return f"{field}: {reason}"
    task, method = given.get("task", "cifar10"), given.get("method", "hkt")
    if task not in (*SIZES, *PRESETS):
        return "no such task"
    if method not in METHODS:
        return "no such method"
    reason = _options(method, given.get("options", {}))
    return reason or _together(task, method, given)


def _field(field: str, value) -> str:
    if field in ("task", "method"):
        return "" if isinstance(value, str) else "no word"
    if field == "options":
        fits = isinstance(value, dict) and all(isinstance(key, str) for key in value)
        return "" if fits else "no options"
    if field in NAMES:
        known = isinstance(value, (str, type(None))) and value in NAMES[field]
        return "" if known else "not one of its names"
    if field in INTEGERS:
        least, most = INTEGERS[field]
        fits = type(value) is int and least <= value <= most
        return "" if fits or (value is None and field != "seed") else "no such whole number"
    if field in NUMBERS:
        fits = number(value) and (value > 0 or (value == 0 and NUMBERS[field]))
        fits = fits and not (field == "momentum" and value >= 1)
        return "" if fits or value is None else "no such number"
    if field in TRUTHS:
        return "" if value is None or isinstance(value, bool) else "neither true nor false"
    if field in WORDS:
        return "" if value is None or isinstance(value, str) else "no word"
    if field == "crop":
        fits = isinstance(value, list) and all(type(x) is int and 0 < x <= 10_000 for x in value)
        return "" if fits or value is None else "no list of sides"
    if field == "stages":
        return _stages(value)
    return "no such field"


def _stages(value) -> str:
    if value is None:
        return ""
    if not isinstance(value, list):
        return "no list"
    for stage in value:
        if not isinstance(stage, dict) or not {"corpus", "epochs", "crop"} <= set(stage):
            return "a stage lacks something"
        if set(stage) - {"corpus", "epochs", "crop", "lr"}:
            return "a stage has an unknown field"
        crop, lr = stage["crop"], stage.get("lr", 1.0)
        whole = isinstance(crop, list) and len(crop) == 2
        if not whole or not all(type(x) is int and 0 < x <= 10_000 for x in crop):
            return "a stage's crop"
        if not isinstance(stage["corpus"], str) or not number(lr) or lr <= 0:
            return "a stage's corpus or lr"
        if type(stage["epochs"]) is not int or stage["epochs"] < 1:
            return "a stage's epochs"
    return ""


def _options(method: str, options: dict) -> str:
    for name, value in options.items():
        rule = METHODS[method].get(name)
        if rule is None:
            return f"no option {name}"
        if isinstance(rule, tuple):
            fits = isinstance(value, str) and value in rule
        elif isinstance(rule, list):
            some = isinstance(value, list) and all(isinstance(x, str) for x in value) and value
            fits = some and value == [x for x in rule if x in value]
        else:
            fits = number(value) and value >= 0 and not (rule == "above 0" and value == 0)
            fits = fits and not (rule == "0 to 1" and value > 1)
        if not fits:
            return f"option {name}"
    return ""


def _together(task: str, method: str, given: dict) -> str:
    """What does not go with what."""

    def value(field: str, usual):
        found = given.get(field)
        return usual if found is None or found == "auto" else found

    scale = "paper" if task.endswith("finetuned") else "smoke"
    source = "real" if task.endswith("finetuned") else "synthetic"
    scale = given.get("scale", "quick") if task not in PRESETS else scale
    if task in ("sintel", "kitti"):
        scale = given.get("scale", "quick")
    source = value("source", source)
    preset, task = PRESETS.get(task, {}), "flow" if task in PRESETS else task
    if scale not in SIZES[task]:
        return "no such scale of it"
    images, batch = SIZES[task][scale]
    if value("batch_size", batch) > value("train_size", images):
        return "a batch larger than an epoch"
    if method in OF_LOGITS and task != "cifar10":
        return "no logits"
    if value("compile", False) and method in AT_SITES:
        return "compiled children have no sites"
    alone = method == "plain"
    weights = value("parent_weights", "public" if source == "real" else "committed")
    if not alone and weights not in ("public", "committed", "random"):
        if not re.fullmatch(r"run:\w+", weights):
            return "no such weights"
    reason = {"cifar10": _cifar10, "flow": _flow, "lits": _lits}[task](
        scale, source, method, value, given, preset
    )
    if reason:
        return reason
    parent = {
        "cifar10": "resnet110" if scale == "paper" else "resnet56",
        "flow": PAIRS.get(scale, PAIRS["smoke"])[0],
        "lits": "",
    }
    wants_public = not alone and weights == "public"
    if wants_public and value("parent", _usual_parent(task, source, parent)) not in PUBLIC[task]:
        return "no public weights"
    return ""


def _usual_parent(task: str, source: str, parents: dict) -> str:
    small = task == "cifar10" and source == "synthetic" and parents[task] == "resnet56"
    return "resnet20" if small else parents[task]


def _unused(given: dict, *fields: str) -> str:
    used = [field for field in fields if given.get(field) is not None]
    return f"no use for {used[0]}" if used else ""


def _cifar10(scale, source, method, value, given, preset) -> str:
    if reason := _unused(given, "stages", "crop", "updates", "parent_updates"):
        # parent_updates of a method without sites are dropped
        if reason != "no use for parent_updates" or method in AT_SITES:
            return reason
    for field in ("parent", "child"):
        arch = value(field, "resnet20")
        alone = field == "parent" and method == "plain"
        depth = re.fullmatch(r"resnet(\d+)", arch)
        fits = depth and arch.isascii() and (int(depth[1]) - 2) % 6 == 0
        if not alone and not (fits and 8 <= int(depth[1]) <= 1202 and depth[1][0] != "0"):
            return f"no {field} {arch}"
    if value("train_size", 10) > 45_000:
        return "more than there are"
    images = value("images", None)
    if images and source != "real":
        return "images are the real ones'"
    if images == "swap" and value("train_size", SIZES["cifar10"][scale][0]) >= 10_000:
        return "no test image is left"
    sites = value("sites", "pooled")
    if sites not in ("pooled", "layers", "blocks", "layers+pooled", "blocks+pooled"):
        return "no such sites"
    of_maps = method in OF_MAPS or given.get("options", {}).get("kind") == "softmax"
    if of_maps and sites not in ("layers", "blocks"):
        return "vectors have no positions"
    if method == "aligned" and sites == "pooled":
        return "no map to align"
    if method == "plain":
        return ""
    pooled = sites == "pooled" or method not in AT_SITES
    usual = ("live", 0) if scale == "paper" else ("cached", 2)
    cached = value("parent_source", usual[0] if pooled else "live") == "cached"
    return "nothing to cache" if cached and not value("views", usual[1]) else ""


def _flow(scale, source, method, value, given, preset) -> str:
    if reason := _unused(given, "images", "crop"):
        return reason
    if method != "plain" and value("parent_source", "live") == "cached":
        return "maps in a cache"
    parent, child = PAIRS.get(scale, PAIRS["smoke"])
    archs = [value("child", child)]
    archs += [value("parent", parent)] if method != "plain" else []
    if not set(archs) <= set(RAFTS):
        return "no such RAFT"
    if value("sites", "2hkt") not in ("2hkt", "3hkt"):
        return "no such sites"
    least, stages = max(RAFTS[arch] for arch in archs), given.get("stages")
    epochs, smallest = STAGES[scale]
    if preset:
        epochs, smallest = preset["epochs"], 288
    corpora = {"layers", "leaves", "leaves-kitti", "chairs", "things", "sintel", "kitti", "hd1k"}
    if stages is not None:
        if not stages:
            return "no stage"
        epochs = sum(stage["epochs"] for stage in stages)
        smallest = min(min(stage["crop"]) for stage in stages)
        for stage in stages:
            if not set(stage["corpus"].split("+")) <= corpora:
                return "no such corpus"
            if any(side % 8 for side in stage["crop"]):
                return "no multiple of 8"
    if epochs > 100_000:
        return "too many epochs"
    if smallest < least:
        return "too small a crop"
    return "" if value("epochs", epochs) == epochs else "other epochs than the stages'"


def _lits(scale, source, method, value, given, preset) -> str:
    if reason := _unused(given, "stages", "updates", "parent_updates"):
        if reason != "no use for parent_updates" or method in AT_SITES:
            return reason
    images = value("images", None)
    if images and (images == "swap" or source != "real"):
        return "no such choice among slices"
    if method != "plain" and value("parent_source", "live") == "cached":
        return "maps in a cache"
    parent, child, side = NETS.get(scale, NETS["smoke"])
    nets = []
    for field, usual in (("parent", parent), ("child", child)):
        arch = value(field, f"resunet2d-{usual}")
        found = re.fullmatch(r"(res)?unet([23])d-([1-9][0-9]*)x([3-7])", arch)
        if not found and not (field == "parent" and method == "plain"):
            return f"no {field} {arch}"
        nets.append(found and (int(found[2]), int(found[4])))
    dims, levels = nets[1]
    crop = given.get("crop")
    crop = [side, side] if crop is None else crop
    if len(crop) != dims or any(x % 2 ** (levels - 1) for x in crop):
        return "a crop that does not fit"
    if max(crop[-2:]) > IN_PLANE[scale]:
        return "a crop larger than the slices"
    if method not in AT_SITES:
        return ""
    names = value("sites", "bottleneck+decoder1").split("+")
    depth = min(nets[0][1], levels)
    places = {"bottleneck", *(f"decoder{n}" for n in range(1, depth - 1))}
    if len(set(names)) < len(names) or nets[0][0] != dims:
        return "sites named twice, or of other dimensions"
    return "" if set(names) <= places else "no such site"
