"""From a peer's schedule and its parameters to the same curve made with the public API of this package."""

import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any, TypeAlias, TypeVar

from lightning_lrsched import SGDR, Constant, Cooldown, Cosine, Linear, MultiStep, Plan, RunLength, Schedule, Warmup


class NotBuilt(Exception):
    """The peer's schedule needs one that this package does not have yet."""


class Differs(Exception):
    """The peer's curve is none that this package makes, on purpose. Carries the reason."""


class Refused(Exception):
    """The peer takes a value that this package refuses. Carries the message."""


class Unknown(Exception):
    """No adapter knows this name, or this combination of parameters."""


@dataclass(frozen=True)
class Case:
    """A plan in a run, and how the vector's t is counted in its steps.

    Args:
        plan: the plan that makes the peer's curve.
        base_lr: its peak lr.
        total: steps of the run, or None for one without end.
        fineness: steps for one unit of the vector's t; more than 1 where t or a boundary lies between two steps.
        until: last t that this case speaks of.
    """

    plan: Plan
    base_lr: float
    total: int | None = None
    fineness: int = 1
    until: float = math.inf

    @property
    def run(self) -> RunLength:
        """The run to resolve the plan against."""
        return RunLength(total_steps=self.total)

    def step(self, t: float) -> int:
        """Return the step of the vector's ``t``."""
        step = t * self.fineness
        if abs(step - round(step)) > 1e-6:
            raise AssertionError(f"t = {t!r} is no whole step at {self.fineness} steps for each unit")
        return round(step)


@dataclass(frozen=True)
class Ask:
    """What a vector says beside the schedule's own parameters."""

    base_lr: float
    times: tuple[float, ...]
    param: str = "lr"

    @property
    def horizon(self) -> int:
        """First whole t after all those of the vector."""
        return math.floor(max(self.times)) + 1

    def fineness(self, *more: float) -> int:
        """Return the smallest number of steps for a unit of t that makes every t, and ``more``, a whole step."""
        return math.lcm(*(exact(value).denominator for value in (*self.times, *more)))


Cases: TypeAlias = Case | list[Case]
Adapter: TypeAlias = Callable[..., Cases]
F = TypeVar("F", bound=Adapter)
_ADAPTERS: dict[str, list[Adapter]] = {}


def adapter(*names: str) -> Callable[[F], F]:
    """Register the adapter of the peers' schedules of these names."""

    def register(function: F) -> F:
        for name in names:
            _ADAPTERS.setdefault(name, []).append(function)
        return function

    return register


def not_built(ours: str, *names: str) -> None:
    """Register names of peers whose schedule needs one of ours that is still to come."""

    def refuse(ask: Ask, **params: Any) -> Cases:
        raise NotBuilt(ours)

    adapter(*names)(refuse)


def cases_of(vector: dict[str, Any]) -> list[Case]:
    """Return the cases that must reproduce a vector.

    Raises:
        NotBuilt: if it needs a schedule that is still to come.
        Differs: if this package departs from the peer on purpose.
        Refused: if this package refuses one of the values.
        Unknown: if no adapter knows the schedule or one of its parameters.
    """
    name = vector["schedule"]
    if vector.get("param", "lr") != "lr":
        raise NotBuilt(f"schedules of {vector['param']}")
    ask = Ask(float(vector["base_lr"]), tuple(float(t) for t, _ in vector["values"]))
    try:
        found = made(name, ask, vector["params"])
        cases = found if isinstance(found, list) else [found]
        for case in cases:
            case.plan.resolve(case.run)
    except ValueError as error:
        raise Refused(str(error)) from error
    return cases


def made(name: str, ask: Ask, params: dict[str, Any]) -> Cases:
    """Call the first adapter of ``name`` that takes these parameters."""
    known = [*_ADAPTERS.get(name, ()), *(_ADAPTERS["schedulers"] if "schedulers" in params else ())]
    for function in known:
        try:
            inspect.signature(function).bind(ask, **params)
        except TypeError:
            continue
        result: Cases = function(ask, **params)
        return result
    raise Unknown(f"{name}({', '.join(sorted(params))})" if known else name)


def exact(value: float) -> Fraction:
    """Return the fraction with a small denominator that a decimal or a rounded quotient stands for."""
    near = Fraction(value).limit_denominator(100_000)
    return near if math.isclose(near, value, rel_tol=1e-12, abs_tol=1e-15) else Fraction(str(value))


def same(one: float, other: float) -> bool:
    """Whether two levels are equal up to rounding."""
    return math.isclose(one, other, rel_tol=1e-12, abs_tol=0.0)


def ramp(steps: int, start_factor: float, shape: str = "linear") -> Warmup | None:
    """Return a warmup in the start_factor form, or None for no steps."""
    if steps < 1:
        return None
    if start_factor >= 1.0:
        raise Differs("a warmup from above the lr it leads to is no warmup here")
    return Warmup(steps, shape=shape, start_factor=start_factor)


