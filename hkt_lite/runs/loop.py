"""One training loop for every benchmark and method: deterministic, resumable at any step.

    outcome = run(Config(task="cifar10", method="hkt", scale="quick"))   # or: hkt run cifar10 hkt
    outcome.record.selected.test, outcome.child, outcome.method

The child is selected on validation data; test data is looked at once, after the choice.  Only an
audit, which is no score, looks at it after every epoch.
"""

import math
import time
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import torch
from safetensors.torch import load_file
from safetensors.torch import save as tensor_bytes
from torch import Tensor, nn

from ..benchmarks import Task, get, method_class, resolve
from ..benchmarks.weights import load_weights
from ..config import Config, HKTError, nearest, stream
from ..files import sha256, sha256_of, sweep, write_all
from ..methods.method import Method
from ..methods.parent import Live
from ..methods.sites import statistics_kept
from . import checkpoint, golden
from .claim import Claim, claimed
from .device import check_compile, deterministic, fits, too_large
from .measure import forget_peak, quantiles
from .parent import build_parent, parent_file
from .precision import autocast
from .records import PURPOSES, Epoch, Purpose, RunRecord, sealed
from .schedule import build_optimizer, climbed, learning_rate
from .score import scored
from .store import Store

WEIGHTS = ("child", "last", "method")  # files of a finished run: chosen, last epoch, what is beside


class Outcome:
    """What a run left; its networks are loaded when they are first asked for."""

    def __init__(self, record: RunRecord, state: Callable[[], "Run"]):
        self.record, self._state = record, state

    @cached_property
    def _networks(self) -> tuple[nn.Module, Method]:
        with deterministic(self.record.config):
            state = self._state()
            return state.selected_child(), state.method

    child = property(lambda self: self._networks[0], doc="Selected on validation data.")
    method = property(lambda self: self._networks[1], doc="With the child of the last epoch.")


def run(
    config: Config,
    purpose: Purpose = "score",
    *,
    store: Store | None = None,
    wait: bool = True,
    progress: Callable | None = None,
    checkpoint_steps: int | None = None,
    inspect: Callable | None = None,
) -> Outcome:
    """Train, select, test once, write the record; or return what a finished twin left.

    A run that was cut off goes on from its last checkpoint (every `checkpoint_steps` steps and
    after each epoch) to the same bits.  `progress(done_steps, all_steps, epoch or None)` is told of
    every step.  `inspect(method, batch, step)` may look, not touch.  While another process makes
    the same run, this one waits for it, or raises Busy where `wait` is false.  Raises HKTError for
    bad settings and files, before any work where they can be seen then.
    """
    config, store = resolve(config), store or Store.default()
    check(config, purpose, checkpoint_steps)
    with deterministic(config):
        task = get(config.task)(config).load()
        build = partial(Run, config, task, store, purpose)
        record = finished(config, task, store)
        if record:
            return Outcome(record, build)
        with claimed(store.folder(config.id) / "claim", wait) as claim:
            record = finished(config, task, store)  # by the process that was waited for
            if record:
                return Outcome(record, build)
            state = build()
            return Outcome(state.train(claim, progress, inspect, checkpoint_steps), lambda: state)


def check(config: Config, purpose: str, checkpoint_steps: int | None) -> None:
    """HKTError for what no task and no configuration alone can see."""
    if purpose not in PURPOSES:
        raise HKTError(f"There is no purpose {purpose!r}.{nearest(purpose, PURPOSES)}")
    if config.images == "swap" and purpose != "audit":
        said = "A run with images=swap trains on test images, so it can only be an audit"
        raise HKTError(f"{said}: add --purpose audit.")
    if checkpoint_steps is not None and checkpoint_steps < 1:
        raise HKTError(f"checkpoint_steps must be at least 1, got {checkpoint_steps}.")
    check_compile(config, method_class(config.method).needs_sites)


def finished(config: Config, task: Task, store: Store) -> RunRecord | None:
    """The store's record of this configuration if today's code, data and parent made it."""
    record = store.finished(config.id)
    if record is None:
        return None
    made = record.provenance
    now = task.fingerprint, golden.versions(config), golden.sources(config.scale)
    if (made.data, made.golden, made.sources) != now:
        return None
    if record.parent:
        parent = parent_file(config, task, store)
        if not parent.is_file() or sha256(parent) != record.parent.sha256:
            return None
    return record if record.weights and not store.altered(record) else None


