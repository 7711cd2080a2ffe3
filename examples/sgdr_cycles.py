"""SGDR with the best checkpoint of every cycle: each of them is tried, and the best of all is the one to use.

Run it with ``python -m examples.sgdr_cycles``.
"""

import sys

import lightning as L

from examples.digits import Digits, DigitsData
from examples.record import Record
from lightning_lrsched import SGDR, CycleCheckpoint, LearningRateScheduler


def main(quick: bool = False) -> dict[str, Record]:
    """Train three cycles of 1, 2 and 4 lengths after a warmup, then validate what each has left."""
    L.seed_everything(0, verbose=False)
    length = 1 if quick else 5
    checkpoints = CycleCheckpoint(monitor="val_loss", dirpath="sgdr_cycles")
    record = Record()
    schedule = LearningRateScheduler(SGDR(T_0=f"{length}ep", T_mult=2, eta_min=1e-4), warmup="1ep")
    trainer = L.Trainer(
        max_epochs=1 + 7 * length, accelerator="cpu", logger=False, callbacks=[schedule, checkpoints, record]
    )
    trainer.fit(Digits(lr=0.3), datamodule=DigitsData())
    for cycle, path in zip(checkpoints.finished_cycles, checkpoints.best_model_paths, strict=True):
        [metrics] = trainer.validate(Digits(), datamodule=DigitsData(), ckpt_path=path, verbose=False)
        print(f"cycle {cycle.cycle}: val_loss {metrics['val_loss']:.4f}  {path}")
    print(f"best of all: {checkpoints.best_model_path}")
    return {"warmup + SGDR": record}


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
