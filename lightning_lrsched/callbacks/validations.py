"""What a validation has measured, under keys whose curves nobody else writes to the same run."""

from collections.abc import Callable

import lightning.pytorch as pl
from lightning.pytorch.loggers import Logger

from lightning_lrsched.callbacks.trainer_access import callbacks_of, validation_metrics
from lightning_lrsched.tracking.mlflow_client import autologged_run
from lightning_lrsched.tracking.sink import metric_key

BY_STEP = "step/"
"""Before the name of a metric of which autolog has a curve by epochs in the same run."""


def loggers_of(trainer: pl.Trainer, run_id: str | None) -> list[Logger]:
    """Return the trainer's loggers that write to a run; none as long as it is not known."""
    return [one for one in trainer.loggers if run_id is not None and getattr(one, "run_id", None) == run_id]


class Validations:
    """Tells what to record of each validation.

    Args:
        tell: called, once, with where the metrics are if that is not their own name.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        """Have nothing told yet."""
        self._tell = tell
        self._told = False

    def values(self, trainer: pl.Trainer, run_id: str | None) -> dict[str, float]:
        """Return by key what the validation that just ended has measured, and the epoch.

        What Lightning's own logger writes to the same run is left out; the epoch is, as it comes with all it writes.

        Args:
            trainer: the trainer.
            run_id: the run; None as long as it is not known.
        """
        values, logged = validation_metrics(trainer)
        epoch = {"epoch": float(trainer.current_epoch)}
        if loggers_of(trainer, run_id):
            values, epoch = {key: value for key, value in values.items() if key not in logged}, {}
        if not values:
            return {}
        prefix = BY_STEP if self._is_autologged(trainer, run_id) else ""
        return {metric_key(prefix + key): value for key, value in values.items()} | epoch

    def _is_autologged(self, trainer: pl.Trainer, run_id: str | None) -> bool:
        """Return whether autolog writes its own curves to the run, and tell it the first time."""
        found = run_id is not None and run_id in map(autologged_run, callbacks_of(trainer))
        if found and not self._told:
            self._told = True
            self._tell(
                "mlflow.pytorch.autolog writes the validation metrics to the same run, by epochs. MLflowTracker's, by "
                f"optimizer steps, are beside them as {BY_STEP}<metric>: lrsched compare --metric {BY_STEP}val_loss"
            )
        return found
