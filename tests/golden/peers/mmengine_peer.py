"""mmengine.optim.scheduler: schedulers that each act between ``begin`` and ``end`` on the value they find."""

from typing import Any

from lightning_lrsched import Constant, Cosine, Linear, OneCycle, Plan
from tests.golden.adapters import Ask, Case, Differs, NotBuilt, Piece, adapter, joined, plateaus, ramp, restarts

_LATER = {
    "ExponentialLR": "Exponential",
    "PolyLR": "Polynomial",
    "CosineAnnealingMomentum": "schedules of momentum",
    "ReduceOnPlateauLR": "Plateau",
}
_QUIRK = "mmengine holds the value before the end; here the end value is reached and held"
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

    def times(self, key: str) -> list[int]:
        """Return the milestones, counted from ``begin``."""
        return [int(time) * self.each for time in self.params[key]]


@adapter("schedulers")
def scheduled(ask: Ask, *, schedulers: list[list[Any]]) -> Case:
    parts = [_Part(*scheduler) for scheduler in schedulers]
    for part in parts:
        if part.name in _LATER:
            raise NotBuilt(_LATER[part.name])
    if len(parts) == 1:
        return _lone(ask, parts[0])
    if len(parts) == 2 and parts[0].name == "LinearLR" and parts[1].name in ("MultiStepLR", "StepLR"):
        return _warmed_plateaus(ask, *parts)
    if len(parts) == 2 and parts[0].name == "LinearLR" and parts[1].name == "CosineAnnealingLR":
        return _warmed_cosine(ask, *parts)
    raise NotBuilt("a chain of more than warmup, main schedule and cooldown")


def _warmed_plateaus(ask: Ask, warm: _Part, main: _Part) -> Case:
    """Return a linear warmup and plateaus, which may count from before the warmup's end."""
    if warm.params.get("end_factor", 1.0) != 1.0 or warm.begin:
        raise NotBuilt("overlapping schedules")
    steps = warm.end - 1
    warmup = ramp(steps, warm.params.get("start_factor", 1.0 / 3))
    drops = [main.begin + drop for drop in _drops(ask, main)]
    if any(drop <= steps for drop in drops):
        raise NotBuilt("overlapping schedules")
    return Case(plateaus(steps, warmup, drops, main.params.get("gamma", 0.1)), ask.base_lr)


def _warmed_cosine(ask: Ask, warm: _Part, main: _Part) -> Case:
    """Return a linear warmup, whose last value is the peak already, and a cosine that begins with it again."""
    if warm.params.get("end_factor", 1.0) != 1.0 or warm.begin or main.begin < warm.end:
        raise NotBuilt("overlapping schedules")
    if ask.horizon > main.end:
        raise Differs(_QUIRK)
    length, steps, peak = int(main.params["T_max"]) * main.each, warm.end - 1, ask.base_lr
    rise = Piece(steps, warm.params.get("start_factor", 1.0 / 3) * peak, peak)
    flat = Piece(main.begin - steps, peak, peak, "constant")
    return joined([rise, flat, Piece(length, peak, _floor(ask, main.params), "cosine")])


def _drops(ask: Ask, part: _Part) -> list[int]:
    """Return where plateaus drop, counted from ``begin``, as far as the scheduler acts."""
    if part.name == "StepLR":
        size = int(part.params["step_size"]) * part.each
        drops = list(range(size, max(ask.horizon, size) + 1, size))
    else:
        drops = part.times("milestones")
    return [drop for drop in drops if part.begin + drop < part.end]


def _lone(ask: Ask, part: _Part) -> Case:
    """Return a single scheduler."""
    base_lr, params = ask.base_lr, part.params
    if part.begin and part.name not in ("MultiStepLR", "StepLR"):
        raise NotBuilt("a schedule that begins later")
    length = part.end - 1
    if part.name == "LinearLR":
        start, end = params.get("start_factor", 1.0 / 3), params.get("end_factor", 1.0)
        return Case(Plan(Linear(length, start_factor=start, end_factor=end)), base_lr)
    if part.name == "ConstantLR":
        factor = params.get("factor", 1.0 / 3)
        return Case(Plan(Constant(factor, None if part.end == _NEVER else length)), base_lr)
    if part.name in ("MultiStepLR", "StepLR"):
        drops = [part.begin + drop for drop in _drops(ask, part)]
        return Case(plateaus(0, None, drops, params.get("gamma", 0.1)), base_lr)
    if part.name == "CosineAnnealingLR":
        if ask.horizon > part.end:
            raise Differs(_QUIRK)
        floor = _floor(ask, params)
        return Case(Plan(Cosine(int(params["T_max"]) * part.each, floor, periodic=True)), base_lr)
    if part.name == "CosineRestartLR":
        return restart(ask, **{**params, "periods": part.times("periods")})
    if part.name == "OneCycleLR":
        return one_cycle(ask, **params)
    raise NotBuilt(part.name)


def _floor(ask: Ask, params: dict[str, Any]) -> float:
    return float(params.get("eta_min_ratio", 0.0) * ask.base_lr or params.get("eta_min", 0.0))


@adapter("CosineRestartLR")
def restart(
    ask: Ask,
    *,
    periods: list[int],
    restart_weights: list[float] | None = None,
    eta_min: float = 0.0,
    eta_min_ratio: float = 0.0,
) -> Case:
    if ask.horizon > sum(periods):
        raise Differs(_QUIRK)
    weights = restart_weights or [1.0] * len(periods)
    return restarts(ask, ask.base_lr, periods, weights, [eta_min or eta_min_ratio * ask.base_lr])


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
    def converted(ask: Ask, *, epoch_length: int, **params: Any) -> Case:
        conversion = {"convert_to_iter_based": True, "epoch_length": epoch_length}
        return scheduled(ask, schedulers=[[name, params, conversion]])


for _name in (
    "LinearLR",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineRestartLR",
    "MultiStepLR",
    "StepLR",
    "PolyLR",
    "ExponentialLR",
):
    _register_converted(_name)
