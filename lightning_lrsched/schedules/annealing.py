"""Schedules that travel once from one level to another: constant, linear, cosine."""

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass

from lightning_lrsched.checks import check_flag, refusal, store_number
from lightning_lrsched.phases import Level, Phase, Repeat
from lightning_lrsched.room import Room, Schedule
from lightning_lrsched.schedules.floors import check_floor, floor_level, inclusive_span, store_plain
from lightning_lrsched.shapes import HalfCosine, Shape, Straight, WarpedCosine
from lightning_lrsched.units import DurationLike


@dataclass(frozen=True, repr=False)
class Constant(Schedule):
    r"""The base lr times a factor: $\eta_t = f \, \eta_{base}$.

    Args:
        factor: multiple f of the base lr, at least 0.
        total_iters: how long the factor applies, the base lr afterwards; None for the whole run.

    Raises:
        ValueError: if a value is out of its range, with a valid example.

    >>> Constant(factor=0.5, total_iters="5ep")
    Constant(factor=0.5, total_iters='5ep')

    Source: ``torch.optim.lr_scheduler.ConstantLR``.
    """

    factor: float = 1.0
    total_iters: DurationLike | None = None

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        store_number(self, "factor", "Constant(factor=0.5)", at_least=0.0)
        store_plain(self, "total_iters")

    def phases(self, room: Room) -> Iterator[Phase | Repeat]:
        """Yield the constant phase, and the base lr after it."""
        used = 0
        if self.total_iters is not None:
            used = room.length(self.total_iters, "Constant.total_iters")
            yield Phase("constant", used, Level(float(self.factor)))
        yield from room.rest(used, "constant", Level(1.0 if used else float(self.factor)))


@dataclass(frozen=True, repr=False)
class Linear(Schedule):
    r"""A straight line between two multiples of the base lr, held afterwards.

    $\eta_t = \eta_{base} \, (f_0 + (f_1 - f_0) \, t/T)$ for step t of T.

    Args:
        total_iters: length T; None for the whole run.
        start_factor: first multiple f_0 of the base lr, at least 0.
        end_factor: last multiple f_1, at least 0; reached at step T, the step after the line.

    Raises:
        ValueError: if a value is out of its range, with a valid example.

    >>> Linear(end_factor=0.1)
    Linear(end_factor=0.1)

    Source: ``torch.optim.lr_scheduler.LinearLR`` (whose default start is 1/3).
    """

    total_iters: DurationLike | None = None
    _: KW_ONLY
    start_factor: float = 1.0
    end_factor: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        store_number(self, "start_factor", "Linear(start_factor=1.0)", at_least=0.0)
        store_number(self, "end_factor", "Linear(end_factor=0.1)", at_least=0.0)
        store_plain(self, "total_iters")

    def phases(self, room: Room) -> Iterator[Phase | Repeat]:
        """Yield the line."""
        updates = room.length(self.total_iters, "Linear.total_iters")
        yield Phase("linear", updates, Level(float(self.start_factor)), Level(float(self.end_factor)), Straight())


@dataclass(frozen=True, repr=False)
class Cosine(Schedule):
    r"""Cosine annealing from the base lr to a floor, held afterwards.

    $\eta_t = \eta_{min} + (\eta_{base} - \eta_{min}) (1 + \cos(\pi t/T)) / 2$ for step t of T.

    Args:
        T_max: length T; None for the whole run.
        eta_min: floor as an absolute lr, at least 0. Give this or ``eta_min_ratio``.
        eta_min_ratio: floor as a multiple of the base lr, in [0, 1].
        inclusive: use t/(T-1), so that the last step is on the floor itself and not one step before it.
        periodic: swing back up after T_max and down again, as torch does past its T_max; False holds the floor.
        num_cycles: waves in T_max, above 0; 0.5 is one fall, 1.5 falls, rises and falls again, as in
            transformers.
        exponent: power of the cosine term, above 0, as in optax.
        k_decay: power of the time t/T, above 0, as in timm; above 1 it falls later.

    Raises:
        ValueError: if a value is out of its range, with a valid example.

    >>> Cosine(eta_min=1e-5).eta_min
    1e-05

    Source: Loshchilov & Hutter, arXiv 1608.03983; ``torch.optim.lr_scheduler.CosineAnnealingLR``.
    """

    T_max: DurationLike | None = None
    eta_min: float = 0.0
    _: KW_ONLY
    eta_min_ratio: float | None = None
    inclusive: bool = False
    periodic: bool = False
    num_cycles: float = 0.5
    exponent: float = 1.0
    k_decay: float = 1.0

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        store_plain(self, "T_max")
        check_floor(self)
        check_flag("Cosine.inclusive", self.inclusive, "Cosine(inclusive=True)")
        check_flag("Cosine.periodic", self.periodic, "Cosine('10ep', periodic=True)")
        store_number(self, "num_cycles", "Cosine(num_cycles=0.5)", above=0.0, at_most=1e6)
        store_number(self, "exponent", "Cosine(exponent=2)", above=0.0, at_most=1000.0)
        store_number(self, "k_decay", "Cosine(k_decay=2)", above=0.0, at_most=1000.0)
        bent = self.exponent != 1 or self.k_decay != 1
        if self.periodic and (self.inclusive or self.num_cycles != 0.5 or bent):
            allowed = "used without inclusive, num_cycles, exponent and k_decay"
            raise refusal("Cosine.periodic", self.periodic, allowed, "Cosine('10ep', periodic=True)")
        if bent and self.num_cycles != 0.5:
            allowed = "left at 0.5 with exponent or k_decay"
            raise refusal("Cosine.num_cycles", self.num_cycles, allowed, "Cosine(exponent=2)")

    @property
    def open_ended(self) -> bool:
        """Whether the swing goes on until the run ends."""
        return self.periodic

    def phases(self, room: Room) -> Iterator[Phase | Repeat]:
        """Yield the fall, or the swing without end."""
        updates = room.length(self.T_max, "Cosine.T_max")
        low = floor_level(self.eta_min, self.eta_min_ratio)
        span = inclusive_span(updates, self.inclusive, "Cosine.T_max")
        if self.periodic:
            yield Repeat((Phase("cosine", 2 * updates, Level(1.0), low, HalfCosine(), span=span),))
            return
        shape: Shape = HalfCosine(2 * float(self.num_cycles))
        if self.exponent != 1 or self.k_decay != 1:
            shape = WarpedCosine(float(self.exponent), float(self.k_decay))
        yield Phase("cosine", updates, Level(1.0), low, shape, span=span)
