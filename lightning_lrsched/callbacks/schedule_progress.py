"""ScheduleProgress: lr, phase and cycle with the progress bar."""

import time
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, ProgressBar

from lightning_lrsched.callbacks.progress_line import Line, line_below
from lightning_lrsched.callbacks.trainer_access import is_last_batch, scheduler_configs
from lightning_lrsched.scheduler import PlannedScheduler, RealStepScheduler

_PERIOD = 0.1  # seconds; a terminal shows no more than ten values a second to any use


class ScheduleProgress(Callback):
    """Shows lr, phase and cycle in a line below the progress bar, which stays as Lightning shows it.

    They are those of the next step, and after the last one those that hold. The lr is a range (``0.02 to 0.1``) where
    parameter groups differ. With several optimizers each has its own (``lr/0``, ``lr/1``), and phase and cycle are
    those of the first. The cycle is shown for schedules that have several.

    Where there is no line below, as for TQDM in a file or a notebook and for whatever else is a ProgressBar, they stand
    behind the bar's own metrics; a metric of the same name that the module logs with ``prog_bar=True`` stays as it is
    there. The lr is shown also without a LearningRateScheduler. The values are looked up ten
    times a second at most, so that a step pays next to nothing.

    Example::

        trainer = L.Trainer(callbacks=[LearningRateScheduler(SGDR("10ep", 2)), ScheduleProgress()])
    """

    def __init__(self) -> None:
        """Nothing is known before the fit."""
        self._shown: dict[str, str] = {}
        self._looked = -_PERIOD
        self._line: Line | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find the place for it: a line below the bar, or the end of the bar itself."""
        bar, self._line = trainer.progress_bar_callback, None
        if bar is None or not trainer.is_global_zero:
            return
        self._looked, self._line = -_PERIOD, line_below(bar)
        if self._line is None:
            self._put_behind(bar)

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        """Show the line anew."""
        if self._line is not None and self._look(trainer):
            self._line.show(", ".join(f"{key}={text}" for key, text in self._shown.items()))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Make way for what is said when a fit ends."""
        if self._line is not None:
            self._line.clear()

    def _put_behind(self, bar: ProgressBar) -> None:
        """Add to what the bar shows, from the first step on."""
        metrics = bar.get_metrics

        def with_schedule(trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
            shown = metrics(trainer, pl_module)
            self._look(trainer)
            return shown | {key: text for key, text in self._shown.items() if key not in shown}

        vars(bar)["get_metrics"] = with_schedule

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Leave the bar as it was."""
        self._leave(trainer.progress_bar_callback)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Leave the bar as it was; Lightning calls no teardown after an exception."""
        self._leave(trainer.progress_bar_callback)

    def _leave(self, bar: ProgressBar | None) -> None:
        """Empty the line, and take away what was put in front of a bar's own method."""
        if self._line is not None:
            self._line.clear()
            self._line = None
        if bar is not None:
            vars(bar).pop("get_metrics", None)

    def _look(self, trainer: pl.Trainer) -> bool:
        """Look the values up anew after a while, and at the end of an epoch, which stays to be read."""
        now = time.monotonic()
        due = now - self._looked >= _PERIOD or is_last_batch(trainer)
        if due:
            self._looked, self._shown = now, schedule_items(trainer)
        return due


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
