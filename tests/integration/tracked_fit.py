"""A tracked fit with a watch on it: how long each step is held up by the tracker, and what happens at which step."""

import hashlib
import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.nn.functional import dropout
from torch.utils.data import DataLoader, TensorDataset

from lightning_lrsched import SGDR, LearningRateScheduler, MLflowTracker
from tests.callbacks.models import Tiny, make_trainer

STEPS = 300
EPOCHS = 3
PAUSE = 0.002
MOST = 0.05  # seconds that a step may be held up
HELD_AT = 50
HOOKS = ("on_train_epoch_start", "on_train_batch_start", "on_validation_end", "on_train_epoch_end")


def plan() -> LearningRateScheduler:
    return LearningRateScheduler(SGDR(60), warmup=20)


class Drawn(Tiny):
    """Draws from every generator that a training may use: who else draws from one of them changes the weights."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.batches += 1
        drawn = random.random() + float(np.random.random())
        return (self.weight * dropout(batch[0]) + self.bias * drawn).sum()


def shuffled() -> DataLoader[tuple[Tensor, ...]]:
    rows = torch.arange(float(STEPS // EPOCHS)).reshape(-1, 1)
    return DataLoader(TensorDataset(rows), batch_size=1, shuffle=True)


def generators() -> str:
    """The states of torch's, NumPy's and Python's generators."""
    states = torch.get_rng_state().tolist(), np.random.get_state(), random.getstate()
    return hashlib.sha256(repr(states).encode()).hexdigest()


class Trained(NamedTuple):
    """What a fit ends with, bit for bit."""

    weight: float
    bias: float
    generators: str


def train(folder: Path, *callbacks: Callback) -> Trained:
    module = Drawn()
    torch.manual_seed(7)
    np.random.seed(7)
    random.seed(7)
    make_trainer(folder, *callbacks, max_epochs=EPOCHS).fit(module, shuffled())
    return Trained(module.weight.item(), module.bias.item(), generators())


def scheduled(thread: threading.Thread) -> tuple[float, float]:
    """Seconds for which a thread ran, and for which it was ready to and queued for a processor: nobody's fault here."""
    try:
        ran, queued, _ = Path(f"/proc/self/task/{thread.native_id}/schedstat").read_text().split()
    except OSError:  # it has ended
        return 0.0, 0.0
    return int(ran) / 1e9, int(queued) / 1e9


class Moment(NamedTuple):
    """What the clocks of the training thread show, and for how long some threads were queued."""

    wall: float
    computed: float
    queued: dict[threading.Thread, float]

    @classmethod
    def now(cls, *threads: threading.Thread) -> "Moment":
        before = {
            thread: scheduled(thread)[1] for thread in threads
        }  # first: to read a file lets go of the interpreter
        return cls(time.perf_counter(), time.thread_time(), before)

    def asleep(self) -> float:
        """Seconds since then in which the training thread slept, less those in which one of the threads was queued."""
        wall, computed = time.perf_counter() - self.wall, time.thread_time() - self.computed
        queued = (max(0.0, scheduled(thread)[1] - before) for thread, before in self.queued.items())
        return max(0.0, wall - computed - sum(queued))


class Watch(Callback):
    """Paces a fit, measures by how long the tracker holds up each step, and lets things happen after some steps.

    A step lasts from the start of its batch to that of the next one, with the validation where there is one between.
    It is held up for as long as the tracker's functions take, or for as long as they compute and the training thread
    sleeps, in them or elsewhere: the threads of the tracker share the interpreter with it. If one of those has it, and
    is queued, the training sleeps because of the machine.
    """

    def __init__(self, events: Mapping[int, Callable[[], object]] | None = None, pause: float = PAUSE) -> None:
        self.events = dict(events or {})
        self.pause = pause
        self.held: list[float] = []
        self.calls: Counter[str] = Counter()
        self._work = torch.ones(100, 100)
        self._begin: Moment
        self._begin_step()

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        for tracker in trainer.callbacks:  # type: ignore[attr-defined]
            for name in HOOKS if isinstance(tracker, MLflowTracker) else ():
                setattr(tracker, name, self._timed(name, getattr(tracker, name)))

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step:
            self._end_step()
        else:  # the run was opened just now
            for config in trainer.strategy.lr_scheduler_configs:
                observers = config.scheduler.observers  # type: ignore[union-attr]
                observers[:] = [self._timed(type(one).__name__, one) for one in observers]
        self._begin_step()

    def on_train_batch_end(self, trainer: L.Trainer, *_: object) -> None:
        end = time.perf_counter() + self.pause
        while time.perf_counter() < end:
            self._work @ self._work
        if event := self.events.pop(trainer.global_step, None):
            self._asleep += self._begin.asleep()
            event()
            self._begin = Moment.now(*threading.enumerate())

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._end_step()

    def _begin_step(self) -> None:
        self._own = self._computed = self._asleep = 0.0
        self._begin = Moment.now(*threading.enumerate())

    def _end_step(self) -> None:
        self.held.append(max(self._own, self._computed + self._asleep + self._begin.asleep()))

    def _timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            self.calls[name] += 1
            begin = Moment.now(threading.current_thread())
            try:
                return function(*given)
            finally:
                computed = time.thread_time() - begin.computed
                self._computed += computed
                self._own += computed + begin.asleep()

        return call


class Done(NamedTuple):
    trained: Trained
    watch: Watch
    tracker: MLflowTracker

    def check(self) -> None:
        """Hold the result and the time in the training thread against what the issue asks for."""
        assert self.trained == untracked()
        assert self.watch.calls == {
            **dict.fromkeys(("StepRecorder", "Auditor", "on_train_batch_start"), STEPS),
            **dict.fromkeys(("on_train_epoch_start", "on_validation_end", "on_train_epoch_end"), EPOCHS),
        }
        assert len(self.watch.held) == STEPS
        late = {step: f"{1e3 * held:.0f} ms" for step, held in enumerate(self.watch.held) if held >= MOST}
        assert not late, f"steps were held up: {late}"


def fit(folder: Path, uri: str, watch: Watch | None = None, **settings: Any) -> Done:
    watch = watch or Watch()
    quick = {"deliver_every": 0.1, "request_timeout": 15.0, "flush_timeout": 30.0}
    tracker = MLflowTracker(uri, "study", **{**quick, **settings})
    return Done(train(folder, plan(), tracker, watch), watch, tracker)


_UNTRACKED: list[Trained] = []


def untracked() -> Trained:
    """What the same fit ends with without a tracker."""
    if not _UNTRACKED:
        _UNTRACKED.append(train(Path(), plan()))
    return _UNTRACKED[0]


def hold(folder: Path) -> None:
    """Say that the fit has come this far; go on when nobody has it wait any more."""
    (folder / "begun").touch()
    while (folder / "wait").exists():
        time.sleep(0.02)


if __name__ == "__main__":
    here, store = Path(sys.argv[1]), sys.argv[2]
    seen = Watch({HELD_AT: lambda: hold(here)})
    done = fit(here, store, seen, flush_timeout=float(sys.argv[3]) if len(sys.argv) > 3 else 30.0)
    (here / "trained.json").write_text(json.dumps(done.trained))
