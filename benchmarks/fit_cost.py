"""What a training step of a real fit costs: Lightning's native pair against this package, in one run.

``python benchmarks/fit_cost.py [STEPS] [ROUNDS]`` fits the same tiny module in turn, ROUNDS times each, with

- nothing: no scheduler and no logger,
- native: torch's CosineAnnealingLR by step, and LearningRateMonitor("step") with a logger that keeps nothing,
- ours: LearningRateScheduler alone,
- ours, tracked: LearningRateScheduler and MLflowTracker on sqlite,

and prints, as a Markdown table, the median time of a training step, from the start of a batch to the start of the next:
on the clock, and as CPU time of the training thread, which other work on the machine does not reach.
"""

import logging
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, LearningRateMonitor
from lightning.pytorch.loggers.logger import DummyLogger
from torch import Tensor
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader, TensorDataset

from lightning_lrsched import Cosine, LearningRateScheduler, MLflowTracker

LR, LEFT_OUT = 0.1, 200  # steps at the start that are not counted


class Tiny(L.LightningModule):
    """One linear layer of two weights; with a scheduler of torch's if asked."""

    def __init__(self, steps: int, *, native: bool) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
        self.steps, self.native = steps, native

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Any:
        return self.layer(batch[0]).sum()

    def configure_optimizers(self) -> Any:
        optimizer = SGD(self.parameters(), lr=LR)
        if not self.native:
            return optimizer
        scheduler = CosineAnnealingLR(optimizer, self.steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class Stopwatch(Callback):
    """Notes when each batch starts."""

    def __init__(self) -> None:
        self.starts: list[tuple[int, int]] = []

    def on_train_batch_start(self, *_: Any) -> None:
        self.starts.append((time.perf_counter_ns(), time.thread_time_ns()))

    def microseconds(self) -> list[tuple[float, float]]:
        """Return the time of each step after the first ones, on the clock and of this thread."""
        return [
            ((wall - wall_before) / 1e3, (cpu - cpu_before) / 1e3)
            for (wall_before, cpu_before), (wall, cpu) in pairwise(self.starts[LEFT_OUT:])
        ]


class Keeps(DummyLogger):
    """A logger that takes metrics and keeps none: what LearningRateMonitor costs, and no file system."""


def measure(steps: int, folder: Path, *, native: bool, callbacks: list[Callback]) -> list[tuple[float, float]]:
    """Fit once; return the times of its steps."""
    watch = Stopwatch()
    trainer = L.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=1,
        logger=Keeps() if native else False,
        log_every_n_steps=1,
        callbacks=[watch, *callbacks],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=folder,
    )
    trainer.fit(Tiny(steps, native=native), DataLoader(TensorDataset(torch.ones(steps, 2)), batch_size=1))
    return watch.microseconds()


def contenders(steps: int, folder: Path) -> dict[str, Callable[[], list[tuple[float, float]]]]:
    """Return a fit for each row of the table."""

    def ours(*tracker: Callback) -> list[tuple[float, float]]:
        callbacks = [LearningRateScheduler(Cosine(), warmup="5%"), *tracker]
        return measure(steps, folder, native=False, callbacks=callbacks)

    store = f"sqlite:///{folder / 'mlflow.db'}"
    return {
        "nothing": lambda: measure(steps, folder, native=False, callbacks=[]),
        "native: CosineAnnealingLR + LearningRateMonitor": lambda: measure(
            steps, folder, native=True, callbacks=[LearningRateMonitor("step")]
        ),
        "ours: LearningRateScheduler": ours,
        "ours, tracked: and MLflowTracker on sqlite": lambda: ours(MLflowTracker(store, "cost")),
    }


def main(steps: int = 1500, rounds: int = 5) -> dict[str, tuple[float, float]]:
    """Measure in turn, print the table and return the two medians of each row."""
    warnings.filterwarnings("ignore")
    for name in ("lightning.pytorch", "mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    times: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            for name, fit in contenders(steps, Path(folder)).items():
                times.setdefault(name, []).extend(fit())
    medians = {name: (median(wall for wall, _ in rows), median(cpu for _, cpu in rows)) for name, rows in times.items()}
    nothing, native = list(medians.values())[:2]
    print(f"{rounds} fits of {steps} steps each, Python {platform.python_version()}, torch {torch.__version__}")
    print("\n| what | us a step | over nothing | CPU us | over nothing | of the native pair's |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, (wall, cpu) in medians.items():
        share = (cpu - nothing[1]) / (native[1] - nothing[1])
        print(f"| {name} | {wall:.1f} | {wall - nothing[0]:.1f} | {cpu:.1f} | {cpu - nothing[1]:.1f} | {share:.2f} |")
    return medians


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
