"""Schedules of cycles: warm restarts, and the single cycle up and down."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from math import floor
from typing import TypeAlias

from lightning_lrsched.checks import check_choice, check_flag, check_list, refusal, store_number
from lightning_lrsched.phases import Level, Phase, Repeat
from lightning_lrsched.room import Room, Schedule
from lightning_lrsched.schedules.floors import (
    check_floor,
    check_momenta,
    floor_level,
    inclusive_span,
    store_level,
    store_plain,
)
from lightning_lrsched.shapes import HalfCosine, Shape, Straight
from lightning_lrsched.units import DurationLike, plain_duration

Floors: TypeAlias = float | Sequence[float]

_ANNEALERS: dict[str, Shape] = {"cos": HalfCosine(), "linear": Straight()}
_FAR = 10**9  # updates after which a growing schedule stops growing, where the run has no known end
_MOST_CYCLES = 10_000


@dataclass(frozen=True, repr=False)
class SGDR(Schedule):
    r"""Stochastic gradient descent with warm restarts: cosine cycles, each from its maximum to its minimum.

    In cycle i, at step $T_{cur} = 0 \ldots T_i - 1$ after the restart,
    $\eta = \eta_{min}^i + (\eta_{max}^i - \eta_{min}^i) (1 + \cos(\pi T_{cur}/T_i)) / 2$ with
    $\eta_{max}^i = \gamma^i \eta_{base}$ and $T_i = T_0 \, T_{mult}^i$ (rounded half up to whole steps). The smallest
    lr of a cycle is that of the step before the restart; ``inclusive=True`` ends each cycle on the floor itself.

    Args:
        T_0: length of the first cycle. Give this or ``periods``.
        T_mult: growth of the cycles, in [1, 1000], also fractional.
        eta_min: floor as an absolute lr, at least 0; a list gives one for each of ``periods``.
        eta_min_ratio: floor as a multiple of the base lr, in [0, 1]; a list gives one for each of ``periods``.
        gamma: factor on the maximum from cycle to cycle, in (0, 1].
        inclusive: use T_cur/(T_i - 1).
        periods: length of every cycle, in order; the last value is held after them (told before training).
        max_ratios: maximum of each of ``periods``, as a multiple of the base lr, above 0.
        cycle_warmup: length of a linear rise at every restart, from the floor of the cycle before to the maximum, as a
            part of the cycle; a list gives one for each of ``periods`` after the first. The first cycle has the plan's
            warmup.

    Raises:
        ValueError: if a value is out of its range or two contradict each other, with a valid example.

    >>> SGDR(T_0="10ep", T_mult=2, eta_min=1e-5).T_0
    '10ep'

    Source: Loshchilov & Hutter, arXiv 1608.03983, equation 5.
    """

    T_0: DurationLike | None = None
    T_mult: float = 1
    _: KW_ONLY
    eta_min: Floors = 0.0
    eta_min_ratio: Floors | None = None
    gamma: float = 1.0
    inclusive: bool = False
    periods: Sequence[DurationLike] | None = None
    max_ratios: Sequence[float] | None = None
    cycle_warmup: DurationLike | Sequence[DurationLike] | None = None

    def __post_init__(self) -> None:
        """Refuse values out of range, and lists that do not match."""
        example = "SGDR(T_0='10ep', T_mult=2)"
        listed = "SGDR(periods=['10ep', '20ep'])"
        if isinstance(self.T_0, Sequence) and not isinstance(self.T_0, str | bytes):
            allowed = "one length, that of the first cycle; the lengths of all cycles are periods=[...]"
            raise refusal("SGDR.T_0", self.T_0, allowed, listed)
        if self.T_0 is None and self.periods is None:
            raise refusal("SGDR.T_0", None, "given, or periods=[...] instead of it", f"{example} or {listed}")
        if self.T_0 is not None and self.periods is not None:
            allowed = "left out where periods gives every cycle's length: one of the two is enough"
            raise refusal("SGDR.T_0", self.T_0, allowed, f"{listed} or {example}")
        store_number(self, "T_mult", example, at_least=1.0, at_most=1000.0)
        store_number(self, "gamma", "SGDR(T_0='10ep', gamma=0.8)", above=0.0, at_most=1.0)
        check_flag("SGDR.inclusive", self.inclusive, "SGDR(T_0='10ep', inclusive=True)")
        store_plain(self, "T_0")
        self._check_lists()
        self._check_cycle_warmup()

    def _check_lists(self) -> None:
        """Check the lists of explicit cycles: their values, and that all have one entry per period."""
        example = "SGDR(periods=['10ep', '20ep'], max_ratios=[1.0, 0.5], eta_min=[1e-5, 1e-6])"
        count = 0
        if self.periods is not None:
            periods = check_list("SGDR.periods", self.periods, "durations", example)
            count = len(periods)
            plain = tuple(plain_duration(value, f"SGDR.periods[{i}]") for i, value in enumerate(periods))
            object.__setattr__(self, "periods", plain)
            for name, value, default in (("T_mult", self.T_mult, 1), ("gamma", self.gamma, 1.0)):
                if value != default:
                    raise refusal(f"SGDR.{name}", value, "left out where periods gives the cycles", example)
        for name in ("max_ratios", "eta_min", "eta_min_ratio"):
            values = getattr(self, name)
            listed = isinstance(values, Sequence) and not isinstance(values, str | bytes)
            if listed and (not count or len(values) != count):
                alone = "left out" if name == "max_ratios" else "a number"
                allowed = f"a list of {count} numbers, one for each period" if count else f"{alone} without periods"
                raise refusal(f"SGDR.{name}", values, allowed, example)
        if self.max_ratios is not None:
            check_list("SGDR.max_ratios", self.max_ratios, "multiples of the base lr", example)
            store_level(self, "max_ratios", example, above=0.0)
        check_floor(self, lists=True)

    def _check_cycle_warmup(self) -> None:
        """Store the rises at restarts in their plain form."""
        value = self.cycle_warmup
        if not isinstance(value, Sequence) or isinstance(value, str | bytes):
            store_plain(self, "cycle_warmup")
            return
        if self.periods is None or len(value) != len(self.periods) - 1:
            allowed = "one duration, or a list with one for each of periods after the first"
            example = "SGDR(periods=['10ep', '20ep'], cycle_warmup=['1ep'])"
            raise refusal("SGDR.cycle_warmup", value, allowed, example)
        plain = tuple(plain_duration(each, f"SGDR.cycle_warmup[{i}]") for i, each in enumerate(value))
        object.__setattr__(self, "cycle_warmup", plain)

    @property
    def open_ended(self) -> bool:
        """Whether the end of the run may cut the last cycle: always."""
        return True

    def phases(self, room: Room) -> Iterator[Phase | Repeat]:
        """Yield the cycles: one repeated block when they are equal, a phase for each when they grow."""
        if self.periods is not None:
            lengths: Iterable[int] = [
                room.clock.updates(period, f"SGDR.periods[{i}]") for i, period in enumerate(self.periods)
            ]
        else:
            first = room.length(self.T_0, "SGDR.T_0")
            if self.T_mult == 1:
                if self.cycle_warmup is not None:
                    yield from self._cycle(room, 0, first, Level(1.0))
                fading = Level(0.0, fading_scale=1.0 if self.cycle_warmup is None else float(self.gamma))
                yield Repeat(tuple(self._cycle(room, 1, first, fading)), None, float(self.gamma))
                return
            lengths = self._growing(first, room)
        for i, updates in enumerate(lengths):
            phases = tuple(self._cycle(room, i, updates, Level(self._peak(i))))
            yield phases[0] if len(phases) == 1 else Repeat(phases, 1)  # as one, to be cut as one

    def _growing(self, first: int, room: Room) -> Iterator[int]:
        """Yield the updates of cycles that grow, until the room is full: integers only, one rounding for each."""
        growth, end = Fraction(Decimal(repr(self.T_mult))), room.updates or _FAR
        used, above, below = 0, first, 1
        for _ in range(_MOST_CYCLES):
            updates = (2 * above + below) // (2 * below)
            yield updates
            used, above, below = used + updates, above * growth.numerator, below * growth.denominator
            if used >= end:
                return
        allowed = f"large enough for at most {_MOST_CYCLES} cycles in a run of {room.amount(end)}"
        raise refusal("SGDR.T_mult", self.T_mult, allowed, "SGDR(T_0='10ep', T_mult=1)")

    def _peak(self, index: int) -> float:
        """Return the maximum of a cycle as a multiple of the base lr."""
        return float(self.gamma**index if self.max_ratios is None else self.max_ratios[index])

    def _cycle(self, room: Room, index: int, updates: int, peak: Level) -> Iterator[Phase]:
        """Yield one cycle: the rise from the floor before, if there is one, and the fall from the peak."""
        rise = self._rise(room, index, updates)
        if rise:
            yield Phase("rise", rise, self._low(index - 1), peak, Straight(), restart=True)
        name = "SGDR.T_0" if self.periods is None else f"SGDR.periods[{index}]"
        span = inclusive_span(updates - rise, self.inclusive, name)
        low = self._low(index)
        yield Phase("cosine cycle", updates - rise, peak, low, HalfCosine(), restart=not rise, span=span)

    def _rise(self, room: Room, index: int, updates: int) -> int:
        """Return the updates of the rise at the begin of a cycle."""
        if self.cycle_warmup is None or index == 0:
            return 0
        value, name = self.cycle_warmup, "SGDR.cycle_warmup"
        if isinstance(value, tuple):
            value, name = value[index - 1], f"{name}[{index - 1}]"
        rise = room.clock.updates(value, name)  # type: ignore[arg-type]  # no list any more
        if rise >= updates:
            raise refusal(name, value, f"shorter than its cycle of {room.amount(updates)}", "cycle_warmup='1ep'")
        return rise

    def _low(self, index: int) -> Level:
        """Return the floor of a cycle."""
        return floor_level(_pick(self.eta_min, index), _pick(self.eta_min_ratio, index))


@dataclass(frozen=True, repr=False)
class OneCycle(Schedule):
    r"""The 1cycle policy: up to the base lr, down, and far below the start at the end.

    The base lr is the peak. It starts at $\eta_{base}/d$ with ``div_factor`` d and ends at that value over
    ``final_div_factor``, on the last step of the schedule. With ``three_phase`` it falls back to the start first, in
    as many steps as it rose, and is annihilated after that.

    Args:
        total_steps: length; None for the whole run.
        pct_start: share of the length that rises, in (0, 1); below 0.5 with three phases.
        div_factor: peak over start, at least 1.
        final_div_factor: start over end, at least 1.
        anneal_strategy: ``"cos"`` or ``"linear"``.
        three_phase: add the annihilation as a phase of its own.
        cycle_momentum: move the momentum (or ``betas[0]``) against the lr, from ``max_momentum`` down to
            ``base_momentum`` at the peak and up again. Unlike torch's, the default leaves the momentum alone.
        base_momentum: momentum at the peak, at least 0.
        max_momentum: momentum at the start and at the end, at least 0.

    Raises:
        ValueError: if a value is out of its range, or if a phase would have no step, with a valid example.

    >>> OneCycle(pct_start=0.25).div_factor
    25.0

    Source: Smith & Topin, arXiv 1708.07120; ``torch.optim.lr_scheduler.OneCycleLR``.
    """

    total_steps: DurationLike | None = None
    pct_start: float = 0.3
    _: KW_ONLY
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    anneal_strategy: str = "cos"
    three_phase: bool = False
    cycle_momentum: bool = False
    base_momentum: float = 0.85
    max_momentum: float = 0.95

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        store_plain(self, "total_steps")
        check_flag("OneCycle.three_phase", self.three_phase, "OneCycle(three_phase=True)")
        limit = 0.5 if self.three_phase else 1.0
        store_number(self, "pct_start", "OneCycle(pct_start=0.3)", above=0.0, below=limit)
        store_number(self, "div_factor", "OneCycle(div_factor=25)", at_least=1.0)
        example = "OneCycle(final_div_factor=1e4)"
        store_number(self, "final_div_factor", example, at_least=1.0)
        check_choice("OneCycle.anneal_strategy", self.anneal_strategy, tuple(_ANNEALERS), "anneal_strategy='cos'")
        check_momenta(self)

    def phases(self, room: Room) -> Iterator[Phase | Repeat]:
        """Yield the rise and the falls. Their turning points may lie between two steps, as in torch."""
        start = 1.0 / self.div_factor
        end = start / self.final_div_factor
        levels = [start, 1.0, start, end] if self.three_phase else [start, 1.0, end]
        return self._travel(room, [Level(level) for level in levels])

    def momentum(self, room: Room) -> Iterator[Phase | Repeat]:
        """Yield the fall and the rise of the momentum."""
        high, low = Level(0.0, float(self.max_momentum)), Level(0.0, float(self.base_momentum))
        return self._travel(room, [high, low, high, high] if self.three_phase else [high, low, high])

    def _travel(self, room: Room, levels: Sequence[Level]) -> Iterator[Phase | Repeat]:
        """Yield the phases between levels, with the turning points of the policy."""
        total = room.length(self.total_steps, "OneCycle.total_steps")
        share = Fraction(Decimal(repr(float(self.pct_start))))
        turns, names = [Fraction(0), share * total - 1, Fraction(total - 1)], ["up", "down", "annihilation"]
        if self.three_phase:
            turns.insert(2, 2 * share * total - 2)
        if any(floor(before) >= floor(after) for before, after in pairwise(turns)):
            raise ValueError(
                f"OneCycle.pct_start = {self.pct_start!r} leaves a phase without a step in {room.amount(total)}. "
                f"Give a longer run or another share, for example OneCycle(pct_start=0.5)"
            )
        for i, (before, after) in enumerate(pairwise(turns)):
            first = 0 if i == 0 else floor(before) + 1
            yield Phase(
                names[i],
                floor(after) + 1 - first,
                levels[i],
                levels[i + 1],
                _ANNEALERS[self.anneal_strategy],
                span=float(after - before),
                shift=float(first - before),
            )


def _pick(value: Floors | None, index: int) -> float | None:
    """Return the value of one cycle from a number for all or a list with one each."""
    return value[index] if isinstance(value, Sequence) else value
