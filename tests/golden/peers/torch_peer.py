"""torch.optim.lr_scheduler."""

from typing import Any

from lightning_lrsched import SGDR, Constant, Cosine, Linear, MultiStep, OneCycle, Plan, Schedule, Step
from tests.golden.adapters import Ask, Case, Differs, NotBuilt, Piece, adapter, joined, made, not_built, ramp

not_built("Exponential", "ExponentialLR")
not_built("Polynomial", "PolynomialLR")
not_built("Lambda", "LambdaLR", "MultiplicativeLR")
not_built("Cyclic", "CyclicLR")
not_built("Plateau", "ReduceLROnPlateau")
not_built("a product of schedules", "ChainedScheduler")


@adapter("StepLR")
def step(ask: Ask, *, step_size: int, gamma: float = 0.1) -> Case:
    return Case(Plan(Step(step_size, gamma)), ask.base_lr)


@adapter("MultiStepLR")
def multi_step(ask: Ask, *, milestones: list[int], gamma: float = 0.1) -> Case:
    return Case(Plan(MultiStep(milestones, gamma)), ask.base_lr)


@adapter("ConstantLR")
def constant(ask: Ask, *, factor: float = 1.0 / 3, total_iters: int = 5) -> Case:
    return Case(Plan(Constant(factor, total_iters)), ask.base_lr)


@adapter("LinearLR")
def linear(ask: Ask, *, start_factor: float = 1.0 / 3, end_factor: float = 1.0, total_iters: int = 5) -> Case:
    return Case(Plan(Linear(total_iters, start_factor=start_factor, end_factor=end_factor)), ask.base_lr, total_iters)


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
        pct_start=pct_start,
        anneal_strategy=anneal_strategy,
        div_factor=div_factor,
        final_div_factor=final_div_factor,
        three_phase=three_phase,
    )
    return Case(Plan(main), max_lr, total)


@adapter("SequentialLR")
def sequential(
    ask: Ask, *, schedulers: list[tuple[str, dict[str, Any]]], milestones: list[int], lr_is_tensor: bool = False
) -> Case:
    begins = [0, *milestones]
    parts = [
        (name, params, end - begin)
        for (name, params), begin, end in zip(schedulers, begins, [*milestones, ask.horizon], strict=True)
        if end > begin
    ]
    if any(name == "ChainedScheduler" for name, _, _ in parts):
        raise NotBuilt("a product of schedules")
    lone = [made(name, ask, params) for name, params, _ in parts]
    *before, last = [case[0] if isinstance(case, list) else case for case in lone]
    if not before:
        return last
    if len(before) == 1 and (warmup := _as_warmup(*parts[0], last.plan.main)):
        return Case(Plan(last.plan.main, warmup), ask.base_lr, last.total and last.total + parts[0][2])
    return joined([piece for part in parts for piece in _pieces(ask.base_lr, *part)])


def _as_warmup(name: str, params: dict[str, Any], slot: int, main: Schedule) -> Any:
    """Return the warmup that a first scheduler is, or None if it is none."""
    start, end = params.get("start_factor", 1.0 / 3), params.get("end_factor", 1.0)
    first = main.start_factor if isinstance(main, Linear) else main.factor if isinstance(main, Constant) else 1.0
    total = params.get("total_iters", 5)
    if name == "LinearLR" and total == slot and end == first and start < end:
        return ramp(slot, start / first)
    if name == "ConstantLR" and total >= slot and params.get("factor", 1.0 / 3) < first:
        return ramp(slot, params.get("factor", 1.0 / 3) / first, "constant")
    return None


def _pieces(base_lr: float, name: str, params: dict[str, Any], slot: int) -> list[Piece]:
    """Return what a scheduler does in its slot, as straight pieces."""
    if name not in ("LinearLR", "ConstantLR"):
        raise NotBuilt("a chain of more than warmup, main schedule and cooldown")
    total = params.get("total_iters", 5)
    if name == "ConstantLR":
        level, used = params.get("factor", 1.0 / 3) * base_lr, min(slot, total)
        return [Piece(used, level, level, "constant"), Piece(slot - used, base_lr, base_lr, "constant")]
    start, end = params.get("start_factor", 1.0 / 3) * base_lr, params.get("end_factor", 1.0) * base_lr
    if slot < total:
        raise Differs("a line that the next schedule cuts before its end")
    return [Piece(total, start, end), Piece(slot - total, end, end, "constant")]
