"""fvcore.common.param_scheduler and fastai.callback.schedule: both count in the share of the training done."""

from typing import Any

from lightning_lrsched import (
    SGDR,
    WSD,
    Constant,
    Cosine,
    Exponential,
    FlatCosine,
    Linear,
    OneCycle,
    PiecewiseConstant,
    Plan,
    Polynomial,
    Step,
)
from tests.golden.adapters import Ask, Case, Cases, Differs, adapter, by_function, exact
from tests.golden.pieces import Piece, flat, joined


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
    *milestones, updates = milestones if num_updates is None else [*milestones, num_updates]
    total = ask.fineness(1 / updates)
    ends = [milestone * total // updates for milestone in milestones]
    if not ends:
        return Case(Plan(Constant()), values[0], total, total)
    main = PiecewiseConstant(ends, [value / values[0] for value in values])
    return Case(Plan(main), values[0], total, total)


@adapter("StepParamScheduler")
def step(ask: Ask, *, values: list[float], num_updates: int) -> Cases:
    total = ask.fineness(1 / len(values))
    return joined([flat(total // len(values), value) for value in values], total)


@adapter("StepWithFixedGammaParamScheduler")
def fixed_gamma(ask: Ask, *, base_value: float, num_decays: int, gamma: float, num_updates: int | None = None) -> Case:
    total = ask.fineness(1 / (num_decays + 1))
    return Case(Plan(Step(total // (num_decays + 1), gamma)), base_value, total, total)


@adapter("ExponentialParamScheduler")
def exponential(ask: Ask, *, start_value: float, decay: float) -> Case:
    total = ask.fineness()
    return Case(Plan(Exponential(decay, total)), start_value, total, total)


@adapter("PolynomialDecayParamScheduler")
def polynomial(ask: Ask, *, base_value: float, power: float) -> Case:
    total = ask.fineness()
    return Case(Plan(Polynomial(power=power)), base_value, total, total)


@adapter("CompositeParamScheduler")
def composite(
    ask: Ask, *, schedulers: list[Any], lengths: list[float], interval_scaling: list[str] | None = None
) -> Cases:
    scaling = interval_scaling or ["rescaled"] * len(schedulers)
    total = ask.fineness(*lengths)
    begin, pieces = 0.0, []
    for part, share, mode in zip(schedulers, lengths, scaling, strict=True):
        name, params = (part.split()[0], {"value": float(part.split()[1])}) if isinstance(part, str) else part
        if "onstant" in name:
            start = end = params["value"]
        elif name in ("LinearParamScheduler", "CosineParamScheduler"):
            start, end = params["start_value"], params["end_value"]
        else:
            raise Differs(f"a chain with a {name} that has a start of its own")
        if mode == "fixed" and start != end:
            if not name.startswith("Linear"):
                raise Differs("a schedule in a chain begins at its own start here, not as if it had run before")
            start, end = (start + (end - start) * where for where in (begin, begin + share))
        shape = "constant" if start == end else "linear" if name.startswith("Linear") else "cosine"
        pieces.append(Piece(int(exact(share) * total), start, end, shape))
        begin += share
    return joined(pieces, total)


@adapter("fit_one_cycle")
def one_cycle(ask: Ask, *, lr: float, div: float = 25.0, div_final: float = 1e5, pct_start: float = 0.25) -> Case:
    total = ask.fineness(pct_start)
    # The peer's peak and end lie on whole positions; OneCycle's lie one step before its shares of the length.
    top = int(exact(pct_start) * total)
    main = OneCycle(pct_start=(top + 1) / (total + 1), div_factor=div, final_div_factor=div_final / div)
    return Case(Plan(main), lr, total + 1, total)


@adapter("fit_one_cycle moms")
def one_cycle_momentum(ask: Ask, *, moms: list[float], pct_start: float = 0.25) -> Case:
    if moms[0] != moms[2]:
        raise Differs("a momentum that ends elsewhere than it began")
    total = ask.fineness(pct_start)
    top = int(exact(pct_start) * total)
    main = OneCycle(pct_start=(top + 1) / (total + 1), cycle_momentum=True, base_momentum=moms[1], max_momentum=moms[0])
    return Case(Plan(main), ask.base_lr, total + 1, total, key="momentum")


@adapter("fit_flat_cos")
def flat_cosine(ask: Ask, *, lr: float, div_final: float = 1e5, pct_start: float = 0.75) -> Case:
    total = ask.fineness(pct_start)
    if exact(pct_start) * total < 1:
        return Case(Plan(Cosine(eta_min=lr / div_final)), lr, total, total)
    return Case(Plan(FlatCosine(pct_start, lr / div_final)), lr, total, total)


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


@adapter("SchedExp")
def easing_exponential(ask: Ask, *, start: float, end: float) -> Case:
    return exponential(ask, start_value=start, decay=end / start)


@adapter("SchedPoly")
def easing_power(ask: Ask, *, start: float, end: float, power: float) -> Case:
    total = ask.fineness()
    if power == 1:
        return linear(ask, start_value=start, end_value=end)
    if power == 0.5:
        return Case(Plan(WSD("100%", "1-sqrt", eta_min=end)), start, total, total)
    reason = "a fall with a power of the time that is gone, not of the time that is left"
    return by_function(reason, lambda where: 1 + (end / start - 1) * where**power, start, total)
