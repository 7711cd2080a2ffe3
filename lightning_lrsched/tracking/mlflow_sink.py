"""The MLflow sink: one run of an MLflow store."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_lrsched.tracking.sink import Point

if TYPE_CHECKING:
    from mlflow import MlflowClient

_LONGEST_PARAM = 6000
_PARAMS_AT_ONCE = 100


class MlflowSink:
    """Writes to one run of an MLflow store.

    Args:
        client: a client of the store.
        run_id: the run.
        owned: whether the run's status is ours to set.
    """

    batch_size = 1000

    def __init__(self, client: "MlflowClient", run_id: str, *, owned: bool) -> None:
        """Remember the run."""
        self._client = client
        self._owned = owned
        self.run_id = run_id

    def write(self, points: Sequence[Point]) -> None:
        """Store points in one request."""
        from mlflow.entities import Metric

        metrics = [Metric(point.key, point.value, point.timestamp, point.step) for point in points]
        self._client.log_batch(self.run_id, metrics=metrics)

    def describe(self, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Store params (cut to what MLflow takes) and tags. MLflow never changes a param: a new value becomes a tag."""
        from mlflow.entities import Param, RunTag

        stored = self._client.get_run(self.run_id).data.params
        cut = {key: value[:_LONGEST_PARAM] for key, value in params.items()}
        tags = dict(tags) | {key: value for key, value in cut.items() if stored.get(key, value) != value}
        entries = [Param(key, value) for key, value in cut.items() if key not in stored]
        for first in range(0, len(entries), _PARAMS_AT_ONCE):
            self._client.log_batch(self.run_id, params=entries[first : first + _PARAMS_AT_ONCE])
        self._client.log_batch(self.run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    def upload(self, path: Path, folder: str) -> None:
        """Store a file (or the folder of a sharded checkpoint) as an artifact of the run."""
        if path.is_dir():
            self._client.log_artifacts(self.run_id, str(path), f"{folder}/{path.name}")
        else:
            self._client.log_artifact(self.run_id, str(path), folder)

    def finish(self, status: str) -> None:
        """Set the status, unless somebody else opened the run."""
        if self._owned:
            self._client.set_terminated(self.run_id, status)
