"""ScheduleProgress: lr, phase and cycle in the progress bar."""

import time
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, ProgressBar

from lightning_lrsched.callbacks.trainer_access import is_last_batch, scheduler_configs
from lightning_lrsched.scheduler import PlannedScheduler, RealStepScheduler

_PERIOD = 0.1  # seconds; a terminal shows no more than ten values a second to any use


class ScheduleProgress(Callback):
    """Shows lr, phase and cycle in the progress bar, behind what Lightning shows.

    They are those of the next step, and after the last one those that hold. The lr is a range (``0.02 to 0.1``) where
    parameter groups differ. With several optimizers each has its own (``lr/0``, ``lr/1``), and phase and cycle are
    those of the first. The cycle is shown for schedules that have several. A metric of the same name that the module
    logs with ``prog_bar=True`` stays as it is.

    It works with TQDMProgressBar, RichProgressBar and whatever else is a ProgressBar, and shows the lr also without a
    LearningRateScheduler. The values are looked up ten times a second at most, so that a step pays next to nothing.

    Example::

        trainer = L.Trainer(callbacks=[LearningRateScheduler(SGDR("10ep", 2)), ScheduleProgress()])
    """

    def __init__(self) -> None:
        """Nothing is known before the fit."""
        self._shown: dict[str, str] = {}
        self._looked = -_PERIOD

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add to what the bar shows, from the first step on."""
        bar = trainer.progress_bar_callback
        if bar is None or not trainer.is_global_zero:
            return
        self._looked = -_PERIOD
        metrics = bar.get_metrics

        def with_schedule(trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
            shown = metrics(trainer, pl_module)
            return shown | {key: text for key, text in self._now(trainer).items() if key not in shown}

        vars(bar)["get_metrics"] = with_schedule

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Leave the bar as it was."""
        _restore(trainer.progress_bar_callback)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Leave the bar as it was; Lightning calls no teardown after an exception."""
        _restore(trainer.progress_bar_callback)

    def _now(self, trainer: pl.Trainer) -> dict[str, str]:
        """Return what to show: looked up anew after a while, and at the end of an epoch, which stays to be read."""
        now = time.monotonic()
        if now - self._looked >= _PERIOD or is_last_batch(trainer):
            self._looked = now
            self._shown = schedule_items(trainer)
        return self._shown


def schedule_items(trainer: pl.Trainer) -> dict[str, str]:
    """Return lr, phase and cycle of the next step as texts; after the end of the plan its last ones."""
    several = len(trainer.optimizers) > 1
    items = {
        f"lr/{index}" if several else "lr": _range([float(group["lr"]) for group in optimizer.param_groups])
        for index, optimizer in enumerate(trainer.optimizers)
    }
    schedulers = [config.scheduler for config in scheduler_configs(trainer)]
    first = next((scheduler for scheduler in schedulers if isinstance(scheduler, RealStepScheduler)), None)
    if first is not None:
        timeline = first.timeline if isinstance(first, PlannedScheduler) else None
        end = None if timeline is None else timeline.total
        place = first.place(first.real_steps if end is None else min(first.real_steps, end - 1))
        items["phase"] = place.phase
        if timeline is not None and timeline.cyclic:
            items["cycle"] = str(place.cycle)
    return items


def _range(lrs: list[float]) -> str:
    """Return the lr of some groups, from the lowest to the highest.

    >>> _range([0.1, 0.1]), _range([0.1, 0.02])
    ('0.1', '0.02 to 0.1')
    """
    low, high = f"{min(lrs):.3g}", f"{max(lrs):.3g}"
    return low if low == high else f"{low} to {high}"


def _restore(bar: ProgressBar | None) -> None:
    """Take away what was put in front of a bar's own method."""
    if bar is not None:
        vars(bar).pop("get_metrics", None)
