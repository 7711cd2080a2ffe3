"""A module that already returns a scheduler: a warmup is put in front of it, and nothing else changes.

Run it with ``python -m examples.own_scheduler``.
"""

import sys
from typing import Any

import lightning as L
import torch

from examples.digits import Digits, DigitsData
from examples.record import Record
from lightning_lrsched import LearningRateScheduler


class WithScheduler(Digits):
    """The network of digits.py with a torch scheduler of its own, stepped by Lightning once an epoch."""

    def configure_optimizers(self) -> Any:
        """Return what such modules return."""
        optimizer = torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=4, gamma=0.3)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "epoch"}}


def main(quick: bool = False) -> dict[str, Record]:
    """Train with the module's scheduler alone, and with a warmup of two epochs in front of it."""
    records = {"StepLR": Record(), "warmup + StepLR": Record()}
    for name, record in records.items():
        L.seed_everything(0, verbose=False)
        warmup = [LearningRateScheduler(warmup="2ep")] if name.startswith("warmup") else []
        trainer = L.Trainer(
            max_epochs=4 if quick else 16,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            callbacks=[*warmup, record],
        )
        trainer.fit(WithScheduler(lr=0.3), datamodule=DigitsData())
        (_, first), *_, (_, last) = record.lrs["group 0"]
        print(f"{name:<16} first lr {first:.4g}, last lr {last:.4g}")
    return records


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
