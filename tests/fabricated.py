"""Made-up records, small and valid, for tests of what is shown and judged."""

import hashlib

from hkt_lite.benchmarks import method_class, resolve
from hkt_lite.config import Config
from hkt_lite.runs.records import Cost, Epoch, EvalRecord, ParentInfo, Provenance, RunRecord, Score

MADE = Provenance(golden={}, data="d" * 64, versions={"torch": "0"})
HKT_FILE = "a09746dff02b2aa3d0946367676bb25d13317140a39bd5e145e03d4e98647e83"


def run(
    method="plain",
    seed=0,
    test=74.0,
    val=None,
    lr=0.1,
    options=None,
    purpose="score",
    audit=False,
    scale="cpu",
    source="real",
    parent="a" * 64,
    parent_arch="resnet56",
    share=(0.02, 0.08, 0.2),
    parameters=269_722,
    **fields,
) -> RunRecord:
    """A finished run of three recorded epochs whose validation-selected test accuracy is `test`;
    `share` holds the 5 %, 50 % and 95 % quantiles of the share under the released gate."""
    needs = method_class(method).needs_parent
    config = resolve(
        Config(
            method=method,
            seed=seed,
            lr=float(lr),
            options=options or {},
            scale=scale,
            source=source,
            device="cpu",
            **({"parent": parent_arch} if needs else {}),
            **fields,
        )
    )
    val = test + 1 if val is None else val
    seen = inherited(*share, config.options) if method == "hkt" else {}
    epochs = [
        Epoch(
            epoch=i,
            lr=lr,
            seconds=1.0,
            train={"L_c": 2.0 / i},
            val={"accuracy": val - 5 * (3 - i), "loss": 1.0 / i},
            inherited=seen,
        )
        for i in (1, 2, 3)
    ]
    score = Score(epoch=3, val={"accuracy": val, "loss": 0.3}, test={"accuracy": test, "loss": 0.7})
    return RunRecord(
        id=config.id,
        config=config,
        purpose=purpose,
        audit=audit,
        epochs=epochs,
        selected=score,
        last=score.model_copy(update={"test": {"accuracy": test - 0.5, "loss": 0.8}}),
        parent=ParentInfo(
            arch=parent_arch,
            weights="w.th",
            sha256=parent,
            parameters=1,
            val={"accuracy": 97.0},
            train={"accuracy": 98.5},
        )
        if needs
        else None,
        cost=Cost(
            seconds=1,
            parent_seconds=0,
            device="cpu",
            peak_memory_mb=1,
            parameters=parameters,
            extra_parameters=0,
            flops=82_000_000,
        ),
        provenance=MADE,
    )


def inherited(low: float, middle: float, high: float, options: dict) -> dict:
    """What an epoch's record says for a share between `low` and `high` under the released gate."""
    names = ("q05", "q25", "q50", "q75", "q95", "mean")
    values = (low, (low + middle) / 2, middle, (middle + high) / 2, high, middle)
    share, lam = dict(zip(names, values)), options["lam"]
    opposite = {"q05": "q95", "q25": "q75", "q75": "q25", "q95": "q05"}
    gate = {name: 1 - share[opposite.get(name, name)] / lam for name in names}
    displacement = {name: 4 * share[name] for name in names}
    return {"gate": gate, "share": share, "displacement": displacement}


def family(method, scores, val=None, **fields) -> list[RunRecord]:
    """One run a score, seeds 0, 1, …"""
    return [
        run(method, seed, score, val=val[seed] if val else None, **fields)
        for seed, score in enumerate(scores)
    ]


def evaluation(
    accuracy=92.40, normalisation="imagenet", sha256=HKT_FILE, name="HKT-RestNet20.pth"
) -> EvalRecord:
    made = hashlib.sha256(f"{accuracy} {normalisation} {sha256}".encode()).hexdigest()[:12]
    return EvalRecord(
        id=made,
        checkpoint=name,
        sha256=sha256,
        task="cifar10",
        arch="resnet20",
        protocol={
            "source": "real",
            "split": "test",
            "images": 10_000,
            "normalisation": normalisation,
        },
        metrics={"accuracy": accuracy, "loss": 0.38},
        provenance=MADE,
    )
