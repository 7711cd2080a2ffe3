"""Schedules that fall by a law of their own: polynomial, exponential, powers of the time, REX, tanh."""

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass

from lightning_lrsched.checks import check_flag, refusal, store_number
from lightning_lrsched.phases import Level, Phase, Repeat
from lightning_lrsched.room import Room, Schedule
from lightning_lrsched.schedules.floors import check_floor, floor_level, store_plain
from lightning_lrsched.shapes import Decay, Hyperbola, HyperbolicTangent, PowerLaw, Rex, Shape
from lightning_lrsched.units import DurationLike

_BASE = Level(1.0)


@dataclass(frozen=True, repr=False)
class Polynomial(Schedule):
    r"""A power of the time that is left, from the base lr to a floor, held afterwards.

    $\eta_t = \eta_{min} + (\eta_{base} - \eta_{min}) (1 - t/T)^p$ for step t of T.

    Args:
        total_iters: length T; None for the whole run.
        power: exponent p, above 0; 1 is a straight line.
        eta_min: floor as an absolute lr, at least 0. Give this or ``eta_min_ratio``.
        eta_min_ratio: floor as a multiple of the base lr, in [0, 1].

    Raises:
        ValueError: if a value is out of its range, with a valid example.

    >>> Polynomial(power=2)
    Polynomial(power=2)

    Source: ``torch.optim.lr_scheduler.PolynomialLR``.
    """

    total_iters: DurationLike | None = None
    power: float = 1.0
    _: KW_ONLY
    eta_min: float = 0.0
    eta_min_ratio: float | None = None

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        store_plain(self, "total_iters")
        store_number(self, "power", "Polynomial(power=0.9)", above=0.0, at_most=1000.0)
        check_floor(self)

    def phases(self, room: Room) -> Iterator[Phase | Repeat]:
        """Yield the fall."""
        updates = room.length(self.total_iters, "Polynomial.total_iters")
        low = floor_level(self.eta_min, self.eta_min_ratio)
        yield Phase("polynomial", updates, _BASE, low, PowerLaw(float(self.power)))


@dataclass(frozen=True, repr=False)
class Exponential(Schedule):
    r"""The same factor in the same time, without end: $\eta_t = \gamma^{t/s} \eta_{base}$.

    Args:
        gamma: factor over the time s, above 0.
        decay_period: time s; one step as in torch, or any length.
        eta_min: floor that the fall goes towards, absolute, at least 0. Give this or ``eta_min_ratio``.
        eta_min_ratio: the same as a multiple of the base lr, in [0, 1].
        staircase: apply the factor at once at the end of every period.

    Raises:
        ValueError: if a value is out of its range, with a valid example.

    >>> Exponential(gamma=0.9, decay_period="1ep")
    Exponential(gamma=0.9, decay_period='1ep')

    Source: ``torch.optim.lr_scheduler.ExponentialLR``; optax ``exponential_decay`` for the other parameters.
    """

    gamma: float
    decay_period: DurationLike = 1
    _: KW_ONLY
    eta_min: float = 0.0
    eta_min_ratio: float | None = None
    staircase: bool = False

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        store_number(self, "gamma", "Exponential(gamma=0.9)", above=0.0)
        store_plain(self, "decay_period")
        check_floor(self)
        check_flag("Exponential.staircase", self.staircase, "Exponential(gamma=0.9, staircase=True)")

    @property
    def open_ended(self) -> bool:
        """Whether the fall goes on until the run ends: always."""
        return True

    def phases(self, room: Room) -> Iterator[Phase | Repeat]:
        """Yield the fall, or its steps."""
        updates = room.clock.updates(self.decay_period, "Exponential.decay_period")
        low = floor_level(self.eta_min, self.eta_min_ratio)
        if self.staircase:
            high = Level(low.scale, low.offset, 1.0 - low.scale, -low.offset)
            yield Repeat((Phase("plateau", updates, high),), None, float(self.gamma))
        else:
            yield room.endless("exponential", low, _BASE, Decay(float(self.gamma)), updates)


@dataclass(frozen=True, repr=False)
class Power(Schedule):
    r"""Power scheduling: fast at first, slower and slower, without end: $\eta_t = \eta_{base} (1 + t/s)^{-c}$.

    Args:
        s: time after which the lr has fallen to $2^{-c}$ of the base lr.
        c: exponent, above 0; 1 falls to 1/2, 1/3, 1/4 after s, 2s, 3s.
        eta_min: floor that the fall goes towards, absolute, at least 0. Give this or ``eta_min_ratio``.
        eta_min_ratio: the same as a multiple of the base lr, in [0, 1].

    Raises:
        ValueError: if a value is out of its range, with a valid example.

    >>> Power("5ep", c=1)
    Power(s='5ep')

    Source: Keras' ``InverseTimeDecay``; Géron, Hands-On Machine Learning, "power scheduling".
    """

    s: DurationLike
    c: float = 1.0
    _: KW_ONLY
    eta_min: float = 0.0
    eta_min_ratio: float | None = None

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        store_plain(self, "s")
        store_number(self, "c", "Power('5ep', c=1)", above=0.0, at_most=1000.0)
        check_floor(self)

    def phases(self, room: Room) -> Iterator[Phase | Repeat]:
        """Yield the fall."""
        span = room.clock.updates(self.s, "Power.s")
        low = floor_level(self.eta_min, self.eta_min_ratio)
        yield room.endless("power", low, _BASE, Hyperbola(float(self.c)), span)


