"""Which run to write to: the trainer's own MLFlowLogger's, one that the user has open, or a new one."""

import os
import sys
import time
import uuid
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from lightning_lrsched.tracking.late_sink import LateSink
from lightning_lrsched.tracking.mlflow_sink import MlflowSink

DEFAULT_URI = "sqlite:///mlflow.db"
DEFAULT_EXPERIMENT = "Default"


def pick_sink(
    loggers: Iterable[object], tracking_uri: str | None, experiment: str | None, run_name: str | None
) -> "MlflowSink | LateSink":
    """Return the sink for this fit.

    The run of the trainer's MLFlowLogger comes first, then a run that ``mlflow.start_run`` has open, then a new run
    in ``experiment`` (or ``MLFLOW_EXPERIMENT_NAME``) at ``tracking_uri`` (or ``MLFLOW_TRACKING_URI``, or a sqlite
    file ``mlflow.db`` in the working directory). The new run is opened by whoever writes first, so that a server that
    does not answer keeps nobody else waiting.

    Args:
        loggers: the trainer's loggers; an MLflow one is known by what it offers.
        tracking_uri: where a new run goes.
        experiment: name of the experiment of a new run; made if there is none.
        run_name: name of a new run; None for one made of date and time.

    Raises:
        ModuleNotFoundError: if mlflow is not installed, with the command that installs it.
    """
    try:
        from mlflow import MlflowClient
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            "MLflowTracker needs mlflow. Install it with: pip install 'lightning-lrsched[mlflow]'"
        ) from missing
    for logger in loggers:
        client = getattr(logger, "experiment", None)
        if isinstance(client, MlflowClient):
            return MlflowSink(client, str(getattr(logger, "run_id")), owned=False)  # noqa: B009 - no common type
    active = sys.modules["mlflow"].active_run()
    if active is not None and tracking_uri is None:
        return MlflowSink(MlflowClient(), active.info.run_id, owned=False)
    uri = _absolute(tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI)
    name = experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or DEFAULT_EXPERIMENT
    return LateSink(partial(_open_run, uri, name, run_name or _fresh_name()))


def _open_run(tracking_uri: str, experiment: str, run_name: str) -> MlflowSink:
    """Return the sink of a new run."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri)
    found = client.get_experiment_by_name(experiment)
    experiment_id = client.create_experiment(experiment) if found is None else found.experiment_id
    run = client.create_run(experiment_id, run_name=run_name)
    return MlflowSink(client, run.info.run_id, owned=True)


def _absolute(uri: str) -> str:
    """Return the URI of a sqlite file with its full path: it is opened later, and MLflow keeps open files by name."""
    scheme, found, path = uri.partition("sqlite:///")
    if scheme or not found or path.startswith((":memory:", "file:")):
        return uri
    return f"sqlite:///{Path(path).absolute()}"


def _fresh_name() -> str:
    """Return a name that no other run has. MLflow's own names repeat whenever a training seeds Python's generator."""
    return f"fit-{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:4]}"
