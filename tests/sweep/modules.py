"""Modules that the sweeps of the tests name by their import path."""

import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import lightning as L
import torch
from torch import Tensor

from tests.callbacks.models import loader


class Noisy(L.LightningModule):
    """One weight that is drawn at random and moved by noise: its losses tell the seed and every step.

    Where a file ``stop`` names a number, so many fits are trained to their end, and the next one is stopped in the
    middle as by ctrl-C. Where a file ``fail`` is, every fit with an lr of 0.5 fails.
    """

    def __init__(self, lr: float = 0.1) -> None:
        super().__init__()
        self.lr = lr
        self.weight = torch.nn.Parameter(torch.randn(1))

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        if self.current_epoch == 1 and batch_idx == 2:
            if Path("fail").exists() and self.lr == 0.5:
                raise RuntimeError("this one fails")
            stop = Path("stop")
            if stop.exists():
                left = int(stop.read_text())
                stop.write_text(str(left - 1))
                if left == 0:
                    os.kill(os.getpid(), int(Path("signal").read_text()))
        return ((self.weight - torch.randn(1)) ** 2).sum()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("val_loss", float(self.weight) ** 2)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.lr)

    def train_dataloader(self) -> Any:
        return loader(5)

    def val_dataloader(self) -> Any:
        return loader(1)


class WithoutLr(Noisy):
    """A module that takes no lr."""

    def __init__(self) -> None:
        super().__init__(0.1)


class TakesAny(Noisy):
    """A module that hands on whatever it is given."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)


class Locks(Noisy):
    """Where a file ``lock`` is, another writer has the store for four seconds when the first fit ends."""

    def on_train_end(self) -> None:
        if Path("lock").exists():
            Path("lock").unlink()
            other = sqlite3.connect("mlflow.db", isolation_level=None, check_same_thread=False)
            other.execute("BEGIN EXCLUSIVE")
            threading.Timer(4.0, other.close).start()


class Calls(Noisy):
    """Calls what a test has put into `at`, by the name of the hook; `fits` counts the fits that began."""

    at: ClassVar[dict[str, Callable[[], object]]] = {}
    fits: ClassVar[int] = 0

    def on_fit_start(self) -> None:
        type(self).fits += 1

    def on_validation_epoch_start(self) -> None:
        self._call("on_validation_epoch_start")

    def teardown(self, stage: str) -> None:
        self._call("teardown")  # the tracker, a callback, has ended by now

    def _call(self, hook: str) -> None:
        self.at.get(hook, lambda: None)()
