"""Several processes under torchrun: the same plan on every rank, and one MLflow run, opened by rank 0.

Run it with ``torchrun --standalone --nproc-per-node 2 -m examples.ddp_torchrun``, or on a cluster with
``sbatch examples/ddp_slurm.sh``. The steps are optimizer steps, so a plan in epochs needs no change when processes are
added: an epoch has fewer of them.
"""

import os
import sys

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import lightning as L
from torch import Tensor, nn
from torch.distributed import barrier, destroy_process_group, is_initialized

from examples.digits import Digits, DigitsData
from examples.record import Record
from lightning_lrsched import SGDR, CycleCheckpoint, LearningRateScheduler, MLflowTracker


class Shared(Digits):
    """The same network; the metric that checkpoints are chosen by is that of all processes."""

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Log the loss, averaged over the processes."""
        images, labels = batch
        loss = nn.functional.cross_entropy(self.net(images), labels)
        self.log("val_loss", loss, sync_dist=True)


def main(quick: bool = False) -> dict[str, Record]:
    """Train one cycle after another in as many processes as torchrun has started."""
    L.seed_everything(0, verbose=False)
    length = 1 if quick else 5
    record = Record()
    trainer = L.Trainer(
        max_epochs=1 + 3 * length,
        accelerator="cpu",
        devices=int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
        num_nodes=int(os.environ.get("SLURM_JOB_NUM_NODES", "1")),
        strategy="ddp",
        logger=False,
        callbacks=[
            LearningRateScheduler(SGDR(T_0=f"{length}ep", T_mult=2), warmup="1ep"),
            CycleCheckpoint(monitor="val_loss", dirpath="ddp_torchrun"),
            MLflowTracker("sqlite:///ddp.db", "ddp"),
            record,
        ],
    )
    trainer.fit(Shared(lr=0.3), datamodule=DigitsData())
    last = record.lrs["group 0"][-1]
    print(f"rank {trainer.global_rank} of {trainer.world_size}: {trainer.global_step} steps, last lr {last[1]:.6g}")
    return {"SGDR": record}


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
    if is_initialized():  # let every rank end before the first one closes the connection
        barrier()
        destroy_process_group()
