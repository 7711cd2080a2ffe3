"""Tracking on a server: the fit writes through a thread, so that a slow or dead server keeps no step waiting.

``make server`` starts one over PostgreSQL on this machine, ``mlflow server`` a plain one. Run it with
``python -m examples.tracking_server http://127.0.0.1:5000``. A password belongs into ``MLFLOW_TRACKING_USERNAME`` and
``MLFLOW_TRACKING_PASSWORD``, not into the address.
"""

import argparse
import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import lightning as L

from examples.digits import Digits, DigitsData
from examples.record import Record
from lightning_lrsched import SGDR, CycleCheckpoint, LearningRateScheduler, MLflowTracker


def main(uri: str, quick: bool = False) -> dict[str, Record]:
    """Train two cycles, each of which leaves its best checkpoint on the server."""
    L.seed_everything(0, verbose=False)
    length = 1 if quick else 5
    tracker, record = MLflowTracker(uri, "tracking-server", run_name="SGDR"), Record()
    trainer = L.Trainer(
        max_epochs=1 + 3 * length,
        accelerator="cpu",
        logger=False,
        callbacks=[
            LearningRateScheduler(SGDR(T_0=f"{length}ep", T_mult=2), warmup="1ep"),
            CycleCheckpoint(monitor="val_loss", dirpath="tracking_server"),
            tracker,
            record,
        ],
    )
    trainer.fit(Digits(lr=0.3), datamodule=DigitsData())
    print(f"run {tracker.run_id} in experiment tracking-server at {uri}")
    return {"SGDR": record}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("uri", help="address of the server, such as http://127.0.0.1:5000")
    parser.add_argument("--quick", action="store_true", help="three epochs")
    options = parser.parse_args()
    main(options.uri, options.quick)
