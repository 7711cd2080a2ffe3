"""timm.scheduler."""

import math
from collections.abc import Callable
from fractions import Fraction

from lightning_lrsched import SGDR, WSD, Cosine, Lambda, Linear, Plan, Polynomial, Schedule, Sequence, Step, Tanh
from tests.golden.adapters import (
    Ask,
    Case,
    Differs,
    adapter,
    by_function,
    exact,
    growing,
    not_built,
    ramp,
    restarts,
)
from tests.golden.pieces import plateaus

not_built("Plateau", "PlateauLRScheduler")

_UNDER_WAY = "the main schedule begins at its own start here, not as if it had run during the warmup"
_CYCLES = "cycles of another shape than the cosine, each with a peak of its own"


def _by_formula(
    ask: Ask,
    reason: str,
    weight: Callable[[float], float],
    *,
    t_initial: int,
    lr_min: float,
    cycle_mul: float,
    cycle_decay: float,
    cycle_limit: int,
    warmup_t: int,
    warmup_lr_init: float,
    warmup_prefix: bool,
    to_schedule: bool = False,
) -> Case:
    """Return the peer's cycles as a function of the step; ``weight`` falls from 1 to 0 in each of them.

    The warmup leads to the base lr, or with ``to_schedule`` to where the cycles are at its end.
    """
    base = ask.base_lr

    def lr(t: float) -> float:
        if t < warmup_t:
            target = lr(warmup_t) if to_schedule and not warmup_prefix else base
            return warmup_lr_init + t * (target - warmup_lr_init) / warmup_t
        left, length, cycle = Fraction(t) - (warmup_t if warmup_prefix else 0), exact(t_initial), 0
        while left >= length and cycle < cycle_limit:
            left, length, cycle = left - length, length * exact(cycle_mul), cycle + 1
        if cycle >= cycle_limit:
            return lr_min
        return float(lr_min + (base * cycle_decay**cycle - lr_min) * weight(float(left / length)))

    return by_function(reason, lambda t: lr(t) / base, base)


@adapter("CosineLRScheduler")
def cosine(
    ask: Ask,
    *,
    t_initial: int,
    lr_min: float = 0.0,
    cycle_mul: float = 1.0,
    cycle_decay: float = 1.0,
    cycle_limit: int = 1,
    warmup_t: int = 0,
    warmup_lr_init: float = 0.0,
    warmup_prefix: bool = False,
    k_decay: float = 1.0,
) -> Case:
    if cycle_limit < 1:
        raise Differs("a schedule of no cycle")
    under_way = warmup_t > 0 and not warmup_prefix
    if under_way or (k_decay != 1.0 and cycle_limit > 1):
        return _by_formula(
            ask,
            _UNDER_WAY if under_way else _CYCLES,
            lambda x: 0.5 + 0.5 * math.cos(math.pi * x**k_decay),
            t_initial=t_initial,
            lr_min=lr_min,
            cycle_mul=cycle_mul,
            cycle_decay=cycle_decay,
            cycle_limit=cycle_limit,
            warmup_t=warmup_t,
            warmup_lr_init=warmup_lr_init,
            warmup_prefix=warmup_prefix,
        )
    fineness, lengths = growing(ask, t_initial, cycle_mul, cycle_limit)
    warmup = ramp(warmup_t * fineness, warmup_lr_init / ask.base_lr)
    warm, whole = warmup_t * fineness, sum(lengths)
    if cycle_limit == 1:
        return Case(Plan(Cosine(eta_min=lr_min, k_decay=k_decay), warmup), ask.base_lr, warm + whole, fineness)
    if len(lengths) < cycle_limit and cycle_mul >= 1:
        plan = Plan(SGDR(lengths[0], cycle_mul, gamma=cycle_decay, eta_min=lr_min), warmup)
        return Case(plan, ask.base_lr, warm + whole, fineness)
    peaks = [cycle_decay**i for i in range(len(lengths))]
    lone = restarts(ask, ask.base_lr, lengths, peaks, [lr_min])
    return Case(Plan(lone.plan.main, warmup), ask.base_lr, warm + whole, fineness)


@adapter("PolyLRScheduler")
def polynomial(
    ask: Ask,
    *,
    t_initial: int,
    power: float = 0.5,
    lr_min: float = 0.0,
    cycle_mul: float = 1.0,
    cycle_decay: float = 1.0,
    cycle_limit: int = 1,
    warmup_t: int = 0,
    warmup_lr_init: float = 0.0,
    warmup_prefix: bool = False,
    k_decay: float = 1.0,
) -> Case:
    under_way = warmup_t > 0 and not warmup_prefix
    if under_way or k_decay != 1.0 or (cycle_limit > 1 and cycle_decay != 1.0):
        return _by_formula(
            ask,
            _UNDER_WAY if under_way else "a polynomial of a bent time" if k_decay != 1.0 else _CYCLES,
            lambda x: float((1 - x**k_decay) ** power),
            t_initial=t_initial,
            lr_min=lr_min,
            cycle_mul=cycle_mul,
            cycle_decay=cycle_decay,
            cycle_limit=cycle_limit,
            warmup_t=warmup_t,
            warmup_lr_init=warmup_lr_init,
            warmup_prefix=warmup_prefix,
        )
    return _cycles(
        ask,
        lambda length: Polynomial(length, power, eta_min=lr_min),
        growing(ask, t_initial, cycle_mul, cycle_limit),
        warmup_t,
        warmup_lr_init,
    )


