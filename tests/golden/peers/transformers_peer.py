"""transformers.optimization, and the same schedules of bolts and kozistr."""

import math
from fractions import Fraction
from typing import Any

from lightning_lrsched import (
    SGDR,
    WSD,
    Constant,
    Cosine,
    InverseSqrt,
    Linear,
    Plan,
    Polynomial,
    Schedule,
    Sequence,
)
from tests.golden.adapters import Ask, Case, Differs, adapter, by_function, exact, not_built, ramp

not_built("Plateau", "get_reduce_on_plateau_schedule")


@adapter("get_constant_schedule")
def constant(ask: Ask) -> Case:
    return Case(Plan(Constant()), ask.base_lr)


@adapter("get_constant_schedule_with_warmup")
def constant_with_warmup(ask: Ask, *, num_warmup_steps: int) -> Case:
    return Case(Plan(Constant(), ramp(num_warmup_steps, 0.0)), ask.base_lr)


def _filled(ask: Ask, warm: int, factor: float) -> Case:
    """Return a warmup that fills the run, after which the schedule is at its end already."""
    return Case(Plan(Sequence([Linear(warm, start_factor=0.0, end_factor=1.0), Constant(factor)], [warm])), ask.base_lr)


@adapter("get_linear_schedule_with_warmup")
def linear(ask: Ask, *, num_warmup_steps: int, num_training_steps: int) -> Case:
    if num_warmup_steps >= num_training_steps:
        return _filled(ask, num_warmup_steps, 0.0)
    return Case(Plan(Linear(), ramp(num_warmup_steps, 0.0)), ask.base_lr, num_training_steps)


@adapter("get_cosine_schedule_with_warmup")
def cosine(ask: Ask, *, num_warmup_steps: int, num_training_steps: int, num_cycles: float = 0.5) -> list[Case]:
    return waves(ask, num_warmup_steps, num_training_steps, num_cycles=num_cycles)


def waves(
    ask: Ask, warm: int, total: int, *, start: float = 0.0, num_cycles: float = 0.5, floor: float = 0.0
) -> list[Case]:
    """Return a warmup from a factor and the cosine of a run, and the same that swings on past its end."""
    length = max(1, total - warm)
    half = Fraction(length) / exact(2 * num_cycles)
    fineness = half.denominator
    swing = Cosine(int(half * fineness), floor, periodic=True)
    swinging = Case(Plan(swing, ramp(warm * fineness, start)), ask.base_lr, None, fineness)
    main = Cosine(eta_min=floor, num_cycles=num_cycles)
    end = warm + length
    return [Case(Plan(main, ramp(warm, start)), ask.base_lr, end, until=end), swinging]


@adapter("get_cosine_with_hard_restarts_schedule_with_warmup")
def hard_restarts(ask: Ask, *, num_warmup_steps: int, num_training_steps: int, num_cycles: float = 1) -> list[Case]:
    length = max(1, num_training_steps - num_warmup_steps)
    period = Fraction(length) / exact(num_cycles)
    fineness = period.denominator
    warmup, end = ramp(num_warmup_steps * fineness, 0.0), length * fineness
    # The end value follows at once, also where the last cycle is cut before it has reached it.
    whole = SGDR(int(period * fineness)) if period <= length else SGDR(periods=[int(period * fineness)])
    found = [Case(Plan(Sequence([whole, Constant(0.0)], [end]), warmup), ask.base_lr, None, fineness)]
    if num_cycles == int(num_cycles):
        main = SGDR(periods=[int(period * fineness)] * int(num_cycles))
        found.insert(0, Case(Plan(main, warmup), ask.base_lr, (num_warmup_steps + length) * fineness, fineness))
    return found


@adapter("get_polynomial_decay_schedule_with_warmup")
def polynomial(
    ask: Ask, *, num_warmup_steps: int, num_training_steps: int, lr_end: float = 1e-7, power: float = 1.0
) -> Case:
    if num_warmup_steps >= num_training_steps:
        return _filled(ask, num_warmup_steps, lr_end / ask.base_lr)
    plan = Plan(Polynomial(power=power, eta_min=lr_end), ramp(num_warmup_steps, 0.0))
    return Case(plan, ask.base_lr, num_training_steps)


@adapter("get_inverse_sqrt_schedule")
def inverse_sqrt(ask: Ask, *, num_warmup_steps: int, timescale: int | None = None) -> Case:
    main = InverseSqrt(timescale or num_warmup_steps or 10_000)
    return Case(Plan(main, ramp(num_warmup_steps, 0.0)), ask.base_lr)


def _floor(ask: Ask, min_lr: float | None, min_lr_rate: float | None) -> float:
    return min_lr if min_lr is not None else (min_lr_rate or 0.0) * ask.base_lr


@adapter("get_cosine_with_min_lr_schedule_with_warmup")
def cosine_with_min_lr(
    ask: Ask,
    *,
    num_warmup_steps: int,
    num_training_steps: int,
    num_cycles: float = 0.5,
    min_lr: float | None = None,
    min_lr_rate: float | None = None,
) -> list[Case]:
    floor = _floor(ask, min_lr, min_lr_rate)
    return waves(ask, num_warmup_steps, num_training_steps, num_cycles=num_cycles, floor=floor)