def build_method(config: Config, task: Task, child: nn.Module, source: Live | None) -> Method:
    """The configured method around `child`, set up on the first training batch."""
    parts: Any = {name: getattr(task, name) for name in ("predict", "loss", "imitate", "target")}
    method = method_class(config.method)(child, source, sites=task.sites, **parts, **config.options)
    method.to(config.device)
    method.setup(task.batch(torch.arange(min(config.batch_size, task.train_size)), 0))
    return method


def checked_terms(terms: Any, method: str) -> dict[str, Tensor]:
    """The terms of a method's `forward`; HKTError where they are not {name: scalar}."""
    named = terms if isinstance(terms, dict) else {type(terms).__name__: None}
    for name, value in named.items():
        if not isinstance(value, Tensor) or value.numel() != 1:
            said = f"forward() of method {method!r} must return its terms as {{name: scalar}}"
            raise HKTError(f"{said}; {name!r} is none.")
    return terms


class Run:
    """The state of one run; what a checkpoint must bring back is in `checkpoint.save`."""

    def __init__(self, config: Config, task: Task, store: Store, purpose: Purpose = "score"):
        forget_peak(config.device == "cuda")  # of runs that this process made before
        self.config, self.task, self.purpose = config, task, purpose
        self.folder = store.folder(config.id)
        self.child = task.child()
        self.parent = build_parent(config, task, store)
        self.method = build_method(config, task, self.child, self.parent.source)
        if config.compile:
            self.child.compile()
        self.trained = [p for p in self.method.parameters() if p.requires_grad]
        self.optimizer = build_optimizer(config, self.trained)
        self.epoch_steps = max(1, task.train_size // config.batch_size)
        self.steps = config.epochs * self.epoch_steps
        self.provenance = golden.provenance(task.fingerprint, golden.versions(config), config)
        self.step, self.seconds, self.best_epoch = 0, 0.0, 0
        self.sums: dict[str, float] = {}  # of the running epoch: term -> sum over its steps
        self.seen: dict[str, list[Tensor]] = {}  # of the running epoch: what `observe` said
        self.new: list[dict[str, Tensor]] = []  # terms that are on the device and in no sum yet
        self.epochs: list[Epoch] = []
        self.best: dict[str, Tensor] = {}

    def train(self, claim: Claim, progress=None, inspect=None, checkpoint_steps=None) -> RunRecord:
        """Every step that is left, then the record and the weights, as `run` says.

        Ctrl-C half-way through a step is not saved: the last checkpoint is whole.
        """
        self.claim, self.progress, self.inspect = claim, progress, inspect
        self.checkpoint_steps = checkpoint_steps
        claim.check()  # what it sweeps may belong to who took over meanwhile
        sweep(self.folder)
        checkpoint.restore(self)
        self.began = time.perf_counter()
        while self.step < self.steps:
            self.train_epoch()
        last = _copied(self.child)
        files = {
            self.folder / f"{name}.safetensors": tensor_bytes(state)
            for name, state in zip(WEIGHTS, (self.best, last, self._extra()))
        }
        digests = {path.name: sha256_of(data) for path, data in files.items()}
        record = scored(self, last, digests)
        files[self.folder / "record.json"] = sealed(record)
        self.claim.write(partial(write_all, files))
        (self.folder / checkpoint.FILE).unlink(missing_ok=True)
        return record

    def train_epoch(self) -> None:
        """From the current step to the end of its epoch: train, validate, select, checkpoint."""
        config, epoch = self.config, self.step // self.epoch_steps
        order = torch.randperm(self.task.train_size, generator=stream(config.seed, "order", epoch))
        self.method.train()
        while self.step < (epoch + 1) * self.epoch_steps:
            first = (self.step % self.epoch_steps) * config.batch_size
            index = order[first : first + config.batch_size]
            if not fits(self._step, index, epoch):
                raise HKTError(too_large(config, len(index), partial(self._try, index, epoch)))
            if self.step % self.epoch_steps:
                if self.checkpoint_steps and self.step % self.checkpoint_steps == 0:
                    self._save()
                if self.progress:
                    self.progress(self.step, self.steps, None)
        self._end_epoch(epoch)

    def _end_epoch(self, epoch: int) -> None:
        self._gather()
        val = self.task.metrics(self.child, "val")
        if self.task.metric not in val:
            measured = ", ".join(sorted(val)) or "nothing"
            raise HKTError(
                f"Task {self.config.task!r} chooses its epoch by {self.task.metric!r}, but "
                f"metrics() of the validation data has {measured}."
            )
        looked = self.task.metrics(self.child, "test") if self.purpose == "audit" else {}
        now = time.perf_counter()
        done = Epoch(
            epoch=epoch + 1,
            lr=self.optimizer.param_groups[0]["lr"],
            seconds=now - self.began,
            val=val,
            test=looked,
            inherited={name: quantiles(torch.cat(x)) for name, x in sorted(self.seen.items())},
            train={name: value / self.epoch_steps for name, value in self.sums.items()},
        )
        self.epochs.append(done)
        if max(self.epochs, key=lambda one: self.task.worth(one.val)) is done:
            self.best, self.best_epoch = _copied(self.child), done.epoch
        self.seconds, self.began = self.seconds + now - self.began, now
        self.sums, self.seen = {}, {}
        self._save()
        if self.progress:
            self.progress(self.step, self.steps, done)

    def _save(self) -> None:
        self._gather()
        self.claim.write(partial(checkpoint.save, self))

    def _step(self, index: Tensor, epoch: int) -> None:
        """One step of the optimizer on the sum of the method's terms."""
        config, batch = self.config, self.task.batch(index, epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(config, self.step, self.steps)
        terms = self.terms(batch)
        self.optimizer.zero_grad(set_to_none=True)
        sum(terms.values()).backward()
        observed = self.method.observe()
        if config.sam:
            with climbed(self.trained, config.sam), statistics_kept(self.child):
                sum(self.terms(batch).values()).backward()
        if config.clip:
            torch.nn.utils.clip_grad_norm_(self.trained, config.clip)
        if self.inspect:
            self.inspect(self.method, batch, self.step)
        self.optimizer.step()
        self.new.append({name: value.detach().reshape(()) for name, value in terms.items()})
        for name, value in observed.items():
            self.seen.setdefault(name, []).append(value.float())
        self.step += 1

    def _gather(self) -> None:
        """Fetch what the steps since the last call left on the device, in one go for each term.

        To ask after each step would make a GPU wait; the sums are the same, in double precision and
        in the order of the steps.  Raises HKTError where a loss was no finite number.
        """
        for name in dict.fromkeys(name for terms in self.new for name in terms):
            values = torch.stack([terms[name] for terms in self.new if name in terms]).tolist()
            for value in values:
                self.sums[name] = self.sums.get(name, 0.0) + value
        if not all(map(math.isfinite, self.sums.values())):
            losses = [sum(terms.values()).item() for terms in self.new]
            first = next(n for n, loss in enumerate(losses) if not math.isfinite(loss))
            raise HKTError(
                f"The loss of run {self.config.id} became {losses[first]} at step "
                f"{self.step - len(losses) + first + 1}; try a smaller lr than {self.config.lr}."
            )
        self.new.clear()
        for name, values in self.seen.items():
            self.seen[name] = [torch.cat([value.cpu() for value in values])]

    def terms(self, batch) -> dict[str, Tensor]:
        """The method's on a batch, in the run's precision."""
        c = self.config
        with autocast(c.device, c.precision, c.compile):
            return checked_terms(self.method(batch), c.method)

    def _try(self, index: Tensor, epoch: int, size: int) -> None:
        """Gradients of the first `size` of a batch, which nobody uses: do they fit?"""
        self.optimizer.zero_grad(set_to_none=True)
        sum(self.terms(self.task.batch(index[:size], epoch)).values()).backward()

    def _extra(self) -> dict[str, Tensor]:
        """What the method trained beside the child."""
        own = {f"child.{key}" for key in self.child.state_dict()}
        state = self.method.state_dict()
        return {key: value.contiguous() for key, value in state.items() if key not in own}

    def selected_child(self) -> nn.Module:
        """The selected child from the store; the method gets the last epoch's; in eval mode."""
        last = load_file(self.folder / "last.safetensors")
        extra = load_file(self.folder / "method.safetensors")
        self.method.load_state_dict({f"child.{key}": x for key, x in last.items()} | extra)
        self.method.eval()
        return load_weights(self.task.child(), self.folder / "child.safetensors").eval()


def _copied(model: nn.Module) -> dict[str, Tensor]:
    """Its state, and as files hold it: contiguous."""
    keep = torch.contiguous_format
    return {key: value.clone(memory_format=keep) for key, value in model.state_dict().items()}
