"""A fit on two processes: each rank writes what the tracker holds in it; rank 0 can be killed then."""

import json
import os
import sys
import threading
import time
from pathlib import Path

import lightning as L
import torch.distributed
from lightning.pytorch.callbacks import Callback

from lightning_lrsched import SGDR, LearningRateScheduler, MLflowTracker
from tests.callbacks.models import Tiny, loader, make_trainer

STEPS = 40


class Looks(Callback):
    """Writes down the threads, the open files and the imports of this process after some steps."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_batch_end(self, trainer: L.Trainer, *_: object) -> None:
        if trainer.global_step == 30:
            files = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
            seen = {
                "pid": os.getpid(),
                "threads": sorted(thread.name for thread in threading.enumerate()),
                "files": sorted(file for file in files if str(self.folder) in file),
                "mlflow": "mlflow" in sys.modules,
            }
            (self.folder / f"rank{trainer.global_rank}.part").write_text(json.dumps(seen))
            (self.folder / f"rank{trainer.global_rank}.part").rename(self.folder / f"rank{trainer.global_rank}.json")
            while (self.folder / "wait").exists():
                time.sleep(0.05)


def main(folder: Path, uri: str) -> None:
    tracker = MLflowTracker(uri, "study", spool_dir=folder / "spool", deliver_every=0.1)
    schedule = LearningRateScheduler(SGDR(5), warmup="10%")
    settings = {"strategy": "ddp", "devices": 2, "use_distributed_sampler": True, "max_epochs": 1}
    trainer = make_trainer(folder, schedule, tracker, Looks(folder), **settings)
    trainer.fit(Tiny(), loader(2 * STEPS), loader(2))
    torch.distributed.destroy_process_group()
    time.sleep(0.3)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
