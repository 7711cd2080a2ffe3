"""Callbacks that save in the middle of a run, and that end it as a power cut would."""

from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback


class SavesAt(Callback):
    """Saves one checkpoint after a step."""

    def __init__(self, step: int, path: Path) -> None:
        self.step, self.path, self.saved = step, path, False

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step and not self.saved:  # every rank decides alike: saving waits for all
            self.saved = True
            trainer.save_checkpoint(self.path)


class Stops(Callback):
    """Raises after a step, as a power cut would."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            raise RuntimeError("power cut")
