"""fvcore.common.param_scheduler and fastai.callback.schedule: both count in the share of the training done."""

from typing import Any

from lightning_lrsched import SGDR, Constant, Cooldown, Cosine, Linear, OneCycle, Plan, Step
from tests.golden.adapters import (
    Ask,
    Case,
    Differs,
    NotBuilt,
    Piece,
    adapter,
    exact,
    geometric,
    joined,
    not_built,
)

not_built("Exponential", "ExponentialParamScheduler", "SchedExp")
not_built("Polynomial", "PolynomialDecayParamScheduler", "SchedPoly")
not_built("schedules of momentum", "fit_one_cycle moms")


@adapter("ConstantParamScheduler")
def constant(ask: Ask, *, value: float) -> Case:
    return Case(Plan(Constant()), value, None, ask.fineness())


@adapter("CosineParamScheduler")
def cosine(ask: Ask, *, start_value: float, end_value: float) -> Case:
    total = ask.fineness()
    return Case(Plan(Cosine(eta_min=end_value)), start_value, total, total)


@adapter("LinearParamScheduler")
def linear(ask: Ask, *, start_value: float, end_value: float) -> Case:
    total = ask.fineness()
    base_lr = max(start_value, end_value)
    main = Linear(start_factor=start_value / base_lr, end_factor=end_value / base_lr)
    return Case(Plan(main), base_lr, total, total)


@adapter("MultiStepParamScheduler")
def multi_step(ask: Ask, *, values: list[float], milestones: list[int], num_updates: int | None = None) -> Case:
    updates = num_updates or milestones.pop()
    total = ask.fineness(1 / updates)
    ends = [*(milestone * total // updates for milestone in milestones), total]
    begins = [0, *ends[:-1]]
    pieces = [Piece(e - b, v, v, "constant") for b, e, v in zip(begins, ends, values, strict=True)]
    return joined(pieces, total)


@adapter("StepParamScheduler")
def step(ask: Ask, *, values: list[float], num_updates: int) -> Case:
    gamma = geometric(values)
    if gamma is None and len(values) > 1:
        raise NotBuilt("PiecewiseConstant")
    total = ask.fineness(1 / len(values))
    plan = Plan(Step(total // len(values), gamma) if gamma else Constant())
    return Case(plan, values[0], total, total)


@adapter("StepWithFixedGammaParamScheduler")
def fixed_gamma(ask: Ask, *, base_value: float, num_decays: int, gamma: float, num_updates: int | None = None) -> Case:
    values = [base_value * gamma**i for i in range(num_decays + 1)]
    return step(ask, values=values, num_updates=num_updates or 0)


@adapter("CompositeParamScheduler")
def composite(
    ask: Ask, *, schedulers: list[Any], lengths: list[float], interval_scaling: list[str] | None = None
) -> Case:
    scaling = interval_scaling or ["rescaled"] * len(schedulers)
    total = ask.fineness(*lengths)
    pieces = []
    for part, share, mode in zip(schedulers, lengths, scaling, strict=True):
        name, params = (part.split()[0], {"value": float(part.split()[1])}) if isinstance(part, str) else part
        if "onstant" in name:
            start = end = params["value"]
        elif name in ("LinearParamScheduler", "CosineParamScheduler"):
            start, end = params["start_value"], params["end_value"]
        else:
            raise NotBuilt(f"a chain with {name}")
        if mode == "fixed" and start != end:
            raise Differs("a schedule in a chain begins at its own start here, not as if it had run before")
        shape = "constant" if start == end else "linear" if name.startswith("Linear") else "cosine"
        pieces.append(Piece(int(exact(share) * total), start, end, shape))
    return joined(pieces, total)


@adapter("fit_one_cycle")
def one_cycle(ask: Ask, *, lr: float, div: float = 25.0, div_final: float = 1e5, pct_start: float = 0.25) -> Case:
    total = ask.fineness(pct_start)
    # The peer's peak and end lie on whole positions; OneCycle's lie one step before its shares of the length.
    top = int(exact(pct_start) * total)
    main = OneCycle(pct_start=(top + 1) / (total + 1), div_factor=div, final_div_factor=div_final / div)
    return Case(Plan(main), lr, total + 1, total)


@adapter("fit_flat_cos")
def flat_cosine(ask: Ask, *, lr: float, div_final: float = 1e5, pct_start: float = 0.75) -> Case:
    total = ask.fineness(pct_start)
    flat = int(exact(pct_start) * total)
    if flat < 1:
        return Case(Plan(Cosine(eta_min=lr / div_final)), lr, total, total)
    plan = Plan(Constant(), cooldown=Cooldown(total - flat, "cosine", lr / div_final))
    return Case(plan, lr, total, total)


@adapter("fit_sgdr")
def sgdr(ask: Ask, *, lr: float, n_cycles: int, cycle_len: int, cycle_mult: int = 2) -> Case:
    epochs = [cycle_len * cycle_mult**i for i in range(n_cycles)]
    total = ask.fineness(1 / sum(epochs))
    first = epochs[0] * total // sum(epochs)
    return Case(Plan(SGDR(first, cycle_mult)), lr, total, total)


@adapter("SchedCos")
def easing_cosine(ask: Ask, *, start: float, end: float) -> Case:
    return cosine(ask, start_value=start, end_value=end)


@adapter("SchedLin")
def easing_linear(ask: Ask, *, start: float, end: float) -> Case:
    return linear(ask, start_value=start, end_value=end)


@adapter("SchedNo")
def easing_none(ask: Ask, *, start: float, end: float) -> Case:
    return constant(ask, value=start)
