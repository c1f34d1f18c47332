"""One training loop for every task and method: deterministic, resumable at any step, selected on validation data.

record = run(Config(task="cifar10", method="hkt", scale="quick"))        # or:  hkt run cifar10 hkt --scale quick
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from ..benchmarks import Task, get, method_class, resolve
from ..benchmarks.weights import parameters
from ..config import Config, HKTError, canonical, runs_home, stream
from ..files import sha256, write_bytes, write_json
from ..methods.method import Method
from ..methods.parent import Cached, Live
from .records import Cost, Epoch, ParentInfo, RunRecord, Score, code_hash, load, provenance

QUANTILES = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}


def run(
    config: Config,
    purpose: str = "score",
    progress: Callable | None = None,
    checkpoint_steps: int | None = None,
    inspect: Callable | None = None,
) -> RunRecord:
    """Train, select on validation data, look at the test data once, write the record; or return the record of a finished twin.

    A run that was cut off goes on from its last checkpoint (every `checkpoint_steps` steps and after each epoch) to the same bits.
    `progress(done_steps, all_steps, epoch or None)` is told of every step.  `inspect(method, batch, step)` may look, not touch.
    Raises HKTError for bad settings and files; after Ctrl-C the last checkpoint is there.
    """
    config = resolve(config)
    if config.compile:
        _check_compile(config)
    with _deterministic(config):
        task = get(config.task)(config).load()
        folder = runs_home() / config.id
        if (done := finished(config, task)) is not None:
            return done
        return _Run(config, task, folder, purpose, progress, checkpoint_steps, inspect).train()


def finished(config: Config, task: Task) -> RunRecord | None:
    """The local record of this configuration if today's code, data and parent made it; a stale one is not reused."""
    path = runs_home() / config.id / "record.json"
    if not path.exists():
        return None
    record = load(path)
    same = (
        record.provenance.code == code_hash(config.task, config.method)
        and record.provenance.data == task.fingerprint
    )
    if same and record.parent:
        parent = task.parent_file()
        same = parent.is_file() and sha256(parent) == record.parent.sha256
    return record if same else None


@contextmanager
def _deterministic(config: Config) -> Iterator[None]:
    """Threads and deterministic kernels of the configuration, and the caller's settings and random state afterwards."""
    if config.device == "cuda" and not torch.cuda.is_available():
        raise HKTError(
            "device is 'cuda', but torch sees no GPU here; use --device cpu or a machine with one."
        )
    if config.device == "mps" and not torch.backends.mps.is_available():
        raise HKTError("device is 'mps', but torch sees no Apple GPU here; use --device cpu.")
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(config.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(stream(config.seed, "method").initial_seed())
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)


def _check_compile(config: Config) -> None:
    import shutil

    if config.method == "hkt":
        raise HKTError(
            "compile does not work with 'hkt': its sites replace modules at run time, which a compiled child does not see; use compile=False."
        )
    if config.device == "cpu" and not any(map(shutil.which, ("c++", "g++", "clang++", "cl"))):
        raise HKTError(
            "compile needs a C++ compiler for the CPU and none was found; install one or use compile=False."
        )


def learning_rate(config: Config, step: int, steps: int) -> float:
    """The rate of step 0 … steps - 1.

    multistep: lr, a tenth after half of the steps, a hundredth after three quarters (the release's 100 and 150 of 200 epochs).
    onecycle: from lr / 25 up to lr over the first 30 % of the steps, down to 0 over the rest, both as half cosines (Smith, 2018).
    A curriculum goes through its schedule once in each stage, at the stage's share of lr.
    """
    if config.stages:
        first, unit = 0, steps // config.epochs
        for stage in config.stages:
            if step < first + stage.epochs * unit:
                return stage.lr * _rate(config, (step - first) / (stage.epochs * unit))
            first += stage.epochs * unit
    return _rate(config, step / steps)


def _rate(config: Config, done: float) -> float:
    if config.schedule == "multistep":
        return config.lr * (1.0 if done < 0.5 else 0.1 if done < 0.75 else 0.01)
    rising = done < 0.3
    low, high, share = (
        (config.lr / 25, config.lr, done / 0.3)
        if rising
        else (0.0, config.lr, 1 - (done - 0.3) / 0.7)
    )
    return (
        low
        + (high - low)
        * (1 - torch.cos(torch.tensor(share * torch.pi, dtype=torch.float64)).item())
        / 2
    )


