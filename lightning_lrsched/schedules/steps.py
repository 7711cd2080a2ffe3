"""Schedules that drop at certain steps and are constant between them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from lightning_lrsched.checks import check_list, refusal, store_number
from lightning_lrsched.phases import Level, Phase, Repeat
from lightning_lrsched.room import Room, Schedule
from lightning_lrsched.shapes import power
from lightning_lrsched.units import DurationLike, plain_duration


@dataclass(frozen=True, repr=False)
class Step(Schedule):
    r"""Multiply the lr by gamma every ``step_size``: $\eta_t = \gamma^{\lfloor t/s \rfloor} \eta_{base}$.

    Args:
        step_size: length s between two drops; the run must be longer, or nothing would ever drop.
        gamma: factor at each drop, above 0.

    Raises:
        ValueError: if a value is out of its range, with a valid example.

    >>> Step("30ep", gamma=0.1)
    Step(step_size='30ep')

    Source: ``torch.optim.lr_scheduler.StepLR``.
    """

    step_size: DurationLike
    gamma: float = 0.1

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        object.__setattr__(self, "step_size", plain_duration(self.step_size, "Step.step_size"))
        store_number(self, "gamma", "Step('30ep', gamma=0.1)", above=0.0)

    @property
    def open_ended(self) -> bool:
        """Whether the end of the run may cut the last plateau: always."""
        return True

    def phases(self, room: Room) -> Iterator[Phase | Repeat]:
        """Yield one plateau, repeated."""
        updates = room.turn(self.step_size, "Step.step_size")
        yield Repeat((Phase("plateau", updates, Level(0.0, fading_scale=1.0)),), None, float(self.gamma))


@dataclass(frozen=True, repr=False)
class MultiStep(Schedule):
    r"""Multiply the lr by gamma at each milestone: $\eta_t = \gamma^{|\{m : m \le t\}|} \eta_{base}$.

    Args:
        milestones: where the lr drops, in order, counted from the start of the schedule (after the warmup); one that
            is given twice drops twice.
        gamma: factor at each milestone, above 0.

    Raises:
        ValueError: if a value is out of its range, if the milestones do not increase, or if one lies outside the run.

    >>> MultiStep(["30ep", "60ep"], gamma=0.1)
    MultiStep(milestones=('30ep', '60ep'))

    Source: ``torch.optim.lr_scheduler.MultiStepLR``.
    """

    milestones: Sequence[DurationLike]
    gamma: float = 0.1

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        values = check_list("MultiStep.milestones", self.milestones, "durations", "MultiStep(['30ep', '60ep'])")
        plain = tuple(plain_duration(value, f"MultiStep.milestones[{i}]") for i, value in enumerate(values))
        object.__setattr__(self, "milestones", plain)
        store_number(self, "gamma", "MultiStep(['30ep', '60ep'], gamma=0.1)", above=0.0)

    def phases(self, room: Room) -> Iterator[Phase | Repeat]:
        """Yield the plateaus between the milestones."""
        drops = [0]
        for i, milestone in enumerate(self.milestones):
            name = f"MultiStep.milestones[{i}]"
            drops.append(room.turn(milestone, name))
            if drops[-1] < drops[-2]:
                allowed = f"not before the milestone before it ({room.amount(drops[-2])})"
                raise refusal(name, milestone, allowed, "MultiStep(['30ep', '60ep'])")
        for i, (begin, end) in enumerate(pairwise(drops)):
            if begin < end:
                yield Phase("plateau", end - begin, Level(power(float(self.gamma), float(i))))
        yield from room.rest(drops[-1], "plateau", Level(power(float(self.gamma), float(len(self.milestones)))))
