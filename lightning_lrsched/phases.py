"""Phases: a shape over a number of updates, from one level to another; repeated blocks of them; spans of a run."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from lightning_lrsched.shapes import HOLD, Array, Shape, X, each, power

_ROUNDING = 1e-6  # updates; turning points between two steps are floats


class Level(NamedTuple):
    """A value of the learning rate: ``lr = scale * base_lr + offset``.

    ``Level(1.0)`` is the base lr itself, ``Level(0.0, 1e-5)`` the absolute value 1e-5. The last two fields are the
    part that shrinks from cycle to cycle inside a `Repeat`.
    """

    scale: float
    offset: float = 0.0
    fading_scale: float = 0.0
    fading_offset: float = 0.0

    def faded(self, fade: float) -> "Level":
        """Return the level of a cycle whose fading part has shrunk to ``fade`` of itself."""
        return Level(self.scale + fade * self.fading_scale, self.offset + fade * self.fading_offset)

    def on(self, base: "Level") -> "Level":
        """Return the level that this one is when ``base`` stands in the place of the base lr."""
        return Level(
            self.scale * base.scale,
            self.scale * base.offset + self.offset,
            self.fading_scale * base.scale,
            self.fading_scale * base.offset + self.fading_offset,
        )

    def times(self, factor: float) -> "Level":
        """Return the level multiplied by ``factor``."""
        return Level(*(factor * part for part in self))


def blend(start: X, end: X, weight: X) -> X:
    """Mix two values; exact at both ends (weight 0 and 1)."""
    return start * (1.0 - weight) + end * weight


@dataclass(frozen=True)
class Phase:
    """A shape over a number of updates, from one level to another.

    At update k = 0 .. updates-1 the progress is ``(k + shift) / span``. The default (shift 0, span = updates) uses
    k/T, so that the end level belongs to the update after the phase; ``span = updates - 1`` ends on the end level
    itself.

    Args:
        name: what the plan's table calls it.
        updates: length, at least 1.
        start: level at progress 0.
        end: level at progress 1; the start level when None.
        shape: the easing between the two.
        restart: whether a new cycle begins here.
        span: updates from progress 0 to 1; None for the phase's own length.
        shift: updates of progress that are already done at the first one.
        whole: False for a phase that the end of the run cuts short.
        planned: updates from its start to the end of what was cut; None for a whole phase.
    """

    name: str
    updates: int
    start: Level
    end: Level | None = None
    shape: Shape = HOLD
    restart: bool = False
    span: float | None = None
    shift: float = 0.0
    whole: bool = True
    planned: int | None = field(default=None, compare=False, repr=False)

    def faded(self, fade: float) -> "Phase":
        """Return the phase as it is in a cycle whose fading part has shrunk to ``fade``."""
        if not any(self.start[2:] + (self.end or self.start)[2:]):
            return self
        return replace(self, start=self.start.faded(fade), end=(self.end or self.start).faded(fade))

    def on(self, base: Level) -> "Phase":
        """Return the phase with ``base`` in the place of the base lr."""
        return replace(self, start=self.start.on(base), end=(self.end or self.start).on(base))

    def cut(self, updates: int) -> "Phase":
        """Return the phase stopped after ``updates``, with the same values up to there."""
        return replace(self, updates=updates, span=self.length, whole=False, planned=self.updates)

    def level(self, k: float) -> Level:
        """Return the level that update ``k`` of the phase uses."""
        weight = self.shape((k + self.shift) / self.length)
        end = self.end or self.start
        return Level(blend(self.start.scale, end.scale, weight), blend(self.start.offset, end.offset, weight))

    def levels(self, k: Array, fade: Array) -> tuple[Array, Array]:
        """Return scale and offset of many updates: the same expressions as `level`, element by element."""
        weight = self.shape((k + self.shift) / self.length)
        start, end = self.start, self.end or self.start
        scale = blend(start.scale + fade * start.fading_scale, end.scale + fade * end.fading_scale, weight)
        offset = blend(start.offset + fade * start.fading_offset, end.offset + fade * end.fading_offset, weight)
        return scale, offset

    def last(self) -> Level:
        """Return the level that holds after the phase: its end level, or the last one used if it was cut short."""
        exact = self.updates == self.length - self.shift
        return self.level(self.updates if exact else self.updates - 1)

    @property
    def lands(self) -> bool:
        """Whether the last update of the phase is on its end level already, as with ``span = updates - 1``."""
        left = self.length - self.shift - (self.updates - 1)
        return self.whole and not self.shape.endless and abs(left) < _ROUNDING

    def reached(self) -> Level:
        """Return the level that a phase joined to this one begins with; the last one used where the phase lands."""
        return self.last() if self.lands else self.level(self.updates)

    def ends(self) -> tuple[Level, Level]:
        """Return the levels at progress 0 and 1."""
        return self.start, self.end or self.start

    @property
    def length(self) -> float:
        """Updates from progress 0 to 1."""
        return self.updates if self.span is None else self.span


@dataclass(frozen=True)
class Repeat:
    """A block of phases, repeated; the fading part of its levels shrinks by ``gamma`` each time.

    It takes the same memory for one repetition and for a million.

    Args:
        block: the phases of one repetition.
        count: how many repetitions; None without end.
        gamma: factor on the fading part from one repetition to the next.
        fade: the factor itself, as a function of the repetition (from 0), instead of the powers of gamma.
    """

    block: tuple[Phase, ...]
    count: int | None = None
    gamma: float = 1.0
    fade: Callable[[int], float] | None = None

    def faded(self, index: X) -> X:
        """Return the factor on the fading part in a repetition, or in each of many."""
        if self.fade is None:
            return power(self.gamma, index)
        return each(lambda value: float(self.fade(round(value))), index)  # type: ignore[misc]

    @property
    def period(self) -> int:
        """Updates of one repetition."""
        return sum(phase.updates for phase in self.block)

    @property
    def updates(self) -> int | None:
        """Updates of all repetitions; None without end."""
        return None if self.count is None else self.count * self.period

    @property
    def held(self) -> bool:
        """Whether it is one level that is held for ever: one phase, and not one after the other."""
        only = self.block[0]
        flat = only.end is None and not only.restart and not any(only.start[2:])
        return flat and self.count is None and len(self.block) == 1

    def phases(self, index: int) -> tuple[Phase, ...]:
        """Return the phases of repetition ``index`` with its own levels."""
        fade = self.faded(float(index))
        return tuple(phase.faded(fade) for phase in self.block)

    def on(self, base: Level) -> "Repeat":
        """Return the block with ``base`` in the place of the base lr."""
        return replace(self, block=tuple(phase.on(base) for phase in self.block))

    def cut(self, updates: int) -> "Iterator[Phase | Repeat]":
        """Yield the repetition stopped after ``updates``: the whole ones, then what is left of the last."""
        whole, left = divmod(updates, self.period)
        if whole:
            yield replace(self, count=whole)
        to_end = self.period
        for phase in self.phases(whole):
            if left <= 0:
                break
            # Also at a phase's own end: then it is the repetition that is cut.
            yield phase if phase.updates < left else replace(phase.cut(left), planned=to_end)
            left -= phase.updates
            to_end -= phase.updates


class Span(NamedTuple):
    """A phase at its place in the run: steps ``start`` to ``stop`` (exclusive; None without end) of cycle ``cycle``."""

    phase: Phase
    start: int
    stop: int | None
    cycle: int

    @property
    def name(self) -> str:
        """Name of the phase."""
        return self.phase.name
