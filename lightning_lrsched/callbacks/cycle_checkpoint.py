"""CycleCheckpoint: keeps the best and the last weights of every cycle of the schedule."""

from functools import cached_property
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint

from lightning_lrsched.callbacks.cycles.files import check_filename, default_folder, resolved
from lightning_lrsched.callbacks.cycles.keeper import CycleKeeper, Wanted
from lightning_lrsched.callbacks.cycles.ledger import KEEPS, Kept, KeptCycle, Ledger
from lightning_lrsched.callbacks.cycles.start import find_source, tell_alone, tell_direction
from lightning_lrsched.callbacks.cycles.watch import CycleWatch
from lightning_lrsched.callbacks.trainer_access import averages_follow, is_smoke_test, restores_late
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
        mode: ``"min"`` or ``"max"``; None for ``"min"``, which is told where the metric's name is that of a score.
        dirpath: folder of the files, or its URL; None for ModelCheckpoint's: the logger's, or ``default_root_dir``.
        filename: names of the files: ``{cycle}``, ``{epoch}``, ``{step}`` and any logged metric, with a format.
        auto_insert_metric_name: put ``name=`` in front of each value.
        keep: ``"both"``, ``"best"`` or ``"end"`` of each cycle.
        every: length of a cycle where the schedule has none, as a duration: ``"10ep"``.
        validate_at_end: validate after each cycle's last step, so that every end has a metric of its own.
        save_partial: keep a cycle that the end of the run cuts short; it is never recommended.
        save_top_k: completed cycles that are kept, the best by their metric, without one the latest; -1 for all.
        save_weights_only: leave out the states of optimizers, schedulers, callbacks and loops.
        patience: stop after so many completed cycles in a row that were not better than all before, the last of them
            measured at its end too; None for never.

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
        mode: str | None = None,
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
        self.mode = "min" if mode is None else mode
        self._mode_given = mode is not None
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
        ledger = Ledger(self.mode, keep if monitor is not None else "end", save_top_k)
        self._keeper = CycleKeeper(ledger, Wanted(filename, auto_insert_metric_name, save_weights_only, monitor))
        self._watch: CycleWatch | None = None
        self._fitting, self._restored = True, False
        self._brought_back = ""  # the path that another process found

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
        return self._brought_back if best is None else best.path

    @best_model_path.setter
    def best_model_path(self, path: str) -> None:
        """Take what a launcher (``ddp_spawn``, ``ddp_fork``) brings back from the process that trained."""
        self._brought_back = path

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
        self._watch = None
        if not is_smoke_test(trainer):
            find_source(trainer, self.every, self._keeper.place).release()
            if not restores_late(trainer):
                self._keeper.check(trainer, restored=self._restored)
            if self.monitor is not None and not self._mode_given:
                tell_direction(self.monitor)
            others = [one for one in trainer.checkpoint_callbacks if not isinstance(one, CycleCheckpoint)]
            if not others and trainer.checkpoint_callback is self:
                tell_alone()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin to watch the fit, and tell what it means for its cycles."""
        if is_smoke_test(trainer):
            return
        keeper = self._keeper
        if restores_late(trainer):
            keeper.check(trainer, restored=self._restored)
        self._brought_back = ""
        self._restored = False
        source = find_source(trainer, self.every, keeper.place)
        watch = CycleWatch(trainer, source, keeper, validate_at_end=self.validate_at_end, patience=self.patience)
        self._watch = watch
        watch.begin()
        self._end_before_averages(trainer, trainer.current_epoch - 1)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Note the lr that the batch uses."""
        if self._watch is not None:
            self._watch.batch_starts()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Close a cycle that is over; at a cycle's last step keep the weights, after a validation if one comes."""
        if self._watch is not None:
            self._watch.batch_ends()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the cadence back that was changed for one validation."""
        if self._watch is not None:
            self._watch.validation_starts()

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note that the metrics are there; a checkpoint that is saved before `on_validation_end` needs to know."""
        if self._watch is not None:
            self._watch.metrics_are_there()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the weights that were measured if they are the best of their cycle, or its end."""
        if self._watch is not None:
            self._watch.validation_ends()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep an end that became one with the epoch, or whose validation did not come.

        After the last epoch of StochasticWeightAveraging the weights are those of no step: all ends here then.
        """
        if self._watch is not None:
            self._watch.epoch_ends()
            self._end_before_averages(trainer, trainer.current_epoch)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the last cycle; it is complete if its last step was taken."""
        if self._watch is not None:
            last = max(trainer.current_epoch - 1, 0)  # Lightning has counted it already
            self._watch.ends(last, save_partial=self.save_partial)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Let go of the fit: a validation outside of one keeps nothing."""
        self._let_go()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Let go of the fit; Lightning calls no teardown after an exception."""
        self._let_go()

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
        if self._watch is not None:
            checkpoint["callbacks"][self.state_key].update(self._watch.to_come())

    def _end_before_averages(self, trainer: pl.Trainer, epoch: int) -> None:
        """End with the last epoch of StochasticWeightAveraging: the module holds no step's weights after it."""
        if self._watch is not None and averages_follow(trainer, epoch):
            self._watch.ends(epoch, save_partial=self.save_partial)
            self._let_go()

    def _let_go(self) -> None:
        """Stop to watch the fit."""
        if self._watch is not None:
            self._watch.release()
        self._watch = None


def _check_count(name: str, value: object, allowed: str, none: int | None) -> None:
    """Refuse a number of cycles that is none."""
    if value != none and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise refusal(f"CycleCheckpoint.{name}", value, allowed, f"{name}=3")
