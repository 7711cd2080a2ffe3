"""optax.schedules."""

import re
from typing import Any

from lightning_lrsched import (
    SGDR,
    Constant,
    Cooldown,
    Cosine,
    Exponential,
    OneCycle,
    Plan,
    Polynomial,
    Schedule,
    Sequence,
)
from tests.golden.adapters import Ask, Case, Cases, Differs, adapter, ramp
from tests.golden.pieces import Piece, first_below, flat, joined


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
    parts: list[Schedule] = [Exponential(decay_rate, transition_steps, staircase=staircase)]
    turns: list[int] = []
    if end_value is not None and decay_rate != 1:
        reached = first_below(init_value, end_value, decay_rate, transition_steps)
        reached = -(-reached // transition_steps) * transition_steps if staircase else reached
        parts, turns = [*parts, Constant(end_value / init_value)], [reached]
    if transition_begin:
        parts, turns = [Constant(), *parts], [transition_begin, *(transition_begin + turn for turn in turns)]
    return Case(Plan(Sequence(parts, turns) if turns else parts[0]), init_value)


@adapter("warmup_exponential_decay_schedule")
def warmup_exponential(ask: Ask, *, init_value: float, peak_value: float, warmup_steps: int, **decay: Any) -> Case:
    main = optax_exponential(ask, init_value=peak_value, **decay).plan.main
    return Case(Plan(main, ramp(warmup_steps, init_value / peak_value)), peak_value)


@adapter("constant_schedule")
def constant(ask: Ask, *, value: float) -> Case:
    return Case(Plan(Constant()), value)


@adapter("linear_schedule")
def linear(ask: Ask, *, init_value: float, end_value: float, transition_steps: int, transition_begin: int = 0) -> Cases:
    return joined([flat(transition_begin, init_value), Piece(transition_steps, init_value, end_value)])


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
    fall = Polynomial(transition_steps, power, eta_min=end_value)
    main = Sequence([Constant(), fall], [transition_begin]) if transition_begin else fall
    return Case(Plan(main), init_value)


@adapter("warmup_constant_schedule")
def warmup_constant(ask: Ask, *, init_value: float, peak_value: float, warmup_steps: int) -> Case:
    return Case(Plan(Constant(), ramp(warmup_steps, init_value / peak_value)), peak_value)


@adapter("cosine_decay_schedule")
def optax_cosine(
    ask: Ask, *, decay_steps: int, init_value: float | None = None, alpha: float = 0.0, exponent: float = 1.0
) -> Case:
    return Case(Plan(Cosine(eta_min_ratio=alpha, exponent=exponent)), init_value or ask.base_lr, decay_steps)


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
    if end_value < 0.0:
        raise Differs("an lr below zero is refused")
    warmup = ramp(warmup_steps, init_value / peak_value)
    return Case(Plan(Cosine(eta_min=end_value, exponent=exponent), warmup), peak_value, decay_steps)


@adapter("sgdr_schedule")
def optax_sgdr(ask: Ask, *, cosine_kwargs: list[dict[str, Any]]) -> list[Case]:
    if any(cycle.get("exponent", 1.0) != 1.0 for cycle in cosine_kwargs):
        raise Differs("a power of the cosine in cycles with peaks of their own")
    pieces = []
    for cycle in cosine_kwargs:
        warm, peak, low = cycle.get("warmup_steps", 0), cycle["peak_value"], cycle.get("end_value", 0.0)
        pieces.append(Piece(warm, cycle["init_value"], peak))
        pieces.append(Piece(cycle["decay_steps"] - warm, peak, low, "cosine"))
    return [*joined(pieces), *_as_restarts(cosine_kwargs)]


def _as_restarts(cycles: list[dict[str, Any]]) -> list[Case]:
    """Return the cycles as one SGDR with a rise at every restart, where each begins at the floor of the one before."""
    peak, warm = cycles[0]["peak_value"], cycles[0].get("warmup_steps", 0)
    floors = [cycle.get("end_value", 0.0) for cycle in cycles]
    rises = [cycle.get("warmup_steps", 0) for cycle in cycles[1:]]
    begins = [cycle["init_value"] for cycle in cycles[1:]]
    if (rises and not all(rises)) or (rises and begins != floors[:-1]):
        return []
    lengths = [cycle["decay_steps"] for cycle in cycles]
    lengths[0] -= warm
    peaks = [cycle["peak_value"] / peak for cycle in cycles]
    main = SGDR(periods=lengths, max_ratios=peaks, eta_min=floors, cycle_warmup=rises or None)
    return [Case(Plan(main, ramp(warm, cycles[0]["init_value"] / peak)), peak)]


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
def optax_piecewise_constant(ask: Ask, *, init_value: float, boundaries_and_scales: dict[str, float]) -> Cases:
    drops = sorted((int(step), scale) for step, scale in boundaries_and_scales.items())
    begins = [0, *(step for step, _ in drops)]
    ends = [*begins[1:], max(ask.horizon, begins[-1] + 1)]
    values = [init_value]
    for _, scale in drops:
        values.append(values[-1] * scale)
    return joined([flat(e - b, v) for b, e, v in zip(begins, ends, values, strict=True)])


@adapter("piecewise_interpolate_schedule")
def piecewise_interpolate(ask: Ask, *, type: str, init_value: float, boundaries_and_scales: dict[str, float]) -> Cases:
    begin, value, pieces = 0, init_value, []
    for step, scale in sorted((int(step), scale) for step, scale in boundaries_and_scales.items()):
        pieces.append(Piece(step - begin, value, value * scale, type))
        begin, value = step, value * scale
    return joined(pieces)


_TEXT = re.compile(
    r"(?P<shape>constant|linear|cosine) (?P<start>[0-9.e+-]+?)(->(?P<end>[0-9.e+-]+) in (?P<steps>\d+))?\Z"
)


@adapter("join_schedules")
def join(ask: Ask, *, schedules: list[str], boundaries: list[int]) -> Cases:
    begins = [0, *boundaries]
    ends = [*boundaries, max(ask.horizon, boundaries[-1] + 1)]
    pieces = []
    for text, begin, end in zip(schedules, begins, ends, strict=True):
        found = _TEXT.match(text)
        if found is None:
            raise Differs(f"join_schedules of {text!r}")
        start, stop = float(found["start"]), float(found["end"] or found["start"])
        steps = int(found["steps"] or end - begin)
        if steps > end - begin and end != ends[-1]:
            if found["shape"] == "cosine":
                raise Differs("a cosine that the next schedule cuts before its end")
            steps, stop = end - begin, start + (stop - start) * (end - begin) / steps
        pieces += [Piece(steps, start, stop, found["shape"]), flat(end - begin - steps, stop)]
    return joined(pieces)
