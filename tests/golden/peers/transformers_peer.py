"""transformers.optimization, and the same schedules of bolts and kozistr."""

from fractions import Fraction

from lightning_lrsched import SGDR, Constant, Cooldown, Cosine, Linear, Plan
from tests.golden.adapters import Ask, Case, Differs, NotBuilt, adapter, exact, not_built, ramp

not_built("Polynomial", "get_polynomial_decay_schedule_with_warmup")
not_built("InverseSqrt", "get_inverse_sqrt_schedule")
not_built("Plateau", "get_reduce_on_plateau_schedule")


@adapter("get_constant_schedule")
def constant(ask: Ask) -> Case:
    return Case(Plan(Constant()), ask.base_lr)


@adapter("get_constant_schedule_with_warmup")
def constant_with_warmup(ask: Ask, *, num_warmup_steps: int) -> Case:
    return Case(Plan(Constant(), ramp(num_warmup_steps, 0.0)), ask.base_lr)


@adapter("get_linear_schedule_with_warmup")
def linear(ask: Ask, *, num_warmup_steps: int, num_training_steps: int) -> Case:
    if num_warmup_steps >= num_training_steps:
        raise Differs("a warmup that leaves no step for the main schedule is refused")
    return Case(Plan(Linear(), ramp(num_warmup_steps, 0.0)), ask.base_lr, num_training_steps)


@adapter("get_cosine_schedule_with_warmup")
def cosine(ask: Ask, *, num_warmup_steps: int, num_training_steps: int, num_cycles: float = 0.5) -> list[Case]:
    return waves(ask, num_warmup_steps, num_training_steps, num_cycles=num_cycles)


def waves(
    ask: Ask, warm: int, total: int, *, start: float = 0.0, num_cycles: float = 0.5, floor: float = 0.0
) -> list[Case]:
    """Return a warmup from a factor and the cosine of a run, and the same that swings on past its end."""
    if warm >= total:
        raise Differs("a warmup that leaves no step for the main schedule is refused")
    main = Cosine(eta_min=floor, num_cycles=num_cycles)
    inside = Case(Plan(main, ramp(warm, start)), ask.base_lr, total, until=total)
    half = Fraction(total - warm) / exact(2 * num_cycles)
    fineness = half.denominator
    swing = Cosine(int(half * fineness), floor, periodic=True)
    return [inside, Case(Plan(swing, ramp(warm * fineness, start)), ask.base_lr, None, fineness)]


@adapter("get_cosine_with_hard_restarts_schedule_with_warmup")
def hard_restarts(ask: Ask, *, num_warmup_steps: int, num_training_steps: int, num_cycles: int = 1) -> Case:
    if num_warmup_steps >= num_training_steps:
        raise Differs("a warmup that leaves no step for the main schedule is refused")
    period = Fraction(num_training_steps - num_warmup_steps) / exact(num_cycles)
    if num_cycles != int(num_cycles):
        raise Differs("a last cycle that is cut to a floor it has not reached")
    fineness = period.denominator
    main = SGDR(periods=[int(period * fineness)] * int(num_cycles))
    plan = Plan(main, ramp(num_warmup_steps * fineness, 0.0))
    return Case(plan, ask.base_lr, num_training_steps * fineness, fineness)


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
) -> list[Case]:
    # The peer's warmup ends on the peak itself, so that the main schedule begins one step earlier than its name says.
    if num_warmup_steps < 1:
        raise Differs("a main schedule that begins at its second step")
    if num_warmup_steps == 1 and warmup_lr_rate is not None:
        raise Differs("a warmup of one step that replaces the peak")
    start = 1.0 / num_warmup_steps if warmup_lr_rate is None else warmup_lr_rate
    floor, warm = _floor(ask, min_lr, min_lr_rate), num_warmup_steps - 1
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
    if "1-sqrt" in (warmup_type, decay_type) or num_cycles != 0.5:
        raise NotBuilt("WSD")
    warmup = ramp(num_warmup_steps, min_lr_ratio, warmup_type)
    floor, total = min_lr_ratio * ask.base_lr, num_warmup_steps + num_stable_steps + num_decay_steps
    if num_stable_steps < 1:
        main = Cosine(eta_min=floor) if decay_type == "cosine" else Linear(end_factor=min_lr_ratio)
        return Case(Plan(main, warmup), ask.base_lr, total)
    return Case(Plan(Constant(), warmup, Cooldown(num_decay_steps, decay_type, floor)), ask.base_lr, total)


@adapter("get_wsd_schedule")
def warmup_stable_decay_of_kozistr(
    ask: Ask,
    *,
    num_warmup_steps: int,
    num_stable_steps: int,
    num_decay_steps: int,
    min_lr_ratio: float = 0.0,
    cooldown_type: str = "1-sqrt",
) -> Case:
    if cooldown_type not in ("linear", "cosine") or min_lr_ratio:
        raise NotBuilt("WSD")
    return warmup_stable_decay(
        ask,
        num_warmup_steps=num_warmup_steps,
        num_stable_steps=num_stable_steps,
        num_decay_steps=num_decay_steps,
        decay_type=cooldown_type,
    )


@adapter("linear_warmup_decay")
def linear_warmup_decay(
    ask: Ask, *, warmup_steps: int, total_steps: int, cosine: bool = True, linear: bool = False
) -> Case | list[Case]:
    if cosine:
        return waves(ask, warmup_steps, total_steps)
    if linear and max(ask.times) > total_steps:
        raise Differs("a line that goes on below zero")
    return Case(Plan(Linear() if linear else Constant(), ramp(warmup_steps, 0.0)), ask.base_lr, total_steps)


@adapter("LinearWarmupCosineAnnealingLR")
def linear_warmup_cosine(
    ask: Ask, *, warmup_epochs: int, max_epochs: int, warmup_start_lr: float = 0.0, eta_min: float = 0.0
) -> Case:
    if warmup_epochs < 1 or max(ask.times) > max_epochs:
        raise Differs("a start at the warmup's lr without a warmup, or a swing past the end")
    start = warmup_start_lr / ask.base_lr
    if warmup_epochs == 1:
        return Case(Plan(Cosine(eta_min=eta_min), ramp(1, start)), ask.base_lr, max_epochs)
    # The peer warms up over one interval less than it says and then uses the peak twice.
    fall = Cooldown(max_epochs - warmup_epochs, "cosine", eta_min)
    return Case(Plan(Constant(), ramp(warmup_epochs - 1, start), fall), ask.base_lr, max_epochs)
