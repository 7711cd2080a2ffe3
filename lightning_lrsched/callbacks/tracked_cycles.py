"""Finished cycles on their way to the tracker: each is recorded and uploaded once."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from lightning.pytorch.callbacks import Callback

from lightning_lrsched.tracking import models
from lightning_lrsched.tracking.recorder import MetricRecord
from lightning_lrsched.tracking.sink import metric_key
from lightning_lrsched.tracking.writer import Writer


class Kept(Protocol):
    """A checkpoint."""

    @property
    def path(self) -> str:
        """Where it is."""

    @property
    def score(self) -> float | None:
        """Its value of the monitored metric; None where it was not measured."""

    @property
    def step(self) -> int:
        """Real steps taken when it was saved."""

    @property
    def epoch(self) -> int:
        """Epoch in which it was saved."""

    @property
    def lr(self) -> float | None:
        """The lr of the latest of these steps."""

    @property
    def axis(self) -> int | None:
        """Where that step lies on the axis of the trainer's loggers; None where it is unknown."""

    @property
    def metrics(self) -> dict[str, float]:
        """All that was logged when its weights were validated."""


class Finished(Protocol):
    """What a checkpoint callback lists in ``finished_cycles``."""

    @property
    def cycle(self) -> int:
        """Index of the cycle."""

    @property
    def complete(self) -> bool:
        """Whether it ran to its end."""

    @property
    def best(self) -> Kept | None:
        """Its best checkpoint by the monitored metric."""

    @property
    def end(self) -> Kept | None:
        """The checkpoint at its end."""

    @property
    def kept(self) -> tuple[Kept, ...]:
        """Both, as one where they are the same file."""

    @property
    def files(self) -> dict[str, str]:
        """Each path with what it is."""


class TrackedCycles:
    """Hands the cycles that finished to a writer, each once: their metrics, and each checkpoint as a model.

    Args:
        upload: whether the checkpoints are uploaded.
        registered: name of the registered model whose versions are the best checkpoints; None for none.
    """

    def __init__(self, *, upload: bool, registered: str | None = None) -> None:
        """Begin with no cycle taken."""
        self._upload = upload
        self._registered = registered
        self.begin()

    def begin(self) -> None:
        """Take every cycle anew: a fit may go on from before one that was taken, and reach it with other weights."""
        self._taken: set[str] = set()
        self._best: dict[str, str] = {}

    def take(self, callbacks: Iterable[Callback], writer: Writer, timestamp: int) -> None:
        """Record the cycles that finished since the last call, of every callback that has some."""
        for callback in callbacks:
            finished: Iterable[Finished] = getattr(callback, "finished_cycles", ())
            for cycle in finished:
                self._take_cycle(callback, cycle, writer, timestamp)
            self._mark_best(callback, writer)

    def _take_cycle(self, callback: Callback, cycle: Finished, writer: Writer, timestamp: int) -> None:
        """Record one cycle; one that was taken up again and ended otherwise replaces what was stored of it."""
        monitor = metric_key(str(getattr(callback, "monitor", None)))
        keys = {_key(callback, cycle, kept): kept for kept in cycle.kept}
        new = {key: kept for key, kept in keys.items() if key not in self._taken}
        self._taken.update(new)
        for key, kept in new.items():
            roles = cycle.files[kept.path]
            axis = kept.step - 1 if kept.axis is None else kept.axis
            for curve, role in (("cycle", "best"), ("cycle/end", "end")):
                if kept.score is not None and role in roles:
                    writer.record(MetricRecord(axis, timestamp, {f"{curve}/{monitor}": kept.score}))
            values = {metric_key(name): value for name, value in kept.metrics.items()}
            values |= {} if kept.score is None else {monitor: kept.score}
            metrics = {f"checkpoint/{name}": value for name, value in values.items() if math.isfinite(value)}
            facts = {"cycle": cycle.cycle, "role": roles, "step": kept.step, "epoch": kept.epoch, "lr": kept.lr}
            if self._upload:
                name = f"cycle-{cycle.cycle}-{roles.replace('+', '-')}"
                facts |= {"complete": cycle.complete, "mode": getattr(callback, "mode", "min")}
                facts |= {"monitor": monitor, "score": kept.score}
                path = kept.path if "://" in kept.path else Path(kept.path).absolute()
                writer.task(models.checkpoint(path, key, name, facts, metrics=metrics, axis=axis, timestamp=timestamp))
        if self._upload and new:
            writer.task(models.only(_prefix(callback, cycle, cycle.kept[0]), list(keys)))

    def _mark_best(self, callback: Callback, writer: Writer) -> None:
        """Mark the best of all that was taken, when it is another one."""
        path = getattr(callback, "best_model_path", "")
        finished: Iterable[Finished] = getattr(callback, "finished_cycles", ())
        rows = [(cycle, kept) for cycle in finished for kept in cycle.kept if kept.path == path]
        key = _key(callback, *rows[0]) if rows else ""
        if self._upload and rows and self._best.get(callback.state_key) != key:
            self._best[callback.state_key] = key
            monitor, mode = getattr(callback, "monitor", None), getattr(callback, "mode", "min")
            writer.task(models.best(key, self._registered, monitor, mode, rows[0][1].score))


def _prefix(callback: Callback, cycle: Finished, kept: Kept) -> str:
    """Return what the keys of a cycle begin with, in this run and in one that is resumed."""
    run = getattr(callback, "run_key", "") or Path(kept.path).parent.as_posix()
    return f"{run}-{cycle.cycle}-"


def _key(callback: Callback, cycle: Finished, kept: Kept) -> str:
    """Return what a checkpoint is known by, also after a resume; weights without a score are told apart when stored."""
    score = "" if kept.score is None else f"-{kept.score:.9g}"
    complete = "" if cycle.complete else "-cut"
    return f"{_prefix(callback, cycle, kept)}{kept.step}-{cycle.files[kept.path]}{complete}{score}"
