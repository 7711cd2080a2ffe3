"""One fit, watched from its first step: cycles that are over are closed, their ends kept, what was measured judged."""

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import lightning.pytorch as pl
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch import Tensor

from lightning_lrsched.callbacks.cycles.cadence import lacks_only_skipped
from lightning_lrsched.callbacks.cycles.keeper import CycleKeeper
from lightning_lrsched.callbacks.cycles.ledger import Kept
from lightning_lrsched.callbacks.cycles.sources import CycleSource, PassedEnds
from lightning_lrsched.callbacks.cycles.start import place_of, tell, tell_left_out, tell_pushed
from lightning_lrsched.callbacks.trainer_access import (
    force_validation,
    logger_step,
    repeat_validation,
    validation_is_due,
    validation_metrics,
)


class CycleWatch:
    """Tells the keeper at each moment what the present weights are: the best of their cycle, its end, or neither.

    It is made when training starts, after the sanity check, and let go of when the fit is over.

    Args:
        trainer: the Trainer.
        source: tells in which cycle the weights are.
        keeper: keeps them.
        validate_at_end: whether each cycle's end is validated.
        patience: completed cycles in a row without improvement that end the training; None for any number.
    """

    def __init__(
        self,
        trainer: pl.Trainer,
        source: CycleSource,
        keeper: CycleKeeper,
        *,
        validate_at_end: bool,
        patience: int | None,
    ) -> None:
        """Begin before the first step."""
        self._trainer = trainer
        self._source = source
        self._keeper = keeper
        self._monitor = keeper.wanted.monitor
        self._validate_at_end = validate_at_end
        self._patience = patience
        self._measured, self._in_batch, self._told = False, False, False
        self._ended_at = -1
        self._epoch: int | None = None  # of the present weights, where Lightning counts another one
        self._latest: tuple[int, float, dict[str, float]] | None = None  # step, score and all metrics
        self._lr: float | Tensor | None = None
        self._passed = PassedEnds()
        self._put_back: Callable[[], None] | None = None

    def begin(self) -> None:
        """Find the cycle that training goes on in, and tell what the fit means for its cycles."""
        trainer, source = self._trainer, self._source
        self._keeper.take_up(trainer, source)
        self._advance(source.last)
        self._resume()
        if not trainer.lightning_module.automatic_optimization:
            self._passed.watch(source, trainer.lightning_module)
        tell(trainer, source, self._monitor, forced=self._validate_at_end, place=self._keeper.place)

    def batch_starts(self) -> None:
        """Note the lr that the batch uses."""
        self._cadence_back()
        self._in_batch = True
        lr = self._source.counter.optimizer.param_groups[0]["lr"]
        self._lr = lr.detach().clone() if isinstance(lr, Tensor) else lr

    def batch_ends(self) -> None:
        """Close a cycle that is over; at a cycle's last step keep the weights, after a validation if one comes."""
        trainer, source, keeper = self._trainer, self._source, self._keeper
        for end in self._passed.take(source.counter.real_steps):
            self._advance(end.cycle)
            if keeper.ledger.wants_end(end.step):
                keeper.keep(trainer, Kept("", end.step, trainer.current_epoch, lr=end.lr), end.weights, end=True)
        self._advance(source.last, wait=trainer.world_size > 1)
        if not source.ended or self._ended_at == source.counter.real_steps:
            return
        self._ended_at = source.counter.real_steps
        due = trainer.strategy.reduce_boolean_decision(validation_is_due(trainer), all=False)
        if self._wants_validation and not due and trainer.enable_validation:
            self._put_back = force_validation(trainer)
            due = validation_is_due(trainer)
        if not due:
            self._keep_end()
            self._tell_pushed()

    def validation_starts(self) -> None:
        """Put the cadence back that was changed for one validation."""
        self._cadence_back()
        self._in_batch = False

    def metrics_are_there(self) -> None:
        """Note it: a checkpoint that is saved before `validation_ends` needs to know."""
        self._measured = self._monitor is not None

    def validation_ends(self) -> None:
        """Keep the weights that were measured if they are the best of their cycle, or its end.

        A metric that some validations leave out, because it is costly, is not measured by them.

        Raises:
            MisconfigurationException: if the monitored metric has not been logged in any validation.
        """
        self._measured = False
        if self._source.counter.real_steps == 0:
            return
        self._advance(self._source.last)
        if self._monitor is None:
            self._end_if_ended()
            return
        metrics = validation_metrics(self._trainer)[0]
        score = self._score(metrics)
        if score is not None:
            self._judge(score, metrics)
        elif self._keeper.measured:
            tell_left_out(str(self._monitor))
            self._end_if_ended()
        else:
            raise MisconfigurationException(
                f"CycleCheckpoint.monitor = {self._monitor!r} is not logged in validation. Logged are: "
                f"{', '.join(sorted(metrics)) or 'none'}. Log it, for example "
                f"self.log({self._monitor!r}, loss) in validation_step, or monitor one of these"
            )

    def epoch_ends(self) -> None:
        """Keep an end that became one with the epoch, or whose validation did not come."""
        self.validation_starts()
        self._end_if_ended()

    def ends(self, epoch: int, *, save_partial: bool) -> None:
        """Close the last cycle; it is complete if its last step was taken, or would have been but for a scaler.

        Args:
            epoch: the last one.
            save_partial: whether a cycle that is cut short is kept.
        """
        trainer, source, keeper = self._trainer, self._source, self._keeper
        self._epoch = epoch
        self._advance(source.last)
        steps = source.counter.real_steps
        complete = source.ended or (self._skipped > 0 and lacks_only_skipped(source.ends(), steps, self._skipped))
        if complete or save_partial:
            if steps > 0:
                self._keep_end()
            keeper.close(trainer, complete=complete)
        else:
            keeper.drop(trainer)
        keeper.finish(trainer)

    def release(self) -> None:
        """Let go of the fit; the keeper knows where it was."""
        self._cadence_back()
        self._keeper.place = place_of(self._trainer, self._source, self._lr_used)
        self._source.release()

    def to_come(self) -> dict[str, Any]:
        """Return what a checkpoint that is saved now leaves to a resume: a score to be judged, or the validation."""
        trainer, source = self._trainer, self._source
        state: dict[str, Any] = {"place": list(place_of(trainer, source, self._lr_used))}
        if self._measured:
            step, metrics = source.counter.real_steps, validation_metrics(trainer)[0]
            state["unjudged"] = asdict(Kept("", step, trainer.current_epoch, self._score(metrics), metrics=metrics))
        elif self._in_batch and self._monitor is not None:
            state["due"] = validation_is_due(trainer) or (self._wants_validation and source.ended)
        return state

    def _resume(self) -> None:
        """Do what was still to come when the checkpoint was saved: its weights are the present ones."""
        trainer, source, keeper = self._trainer, self._source, self._keeper
        unjudged, due, place = keeper.unjudged, keeper.due, keeper.place
        keeper.unjudged, keeper.due = None, False
        if place is None or place.steps != source.counter.real_steps:
            return
        self._epoch, self._lr = place.epoch, place.lr
        if unjudged is not None and unjudged.score is not None:
            self._judge(unjudged.score, unjudged.metrics)
        elif due and trainer.enable_validation:
            self._ended_at = source.counter.real_steps
            repeat_validation(trainer)
        self._end_if_ended()
        self._epoch = None

    def _score(self, metrics: dict[str, float]) -> float | None:
        """Return the monitored metric, the same on every rank, of those of the validation.

        One of the training has the value of the epoch before until this epoch ends.
        """
        score: float | None = self._trainer.strategy.broadcast(metrics.get(str(self._monitor)))
        return score

    def _judge(self, score: float, metrics: dict[str, float]) -> None:
        """Keep the present weights as the best of their cycle or as its end, if they are."""
        trainer, source, keeper = self._trainer, self._source, self._keeper
        keeper.land(trainer)
        ledger, step = keeper.ledger, source.counter.real_steps
        self._latest, keeper.measured = (step, score, metrics), True
        ledger.measure(step, score, metrics)
        best, end = ledger.wins(score), source.ended and ledger.wants_end(step)
        if best or end:
            keeper.keep(trainer, self._present(), best=best, end=end)
        else:
            keeper.write_list(trainer)
        if source.ended and self._is_enough(ledger.stale_if_closed):
            trainer.should_stop = True

    @property
    def _wants_validation(self) -> bool:
        """Whether the end of the running cycle is validated whatever the cadence: nothing stops unmeasured."""
        return self._validate_at_end or self._is_enough(self._keeper.ledger.stale_if_closed)

    def _is_enough(self, stale: int) -> bool:
        """Return whether so many completed cycles in a row without improvement end the training."""
        return self._patience is not None and stale >= self._patience

    def _end_if_ended(self) -> None:
        """Keep the present weights as the end of their cycle if they are that, unless it was done."""
        if self._source.ended:
            self._keep_end()

    def _keep_end(self) -> None:
        """Keep the present weights as the end of their cycle, unless that was done."""
        self._advance(self._source.last)
        if self._keeper.ledger.wants_end(self._source.counter.real_steps):
            self._keeper.keep(self._trainer, self._present(), end=True)

    def _present(self) -> Kept:
        """Return what is known of the present weights."""
        step = self._source.counter.real_steps
        epoch = self._trainer.current_epoch if self._epoch is None else self._epoch
        kept = Kept("", step, epoch, lr=self._lr_used, axis=logger_step(self._trainer))
        if self._latest is None or self._latest[0] != step:
            return kept
        return replace(kept, score=self._latest[1], metrics=self._latest[2])

    @property
    def _skipped(self) -> int:
        """Updates of the run that the Trainer counts and that were none; 0 where several optimizers are counted."""
        trainer = self._trainer
        return trainer.global_step - self._source.counter.real_steps if len(trainer.optimizers) == 1 else 0

    def _tell_pushed(self) -> None:
        """Tell once that skipped updates have pushed the end of a cycle off its validation."""
        trainer, skipped = self._trainer, self._skipped
        if skipped > 0 and self._monitor is not None and trainer.enable_validation and not self._told:
            self._told = tell_pushed(trainer, self._source.counter.real_steps, skipped, self._monitor)

    @property
    def _lr_used(self) -> float | None:
        """The lr of the latest batch; None where it is unknown."""
        return None if self._lr is None else float(self._lr)

    def _advance(self, cycle: int, *, wait: bool = True) -> None:
        """Close every cycle that ended before that of the latest step; later, if its last file is still written."""
        number = cycle + self._keeper.ledger.shift
        while self._keeper.ledger.running.cycle < number and (wait or not self._keeper.landing):
            measured = any(kept.score is not None for kept in self._keeper.ledger.running.kept)
            self._keeper.close(self._trainer, complete=True)
            if measured and self._is_enough(self._keeper.ledger.stale):
                self._trainer.should_stop = True

    def _cadence_back(self) -> None:
        """Put the Trainer's cadence back if it was changed."""
        if self._put_back is not None:
            self._put_back()
            self._put_back = None