def build_parent(config: Config, task: Task) -> tuple[Live | None, ParentInfo | None, float]:
    """The parent as the configuration wants it, what the record says of it, and the seconds its cache took to fill.

    Its cache and its accuracy are kept on disk and shared by all runs with the same parent, images and views.
    """
    if not method_class(config.method).needs_parent:
        return None, None, 0.0
    model, path = task.parent()
    digest = sha256(path)
    cached = config.parent_source == "cached"
    key = [
        digest,
        task.fingerprint,
        cached,
        code_hash(config.task, "parent"),
        config.parent,
        [config.seed, config.views] if cached else 0,
        config.channels_last,
        config.threads,
        config.device,
    ]
    name = stream(0, canonical(key)).initial_seed()
    store = runs_home() / "parents" / f"{name:016x}.safetensors"
    source = (Cached if cached else Live)(model, task.predict, task.sites, task.predict_tail)
    info = _read_parent(store, source, config)
    if info is None:
        began = time.perf_counter()
        if cached:
            source.fill(task.cache_batches(), config.views * task.train_size)
        seconds = time.perf_counter() - began
        scores = {split: task.metrics(model, split) for split in ("val", "train")}
        info = {"seconds": seconds, **scores}
        rows = (
            {f"rows.{name}": value.cpu() for name, value in source.rows.items()}
            if cached
            else {"rows": torch.zeros(0)}
        )
        write_bytes(store, save(rows, {"info": json.dumps(info)}))
    described = ParentInfo(
        arch=config.parent,
        weights=path.name,
        sha256=digest,
        parameters=parameters(model),
        val=info["val"],
        train=info["train"],
    )
    return source, described, info["seconds"]


def _read_parent(store: Path, source: Live, config: Config) -> dict | None:
    if not store.exists():
        return None
    try:
        with safe_open(store, "pt") as file:
            info = json.loads(file.metadata()["info"])
        if isinstance(source, Cached):
            source.rows = {
                key.removeprefix("rows."): value.to(config.device)
                for key, value in load_file(store).items()
            }
        return info
    except (SafetensorError, OSError, KeyError, ValueError):
        store.unlink(missing_ok=True)  # only a cache: a damaged one is made anew
        return None


def build_method(config: Config, task: Task, child: nn.Module, source: Live | None) -> Method:
    """The configured method around `child`, set up on the first training batch."""
    try:
        method = method_class(config.method)(
            child,
            source,
            sites=task.sites,
            predict=task.predict,
            loss=task.loss,
            imitate=task.imitate,
            **config.options,
        )
    except ValueError as error:
        raise HKTError(f"Method {config.method!r} refuses its options: {error}") from None
    method.to(config.device)
    method.setup(task.batch(torch.arange(min(config.batch_size, task.train_size)), 0))
    return method


