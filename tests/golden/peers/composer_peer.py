"""composer.optim.scheduler."""

import re
from dataclasses import dataclass

from lightning_lrsched import (
    SGDR,
    Constant,
    Cosine,
    Exponential,
    Linear,
    MultiStep,
    Plan,
    Polynomial,
    Schedule,
    Sequence,
    Step,
)
from tests.golden.adapters import Ask, Case, Differs, adapter, ramp, restarts
from tests.golden.pieces import plateaus


@dataclass(frozen=True)
class _Clock:
    """The peer's reading of its time strings, in batches."""

    max_duration: str
    batches_per_epoch: int
    ssr: float

    @property
    def total(self) -> int:
        """Batches of the run, scaled."""
        found = re.fullmatch(r"([0-9.]+)(ep|ba)", self.max_duration)
        if found is None:
            raise Differs(f"a run of {self.max_duration!r}")
        length = int(float(found[1]) * self.ssr)
        return length * (self.batches_per_epoch if found[2] == "ep" else 1)

    def batches(self, time: str, *, scaled: bool = True) -> int:
        """Return a time string in batches. Shares of the run are not scaled again."""
        found = re.fullmatch(r"([0-9.]+)(ep|ba|dur)", time)
        if found is None:
            raise Differs(f"a time of {time!r}")
        amount, unit = float(found[1]), found[2]
        if unit == "dur":
            return int(amount * self.total)
        batches = int(amount * self.batches_per_epoch) if unit == "ep" else amount
        return int(batches * (self.ssr if scaled else 1.0))


@adapter("ConstantScheduler")
def constant(
    ask: Ask,
    *,
    max_duration: str,
    batches_per_epoch: int,
    ssr: float = 1.0,
    alpha: float = 1.0,
    t_max: str = "1dur",
    times_as_written: object = None,
) -> Case:
    return Case(Plan(_constant(ask, alpha, _Clock(max_duration, batches_per_epoch, ssr).batches(t_max))), ask.base_lr)


def _constant(ask: Ask, alpha: float, steps: int) -> Constant:
    """Return the multiple of the base lr, which is the base lr itself after its time."""
    return Constant(alpha, steps if steps < ask.horizon and alpha != 1.0 else None)


@adapter("StepScheduler")
def step(
    ask: Ask,
    *,
    step_size: str,
    max_duration: str,
    batches_per_epoch: int,
    ssr: float = 1.0,
    gamma: float = 0.1,
    times_as_written: object = None,
) -> Case:
    size = _Clock(max_duration, batches_per_epoch, ssr).batches(step_size)
    return Case(Plan(Step(size, gamma)), ask.base_lr)


@adapter("MultiStepScheduler")
def multi_step(
    ask: Ask,
    *,
    milestones: list[str],
    max_duration: str,
    batches_per_epoch: int,
    ssr: float = 1.0,
    gamma: float = 0.1,
    times_as_written: object = None,
) -> Case:
    clock = _Clock(max_duration, batches_per_epoch, ssr)
    return Case(Plan(MultiStep([clock.batches(time) for time in milestones], gamma)), ask.base_lr)


@adapter("LinearScheduler")
def linear(
    ask: Ask,
    *,
    max_duration: str,
    batches_per_epoch: int,
    ssr: float = 1.0,
    alpha_i: float = 1.0,
    alpha_f: float = 0.0,
    t_max: str = "1dur",
    times_as_written: object = None,
) -> Case:
    length = _Clock(max_duration, batches_per_epoch, ssr).batches(t_max)
    return Case(Plan(Linear(length, start_factor=alpha_i, end_factor=alpha_f)), ask.base_lr)


@adapter("ExponentialScheduler")
def exponential(
    ask: Ask,
    *,
    gamma: float,
    max_duration: str,
    batches_per_epoch: int,
    ssr: float = 1.0,
    decay_period: str = "1ep",
    times_as_written: object = None,
) -> Case:
    period = _Clock(max_duration, batches_per_epoch, ssr).batches(decay_period)
    return Case(Plan(Exponential(gamma, period)), ask.base_lr)


@adapter("PolynomialScheduler")
def polynomial(
    ask: Ask,
    *,
    power: float,
    max_duration: str,
    batches_per_epoch: int,
    ssr: float = 1.0,
    t_max: str = "1dur",
    alpha_f: float = 0.0,
    times_as_written: object = None,
) -> Case:
    length = _Clock(max_duration, batches_per_epoch, ssr).batches(t_max)
    return Case(Plan(Polynomial(length, power, eta_min_ratio=alpha_f)), ask.base_lr)


@adapter("PolynomialWithWarmupScheduler")
def polynomial_with_warmup(
    ask: Ask,
    *,
    t_warmup: str,
    max_duration: str,
    batches_per_epoch: int,
    power: float = 2.0,
    ssr: float = 1.0,
    t_max: str = "1dur",
    alpha_f: float = 0.0,
    scale_warmup: bool = False,
    times_as_written: object = None,
) -> Case:
    clock = _Clock(max_duration, batches_per_epoch, ssr)
    warm = _warm(clock, t_warmup, scale_warmup)
    length = clock.batches(t_max) - warm
    main: Schedule = Polynomial(length, power, eta_min_ratio=alpha_f) if length > 0 else Constant()
    return Case(Plan(main, ramp(warm, 0.0)), ask.base_lr)


