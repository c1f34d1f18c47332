"""The golden runs: name -> case -> fields of a Config, or of an evaluation.  Two steps an epoch, a few epochs, seconds a golden.

Beside a Config's fields a case may say `home`, the corpora it sees, and `parent_of`, the network whose committed (or seeded)
weights stand for its parent; an evaluation says `checkpoint`, 'seeded' or 'committed', and goes through every protocol.
"""

from __future__ import annotations

# Large weight decays, so that a step without one is seen; small rates, so that rounding is not amplified.
SMALL = {
    "cifar10": {
        "scale": "smoke",
        "train_size": 32,
        "batch_size": 16,
        "epochs": 3,
        "views": 2,
        "lr": 0.02,
        "weight_decay": 0.1,
        "threads": 1,
    },
    "flow": {
        "scale": "smoke",
        "train_size": 4,
        "batch_size": 2,
        "updates": 3,
        "lr": 0.0003,
        "weight_decay": 1.0,
        "threads": 1,
    },
    "lits": {
        "scale": "smoke",
        "train_size": 16,
        "batch_size": 8,
        "epochs": 2,
        "lr": 0.0005,
        "weight_decay": 1.0,
        "threads": 1,
    },
}
LIVE = {"parent_source": "live", "views": 0}
TWO = [
    {"corpus": "layers", "epochs": 1, "crop": [64, 64]},
    {"corpus": "kitti", "epochs": 2, "lr": 0.5, "crop": [64, 72]},
]
LEAVES = {"stages": [{"corpus": "leaves", "epochs": 1, "crop": [64, 64]}]}
CURRICULUM = [
    {"corpus": "chairs", "epochs": 1, "crop": [64, 72]},
    {"corpus": "things", "epochs": 1, "lr": 0.5, "crop": [72, 64]},
    {"corpus": "sintel+kitti+hd1k", "epochs": 2, "lr": 0.5, "crop": [64, 96]},
    {"corpus": "kitti", "epochs": 1, "lr": 0.25, "crop": [72, 96]},
]
ZERO_SHOT = [
    {"corpus": "chairs", "epochs": 1, "crop": [80, 88]},
    {"corpus": "things", "epochs": 1, "lr": 0.5, "crop": [64, 72]},
]
SLICES = {"stages": [{"corpus": "liver_ct", "epochs": 2, "crop": [64, 64]}]}
THREE = {"batch_size": 3, "train_size": 6}  # examples have angles between three of them
FLOW_KD = {"options": {"alpha": 0.5}}
LITS_KD = {"options": {"alpha": 0.5, "temperature": 2.0}}
RELEASED = {"options": {"kind": "gate"}}
FORWARD = {"options": {"kind": "forward_gate"}}
STATIC = {"options": {"kind": "static"}}
CONSTANT = {"options": {"kind": "constant", "lam": 0.3}}
HEAD = {"options": {"lam": 0.0, "terms": ["L_c", "L_p*"]}}
ALL_SITES = {**LIVE, "sites": "layers+pooled"}
GIVEN = {
    "cifar10": {"parent": "resnet20", "parent_weights": "run:given"},
    "flow": {"parent": "raft_base", "parent_weights": "run:given"},
    "lits": {"parent": "resunet2d-24x4", "parent_weights": "run:given"},
}

