"""When a plateau is fed with its metric: the module's own once an epoch, ours with every validation."""

from collections.abc import Callable
from functools import partial

import lightning.pytorch as pl
from lightning.fabric.utilities.exceptions import MisconfigurationException

from lightning_lrsched.callbacks.trainer_access import after_module_hook, is_last_batch, validation_metrics
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

    def validation_ends(self, trainer: pl.Trainer, scheduler: RealStepScheduler) -> None:
        """Feed a plateau with what was validated; the module's own with the last validation of the epoch.

        Only the validation's metrics count: one of the training has the value of the epoch before until the epoch ends.

        Raises:
            MisconfigurationException: if the metric of a `Plateau` is not logged in validation.
        """
        hungry = self._hungry(trainer, scheduler)
        if hungry is not None and (not self._by_module or is_last_batch(trainer)):
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

    def _hungry(self, trainer: pl.Trainer, scheduler: RealStepScheduler) -> DrivenScheduler | None:
        """Return a plateau that is to be fed here and was not in this epoch; None for any other scheduler."""
        if not isinstance(scheduler, DrivenScheduler) or scheduler.monitor is None:
            return None
        return None if scheduler.fed_epoch == trainer.current_epoch else scheduler

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
            if self._by_module:
                scheduler.fed_epoch = trainer.current_epoch
            scheduler.advance(metric)
        elif scheduler.strict and not (self._by_module and validated):
            told = f"Plateau.monitor = {monitor!r} is not logged in validation"
            if self._by_module:
                told = f"the module's ReduceLROnPlateau monitors {monitor!r}, which is not logged"
            raise MisconfigurationException(
                f"{told}. Logged are: {', '.join(sorted(metrics)) or 'none'}. Log it, for example "
                f"self.log({monitor!r}, loss) in validation_step, or monitor one of these"
            )
