"""When a plateau is fed with its metric: the module's own once an epoch, ours with every validation."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import lightning.pytorch as pl
from lightning.fabric.utilities.exceptions import MisconfigurationException

from lightning_lrsched.callbacks.trainer_access import (
    after_module_hook,
    is_last_batch,
    latest_batch,
    repeat_validation,
    validation_is_to_come,
    validation_metrics,
)
from lightning_lrsched.driven import DrivenScheduler
from lightning_lrsched.scheduler import RealStepScheduler


class PlateauFeed:
    """Feeds plateaus before the checkpoints of the moment are saved; other schedulers are left alone.

    Args:
        by_module: whether they are what the module returned.
    """

    def __init__(self, *, by_module: bool) -> None:
        """Wait for nothing."""
        self._by_module = by_module
        self._awaiting: list[Callable[[], None]] = []  # each takes away what waits for a hook of the module

    def fit_begins(self, trainer: pl.Trainer, schedulers: Sequence[RealStepScheduler]) -> None:
        """Make up for a validation that was still to come when a checkpoint was saved: Lightning does not repeat it.

        It is made after the module's ``on_train_start``, when another callback may have repeated it already.
        """
        if trainer.enable_validation and any((each.restored or {}).get("validation_owed") for each in schedulers):
            feed = partial(self._make_up, trainer, schedulers)
            self._awaiting.append(after_module_hook(trainer, "on_train_start", feed))

    def checkpoint_is_saved(self, trainer: pl.Trainer, scheduler: Any, state: dict[str, Any]) -> None:
        """Note in the state of a plateau that a validation which feeds it is still to come."""
        if self._fed_now(trainer, scheduler) is not None and validation_is_to_come(trainer):
            state["validation_owed"] = True

    def validation_ends(self, trainer: pl.Trainer, scheduler: RealStepScheduler) -> None:
        """Feed a plateau with what was validated; the module's own with the last validation of the epoch.

        Only the validation's metrics count: one of the training has the value of the epoch before until the epoch ends.

        Raises:
            MisconfigurationException: if the metric of a `Plateau` is not logged in validation.
        """
        hungry = self._fed_now(trainer, scheduler)
        if hungry is not None:
            self._feed(trainer, hungry, validated=True)

    def epoch_ends(self, trainer: pl.Trainer, scheduler: RealStepScheduler) -> None:
        """Feed a plateau of the module that no validation has fed.

        A metric that this epoch has not logged so far may come from the module's ``on_train_epoch_end``, or from
        another callback's. All ranks wait for it, or none: feeding is a broadcast.
        """
        hungry = self._hungry(trainer, scheduler)
        if hungry is None or not self._by_module:
            return
        feed = partial(self._feed_late, trainer, hungry)
        if trainer.strategy.broadcast(hungry.monitor in validation_metrics(trainer)[0]):
            feed()
        else:
            self._awaiting.append(after_module_hook(trainer, "on_train_epoch_end", feed))

    def let_go(self) -> None:
        """Wait no more: the fit has ended, perhaps before the hook."""
        while self._awaiting:
            self._awaiting.pop()()

    def _fed_now(self, trainer: pl.Trainer, scheduler: Any) -> DrivenScheduler | None:
        """Return a plateau that a validation after the latest batch feeds; None for any other scheduler."""
        return self._hungry(trainer, scheduler) if not self._by_module or is_last_batch(trainer) else None

    def _hungry(self, trainer: pl.Trainer, scheduler: Any) -> DrivenScheduler | None:
        """Return a plateau that is to be fed here and was not since the latest batch; None for any other scheduler."""
        if not isinstance(scheduler, DrivenScheduler) or scheduler.monitor is None or not scheduler.armed:
            return None
        return None if scheduler.fed_batch == latest_batch(trainer) else scheduler

    def _make_up(self, trainer: pl.Trainer, schedulers: Sequence[RealStepScheduler]) -> None:
        """Validate, unless that was done."""
        self._awaiting.clear()
        if any(self._fed_now(trainer, scheduler) is not None for scheduler in schedulers):
            repeat_validation(trainer)

    def _feed_late(self, trainer: pl.Trainer, scheduler: DrivenScheduler) -> None:
        """Feed a plateau with whatever was logged last under the name of its metric."""
        self._awaiting.clear()
        self._feed(trainer, scheduler, validated=False)

    def _feed(self, trainer: pl.Trainer, scheduler: DrivenScheduler, *, validated: bool) -> None:
        """Give a plateau its metric, the same on every rank."""
        metrics = validation_metrics(trainer)[0] if validated else trainer.callback_metrics
        monitor = scheduler.monitor or ""
        metric = trainer.strategy.broadcast(float(metrics[monitor]) if monitor in metrics else None)
        if metric is not None:
            scheduler.fed_batch = latest_batch(trainer)
            scheduler.advance(metric)
        elif scheduler.strict and not (self._by_module and validated):
            told = f"Plateau.monitor = {monitor!r} is not logged in validation"
            if self._by_module:
                told = f"the module's ReduceLROnPlateau monitors {monitor!r}, which is not logged"
            raise MisconfigurationException(
                f"{told}. Logged are: {', '.join(sorted(metrics)) or 'none'}. Log it, for example "
                f"self.log({monitor!r}, loss) in validation_step, or monitor one of these"
            )
