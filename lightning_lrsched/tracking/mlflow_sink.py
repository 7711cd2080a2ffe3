"""The MLflow sink: one run of an MLflow store."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from lightning_lrsched.tracking import models
from lightning_lrsched.tracking.background import seldom_collected
from lightning_lrsched.tracking.last_fit import Fit, last_fit
from lightning_lrsched.tracking.mlflow_client import is_final, last_steps_of, store_of
from lightning_lrsched.tracking.sink import Point

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SQL = ("sqlite", "postgresql", "mysql", "mssql")
_LONGEST_PARAM = 6000
_LONGEST_TAG = 8000
_AT_ONCE = 100


MOST_POINTS = 1000
"""Points that MLflow takes at a time."""


def batch_beside_training(tracking_uri: str) -> int:
    """Return how many points a store is given at a time while a training runs beside it.

    A database is written by this process itself, and a thousand points take 0.1 s of Python: they would fall into one
    step of the training. So 100 there.
    """
    return 100 if tracking_uri.startswith(_SQL) else MOST_POINTS


class MlflowSink:
    """Writes to one run of an MLflow store.

    Args:
        client: a client of the store.
        run_id: the run.
        owned: whether the run's status is ours to set.
        fit: the fit that ends the run only if no other one has gone on with it; None where that is known.
    """

    def __init__(self, client: "MlflowClient", run_id: str, *, owned: bool, fit: Fit | None = None) -> None:
        """Remember the run."""
        self.client = client
        self.run_id = run_id
        self.batch_size = MOST_POINTS
        self._owned = owned
        self._fit = fit
        # SQL stores keep one row per (run, key, timestamp, step, value). The file store appends whatever it gets.
        self._appends = "://" not in client.tracking_uri or client.tracking_uri.startswith("file:")
        self._had: dict[str, int] | None = None  # last step of each curve; None where that must be asked for
        self._alone = Lock() if self._appends else nullcontext()  # a reader there can meet a half-written file
        self._remote = client.tracking_uri.startswith(("http://", "https://"))

    def write(self, points: Sequence[Point]) -> None:
        """Store points in one request."""
        with self._alone:
            if self._appends:
                self._append(points)
            elif points and self._remote:
                store_of(self.client).log_batch(self.run_id, points, [], [])  # they become JSON as they are
            elif points:
                self._store(points)

    def describe(self, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Store params (cut to what MLflow takes) and tags. MLflow never changes a param: a new value becomes a tag."""
        from mlflow.entities import Param, RunTag

        with self._alone:
            stored, tagged = (data := self.client.get_run(self.run_id).data).params, data.tags
        cut = {key: value[:_LONGEST_PARAM] for key, value in params.items()}
        known = stored | {key: value for key, value in tagged.items() if key in stored}
        tags = dict(tags) | {key: value for key, value in cut.items() if known.get(key, value) != value}
        entries = [Param(key, value) for key, value in cut.items() if key not in stored]
        marks = [RunTag(key, value[:_LONGEST_TAG]) for key, value in tags.items()]
        for first in range(0, len(entries), _AT_ONCE):
            self.client.log_batch(self.run_id, params=entries[first : first + _AT_ONCE], synchronous=True)
        for first in range(0, len(marks), _AT_ONCE):
            self.client.log_batch(self.run_id, tags=marks[first : first + _AT_ONCE], synchronous=True)

    def upload(self, path: Path, folder: str) -> None:
        """Store a file (or the folder of a sharded checkpoint) as an artifact of the run."""
        if path.is_dir():
            self.client.log_artifacts(self.run_id, str(path), f"{folder}/{path.name}")
        else:
            self.client.log_artifact(self.run_id, str(path), folder)

    def store_model(self, task: Mapping[str, Any]) -> None:
        """Store a checkpoint as a logged model, mark the best one, or delete one that is not kept any more."""
        models.perform(self.client, self.run_id, task)

    def last_steps(self) -> Mapping[str, int]:
        """Return the last step of every metric of the run."""
        return last_steps_of(self.client, self.run_id)

    def finish(self, status: str, ended: int | None = None) -> None:
        """Set the status, and when it ended (ms since the epoch; None: now).

        It is left as it is if somebody else opened the run, or if a fit that was resumed goes on with it: it trains, or
        has ended later.
        """
        if self._owned and (self._fit is None or last_fit(self.client.get_run(self.run_id)) in (None, self._fit)):
            self.client.set_terminated(self.run_id, status, ended)

    def is_final(self, failure: Exception) -> bool:
        """Return whether MLflow has refused for a reason that time does not heal."""
        return is_final(failure)

    def _append(self, points: Sequence[Point]) -> None:
        """Store the points that the run does not have.

        A curve's file is read only where it can have one of them: nobody else writes steps that are later than its
        last one. After a failure nobody knows how far the writing came.
        """
        had, self._had = self._had or dict(self.last_steps()), None
        there = {
            (key, metric.step, metric.timestamp)
            for key in {point.key for point in points if point.step <= had.get(point.key, -1)}
            for metric in self.client.get_metric_history(self.run_id, key)
        }
        missing = [point for point in points if (point.key, point.step, point.timestamp) not in there]
        if missing:
            self._store(missing)
        for point in missing:
            had[point.key] = max(point.step, had.get(point.key, point.step))
        self._had = had

    def _store(self, points: Sequence[Point]) -> None:
        """Store points through this process's own store."""
        from mlflow.entities import Metric

        with seldom_collected():
            metrics = [Metric(point.key, point.value, point.timestamp, point.step) for point in points]
            store_of(self.client).log_batch(self.run_id, metrics, [], [])
