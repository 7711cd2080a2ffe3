"""pytorch_warmup, ignite, katsura and kozistr."""

import math
from typing import Any

from lightning_lrsched import SGDR, Constant, Cosine, Plan, Warmup
from tests.golden.adapters import (
    Ask,
    Case,
    Differs,
    NotBuilt,
    Piece,
    adapter,
    joined,
    made,
    not_built,
    plateaus,
    ramp,
    restarts,
)

not_built("an exponential approach as warmup", "ExponentialWarmup", "UntunedExponentialWarmup", "RAdamWarmup")
not_built("REX", "REXScheduler")
not_built("Cyclic", "LinearCyclicalScheduler")

_OVERLAP = "a warmup that overlaps the main schedule"


_MAINS = (
    "StepLR",
    "MultiStepLR",
    "ConstantLR",
    "LinearLR",
    "ExponentialLR",
    "PolynomialLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "OneCycleLR",
    "SequentialLR",
)
for _warmup in ("ExponentialWarmup", "UntunedLinearWarmup", "UntunedExponentialWarmup", "RAdamWarmup"):
    not_built(_OVERLAP, *(f"{_warmup}*{main}" for main in _MAINS))


@adapter("LinearWarmup", *(f"LinearWarmup*{main}" for main in _MAINS))
def linear_warmup(ask: Ask, *, warmup: dict[str, Any], scheduler: dict[str, Any] | None) -> Case:
    # The factor (t+1)/n is that of a warmup of n-1 steps here, and the peak is then the main schedule's first step.
    steps = int(warmup["warmup_period"]) - 1
    rise = Warmup(steps) if steps else None
    if scheduler is None:
        return Case(Plan(Constant(), rise), ask.base_lr)
    gamma = scheduler.get("gamma", 0.1)
    if "step_size" in scheduler:
        size = scheduler["step_size"]
        drops = list(range(size, max(ask.horizon, size) + 1, size))
    elif "milestones" in scheduler:
        drops = scheduler["milestones"]
    else:
        raise NotBuilt(_OVERLAP)
    if drops[0] <= steps:
        raise NotBuilt(_OVERLAP)
    return Case(plateaus(steps, rise, drops, gamma), ask.base_lr)


@adapter("UntunedLinearWarmup")
def untuned_linear(ask: Ask, *, warmup: dict[str, Any], scheduler: dict[str, Any] | None, betas: list[float]) -> Case:
    if scheduler is not None or betas[0] != betas[-1]:
        raise NotBuilt(_OVERLAP)
    period = math.floor(2.0 / (1.0 - betas[-1]) + 0.5)
    return linear_warmup(ask, warmup={"warmup_period": period}, scheduler=None)


@adapter("create_lr_scheduler_with_warmup")
def ignite_warmup(
    ask: Ask,
    *,
    inner: list[Any],
    warmup_start_value: float,
    warmup_duration: int,
    warmup_end_value: float | None = None,
) -> Case:
    case = made(inner[0], ask, inner[1])
    lone = case[0] if isinstance(case, list) else case
    if warmup_end_value not in (None, lone.base_lr):
        raise Differs("the warmup leads to another lr than the main schedule begins with")
    steps = warmup_duration - 1
    warmup = ramp(steps, warmup_start_value / lone.base_lr)
    return Case(Plan(lone.plan.main, warmup), lone.base_lr, lone.total and lone.total + steps)


@adapter("CosineAnnealingScheduler")
def ignite_cosine(
    ask: Ask,
    *,
    start_value: float,
    end_value: float,
    cycle_size: int,
    cycle_mult: float = 1.0,
    start_value_mult: float = 1.0,
    end_value_mult: float = 1.0,
) -> Case:
    lengths = [cycle_size]
    while sum(lengths) < ask.horizon:
        lengths.append(int(lengths[-1] * cycle_mult))
    peaks = [start_value_mult**i for i in range(len(lengths))]
    floors = [end_value * end_value_mult**i for i in range(len(lengths))]
    if set(peaks + floors) <= {1.0, end_value} and cycle_mult == int(cycle_mult) and cycle_mult >= 1:
        return Case(Plan(SGDR(cycle_size, cycle_mult, eta_min=end_value)), start_value, sum(lengths))
    return restarts(ask, start_value, lengths, peaks, floors, total=sum(lengths))


@adapter("PiecewiseLinear")
def piecewise_linear(ask: Ask, *, milestones_values: list[tuple[int, float]]) -> Case:
    (begin, value), *later = milestones_values
    pieces = [Piece(begin, value, value, "constant")]
    for step, level in later:
        pieces.append(Piece(step - begin, value, level, "constant" if value == level else "linear"))
        begin, value = step, level
    return joined(pieces)


@adapter("CosineAnnealingWarmupRestarts")
def katsura(
    ask: Ask,
    *,
    first_cycle_steps: int,
    cycle_mult: float = 1.0,
    max_lr: float = 0.1,
    min_lr: float = 0.001,
    warmup_steps: int = 0,
    gamma: float = 1.0,
) -> Case:
    lengths = [first_cycle_steps]
    while sum(lengths) < ask.horizon:
        lengths.append(int((lengths[-1] - warmup_steps) * cycle_mult) + warmup_steps)
    if warmup_steps and len(lengths) > 1:
        raise NotBuilt("a warmup in every cycle")
    if warmup_steps:
        plan = Plan(Cosine(eta_min=min_lr), ramp(warmup_steps, min_lr / max_lr))
        return Case(plan, max_lr, first_cycle_steps)
    if cycle_mult == 1.0 and gamma <= 1.0:
        return Case(Plan(SGDR(first_cycle_steps, eta_min=min_lr, gamma=gamma)), max_lr, sum(lengths))
    peaks = [gamma**i for i in range(len(lengths))]
    return restarts(ask, max_lr, lengths, peaks, [min_lr], total=sum(lengths))
