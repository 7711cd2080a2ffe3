"""The timeline: a plan resolved against a run, asked for the lr, the phase and the cycle of any step."""

import math
import operator
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import SupportsIndex, overload

import numpy as np
from numpy.typing import NDArray

from lightning_lrsched.checks import check_number, refusal
from lightning_lrsched.phases import Level, Phase, Repeat, Span
from lightning_lrsched.shapes import Array

_NO_FADE = np.ones(1)


@dataclass(frozen=True)
class Cycle:
    """A cycle at its place in the run.

    Steps ``start`` to ``stop`` (exclusive; None without end). It is not ``complete`` when the run, or a cooldown, cuts
    it short; ``planned_stop`` is where it would have ended then, and None for a cycle that is complete.
    """

    index: int
    start: int
    stop: int | None
    complete: bool
    planned_stop: int | None = None


@dataclass(frozen=True)
class Timeline:
    """A plan resolved against a run: a pure function of the real step.

    Any step costs the same, wherever it lies: O(log segments), and a block that repeats is one segment.

    Args:
        segments: phases and repeated blocks in the order of the run. Only the last may be without end.
        stride: optimizer steps between two updates of the lr: 1, or the steps of an epoch for a staircase.
        damping: factors, between 0 and 1, that multiply the first updates: a warmup that overlaps the main schedule.

    Raises:
        ValueError: if there is no segment, or if one without end is not the last.

    >>> timeline = Timeline((Phase("flat", 10, Level(1.0)),))
    >>> timeline.lr(3, base_lr=0.1)
    0.1
    """

    segments: tuple[Phase | Repeat, ...]
    stride: int = 1
    damping: Phase | None = None
    _starts: tuple[int, ...] = field(init=False, repr=False, compare=False)
    _restarts: tuple[int, ...] = field(init=False, repr=False, compare=False)
    _end: int | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Sum up, once, where each segment begins and how many restarts come before it."""
        lengths = [segment.updates for segment in self.segments]
        known = [length for length in lengths if length is not None]
        if not lengths or None in lengths[:-1]:
            raise ValueError("a Timeline needs at least one segment, and only the last may be without end")
        sums = tuple(accumulate(known, initial=0))
        counts = [_restart_count(segment) for segment in self.segments]
        finite = [count for count in counts[:-1] if count is not None]
        object.__setattr__(self, "_starts", sums[: len(lengths)])
        object.__setattr__(self, "_restarts", tuple(accumulate(finite, initial=0)))
        object.__setattr__(self, "_end", None if None in lengths else sums[-1])

    @property
    def total(self) -> int | None:
        """Optimizer steps that the timeline covers; None without end. Later steps hold the last value."""
        return None if self._end is None else self._end * self.stride

    @overload
    def lr(self, step: int, base_lr: float) -> float: ...
    @overload
    def lr(self, step: NDArray[np.integer], base_lr: float) -> Array: ...
    def lr(self, step: int | NDArray[np.integer], base_lr: float) -> float | Array:
        """Return the lr that real step ``step`` (from 0) uses, for one step or for an array of steps.

        Both forms go through the same expressions and give the same bits.

        Args:
            step: number of optimizer updates taken before; at least 0.
            base_lr: peak lr of the parameter group.

        Raises:
            ValueError: if a step is no whole number of at least 0, or the base lr no finite number.
        """
        if type(base_lr) is not float or not math.isfinite(base_lr):
            base_lr = check_number("base_lr", base_lr, "timeline.lr(0, base_lr=0.1)")
        if isinstance(step, np.ndarray):
            if not np.issubdtype(step.dtype, np.integer):
                raise refusal("step", step.dtype, "an array of whole numbers of steps", "np.arange(100)")
            scale, offset = self.levels(step)
            return scale * base_lr + offset
        level = self.level_at(step if type(step) is int else _whole(step))
        return level.scale * base_lr + level.offset

    def level_at(self, step: int) -> Level:
        """Return what real step ``step`` uses as a level, for any base lr."""
        span = self.phase_at(step)
        return self.damped(span.phase.level((step - span.start) // self.stride), step)

    def damped(self, level: Level, step: int) -> Level:
        """Return the level of a step times the factor of a warmup that overlaps it; after the end the last factor."""
        update = step // self.stride if self._end is None else min(step // self.stride, self._end - 1)
        if self.damping is None or update >= self.damping.updates:
            return level
        return level.times(self.damping.level(update).scale)

    def phase_at(self, step: int) -> Span:
        """Return the phase that real step ``step`` belongs to, with its place in the run."""
        update = step // self.stride
        if update < 0:
            raise refusal("step", step, "a number of optimizer steps, at least 0", "timeline.lr(0, base_lr=0.1)")
        if self._end is not None and update >= self._end:
            after = Phase("after the plan", 1, self.last_level())
            return Span(after, self._end * self.stride, None, self._cycle_count() - 1)
        index = bisect_right(self._starts, update) - 1
        segment, start, restarts = self.segments[index], self._starts[index], self._restarts[index]
        if isinstance(segment, Repeat) and segment.held:
            return Span(segment.block[0], start * self.stride, None, max(0, restarts - 1))
        if isinstance(segment, Repeat):
            repetition = (update - start) // segment.period
            phases = segment.phases(repetition)
            start += repetition * segment.period
            restarts += repetition * sum(phase.restart for phase in phases)
        else:
            phases = (segment,)
        for phase in phases:
            restarts += phase.restart
            stop = start + phase.updates
            if update < stop:
                break
            start = stop
        return Span(phase, start * self.stride, stop * self.stride, max(0, restarts - 1))

    def cycle_at(self, step: int) -> int:
        """Return the index of the cycle that real step ``step`` belongs to. The warmup belongs to cycle 0."""
        return self.phase_at(step).cycle

    @property
    def cyclic(self) -> bool:
        """Whether the plan has restarts (one counts: its cycle can be cut, kept and compared like any other)."""
        return self._restart(0) is not None

    def cycle(self, index: int) -> Cycle:
        """Return where cycle ``index`` begins and ends.

        Raises:
            IndexError: if there is no such cycle.
        """
        begin = 0 if index == 0 else self._restart(index)
        if index < 0 or begin is None:
            raise IndexError(f"cycle {index} is not in this timeline, which has {self._cycle_count()} cycles")
        stop = self._restart(index + 1)
        if stop is not None:
            return Cycle(index, begin * self.stride, stop * self.stride, complete=True)
        place = bisect_right(self._starts, begin) - 1
        for start, segment in zip(self._starts[place:], self.segments[place:], strict=True):
            if isinstance(segment, Phase) and not segment.whole:
                planned = start + (segment.planned or segment.updates)
                return Cycle(index, begin * self.stride, self.total, complete=False, planned_stop=planned * self.stride)
        return Cycle(index, begin * self.stride, self.total, complete=True)

    def cycles(self) -> Iterator[Cycle]:
        """Yield the cycles in order; without end where the timeline has none."""
        index = 0
        while index == 0 or self._restart(index) is not None:
            yield self.cycle(index)
            index += 1

    def spans(self) -> Iterator[Span]:
        """Yield every phase at its place in the run, in order; without end where the timeline has none."""
        step = 0
        while self.total is None or step < self.total:
            span = self.phase_at(step)
            yield span
            if span.stop is None:
                return
            step = span.stop

    @property
    def boundaries(self) -> tuple[int, ...]:
        """Steps at which a phase begins, and the step at which the plan ends.

        Raises:
            ValueError: if the timeline has no end; use `spans` there.
        """
        if self.total is None:
            raise ValueError("this timeline has no end, so its boundaries cannot be listed; iterate over spans()")
        return (*(span.start for span in self.spans()), self.total)

    def last_level(self) -> Level:
        """Return the level that holds after the plan. A timeline without end holds what its last phase reaches."""
        segment = self.segments[-1]
        if isinstance(segment, Repeat):
            segment = segment.phases((segment.count or 1) - 1)[-1]
        return segment.last()

    def _repr_html_(self) -> str:
        """Return the curve and the table of phases, as a notebook shows them."""
        from lightning_lrsched.preview import timeline_html

        return timeline_html(self)

    def _restart(self, index: int) -> int | None:
        """Return the update at which restart ``index`` happens, or None if there is none."""
        place = bisect_right(self._restarts, index) - 1
        segment, left = self.segments[place], index - self._restarts[place]
        block = segment.block if isinstance(segment, Repeat) else (segment,)
        offsets = [at for at, phase in zip(_offsets(block), block, strict=False) if phase.restart]
        if not offsets:
            return None
        repetition, which = divmod(left, len(offsets))
        count = segment.count if isinstance(segment, Repeat) else 1
        if count is not None and repetition >= count:
            return None
        period = segment.period if isinstance(segment, Repeat) else 0
        return self._starts[place] + repetition * period + offsets[which]

    def _cycle_count(self) -> int:
        """Return the number of cycles of a timeline with an end, at least 1."""
        return max(1, self._restarts[-1] + (_restart_count(self.segments[-1]) or 0))

    def levels(self, steps: NDArray[np.integer]) -> tuple[Array, Array]:
        """Return what many real steps use, as scale and offset: the lr is ``scale * base_lr + offset``."""
        updates = steps // self.stride
        if not updates.size:
            return np.empty(updates.shape), np.empty(updates.shape)
        first, last = int(updates.min()), int(updates.max())
        if first < 0:
            raise refusal("step", first, "a number of optimizer steps, at least 0", "np.arange(100)")
        place = bisect_right(self._starts, first) - 1
        if last < self._stop(place):
            scale, offset = _levels(self.segments[place], updates - self._starts[place])
        else:
            scale, offset = self._mixed(updates)
        if self.damping is not None:
            used = updates if self._end is None else np.minimum(updates, self._end - 1)
            early = used < self.damping.updates
            factor, _ = self.damping.levels(used[early].astype(np.float64), _NO_FADE)
            scale[early], offset[early] = factor * scale[early], factor * offset[early]
        return scale, offset

    def _mixed(self, updates: NDArray[np.integer]) -> tuple[Array, Array]:
        """Return scale and offset of updates that lie in several segments, or after the end."""
        scale, offset = np.empty(updates.shape), np.empty(updates.shape)
        inside = np.ones(updates.shape, bool) if self._end is None else updates < self._end
        if not inside.all():
            scale[~inside], offset[~inside], *_ = self.last_level()
        places = np.searchsorted(self._starts, updates, side="right") - 1
        for place in np.unique(places[inside]):
            mine = inside & (places == place)
            scale[mine], offset[mine] = _levels(self.segments[place], updates[mine] - self._starts[place])
        return scale, offset

    def _stop(self, place: int) -> float:
        """Return the update before which a segment ends."""
        if place + 1 < len(self._starts):
            return self._starts[place + 1]
        return math.inf if self._end is None else self._end


def _whole(step: SupportsIndex) -> int:
    """Return a step of NumPy or torch as Python's own int."""
    try:
        return operator.index(step)
    except TypeError:
        raise refusal("step", step, "a whole number of steps", "timeline.lr(0, base_lr=0.1)") from None


def _levels(segment: Phase | Repeat, k: NDArray[np.integer]) -> tuple[Array, Array]:
    """Return scale and offset of many updates of a segment."""
    if isinstance(segment, Phase):
        return segment.levels(k.astype(np.float64), _NO_FADE)
    repetition, within = np.divmod(k, segment.period)
    fade = segment.faded(repetition.astype(np.float64))
    scale, offset = np.empty(k.shape), np.empty(k.shape)
    for begin, phase in zip(_offsets(segment.block), segment.block, strict=False):
        mine = (within >= begin) & (within < begin + phase.updates)
        scale[mine], offset[mine] = phase.levels((within[mine] - begin).astype(np.float64), fade[mine])
    return scale, offset


def _offsets(block: tuple[Phase, ...]) -> Iterator[int]:
    """Yield the update at which each phase of a block begins."""
    return accumulate((phase.updates for phase in block), initial=0)


def _restart_count(segment: Phase | Repeat) -> int | None:
    """Return how many restarts a segment has; None without end."""
    if isinstance(segment, Phase):
        return int(segment.restart)
    inside = sum(phase.restart for phase in segment.block)
    if inside and segment.count is None:
        return None
    return inside * (segment.count or 0)
