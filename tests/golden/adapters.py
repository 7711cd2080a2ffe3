"""From a peer's schedule and its parameters to the same curve made with the public API of this package."""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, TypeAlias, TypeVar

from lightning_lrsched import SGDR, Duration, Lambda, Plan, RunLength, Timeline, Warmup
from lightning_lrsched.torch_schedules import Driven, simulate
from lightning_lrsched.units import DurationLike


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
        written: why no schedule of this package has the curve, where the plan holds a `Lambda` with the peer's formula.
        key: which value of the parameter group the vector speaks of.
    """

    plan: Plan
    base_lr: float
    total: int | None = None
    fineness: int = 1
    until: float = math.inf
    written: str = ""
    key: str = "lr"

    @property
    def timeline(self) -> Timeline:
        """The timeline of the value that the vector speaks of."""
        return self.plan.resolve(self.run) if self.key == "lr" else self.plan.resolve_others(self.run)[self.key]

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
class DrivenCase:
    """A schedule that torch drives, run as in a training.

    Args:
        main: the schedule.
        base_lr: the lr it is given.
        metrics: what a plateau is fed with.
        ahead: advances that come before the value at t = 0.
    """

    main: Driven
    base_lr: float
    metrics: tuple[float, ...] = ()
    ahead: int = 0
    written: str = ""

    def values(self, count: int) -> list[float]:
        """Return the lr at t = 0 .. count-1."""
        return simulate(self.main, count + self.ahead, self.base_lr, metrics=self.metrics)[self.ahead :]


@dataclass(frozen=True)
class Ask:
    """What a vector says beside the schedule's own parameters."""

    base_lr: float
    times: tuple[float, ...]
    key: str = "lr"
    first: float = 0.0

    @property
    def horizon(self) -> int:
        """First whole t after all those of the vector."""
        return math.floor(max(self.times)) + 1

    def fineness(self, *more: float) -> int:
        """Return the smallest number of steps for a unit of t that makes every t, and ``more``, a whole step."""
        return math.lcm(*(exact(value).denominator for value in (*self.times, *more)))


MOMENTA = ("momentum", "betas[0]", "beta1")
Cases: TypeAlias = Case | DrivenCase | list[Case]
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


def cases_of(vector: dict[str, Any]) -> list[Case] | list[DrivenCase]:
    """Return the cases that must reproduce a vector.

    Raises:
        NotBuilt: if it needs a schedule that is still to come.
        Differs: if this package departs from the peer on purpose.
        Refused: if this package refuses one of the values.
        Unknown: if no adapter knows the schedule or one of its parameters.
    """
    param = vector.get("param", "lr")
    key = "lr" if param == "lr" else "momentum" if param in MOMENTA else None
    if key is None:
        raise NotBuilt(f"schedules of {param}")
    ask = Ask(float(vector["base_lr"]), tuple(float(t) for t, _ in vector["values"]), key, vector["values"][0][1])
    try:
        found = made(vector["schedule"], ask, vector["params"])
        if isinstance(found, DrivenCase):
            return [found]
        cases = found if isinstance(found, list) else [found]
        if key != "lr":
            cases = [replace(case, key=key) for case in cases]
        for case in cases:
            if key != "lr" and key not in case.plan.resolve_others(case.run):
                raise Unknown(f"{key} of {vector['schedule']}")
            assert case.timeline
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


def main_of(name: str, ask: Ask, params: dict[str, Any]) -> Case:
    """Return the case of a peer's schedule that is a main schedule alone, to be put into a larger plan."""
    found = made(name, ask, params)
    cases = found if isinstance(found, list) else [found]
    for case in cases:
        if isinstance(case, Case) and case.plan.warmup is None and case.plan.cooldown is None:
            return case
    raise Differs(f"{name} is a whole plan here, not a schedule that can be put into another one")


def by_function(reason: str, factor: Callable[[float], float], base_lr: float, fineness: int = 1) -> Case:
    """Return the peer's own formula, t to a factor of the base lr, as a `Lambda`."""
    plan = Plan(Lambda(lambda step: factor(step / fineness)))
    return Case(plan, base_lr, None, fineness, written=reason)


def exact(value: float) -> Fraction:
    """Return the fraction with a small denominator that a decimal or a rounded quotient stands for."""
    near = Fraction(value).limit_denominator(100_000)
    return near if math.isclose(near, value, rel_tol=1e-12, abs_tol=1e-15) else Fraction(str(value))


def steps_of(duration: DurationLike) -> int:
    """Return the steps of a duration that is given in steps."""
    return Duration(duration).resolve(RunLength())


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
