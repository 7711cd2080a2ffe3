"""A fit that goes on until somebody ends it; says when it has begun."""

import sys
import time
from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import Callback

from lightning_lrsched import Constant, LearningRateScheduler, MLflowTracker
from tests.callbacks.models import Tiny, make_trainer


class Slow(Callback):
    def on_train_batch_end(self, trainer: L.Trainer, *_: object) -> None:
        time.sleep(0.05)
        if trainer.global_step == 5:
            (Path(trainer.default_root_dir) / "begun").touch()


if __name__ == "__main__":
    callbacks = [LearningRateScheduler(Constant(), warmup=3), MLflowTracker(sys.argv[2], "study"), Slow()]
    make_trainer(Path(sys.argv[1]), *callbacks, max_epochs=-1).fit(Tiny())