@adapter("CosineAnnealingScheduler")
def cosine(
    ask: Ask,
    *,
    max_duration: str,
    batches_per_epoch: int,
    ssr: float = 1.0,
    t_max: str = "1dur",
    alpha_f: float = 0.0,
    times_as_written: object = None,
) -> Case:
    length = _Clock(max_duration, batches_per_epoch, ssr).batches(t_max)
    return Case(Plan(Cosine(length, eta_min_ratio=alpha_f)), ask.base_lr)


@adapter("CosineAnnealingWarmRestartsScheduler")
def warm_restarts(
    ask: Ask,
    *,
    t_0: str,
    max_duration: str,
    batches_per_epoch: int,
    ssr: float = 1.0,
    t_mult: float = 1.0,
    alpha_f: float = 0.0,
    times_as_written: object = None,
) -> Case:
    lengths = [_Clock(max_duration, batches_per_epoch, ssr).batches(t_0)]
    while sum(lengths) < ask.horizon:
        lengths.append(int(t_mult * lengths[-1]))
    if all(length == lengths[0] * t_mult**i for i, length in enumerate(lengths)):
        return Case(Plan(SGDR(lengths[0], t_mult, eta_min_ratio=alpha_f)), ask.base_lr, sum(lengths))
    peaks = [1.0] * len(lengths)
    return restarts(ask, ask.base_lr, lengths, peaks, [alpha_f * ask.base_lr], total=sum(lengths))


def _warm(clock: _Clock, t_warmup: str, scale_warmup: bool) -> int:
    return clock.batches(t_warmup, scaled=scale_warmup)


@adapter("ConstantWithWarmupScheduler")
def constant_with_warmup(
    ask: Ask,
    *,
    t_warmup: str,
    max_duration: str,
    batches_per_epoch: int,
    ssr: float = 1.0,
    alpha: float = 1.0,
    t_max: str = "1dur",
    scale_warmup: bool = False,
    times_as_written: object = None,
) -> Case:
    clock = _Clock(max_duration, batches_per_epoch, ssr)
    warm, end = _warm(clock, t_warmup, scale_warmup), clock.batches(t_max)
    if warm >= end:
        rise = Linear(warm, start_factor=0.0, end_factor=alpha)
        return Case(Plan(Sequence([rise, Constant()], [warm])), ask.base_lr)
    return Case(Plan(_constant(ask, alpha, end - warm), ramp(warm, 0.0)), ask.base_lr)


@adapter("MultiStepWithWarmupScheduler")
def multi_step_with_warmup(
    ask: Ask,
    *,
    t_warmup: str,
    milestones: list[str],
    max_duration: str,
    batches_per_epoch: int,
    ssr: float = 1.0,
    gamma: float = 0.1,
    scale_warmup: bool = False,
    times_as_written: object = None,
) -> Case:
    clock = _Clock(max_duration, batches_per_epoch, ssr)
    warm = _warm(clock, t_warmup, scale_warmup)
    drops = [clock.batches(time) for time in milestones]
    return Case(plateaus(warm, ramp(warm, 0.0), drops, gamma), ask.base_lr)


@adapter("LinearWithWarmupScheduler")
def linear_with_warmup(
    ask: Ask,
    *,
    t_warmup: str,
    max_duration: str,
    batches_per_epoch: int,
    ssr: float = 1.0,
    alpha_i: float = 1.0,
    alpha_f: float = 0.0,
    t_max: str = "1dur",
    scale_warmup: bool = False,
    times_as_written: object = None,
) -> Case:
    clock = _Clock(max_duration, batches_per_epoch, ssr)
    warm = _warm(clock, t_warmup, scale_warmup)
    length = clock.batches(t_max) - warm
    main: Schedule = Linear(length, start_factor=alpha_i, end_factor=alpha_f) if length > 0 else Constant(alpha_i)
    return Case(Plan(main, ramp(warm, 0.0)), ask.base_lr)


@adapter("CosineAnnealingWithWarmupScheduler")
def cosine_with_warmup(
    ask: Ask,
    *,
    t_warmup: str,
    max_duration: str,
    batches_per_epoch: int,
    ssr: float = 1.0,
    t_max: str = "1dur",
    alpha_f: float = 0.0,
    scale_warmup: bool = False,
    times_as_written: object = None,
) -> Case:
    clock = _Clock(max_duration, batches_per_epoch, ssr)
    warm = _warm(clock, t_warmup, scale_warmup)
    length = clock.batches(t_max) - warm
    main: Schedule = Cosine(length, eta_min_ratio=alpha_f) if length > 0 else Constant()
    return Case(Plan(main, ramp(warm, 0.0)), ask.base_lr)