@adapter("get_cosine_with_min_lr_schedule_with_warmup_lr_rate")
def cosine_with_min_lr_and_rate(
    ask: Ask,
    *,
    num_warmup_steps: int,
    num_training_steps: int,
    num_cycles: float = 0.5,
    min_lr: float | None = None,
    min_lr_rate: float | None = None,
    warmup_lr_rate: float | None = None,
) -> Case | list[Case]:
    # The peer's warmup ends on the peak itself, so that the main schedule begins one step earlier than its name says.
    floor, warm = _floor(ask, min_lr, min_lr_rate), num_warmup_steps - 1
    if num_warmup_steps < 1 or (num_warmup_steps == 1 and warmup_lr_rate is not None):
        length, rate = max(1, num_training_steps - num_warmup_steps), floor / ask.base_lr

        def factor(t: float) -> float:
            if t < num_warmup_steps:
                return float(warmup_lr_rate or 0.0)
            weight = 0.5 + 0.5 * math.cos(2 * math.pi * num_cycles * (t - num_warmup_steps + 1) / length)
            return weight * (1 - rate) + rate

        return by_function("a main schedule that begins at its second step", factor, ask.base_lr)
    start = 1.0 / num_warmup_steps if warmup_lr_rate is None else warmup_lr_rate
    return waves(ask, warm, num_training_steps - 1, start=start, num_cycles=num_cycles, floor=floor)


@adapter("get_wsd_schedule")
def warmup_stable_decay(
    ask: Ask,
    *,
    num_warmup_steps: int,
    num_decay_steps: int,
    num_training_steps: int | None = None,
    num_stable_steps: int | None = None,
    warmup_type: str = "linear",
    decay_type: str = "cosine",
    min_lr_ratio: float = 0.0,
    num_cycles: float = 0.5,
) -> Case:
    if num_stable_steps is None:
        num_stable_steps = (num_training_steps or 0) - num_warmup_steps - num_decay_steps
    main = _stable_decay(num_stable_steps, num_decay_steps, decay_type, min_lr_ratio, num_cycles)
    total = num_warmup_steps + num_stable_steps + num_decay_steps
    run = None if isinstance(main, Sequence) else total
    if warmup_type != "1-sqrt" or not num_warmup_steps:
        return Case(Plan(main, ramp(num_warmup_steps, min_lr_ratio, warmup_type)), ask.base_lr, run)
    # The rise is a polynomial from the lower lr up to the peak, which the main schedule takes over as its base.
    rise = Polynomial(num_warmup_steps, 0.5, eta_min=ask.base_lr)
    plan = Plan(Sequence([rise, main], [num_warmup_steps], join="reached"))
    return Case(plan, min_lr_ratio * ask.base_lr, run)


def _stable_decay(stable: int, decay: int, shape: str, ratio: float, num_cycles: float) -> Schedule:
    """Return the base lr and the fall after it, whose end value follows at once."""
    if shape != "cosine" or num_cycles == 0.5:
        return WSD(decay, shape, eta_min_ratio=ratio) if decay else Sequence([Constant(), Constant(ratio)], [stable])
    fall = Cosine(decay, num_cycles=num_cycles, eta_min_ratio=ratio)
    parts: list[Schedule] = [Constant(), fall, Constant(ratio)]
    turns = [stable, stable + decay]
    return Sequence(parts, turns) if stable else Sequence(parts[1:], turns[1:])


@adapter("get_wsd_schedule")
def warmup_stable_decay_of_kozistr(
    ask: Ask,
    *,
    num_warmup_steps: int,
    num_stable_steps: int,
    num_decay_steps: int,
    min_lr_ratio: float = 0.0,
    cooldown_type: str = "1-sqrt",
    num_cycles: float = 0.5,
) -> Case:
    warmup = ramp(num_warmup_steps, 0.0)
    if cooldown_type == "1-square":
        raise Differs("a fall with the square of the time")
    ratio = min_lr_ratio if cooldown_type == "cosine" else 0.0
    end = num_stable_steps + num_decay_steps
    fall = _stable_decay(num_stable_steps, num_decay_steps, cooldown_type, ratio, num_cycles)
    if min_lr_ratio == ratio:
        return Case(Plan(fall, warmup), ask.base_lr, num_warmup_steps + end)
    # Only the cosine falls to the floor; the others fall to zero, and the floor follows.
    return Case(Plan(Sequence([fall, Constant(min_lr_ratio)], [end]), warmup), ask.base_lr)


@adapter("linear_warmup_decay")
def linear_warmup_decay(
    ask: Ask, *, warmup_steps: int, total_steps: int, cosine: bool = True, linear: bool = False
) -> Case | list[Case]:
    if cosine:
        return waves(ask, warmup_steps, total_steps)
    if linear and max(ask.times) > total_steps:
        raise Differs("an lr below zero is refused")
    return Case(Plan(Linear() if linear else Constant(), ramp(warmup_steps, 0.0)), ask.base_lr, total_steps)


@adapter("LinearWarmupCosineAnnealingLR")
def linear_warmup_cosine(
    ask: Ask, *, warmup_epochs: int, max_epochs: int, warmup_start_lr: float = 0.0, eta_min: float = 0.0
) -> Case:
    swing: dict[str, Any] = {"eta_min": eta_min, "periodic": True}
    if warmup_epochs < 1:
        # The peer begins with the warmup's lr all the same, and falls from there.
        return Case(Plan(Cosine(max_epochs, **swing)), warmup_start_lr)
    fall, start = Cosine(max_epochs - warmup_epochs, **swing), warmup_start_lr / ask.base_lr
    if warmup_epochs == 1:
        return Case(Plan(fall, ramp(1, start)), ask.base_lr)
    # The peer warms up over one interval less than it says and then uses the peak twice.
    return Case(Plan(Sequence([Constant(), fall], [1]), ramp(warmup_epochs - 1, start)), ask.base_lr)
