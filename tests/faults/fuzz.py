"""Configurations and command lines out of a hat: a sentence or an answer, never a traceback.

    python -m tests.faults.fuzz 10000          # about so many; `pytest -m long` does the same

Two thirds are configurations, as they are checked before any work, half of them in a grid file;
the others are command lines.  All run in this process, with the measuring of `--dry-run` left out,
and one command line in a hundred once more in a process of its own.  What is accepted must be what
`oracle`, which knows nothing of the code, accepts, must mean the same after a trip through JSON,
and is refused if `oracle` has a reason.
"""

import io
import json
import os
import random
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import yaml

from hkt_lite import cli
from hkt_lite.benchmarks import method_class, resolve
from hkt_lite.config import PROJECT, Config, HKTError
from hkt_lite.files import from_yaml
from hkt_lite.runs import device, measure
from tests.faults.oracle import METHODS, why_not

HUGE = 10**30
ODD = [None, True, False, 0, -1, 1, 2, 3, 0.5, 1.0, -0.0, 1e308, HUGE, -HUGE, float("nan")]
ODD += [float("inf"), -float("inf"), "", "auto", "1", "nan", "ä\u202e\x00", "\udcff", "a" * 5000]
ODD += [[], [1], [[]], {}, {"each": 1}, {"a": {"b": []}}, "../../etc/passwd", "run:", "run:abc"]
FITTING = {
    "task": ["cifar10"] * 4 + ["flow", "flow", "lits", "lits", "sintel", "kitti-finetuned"],
    "method": [*METHODS, "hkt", "hkt", "plain", "kd"],
    "scale": ["smoke", "smoke", "quick", "cpu", "paper", "full"],
    "source": ["auto", "synthetic", "synthetic", "real"],
    "seed": [0, 1, 7, 2**40],
    "options": [{}],
    "parent": ["resnet20", "resnet56", "raft_base", "raft_large", "resunet2d-24x4", "resnet21"],
    "child": ["resnet8", "resnet1202", "raft_tiny", "raft_small", "resunet3d-8x5", "unet2d-6x4"],
    "parent_weights": [
        "committed",
        "public",
        "random",
        "run:0123456789ab",
        "run:../x",
        "none",
        "other",
    ],
    "parent_source": ["live", "cached"],
    "views": [0, 1, 8, 10_000, 10_001],
    "train_size": [1, 64, 512, 45_000, 45_001, HUGE],
    "images": ["rest", "swap", "first"],
    "epochs": [1, 2, 3, 100_000, 100_001],
    "batch_size": [1, 2, 8, 64, 1000],
    "lr": [0.1, 1, 1e-300, 5, 0],
    "optimizer": ["sgd", "adamw", "adam"],
    "clip": [1.0, 12, 0],
    "sam": [0.05, 0],
    "schedule": ["onecycle", "cosine", "multistep", "step"],
    "momentum": [0, 0.9, 1],
    "weight_decay": [0, 1e-4, -1e-4],
    "precision": ["fp32", "bf16", "fp16"],
    "channels_last": [True, False],
    "threads": [1, 2, 1024, 1025],
    "device": ["cpu", "cuda", "tpu"],
    "compile": [False],
    "sites": [
        "pooled",
        "layers",
        "blocks",
        "blocks+pooled",
        "2hkt",
        "3hkt",
        "bottleneck",
        "decoder1+decoder2",
        "decoder9",
    ],
    "stages": [
        [{"corpus": "layers", "epochs": 2, "crop": [64, 96]}],
        [{"corpus": "kitti", "epochs": 3, "crop": [128, 128], "lr": 0.5}],
        [{"corpus": "things", "epochs": 3, "crop": [128, 128], "lr": 0.5}],
        [{"corpus": "leaves", "epochs": 2, "crop": [64, 96]}],
        [{"corpus": "layers", "epochs": 2, "crop": [60, 96]}],
        [{"corpus": "layers", "epochs": 0, "crop": [64, 64]}],
        [{"corpus": "layers", "epochs": "2", "crop": [64, 64]}],
        [{"corpus": "layers", "epochs": 2, "crop": [64, 64, 64]}],
        [{"corpus": "layers", "crop": [64, 64]}],
        [],
    ],
    "crop": [[64, 64], [32, 64], [64, 64, 16], [65, 64], [0, 0], [-64, 64], [128, 128]],
    "updates": [1, 4, 0, 1000, 1001],
    "parent_updates": [1, 4, 0],
}
VALUES = {"lam": [0, 0.3, 1, 1.1], "kind": ["gate", "static", "softmax", "gait"], "weight": [1, 0]}
VALUES["terms"] = [["L_c"], ["L_c", "L_c*"], ["L_c*", "L_c"], ["L_x"], [], "L_c", [[]]]
COMMANDS = (
    "run trace eval grid export submit reproduce pages book check claims golden bench".split()
)
COMMANDS += ["runs list", "runs show", "runs diff", "runs publish", "runs collect", "runs export"]
COMMANDS += ["data status", "data fetch", "data verify", "course release", "course grade", "runs"]
WORDS = [
    "--help",
    "--json",
    "--dry-run",
    "--seed",
    "--scale",
    "-s",
    "-o",
    "--set",
    "--option",
    "--",
]
WORDS += ["--index", "--jobs", "--gpu-gib", "--published", "--rounds", "--nbval", "cifar10", "hkt"]
WORDS += [
    "",
    "=",
    "lr",
    "lr=",
    "=1",
    "lr=[",
    "lr={",
    "lr=!!python/object:os.system x",
    "lr=2020-13-45",
]
WORDS += [
    "-1",
    "0",
    "1e999",
    "9" * 5000,
    "nan",
    "ä\u202e",
    "\udcff",
    "*",
    "~nobody/x",
    "/dev/null/x",
]
WORDS += ["a" * 300, "000000000000", ".", "/", "nowhere.yaml", "-", "--option=", "--no-such", "'"]
WORK = """
    hkt_lite.runs.loop.run hkt_lite.runs.trace.trace hkt_lite.runs.grid.sweep
    hkt_lite.runs.bench.step hkt_lite.runs.bench.everything hkt_lite.runs.reproduce.reproduce
    hkt_lite.runs.export.export hkt_lite.runs.export.evaluate hkt_lite.runs.golden.suite
    hkt_lite.runs.store.publish hkt_lite.book.build.build hkt_lite.book.check.check
    hkt_lite.book.validate.validate hkt_lite.evidence.release.export
    hkt_lite.benchmarks.registry.fetch hkt_lite.benchmarks.registry.verify
    hkt_lite.benchmarks.flow.submission.write hkt_course.classroom.Class
""".split()  # what begins when a command line is accepted, and would take long or change something


