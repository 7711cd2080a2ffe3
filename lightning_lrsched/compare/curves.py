"""The history of a metric: as a store has it, as a curve, and thinned to what can be seen."""

import math
from array import array
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]

_INFINITY = 1e308  # SQL stores write +-inf as +-1.797e308


@dataclass(frozen=True)
class Curve:
    """The history of one metric.

    Args:
        steps: optimizer steps, from 0, ascending, each once.
        values: one for each step; can be NaN or infinite.
    """

    steps: tuple[int, ...] = ()
    values: tuple[float, ...] = ()

    def finite(self) -> "Curve":
        """Return the curve without NaN and infinite values."""
        points = [point for point in zip(self.steps, self.values, strict=True) if math.isfinite(point[1])]
        return Curve(tuple(step for step, _ in points), tuple(value for _, value in points))

    def at(self, step: int) -> float | None:
        """Return the last value at or before a step; None before the first point."""
        before = bisect_right(self.steps, step)
        return self.values[before - 1] if before else None

    def thinned(self, most: int, boundaries: Iterable[int] = ()) -> "Curve":
        """Return the curve as it is drawn: see `History.thinned`."""
        if len(self.steps) <= most:
            return self
        steps, values = np.array(self.steps, np.int64), np.array(self.values, np.float64)
        return History(steps, steps, values).thinned(most, boundaries).curve()


EMPTY = Curve()


class History(NamedTuple):
    """Points of one metric of one run: one row of the three arrays for each.

    Args:
        steps: optimizer steps.
        times: when each was recorded, in milliseconds since 1970.
        values: NaN and infinite ones among them.
    """

    steps: Ints
    times: Ints
    values: Floats

    @classmethod
    def of(cls, points: Iterable[tuple[int, int, float]]) -> "History":
        """Return (step, time, value) points, in whatever order they come, by ascending steps, each once.

        Of several points at a step the latest counts: what a resumed training wrote over the first attempt.

        >>> History.of([(0, 1, 0.5), (1, 2, 0.4), (0, 3, 0.3)]).curve()
        Curve(steps=(0, 1), values=(0.3, 0.4))
        """
        return cls.packed(array("d", chain.from_iterable(points)))

    @classmethod
    def packed(cls, numbers: "array[float]") -> "History":
        """Return the same of step, time and value of each point, one after the other; 24 bytes a point.

        Steps and times (2e12) are exact as float64, up to 2**53.
        """
        rows = np.frombuffer(numbers).reshape(-1, 3)
        steps, times, values = rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64), rows[:, 2]
        order = np.lexsort((times, steps))
        last = np.append(np.diff(steps[order]) != 0, True)[: len(order)]
        chosen = order[last]
        stored = values[chosen]
        restored = np.where(np.abs(stored) >= _INFINITY, np.copysign(np.inf, stored), stored)
        return cls(steps[chosen], times[chosen], restored)

    def curve(self) -> Curve:
        """Return steps and values."""
        return Curve(tuple(self.steps.tolist()), tuple(self.values.tolist()))

    def thinned(self, most: int, boundaries: Iterable[int] = ()) -> "History":
        """Return at most about so many points that look the same: of each bucket of steps its lowest and its highest.

        Besides them the first and the last point are kept, the points on both sides of each boundary, and those where
        a stretch without finite values begins or ends.

        Args:
            most: how many points, apart from those around boundaries and gaps.
            boundaries: steps at which something begins: a phase, a cycle.
        """
        count = len(self.steps)
        if count <= most:
            return self
        marks = np.searchsorted(self.steps, np.unique(np.fromiter(boundaries, np.int64)))
        gaps = np.flatnonzero(np.diff(np.isfinite(self.values)))[: most // 2]
        kept = [np.array([0, count - 1]), marks - 1, marks, gaps, gaps + 1, self._extremes(max(1, most // 2))]
        chosen = np.unique(np.clip(np.concatenate(kept), 0, count - 1))
        return History(self.steps[chosen], self.times[chosen], self.values[chosen])

    def _extremes(self, buckets: int) -> Ints:
        """Return where the lowest and the highest finite value of each bucket of steps stand."""
        finite = np.flatnonzero(np.isfinite(self.values))
        if not finite.size:
            return finite
        steps, values = self.steps[finite], self.values[finite]
        span = int(self.steps[-1] - self.steps[0]) + 1
        bucket = (steps - self.steps[0]) * buckets // span
        order = np.lexsort((values, bucket))
        ends = np.flatnonzero(np.diff(bucket[order]))
        lowest, highest = np.append(0, ends + 1), np.append(ends, len(order) - 1)
        chosen: Ints = finite[order[np.concatenate([lowest, highest])]]
        return chosen
