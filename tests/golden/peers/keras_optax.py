"""keras.optimizers.schedules and optax.schedules."""

import re
from typing import Any

from lightning_lrsched import SGDR, Constant, Cooldown, Cosine, OneCycle, Plan, Step
from tests.golden.adapters import (
    Ask,
    Case,
    Differs,
    NotBuilt,
    Piece,
    adapter,
    growing,
    joined,
    not_built,
    plateaus,
    ramp,
    restarts,
)

not_built("Polynomial", "PolynomialDecay")
not_built("Power", "InverseTimeDecay")
not_built("Exponential", "warmup_exponential_decay_schedule")


@adapter("CosineDecay")
def cosine_decay(
    ask: Ask,
    *,
    decay_steps: int,
    initial_learning_rate: float | None = None,
    alpha: float = 0.0,
    warmup_target: float | None = None,
    warmup_steps: int = 0,
) -> Case:
    initial = ask.base_lr if initial_learning_rate is None else initial_learning_rate
    if warmup_target is None:
        return Case(Plan(Cosine(eta_min_ratio=alpha)), initial, decay_steps)
    warmup = ramp(warmup_steps, initial / warmup_target)
    return Case(Plan(Cosine(eta_min_ratio=alpha), warmup), warmup_target, warmup_steps + decay_steps)


@adapter("CosineDecayRestarts")
def cosine_decay_restarts(
    ask: Ask,
    *,
    first_decay_steps: int,
    initial_learning_rate: float | None = None,
    t_mul: float = 2.0,
    m_mul: float = 1.0,
    alpha: float = 0.0,
) -> Case:
    initial = ask.base_lr if initial_learning_rate is None else initial_learning_rate
    fineness, lengths = growing(ask, first_decay_steps, t_mul)
    total = sum(lengths)
    if t_mul >= 1.0 and (alpha == 0.0 or m_mul == 1.0) and m_mul <= 1.0:
        main = SGDR(lengths[0], t_mul, gamma=m_mul, eta_min_ratio=alpha)
        return Case(Plan(main), initial, total, fineness)
    peaks = [m_mul**i * (1.0 - alpha) + alpha for i in range(len(lengths))]
    return restarts(ask, initial, lengths, peaks, [alpha * initial], total=total, fineness=fineness)


@adapter("PiecewiseConstantDecay")
def piecewise_constant(ask: Ask, *, boundaries: list[int], values: list[float]) -> Case:
    # A boundary belongs to the value before it.
    ends = [*(boundary + 1 for boundary in boundaries), max(ask.horizon, boundaries[-1] + 2)]
    begins = [0, *ends[:-1]]
    return joined([Piece(e - b, v, v, "constant") for b, e, v in zip(begins, ends, values, strict=True)])


@adapter("ExponentialDecay")
def keras_exponential(
    ask: Ask,
    *,
    decay_steps: int,
    decay_rate: float,
    initial_learning_rate: float | None = None,
    staircase: bool = False,
) -> Case:
    if not staircase:
        raise NotBuilt("Exponential")
    return Case(Plan(Step(decay_steps, decay_rate)), initial_learning_rate or ask.base_lr)


@adapter("exponential_decay")
def optax_exponential(
    ask: Ask,
    *,
    init_value: float,
    transition_steps: int,
    decay_rate: float,
    transition_begin: int = 0,
    staircase: bool = False,
    end_value: float | None = None,
) -> Case:
    if not staircase or end_value is not None:
        raise NotBuilt("Exponential")
    if transition_begin == 0:
        return Case(Plan(Step(transition_steps, decay_rate)), init_value)
    first = transition_begin + transition_steps
    drops = range(first, max(ask.horizon, first) + 1, transition_steps)
    return Case(plateaus(0, None, drops, decay_rate), init_value)


@adapter("constant_schedule")
def constant(ask: Ask, *, value: float) -> Case:
    return Case(Plan(Constant()), value)


@adapter("linear_schedule")
def linear(ask: Ask, *, init_value: float, end_value: float, transition_steps: int, transition_begin: int = 0) -> Case:
    flat = Piece(transition_begin, init_value, init_value, "constant")
    return joined([flat, Piece(transition_steps, init_value, end_value)])


@adapter("polynomial_schedule")
def polynomial(
    ask: Ask,
    *,
    init_value: float,
    end_value: float,
    power: float,
    transition_steps: int,
    transition_begin: int = 0,
) -> Case:
    raise NotBuilt("Polynomial")


@adapter("warmup_constant_schedule")
def warmup_constant(ask: Ask, *, init_value: float, peak_value: float, warmup_steps: int) -> Case:
    return Case(Plan(Constant(), ramp(warmup_steps, init_value / peak_value)), peak_value)


@adapter("cosine_decay_schedule")
def optax_cosine(
    ask: Ask, *, decay_steps: int, init_value: float | None = None, alpha: float = 0.0, exponent: float = 1.0
) -> Case:
    if exponent != 1.0:
        raise NotBuilt("a power of the cosine")
    return Case(Plan(Cosine(eta_min_ratio=alpha)), init_value or ask.base_lr, decay_steps)


