"""torch.optim.lr_scheduler."""

from functools import partial
from typing import Any

from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from lightning_lrsched import (
    SGDR,
    Constant,
    Cosine,
    Cyclic,
    Exponential,
    Lambda,
    Linear,
    Multiplicative,
    MultiStep,
    OneCycle,
    Plan,
    Plateau,
    Polynomial,
    Schedule,
    Sequence,
    Step,
    TorchScheduler,
)
from tests.golden.adapters import Ask, Case, Differs, DrivenCase, adapter, main_of, ramp, same
from tests.golden.pieces import Factor, cut
from tests.golden.written import Written

_CUT = "a schedule that the next one cuts before its end"


@adapter("ReduceLROnPlateau")
def plateau(ask: Ask, *, metrics: list[float], **given: Any) -> DrivenCase:
    after = len(ask.times) == len(metrics)  # values after each metric; else before each, and one after all
    return DrivenCase(Plateau("metric", **given), ask.base_lr, tuple(metrics), ahead=int(after))


@adapter("ChainedScheduler")
def chained(ask: Ask, *, schedulers: list[Any]) -> DrivenCase:
    return driven(ask, "ChainedScheduler", {"schedulers": schedulers})


def driven(ask: Ask, name: str, params: Any) -> DrivenCase:
    """Return torch's own scheduler, driven."""
    return DrivenCase(TorchScheduler(partial(built, name=name, params=params), interval="step"), ask.base_lr)


def built(optimizer: Optimizer, name: str, params: Any) -> LRScheduler:
    """Return a torch scheduler, nested or not, from a vector's words."""
    given = {"schedulers": params} if isinstance(params, list) else dict(params)
    parts = [built(optimizer, inner, words) for inner, words in given.pop("schedulers", ())]
    if name != "ChainedScheduler":
        given["optimizer"] = optimizer
    if parts:
        given["schedulers"] = parts
    scheduler: LRScheduler = getattr(lr_scheduler, name)(**given)
    return scheduler


@adapter("StepLR")
def step(ask: Ask, *, step_size: int, gamma: float = 0.1) -> Case:
    return Case(Plan(Step(step_size, gamma)), ask.base_lr)


@adapter("MultiStepLR")
def multi_step(ask: Ask, *, milestones: list[int], gamma: float = 0.1) -> Case:
    return Case(Plan(MultiStep(sorted(milestones), gamma)), ask.base_lr)


@adapter("ConstantLR")
def constant(ask: Ask, *, factor: float = 1.0 / 3, total_iters: int = 5) -> Case:
    return Case(Plan(Constant(factor, total_iters)), ask.base_lr)


@adapter("LinearLR")
def linear(ask: Ask, *, start_factor: float = 1.0 / 3, end_factor: float = 1.0, total_iters: int = 5) -> Case:
    return Case(Plan(Linear(total_iters, start_factor=start_factor, end_factor=end_factor)), ask.base_lr, total_iters)


@adapter("ExponentialLR")
def exponential(ask: Ask, *, gamma: float) -> Case:
    return Case(Plan(Exponential(gamma)), ask.base_lr)


@adapter("PolynomialLR")
def polynomial(ask: Ask, *, total_iters: int = 5, power: float = 1.0) -> Case:
    return Case(Plan(Polynomial(total_iters, power)), ask.base_lr)


@adapter("LambdaLR")
def function(ask: Ask, *, lr_lambda: str, meaning: object = None) -> Case:
    return Case(Plan(Lambda(Written(lr_lambda))), ask.base_lr)


@adapter("MultiplicativeLR")
def multiplicative(ask: Ask, *, lr_lambda: str, meaning: object = None) -> Case:
    return Case(Plan(Multiplicative(Written(lr_lambda))), ask.base_lr)


@adapter("CyclicLR")
def cyclic(
    ask: Ask,
    *,
    base_lr: float,
    max_lr: float,
    step_size_up: int = 2000,
    step_size_down: int | None = None,
    mode: str = "triangular",
    gamma: float = 1.0,
    cycle_momentum: bool = True,
    base_momentum: float = 0.8,
    max_momentum: float = 0.9,
) -> Case:
    main = Cyclic(
        step_size_up,
        base_lr / max_lr,
        step_size_down=step_size_down,
        mode=mode,
        gamma=gamma if mode == "exp_range" else 1.0,
        cycle_momentum=cycle_momentum,
        base_momentum=base_momentum,
        max_momentum=max_momentum,
    )
    return Case(Plan(main), max_lr)


