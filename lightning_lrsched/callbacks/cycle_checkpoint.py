"""CycleCheckpoint: keeps the best checkpoint of every cycle of the schedule."""

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Checkpoint
from lightning_utilities.core.rank_zero import rank_zero_warn

from lightning_lrsched.callbacks.trainer_access import is_smoke_test, scheduler_configs
from lightning_lrsched.checks import check_choice, check_flag, refusal
from lightning_lrsched.scheduler import PlannedScheduler
from lightning_lrsched.timeline import Cycle


@dataclass(frozen=True)
class CycleBest:
    """What was kept of one cycle.

    Args:
        cycle: index of the cycle, from 0.
        path: the checkpoint file.
        score: its value of the monitored metric; None without a monitor.
        step: real steps taken when it was saved (its weights were made by steps 0 .. step-1).
        epoch: epoch in which it was saved.
        complete: whether the cycle ran to its end; False while it runs, or when the run ended inside it.
    """

    cycle: int
    path: str
    score: float | None
    step: int
    epoch: int
    complete: bool = False


class CycleCheckpoint(Checkpoint):
    """Keeps, for every cycle of the schedule, the checkpoint with the best validation metric.

    A metric is credited to the cycle whose weights it measured: a validation right after a cycle's last step counts
    for that cycle, although the lr has already restarted. The warmup belongs to cycle 0. Without a monitor, the
    weights after each cycle's last step are kept, where the lr is lowest.

    Args:
        monitor: name of a metric that is logged in validation; None to keep each cycle's last weights.
        mode: ``"min"`` or ``"max"``.
        dirpath: folder of the files; None for ``checkpoints`` in the logger's folder of this run, or in the Trainer's
            ``default_root_dir`` without a logger.
        save_weights_only: leave out the states of optimizers, schedulers, callbacks and loops.

    Raises:
        ValueError: when constructed, if a value is refused, with a valid example.
        MisconfigurationException: before training, if the schedule has no cycles; at the first validation, if the
            metric is not logged.

    Example::

        checkpoint = CycleCheckpoint(monitor="val_loss")
        trainer = L.Trainer(max_epochs=70, callbacks=[LearningRateScheduler(SGDR("10ep", 2)), checkpoint])
        trainer.fit(model)
        checkpoint.best_model_paths  # one for each cycle
        trainer.test(ckpt_path="best")
    """

    def __init__(
        self,
        monitor: str | None = None,
        mode: str = "min",
        *,
        dirpath: str | Path | None = None,
        save_weights_only: bool = False,
    ) -> None:
        """Check the parameters."""
        if monitor is not None and (not isinstance(monitor, str) or not monitor):
            raise refusal("CycleCheckpoint.monitor", monitor, "a metric's name or None", "monitor='val_loss'")
        if dirpath is not None and not isinstance(dirpath, str | Path):
            raise refusal("CycleCheckpoint.dirpath", dirpath, "a folder or None", "dirpath='checkpoints'")
        check_choice("CycleCheckpoint.mode", mode, ("min", "max"), "mode='min'")
        check_flag("CycleCheckpoint.save_weights_only", save_weights_only, "save_weights_only=True")
        self.monitor = monitor
        self.mode = mode
        self.dirpath = None if dirpath is None else str(dirpath)
        self.save_weights_only = save_weights_only
        self.finished_cycles: list[CycleBest] = []
        self._folder = ""
        self._fitting = True
        self._kept: CycleBest | None = None
        self._cycle = Cycle(0, 0, None, complete=False)
        self._scheduler: PlannedScheduler | None = None

    @property
    def best_model_paths(self) -> list[str]:
        """The kept checkpoint of every finished cycle, in order."""
        return [kept.path for kept in self.finished_cycles]

    @property
    def best_model_path(self) -> str:
        """The best checkpoint of all cycles so far, which ``ckpt_path="best"`` loads; the latest without a monitor."""
        best = self._best()
        return "" if best is None else best.path

    @property
    def best_model_score(self) -> float | None:
        """The monitored metric of `best_model_path`."""
        best = self._best()
        return None if best is None else best.score

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Settle the folder, the same on every rank."""
        self._fitting = stage == "fit"
        if self._fitting:
            self._folder = trainer.strategy.broadcast(self.dirpath or _default_folder(trainer))

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find the schedule whose cycles are kept.

        Raises:
            MisconfigurationException: if no scheduler with cycles is attached.
        """
        self._scheduler = None
        if is_smoke_test(trainer):
            return
        attached = [config.scheduler for config in scheduler_configs(trainer)]
        cyclic = [one for one in attached if isinstance(one, PlannedScheduler) and one.timeline.cyclic]
        if not cyclic:
            raise MisconfigurationException(
                "CycleCheckpoint needs a schedule with cycles, and none is attached. Add one, for example "
                "callbacks=[LearningRateScheduler(SGDR('10ep', T_mult=2)), CycleCheckpoint('val_loss')], or use "
                "lightning's ModelCheckpoint for a schedule without cycles"
            )
        self._scheduler = cyclic[0]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find the cycle that training goes on in; one that a fit before left unfinished is taken up again."""
        if self._scheduler is None:
            return
        timeline, steps = self._scheduler.timeline, self._scheduler.real_steps
        self._cycle = timeline.cycle(timeline.cycle_at(max(steps - 1, 0)))
        if steps == 0:
            self.finished_cycles, self._kept = [], None
        elif self.finished_cycles and self.finished_cycles[-1].cycle == self._cycle.index:
            self._kept = replace(self.finished_cycles.pop(), complete=False)
        if self._kept is not None and not trainer.strategy.broadcast(Path(self._kept.path).exists()):
            rank_zero_warn(
                f"The best checkpoint of cycle {self._kept.cycle} so far is gone: {self._kept.path}. The best of what "
                "follows is kept instead"
            )
            self._kept = None
        if self._kept is not None:
            self._cycle = timeline.cycle(self._kept.cycle)
        self._end_cycle(trainer)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the weights at a cycle's last step where no metric is monitored; close a cycle that is over."""
        self._end_cycle(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the weights that were measured if they are the best of their cycle."""
        scheduler = self._scheduler
        if scheduler is None or self.monitor is None or trainer.sanity_checking or scheduler.real_steps == 0:
            return
        self._close_before(scheduler)
        metrics = trainer.callback_metrics
        score = trainer.strategy.broadcast(float(metrics[self.monitor]) if self.monitor in metrics else None)
        if score is None:
            raise MisconfigurationException(
                f"CycleCheckpoint.monitor = {self.monitor!r} is not logged in validation. Logged are: "
                f"{', '.join(sorted(metrics)) or 'none'}. Log it, for example self.log({self.monitor!r}, loss) in "
                "validation_step, or monitor one of these"
            )
        if not math.isnan(score) and (self._kept is None or self._better(score, self._kept.score)):
            self._keep(trainer, scheduler.real_steps, score)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the last cycle; it is complete if its last step was taken."""
        if self._scheduler is None:
            return
        stop, steps = self._cycle.stop, self._scheduler.real_steps
        if self.monitor is None and steps > (self._kept.step if self._kept else self._cycle.start):
            self._keep(trainer, steps, None)
        self._close(complete=self._cycle.complete and stop is not None and steps >= stop)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Let go of the schedule: a validation outside of a fit keeps nothing."""
        self._scheduler = None

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Let go of the schedule; Lightning calls no teardown after an exception."""
        self._scheduler = None

    def state_dict(self) -> dict[str, Any]:
        """Return what was kept, as primitives."""
        return {
            "finished_cycles": [asdict(kept) for kept in self.finished_cycles],
            "kept": None if self._kept is None else asdict(self._kept),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what an interrupted run kept; a test or a prediction with the file loads only the weights."""
        if not self._fitting:
            return
        self.finished_cycles = [CycleBest(**kept) for kept in state_dict["finished_cycles"]]
        self._kept = None if state_dict["kept"] is None else CycleBest(**state_dict["kept"])

    def _better(self, score: float, than: float | None) -> bool:
        """Return whether a score beats another one; ties keep the earlier."""
        return than is None or (score < than if self.mode == "min" else score > than)

    def _best(self) -> CycleBest | None:
        """Return the best of all that was kept so far, by the metric; the latest without one."""
        best: CycleBest | None = None
        for kept in [*self.finished_cycles, *([self._kept] if self._kept else [])]:
            if best is None or kept.score is None or self._better(kept.score, best.score):
                best = kept
        return best

    def _keep(self, trainer: pl.Trainer, step: int, score: float | None) -> None:
        """Save the present weights for the present cycle, then remove what they replace."""
        replaced, epoch, cycle = self._kept, trainer.current_epoch, self._cycle.index
        path = _free_path(trainer, Path(self._folder) / f"cycle={cycle}-epoch={epoch}-step={step}.ckpt")
        self._kept = CycleBest(cycle, path, score, step, epoch)
        trainer.save_checkpoint(path, self.save_weights_only)
        if replaced is not None:
            trainer.strategy.remove_checkpoint(replaced.path)

    def _end_cycle(self, trainer: pl.Trainer) -> None:
        """Keep the weights at a cycle's last step where no metric is monitored; close a cycle that is over."""
        scheduler, stop = self._scheduler, self._cycle.stop
        if scheduler is None or stop is None or scheduler.real_steps < stop:
            return
        if self.monitor is None and (self._kept is None or self._kept.step < stop):
            self._keep(trainer, scheduler.real_steps, None)
        self._close_before(scheduler)

    def _close_before(self, scheduler: PlannedScheduler) -> None:
        """Close every cycle that ended before the latest real step."""
        present = scheduler.timeline.cycle_at(scheduler.real_steps - 1)
        while self._cycle.index < present:
            self._close(complete=True)
            self._cycle = scheduler.timeline.cycle(self._cycle.index + 1)

    def _close(self, *, complete: bool) -> None:
        """Move what was kept of the present cycle to the finished ones."""
        if self._kept is None:
            rank_zero_warn(
                f"Cycle {self._cycle.index} ended without a validation that could be kept. Validate at least once in "
                "each cycle, for example with Trainer(check_val_every_n_epoch=1)"
            )
            return
        self.finished_cycles.append(replace(self._kept, complete=complete))
        self._kept = None


def _default_folder(trainer: pl.Trainer) -> str:
    """Return the folder that Lightning's own checkpoints would go to."""
    if not trainer.loggers:
        return str(Path(trainer.default_root_dir) / "checkpoints")
    logger = trainer.loggers[0]
    version = logger.version if isinstance(logger.version, str) else f"version_{logger.version}"
    root = logger.save_dir or trainer.default_root_dir
    return str(Path(root) / str(logger.name) / version / "checkpoints")


def _free_path(trainer: pl.Trainer, path: Path) -> str:
    """Return a path that no file has yet, the same on every rank: ``-v1``, ``-v2``, ... is put behind the name."""
    free, version = path, 0
    while free.exists():
        version += 1
        free = path.with_stem(f"{path.stem}-v{version}")
    return str(trainer.strategy.broadcast(str(free)))