@dataclass(frozen=True, repr=False)
class InverseSqrt(Schedule):
    r"""The inverse square root of the time, without end: $\eta_t = \eta_{base} / \sqrt{1 + t/s}$.

    After a warmup of s steps this is the schedule of the first Transformer: $\eta$ falls with $1/\sqrt{step}$ of the
    whole run.

    Args:
        timescale: time s; the warmup's length for the Transformer's schedule.

    Raises:
        ValueError: if a value is out of its range, with a valid example.

    >>> InverseSqrt("4000 steps")
    InverseSqrt(timescale=4000)

    Source: Vaswani et al., arXiv 1706.03762, equation 3; transformers ``get_inverse_sqrt_schedule``.
    """

    timescale: DurationLike

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        store_plain(self, "timescale")

    def phases(self, room: Room) -> Iterator[Phase | Repeat]:
        """Yield the fall."""
        span = room.clock.updates(self.timescale, "InverseSqrt.timescale")
        yield room.endless("inverse sqrt", Level(0.0), _BASE, Hyperbola(0.5), span)


@dataclass(frozen=True, repr=False)
class REX(Schedule):
    r"""Reflected exponential: slow at first, fast at the end, held afterwards.

    $\eta_t = \eta_{min} + (\eta_{base} - \eta_{min}) (1 - t/T) / (1 - t/(2T))$ for step t of T.

    Args:
        total_iters: length T; None for the whole run.
        eta_min: floor as an absolute lr, at least 0. Give this or ``eta_min_ratio``.
        eta_min_ratio: floor as a multiple of the base lr, in [0, 1].

    Raises:
        ValueError: if a value is out of its range, with a valid example.

    >>> REX(eta_min=1e-5)
    REX(eta_min=1e-05)

    Source: Chen et al., arXiv 2107.04197.
    """

    total_iters: DurationLike | None = None
    eta_min: float = 0.0
    _: KW_ONLY
    eta_min_ratio: float | None = None

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        store_plain(self, "total_iters")
        check_floor(self)

    def phases(self, room: Room) -> Iterator[Phase | Repeat]:
        """Yield the fall."""
        updates = room.length(self.total_iters, "REX.total_iters")
        yield Phase("rex", updates, _BASE, floor_level(self.eta_min, self.eta_min_ratio), Rex())


@dataclass(frozen=True, repr=False)
class Tanh(Schedule):
    r"""An S-shaped fall, held afterwards.

    $\eta_t = \eta_{min} + (\eta_{base} - \eta_{min}) (1 - \tanh(l (1 - t/T) + u \, t/T)) / 2$ for step t of T.
    It begins a little under the base lr and ends a little above the floor, as far as tanh is from -1 and 1.

    Args:
        total_iters: length T; None for the whole run.
        lb: argument l at the start, below ``ub``.
        ub: argument u at the end.
        eta_min: floor as an absolute lr, at least 0. Give this or ``eta_min_ratio``.
        eta_min_ratio: floor as a multiple of the base lr, in [0, 1].

    Raises:
        ValueError: if a value is out of its range, with a valid example.

    >>> Tanh(lb=-5, ub=3)
    Tanh(lb=-5)

    Source: Hsueh et al., arXiv 1806.01593; timm ``TanhLRScheduler``.
    """

    total_iters: DurationLike | None = None
    _: KW_ONLY
    lb: float = -7.0
    ub: float = 3.0
    eta_min: float = 0.0
    eta_min_ratio: float | None = None

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        store_plain(self, "total_iters")
        store_number(self, "lb", "Tanh(lb=-7, ub=3)")
        store_number(self, "ub", "Tanh(lb=-7, ub=3)")
        if self.lb >= self.ub:
            raise refusal("Tanh.lb", self.lb, f"below ub = {self.ub}", "Tanh(lb=-7, ub=3)")
        check_floor(self)

    def phases(self, room: Room) -> Iterator[Phase | Repeat]:
        """Yield the fall, and the floor after it."""
        updates = room.length(self.total_iters, "Tanh.total_iters")
        low = floor_level(self.eta_min, self.eta_min_ratio)
        shape: Shape = HyperbolicTangent(float(self.lb), float(self.ub))
        yield Phase("tanh", updates, _BASE, low, shape)
        yield from room.rest(updates, "hold", low)