@adapter("warmup_cosine_decay_schedule")
def warmup_cosine(
    ask: Ask,
    *,
    init_value: float,
    peak_value: float,
    warmup_steps: int,
    decay_steps: int,
    end_value: float = 0.0,
    exponent: float = 1.0,
) -> Case:
    if exponent != 1.0:
        raise NotBuilt("a power of the cosine")
    if end_value < 0.0:
        raise Differs("an lr below zero is refused")
    warmup = ramp(warmup_steps, init_value / peak_value)
    return Case(Plan(Cosine(eta_min=end_value), warmup), peak_value, decay_steps)


@adapter("sgdr_schedule")
def optax_sgdr(ask: Ask, *, cosine_kwargs: list[dict[str, Any]]) -> Case:
    first, *later = cosine_kwargs
    if any(cycle.get("warmup_steps", 0) for cycle in later):
        raise NotBuilt("a warmup in every cycle")
    if any(cycle.get("exponent", 1.0) != 1.0 for cycle in cosine_kwargs):
        raise NotBuilt("a power of the cosine")
    peak, warm = first["peak_value"], first.get("warmup_steps", 0)
    lengths = [cycle["decay_steps"] for cycle in cosine_kwargs]
    lengths[0] -= warm
    peaks = [cycle["peak_value"] / peak for cycle in cosine_kwargs]
    floors = [cycle.get("end_value", 0.0) for cycle in cosine_kwargs]
    lone = restarts(ask, peak, lengths, peaks, floors)
    return Case(Plan(lone.plan.main, ramp(warm, first["init_value"] / peak)), peak, warm + sum(lengths))


@adapter("cosine_onecycle_schedule")
def cosine_one_cycle(
    ask: Ask,
    *,
    transition_steps: int,
    peak_value: float,
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
) -> Case:
    # The peer reaches its end at step transition_steps, torch and this package one step earlier.
    top = int(pct_start * transition_steps)
    main = OneCycle(
        pct_start=(top + 1) / (transition_steps + 1), div_factor=div_factor, final_div_factor=final_div_factor
    )
    return Case(Plan(main), peak_value, transition_steps + 1)


@adapter("linear_onecycle_schedule")
def linear_one_cycle(
    ask: Ask,
    *,
    transition_steps: int,
    peak_value: float,
    pct_start: float = 0.3,
    pct_final: float = 0.85,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
) -> Case:
    top, back = int(pct_start * transition_steps), int(pct_final * transition_steps)
    main = OneCycle(
        pct_start=(top + 1) / (back + 1), div_factor=div_factor, final_div_factor=1.0, anneal_strategy="linear"
    )
    end = peak_value / div_factor / final_div_factor
    # OneCycle ends on its last value itself, so the cooldown's first step is already one step down.
    cooldown = Cooldown(transition_steps - back - 1, eta_min=end)
    return Case(Plan(main, cooldown=cooldown), peak_value, transition_steps)


@adapter("piecewise_constant_schedule")
def optax_piecewise_constant(ask: Ask, *, init_value: float, boundaries_and_scales: dict[str, float]) -> Case:
    drops = sorted((int(step), scale) for step, scale in boundaries_and_scales.items())
    begins = [0, *(step for step, _ in drops)]
    ends = [*begins[1:], max(ask.horizon, begins[-1] + 1)]
    values = [init_value]
    for _, scale in drops:
        values.append(values[-1] * scale)
    return joined([Piece(e - b, v, v, "constant") for b, e, v in zip(begins, ends, values, strict=True)])


@adapter("piecewise_interpolate_schedule")
def piecewise_interpolate(ask: Ask, *, type: str, init_value: float, boundaries_and_scales: dict[str, float]) -> Case:
    begin, value, pieces = 0, init_value, []
    for step, scale in sorted((int(step), scale) for step, scale in boundaries_and_scales.items()):
        pieces.append(Piece(step - begin, value, value * scale, type))
        begin, value = step, value * scale
    return joined(pieces)


_TEXT = re.compile(
    r"(?P<shape>constant|linear|cosine) (?P<start>[0-9.e+-]+?)(->(?P<end>[0-9.e+-]+) in (?P<steps>\d+))?\Z"
)


@adapter("join_schedules")
def join(ask: Ask, *, schedules: list[str], boundaries: list[int]) -> Case:
    begins = [0, *boundaries]
    ends = [*boundaries, max(ask.horizon, boundaries[-1] + 1)]
    pieces = []
    for text, begin, end in zip(schedules, begins, ends, strict=True):
        found = _TEXT.match(text)
        if found is None:
            raise NotBuilt(f"join_schedules of {text!r}")
        start, stop = float(found["start"]), float(found["end"] or found["start"])
        steps = min(int(found["steps"] or end - begin), end - begin)
        if steps < int(found["steps"] or 0) and end != ends[-1]:
            raise Differs("a line that the next schedule cuts before its end")
        steps = int(found["steps"] or steps)
        pieces += [Piece(steps, start, stop, found["shape"]), Piece(end - begin - steps, stop, stop, "constant")]
    return joined(pieces)
