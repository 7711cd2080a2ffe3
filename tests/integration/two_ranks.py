"""A fit on two processes, started by a launcher; each rank writes what it saw to ``rank<N>.json``."""

import json
import sys
import time
from pathlib import Path

import torch.distributed
from torch import Tensor

from lightning_lrsched import SGDR, CycleCheckpoint, LearningRateScheduler, MLflowTracker
from tests.callbacks.models import Stranger, Tiny, loader, make_trainer, wavy


class Unsynced(Tiny):
    """Logs another validation loss on every rank, and does not synchronise it."""

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("val_loss", wavy(self.trainer.global_step + 31 * self.global_rank), sync_dist=False)


def main(folder: Path, uri: str) -> None:
    schedule, checkpoint = (
        LearningRateScheduler(SGDR(5), warmup="10%"),
        CycleCheckpoint("val_loss", validate_at_end=True),
    )
    tracker, stranger = MLflowTracker(uri, "study"), Stranger()
    trainer = make_trainer(
        folder,
        *(tracker, schedule, checkpoint, stranger),
        strategy="ddp",
        devices=2,
        val_check_interval=2,
        accumulate_grad_batches=2,
        use_distributed_sampler=True,
    )
    trainer.fit(Unsynced(), loader(40), loader(2))
    seen = {
        "lrs": stranger.group(),
        "run_id": tracker.run_id,
        "run": [schedule.run.total_steps, schedule.run.steps_per_epoch],
        "cycles": [[c.cycle, kept.path, kept.score, kept.step] for c in checkpoint.finished_cycles for kept in c.kept],
    }
    (folder / f"rank{trainer.global_rank}.json").write_text(json.dumps(seen))
    torch.distributed.destroy_process_group()
    time.sleep(0.3)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
