"""Finished cycles on their way to the tracker: each is recorded and uploaded once."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Protocol

from lightning.pytorch.callbacks import Callback

from lightning_lrsched.tracking.recorder import MetricRecord
from lightning_lrsched.tracking.sink import Sink, key_part
from lightning_lrsched.tracking.writer import Writer


class Kept(Protocol):
    """A checkpoint."""

    @property
    def path(self) -> str:
        """The checkpoint."""

    @property
    def score(self) -> float | None:
        """Its value of the monitored metric; None without a monitor."""

    @property
    def step(self) -> int:
        """Real steps taken when it was saved."""


class Finished(Protocol):
    """What a checkpoint callback lists in ``finished_cycles``."""

    @property
    def best(self) -> Kept | None:
        """Its best checkpoint by the monitored metric."""

    @property
    def end(self) -> Kept | None:
        """The checkpoint at its end."""


class TrackedCycles:
    """Hands the cycles that finished to a writer, each once.

    Args:
        upload: whether the checkpoints are uploaded.
    """

    def __init__(self, *, upload: bool) -> None:
        """Begin with no cycle taken."""
        self._upload = upload
        self._taken: set[tuple[str, str]] = set()

    def take(self, callbacks: Iterable[Callback], writer: Writer, timestamp: int) -> None:
        """Record the cycles that finished since the last call, of every callback that has some."""
        for callback in callbacks:
            monitor = getattr(callback, "monitor", None)
            finished: Iterable[Finished] = getattr(callback, "finished_cycles", ())
            for cycle in finished:
                for key, kept in (("cycle", cycle.best), ("cycle/end", cycle.end)):
                    if kept is None or (key, kept.path) in self._taken:
                        continue
                    self._taken.add((key, kept.path))
                    if kept.score is not None:
                        values = {f"{key}/{key_part(monitor)}": kept.score}
                        writer.record(MetricRecord(kept.step - 1, timestamp, values))
                    if self._upload and (key == "cycle" or cycle.best is None or cycle.best.path != kept.path):
                        writer.run(partial(_upload, path=Path(kept.path)))


def _upload(sink: Sink, path: Path) -> None:
    """Store a kept checkpoint."""
    sink.upload(path, "checkpoints")
