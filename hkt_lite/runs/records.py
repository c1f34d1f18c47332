"""What a record says: what was run, on what, by what, with which result.   hkt runs show ID

A record is one JSON file, checked against its schema when written and when read; `store` says where
records lie.  Names and units of the numbers are those of the benchmark (`Task.shown`).
"""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..config import Config, HKTError, canonical, first_flaw
from ..files import by_state, json_bytes, read_parsed, sha256_of

Purpose = Literal["score", "tuning", "parent", "audit", "live", "control"]
Verdict = Literal["same bits", "inside the interval", "different"]  # of a repetition
PURPOSES = get_args(Purpose)
Id = Annotated[str, Field(pattern=r"^\w+$")]  # part of file names
WeightsFile = Annotated[str, Field(pattern=r"^\w+\.safetensors$")]
QUANTILES = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}  # over images


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")


class Provenance(Part):
    """What made a record.  Where a golden run has a higher version today, the record is *stale*."""

    golden: dict[str, int] = {}  # golden run -> its version when the record was made
    data: str  # sha256 of the images and labels the run used, or of the archive's files
    sources: str = ""  # digest of the package, of runs that any change of it makes stale in a store
    versions: dict[str, str]
    commit: str = ""
    dirty: bool = False  # made from a working tree with uncommitted changes
    created: str = ""
    machine: str = ""
    threads: int | None = None


class Epoch(Part):
    """One line of the curves: means over the epoch's images."""

    epoch: int  # 1, 2, …
    lr: float  # at the epoch's last step
    seconds: float
    train: dict[str, float]  # loss term -> mean
    val: dict[str, float]  # metric -> value
    test: dict[str, float] = {}  # in audits only: what a look at the test data would have shown
    inherited: dict[str, dict[str, float]] = {}  # gate, share, displacement -> q05 … q95, mean


class Score(Part):
    """Metrics of one state of the child; test data was looked at once, after the choice."""

    epoch: int
    val: dict[str, float]
    test: dict[str, float]
    right: str = ""  # of a classification: a bit for each test example, in base64 (`measure.bits`)


class ParentInfo(Part):
    arch: str
    weights: str
    sha256: str
    parameters: int
    val: dict[str, float]
    train: dict[str, float] = {}  # on the run's own training images: has it memorised them?


class Cost(Part):
    seconds: float  # training and validation, without the cache's filling
    parent_seconds: float  # filling the parent cache
    device: str
    peak_memory_mb: float | None  # None where the system does not tell
    parameters: int  # of the child, before and after
    extra_parameters: int  # of the method, thrown away after training
    flops: int  # of one forward pass of the child on one example


class RunRecord(Part):
    kind: Literal["run"] = "run"
    id: Id
    config: Config
    purpose: Purpose = "score"
    audit: bool = False  # breaks the rules on purpose; never in a score table
    epochs: list[Epoch]
    selected: Score  # the epoch with the best validation metric
    last: Score
    parent: ParentInfo | None = None
    fidelity: dict[str, dict[str, float]] = {}  # split -> how the child answers as its parent
    cost: Cost
    weights: dict[WeightsFile, str] = {}  # file of the store -> sha256 of its tensors
    provenance: Provenance


class EvalRecord(Part):
    kind: Literal["eval"] = "eval"
    id: Id
    checkpoint: str
    sha256: str
    task: str
    arch: str
    protocol: dict[str, Any]
    metrics: dict[str, float]
    provenance: Provenance


class RepeatRecord(Part):
    """What came of running a record's configuration once more (`hkt reproduce`)."""

    kind: Literal["again"] = "again"
    id: Id
    run: str  # id of the record that was run again
    verdict: Verdict
    sentence: str
    provenance: Provenance  # of the second run


Record = RunRecord | EvalRecord | RepeatRecord
KINDS: dict[str, Any] = {"run": RunRecord, "eval": EvalRecord, "again": RepeatRecord}

CHECKSUM = "checksum"
END = b"\n}\n"  # of a file


def flat(value, prefix: str = "") -> dict:
    """Nested dictionaries as one, whose keys are the paths: {"config.lr": 0.1}."""
    if not isinstance(value, dict):
        return {prefix: value}
    found: dict = {}
    for name, inner in value.items():
        found |= flat(inner, f"{prefix}.{name}".lstrip("."))
    return found


def filename(record: Record) -> str:
    return f"{record.kind}-{record.id}.json"


def sealed(record: Record) -> bytes:
    """The file of a record: its JSON, and in its last line the sha256 of the file without it."""
    bare = json_bytes(record)
    return bare.removesuffix(END) + _seal(sha256_of(bare))


def _seal(checksum: str) -> bytes:
    return f',\n "{CHECKSUM}": "{checksum}"'.encode() + END


def _intact(data: bytes, value: dict, checksum: str | None) -> bool:
    """Whether a file has its checksum; the first records have none, later ones that of their
    canonical JSON, which takes longer to make than all the rest of reading a record."""
    bare = data.removesuffix(_seal(str(checksum))) + END
    return checksum in (None, sha256_of(bare)) or checksum == sha256_of(canonical(value).encode())


@by_state
def load(path: Path) -> Record:
    """One record.  Raises HKTError naming the file and the first field that is wrong."""
    data, value = read_parsed(path)
    if not isinstance(value, dict) or value.get("kind") not in KINDS:
        known = ", ".join(KINDS)
        raise HKTError(f"{path} is not a record of this project: its kind is none of {known}.")
    checksum = value.pop(CHECKSUM, None)
    if not _intact(data, value, checksum):
        raise HKTError(f"The record {path} was altered: it has not the checksum it was made with.")
    try:
        record: Record = KINDS[value["kind"]].model_validate(value)
    except ValidationError as error:
        where, said = first_flaw(error)
        raise HKTError(f"The record {path} does not fit its schema at {where!r}: {said}.") from None
    except HKTError as error:
        raise HKTError(f"The record {path} does not fit its schema: {error}") from None
    if isinstance(record, RunRecord) and record.id != record.config.id:
        was = record.config.id
        raise HKTError(f"The record {path} was altered: its configuration has the id {was}.")
    return record
