"""A real MLflow store whose runs have answers that can be worked out by hand."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mlflow import MlflowClient

START = 1_700_000_000_000
EXPERIMENT = "study"

Points = Mapping[str, Sequence[tuple[int, float]]]

quiet_mlflow = pytest.mark.filterwarnings(
    # mlflow 3.17 under SQLAlchemy 2.1, in mlflow/store/tracking/sqlalchemy_store.py
    "ignore:The ``noload`` loader strategy is deprecated:sqlalchemy.exc.SADeprecationWarning",
)

SGDR_PARAMS = {
    "schedule/main": "SGDR(T_0='2ep', T_mult=2)",
    "schedule/warmup": "Warmup(duration='5%')",
    "schedule/steps_per_epoch": "4",
    "schedule/total_steps": "24",
}
VAL_STEPS = (3, 7, 11, 15, 19, 23)


def make_store(folder: Path) -> str:
    """Write the store and return its tracking URI."""
    from mlflow import MlflowClient

    uri = f"sqlite:///{folder / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=uri)
    study = client.create_experiment(EXPERIMENT, artifact_location=str(folder / "artifacts"))
    client.create_experiment("nothing here")
    client.delete_experiment(client.create_experiment("thrown away"))
    for index, (name, spec) in enumerate(SPECS.items()):
        _write(client, study, name, START + 1000 * index, spec)
    return uri


@dataclass(frozen=True)
class Spec:
    """A run to write: its metrics, its length in seconds, how it ended (None: it has not)."""

    points: Points
    seconds: int
    params: Mapping[str, str] = field(default_factory=dict)
    status: str | None = "FINISHED"


def _val(*values: float) -> list[tuple[int, float]]:
    """Return one value for each of the first validations."""
    return list(zip(VAL_STEPS, values, strict=False))


LR = [(step, 0.1 / (1 + step % 8)) for step in range(24)]
EPOCHS = [(step, float(step // 4)) for step in VAL_STEPS]
SPECS = {
    "sgdr": Spec(
        params=SGDR_PARAMS,
        points={
            "lr/SGD/0": LR,
            "lr/peak": [(0, 0.1)],
            "schedule/cycle": [(0, 0.0), (7, 0.0), (8, 1.0), (23, 1.0)],
            "schedule/phase": [(0, 0.0), (23, 3.0)],
            "val_loss": _val(0.9, 0.5, 0.7, 0.6, 0.4, 0.45),
            "val_acc": _val(0.1, 0.5, 0.3, 0.4, 0.8, 0.7),
            "cycle/val_loss": [(7, 0.5)],
            "best/val_loss": [(19, 0.4)],
            "epoch": EPOCHS,
        },
        seconds=75,
    ),
    "cosine": Spec(
        params={"schedule/main": "Cosine()", "schedule/warmup": "none", "schedule/steps_per_epoch": "4"},
        points={
            "lr/AdamW/head": LR,
            "schedule/cycle": [(0, 0.0), (23, 0.0)],
            "val_loss": _val(0.9, 0.8, 0.7, 0.6, 0.5, 0.3),
            "epoch": EPOCHS,
        },
        seconds=7265,
    ),
    "diverged": Spec(
        params=SGDR_PARAMS,
        points={"val_loss": _val(math.nan, 0.8, math.inf, math.nan), "epoch": EPOCHS[:4]},
        status="FAILED",
        seconds=4,
    ),
    "going": Spec(
        params=SGDR_PARAMS,
        points={"lr/SGD/0": LR[:6], "val_loss": _val(0.85), "epoch": EPOCHS[:1]},
        status=None,
        seconds=30,
    ),
    "foreign": Spec({"lr-SGD": LR, "lr-SGD-momentum": LR, "val_loss": [(10, 0.55)]}, 12),
    "silent": Spec({}, 1),
    "resumed": Spec(
        params=SGDR_PARAMS,
        # The step is trained twice: what the second attempt wrote, later, counts.
        points={"val_loss": [*_val(0.9, 0.1), (7, 0.54)], "epoch": EPOCHS[:2]},
        seconds=200,
    ),
}


def _write(client: "MlflowClient", experiment: str, name: str, start: int, spec: Spec) -> None:
    from mlflow.entities import Metric, Param

    run_id = client.create_run(experiment, start_time=start, run_name=name).info.run_id
    end = start + 1000 * spec.seconds
    metrics = [
        Metric(key, value, end - len(found) + at, step)
        for key, found in spec.points.items()
        for at, (step, value) in enumerate(found, start=1)
    ]
    client.log_batch(run_id, metrics=metrics, params=[Param(*item) for item in spec.params.items()])
    if spec.status is not None:
        client.set_terminated(run_id, spec.status, end)
