"""Curves that follow another one: of a thousand groups whose lrs have one shape, one is stored, the others redrawn.

A stretch is what lies between two boundaries (of a phase, of a fit). In it a group follows its leader if its values are
``slope * leader + offset`` to nine digits, as those of groups with other base lrs are.
"""

from collections.abc import Mapping, Sequence
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

_EXACT = 1e-9  # share of a group's base value by which it may miss what its leader says
PLACE = "schedule/phase"
"""The curve whose points say where stretches begin and end."""
LEADERS = "lrsched.leaders"
"""Tag of a run whose curves follow others: the keys of the lrs that lead, one for each optimizer, between commas."""


class Row(NamedTuple):
    """One step of a layout."""

    step: int
    timestamp: int
    values: "Floats"


class Judged(NamedTuple):
    """What a stretch was: the columns whose line is a new one, those that did not follow, and every column's line."""

    new: list[int]
    astray: list[int]
    slopes: "Floats"
    offsets: "Floats"


class Sharing:
    """Looks in each stretch for the columns of a layout that follow their leader: the largest of the same kind.

    Args:
        keys: key of each column; its kind is what stands before the first slash.
        scales: base value of each column.
    """

    def __init__(self, keys: Sequence[str], scales: Sequence[float]) -> None:
        """Begin with no stretch, and no line that is known."""
        import numpy as np

        size = np.abs(np.array(scales, dtype=np.float64))
        kinds = [key.partition("/")[0] for key in keys]
        largest = {kind: max((i for i, k in enumerate(kinds) if k == kind), key=lambda i: size[i]) for kind in kinds}
        self.leaders = np.array([largest[kind] for kind in kinds])
        self._led = self.leaders != np.arange(len(keys))
        self._allowed = _EXACT * size
        self._steepest = size / np.maximum(size[self.leaders], 1e-300) * (1 + 1e-6)
        self._slopes = np.full(len(keys), np.nan)
        self._offsets = np.zeros(len(keys))
        self._low = self._high = np.zeros(len(keys))
        self._count = 0
        self.follows = self._led.copy()
        self.first: Row | None = None
        self.second: Row | None = None
        self.last: Row | None = None

    def see(self, steps: "npt.NDArray[np.int64]", times: "npt.NDArray[np.int64]", values: "Floats") -> list[int]:
        """Take steps of the present stretch; return the columns that turn out not to follow."""
        import numpy as np

        if self.first is None:
            self._begin(Row(int(steps[0]), int(times[0]), values[0].copy()))
        elif self.second is None:
            self.second = Row(int(steps[0]), int(times[0]), values[0].copy())
        if self.second is None and len(steps) > 1:
            self.second = Row(int(steps[1]), int(times[1]), values[1].copy())
        self.last = Row(int(steps[-1]), int(times[-1]), values[-1].copy())
        self._count += len(steps)
        assert self.first is not None
        rise = values - self.first.values
        run = rise[:, self.leaders]
        with np.errstate(divide="ignore", invalid="ignore"):
            one, other = (rise - self._allowed) / run, (rise + self._allowed) / run
        still = run == 0
        low = np.where(still, -np.inf, np.minimum(one, other)).max(axis=0)
        high = np.where(still, np.inf, np.maximum(one, other)).min(axis=0)
        self._low, self._high = np.maximum(self._low, low), np.minimum(self._high, high)
        astray = (still & ~(np.abs(rise) <= self._allowed)).any(axis=0) | ~(self._low <= self._high)
        gone = self.follows & astray
        self.follows &= ~astray
        return [int(column) for column in np.flatnonzero(gone)]

    def judged(self) -> "Judged":
        """Return what is to be written of the stretch if it ends here."""
        import numpy as np

        if self.first is None or self.last is None:
            return Judged([], [], self._slopes, self._offsets)
        start, stop = self.first.values, self.last.values
        lead = start[self.leaders]
        run = (stop - start)[self.leaders]
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = np.where(run == 0, 0.0, (stop - start) / run)
        known = (self._low <= self._slopes) & (self._slopes <= self._high)
        known &= np.abs(self._slopes * lead + self._offsets - start) <= self._allowed
        unmoved = (run == 0) & np.isinf(self._low)
        line = unmoved | ((run != 0) & (self._low <= slope) & (slope <= self._high))
        line &= np.abs(slope) <= self._steepest
        if self._count < 3:  # too short to tell a line from; it is written as it is
            known, line, slope = np.zeros_like(known), np.ones_like(line), np.full_like(slope, np.nan)
        new, astray = self.follows & ~known & line, self.follows & ~known & ~line
        slopes = np.where(new, slope, np.where(self.follows & known, self._slopes, np.nan))
        offsets = np.where(new, start - slope * lead, self._offsets)
        return Judged(np.flatnonzero(new).tolist(), np.flatnonzero(astray).tolist(), slopes, offsets)

    def end(self, judged: "Judged") -> None:
        """End the stretch."""
        self._slopes, self._offsets, self.first = judged.slopes, judged.offsets, None

    def forget(self) -> None:
        """Know of no line."""
        self._slopes = self._slopes * float("nan")

    def _begin(self, first: Row) -> None:
        """Begin a stretch with its first step."""
        import numpy as np

        self.first, self.second, self.last, self._count = first, None, first, 0
        self._low = np.full(len(self._led), -np.inf)
        self._high = np.full(len(self._led), np.inf)
        self.follows = self._led.copy()


