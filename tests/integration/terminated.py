"""A fit that goes on until somebody ends it; waits at its fifth step for as long as it is told to."""

import sys
from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import Callback

from lightning_lrsched import Constant, LearningRateScheduler, MLflowTracker
from tests.callbacks.models import Tiny, make_trainer
from tests.integration.tracked_fit import hold


class Waits(Callback):
    def on_train_batch_end(self, trainer: L.Trainer, *_: object) -> None:
        if trainer.global_step == 5:
            hold(Path(trainer.default_root_dir))


if __name__ == "__main__":
    callbacks = [LearningRateScheduler(Constant(), warmup=3), MLflowTracker(sys.argv[2], "study"), Waits()]
    make_trainer(Path(sys.argv[1]), *callbacks, max_epochs=-1).fit(Tiny())
