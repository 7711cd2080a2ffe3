"""mmengine.optim.scheduler: schedulers that each act between ``begin`` and ``end`` on the value they find."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

from lightning_lrsched import (
    SGDR,
    Constant,
    Cosine,
    Exponential,
    Linear,
    MultiStep,
    OneCycle,
    Plan,
    Polynomial,
    Schedule,
    Sequence,
    Warmup,
)
from tests.golden.adapters import Ask, Case, Cases, Differs, DrivenCase, NotBuilt, adapter, steps_of
from tests.golden.pieces import Stretch, product

_LATER = {"ReduceOnPlateauLR": "Plateau fed inside a training"}
_NEVER = 10**9


class _Part:
    """One scheduler with its times in the unit of the vector."""

    def __init__(self, name: str, params: dict[str, Any], conversion: dict[str, Any] | None = None) -> None:
        self.name = name
        self.params = dict(params)
        self.each = (conversion or {}).get("epoch_length", 1) if (conversion or {}).get("convert_to_iter_based") else 1
        self.begin = int(self.params.pop("begin", 0)) * self.each
        end = self.params.pop("end", None)
        self.end = _NEVER if end is None else int(end) * self.each
        self.params.pop("by_epoch", None)

    @property
    def acts(self) -> int:
        """Steps on which it acts."""
        return self.end - self.begin

    def times(self, key: str) -> list[int]:
        """Return a list of times."""
        return [int(time) * self.each for time in self.params[key]]

    def floor(self, base_lr: float) -> float:
        """Return the lr that it falls to."""
        return float(self.params.get("eta_min_ratio") or 0.0) * base_lr or float(self.params.get("eta_min") or 0.0)

    def drops(self, horizon: int) -> list[int]:
        """Return where plateaus drop, counted from ``begin``, as far as the scheduler acts."""
        if self.name == "StepLR":
            size = int(self.params["step_size"]) * self.each
            found = list(range(size, max(horizon, size) + 1, size))
        else:
            found = sorted(self.times("milestones"))
        return [drop for drop in found if 0 < drop < self.acts]


@adapter("schedulers")
def scheduled(ask: Ask, *, schedulers: list[list[Any]]) -> Cases:
    parts = [_Part(*scheduler) for scheduler in schedulers]
    for part in parts:
        if part.name in _LATER:
            raise NotBuilt(_LATER[part.name])
    if ask.key == "momentum":
        return _momentum(ask, schedulers)
    if len(parts) == 1 and parts[0].name == "OneCycleLR":
        return one_cycle(ask, **parts[0].params)
    in_order = sorted(parts, key=lambda part: part.begin)
    if all(before.end <= after.begin for before, after in pairwise(in_order)):
        return _chained(ask, in_order)
    if all(part.name in _STRAIGHT for part in parts):
        return product([_STRAIGHT[part.name](part, ask.horizon) for part in parts], ask.base_lr)
    raise Differs("schedules that act on the same steps, one of them not by a factor")


def _momentum(ask: Ask, schedulers: list[list[Any]]) -> list[Case]:
    """Return schedules of the momentum: those of the lr, from the momentum that the optimizer was given."""
    lrs = [[name.replace("Momentum", "LR"), *given] for name, *given in schedulers]
    found = scheduled(replace(ask, key="lr", base_lr=ask.first), schedulers=lrs)
    cases = found if isinstance(found, list) else [found]
    if any(isinstance(case, DrivenCase) or case.plan.warmup is not None for case in cases):
        raise Differs("a momentum with a warmup")
    return [
        replace(case, plan=Plan(Constant(), others={"momentum": case.plan.main}))
        for case in cases
        if isinstance(case, Case)
    ]


def _chained(ask: Ask, parts: list[_Part]) -> list[Case]:
    """Return schedulers one after the other, each from the value that it finds."""
    schedules: list[Schedule] = []
    begins: list[int] = []
    for part in parts:
        if part.begin > 0 and not begins:
            schedules, begins = [Constant()], [0]
        if part.name == "CosineRestartLR" and len(schedules) > 1:
            raise Differs("restarts from the base lr after another schedule")
        if part.name == "CosineAnnealingLR" and _swings(part, ask) and any(map(_moved, schedules)):
            raise Differs("a cosine that falls from the value it finds and swings back to the base lr")
        main, holds = _MAINS[part.name](part, ask)
        schedules, begins = [*schedules, main], [*begins, part.begin]
        if not holds and part.end < _NEVER:
            # The last value that was used stays; the one that would come next is never reached.
            schedules, begins = [*schedules, Constant()], [*begins, part.end - 1]
    main = Sequence(schedules, begins[1:], join="reached") if len(schedules) > 1 else schedules[0]
    return [*_warmed(ask, parts, schedules, begins), Case(Plan(main), ask.base_lr)]


def _swings(part: _Part, ask: Ask) -> bool:
    """Whether a cosine goes past its first fall."""
    return min(part.acts, ask.horizon - part.begin) > int(part.params["T_max"]) * part.each


def _moved(before: Schedule) -> bool:
    """Whether a schedule leaves another lr than the base lr behind."""
    held = isinstance(before, Constant) and (before.total_iters is not None or before.factor == 1.0)
    return not held and not (isinstance(before, Linear) and before.end_factor == 1.0)


def _warmed(ask: Ask, parts: list[_Part], schedules: list[Schedule], begins: list[int]) -> list[Case]:
    """Return a line up to the base lr as the warmup that it is, whose last value is the base lr already."""
    first = schedules[0]
    if not isinstance(first, Linear) or first.end_factor != 1.0 or first.start_factor >= 1.0 or len(schedules) < 2:
        return []
    steps = steps_of(first.total_iters or 0)
    rest = Sequence([Constant(), *schedules[1:]], [begin - steps for begin in begins[1:]], join="reached")
    return [Case(Plan(rest, Warmup(steps, start_factor=first.start_factor)), ask.base_lr)]


def _linear(part: _Part, ask: Ask) -> tuple[Schedule, bool]:
    start, end = part.params.get("start_factor", 1.0 / 3), part.params.get("end_factor", 1.0)
    return (Linear(part.acts - 1, start_factor=start, end_factor=end) if part.acts > 1 else Constant(start)), True


def _constant(part: _Part, ask: Ask) -> tuple[Schedule, bool]:
    factor = part.params.get("factor", 1.0 / 3)
    return Constant(factor, part.acts - 1 if 1 < part.acts < _NEVER // 2 else None), True


def _plateaus(part: _Part, ask: Ask) -> tuple[Schedule, bool]:
    drops = part.drops(ask.horizon)
    return (MultiStep(drops, part.params.get("gamma", 0.1)) if drops else Constant()), True


def _polynomial(part: _Part, ask: Ask) -> tuple[Schedule, bool]:
    power, low = part.params.get("power", 1.0), part.floor(ask.base_lr)
    return (Polynomial(part.acts - 1, power, eta_min=low) if part.acts > 1 else Constant()), True


def _exponential(part: _Part, ask: Ask) -> tuple[Schedule, bool]:
    return (Exponential(part.params["gamma"]) if part.acts > 1 else Constant()), part.acts < 2


def _cosine(part: _Part, ask: Ask) -> tuple[Schedule, bool]:
    length = int(part.params["T_max"]) * part.each
    low = part.floor(ask.base_lr)
    main = Cosine(length, low, periodic=True) if length < part.acts else SGDR(periods=[length], eta_min=low)
    return (main if part.acts > 1 else Constant()), part.acts < 2


def _restarts(part: _Part, ask: Ask) -> tuple[Schedule, bool]:
    periods = part.times("periods")
    weights = part.params.get("restart_weights") or [1.0] * len(periods)
    end = min(part.acts, sum(periods))
    whole = SGDR(periods=periods, max_ratios=weights, eta_min=part.floor(ask.base_lr))
    part.end = part.begin + end
    return whole, False


_MAINS: dict[str, Callable[[_Part, Ask], tuple[Schedule, bool]]] = {
    "LinearLR": _linear,
    "ConstantLR": _constant,
    "StepLR": _plateaus,
    "MultiStepLR": _plateaus,
    "PolyLR": _polynomial,
    "ExponentialLR": _exponential,
    "CosineAnnealingLR": _cosine,
    "CosineRestartLR": _restarts,
}


def _straight_line(part: _Part, horizon: int) -> list[Stretch]:
    start, end = part.params.get("start_factor", 1.0 / 3), part.params.get("end_factor", 1.0)
    far = max(horizon, part.end)
    return _framed(part, [(part.begin, part.end - 1, start, end), (part.end - 1, far, end, end)])


def _straight_constant(part: _Part, horizon: int) -> list[Stretch]:
    factor, far = part.params.get("factor", 1.0 / 3), max(horizon, part.end)
    return _framed(part, [(part.begin, part.end - 1, factor, factor), (part.end - 1, far, 1.0, 1.0)])


def _straight_plateaus(part: _Part, horizon: int) -> list[Stretch]:
    turns = [part.begin, *(part.begin + drop for drop in part.drops(horizon))]
    gamma, ends = part.params.get("gamma", 0.1), [*turns[1:], max(horizon, turns[-1] + 1)]
    return _framed(
        part, [(b, e, gamma**i, gamma**i) for i, (b, e) in enumerate(zip(turns, ends, strict=True)) if e > b]
    )


def _framed(part: _Part, line: list[Stretch]) -> list[Stretch]:
    """Return a line of factors that begins with 1 at step 0."""
    return [*([(0, part.begin, 1.0, 1.0)] if part.begin else []), *line]


_STRAIGHT: dict[str, Callable[[_Part, int], list[Stretch]]] = {
    "LinearLR": _straight_line,
    "ConstantLR": _straight_constant,
    "StepLR": _straight_plateaus,
    "MultiStepLR": _straight_plateaus,
}


@adapter("CosineRestartLR")
def restart(ask: Ask, *, periods: list[int], **params: Any) -> Cases:
    return scheduled(ask, schedulers=[["CosineRestartLR", {"periods": periods, **params}]])


def one_cycle(
    ask: Ask,
    *,
    eta_max: float,
    total_steps: int,
    pct_start: float = 0.3,
    anneal_strategy: str = "cos",
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    three_phase: bool = False,
) -> Case:
    main = OneCycle(
        pct_start=pct_start,
        anneal_strategy=anneal_strategy,
        div_factor=div_factor,
        final_div_factor=final_div_factor,
        three_phase=three_phase,
    )
    return Case(Plan(main), eta_max, total_steps)


def _register_converted(name: str) -> None:
    """Register what a scheduler written in epochs does when it acts on iterations."""

    @adapter(f"{name}.build_iter_from_epoch")
    def converted(ask: Ask, *, epoch_length: int, **params: Any) -> Cases:
        conversion = {"convert_to_iter_based": True, "epoch_length": epoch_length}
        return scheduled(ask, schedulers=[[name, params, conversion]])


for _name in _MAINS:
    _register_converted(_name)