# task -> source -> method -> case -> fields
RUNS = {
    "cifar10": {
        "synthetic": {
            "plain": {
                "fresh views": LIVE,
                "weight 3, multistep": {
                    **LIVE,
                    "options": {"weight": 3.0},
                    "schedule": "multistep",
                },
            },
            "kd": {"cached": {}, "live": LIVE},
            "fitnet": {"cached": {}, "live": LIVE},
            "at": {"layers": {**LIVE, "sites": "layers"}},
            "sp": {"cached": {}, "layers": {**LIVE, "sites": "layers"}},
            "rkd": {"cached": {}, "layers": {**LIVE, "sites": "layers"}},
            "dkd": {"cached": {}, "live": LIVE},
            "dist": {"cached": {}, "live": LIVE},
            "lskd": {"cached": {}, "live": LIVE},
            "reviewkd": {"layers": {**LIVE, "sites": "layers"}},
            "simkd": {"cached": {}, "layers": {**LIVE, "sites": "layers"}},
            "lepoket": {"cached": {}, "both": {**LIVE, "options": {"terms": ["L_c", "L_c*"]}}},
            "hkt": {
                "gate": RELEASED,
                "gate, live": {**RELEASED, **LIVE},
                "forward_gate": FORWARD,
                "static": STATIC,
                "constant": CONSTANT,
                "layers and pooled": {**LIVE, "sites": "layers+pooled"},
                "L_p* alone": {"options": {"terms": ["L_c", "L_p*"], "lam": 0.3}},
            },
            "aligned": {
                "forward_gate": {**ALL_SITES, **FORWARD},
                "parent's head alone": {**ALL_SITES, **HEAD},
                "blocks and pooled": {**LIVE, "sites": "blocks+pooled", **FORWARD},
            },
            "heir": {
                "forward_gate": FORWARD,
                "parent's modules alone, live": {**LIVE, "options": {"terms": ["L_c"]}},
            },
            "heir_kd": {"cached": {}},
        },
        "real": {
            "plain": {"fixed views": {}, "fresh views": LIVE},
            "kd": {"cached": {}, "live, public": {**LIVE, "parent_weights": "public"}},
            "fitnet": {"cached": {}},
            "at": {"layers": {**LIVE, "sites": "layers"}},
            "reviewkd": {"layers": {**LIVE, "sites": "layers"}},
            **{name: {"cached": {}} for name in ("sp", "rkd", "dkd", "dist", "lskd")},
            **{name: {"cached": {}} for name in ("simkd", "lepoket")},
            "hkt": {
                "gate": RELEASED,
                "gate, live, public": {**LIVE, "parent_weights": "public"},
                "forward_gate": FORWARD,
            },
            "aligned": {"parent's head alone": {**ALL_SITES, **HEAD}},
            "heir": {"live, public": {**LIVE, **FORWARD, "parent_weights": "public"}},
            "heir_kd": {"live, public": {**LIVE, "parent_weights": "public"}},
        },
    },
    "flow": {
        "synthetic": {
            "plain": {"two stages": {"stages": TWO}, "leaves": LEAVES},
            "kd": {"two stages": {"stages": TWO, **FLOW_KD}, "leaves": {**LEAVES, **FLOW_KD}},
            "fitnet": {"two stages": {"stages": TWO}, "leaves": LEAVES},
            "sp": {"two stages": {"stages": TWO}},
            "rkd": {"batches of 3": {"stages": TWO[:1], **THREE}},
            "simkd": {"one stage": {"stages": TWO[:1]}},
            "lepoket": {"one stage": {"stages": TWO[:1]}},
            "hkt": {
                "2hkt": {"stages": TWO, "sites": "2hkt"},
                "3hkt": {"stages": TWO, "sites": "3hkt", "parent_updates": 2},
                "2hkt, forward_gate": {"stages": TWO[:1], "sites": "2hkt", **FORWARD},
                "2hkt, leaves": {**LEAVES, "sites": "2hkt"},
            },
            "aligned": {"2hkt": {"stages": TWO[:1], "sites": "2hkt"}},
        },
        "real": {
            "plain": {"curriculum": {"stages": CURRICULUM}, "zero-shot": {"stages": ZERO_SHOT}},
            "kd": {"curriculum": {"stages": CURRICULUM, **FLOW_KD}},
            "fitnet": {"curriculum": {"stages": CURRICULUM}},
            "sp": {"zero-shot": {"stages": ZERO_SHOT}},
            "rkd": {"zero-shot, batches of 3": {"stages": ZERO_SHOT, **THREE}},
            "simkd": {"zero-shot": {"stages": ZERO_SHOT}},
            "lepoket": {"zero-shot": {"stages": ZERO_SHOT}},
            "hkt": {
                "2hkt": {"stages": CURRICULUM, "sites": "2hkt"},
                "3hkt, zero-shot": {"stages": ZERO_SHOT, "sites": "3hkt"},
            },
            "aligned": {"2hkt, zero-shot": {"stages": ZERO_SHOT, "sites": "2hkt"}},
        },
    },
    "lits": {
        "synthetic": {
            "plain": {"whole slices": {}, "crops": {"crop": [48, 48]}},
            "kd": {"gentle": LITS_KD, "defaults": {}},
            "fitnet": {"gentle": {"options": {"beta": 0.001}}, "defaults": {}},
            "at": {"defaults": {}},
            **{name: {"defaults": {}} for name in ("sp", "rkd", "reviewkd", "lepoket")},
            "simkd": {"gentle": {"options": {"beta": 0.001}}},
            "hkt": {"gate": RELEASED, "forward_gate": FORWARD},
            "aligned": {"forward_gate": FORWARD},
        },
        "real": {
            "plain": {
                "LiTS": {},
                "LiTS, crops": {"crop": [48, 56]},
                "Task03_Liver": {"home": "decathlon"},
                "liver_ct": SLICES,
                "3-D": {
                    "child": "resunet3d-4x3",
                    "crop": [8, 48, 48],
                    "train_size": 4,
                    "batch_size": 2,
                },
            },
            "kd": {"LiTS": LITS_KD, "liver_ct": {**SLICES, **LITS_KD}},
            "fitnet": {"LiTS": {"options": {"beta": 0.001}}},
            "at": {"LiTS": {}, "liver_ct": SLICES},
            "sp": {"LiTS": {}, "liver_ct": SLICES},
            **{name: {"LiTS": {}} for name in ("rkd", "reviewkd", "lepoket")},
            "simkd": {"LiTS": {"options": {"beta": 0.001}}},
            "hkt": {"LiTS": RELEASED, "liver_ct": {**SLICES, **RELEASED}},
            "aligned": {"LiTS": FORWARD},
        },
    },
}

