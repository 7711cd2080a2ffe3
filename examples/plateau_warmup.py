"""Performance scheduling behind a warmup: the lr falls when the validation loss has stopped improving.

Run it with ``python -m examples.plateau_warmup``.
"""

import sys
from itertools import pairwise

import lightning as L

from examples.digits import Digits, DigitsData
from examples.record import Record
from lightning_lrsched import LearningRateScheduler, Plateau


def main(quick: bool = False) -> dict[str, Record]:
    """Train; the plateau is fed after each validation, and not during the warmup."""
    L.seed_everything(0, verbose=False)
    record = Record()
    plateau = Plateau("val_loss", factor=0.3, patience=0 if quick else 3)
    trainer = L.Trainer(
        max_epochs=6 if quick else 40,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        callbacks=[LearningRateScheduler(plateau, warmup="2ep"), record],
    )
    trainer.fit(Digits(lr=0.3), datamodule=DigitsData())
    lrs = [lr for _, lr in record.lrs["group 0"]]
    drops = sum(later < lr for lr, later in pairwise(lrs))
    print(f"peak lr {max(lrs):g}, {drops} reductions, last lr {lrs[-1]:.4g}")
    return {"warmup + plateau": record}


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
