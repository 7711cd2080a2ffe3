"""The configuration of a LightningCLI, kept in the MLflow run."""

from collections.abc import Callable

import lightning.pytorch as pl
from lightning.pytorch.cli import SaveConfigCallback
from lightning_utilities.core.rank_zero import rank_zero_warn

from lightning_lrsched.callbacks import MLflowTracker
from lightning_lrsched.masking import masked_yaml


class SaveConfigArtifact(SaveConfigCallback):
    """Stores ``config.yaml`` in the runs of the trainer's MLFlowLoggers and MLflowTracker, and in a logger's folder.

    Lightning's own callback stops the fit where an MLFlowLogger writes to a database or a server, for then there is
    no log folder; and without a logger it takes the working directory for one, where ``config.yaml`` is often the
    user's own file. What MLflow does not take is told and never stops the fit.
    """

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Save once, before training."""
        folder = trainer.log_dir  # asked on every rank: it is broadcast
        self.save_to_log_dir = self.save_to_log_dir and folder is not None and bool(trainer.loggers)
        super().setup(trainer, pl_module, stage)

    def save_config(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Store the configuration in MLflow; on rank zero alone."""
        text = masked_yaml(self.parser.dump(self.config, skip_none=False))
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, MLflowTracker):
                callback.keep_text(self.config_filename, text)
        for logger in trainer.loggers:
            run_id: str | None = getattr(logger, "run_id", None)  # MLFlowLogger is known by what it offers
            log_text: Callable[..., None] | None = getattr(getattr(logger, "experiment", None), "log_text", None)
            if run_id is None or log_text is None:
                continue
            try:
                log_text(run_id, text, self.config_filename)
            except Exception as failure:
                rank_zero_warn(f"{self.config_filename} is not in the MLflow run: {type(failure).__name__}")
