"""One schedule after another."""

import collections.abc
from collections.abc import Iterator
from dataclasses import dataclass, replace

from lightning_lrsched.checks import check_choice, check_list, refusal
from lightning_lrsched.phases import Level, Phase, Repeat
from lightning_lrsched.room import Room, Schedule, final_phase, fitted
from lightning_lrsched.units import DurationLike, plain_duration

_EXAMPLE = "Sequence([Constant(), Cosine()], milestones=['30ep'])"


@dataclass(frozen=True, repr=False)
class Sequence(Schedule):
    """Any schedules after one another, each in its own stretch of the run and with its own start.

    Args:
        schedules: the schedules, at least one.
        milestones: where the next one takes over, increasing, counted from the start of the sequence; one less than
            schedules. The last schedule gets the rest of the run.
        join: ``"base"`` to begin each from the base lr, as torch does, or ``"reached"`` to begin it from the value that
            the one before it has reached: its multiples, and its peak, are then of that value.

    Raises:
        ValueError: if the lists do not match, or a milestone lies outside the run.

    >>> from lightning_lrsched.schedules import Constant, Cosine
    >>> Sequence([Constant(), Cosine()], milestones=["30ep"])
    Sequence(schedules=(Constant(), Cosine()), milestones=('30ep',))

    Source: ``torch.optim.lr_scheduler.SequentialLR``; mmengine for ``"reached"``.
    """

    schedules: collections.abc.Sequence[Schedule]
    milestones: collections.abc.Sequence[DurationLike] = ()
    join: str = "base"

    def __post_init__(self) -> None:
        """Refuse lists that do not match."""
        schedules = check_list("Sequence.schedules", self.schedules, "schedules", _EXAMPLE)
        for i, schedule in enumerate(schedules):
            if not isinstance(schedule, Schedule):
                raise refusal(f"Sequence.schedules[{i}]", schedule, "a schedule", _EXAMPLE)
        listed = isinstance(self.milestones, collections.abc.Sequence) and not isinstance(self.milestones, str | bytes)
        if not listed or len(self.milestones) != len(schedules) - 1:
            allowed = f"a list of {len(schedules) - 1} durations, one less than schedules"
            raise refusal("Sequence.milestones", self.milestones, allowed, _EXAMPLE)
        plain = tuple(plain_duration(value, f"Sequence.milestones[{i}]") for i, value in enumerate(self.milestones))
        object.__setattr__(self, "schedules", schedules)
        object.__setattr__(self, "milestones", plain)
        check_choice("Sequence.join", self.join, ("base", "reached"), "join='reached'")

    def phases(self, room: Room) -> Iterator[Phase | Repeat]:
        """Yield the phases of each schedule, fitted into its stretch."""
        begin = 0
        last: Phase | Repeat | None = None
        for i, schedule in enumerate(self.schedules):
            end = room.updates
            base = Level(1.0) if last is None or self.join == "base" else final_phase(last).reached()
            if i < len(self.milestones):
                name = f"Sequence.milestones[{i}]"
                end = room.turn(self.milestones[i], name)
                if end <= begin:
                    allowed = f"later than the one before it ({room.amount(begin)})"
                    raise refusal(name, self.milestones[i], allowed, _EXAMPLE)
            for segment in fitted(schedule, replace(room, updates=None if end is None else end - begin)):
                last = segment.on(base)
                yield last
            begin = end or 0