def redrawn(history: Mapping[str, Sequence[tuple[int, float]]], leaders: Mapping[str, str]) -> "dict[str, Any]":
    """Return every step of curves of which ``every_n_steps="shared"`` has kept a part.

    In a stretch with three points or more a curve is drawn from point to point; with two, its values are a line of the
    leader's that leads through them; with none, the line of the stretch before goes on.

    Args:
        history: steps and values of each curve, as the store has them, with those of ``schedule/phase``.
        leaders: the leader of each curve that is wanted; its own key for a leader.

    Returns:
        Steps and values by key.
    """
    import numpy as np

    drawn: dict[str, Any] = {}
    for key in sorted(leaders, key=lambda key: leaders[key] != key):
        points = sorted(history[key])
        lead = sorted(history[leaders[key]])
        steps = np.arange(lead[0][0], lead[-1][0] + 1)
        if leaders[key] == key:
            drawn[key] = steps, np.interp(steps, *np.array(points).T)
            continue
        stretches = _stretches(sorted(history.get(PLACE, [])), lead[0][0], lead[-1][0])
        drawn[key] = steps, _following(points, steps, drawn[leaders[key]][1], stretches)
    return drawn


def corners(
    points: Sequence[tuple[int, float]], lead: Sequence[tuple[int, float]], places: Sequence[tuple[int, float]]
) -> "tuple[npt.NDArray[np.int64], Floats]":
    """Return steps and values between which a curve that `redrawn` draws is straight: few, however long the fit was.

    Args:
        points: the curve, as the store has it.
        lead: its leader, likewise.
        places: the curve ``schedule/phase``.
    """
    import numpy as np

    points, lead = sorted(points), sorted(lead)
    first, last = lead[0][0], lead[-1][0]
    stretches = _stretches(sorted(places), first, last)
    bends = [step for step, _ in (*points, *lead) if first <= step <= last]
    steps = np.unique(np.array([*bends, *chain.from_iterable(stretches)], np.int64))
    return steps, _following(points, steps, np.interp(steps, *np.array(lead).T), stretches)


def _following(
    points: Sequence[tuple[int, float]],
    steps: "npt.NDArray[np.int64]",
    above: "Floats",
    stretches: Sequence[tuple[int, int]],
) -> "Floats":
    """Return the values of a curve at some steps, at which its leader's are known."""
    import numpy as np

    values, line = np.empty(len(steps)), (0.0, points[0][1])
    for start, stop in stretches:
        here = slice(*np.searchsorted(steps, (start, stop + 1)))
        inside = [point for point in points if start <= point[0] <= stop]
        if len(inside) > 2:
            values[here] = np.interp(steps[here], *np.array(inside).T)
            continue
        if inside:
            x, y = above[np.searchsorted(steps, (inside[0][0], inside[-1][0]))], (inside[0][1], inside[-1][1])
            slope = 0.0 if x[0] == x[1] else (y[1] - y[0]) / (x[1] - x[0])
            line = (slope, y[0] - slope * x[0])
        values[here] = line[0] * above[here] + line[1]
    return values


def _stretches(places: Sequence[tuple[int, float]], first: int, last: int) -> list[tuple[int, int]]:
    """Return the first and the last step of each stretch: at every change both its sides have a point."""
    steps = [step for step, _ in places if first <= step <= last]
    starts = [first] + [after for before, after in pairwise(steps) if after == before + 1]
    return [(start, stop - 1) for start, stop in pairwise([*dict.fromkeys(starts), last + 1])]