@adapter("CosineAnnealingLR")
def cosine(ask: Ask, *, T_max: int, eta_min: float = 0.0) -> list[Case]:
    periodic = Case(Plan(Cosine(T_max, eta_min, periodic=True)), ask.base_lr)
    once = Case(Plan(Cosine(T_max, eta_min)), ask.base_lr, T_max, until=T_max)
    return [periodic, once]


@adapter("CosineAnnealingWarmRestarts")
def warm_restarts(ask: Ask, *, T_0: int, T_mult: int = 1, eta_min: float = 0.0) -> Case:
    fineness = ask.fineness()
    plan = Plan(SGDR(T_0 * fineness, T_mult, eta_min=eta_min))
    return Case(plan, ask.base_lr, max(ask.horizon, T_0) * fineness, fineness)


@adapter("OneCycleLR")
def one_cycle(
    ask: Ask,
    *,
    max_lr: float,
    total_steps: int | None = None,
    epochs: int | None = None,
    steps_per_epoch: int | None = None,
    pct_start: float = 0.3,
    anneal_strategy: str = "cos",
    cycle_momentum: bool = True,
    base_momentum: float = 0.85,
    max_momentum: float = 0.95,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    three_phase: bool = False,
) -> Case:
    total = total_steps or (epochs or 0) * (steps_per_epoch or 0)
    main = OneCycle(
        total,
        pct_start,
        anneal_strategy=anneal_strategy,
        div_factor=div_factor,
        final_div_factor=final_div_factor,
        three_phase=three_phase,
        cycle_momentum=cycle_momentum,
        base_momentum=base_momentum,
        max_momentum=max_momentum,
    )
    return Case(Plan(main), max_lr, total)


@adapter("SequentialLR")
def sequential(
    ask: Ask, *, schedulers: list[tuple[str, dict[str, Any]]], milestones: list[int], lr_is_tensor: bool = False
) -> list[Case] | DrivenCase:
    if any(name == "ChainedScheduler" for name, _ in schedulers):
        return driven(ask, "SequentialLR", {"schedulers": schedulers, "milestones": milestones})
    begins = [0, *milestones]
    parts = [
        (name, params, end - begin)
        for (name, params), begin, end in zip(schedulers, begins, [*milestones, ask.horizon], strict=True)
        if end > begin
    ]
    lone = [main_of(name, ask, params) for name, params, _ in parts]
    if len({case.base_lr for case in lone}) > 1:
        raise Differs("schedules with peaks of their own")
    if any(name == "SequentialLR" for name, _, _ in parts):
        raise Differs("a nested SequentialLR skips values in torch, or cannot be stepped at all")
    mains = [cut(case.plan.main, slot) for case, (_, _, slot) in zip(lone[:-1], parts, strict=False)]
    mains.append(lone[-1].plan.main)
    if any(isinstance(main, Multiplicative) for main in mains[1:]):
        raise Differs("a product goes on from the last value used, which is used twice")
    turns = [sum(slot for _, _, slot in parts[: i + 1]) for i in range(len(parts) - 1)]
    base_lr = lone[0].base_lr
    chained = Case(
        Plan(Sequence(mains, turns) if turns else mains[0]), base_lr, written=_CUT if any(map(_is_cut, mains)) else ""
    )
    if len(parts) == 2 and (warmup := _as_warmup(*parts[0], mains[1])):
        return [Case(Plan(mains[1], warmup), base_lr), chained]
    return [chained]


def _is_cut(main: Schedule) -> bool:
    """Whether a schedule is the function of one that ends later."""
    return isinstance(main, Lambda) and isinstance(main.lr_lambda, Factor)


def _as_warmup(name: str, params: dict[str, Any], slot: int, main: Schedule) -> Any:
    """Return the warmup that a first scheduler is, or None if it is none."""
    start, end = params.get("start_factor", 1.0 / 3), params.get("end_factor", 1.0)
    first = main.start_factor if isinstance(main, Linear) else main.factor if isinstance(main, Constant) else 1.0
    total = params.get("total_iters", 5)
    if not isinstance(main, Linear | Constant | Cosine | SGDR | Exponential | Polynomial | Step | MultiStep):
        return None
    if name == "LinearLR" and total == slot and same(end, first) and start < end:
        return ramp(slot, start / first)
    if name == "ConstantLR" and total >= slot and params.get("factor", 1.0 / 3) < first:
        return ramp(slot, params.get("factor", 1.0 / 3) / first, "constant")
    return None