class _Run:
    """The state of one run; everything that a checkpoint must bring back is in `_state` and nowhere else."""

    def __init__(self, config, task, folder, purpose, progress, checkpoint_steps, inspect):
        self.config, self.task, self.folder, self.purpose = config, task, folder, purpose
        self.progress, self.checkpoint_steps, self.inspect = progress, checkpoint_steps, inspect
        self.child = task.child()
        source, self.parent, self.parent_seconds = build_parent(config, task)
        self.method = build_method(config, task, self.child, source)
        if config.compile:
            self.child.compile()
        self.trained = [p for p in self.method.parameters() if p.requires_grad]
        self.optimizer = (
            torch.optim.AdamW(self.trained, config.lr, weight_decay=config.weight_decay)
            if config.optimizer == "adamw"
            else torch.optim.SGD(
                self.trained, config.lr, config.momentum, weight_decay=config.weight_decay
            )
        )
        self.epoch_steps = max(1, task.train_size // config.batch_size)
        self.steps = config.epochs * self.epoch_steps
        self.provenance = provenance(task.fingerprint, config.task, config.method)
        self.step, self.seconds = 0, 0.0
        self.sums: dict[str, float] = {}  # of the running epoch: term -> sum over its steps
        self.seen: dict[str, list[Tensor]] = {}  # of the running epoch: what `observe` said
        self.epochs: list[Epoch] = []
        self.best: dict[str, Tensor] = {}
        self.best_epoch = 0

    def train(self) -> RunRecord:
        self._resume()
        self.began = time.perf_counter()
        while (
            self.step < self.steps
        ):  # Ctrl-C half-way through a step must not be saved: the last checkpoint is whole
            self._epoch()
        record = self._record()
        for name, state in (("child", self.best), ("last", self.child.state_dict())):
            write_bytes(
                self.folder / f"{name}.safetensors",
                save({key: value.contiguous() for key, value in state.items()}),
            )
        write_json(self.folder / "record.json", record)
        (self.folder / "state.safetensors").unlink(missing_ok=True)
        return record

    def _epoch(self) -> None:
        """From the current step to the end of its epoch: train, validate, select, checkpoint."""
        config, epoch = self.config, self.step // self.epoch_steps
        order = torch.randperm(self.task.train_size, generator=stream(config.seed, "order", epoch))
        self.method.train()
        while self.step < (epoch + 1) * self.epoch_steps:
            first = (self.step % self.epoch_steps) * config.batch_size
            index = order[first : first + config.batch_size]
            try:
                self._step(self.task.batch(index, epoch))
            except (MemoryError, RuntimeError) as error:
                if not _out_of_memory(error):
                    raise
                raise HKTError(self._too_large(index, epoch)) from None
            if (
                self.checkpoint_steps
                and self.step % self.checkpoint_steps == 0
                and self.step % self.epoch_steps
            ):
                self._checkpoint()
            if self.progress and self.step % self.epoch_steps:
                self.progress(self.step, self.steps, None)
        val = self.task.metrics(self.child, "val")
        metric, sign = self.task.metric, 1 if self.task.higher_is_better else -1
        if all(sign * val[metric] > sign * earlier.val[metric] for earlier in self.epochs):
            self.best, self.best_epoch = (
                {key: value.clone() for key, value in self.child.state_dict().items()},
                epoch + 1,
            )
        inherited = {name: _quantiles(torch.cat(values)) for name, values in self.seen.items()}
        now = time.perf_counter()
        self.epochs.append(
            Epoch(
                epoch=epoch + 1,
                lr=self.optimizer.param_groups[0]["lr"],
                seconds=now - self.began,
                val=val,
                inherited=inherited,
                train={name: value / self.epoch_steps for name, value in self.sums.items()},
            )
        )
        self.seconds, self.began = self.seconds + now - self.began, now
        self.sums, self.seen = {}, {}
        self._checkpoint()
        if self.progress:
            self.progress(self.step, self.steps, self.epochs[-1])

    def _step(self, batch) -> None:
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(config, self.step, self.steps)
        with torch.autocast(config.device, torch.bfloat16, enabled=config.precision == "bf16"):
            terms = self.method(batch)
        objective = sum(terms.values())
        if not torch.isfinite(objective):
            raise HKTError(
                f"The loss of run {config.id} became {objective.item()} at step {self.step + 1}; try a smaller --lr than {config.lr}."
            )
        self.optimizer.zero_grad(set_to_none=True)
        objective.backward()
        if config.clip:
            torch.nn.utils.clip_grad_norm_(self.trained, config.clip)
        if self.inspect:
            self.inspect(self.method, batch, self.step)
        self.optimizer.step()
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0.0) + value.item()
        for name, value in self.method.observe().items():
            self.seen.setdefault(name, []).append(value.float().cpu())
        self.step += 1

    def _too_large(self, index: Tensor, epoch: int) -> str:
        """The sentence for a batch that does not fit, with the largest that does."""
        size, whole = len(index), len(index)
        while size > 1:
            size //= 2
            self.optimizer.zero_grad(set_to_none=True)
            if self.config.device == "cuda":
                torch.cuda.empty_cache()
            try:
                sum(self.method(self.task.batch(index[:size], epoch)).values()).backward()
            except (MemoryError, RuntimeError) as error:
                if not _out_of_memory(error):
                    raise
                continue
            return f"A batch of {whole} does not fit into the memory of {self.config.device}; the largest that does here is about {size}: use -s batch_size={size}."
        return (
            f"Not even one example at a time fits into the memory of {self.config.device} with method {self.config.method!r}; use smaller patches "
            "(crop, or the crop of each stage) or a smaller parent."
        )

    # --- checkpoint and resume ------------------------------------------------------------------------------------------

    def _checkpoint(self) -> None:
        """Weights, optimizer, random states, position and the running epoch's sums, in one atomic file."""
        tensors = {f"method.{key}": value for key, value in self.method.state_dict().items()}
        tensors |= {f"best.{key}": value for key, value in self.best.items()}
        tensors |= {
            f"optimizer.{i}.{name}": value
            for i, p in enumerate(self.trained)
            for name, value in self.optimizer.state[p].items()
            if value is not None
        }
        tensors |= {f"seen.{name}": torch.cat(values) for name, values in self.seen.items()}
        tensors["random.cpu"] = torch.get_rng_state()
        if self.config.device == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        state = {
            "code": self.provenance.code,
            "data": self.provenance.data,
            "step": self.step,
            "sums": self.sums,
            "best_epoch": self.best_epoch,
            "epochs": [epoch.model_dump() for epoch in self.epochs],
            "seconds": self.seconds,
            "lr": self.optimizer.param_groups[0]["lr"],
        }
        tensors = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
        write_bytes(self.folder / "state.safetensors", save(tensors, {"state": json.dumps(state)}))

    def _resume(self) -> None:
        path = self.folder / "state.safetensors"
        for leftover in self.folder.glob(".*.part"):  # of a process that was killed while writing
            leftover.unlink(missing_ok=True)
        if not path.exists():
            return
        try:
            tensors = load_file(path)
            with safe_open(path, "pt") as file:
                state = json.loads(file.metadata()["state"])
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise HKTError(
                f"The checkpoint {path} is corrupt or truncated ({str(error)[:80]}); delete it to start this run anew."
            ) from None
        if (state["code"], state["data"]) != (self.provenance.code, self.provenance.data):
            return  # made by other code or data: its numbers would be nobody's
        part = lambda prefix: {
            key.removeprefix(prefix): value
            for key, value in tensors.items()
            if key.startswith(prefix)
        }
        self.method.load_state_dict(part("method."))
        self.best = {key: value.to(self.config.device) for key, value in part("best.").items()}
        for key, value in part("optimizer.").items():
            i, name = key.split(".")
            layout = self.trained[
                int(i)
            ]  # what has the parameter's shape has its memory format too
            self.optimizer.state[layout][name] = (
                torch.empty_like(layout).copy_(value) if value.shape == layout.shape else value
            )
        self.seen = {name: [value] for name, value in part("seen.").items()}
        torch.set_rng_state(tensors["random.cpu"])
        if "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"])
        self.step, self.sums, self.best_epoch, self.seconds = (
            state["step"],
            state["sums"],
            state["best_epoch"],
            state["seconds"],
        )
        self.epochs = [Epoch(**epoch) for epoch in state["epochs"]]
        self.optimizer.param_groups[0]["lr"] = state["lr"]

    # --- the end ------------------------------------------------------------------------------------------------------

    def _record(self) -> RunRecord:
        """Both scores (validation-selected and last epoch) and what the run cost; the only place where test data is looked at."""
        last = {key: value.clone() for key, value in self.child.state_dict().items()}
        scores = []
        for epoch, state in ((self.best_epoch, self.best), (len(self.epochs), last)):
            self.child.load_state_dict(state)
            scores.append(
                Score(
                    epoch=epoch,
                    val=self.epochs[epoch - 1].val,
                    test=self.task.metrics(self.child, "test"),
                )
            )
        cuda = self.config.device == "cuda"
        unit = (
            1 if sys.platform == "darwin" else 1024
        )  # ru_maxrss is in bytes there, in KiB elsewhere
        memory = (
            torch.cuda.max_memory_allocated()
            if cuda
            else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        )
        cost = Cost(
            seconds=self.seconds,
            parent_seconds=self.parent_seconds,
            device=torch.cuda.get_device_name() if cuda else self.config.device,
            peak_memory_mb=memory / 2**20,
            parameters=parameters(self.child),
            flops=flops(self.child, self.task.example()),
            extra_parameters=sum(p.numel() for p in self.method.extra_parameters()),
        )
        return RunRecord(
            id=self.config.id,
            config=self.config,
            purpose=self.purpose,
            audit=self.purpose == "audit",
            epochs=self.epochs,
            selected=scores[0],
            last=scores[1],
            parent=self.parent,
            cost=cost,
            provenance=self.provenance,
        )


def _out_of_memory(error: BaseException) -> bool:
    return (
        isinstance(error, (MemoryError, torch.OutOfMemoryError))
        or "can't allocate memory" in str(error)
        or "not enough memory" in str(error)
    )


def _quantiles(values: Tensor) -> dict[str, float]:
    levels = torch.tensor(list(QUANTILES.values()), dtype=torch.float64)
    return {
        **dict(zip(QUANTILES, torch.quantile(values.double(), levels).tolist())),
        "mean": values.double().mean().item(),
    }


@torch.no_grad()
def flops(model: nn.Module, example: tuple) -> int:
    """Floating-point operations (a multiply-add is two) of one forward pass on `example`."""
    from torch.utils.flop_counter import FlopCounterMode

    training = model.training
    with FlopCounterMode(display=False) as counter:
        model.eval()(*example)
    model.train(training)
    return counter.get_total_flops()