EVALUATIONS = {
    "cifar10-eval-synthetic": {"seeded": {"arch": "resnet8"}, "committed": {"arch": "resnet20"}},
    "cifar10-eval-real": {"seeded": {"arch": "resnet8"}, "committed": {"arch": "resnet20"}},
    "flow-eval-real": {
        "seeded": {"arch": "raft_tiny"},
        "committed": {"arch": "raft_base"},
        "committed, small pictures": {"arch": "raft_base", "small": True},
    },
    "lits-eval-synthetic": {
        "seeded": {"arch": "resunet2d-6x4"},
        "committed": {"arch": "resunet2d-24x4"},
    },
    "lits-eval-real": {
        "seeded": {"arch": "resunet2d-6x4"},
        "committed": {"arch": "resunet2d-24x4"},
        "seeded, liver_ct": {"arch": "resunet2d-6x4", "home": "slices"},
        "committed, Task03_Liver": {"arch": "resunet2d-24x4", "home": "decathlon"},
    },
}


def _run(task: str, source: str, method: str, fields: dict) -> dict:
    parent = {} if source == "synthetic" or method == "plain" else GIVEN.get(task, {})
    small = SMALL.get(task, {"scale": "smoke"})
    return {"task": task, "method": method, "source": source, **small, **parent, **fields}


def _evaluation(name: str, case: str, fields: dict) -> dict:
    task, _, source = name.split("-")
    return {"task": task, "source": source, "checkpoint": case.split(",")[0], **fields}


GOLDENS = {
    f"{task}-{method}-{source}": {
        case: _run(task, source, method, fields) for case, fields in cases.items()
    }
    for task, sources in RUNS.items()
    for source, methods in sources.items()
    for method, cases in methods.items()
} | {
    name: {case: _evaluation(name, case, fields) for case, fields in cases.items()}
    for name, cases in EVALUATIONS.items()
}
