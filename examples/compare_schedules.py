"""Three schedules in MLflow, and what ``lrsched compare`` makes of them: a table, a picture and a page.

Run it with ``python -m examples.compare_schedules``.
"""

import os
import sys

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import lightning as L

from examples.digits import Digits, DigitsData
from examples.record import Record
from lightning_lrsched import SGDR, WSD, Cosine, LearningRateScheduler, MLflowTracker
from lightning_lrsched.cli import main as lrsched

STORE = "sqlite:///compare.db"


def main(quick: bool = False) -> dict[str, Record]:
    """Train once with each schedule, with the same seed and warmup, and compare."""
    length = 1 if quick else 4
    schedules = {
        "cosine": Cosine(eta_min=1e-4),
        "SGDR": SGDR(T_0=f"{length}ep", T_mult=2, eta_min=1e-4),
        "WSD": WSD(decay="20%"),
    }
    records = {name: Record() for name in schedules}
    for name, schedule in schedules.items():
        L.seed_everything(0, verbose=False)
        tracker = MLflowTracker(STORE, "compare", run_name=name)
        trainer = L.Trainer(
            max_epochs=2 + 7 * length,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            callbacks=[LearningRateScheduler(schedule, warmup="2ep"), tracker, records[name]],
        )
        trainer.fit(Digits(lr=0.3), datamodule=DigitsData())
    where = ["--experiment", "compare", "--tracking-uri", STORE]
    if lrsched(["compare", *where, "--png", "compare.png", "--html", "compare.html"]):
        raise SystemExit("the comparison failed; the lines above say why")
    return records


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
