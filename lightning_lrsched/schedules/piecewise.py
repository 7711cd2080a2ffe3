"""Schedules given point by point."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from lightning_lrsched.checks import check_list, plain_number, refusal
from lightning_lrsched.phases import Level, Phase, Repeat
from lightning_lrsched.room import Room, Schedule
from lightning_lrsched.shapes import Straight
from lightning_lrsched.units import DurationLike, plain_duration


@dataclass(frozen=True, repr=False)
class PiecewiseConstant(Schedule):
    """One multiple of the base lr after the other, each up to its boundary.

    Args:
        boundaries: where the value changes, increasing, counted from the start of the schedule.
        values: multiples of the base lr, at least 0; one more than boundaries.

    Raises:
        ValueError: if the lists do not match, if a value is out of its range, or if a boundary lies outside the run.

    >>> PiecewiseConstant(["30ep", "60ep"], [1, 0.2, 0.04])
    PiecewiseConstant(boundaries=('30ep', '60ep'), values=(1, 0.2, 0.04))

    Source: Keras ``PiecewiseConstantDecay`` (whose boundary still has the old value).
    """

    boundaries: Sequence[DurationLike]
    values: Sequence[float]

    def __post_init__(self) -> None:
        """Refuse lists that do not match."""
        example = "PiecewiseConstant(['30ep', '60ep'], [1, 0.2, 0.04])"
        _store_durations(self, "boundaries", example)
        _store_values(self, "values", example)
        if len(self.values) != len(self.boundaries) + 1:
            allowed = f"a list of {len(self.boundaries) + 1} numbers, one more than boundaries"
            raise refusal("PiecewiseConstant.values", self.values, allowed, example)

    def phases(self, room: Room) -> Iterator[Phase | Repeat]:
        """Yield the constant stretches."""
        turns = [0, *_increasing(room, room.turn, self.boundaries, "PiecewiseConstant.boundaries")]
        for (begin, end), value in zip(pairwise(turns), self.values, strict=False):
            yield Phase("constant", end - begin, Level(float(value)))
        yield from room.rest(turns[-1], "constant", Level(float(self.values[-1])))


@dataclass(frozen=True, repr=False)
class PiecewiseLinear(Schedule):
    """Straight lines between points, held after the last one.

    Args:
        times: where the points lie, increasing, counted from the start of the schedule; the first value is at 0.
        values: multiples of the base lr at 0 and at each time, at least 0; one more than times.

    Raises:
        ValueError: if the lists do not match, if a value is out of its range, or if a time lies outside the run.

    >>> PiecewiseLinear(["5ep", "30ep"], [0.1, 1, 0])
    PiecewiseLinear(times=('5ep', '30ep'), values=(0.1, 1, 0))

    Source: ignite ``PiecewiseLinear``; NumPy ``interp``.
    """

    times: Sequence[DurationLike]
    values: Sequence[float]

    def __post_init__(self) -> None:
        """Refuse lists that do not match."""
        example = "PiecewiseLinear(['5ep', '30ep'], [0.1, 1, 0])"
        _store_durations(self, "times", example)
        _store_values(self, "values", example)
        if len(self.values) != len(self.times) + 1:
            allowed = f"a list of {len(self.times) + 1} numbers, one more than times"
            raise refusal("PiecewiseLinear.values", self.values, allowed, example)

    def phases(self, room: Room) -> Iterator[Phase | Repeat]:
        """Yield the lines."""
        turns = [0, *_increasing(room, room.length, self.times, "PiecewiseLinear.times")]
        for (begin, end), (low, high) in zip(pairwise(turns), pairwise(self.values), strict=True):
            yield Phase("linear", end - begin, Level(float(low)), Level(float(high)), Straight())


def _store_durations(schedule: object, name: str, example: str) -> None:
    """Store a list of durations in their plain form."""
    path = f"{type(schedule).__name__}.{name}"
    values = check_list(path, getattr(schedule, name), "durations", example)
    plain = tuple(plain_duration(value, f"{path}[{i}]") for i, value in enumerate(values))
    object.__setattr__(schedule, name, plain)


def _store_values(schedule: object, name: str, example: str) -> None:
    """Store a list of multiples of the base lr, as Python's own numbers."""
    path = f"{type(schedule).__name__}.{name}"
    values = check_list(path, getattr(schedule, name), "multiples of the base lr", example)
    numbers = tuple(plain_number(f"{path}[{i}]", value, example, at_least=0.0) for i, value in enumerate(values))
    object.__setattr__(schedule, name, numbers)


def _increasing(
    room: Room, place: Callable[[DurationLike, str], int], durations: Sequence[DurationLike], name: str
) -> list[int]:
    """Return durations in updates by ``place``, refused unless they increase."""
    turns: list[int] = []
    for i, duration in enumerate(durations):
        turns.append(place(duration, f"{name}[{i}]"))
        if i and turns[i] <= turns[i - 1]:
            allowed = f"later than the one before it ({room.amount(turns[i - 1])})"
            raise refusal(f"{name}[{i}]", duration, allowed, "['30ep', '60ep']")
    return turns