class Begun(BaseException):
    """All checks before the work were passed."""


class Fuzz:
    """`tried`, `refused`, `accepted` are counts; `wrong` and `tracebacks` say what is to be mended."""

    def __init__(self, count: int, seed: int, folder: Path):
        self.count, self.draw, self.folder = count, random.Random(seed), folder
        self.counts: Counter = Counter()
        self.wrong: list[str] = []
        self.tracebacks: list[str] = []

    def all(self) -> dict:
        with no_work(self.folder):
            for number in range(self.count):
                kind = (self.configuration, self.grid_file, self.command_line)[number % 3]
                self.counts["tried"] += 1
                try:
                    kind()
                except Exception:
                    self.tracebacks.append(traceback.format_exc()[-3000:])
        return {
            **dict(sorted(self.counts.items())),
            "tracebacks": len(self.tracebacks),
            "wrong": len(self.wrong),
            "what": (self.tracebacks + self.wrong)[:20],
        }

    def fields(self) -> dict:
        """A configuration, some of whose fields are odd."""
        draw = self.draw
        names = ["task", "method", "scale", *draw.sample(sorted(FITTING), draw.randint(0, 4))]
        given = {name: draw.choice(FITTING[name]) for name in names}
        if draw.random() < 0.5:  # networks and sites of another task are refused soon
            for name in ("parent", "child", "sites", "stages", "crop", "images"):
                given.pop(name, None)
        if draw.random() < 0.4:
            given["options"] = self.options(given["method"])
        if draw.random() < 0.25:
            given[draw.choice(sorted(FITTING))] = draw.choice(ODD)
        if draw.random() < 0.03:
            given[draw.choice(["LR", "epoch", "", "__class__", "id", "self", "seed "])] = 1
        return given

    def options(self, method) -> dict:
        draw, found = self.draw, {}
        known = [*METHODS.get(method, ()), "lam"]
        for name in draw.sample(known, draw.randint(0, min(2, len(known)))):
            pool = VALUES.get(name, [0, 0.5, 2, 1e308])
            found[name] = draw.choice(ODD if draw.random() < 0.15 else pool)
        return found

    def configuration(self) -> None:
        given = self.fields()
        try:
            found = checked(Config(**given))
        except HKTError as error:
            self.judge(given, str(error))
            return
        self.judge(given, "")
        again = Config(**json.loads(found.model_dump_json()))
        if again != found or resolve(again) != found or again.id != found.id:
            self.wrong.append(f"means something else after JSON: {given}")

    def grid_file(self) -> None:
        """The same, through a file with an axis of seeds."""
        given = self.fields()
        text = yaml.safe_dump({"runs": [given]}, allow_unicode=True)
        if self.draw.random() < 0.1:
            text = damaged(text, self.draw)
            given = {}
        path = self.folder / "grid.yaml"
        path.write_bytes(text.encode(errors="surrogateescape"))
        if given:
            try:
                expected = from_yaml(path.read_text())["runs"][0]
            except (yaml.YAMLError, ValueError):
                expected = None
            if expected is None or any(_axis(value) for value in given.values()):
                given = {}
        code, said = self.command("grid", str(path), "--dry-run")
        if given:
            self.judge(given, said if code else "")
            return
        self.counts["refused with a sentence" if code == 2 else "accepted"] += 1
        if code not in (0, 2):
            self.wrong.append(f"exit code {code} for a damaged grid: {text[:300]!r}")

    def command_line(self) -> None:
        draw = self.draw
        words = draw.choice(COMMANDS).split()
        if words == ["run"] and draw.random() < 0.7:
            given = {key: x for key, x in self.fields().items() if key not in ("options",)}
            self.judged_run(given)
            return
        words += [draw.choice(WORDS) for _ in range(draw.randint(0, 5))]
        code, said = self.command(*words)
        self.counts["refused with a sentence" if code == 2 else "accepted"] += 1
        if draw.random() < 0.03:
            self.outside(words, code)

    def judged_run(self, given: dict) -> None:
        """`hkt run TASK METHOD -s …` where the oracle knows what each word means."""
        names = [given.pop("task"), given.pop("method")]
        usual = ["cifar10", "hkt"]
        task, method = (
            name
            if isinstance(name, str) and name[:1] not in ("", "-") and "\0" not in name
            else other
            for name, other in zip(names, usual)
        )
        texts = {
            key: yaml.safe_dump(value, default_flow_style=True) for key, value in given.items()
        }
        given = {key: x for key, x in given.items() if key and _survives(x, texts[key])}
        words = [word for key in given for word in ("-s", f"{key}={texts[key]}")]
        meant = {"scale": "quick", "source": "auto", "seed": 0, **given, "task": task}
        code, said = self.command("run", task, method, *words, "--dry-run")
        self.judge({**meant, "method": method}, said if code else "")

    def judge(self, given: dict, refusal: str) -> None:
        """Compare with the oracle."""
        reason = why_not(given)
        self.counts["refused with a sentence" if refusal else "accepted"] += 1
        if bool(reason) != bool(refusal):
            self.wrong.append(f"{given} should be refused ({reason}): {refusal or 'accepted'}")
        elif refusal and not (refusal[:1].strip() and len(refusal.splitlines()) == 1):
            self.wrong.append(f"no sentence: {refusal!r}")

    def command(self, *words: str) -> tuple[int, str]:
        """(exit code, what was said) of `hkt WORDS` in this process."""
        out, err = io.StringIO(), io.StringIO()
        with mock.patch.object(sys, "argv", ["hkt", *words]):
            with redirect_stdout(out), redirect_stderr(err):
                try:
                    cli.main()
                except SystemExit as ended:
                    code = ended.code
                except Begun:
                    return 0, ""
        said = err.getvalue().strip()
        if code == 2 and not (said.startswith("hkt: ") and len(said.splitlines()) == 1):
            self.wrong.append(f"{words}: no sentence but {said[:300]!r}")
        if code not in (0, 1, 2):
            self.wrong.append(f"{words}: exit code {code}")
        return code, said

    def outside(self, words: list[str], code: int) -> None:
        """Once more as a user does it, where nothing can begin."""
        if code != 2 or any("\0" in word for word in words):
            return
        self.counts["in a process of their own"] += 1
        ended = subprocess.run(
            [sys.executable, "-m", "hkt_lite", *words],
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            capture_output=True,
            text=True,
            errors="replace",
            cwd=self.folder,
            timeout=300,
        )
        if ended.returncode != code or "Traceback" in ended.stderr:
            self.wrong.append(f"{words} in a process of its own: {ended}")


