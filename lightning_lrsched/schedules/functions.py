"""Schedules that are a user's own function of the step."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lightning_lrsched.checks import refusal
from lightning_lrsched.phases import Level, Phase, Repeat
from lightning_lrsched.room import Room, Schedule
from lightning_lrsched.shapes import Called, RunningProduct


@dataclass(frozen=True, repr=False)
class Lambda(Schedule):
    r"""A function of the step as the factor: $\eta_t = f(t) \, \eta_{base}$.

    Args:
        lr_lambda: takes the update's number (from 0, counted from the start of the schedule) and returns a factor. It
            is called up to 4096 steps ahead of the training, and not past the end of a run that has one. A function of
            a module can be pickled, a lambda cannot.

    Raises:
        ValueError: if it cannot be called.

    Source: ``torch.optim.lr_scheduler.LambdaLR``.
    """

    lr_lambda: Callable[[int], float]

    def __post_init__(self) -> None:
        """Refuse what cannot be called."""
        _check_function(self)

    def phases(self, room: Room) -> Iterator[Phase | Repeat]:
        """Yield one phase for all of the room."""
        yield room.endless("lambda", Level(0.0), Level(1.0), Called(self.lr_lambda), 1)


@dataclass(frozen=True, repr=False)
class Multiplicative(Schedule):
    r"""A function of the step as the factor from one step to the next: $\eta_t = f(t) \, \eta_{t-1}$.

    There is no closed form: a jump to step t multiplies all factors up to it, once.

    Args:
        lr_lambda: takes the update's number (from 1, counted from the start of the schedule) and returns a factor.

    Raises:
        ValueError: if it cannot be called.

    Source: ``torch.optim.lr_scheduler.MultiplicativeLR``.
    """

    lr_lambda: Callable[[int], float]

    def __post_init__(self) -> None:
        """Refuse what cannot be called."""
        _check_function(self)

    def phases(self, room: Room) -> Iterator[Phase | Repeat]:
        """Yield one phase for all of the room."""
        yield room.endless("multiplicative", Level(0.0), Level(1.0), RunningProduct(self.lr_lambda), 1)


def _check_function(schedule: Lambda | Multiplicative) -> None:
    """Refuse what cannot be called."""
    if not callable(schedule.lr_lambda):
        name = f"{type(schedule).__name__}.lr_lambda"
        raise refusal(name, schedule.lr_lambda, "a function of the step", f"{name.partition('.')[0]}(my_function)")
