"""CycleCheckpoint: keeps the best and the last weights of every cycle of the schedule."""

from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Checkpoint
from torch import Tensor

from lightning_lrsched.callbacks.cycles.files import check_filename, default_folder, resolved
from lightning_lrsched.callbacks.cycles.keeper import CycleKeeper, Wanted
from lightning_lrsched.callbacks.cycles.ledger import KEEPS, Kept, KeptCycle, Ledger
from lightning_lrsched.callbacks.cycles.sources import CycleSource, PassedEnds, Place
from lightning_lrsched.callbacks.cycles.start import find_source, place_of, tell
from lightning_lrsched.callbacks.trainer_access import (
    force_validation,
    is_smoke_test,
    logger_step,
    repeat_validation,
    restores_late,
    validation_is_due,
)
from lightning_lrsched.checks import check_choice, check_flag, refusal
from lightning_lrsched.units import DurationLike, plain_duration


class CycleCheckpoint(Checkpoint):
    """Keeps, for every cycle of the schedule, its best checkpoint and its end, where the lr is lowest.

    A metric is credited to the cycle whose weights it measured: a validation right after a cycle's last step counts
    for that cycle, although the lr has already restarted. The warmup belongs to cycle 0. Where both are the same
    weights they are one file. Cycles come from the schedule (SGDR, Cyclic, torch's CosineAnnealingWarmRestarts and
    CyclicLR) or from ``every``; their boundaries are counted in real steps.

    Args:
        monitor: name of a metric that is logged in validation; None to keep each cycle's end alone.
        mode: ``"min"`` or ``"max"``.
        dirpath: folder of the files, or its URL; None for ModelCheckpoint's: the logger's, or ``default_root_dir``.
        filename: names of the files: ``{cycle}``, ``{epoch}``, ``{step}`` and any logged metric, with a format.
        auto_insert_metric_name: put ``name=`` in front of each value.
        keep: ``"both"``, ``"best"`` or ``"end"`` of each cycle.
        every: length of a cycle where the schedule has none, as a duration: ``"10ep"``.
        validate_at_end: validate after each cycle's last step, so that every end has a metric of its own.
        save_partial: keep a cycle that the end of the run cuts short; it is never recommended.
        save_top_k: completed cycles that are kept, the best by their metric, without one the latest; -1 for all.
        save_weights_only: leave out the states of optimizers, schedulers, callbacks and loops.
        patience: stop after so many completed cycles in a row that were not better than all before; None for never.

    Raises:
        ValueError: when constructed, if a value is refused, with a valid example.
        MisconfigurationException: before training, if there are no cycles, or the folder takes no files; at the
            first validation, if the metric is not logged.

    Example::

        checkpoint = CycleCheckpoint(monitor="val_loss", validate_at_end=True)
        trainer = L.Trainer(max_epochs=70, callbacks=[LearningRateScheduler(SGDR("10ep", 2)), checkpoint])
        trainer.fit(model)
        trainer.test(ckpt_path="best")  # the best of all
        checkpoint.recommended_model_path  # the best end of a completed cycle; end_model_paths has all of them
    """

    def __init__(
        self,
        monitor: str | None = None,
        mode: str = "min",
        *,
        dirpath: str | Path | None = None,
        filename: str = "{cycle}-{epoch}-{step}",
        auto_insert_metric_name: bool = True,
        keep: str = "both",
        every: DurationLike | None = None,
        validate_at_end: bool = False,
        save_partial: bool = True,
        save_top_k: int = -1,
        save_weights_only: bool = False,
        patience: int | None = None,
    ) -> None:
        """Check the parameters; nothing is written before the fit."""
        self.monitor = monitor
        self.mode = mode
        self.dirpath = None if dirpath is None else str(dirpath)
        self.filename = filename
        self.auto_insert_metric_name = auto_insert_metric_name
        self.keep = keep
        self.every = None if every is None else plain_duration(every, "CycleCheckpoint.every")
        self.validate_at_end = validate_at_end
        self.save_partial = save_partial
        self.save_top_k = save_top_k
        self.save_weights_only = save_weights_only
        self.patience = patience
        self._check(dirpath)
        ledger = Ledger(mode, keep if monitor is not None else "end", save_top_k)
        self._keeper = CycleKeeper(ledger, Wanted(filename, auto_insert_metric_name, save_weights_only, monitor))
        self._source: CycleSource | None = None
        self._fitting, self._restored, self._measured, self._in_batch = True, False, False, False
        self._ended_at = -1
        self._epoch: int | None = None
        self._latest: tuple[int, float] | None = None
        self._lr: float | Tensor | None = None
        self._passed = PassedEnds()
        self._put_back: Callable[[], None] | None = None

    def _check(self, dirpath: object) -> None:
        """Refuse what cannot be meant."""
        if self.monitor is not None and (not isinstance(self.monitor, str) or not self.monitor):
            raise refusal("CycleCheckpoint.monitor", self.monitor, "a metric's name or None", "monitor='val_loss'")
        if dirpath is not None and (not isinstance(dirpath, str | Path) or not str(dirpath)):
            raise refusal("CycleCheckpoint.dirpath", dirpath, "a folder or None", "dirpath='checkpoints'")
        check_choice("CycleCheckpoint.mode", self.mode, ("min", "max"), "mode='min'")
        check_choice("CycleCheckpoint.keep", self.keep, KEEPS, "keep='both'")
        check_filename(self.filename)
        for name in ("auto_insert_metric_name", "validate_at_end", "save_partial", "save_weights_only"):
            check_flag(f"CycleCheckpoint.{name}", getattr(self, name), f"{name}=True")
        _check_count("save_top_k", self.save_top_k, "-1 for all cycles, or a number of them of at least 1", -1)
        _check_count("patience", self.patience, "a number of cycles of at least 1, or None", None)
        if self.monitor is None and (self.validate_at_end or self.patience is not None or self.keep == "best"):
            allowed = "a metric's name where validate_at_end, patience or keep='best' is given"
            raise refusal("CycleCheckpoint.monitor", None, allowed, "monitor='val_loss'")

    @property
    def finished_cycles(self) -> list[KeptCycle]:
        """What was kept of every finished cycle, in order."""
        return self._keeper.ledger.finished

    @property
    def best_model_paths(self) -> list[str]:
        """The best checkpoint of every finished cycle, in order; its end where it has no metric."""
        return [cycle.kept[0].path for cycle in self.finished_cycles]

    @property
    def end_model_paths(self) -> list[str]:
        """The checkpoint at the end of every completed cycle, in order: the members of a snapshot ensemble."""
        return [cycle.end.path for cycle in self.finished_cycles if cycle.complete and cycle.end is not None]

    @property
    def best_model_path(self) -> str:
        """The best checkpoint of all cycles so far, which ``ckpt_path="best"`` loads; the latest without a monitor."""
        best = self._keeper.ledger.best
        return "" if best is None else best.path

    @property
    def best_model_score(self) -> float | None:
        """The monitored metric of `best_model_path`."""
        best = self._keeper.ledger.best
        return None if best is None else best.score

    @property
    def recommended(self) -> Kept | None:
        """The best end of a completed cycle by its own metric, or the latest if none was measured; None before one."""
        return self._keeper.ledger.recommended

    @property
    def recommended_model_path(self) -> str:
        """The checkpoint of `recommended`; empty before the first restart."""
        return "" if self.recommended is None else self.recommended.path

    @property
    def run_key(self) -> str:
        """What this run's checkpoints are known by, also after a resume; empty before the first fit."""
        return self._keeper.run

    @cached_property  # Lightning asks for it at every hook
    def state_key(self) -> str:
        """The key of this callback's state: several with other parameters can be in one Trainer."""
        return self._generate_state_key(monitor=self.monitor, mode=self.mode, keep=self.keep, every=self.every)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Settle the folder, the same on every rank."""
        self._fitting = stage == "fit"
        if self._fitting:
            self._keeper.settle(trainer.strategy.broadcast(resolved(self.dirpath or default_folder(trainer))))

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Refuse a fit whose cycles cannot be kept: no cycles, or a folder that takes no files."""
        self._source = None
        if not is_smoke_test(trainer):
            find_source(trainer, self.every, self._keeper.place).release()
            if not restores_late(trainer):
                self._keeper.check(trainer, restored=self._restored)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find the cycle that training goes on in, and tell what the fit means for its cycles."""
        if is_smoke_test(trainer):
            return
        if restores_late(trainer):
            self._keeper.check(trainer, restored=self._restored)
        keeper, self._ended_at, self._restored = self._keeper, -1, False
        self._latest = self._lr = self._epoch = None
        source = self._source = find_source(trainer, self.every, keeper.place)
        keeper.take_up(trainer, source)
        self._advance(trainer, source.last)
        self._resume(trainer, source)
        if not pl_module.automatic_optimization:
            self._passed.watch(source, pl_module)
        tell(trainer, source, self.monitor, forced=self.validate_at_end)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Note the lr that the batch uses."""
        self._cadence_back()
        self._in_batch = True
        if self._source is not None:
            lr = self._source.counter.optimizer.param_groups[0]["lr"]
            self._lr = lr.detach().clone() if isinstance(lr, Tensor) else lr

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Close a cycle that is over; at a cycle's last step keep the weights, after a validation if one comes."""
        source = self._source
        if source is None:
            return
        for end in self._passed.take(source.counter.real_steps):
            self._advance(trainer, end.cycle)
            if self.keep != "best":
                self._keeper.keep(trainer, Kept("", end.step, trainer.current_epoch, lr=end.lr), end.weights, end=True)
        self._advance(trainer, source.last, wait=trainer.world_size > 1)
        if not source.ended or self._ended_at == source.counter.real_steps:
            return
        self._ended_at = source.counter.real_steps
        due = trainer.strategy.reduce_boolean_decision(validation_is_due(trainer), all=False)
        if self.validate_at_end and not due and trainer.enable_validation:
            self._put_back = force_validation(trainer)
            due = validation_is_due(trainer)
        if not due:
            self._keep_end(trainer, source)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the cadence back that was changed for one validation."""
        self._cadence_back()
        self._in_batch = False

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note that the metrics are there; a checkpoint that is saved before `on_validation_end` needs to know."""
        self._measured = self._source is not None and self.monitor is not None and not trainer.sanity_checking

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the weights that were measured if they are the best of their cycle, or its end."""
        source, self._measured = self._source, False
        if source is None or trainer.sanity_checking or source.counter.real_steps == 0:
            return
        self._advance(trainer, source.last)
        if self.monitor is None:
            if source.ended:
                self._keep_end(trainer, source)
            return
        score = self._score(trainer)
        if score is None:
            raise MisconfigurationException(
                f"CycleCheckpoint.monitor = {self.monitor!r} is not logged in validation. Logged are: "
                f"{', '.join(sorted(trainer.callback_metrics)) or 'none'}. Log it, for example "
                f"self.log({self.monitor!r}, loss) in validation_step, or monitor one of these"
            )
        self._judge(trainer, source, score)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep an end that became one with the epoch, or whose validation did not come."""
        self._cadence_back()
        self._in_batch = False
        if self._source is not None and self._source.ended:
            self._keep_end(trainer, self._source)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the last cycle; it is complete if its last step was taken."""
        source = self._source
        if source is None:
            return
        self._epoch = max(trainer.current_epoch - 1, 0)  # Lightning has counted the last one already
        self._advance(trainer, source.last)
        if source.ended:
            self._keep_end(trainer, source)
            self._keeper.close(trainer, complete=True)
        elif self.save_partial:
            if source.counter.real_steps > 0:
                self._keep_end(trainer, source)
            self._keeper.close(trainer, complete=False)
        else:
            self._keeper.drop(trainer)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Let go of the schedule: a validation outside of a fit keeps nothing."""
        self._let_go(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Let go of the schedule; Lightning calls no teardown after an exception."""
        self._let_go(trainer)

    def state_dict(self) -> dict[str, Any]:
        """Return what was kept, as primitives."""
        return self._keeper.state()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what an interrupted run kept; a test or a prediction with the file loads only the weights."""
        if self._fitting:
            self._keeper.restore(state_dict)
            self._restored = True

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Put into a checkpoint what is still to come: a score to be judged, or the validation itself."""
        source = self._source
        if source is None:
            return
        state = checkpoint["callbacks"][self.state_key]
        state["place"] = list(self._place(trainer, source))
        if self.monitor is None:
            return
        if self._measured:
            kept = Kept("", source.counter.real_steps, trainer.current_epoch, self._score(trainer))
            state["unjudged"] = asdict(kept)
        elif self._in_batch:
            state["due"] = validation_is_due(trainer) or (self.validate_at_end and source.ended)

    def _resume(self, trainer: pl.Trainer, source: CycleSource) -> None:
        """Do what was still to come when the checkpoint was saved: its weights are the present ones."""
        keeper = self._keeper
        unjudged, due, place = keeper.unjudged, keeper.due, keeper.place
        keeper.unjudged, keeper.due = None, False
        if place is None or place.steps != source.counter.real_steps:
            return
        self._epoch, self._lr = place.epoch, place.lr
        if unjudged is not None and unjudged.score is not None:
            self._judge(trainer, source, unjudged.score)
        elif due and trainer.enable_validation:
            self._ended_at = source.counter.real_steps
            repeat_validation(trainer)
        if source.ended:
            self._keep_end(trainer, source)
        self._epoch = None

    def _score(self, trainer: pl.Trainer) -> float | None:
        """Return the monitored metric, the same on every rank."""
        metrics = trainer.callback_metrics
        there = float(metrics[self.monitor]) if self.monitor in metrics else None
        score: float | None = trainer.strategy.broadcast(there)
        return score

    def _judge(self, trainer: pl.Trainer, source: CycleSource, score: float) -> None:
        """Keep the present weights as the best of their cycle or as its end, if they are."""
        self._keeper.land(trainer)
        ledger, step = self._keeper.ledger, source.counter.real_steps
        self._latest = (step, score)
        ledger.measure(step, score)
        best, end = ledger.wins(score), source.ended and ledger.wants_end(step)
        if best or end:
            self._keeper.keep(trainer, self._present(trainer, step), best=best, end=end)
        else:
            self._keeper.write_list(trainer)
        if self.patience is not None and source.ended and ledger.stale_if_closed >= self.patience:
            trainer.should_stop = True

    def _keep_end(self, trainer: pl.Trainer, source: CycleSource) -> None:
        """Keep the present weights as the end of their cycle, unless that was done."""
        self._advance(trainer, source.last)
        if self._keeper.ledger.wants_end(source.counter.real_steps):
            self._keeper.keep(trainer, self._present(trainer, source.counter.real_steps), end=True)

    def _present(self, trainer: pl.Trainer, step: int) -> Kept:
        """Return what is known of the present weights."""
        epoch = trainer.current_epoch if self._epoch is None else self._epoch
        score = self._latest[1] if self._latest is not None and self._latest[0] == step else None
        return Kept("", step, epoch, score, None if self._lr is None else float(self._lr), logger_step(trainer))

    def _place(self, trainer: pl.Trainer, source: CycleSource) -> Place:
        """Return where training is."""
        return place_of(trainer, source, None if self._lr is None else float(self._lr))

    def _advance(self, trainer: pl.Trainer, cycle: int, *, wait: bool = True) -> None:
        """Close every cycle that ended before that of the latest step; later, if its last file is still written."""
        while self._keeper.ledger.running.cycle < cycle and (wait or not self._keeper.landing):
            self._keeper.close(trainer, complete=True)

    def _cadence_back(self) -> None:
        """Put the Trainer's cadence back if it was changed."""
        if self._put_back is not None:
            self._put_back()
            self._put_back = None

    def _let_go(self, trainer: pl.Trainer) -> None:
        """Stop to watch the schedule."""
        self._cadence_back()
        if self._source is not None:
            self._keeper.place = self._place(trainer, self._source)
            self._source.release()
        self._source = None
        self._measured = False
        self._passed.take(-1)


def _check_count(name: str, value: object, allowed: str, none: int | None) -> None:
    """Refuse a number of cycles that is none."""
    if value != none and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise refusal(f"CycleCheckpoint.{name}", value, allowed, f"{name}=3")
