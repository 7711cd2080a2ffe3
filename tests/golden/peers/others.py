"""pytorch_warmup, ignite, katsura and kozistr."""

from typing import Any

from lightning_lrsched import REX, SGDR, Constant, Cosine, Cyclic, Linear, PiecewiseLinear, Plan, Sequence, Warmup
from tests.golden.adapters import Ask, Case, Cases, Differs, adapter, exact, main_of, ramp, restarts, same, steps_of
from tests.golden.pieces import Piece, joined

_MAINS = (
    "StepLR",
    "MultiStepLR",
    "ConstantLR",
    "LinearLR",
    "ExponentialLR",
    "PolynomialLR",
    "LambdaLR",
    "CyclicLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "OneCycleLR",
    "SequentialLR",
)
_SHAPES = {
    "LinearWarmup": "linear",
    "ExponentialWarmup": "saturating",
    "UntunedLinearWarmup": "linear",
    "UntunedExponentialWarmup": "saturating",
    "RAdamWarmup": "radam",
}


def _dampening(name: str, warmup: dict[str, Any], betas: list[float] | None) -> Warmup:
    """Return the warmup of a peer, whose factor multiplies a schedule that runs from step 0."""
    shape = _SHAPES[name]
    if "warmup_period" in warmup:
        return Warmup(int(warmup["warmup_period"]), shape, overlap=True)
    if not betas:
        raise Differs("a warmup without a period and without the betas of Adam")
    beta2 = betas[-1]
    # The peer truncates the binary quotient: 1 / (1 - 0.999) is 999 there and 1000 here.
    period = int((2.0 if shape == "linear" else 1.0) / (1.0 - beta2))
    untuned = Warmup.untuned(beta2, shape)
    if shape == "radam":
        if exact(beta2) != 1 - 1 / exact(steps_of(untuned.duration)):
            raise Differs("a beta2 that averages over no whole number of steps")
        return untuned
    return untuned if steps_of(untuned.duration) == period else Warmup(period, shape, overlap=True)


def _register_dampened(name: str, main: str | None) -> None:
    """Register a warmup of pytorch_warmup, alone or times a scheduler of torch."""

    @adapter(f"{name}*{main}" if main else name)
    def dampened(
        ask: Ask,
        *,
        warmup: dict[str, Any],
        scheduler: dict[str, Any] | None = None,
        betas: list[float] | None = None,
    ) -> Case:
        lone = main_of(main, ask, scheduler or {}) if main else Case(Plan(Constant()), ask.base_lr)
        return Case(Plan(lone.plan.main, _dampening(name, warmup, betas)), lone.base_lr, lone.total)


for _warmup in _SHAPES:
    for _main in (None, *_MAINS):
        _register_dampened(_warmup, _main)


@adapter("create_lr_scheduler_with_warmup")
def ignite_warmup(
    ask: Ask,
    *,
    inner: list[Any],
    warmup_start_value: float,
    warmup_duration: int,
    warmup_end_value: float | None = None,
) -> Case:
    lone = main_of(inner[0], ask, inner[1])
    end = lone.base_lr if warmup_end_value is None else warmup_end_value
    steps, start = warmup_duration - 1, warmup_start_value / lone.base_lr
    if same(end, lone.base_lr):
        return Case(Plan(lone.plan.main, ramp(steps, start)), lone.base_lr)
    # Another end value is used once, and the main schedule begins with its own after it.
    factor = end / lone.base_lr
    rise = Linear(steps, start_factor=start, end_factor=factor)
    plan = Plan(Sequence([rise, Constant(factor), lone.plan.main], [steps, steps + 1]))
    return Case(plan, lone.base_lr)


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
def piecewise_linear(ask: Ask, *, milestones_values: list[tuple[int, float]]) -> Cases:
    times, values = [time for time, _ in milestones_values], [value for _, value in milestones_values]
    if times[0] > 0:
        values.insert(0, values[0])
    else:
        del times[0]
    peak = max(values)
    if not times:
        return Case(Plan(Constant()), peak)
    if len(set(times)) < len(times):
        raise Differs("two values at one time")
    return Case(Plan(PiecewiseLinear(times, [value / peak for value in values])), peak)


@adapter("LinearCyclicalScheduler")
def linear_cyclical(
    ask: Ask,
    *,
    start_value: float,
    end_value: float,
    cycle_size: int,
    cycle_mult: float = 1.0,
    start_value_mult: float = 1.0,
    end_value_mult: float = 1.0,
    monotonic: bool = False,
) -> Cases:
    pieces, begin, length, start, end, fineness = [], 0, cycle_size, start_value, end_value, ask.fineness(0.5)
    while begin < ask.horizon:
        if monotonic:
            pieces.append(Piece(length * fineness, start, end))
        else:
            half = length * fineness // 2
            pieces += [Piece(half, start, end), Piece(half, end, start)]
        begin, length = begin + length, int(length * cycle_mult)
        start, end = start * start_value_mult, end * end_value_mult
    found = joined(pieces, fineness)
    if start_value < end_value and cycle_mult == start_value_mult == end_value_mult == 1.0 and not monotonic:
        main = Cyclic(cycle_size * fineness // 2, start_value / end_value)
        found.append(Case(Plan(main), end_value, None, fineness))
    return found


@adapter("REXScheduler")
def rex(ask: Ask, *, total_steps: int, max_lr: float = 1.0, min_lr: float = 0.0) -> Case:
    return Case(Plan(REX(total_steps, min_lr)), max_lr)


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
    lengths[0] -= warmup_steps
    warmup = ramp(warmup_steps, min_lr / max_lr)
    if len(lengths) == 1:
        return Case(Plan(Cosine(eta_min=min_lr), warmup), max_lr, first_cycle_steps)
    rise = warmup_steps or None
    peaks = [gamma**i for i in range(len(lengths))]
    if cycle_mult == 1.0 and gamma <= 1.0 and not warmup_steps:
        return Case(Plan(SGDR(first_cycle_steps, eta_min=min_lr, gamma=gamma)), max_lr)
    main = SGDR(periods=lengths, max_ratios=peaks, eta_min=min_lr, cycle_warmup=rise)
    return Case(Plan(main, warmup), max_lr)
