"""What training records, and how it becomes points: one record for each real step, one for each validation."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from lightning_lrsched.tracking.curve import Curve
from lightning_lrsched.tracking.sink import Point


class PlaceLike(Protocol):
    """Where in a schedule a step lies."""

    @property
    def start(self) -> int:
        """First step of the phase."""

    @property
    def stop(self) -> int | None:
        """Step after the phase; None without end."""

    @property
    def cycle(self) -> int:
        """Index of the cycle."""


class StepRecord(NamedTuple):
    """One real step of one optimizer: its place on the loggers' axis, and the lr that each group used."""

    optimizer: int
    real_step: int
    axis: int
    timestamp: int
    lrs: list[float]


class MetricRecord(NamedTuple):
    """Values measured after a step."""

    axis: int
    timestamp: int
    values: dict[str, float]


class Recorder:
    """Turns records into points, in the writer's thread.

    Phase and cycle are written at every change, at the last step of the old value and the first of the new one, so
    that the line between is flat.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.keys: dict[int, list[str]] = {}
        self.curves: dict[str, Curve] = {}
        self.place: Callable[[int], PlaceLike] | None = None
        self.infinite: list[str] = []
        self._phase = -1
        self._here: PlaceLike | None = None
        self._last: StepRecord | None = None

    def points(self, record: StepRecord | MetricRecord) -> Iterator[Point]:
        """Yield the points of one record."""
        if isinstance(record, MetricRecord):
            for key, value in record.values.items():
                if math.isinf(value):
                    self.infinite.append(key)
                else:
                    yield Point(key, value, record.axis, record.timestamp)
            return
        keys = self.keys[record.optimizer]
        keys += [f"{keys[0].rpartition('/')[0]}/{index}" for index in range(len(keys), len(record.lrs))]
        for key, lr in zip(keys, record.lrs, strict=False):
            self.curves.setdefault(key, Curve()).add(record.axis, lr)
            yield Point(key, lr, record.axis, record.timestamp)
        if record.optimizer == 0 and self.place is not None:
            yield from self._changes(record, self.place)

    def last_place(self) -> Iterator[Point]:
        """Yield phase and cycle at the last step."""
        if self._last is not None and self._here is not None:
            yield from self._at(self._last, self._phase, self._here.cycle)

    def _changes(self, record: StepRecord, place: Callable[[int], PlaceLike]) -> Iterator[Point]:
        """Yield phase and cycle around a change."""
        here = self._here
        if here is None or (here.stop is not None and record.real_step >= here.stop):
            yield from self.last_place()
            self._here = place(record.real_step)
            self._phase += 1
            yield from self._at(record, self._phase, self._here.cycle)
        self._last = record

    @staticmethod
    def _at(record: StepRecord, phase: int, cycle: int) -> Iterator[Point]:
        yield Point("schedule/phase", float(phase), record.axis, record.timestamp)
        yield Point("schedule/cycle", float(cycle), record.axis, record.timestamp)