def checked(config: Config) -> Config:
    """All that `runs.loop.run` checks of a configuration before it reads data."""
    resolved = resolve(config)
    device.check_compile(resolved, method_class(resolved.method).needs_sites)
    return resolved


def damaged(text: str, draw: random.Random) -> str:
    """A grid file in which something is amiss."""
    place = draw.randrange(len(text))
    insert = draw.choice(
        ["\t", "&a [*a, *a]", "\x00", "- ", "{", ": :", "!!python/name:os", "\udcff"]
    )
    return draw.choice([text[:place], text[:place] + insert + text[place:], insert, "[]", "3"])


def _axis(value) -> bool:
    return isinstance(value, dict) and set(value) == {"each"}


def _survives(value, text: str) -> bool:
    """Whether YAML, and an argument of a process, say what was meant."""
    try:
        return "\0" not in text and repr(from_yaml(text)) == repr(value)
    except (yaml.YAMLError, ValueError):
        return False


@contextmanager
def no_work(folder: Path):
    """An empty store, no data, and nothing begins."""

    def begin(*given, **options):
        raise Begun

    places = {"HKT_RUNS": folder / "runs", "HKT_DATA": folder / "data"}
    for place in places.values():
        place.mkdir(exist_ok=True)
    environment = {name: str(place) for name, place in places.items()}
    patches = [mock.patch(name, begin) for name in WORK]
    patches.append(mock.patch.dict(os.environ, environment))
    patches.append(
        mock.patch.object(measure, "estimate", lambda config: {"seconds": 1, "disk_mb": 1.0})
    )
    with ExitStack() as stack:  # a name that is gone leaves none of the others replaced
        for patch in patches:
            stack.enter_context(patch)
        yield


def main() -> None:
    count, seed = (int(word) for word in [*sys.argv[1:], "10000", "0"][:2])
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(Fuzz(count, seed, Path(folder)).all(), indent=1, ensure_ascii=True))


if __name__ == "__main__":
    main()
