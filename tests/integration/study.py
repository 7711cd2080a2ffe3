"""Three short real fits in one store: constant, cosine after a warmup, SGDR with its best checkpoints."""

from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient

from lightning_lrsched import SGDR, Constant, Cosine, CycleCheckpoint, LearningRateScheduler, MLflowTracker
from tests.callbacks.models import Tiny, make_trainer

EXPERIMENT = "three schedules"
STEPS = 60


@dataclass(frozen=True)
class Study:
    """Where the fits went.

    Args:
        uri: the store.
        experiment_id: the id of the experiment.
        run_ids: by the name of the run.
        checkpoint: that of the SGDR run.
    """

    uri: str
    experiment_id: str
    run_ids: dict[str, str]
    checkpoint: CycleCheckpoint


def train_study(folder: Path) -> Study:
    """Fit and track the three."""
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=uri)
    experiment_id = client.create_experiment(EXPERIMENT, artifact_location=str(folder / "artifacts"))
    checkpoint = CycleCheckpoint(monitor="val_loss", dirpath=folder / "checkpoints")
    run_ids: dict[str, str] = {}
    for name, schedule in {
        "constant": LearningRateScheduler(Constant()),
        "cosine": LearningRateScheduler(Cosine(), warmup="12 steps"),
        "sgdr": LearningRateScheduler(SGDR("20 steps")),
    }.items():
        tracker = MLflowTracker(uri, EXPERIMENT, run_name=name)
        callbacks = [schedule, tracker, *([checkpoint] if name == "sgdr" else [])]
        make_trainer(folder, *callbacks, max_epochs=6).fit(Tiny())
        assert tracker.run_id is not None
        run_ids[name] = tracker.run_id
    return Study(uri, experiment_id, run_ids, checkpoint)