def _cycles(
    ask: Ask,
    make: Callable[[int], Schedule],
    growth: tuple[int, list[int]],
    warmup_t: int,
    warmup_lr_init: float,
) -> Case:
    """Return cycles in a row, behind a line up to the base lr."""
    fineness, lengths = growth
    turns = [sum(lengths[: i + 1]) for i in range(len(lengths) - 1)]
    parts, warm = [make(length) for length in lengths], warmup_t * fineness
    if warm:
        parts.insert(0, Linear(warm, start_factor=warmup_lr_init / ask.base_lr, end_factor=1.0))
        turns = [warm, *(warm + turn for turn in turns)]
    return Case(Plan(Sequence(parts, turns) if turns else parts[0]), ask.base_lr, None, fineness)


@adapter("TanhLRScheduler")
def tanh(
    ask: Ask,
    *,
    t_initial: int,
    lb: float = -7.0,
    ub: float = 3.0,
    lr_min: float = 0.0,
    cycle_mul: float = 1.0,
    cycle_decay: float = 1.0,
    cycle_limit: int = 1,
    warmup_t: int = 0,
    warmup_lr_init: float = 0.0,
    warmup_prefix: bool = False,
) -> Case:
    if warmup_t and not warmup_prefix and cycle_limit == 1 and warmup_t < t_initial:
        # The S goes on from where it would be after the warmup, which leads there.
        begun = lb + (ub - lb) * warmup_t / t_initial
        main = Tanh(t_initial - warmup_t, lb=begun, ub=ub, eta_min=lr_min)
        first = lr_min + (ask.base_lr - lr_min) * (0.5 - 0.5 * math.tanh(begun))
        return Case(Plan(main, ramp(warmup_t, warmup_lr_init / first)), ask.base_lr)
    under_way = warmup_t > 0 and not warmup_prefix
    if under_way or (cycle_limit > 1 and cycle_decay != 1.0):
        return _by_formula(
            ask,
            _UNDER_WAY if under_way else _CYCLES,
            lambda x: 0.5 - 0.5 * math.tanh(lb * (1 - x) + ub * x),
            t_initial=t_initial,
            lr_min=lr_min,
            cycle_mul=cycle_mul,
            cycle_decay=cycle_decay,
            cycle_limit=cycle_limit,
            warmup_t=warmup_t,
            warmup_lr_init=warmup_lr_init,
            warmup_prefix=warmup_prefix,
            to_schedule=True,
        )
    return _cycles(
        ask,
        lambda length: Tanh(length, lb=lb, ub=ub, eta_min=lr_min),
        growing(ask, t_initial, cycle_mul, cycle_limit),
        warmup_t,
        warmup_lr_init,
    )


@adapter("StepLRScheduler")
def step(
    ask: Ask,
    *,
    decay_t: int,
    decay_rate: float = 1.0,
    warmup_t: int = 0,
    warmup_lr_init: float = 0.0,
    warmup_prefix: bool = True,
) -> Case:
    warmup = ramp(warmup_t, warmup_lr_init / ask.base_lr)
    if warmup_prefix or not warmup_t:
        return Case(Plan(Step(decay_t, decay_rate), warmup), ask.base_lr)
    drops = range(decay_t, max(ask.horizon, decay_t) + 1, decay_t)
    return Case(plateaus(warmup_t, warmup, drops, decay_rate), ask.base_lr)


@adapter("MultiStepLRScheduler")
def multi_step(
    ask: Ask,
    *,
    decay_t: list[int],
    decay_rate: float = 1.0,
    warmup_t: int = 0,
    warmup_lr_init: float = 0.0,
    warmup_prefix: bool = True,
) -> Case:
    # The peer asks whether t + 1 has passed a milestone, so each drop comes one step before it.
    shift = warmup_t - 1 if warmup_prefix else -1
    drops = [milestone + shift for milestone in decay_t]
    return Case(plateaus(warmup_t, ramp(warmup_t, warmup_lr_init / ask.base_lr), drops, decay_rate), ask.base_lr)


@adapter("WSDLRScheduler")
def warmup_stable_decay(
    ask: Ask,
    *,
    t_initial: int,
    decay_t: int,
    lr_min: float = 0.0,
    warmup_t: int = 0,
    warmup_lr_init: float = 0.0,
    decay_fn: str = "1-sqrt",
    stable_fn: str = "constant",
    decay_power: float = 0.5,
    decay_ratio: float = 0.1,
    stable_power: float = 0.5,
    stable_timescale: float | None = None,
) -> Case:
    warmup = ramp(warmup_t, warmup_lr_init / ask.base_lr)
    shape = {0.5: "1-sqrt", 1.0: "linear"}.get(decay_power) if decay_fn == "power" else decay_fn
    if stable_fn == "constant" and shape in ("linear", "cosine", "1-sqrt"):
        return Case(Plan(WSD(decay_t, shape, eta_min=lr_min), warmup), ask.base_lr, warmup_t + t_initial)
    falls: dict[str, Callable[[float], float]] = {
        "linear": lambda x: 1 - x,
        "1-sqrt": lambda x: 1 - math.sqrt(x),
        "cosine": lambda x: 0.5 + 0.5 * math.cos(math.pi * x),
        "power": lambda x: 1 - math.pow(x, decay_power),
        "exp": lambda x: (math.pow(decay_ratio, x) - decay_ratio) / (1 - decay_ratio),
    }
    exponent = {"constant": 0.0, "rsqrt": 0.5}.get(stable_fn, stable_power)
    low = lr_min / ask.base_lr

    def factor(t: float) -> float:
        stable = max(math.pow(1 + t / (stable_timescale or warmup_t or 1), -exponent), low)
        gone = min(max(0.0, t - (t_initial - decay_t)) / decay_t, 1.0)
        return low + (stable - low) * falls[decay_fn](gone)

    reason = f"a fall of the shape {decay_fn!r}" if stable_fn == "constant" else "a stable part that falls as well"
    return Case(Plan(Lambda(factor), warmup), ask.base_lr, written=reason)