def plateaus(warm: int, warmup: Warmup | None, drops: Iterable[int], gamma: float) -> Plan:
    """Return constant plateaus that drop at steps counted from 0, behind a warmup of ``warm`` steps."""
    drops = list(drops)
    if any(drop <= warm for drop in drops) and (warm or 0 in drops):
        raise Differs("a milestone inside the warmup is no milestone here: milestones count from the warmup's end")
    return Plan(MultiStep([drop - warm for drop in drops], gamma) if drops else Constant(), warmup)


def geometric(values: Sequence[float]) -> float | None:
    """Return the common factor of consecutive values, or None if there is none."""
    factors = [after / before for before, after in pairwise(values)]
    return factors[0] if factors and all(same(factor, factors[0]) for factor in factors) else None


def growing(ask: Ask, first: float, growth: float, most: int | None = None) -> tuple[int, list[int]]:
    """Return the fineness that makes every cycle a whole number of steps, and the cycles up to the horizon."""
    lengths: list[Fraction] = []
    length, factor = exact(first), exact(growth)
    while sum(lengths) <= max(ask.times) and (most is None or len(lengths) < most):
        lengths.append(length)
        length *= factor
    fineness = math.lcm(*(length.denominator for length in lengths), ask.fineness())
    if fineness > 10**6:
        raise Differs("restarts lie between two steps; a cycle is a whole number of steps here")
    return fineness, [int(length * fineness) for length in lengths]


def restarts(
    ask: Ask, base_lr: float, lengths: list[int], peaks: list[float], floors: list[float], **case: Any
) -> Case:
    """Return cosine cycles of given lengths, from given multiples of the base lr down to absolute floors."""
    eta_min: float | list[float] = floors if len(set(floors)) > 1 else floors[0]
    max_ratios = None if all(peak == 1.0 for peak in peaks) else peaks
    return Case(Plan(SGDR(periods=lengths, max_ratios=max_ratios, eta_min=eta_min)), base_lr, **case)


@dataclass(frozen=True)
class Piece:
    """A stretch of a curve between two absolute levels: ``"constant"``, ``"linear"`` or ``"cosine"``."""

    length: int
    start: float
    end: float
    shape: str = "linear"

    @property
    def flat(self) -> bool:
        """Whether it stays where it starts."""
        return self.shape == "constant" or self.start == self.end


def joined(pieces: list[Piece], fineness: int = 1) -> Case:
    """Return pieces in a row as warmup, main schedule and cooldown, as far as that is what they are."""
    pieces = _merged(pieces)
    total = sum(piece.length for piece in pieces)
    warmup, cooldown, main = None, None, list(pieces)
    if len(main) > 1 and not all(piece.flat for piece in main) and main[0].start < main[1].start:
        first = main.pop(0)
        if not first.flat and not same(first.end, main[0].start):
            raise Differs("the warmup leads to another lr than the main schedule begins with")
        warmup = ramp(first.length, first.start / main[0].start, "constant" if first.flat else first.shape)
    if len(main) > 1 and main[-1].end < main[-1].start and same(main[-2].end, main[-1].start):
        last = main.pop()
        cooldown = Cooldown(last.length, shape=last.shape, eta_min=last.end)
    base_lr = main[0].start or main[0].end
    return Case(Plan(_main_of(main, base_lr), warmup, cooldown), base_lr, total, fineness)


def _merged(pieces: list[Piece]) -> list[Piece]:
    """Return the pieces without empty ones, and with constant neighbours of one level made one."""
    out: list[Piece] = []
    for piece in pieces:
        if piece.length < 1:
            continue
        if out and out[-1].flat and piece.flat and same(out[-1].end, piece.start):
            out.append(Piece(out.pop().length + piece.length, piece.start, piece.end, "constant"))
        else:
            out.append(piece)
    if len(out) > 1 and out[-1].flat and not out[-2].flat and same(out[-2].end, out[-1].start):
        out.pop()
    return out


def _main_of(pieces: list[Piece], base_lr: float) -> Schedule:
    """Return the main schedule that pieces make, from the base lr that belongs to its first level."""
    if all(piece.flat for piece in pieces):
        gamma = geometric([piece.start for piece in pieces])
        if len(pieces) == 1:
            return Constant()
        if gamma is None:
            raise NotBuilt("PiecewiseConstant")
        ends = [sum(piece.length for piece in pieces[: i + 1]) for i in range(len(pieces) - 1)]
        return MultiStep(ends, gamma)
    if len(pieces) > 1:
        raise NotBuilt("a chain of more than warmup, main schedule and cooldown")
    only = pieces[0]
    if only.shape == "cosine":
        return Cosine(only.length, only.end)
    return Linear(only.length, start_factor=only.start / base_lr, end_factor=only.end / base_lr)
