"""A fit of 40 steps in a process of its own, or one that is resumed from its checkpoint of step 20."""

import sys
from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import Callback

from lightning_lrsched import Cosine, LearningRateScheduler, MLflowTracker
from tests.callbacks.models import Tiny, make_trainer
from tests.integration.tracked_fit import hold

EPOCHS = 4
HELD_AT = {"first": 10, "second": 25}


def plan() -> LearningRateScheduler:
    return LearningRateScheduler(Cosine())


class Waits(Callback):
    """Waits once for as long as it is told to, and says when training has ended.

    Args:
        flags: folder of the files by which it is told, and says so.
    """

    def __init__(self, flags: Path) -> None:
        self._flags = flags

    def on_train_batch_end(self, trainer: L.Trainer, *_: object) -> None:
        if trainer.global_step == HELD_AT[self._flags.name]:
            hold(self._flags)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.global_step == 20 and self._flags.name == "first":
            trainer.save_checkpoint(self._flags / "20.ckpt")

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        (self._flags / "ended").touch()


if __name__ == "__main__":
    root, uri, name = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    tracker = MLflowTracker(uri, "study", deliver_every=0.1, request_timeout=5.0)
    trainer = make_trainer(root, plan(), tracker, Waits(root / name), max_epochs=EPOCHS)
    trainer.fit(Tiny(), ckpt_path=None if name == "first" else root / "first" / "20.ckpt")
