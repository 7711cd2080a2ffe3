"""Cyclical learning rates: up and down between two levels."""

from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass

from lightning_lrsched.checks import check_choice, check_number, refusal, store_number
from lightning_lrsched.phases import Level, Phase, Repeat
from lightning_lrsched.room import Room, Schedule
from lightning_lrsched.schedules.floors import check_momenta, store_plain
from lightning_lrsched.shapes import Straight, Tilted
from lightning_lrsched.units import DurationLike

_MODES = ("triangular", "triangular2", "exp_range")


@dataclass(frozen=True)
class Scale:
    """A user's height of each cycle, checked when it is used.

    Args:
        function: takes the number of a cycle (from 1) and returns a factor.
    """

    function: Callable[[int], float]

    def __call__(self, repetition: int) -> float:
        """Return the factor of a repetition (from 0).

        Raises:
            ValueError: if the function returns no number in [0, 1].
        """
        name = f"Cyclic.scale_fn({repetition + 1})"
        example = "a function that returns 1 / number"
        return check_number(name, self.function(repetition + 1), example, at_least=0.0, at_most=1.0)


@dataclass(frozen=True, repr=False)
class Cyclic(Schedule):
    r"""Cyclical learning rates: from a low level up to the base lr and down again, without end.

    Every rise from the low level begins a cycle. The height over the low level is that of the first cycle
    (``"triangular"``), halved with each cycle (``"triangular2"``), or shrinks by ``gamma`` with each step
    (``"exp_range"``).

    Args:
        step_size_up: length of the rise.
        base_ratio: low level as a multiple of the base lr (which is the peak), in [0, 1).
        step_size_down: length of the fall; the rise's if None.
        mode: ``"triangular"``, ``"triangular2"`` or ``"exp_range"``.
        gamma: factor for each step in mode ``"exp_range"``, in (0, 1].
        scale_fn: your own height of each cycle, as a function of its number from 1 that returns a factor in [0, 1];
            instead of ``mode``. A function of a module can be pickled, a lambda cannot.
        cycle_momentum: move the momentum (or ``betas[0]``) against the lr, from ``max_momentum`` at the low level to
            ``base_momentum`` at the peak. Unlike torch's, the default leaves the momentum alone.
        base_momentum: momentum at the peak, at least 0.
        max_momentum: momentum at the low level, at least 0.

    Raises:
        ValueError: if a value is out of its range, with a valid example.

    >>> Cyclic("2ep", base_ratio=0.1)
    Cyclic(step_size_up='2ep')

    Source: Smith, arXiv 1506.01186; ``torch.optim.lr_scheduler.CyclicLR``.
    """

    step_size_up: DurationLike
    base_ratio: float = 0.1
    _: KW_ONLY
    step_size_down: DurationLike | None = None
    mode: str = "triangular"
    gamma: float = 1.0
    scale_fn: Callable[[int], float] | None = None
    cycle_momentum: bool = False
    base_momentum: float = 0.8
    max_momentum: float = 0.9

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        store_plain(self, "step_size_up", "step_size_down")
        store_number(self, "base_ratio", "Cyclic('2ep', base_ratio=0.1)", at_least=0.0, below=1.0)
        check_choice("Cyclic.mode", self.mode, _MODES, "mode='triangular2'")
        store_number(self, "gamma", "Cyclic('2ep', mode='exp_range', gamma=0.999)", above=0.0, at_most=1.0)
        if self.gamma != 1.0 and self.mode != "exp_range":
            raise refusal("Cyclic.gamma", self.gamma, "left out unless mode='exp_range'", "mode='exp_range'")
        if self.scale_fn is not None and (not callable(self.scale_fn) or self.mode != "triangular"):
            allowed = "a function of the cycle's number, without mode"
            raise refusal("Cyclic.scale_fn", self.scale_fn, allowed, "Cyclic('2ep', scale_fn=my_function)")
        check_momenta(self)

    @property
    def open_ended(self) -> bool:
        """Whether the end of the run may cut the last cycle: always."""
        return True

    def phases(self, room: Room) -> Iterator[Phase | Repeat]:
        """Yield one cycle, repeated."""
        height = 1.0 - self.base_ratio
        return self._cycle(room, Level(float(self.base_ratio)), Level(float(self.base_ratio), fading_scale=height))

    def momentum(self, room: Room) -> Iterator[Phase | Repeat]:
        """Yield one cycle of the momentum, repeated."""
        high, height = float(self.max_momentum), float(self.max_momentum) - float(self.base_momentum)
        return self._cycle(room, Level(0.0, high), Level(0.0, high, fading_offset=-height))

    def _cycle(self, room: Room, low: Level, peak: Level) -> Iterator[Phase | Repeat]:
        """Yield the way from a level to another, whose distance fades, and back."""
        up = room.clock.updates(self.step_size_up, "Cyclic.step_size_up")
        down = up if self.step_size_down is None else room.clock.updates(self.step_size_down, "Cyclic.step_size_down")
        if room.updates is not None and up > room.updates:
            allowed = f"at most the run's {room.amount(room.updates)}"
            raise refusal("Cyclic.step_size_up", self.step_size_up, allowed, "'2ep'")
        gamma = float(self.gamma)
        left = gamma**up
        after = Level(peak.scale, peak.offset, left * peak.fading_scale, left * peak.fading_offset)
        rise = Phase("up", up, low, peak, Tilted(Straight(), left), restart=True)
        fall = Phase("down", down, low, after, Tilted(Straight(), gamma**down, falling=True))
        fade = {"triangular": 1.0, "triangular2": 0.5, "exp_range": gamma ** (up + down)}[self.mode]
        yield Repeat((rise, fall), None, fade, None if self.scale_fn is None else Scale(self.scale_fn))
