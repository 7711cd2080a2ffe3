"""What the tests read back from a store."""

import sqlite3
from collections import Counter
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, Run

Points = list[tuple[int, float]]


def runs(uri: str) -> list[Run]:
    client = MlflowClient(uri)
    found: list[Run] = client.search_runs([e.experiment_id for e in client.search_experiments()])
    return found


def only_run(uri: str) -> Run:
    (run,) = runs(uri)
    return run


def history(uri: str, run: Run, key: str) -> Points:
    return sorted((metric.step, metric.value) for metric in MlflowClient(uri).get_metric_history(run.info.run_id, key))


def keys(run: Run, prefix: str = "") -> list[str]:
    return sorted(key for key in run.data.metrics if key.startswith(prefix))


def repeated(uri: str) -> list[tuple[str, str, int]]:
    """Every run, key and step that has more than one row."""
    with sqlite3.connect(Path(uri.removeprefix("sqlite:///"))) as connection:
        rows = connection.execute("SELECT run_uuid, key, step FROM metrics").fetchall()
    connection.close()
    return [row for row, count in Counter(rows).items() if count > 1]


def artifacts(uri: str, run: Run, folder: str | None = None) -> list[str]:
    return sorted(file.path for file in MlflowClient(uri).list_artifacts(run.info.run_id, folder))


def models(uri: str, run: Run) -> list[LoggedModel]:
    """The models of a run, by the step of their weights."""
    found = MlflowClient(uri).search_logged_models([run.info.experiment_id], f"source_run_id = '{run.info.run_id}'")
    return sorted(found, key=lambda model: int(model.params["step"]))


def model_files(uri: str, run: Run) -> dict[str, bytes]:
    """The files of the models of a run, by their names."""
    paths = [Path(model.artifact_location.removeprefix("file://")) for model in models(uri, run)]
    return {file.name: file.read_bytes() for path in paths for file in path.iterdir()}


def fetched(uri: str, run: Run, path: str) -> Path:
    return Path(MlflowClient(uri).download_artifacts(run.info.run_id, path))
