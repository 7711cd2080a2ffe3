"""What a journal's records become: points. The same journal always becomes the same points."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lightning_lrsched.tracking.curve import Curve, shown
from lightning_lrsched.tracking.journal import Steps
from lightning_lrsched.tracking.sharing import Sharing
from lightning_lrsched.tracking.sink import Point
from lightning_lrsched.tracking.thinning import Thinner, Thinning

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

_EVERY_MS = 10_000  # between two points of the throughput
_AT_ONCE = 256  # steps that are thinned at once: each call costs some microseconds for each group


class _Layout:
    """The keys of some steps, and what is known of the last one."""

    def __init__(self, fields: Mapping[str, Any], thinning: Thinning, after: Mapping[str, int]) -> None:
        self.optimizer = int(fields["optimizer"])
        self.keys: list[str] = list(fields["keys"])
        self.shown = shown(self.keys)
        self.thinner = Thinner(thinning, fields["scales"])
        self.after = [after.get(key, -1) for key in self.keys]
        self.first = min(self.after)
        self.last: tuple[int, int, list[float]] | None = None
        self.sharing = Sharing(self.keys, fields["scales"]) if thinning.every == "shared" else None
        self._held: dict[int, list[Point]] = {}

    def new(self, column: int, step: int, timestamp: int, value: float) -> list[Point]:
        """Return a point, unless the run has its step, or no tracker takes its value."""
        taken = step > self.after[column] and not math.isinf(value)
        return [Point(self.keys[column], value, step, timestamp)] if taken else []

    def point(self, column: int, step: int, timestamp: int, value: float) -> list[Point]:
        """Return a point, but hold back one of a curve that follows another one so far."""
        points = self.new(column, step, timestamp, value)
        if self.sharing is None or not self.sharing.follows[column]:
            return points
        self._held.setdefault(column, []).extend(points)
        return []

    def see(self, axis: Any, timestamps: Any, values: Any) -> Iterator[Point]:
        """Look which curves still follow another one, and yield what was held back of those that do not."""
        if self.sharing is not None:
            for column in self.sharing.see(axis, timestamps, values):
                yield from self._own(column, self._held.pop(column, []))

    def ending(self) -> Iterator[Point]:
        """Yield what must be kept if something changes after the last step."""
        last: dict[int, list[Point]] = {}
        if self.last is not None:
            axis, timestamp, values = self.last
            last = {column: self.new(column, axis, timestamp, values[column]) for column in self.thinner.unkept()}
        if self.sharing is None or self.sharing.first is None:
            for points in last.values():
                yield from points
            return
        judged, follows = self.sharing.judged(), self.sharing.follows
        new, astray = set(judged.new), set(judged.astray)
        for column in range(len(self.keys)):
            held = [*self._held.get(column, []), *last.get(column, [])]
            if not follows[column]:
                yield from held
            elif column in new:
                yield from dict.fromkeys([*held[:1], *held[-1:]])
            elif column in astray:
                yield from self._own(column, held)

    def boundary(self) -> Iterator[Point]:
        """Yield what must be kept of the last step; the next one is kept whole."""
        yield from self.ending()
        self.thinner.boundary()
        if self.sharing is not None:
            self.sharing.end(self.sharing.judged())
            self._held.clear()

    def _own(self, column: int, held: Sequence[Point]) -> Iterator[Point]:
        """Yield the points of a curve that does not follow, with the second step: three points say so."""
        yield from held
        second = None if self.sharing is None else self.sharing.second
        if second is not None and all(point.step != second.step for point in held):
            yield from self.new(column, second.step, second.timestamp, float(second.values[column]))


class Expander:
    """Turns the records of a journal into points.

    Phase and cycle are written at every change, at the last step of the old value and the first of the new one, so
    that the line between is flat.

    Args:
        thinning: which steps are kept.
        after: by key, the last step that the run has already: nothing up to it becomes a point.
        curves: where the curves for the picture are collected.
        infinite: where the values that no tracker takes are counted, by key.
    """

    def __init__(
        self, thinning: Thinning, after: Mapping[str, int], curves: dict[str, Curve], infinite: Counter[str]
    ) -> None:
        """Begin with nothing."""
        self._thinning = thinning
        self._after = after
        self._curves = curves
        self._infinite = infinite
        self._layouts: dict[int, _Layout] = {}
        self._seen: dict[str, dict[int, dict[str, Any]]] = {}
        self._place: tuple[float, float] | None = None
        self._new_place = False
        self._last: tuple[int, int] | None = None
        self._window: tuple[int, int] | None = None
        self._counted = 0

    @property
    def width(self) -> int:
        """The points of one step, where each is kept."""
        return max((len(layout.keys) for layout in self._layouts.values()), default=1)

    def most(self, points: int) -> int:
        """Return how many steps to take at once: no more than this many points, or more where few of them are kept."""
        return max(1, points // self.width) if isinstance(self._thinning.every, int) else _AT_ONCE

    def add(self, part: Steps | dict[str, Any]) -> Iterator[Point]:
        """Yield the points that a part of the journal adds."""
        if isinstance(part, Steps):
            yield from self._steps(self._layouts[part.layout], part)
        elif part == self._seen.get(part["is"], {}).get(part.get("number", 0)):
            return  # a segment begins with what the one before it had
        elif part["is"] == "layout":
            yield from self.renew()
            self._seen.setdefault("layout", {})[part["number"]] = part
            self._layouts[part["number"]] = _Layout(part, self._thinning, self._after)
        elif part["is"] == "place":
            yield from self.end()
            self._seen["place"] = {0: part}
            self._place, self._new_place = (float(part["phase"]), float(part["cycle"])), True
        elif part["is"] == "metrics":
            yield from self._metrics(part)

    def end(self) -> Iterator[Point]:
        """Yield what must be known of the last step before something changes: at a boundary, or at the end."""
        for layout in self._layouts.values():
            yield from layout.boundary()
        if self._last is not None and not self._new_place:
            yield from self._at(*self._last)

    def will(self) -> "list[Point] | None":
        """Return what is held back and must be written if nobody goes on from here; None where nothing ever is."""
        if not any(layout.sharing for layout in self._layouts.values()):
            return None
        points = [point for layout in self._layouts.values() for point in layout.ending()]
        return [*points, *(self._at(*self._last) if self._last is not None and not self._new_place else ())]

    def renew(self) -> Iterator[Point]:
        """Yield what must be known of the last step, and begin anew with the next one."""
        yield from self.end()
        self._new_place = self._place is not None

    def forget(self) -> None:
        """Forget what was found of curves that follow others: the points that say so were not written."""
        for layout in self._layouts.values():
            if layout.sharing is not None:
                layout.sharing.forget()

    def _steps(self, layout: _Layout, steps: Steps) -> Iterator[Point]:
        if layout.optimizer == 0:
            yield from self._shared(steps)
        for column in layout.shown:
            self._curves.setdefault(layout.keys[column], Curve()).extend(steps.axis, steps.values[:, column])
        axis, timestamps, values = steps.axis, steps.timestamps, steps.values
        if axis[0] <= layout.first:
            new = axis > layout.first
            axis, timestamps, values = axis[new], timestamps[new], values[new]
        if not len(axis):
            return
        known = self._without_infinite(layout, values)
        yield from layout.see(axis, timestamps, known)
        rows = layout.thinner.kept(axis, known)
        for column in range(len(layout.keys)):
            for row in rows[column].tolist():
                if row >= 0:
                    step, timestamp, value = int(axis[row]), int(timestamps[row]), float(values[row, column])
                elif layout.last is not None:
                    step, timestamp, value = layout.last[0], layout.last[1], layout.last[2][column]
                yield from layout.point(column, step, timestamp, value)
        layout.last = int(axis[-1]), int(timestamps[-1]), values[-1].tolist()

    def _without_infinite(self, layout: _Layout, values: "Floats") -> "Floats":
        """Return values with NaN for infinite ones, which are counted."""
        import numpy as np

        infinite = np.isinf(values)
        if not infinite.any():
            return values
        for column in np.flatnonzero(infinite.any(axis=0)).tolist():
            self._infinite[layout.keys[column]] += int(infinite[:, column].sum())
        return np.where(infinite, np.nan, values)

    def _shared(self, steps: Steps) -> Iterator[Point]:
        """Yield what is said of the first optimizer's steps for the whole fit: phase, cycle, steps a second."""
        first = int(steps.axis[0]), int(steps.timestamps[0])
        if self._new_place:
            self._new_place = False
            yield from self._at(*first)
        self._last = int(steps.axis[-1]), int(steps.timestamps[-1])
        window = self._window or first
        at = 0
        tens = steps.timestamps // _EVERY_MS  # by the clock: the same wherever the reading of a journal begins
        while len(later := (tens[at:] > window[1] // _EVERY_MS).nonzero()[0]):
            row = at + int(later[0])
            self._counted += row - at
            step, now = int(steps.axis[row]), int(steps.timestamps[row])
            if self._counted and now - window[1] >= _EVERY_MS // 2:  # less says nothing
                yield from self._new("throughput/steps_per_second", self._counted * 1000 / (now - window[1]), step, now)
            window, self._counted, at = (step, now), 0, row
        self._counted += len(steps.axis) - at
        self._window = window

    def _metrics(self, part: Mapping[str, Any]) -> Iterator[Point]:
        for key, value in part["values"].items():
            if math.isinf(value):
                self._infinite[key] += 1
            else:
                yield from self._new(key, value, part["axis"], part["timestamp"])

    def _at(self, axis: int, timestamp: int) -> Iterator[Point]:
        if self._place is None:
            return
        phase, cycle = self._place
        yield from self._new("schedule/phase", phase, axis, timestamp)
        yield from self._new("schedule/cycle", cycle, axis, timestamp)

    def _new(self, key: str, value: float, axis: int, timestamp: int) -> Iterator[Point]:
        """Yield a point, if the run does not have this step yet."""
        if axis > self._after.get(key, -1):
            yield Point(key, value, axis, timestamp)
