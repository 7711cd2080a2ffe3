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
    """What a checkpoint callback lists in ``finished_cycles``."""

    @property
    def path(self) -> str:
        """The checkpoint."""

    @property
    def score(self) -> float | None:
        """Its value of the monitored metric; None without a monitor."""

    @property
    def step(self) -> int:
        """Real steps taken when it was saved."""


class TrackedCycles:
    """Hands the cycles that finished to a writer, each once.

    Args:
        upload: whether the checkpoints are uploaded.
    """

    def __init__(self, *, upload: bool) -> None:
        """Begin with no cycle taken."""
        self._upload = upload
        self._taken: set[str] = set()

    def take(self, callbacks: Iterable[Callback], writer: Writer, timestamp: int) -> None:
        """Record the cycles that finished since the last call, of every callback that has some."""
        for callback in callbacks:
            monitor = getattr(callback, "monitor", None)
            finished: Iterable[Kept] = getattr(callback, "finished_cycles", ())
            for kept in finished:
                if kept.path in self._taken:
                    continue
                self._taken.add(kept.path)
                if kept.score is not None:
                    writer.record(MetricRecord(kept.step - 1, timestamp, {f"cycle/{key_part(monitor)}": kept.score}))
                if self._upload:
                    writer.run(partial(_upload, path=Path(kept.path)))


def _upload(sink: Sink, path: Path) -> None:
    """Store a kept checkpoint."""
    sink.upload(path, "checkpoints")
