"""A sink that is opened by its first use: in a thread of the writer, never in training."""

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_lrsched.tracking.mlflow_client import is_final
from lightning_lrsched.tracking.mlflow_sink import MlflowSink, batch_beside_training
from lightning_lrsched.tracking.sink import Point


class LateSink:
    """Stands for a run that is opened when something is first written to it; tried again if that fails.

    Args:
        tracking_uri: the store.
        open_sink: opens the run.
        run_id: the run, where it is known before.
    """

    def __init__(self, tracking_uri: str, open_sink: Callable[[], MlflowSink], run_id: str | None = None) -> None:
        """Open nothing yet."""
        self.batch_size = batch_beside_training(tracking_uri)
        self._open = open_sink
        self._known = run_id
        self._opened: MlflowSink | None = None
        self._one_at_a_time = threading.Lock()

    @property
    def run_id(self) -> str | None:
        """The run, once it is known."""
        return self._known if self._opened is None else self._opened.run_id

    def write(self, points: Sequence[Point]) -> None:
        """Store points; all of them or an exception."""
        self.opened().write(points)

    def describe(self, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Store what is constant over the run."""
        self.opened().describe(params, tags)

    def upload(self, path: Path, folder: str) -> None:
        """Store a file in a folder of the run."""
        self.opened().upload(path, folder)

    def store_model(self, task: Mapping[str, Any]) -> None:
        """Store a checkpoint as a logged model, or mark the best one."""
        self.opened().store_model(task)

    def last_steps(self) -> Mapping[str, int]:
        """Return the last step of every metric of the run."""
        return self.opened().last_steps()

    def finish(self, status: str) -> None:
        """End the run."""
        self.opened().finish(status)

    def is_final(self, failure: Exception) -> bool:
        """Return whether MLflow has refused for a reason that time does not heal."""
        return is_final(failure)

    def opened(self) -> MlflowSink:
        """Return the sink of the run, which is opened now if it has not been."""
        with self._one_at_a_time:
            if self._opened is None:
                self._opened = self._open()
                self._opened.batch_size = self.batch_size  # what earlier fits have left goes through it
            return self._opened
