"""Which points of a curve are kept: all, every n-th, or those that a straight line cannot replace."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Rows = npt.NDArray[np.intp]

_WINDOW = 512  # steps that are looked at together
_ALL_SLOPES = (-float("inf"), float("inf"))


@dataclass(frozen=True)
class Thinning:
    """What is kept of the curves of a fit. The first and the last step of every phase are kept always.

    Args:
        every: keep the steps that are a multiple of this; ``"on_change"`` keeps a step where the straight line
            between kept steps would miss the curve; ``"shared"`` does so with the largest group of each kind, and of
            those that follow it keeps what says how (`tracking.sharing`).
        tolerance: by how much it may miss it, as a share of the group's base lr; 0 keeps lines that are exact.
    """

    every: int | Literal["on_change", "shared"] = 1
    tolerance: float = 0.001


class Thinner:
    """Thins the curves of one layout as its steps come in; which are kept does not depend on how they come in.

    Args:
        thinning: what is kept.
        scales: base value of each column, of which ``tolerance`` is a share.
    """

    def __init__(self, thinning: Thinning, scales: Sequence[float]) -> None:
        """Begin with no step."""
        self._every = thinning.every
        self._by_cone = not isinstance(thinning.every, int)
        self._cones = [_Cone(thinning.tolerance * abs(scale)) for scale in scales]
        self._forced = True
        self._last_kept = True

    def kept(self, axis: "Ints", values: "Floats") -> "list[Rows]":
        """Return the rows of new steps that are kept, for each column; -1 is the last step of the call before."""
        import numpy as np

        forced, self._forced = self._forced, False
        if self._by_cone:
            if forced:
                for cone in self._cones:
                    cone.begin()
            return [cone.kept(axis, values[:, column]) for column, cone in enumerate(self._cones)]
        chosen = axis % int(self._every) == 0
        chosen[0] |= forced
        self._last_kept = bool(chosen[-1])
        return [np.flatnonzero(chosen)] * len(self._cones)

    def boundary(self) -> list[int]:
        """Keep the last step and the next one; return the columns of which the last step was not kept."""
        columns, self._forced = self.unkept(), True
        return columns

    def unkept(self) -> list[int]:
        """Return the columns of which the last step was not kept."""
        if self._forced:
            return []
        if self._by_cone:
            return [column for column, cone in enumerate(self._cones) if not cone.last_kept]
        return [] if self._last_kept else list(range(len(self._cones)))


class _Cone:
    """Keeps the fewest steps, one after the other, so that lines between them miss no step by more than allowed.

    From the step kept last, every step since allows a range of slopes; while a step can be reached by a slope that
    all steps before it allow, none of them is needed. (Swing filter: Elmeleegy et al., VLDB 2009.)
    """

    def __init__(self, allowed: float) -> None:
        self._allowed = allowed
        self.begin()

    def begin(self) -> None:
        """Keep the next step."""
        self.last_kept = True
        self._anchor: tuple[float, float] | None = None
        self._last = (0.0, 0.0)
        self._slopes = _ALL_SLOPES

    def kept(self, axis: "Ints", values: "Floats") -> "Rows":
        """Return the rows of new steps that are kept; -1 is the last step of the call before."""
        import numpy as np

        found: list[int] = []
        at = 0
        while at < len(axis):
            if self._anchor is not None:
                window = min(_WINDOW, len(axis) - at)
                within = self._within(axis[at : at + window], values[at : at + window])
                at += within
                if within:
                    self._last, self.last_kept = (float(axis[at - 1]), float(values[at - 1])), False
                if within == window:
                    continue
            if self.last_kept:  # no slope at all leads to this step, or it is the first one
                self._last = (float(axis[at]), float(values[at]))
            else:
                at -= 1
            self._anchor, self._slopes, self.last_kept = self._last, _ALL_SLOPES, True
            found.append(at)
            at += 1
        return np.array(found, dtype=np.intp)

    def _within(self, axis: "Ints", values: "Floats") -> int:
        """Return how many of these steps, from the first on, an allowed slope reaches."""
        import numpy as np

        x, y = self._anchor or self._last
        run, rise = axis - x, values - y
        with np.errstate(invalid="ignore", divide="ignore"):
            low = np.maximum.accumulate(np.concatenate(([self._slopes[0]], (rise - self._allowed) / run)))
            high = np.minimum.accumulate(np.concatenate(([self._slopes[1]], (rise + self._allowed) / run)))
            slopes = rise / run
            beyond = np.flatnonzero(~((low[:-1] <= slopes) & (slopes <= high[:-1])))
        stop = int(beyond[0]) if len(beyond) else len(axis)
        self._slopes = (float(low[stop]), float(high[stop]))
        return stop
