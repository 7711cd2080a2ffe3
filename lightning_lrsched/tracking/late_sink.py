"""A sink that is opened by its first use: in the writer's thread, never in training."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lightning_lrsched.tracking.mlflow_sink import MlflowSink
from lightning_lrsched.tracking.sink import Point


class LateSink:
    """Stands for a run that is opened when something is first written to it; tried again if that fails.

    Args:
        open_sink: opens the run.
    """

    batch_size = MlflowSink.batch_size

    def __init__(self, open_sink: Callable[[], MlflowSink]) -> None:
        """Open nothing yet."""
        self._open = open_sink
        self._opened: MlflowSink | None = None

    @property
    def run_id(self) -> str | None:
        """The run, once it is open."""
        return None if self._opened is None else self._opened.run_id

    def write(self, points: Sequence[Point]) -> None:
        """Store points; all of them or an exception."""
        self._sink().write(points)

    def describe(self, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Store what is constant over the run."""
        self._sink().describe(params, tags)

    def upload(self, path: Path, folder: str) -> None:
        """Store a file in a folder of the run."""
        self._sink().upload(path, folder)

    def finish(self, status: str) -> None:
        """End the run."""
        self._sink().finish(status)

    def _sink(self) -> MlflowSink:
        if self._opened is None:
            self._opened = self._open()
        return self._opened
