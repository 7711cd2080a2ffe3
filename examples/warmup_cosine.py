"""Warmup and cosine: the schedule is one callback, and nothing in the module knows of it.

Run it with ``python -m examples.warmup_cosine``.
"""

import sys

import lightning as L

from examples.digits import Digits, DigitsData
from examples.record import Record
from lightning_lrsched import Cosine, LearningRateScheduler


def main(quick: bool = False) -> dict[str, Record]:
    """Train the same network with and without a schedule."""
    schedules = {
        "constant": [],
        "warmup + cosine": [LearningRateScheduler(Cosine(eta_min=1e-4), warmup="10%")],
    }
    records = {}
    for name, callbacks in schedules.items():
        L.seed_everything(0, verbose=False)
        records[name] = Record()
        trainer = L.Trainer(
            max_epochs=3 if quick else 30,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            callbacks=[*callbacks, records[name]],
        )
        trainer.fit(Digits(lr=0.3), datamodule=DigitsData())
    for name, record in records.items():
        print(f"{name:<16} validation loss {record.scores[-1][1]:.4f}")
    return records


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
