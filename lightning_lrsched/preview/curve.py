"""Which steps of a timeline to draw: few enough for any run, with the ends of its phases among them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise, takewhile
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lightning_lrsched.checks import refusal
from lightning_lrsched.phases import Phase, Span
from lightning_lrsched.shapes import Array, HalfCosine, Tabled
from lightning_lrsched.timeline import Timeline

Steps: TypeAlias = NDArray[np.int64]

MOST = 2000
_LEAST = 64
_FAR = 10**9  # a plan resolved without an end of the run ends beyond this, or not at all
_FIRST_PHASES = 5
_TIMESCALES = 8
_FEWEST_UPDATES = 100


@dataclass(frozen=True, eq=False)
class Curve:
    """The learning rate of a timeline as it is drawn.

    Args:
        name: what the legend calls it.
        timeline: the resolved plan.
        base_lr: peak lr.
        stop: step before which the drawing ends.
        steps_per_epoch: unit of the horizontal axis; optimizer steps where it is unknown.
    """

    name: str
    timeline: Timeline
    base_lr: float
    stop: int
    steps_per_epoch: int | None = None

    def points(self, most: int = MOST) -> tuple[Array, Array]:
        """Return the places on the horizontal axis, in `unit`, and the lr at each."""
        steps = steps_to_draw(self.timeline, most, self.stop)
        return self.place(steps), self.timeline.lr(steps, self.base_lr)

    def place(self, steps: Steps | list[int]) -> Array:
        """Return where steps lie on the horizontal axis."""
        return np.asarray(steps, np.float64) / (self.steps_per_epoch or 1)

    @property
    def unit(self) -> str:
        """What the horizontal axis counts."""
        return "optimizer step" if self.steps_per_epoch is None else "epoch"

    def marks(self, most: int) -> tuple[list[int], list[int]]:
        """Return the steps where phases begin, and those where cycles end; none of either where there are too many."""
        inner = takewhile(lambda span: span.start < self.stop, self.timeline.spans())
        spans = list(islice(inner, most + 1))
        if len(spans) > most:
            return [], []
        ends = [after.start for before, after in pairwise(spans) if after.cycle > before.cycle]
        return [span.start for span in spans[1:] if span.start not in ends], ends


def shown_steps(timeline: Timeline) -> int:
    """Return how many steps to draw: all of them, or the first few phases where the run has no known end."""
    if timeline.total is not None and timeline.total <= _FAR:
        return timeline.total
    stop = longest = 0
    for span in islice(timeline.spans(), _FIRST_PHASES):
        updates = span.phase.updates
        steps = (updates if updates <= _FAR else _TIMESCALES * math.ceil(span.phase.span or 1)) * timeline.stride
        longest = max(longest, steps)
        stop = max(span.start + steps, span.start + longest // 4)
    return max(stop, _FEWEST_UPDATES * timeline.stride)


def steps_to_draw(timeline: Timeline, most: int = MOST, stop: int | None = None) -> Steps:
    """Return the steps whose lrs show a timeline, sorted and without doubles.

    The first and the last step of every phase are among them, and the turning points of a cosine that swings; the rest
    lies evenly in the run. Where there are too many phases (more than about a quarter of ``most``), those at evenly
    spaced places are taken, each with its ends. Nothing is stepped through: a billion steps cost what a thousand do.

    Args:
        timeline: what to draw.
        most: how many steps at most, at least 64.
        stop: step before which the drawing ends; that of `shown_steps` if None.

    Raises:
        ValueError: if ``most`` is less than 64, or ``stop`` less than 1.

    >>> from lightning_lrsched import Cosine, Plan, RunLength
    >>> steps_to_draw(Plan(Cosine()).resolve(RunLength(5))).tolist()
    [0, 1, 2, 3, 4]
    """
    if most < _LEAST:
        raise refusal("most", most, f"at least {_LEAST}", f"most={MOST}")
    end = shown_steps(timeline) if stop is None else stop
    if end < 1:
        raise refusal("stop", stop, "a number of steps, at least 1", "stop=1000")
    stride = timeline.stride
    # A staircase needs both ends of each tread.
    room = most if stride == 1 else most // 2
    updates = -(-end // stride)
    if updates <= room:
        chosen = np.arange(updates, dtype=np.int64)
    else:
        marks = np.fromiter(_landmarks(timeline, updates, room), np.int64)
        marks = np.unique(np.clip(marks, 0, updates - 1))
        chosen = np.union1d(marks, _even(updates, room - marks.size))
    if stride == 1:
        return chosen
    return np.union1d(chosen * stride, np.minimum((chosen + 1) * stride, end) - 1)


def _even(updates: int, count: int) -> Steps:
    """Return so many updates, from the first to the last."""
    return np.linspace(0, updates - 1, count, dtype=np.int64)


def _landmarks(timeline: Timeline, updates: int, most: int) -> Iterator[int]:
    """Yield the updates that must not be missed: the ends of phases, and where a cosine or a table turns."""
    spans = _spans(timeline, updates, (most - 8) // 4)
    turns = most // (4 * len(spans))
    yield from (0, updates - 1)
    if timeline.damping is not None:
        yield from (timeline.damping.updates - 1, timeline.damping.updates)
    for span in spans:
        first = span.start // timeline.stride
        last = updates - 1 if span.stop is None else min(span.stop // timeline.stride, updates) - 1
        yield from (first, last)
        if last - first > 1:
            yield from (min(first + k, last) for k in _turns(span.phase, last - first + 1, turns))


def _spans(timeline: Timeline, updates: int, most: int) -> list[Span]:
    """Return all phases before the end of the drawing, or those at evenly spaced places where there are more."""
    stop = updates * timeline.stride
    spans = list(islice(takewhile(lambda span: span.start < stop, timeline.spans()), most + 1))
    if len(spans) <= most:
        return spans
    at_places = (timeline.phase_at(int(update) * timeline.stride) for update in _even(updates, most))
    return list({span.start: span for span in at_places}.values())


def _turns(phase: Phase, updates: int, most: int) -> Iterator[int]:
    """Yield the updates around the turning points of a cosine or of a table, at most so many of them."""
    if isinstance(phase.shape, Tabled):
        start = round(phase.shift)
        corners = phase.shape.corners(start, start + updates - 1) - start
        yield from (corners if corners.size <= most else corners[_even(corners.size, most)]).tolist()
    if not isinstance(phase.shape, HalfCosine):
        return
    apart = (phase.updates if phase.span is None else phase.span) / phase.shape.halves
    first, last = math.floor(phase.shift / apart) + 1, math.ceil((phase.shift + updates - 1) / apart) - 1
    count, pairs = max(0, last - first + 1), most // 2
    some = (first + i * count // pairs + side for i in range(pairs) for side in (0, 1))
    for turn in range(first, last + 1) if count <= most else some:
        at = turn * apart - phase.shift
        yield from (math.floor(at), math.ceil(at))
