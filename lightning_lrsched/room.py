"""Where schedules live: the room a schedule is given, the base class, and how phases are fitted into the room."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from decimal import Decimal
from fractions import Fraction
from typing import Any

from lightning_lrsched.phases import Level, Phase, Repeat
from lightning_lrsched.shapes import Shape
from lightning_lrsched.units import MOST_STEPS, Clock, DurationLike, round_half_up


def given(part: Any) -> dict[str, Any]:
    """Return the parameters of a dataclass value that are not at their defaults."""
    values = {field.name: getattr(part, field.name) for field in fields(part)}
    return {field.name: values[field.name] for field in fields(part) if values[field.name] != field.default}


def short_repr(part: object) -> str:
    """Return the call that makes an equal dataclass value, without the parameters left at their defaults.

    A function stands in it by its name, the same in every process: the call works where the name is known.
    """
    values = ((name, getattr(value, "__qualname__", repr(value))) for name, value in given(part).items())
    return f"{type(part).__name__}({', '.join(f'{name}={value}' for name, value in values)})"


@dataclass(frozen=True)
class Room:
    """The place a main schedule gets: the updates left between warmup and cooldown, and the clock to measure in.

    Args:
        updates: updates left, or None where the run has no known end.
        clock: turns durations into updates.
    """

    updates: int | None
    clock: Clock

    def length(self, duration: DurationLike | None, name: str) -> int:
        """Return a duration in updates, or all of the room when it is None.

        Raises:
            ValueError: if the duration does not fit the room, or if the room is needed and unknown.
        """
        if duration is None:
            if self.updates is None:
                raise ValueError(
                    f"{name} = None fills the run, but the run has no known end. "
                    f"Pass total_steps=..., for example LearningRateScheduler(..., total_steps=10_000), "
                    f"or give {name}, for example {name.rpartition('.')[2]}='5000 steps'"
                )
            return self.updates
        updates = self.clock.updates(duration, name)
        if self.updates is not None and updates > self.updates:
            raise ValueError(
                f"{name} = {duration!r} does not fit the run: it takes {self.amount(updates)}, and "
                f"{self.amount(self.updates)} are left for it. Give at most {name.rpartition('.')[2]}='100%' of a "
                f"longer run (total_steps={updates * self.clock.stride}), or a shorter one, for example "
                f"{name.rpartition('.')[2]}='{self.updates * self.clock.stride} steps'"
            )
        return updates

    def turn(self, duration: DurationLike, name: str) -> int:
        """Return where something changes, in updates, refused unless the room has at least one update after it.

        Raises:
            ValueError: if nothing of the room is left after it, or if the room is needed and unknown.
        """
        updates = self.clock.updates(duration, name)
        if self.updates is not None and updates >= self.updates:
            raise ValueError(
                f"{name} = {duration!r} lies outside the run: it is at {self.amount(updates)}, and the schedule has "
                f"only {self.amount(self.updates)}, so nothing would ever change there. Give an earlier one, for "
                f"example '50%', or train longer"
            )
        return updates

    def rest(self, used: int, name: str, level: Level) -> Iterator[Phase | Repeat]:
        """Yield one level for all of the room after ``used`` updates; nothing if none are left."""
        if self.updates is None:
            yield Repeat((Phase(name, 1, level),))
        elif used < self.updates:
            yield Phase(name, self.updates - used, level)

    def endless(self, name: str, start: Level, end: Level, shape: Shape, span: float) -> Phase:
        """Return one phase for all of the room, whose progress goes on past 1: ``span`` updates are progress 1."""
        return Phase(name, self.updates or MOST_STEPS, start, end, shape, span=span)

    def share(self, share: float, updates: int) -> int:
        """Return a share of a number of updates, by exact decimals, half up."""
        return round_half_up(Fraction(Decimal(repr(float(share)))) * updates)

    def amount(self, updates: int) -> str:
        """Write a number of updates with its unit, for messages."""
        return f"{updates} steps" if self.clock.stride == 1 else f"{updates} epochs"


class Main:
    """Anything that may stand as the main schedule: a `Schedule`, or one that a torch scheduler drives."""


class Schedule(Main, ABC):
    """A planned schedule: a frozen dataclass that builds phases for the room it is given.

    It never knows its place: warmup and cooldown belong to the `Plan`. All its durations count from its own start.
    A new schedule is a frozen dataclass with the parameters, their checks in ``__post_init__`` and `phases`.
    """

    cycle_momentum = False
    """Whether `momentum` says how a momentum goes with the lr."""

    @property
    def open_ended(self) -> bool:
        """Whether the end of the run may cut the last phase (a schedule of cycles) instead of being refused."""
        return False

    __repr__ = short_repr

    @abstractmethod
    def phases(self, room: Room) -> Iterable[Phase | Repeat]:
        """Yield the phases from the schedule's own start. What is left of the room holds the last value.

        Raises:
            ValueError: if a duration needs the length of the run and it is unknown, or does not fit the room.
        """

    def momentum(self, room: Room) -> Iterable[Phase | Repeat]:
        """Yield the phases of the momentum that goes with the lr, in absolute values; nothing where none does."""
        del room
        return ()


def fitted(schedule: Schedule, room: Room) -> Iterator[Phase | Repeat]:
    """Yield a schedule's phases, cut or held so that they fill the room.

    Raises:
        ValueError: if a schedule that ends by itself is longer than the room.
    """
    return fill(schedule.phases(room), schedule, room)


def fill(phases: Iterable[Phase | Repeat], schedule: Schedule, room: Room) -> Iterator[Phase | Repeat]:
    """Yield phases of a schedule, cut or held so that they fill the room.

    Raises:
        ValueError: if a schedule that ends by itself is longer than the room.
    """
    used, last = 0, None
    for last in phases:
        left = None if room.updates is None else room.updates - used
        if left is not None and (last.updates is None or last.updates > left):
            if not schedule.open_ended:
                raise ValueError(
                    f"{schedule} does not fit the run: {room.amount(room.updates or 0)} are left for it. "
                    f"Give a shorter one, for example '50%', or train longer"
                )
            yield from last.cut(left) if isinstance(last, Repeat) else (last.cut(left),)
            return
        yield last
        if last.updates is None or last.updates in (left, MOST_STEPS):
            return
        used += last.updates
    if last is None:
        raise ValueError(f"{schedule} built no phase; phases() must yield at least one")
    yield from room.rest(used, "hold", final_phase(last).reached())


def final_phase(segment: Phase | Repeat) -> Phase:
    """Return the last phase of a segment, with the levels it has there."""
    return segment.phases((segment.count or 1) - 1)[-1] if isinstance(segment, Repeat) else segment
