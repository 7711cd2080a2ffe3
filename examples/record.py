"""What a fit did, kept in memory for the picture of an example: the lr of every step, and the validation loss."""

from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import Callback


class Record(Callback):
    """Keeps the lr of each parameter group that every batch was trained with, and one metric of each validation.

    Args:
        metric: what is kept of a validation.
    """

    def __init__(self, metric: str = "val_loss") -> None:
        self.metric = metric
        self.lrs: dict[str, list[tuple[int, float]]] = {}
        self.scores: list[tuple[int, float]] = []
        self.batches = 0

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, batch: object, _: int) -> None:
        """Read the groups before the optimizer steps."""
        for number, optimizer in enumerate(trainer.optimizers):
            for index, group in enumerate(optimizer.param_groups):
                name = f"optimizer {number}" if len(trainer.optimizers) > 1 else f"group {group.get('name', index)}"
                self.lrs.setdefault(name, []).append((self.batches, float(group["lr"])))
        self.batches += 1

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Keep the metric of a validation in the fit."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking and self.metric in trainer.callback_metrics:
            self.scores.append((self.batches, float(trainer.callback_metrics[self.metric])))


def draw(records: dict[str, Record], path: Path) -> None:
    """Draw the lr of several fits over their validation metric."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    scored = any(record.scores for record in records.values())
    figure, axes = plt.subplots(1 + scored, 1, figsize=(6.4, 4.2 if scored else 2.4), sharex=True, squeeze=False)
    for name, record in records.items():
        for group, points in record.lrs.items():
            label = f"{name}, {group}" if len(record.lrs) > 1 else name
            axes[0, 0].plot(*zip(*points, strict=True), label=label, linewidth=1.5)
        if record.scores:
            axes[1, 0].plot(*zip(*record.scores, strict=True), label=name, linewidth=1.5)
            axes[1, 0].set_ylabel(record.metric)
    axes[0, 0].set_ylabel("learning rate")
    axes[0, 0].legend(fontsize=8)
    axes[-1, 0].set_xlabel("step")
    for ax in axes[:, 0]:
        ax.grid(alpha=0.3)
    figure.savefig(path, dpi=90, bbox_inches="tight")
    plt.close(figure)
